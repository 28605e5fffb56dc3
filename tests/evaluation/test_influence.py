"""Who moved a run's weights: two groups by hand, from the run's log to the page."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evaluation.influence import GROUPS_NAME, write_influence
from evaluation.report import write_report
from ingest.workspace import Workspace
from model.influence import INFLUENCE_SCHEMA, REVIEW_SCHEMA


def test_shares_of_draws_and_of_influence_reach_the_page(workspace: Workspace) -> None:
    folder = workspace.runs / "small"
    drawn = [
        {"sample_id": "a", "task": "text", "num_draws": 3, "influence": 6.0},
        {"sample_id": "b", "task": "text", "num_draws": 1, "influence": 1.0},
        {"sample_id": "c", "task": "segmentation", "num_draws": 4, "influence": 1.0},
    ]
    pq.write_table(pa.Table.from_pylist(drawn, schema=INFLUENCE_SCHEMA), folder / "influence.parquet")
    doubtful = [{"sample_id": "a", "task": "text", "step": 3, "difficulty": 9.0}]
    pq.write_table(pa.Table.from_pylist(doubtful, schema=REVIEW_SCHEMA), folder / "review.parquet")
    samples = pa.table({"sample_id": ["a", "b", "c"], "sex": ["female", "male", None], "age_years": [30.0, 30.0, 85.0]})
    write_influence(folder, samples, ["sex", "age_band"])
    rows = {(row.pop("attribute"), row.pop("level")): row for row in pq.read_table(folder / GROUPS_NAME).to_pylist()}
    assert rows["sex", "female"] == pytest.approx({"draws": 3 / 8, "influence": 6 / 8})
    assert rows["sex", "__missing__"] == pytest.approx({"draws": 4 / 8, "influence": 1 / 8})
    assert rows["age_band", "80+"] == pytest.approx({"draws": 4 / 8, "influence": 1 / 8})
    page = write_report(workspace, run="small", out=workspace.report, title="T").read_text()
    assert "1 draw of training is listed for review" in page and "37.5\N{NO-BREAK SPACE}%" in page


def test_a_run_without_a_log_says_nothing_of_it(workspace: Workspace) -> None:
    folder = workspace.runs / "small"
    write_influence(folder, pa.table({"sample_id": ["a"], "sex": ["male"]}), ["sex"])
    assert not (folder / GROUPS_NAME).exists()
    page = write_report(workspace, run="small", out=workspace.report, title="T").read_text()
    assert "for review" not in page and "Who moved the weights" not in page
