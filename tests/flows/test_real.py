"""The real files of ../shared/data, where they are present: raw files to verified shards."""

from pathlib import Path

import pytest
from deltalake import DeltaTable

from flows.config import load_config
from flows.runner import PIPELINES, run_pipeline
from shards.verify import verify

CONFIG = Path(__file__).resolve().parents[3] / "shared" / "data" / "real.toml"


@pytest.mark.skipif(not CONFIG.exists(), reason="no ../shared/data beside this checkout")
def test_real_files_reach_the_shards_and_every_row_is_accounted_for(tmp_path):
    config = load_config(CONFIG, workspace=tmp_path)
    datasets = run_pipeline(config, PIPELINES["refresh"])["curate"]["datasets"]
    assert {name: facts["rows_in"] for name, facts in datasets.items()} == {
        "imed361m": 93 + 1,
        "vqa_rad": 669,
        "isic2018": 890 + 97 + 378,
    }
    assert all(facts["rows_in"] == facts["samples"] + facts["quarantined"] for facts in datasets.values())
    samples = DeltaTable(config.workspace.samples).to_pyarrow_table(
        columns=["dataset", "image_status", "figure_id", "split"]
    )
    rows = samples.to_pylist()
    assert sum(row["image_status"] == "present" for row in rows if row["dataset"] == "isic2018") == 44
    sides = {(row["figure_id"], row["split"]) for row in rows if row["dataset"] == "vqa_rad"}
    assert len(sides) == 60  # every picture on one side only
    assert verify(config.workspace) == []
