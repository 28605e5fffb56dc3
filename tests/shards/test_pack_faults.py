"""What may happen to a pack and to its shards: killed, disk full, bytes flipped, files gone, two at once.

Each story ends the same way: nothing wrong was published, the trouble was told, packing again completes.
The short versions run always; `make soak` runs them at full count and prints the counts.
"""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from ingest.errors import BiasCareError
from ingest.workspace import Workspace, write_json
from shards.pack import pack
from shards.recipe import ShardsConfig, recipe_of
from shards.verify import verify

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


@pytest.fixture(scope="module")
def wanted(refreshed, tmp_path_factory):
    """The corpus digest that every pack of ``refreshed`` must end at, and the seconds one takes in a child."""
    packer = Packer(refreshed, tmp_path_factory.mktemp("wanted") / "work")
    child = packer.child()
    start = time.monotonic()
    child.communicate("\n")
    assert child.returncode == 0
    return packer.corpus, time.monotonic() - start


def kill_at_random(refreshed, wanted, tmp_path, num_kills, seed):
    """Kill a pack ``num_kills`` times, over nothing or over an older pack in turn; what was seen, counted.

    Packs that finished before their moment came are looked at too, but are no kills.
    """
    digest, seconds = wanted
    rng = np.random.default_rng(seed)
    seen = Counter()
    number = 0
    while seen["killed while packing"] < num_kills:
        number += 1
        packer = Packer(refreshed, tmp_path / str(number))
        older = packer.pack(OTHER_RECIPE)["corpus"] if number % 2 == 0 else None
        child = packer.child(num_processes=1 + number // 2 % 2)
        child.stdin.write("\n")
        child.stdin.flush()
        time.sleep(rng.uniform(0, seconds * (1 + number // 2 % 2)))
        child.send_signal(signal.SIGKILL)
        child.communicate()
        seen["killed while packing" if child.returncode == -signal.SIGKILL else "finished before"] += 1
        published = packer.corpus
        assert published in (older, digest)
        seen["old or nothing published" if published == older else "new published whole"] += 1
        summary = packer.pack()
        seen["reruns that went on from finished shards"] += summary["num_shards_kept"] > 0
        assert summary["corpus"] == digest == packer.corpus
        assert packer.leftovers() == []
        seen["reruns complete"] += 1
        shutil.rmtree(packer.workspace.root)
    return seen


def test_a_killed_pack_publishes_nothing_wrong_and_is_finished_by_a_rerun(refreshed, wanted, tmp_path):
    assert kill_at_random(refreshed, wanted, tmp_path, num_kills=1, seed=5)["reruns complete"] >= 1


@pytest.mark.soak
def test_twenty_kills(refreshed, wanted, tmp_path, capsys):
    seen = kill_at_random(refreshed, wanted, tmp_path, num_kills=20, seed=6)
    tell(capsys, "kill -9 at 20 random moments", seen)
    assert seen["reruns complete"] >= seen["killed while packing"] == 20


def test_a_pack_killed_between_publishing_and_cleaning_up_is_cleaned_up(refreshed, wanted, tmp_path):
    packer = Packer(refreshed, tmp_path / "work")
    packer.pack(OTHER_RECIPE)
    partial = packer.workspace.root / ".shards.partial"
    shutil.copytree(packer.workspace.shards, partial / "shards")
    packer.pack()  # takes the copy for what an interrupted pack by another recipe left
    assert packer.corpus == wanted[0] and packer.leftovers() == []
    shutil.copytree(packer.workspace.shards, partial / "shards")
    write_json(partial / "recipe.json", recipe_of(CONFIG))
    assert packer.pack()["num_samples_encoded"] == 0
    assert packer.corpus == wanted[0] and packer.leftovers() == []


def flip_bytes(packer, num_flips, seed):
    """Flip one bit in ``num_flips`` random places, one at a time: of ten one in the index, one in the manifest."""
    rng = np.random.default_rng(seed)
    tars = sorted(packer.workspace.shards.rglob("*.tar"))
    sizes = np.array([path.stat().st_size for path in tars])
    others = {0: packer.workspace.index, 1: packer.workspace.manifest}
    seen = Counter()
    for number in range(num_flips):
        path = others.get(number % 10) or tars[int(rng.choice(len(tars), p=sizes / sizes.sum()))]
        whole = path.read_bytes()
        place = int(rng.integers(len(whole)))
        flipped = bytearray(whole)
        flipped[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(flipped)
        problems = verify(packer.workspace)
        name = str(path.relative_to(packer.workspace.shards))
        assert any(name in problem for problem in problems), (name, place)
        seen[f"in {path.suffix.lstrip('.')}"] += 1
        seen["told with the file's name"] += 1
        seen["told with the sample's id"] += any("sample " in problem for problem in problems)
        path.write_bytes(whole)
    assert verify(packer.workspace) == []
    return seen


def test_a_flipped_byte_is_told_with_the_file_it_is_in(refreshed, tmp_path):
    packer = Packer(refreshed, tmp_path / "work")
    packer.pack()
    assert flip_bytes(packer, num_flips=5, seed=1)["told with the file's name"] == 5


@pytest.mark.soak
def test_two_hundred_flipped_bytes(refreshed, wanted, tmp_path, capsys):
    packer = Packer(refreshed, tmp_path / "work")
    packer.pack()
    seen = flip_bytes(packer, num_flips=200, seed=2)
    tell(capsys, "one bit flipped in 200 random places", seen)
    assert seen["told with the file's name"] == 200


@pytest.mark.parametrize("damage", ["flip", "delete", "truncate"])
def test_packing_again_heals_a_damaged_shard_and_rewrites_no_other(refreshed, wanted, tmp_path, damage):
    packer = Packer(refreshed, tmp_path / "work")
    packer.pack()
    shard = sorted(packer.workspace.shards.rglob("*.tar"))[3]
    content = bytearray(shard.read_bytes())
    content[700] ^= 1
    shard.unlink()
    if damage != "delete":
        shard.write_bytes(content if damage == "flip" else content[: len(content) // 2])
    assert any(shard.name in problem for problem in verify(packer.workspace))
    summary = packer.pack()
    assert summary["num_shards_kept"] == summary["num_shards"] - 1
    assert summary["corpus"] == packer.corpus == wanted[0]


def race(refreshed, wanted, root):
    """A child and this process pack one workspace at once; how many finished and how many were refused."""
    packer = Packer(refreshed, root)
    child = packer.child()
    child.stdin.write("\n")
    child.stdin.flush()
    refused = []
    try:
        packer.pack()
    except BiasCareError as error:
        refused.append(str(error))
    error = child.communicate()[1]
    if child.returncode:
        refused.append(error)
    assert all("expected a free workspace, got one another process works on" in error for error in refused)
    assert packer.corpus == wanted[0]
    assert packer.pack()["num_samples_encoded"] == 0
    return Counter({"finished": 2 - len(refused), "refused with a clear line": len(refused)})


def test_of_two_packers_one_works_and_the_other_is_told(refreshed, wanted, tmp_path):
    assert race(refreshed, wanted, tmp_path / "work")["finished"] >= 1


@pytest.mark.soak
def test_ten_races(refreshed, wanted, tmp_path, capsys):
    seen = sum((race(refreshed, wanted, tmp_path / str(number)) for number in range(10)), Counter())
    tell(capsys, "two packers at once, 10 times", seen)
    assert seen["refused with a clear line"] >= 1


@pytest.fixture
def small_disk(tmp_path):
    """Mounts file systems of a given size; skips where mounting is not permitted."""
    mounted = []

    def mount(num_bytes):
        folder = tmp_path / f"disk{len(mounted)}"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={num_bytes}", "tmpfs", str(folder)]
        if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
            pytest.skip("mounting a tmpfs is not permitted here")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_disk_too_small_is_refused_before_anything_is_written(refreshed, small_disk):
    packer = Packer(refreshed, small_disk(2 * 2**20) / "work")
    with pytest.raises(BiasCareError, match=r"expected about [\d,]+ bytes free for \d+ samples, got"):
        packer.pack()
    assert packer.corpus is None and not list(packer.workspace.root.rglob("*.tar"))


def fill_at(refreshed, wanted, disk, num_done):
    """Fill the disk once ``num_done`` samples are packed, then make room and pack again; whether it was told."""
    packer = Packer(refreshed, disk / "work")
    older = packer.pack(OTHER_RECIPE)["corpus"]
    ballast = packer.workspace.root / "ballast"

    def fill(done, total):
        if done >= num_done and not ballast.exists():
            ballast.write_bytes(bytes(shutil.disk_usage(disk).free))

    told = False
    try:
        packer.pack(progress=fill)
    except BiasCareError as error:
        told = "got a full disk" in str(error)
        assert told and packer.corpus == older
    assert ballast.exists()
    ballast.unlink()
    kept = packer.pack()["num_shards_kept"]
    assert packer.corpus == wanted[0] and packer.leftovers() == []
    return told, kept


def test_a_disk_that_fills_up_is_told_and_a_rerun_goes_on(refreshed, wanted, small_disk):
    told, kept = fill_at(refreshed, wanted, small_disk(24 * 2**20), num_done=100)
    assert told and kept > 0


@pytest.mark.soak
def test_ten_full_disks(refreshed, wanted, small_disk, capsys):
    seen = Counter()
    for number in range(10):
        told, kept = fill_at(refreshed, wanted, small_disk(24 * 2**20), num_done=1 + 35 * number)
        seen["told"] += told
        seen["reruns complete"] += 1
        seen["reruns that went on from finished shards"] += kept > 0
    tell(capsys, "disk full at 10 moments", seen)
    assert seen["told"] == 10


def tell(capsys, title, seen):
    with capsys.disabled():
        sys.stdout.write(f"\n{title}: {dict(seen)}\n")
