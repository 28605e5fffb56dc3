"""The demo: a simulated corpus, its configuration, and its report where a person finds it."""

import shutil
from pathlib import Path

from flows.progress import Reporter
from ingest.errors import BadInput
from ingest.workspace import publishing, read_stamp

NUM_SAMPLES = 1200
SEED = 2026

_CONFIG = """\
# The demo's configuration: three simulated data sets in their native layouts, with bias planted in them.
workspace = "workspace"
seed = 2026

[[datasets]]
adapter = "imed361m"                    # slices with organ masks
root = "raw/imed361m"
max_repeats = 60

[[datasets]]
adapter = "vqa_rad"                     # questions about images
root = "raw/vqa_rad"
max_repeats = 60

[[datasets]]
adapter = "isic2018"                    # skin lesions with age, sex and site
root = "raw/isic2018"
metadata = "raw/ham10000/HAM10000_metadata.csv"
max_repeats = 60

[census]
attributes = ["dataset", "task", "modality", "anatomy", "sex", "age_band", "label"]

[weights]
lower = 0.05
upper = 20.0
min_effective_share = 0.5
[weights.targets]
modality = { toward = "uniform", strength = 0.3 }
sex = { toward = { female = 0.5, male = 0.5 } }

[gates]
leakage = "drop_from_train"

[shards]
image_side_px = 128
samples_per_shard = 500

[model]
preset = "tiny"

[training]
epochs = 4
steps = 0
micro_batch = 8
accumulate = 1

[evaluation]
attributes = ["sex", "age_band", "modality"]
report_pictures = 4                     # simulated ones: the report may show them
"""


def simulate_into(folder: Path, *, num_samples: int, seed: int, profile: str = "demo", images: str = "all") -> Path:
    """Simulate the corpora under ``folder``, which must be new or empty. Returns the path of planted.json."""
    from ingest.simulate import Profile, simulate
    from ingest.simulate.planted import Images

    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadInput(f"{folder}: expected a new or empty folder, got one that holds something")
    reporter, written = Reporter(), 0

    def count(num_rows: int) -> None:
        nonlocal written
        written += num_rows
        reporter.rows(written, num_samples)

    with reporter.stage("simulate"), publishing(folder) as staged:
        planted = simulate(
            staged, num_samples=num_samples, seed=seed, profile=Profile(profile), images=Images(images), progress=count
        )
    return folder / planted.name


def prepare_demo(folder: Path) -> Path:
    """Write raw/ and demo.toml under ``folder`` unless they stand. Returns the configuration."""
    raw, config = folder / "raw", folder / "demo.toml"
    if not raw.exists():
        simulate_into(raw, num_samples=NUM_SAMPLES, seed=SEED)
    if not config.exists():
        with publishing(config) as staged:
            staged.write_text(_CONFIG)
    return config


def publish_report(folder: Path) -> Path:
    """Copy the workspace's report beside the demo's configuration and tell its headline figures."""
    from flows.config import load_config

    workspace = load_config(folder / "demo.toml").workspace
    with publishing(folder / "report.html") as staged:
        shutil.copyfile(workspace.report, staged)
    train, scored = (read_stamp(workspace, stage) for stage in ("train", "evaluate"))
    assert train is not None and scored is not None, "the demo has run"
    loss = train["summary"]
    print(
        f"training loss: {loss['loss_first_tenth']:.3f} in the first tenth, {loss['loss_last_tenth']:.3f} in the last "
        f"({loss['fall']:.0%} lower)"
    )
    for name, value in scored["summary"]["validation"].items():
        print(f"validation {name}: {value['model']:.3f}, without looking at the picture {value['baseline']:.3f}")
    return (folder / "report.html").resolve()
