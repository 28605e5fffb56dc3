"""What our own solver is held against, a skewed corpus to weigh, and a packer that can be killed."""

import json
import subprocess
import sys
import time
from pathlib import Path

import clarabel
import numpy as np
import pyarrow.parquet as pq
import pytest
import scipy.sparse
from deltalake import write_deltalake

from ingest.sample import Sample, to_table
from ingest.workspace import Workspace
from shards.pack import pack
from shards.recipe import ShardsConfig
from shards.verify import verify
from shards.weigh import WeightsConfig, weigh


def least_value(counts, design, targets, lower, upper, mu, objective):
    """The least value of the weights problem by an interior point method over cones (Clarabel).

    Variables: ratios, scaled residuals z of every margin and the total (A (n r) - sqrt(mu) z = t), and for "kl"
    epigraphs e_c of r ln r, as (-e, r, 1) in the exponential cone.
    """
    num_cells, full = len(counts), np.vstack([design, np.ones(len(counts))])
    softness = np.append(np.full(len(targets), mu), 1e-9)
    num_e = num_cells if objective == "kl" else 0
    size = num_cells + len(softness) + num_e
    quadratic, linear = np.zeros(size), np.zeros(size)
    quadratic[num_cells : num_cells + len(softness)] = 1.0
    if objective == "kl":
        linear[:num_cells], linear[num_cells + len(softness) :] = -counts, counts
    else:
        quadratic[:num_cells], linear[:num_cells] = counts, -counts
    equal = np.zeros((len(softness), size))
    equal[:, :num_cells], equal[:, num_cells : num_cells + len(softness)] = full * counts, -np.diag(softness**0.5)
    ratio = np.eye(num_cells, size)
    rows, rhs = [equal, ratio, -ratio], [np.append(targets, 1.0), np.full(num_cells, upper), np.full(num_cells, -lower)]
    cones = [clarabel.ZeroConeT(len(softness)), clarabel.NonnegativeConeT(2 * num_cells)]
    for cell in range(num_e):
        cone = np.zeros((3, size))
        cone[0, num_cells + len(softness) + cell], cone[1, cell] = 1.0, -1.0
        rows.append(cone)
        rhs.append(np.array([0.0, 0.0, 1.0]))
        cones.append(clarabel.ExponentialConeT())
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    problem = (scipy.sparse.csc_matrix(np.diag(quadratic)), linear, scipy.sparse.csc_matrix(np.vstack(rows)))
    solved = clarabel.DefaultSolver(*problem, np.concatenate(rhs), cones, settings).solve()
    return solved.obj_val + (1.0 if objective == "kl" else 0.5), str(solved.status)


@pytest.fixture(scope="session")
def clarabel_value():
    return least_value


CHILD = """
import json
import sys
from pathlib import Path

from ingest.errors import BiasCareError
from ingest.workspace import Workspace, write_json
from shards.pack import pack
from shards.recipe import ShardsConfig

if __name__ == "__main__":
    roots = {name: Path(root) for name, root in json.loads(sys.argv[2]).items()}
    print("go", flush=True)
    sys.stdin.readline()
    try:
        pack(Workspace(Path(sys.argv[1])), roots, ShardsConfig(samples_per_shard=12), samples_version=0,
             num_processes=int(sys.argv[3]))
    except BiasCareError as error:
        sys.exit(str(error))
"""
CONFIG = ShardsConfig(samples_per_shard=12)
OTHER_RECIPE = ShardsConfig(samples_per_shard=12, jpeg_quality=60)


class Packer:
    """One workspace over the refreshed samples; packs here, or in a child process that can be killed."""

    config, other_recipe = CONFIG, OTHER_RECIPE

    def __init__(self, refreshed, root):
        self.roots = {dataset.name: dataset.root for dataset in refreshed.datasets}
        self.workspace = Workspace(root)
        root.mkdir(parents=True, exist_ok=True)
        self.workspace.samples.symlink_to(refreshed.workspace.samples)
        self.script = root / "child.py"
        self.script.write_text(CHILD)

    def pack(self, config=CONFIG, **changes):
        return pack(self.workspace, self.roots, config, samples_version=0, **changes)

    def child(self, num_processes=1):
        """A child that has imported everything and packs when it is told ``\\n``."""
        roots = json.dumps({name: str(root) for name, root in self.roots.items()})
        command = [sys.executable, str(self.script), str(self.workspace.root), roots, str(num_processes)]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=Path.cwd(), text=True,
            env={"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1", "PATH": "/usr/bin"},
        )  # fmt: skip
        assert process.stdout.readline() == "go\n", process.stderr.read()
        return process

    @property
    def corpus(self):
        """The digest of what is published, or None; whatever is published must be whole."""
        if not self.workspace.manifest.exists():
            assert not self.workspace.shards.exists()
            return None
        assert verify(self.workspace) == []
        return json.loads(self.workspace.manifest.read_text())["corpus"]

    def leftovers(self):
        return [path.name for path in self.workspace.root.glob(".shards.*") if path.name != ".shards.lock"]


@pytest.fixture(scope="session")
def packer_at(refreshed):
    """A packer of the refreshed samples into a workspace of its own."""
    return lambda root: Packer(refreshed, root)


@pytest.fixture(scope="session")
def wanted(packer_at, tmp_path_factory):
    """The corpus digest that every pack of ``refreshed`` must end at, and the seconds one takes in a child."""
    packer = packer_at(tmp_path_factory.mktemp("wanted") / "work")
    child = packer.child()
    start = time.monotonic()
    child.communicate("\n")
    assert child.returncode == 0
    return packer.corpus, time.monotonic() - start


@pytest.fixture
def tell(capsys):
    """Print what a soak test counted, whatever pytest captures."""

    def say(title, seen):
        with capsys.disabled():
            sys.stdout.write(f"\n{title}: {dict(seen)}\n")

    return say


@pytest.fixture
def skewed(tmp_path):
    """100 training rows: 60 CT without sex, 40 dermoscopy (30 male, 8 female, 2 unknown)."""
    sexes = [None] * 60 + ["male"] * 30 + ["female"] * 8 + ["unknown"] * 2
    samples = [
        Sample(
            sample_id=f"{number:032x}", dataset="a" if sex is None else "b", native_id=str(number), split="train",
            task="classification", image_status="present", sex=sex, source_file="x",
            modality="computed_tomography" if sex is None else "dermoscopy",
        )
        for number, sex in enumerate(sexes)
    ]  # fmt: skip
    workspace = Workspace(tmp_path)
    write_deltalake(workspace.samples, to_table(samples), partition_by=["dataset"])
    return workspace


@pytest.fixture
def weighed():
    """Weigh a workspace; the certificate, and the weight of each of its 100 rows."""

    def weighed(workspace, targets, *, caps=None, epochs=1, **changes):
        config = WeightsConfig(targets=targets, **changes)
        weigh(workspace, config, attributes=["modality"], max_repeats=caps or {}, num_epochs=epochs, draws_per_epoch=0)
        lines = json.loads(workspace.solution.read_text())
        weights = dict(zip(*(c.to_pylist() for c in pq.read_table(workspace.weights).columns), strict=True))
        return lines, np.array([weights[f"{number:032x}"] for number in range(100)])

    return weighed
