"""What every test shares: quiet libraries, and one small simulated corpus refreshed once per session."""

import os
import shutil
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["DO_NOT_TRACK"] = "1"
os.environ["GX_ANALYTICS_ENABLED"] = "false"
os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"

import pytest

CONFIG = """\
workspace = "work"
seed = 7

[[datasets]]
adapter = "imed361m"
root = "raw/imed361m"

[[datasets]]
adapter = "vqa_rad"
root = "raw/vqa_rad"

[[datasets]]
adapter = "isic2018"
root = "raw/isic2018"
metadata = "raw/ham10000/HAM10000_metadata.csv"

[census]
attributes = ["modality", "sex", "age_band", "label"]

[weights.targets]
modality = { toward = "uniform", strength = 0.3 }
sex = { toward = { female = 0.5, male = 0.5 } }

[shards]
image_side_px = 64
samples_per_shard = 40

[training]
steps = 3
micro_batch = 2
accumulate = 1

[evaluation]
attributes = ["sex", "modality"]
num_resamples = 200
"""


@pytest.fixture(scope="session")
def simulated(tmp_path_factory) -> Path:
    """A folder with raw/ (400 simulated samples, every defect planted) and demo.toml. Read only."""
    from ingest.simulate import simulate

    folder = tmp_path_factory.mktemp("corpus")
    simulate(folder / "raw", num_samples=400, seed=11)
    (folder / "demo.toml").write_text(CONFIG)
    return folder


@pytest.fixture(scope="session")
def refreshed(simulated):
    """The checked configuration of ``simulated`` after a refresh. Read only."""
    from flows.config import load_config
    from flows.runner import PIPELINES, run_pipeline

    config = load_config(simulated / "demo.toml")
    run_pipeline(config, PIPELINES["refresh"])
    return config


@pytest.fixture
def corpus_copy(refreshed, tmp_path) -> Path:
    """A private copy of the refreshed corpus: raw/, demo.toml and work/, times kept so that nothing is stale."""
    shutil.copytree(refreshed.source.parent, tmp_path / "corpus", copy_function=shutil.copy2)
    return tmp_path / "corpus"
