"""Targets that cannot be met, or make no sense: named, and nothing written."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake

from ingest.errors import BadInput, GateRefused
from ingest.sample import Sample, to_table
from ingest.workspace import Workspace
from shards.targets import Target
from shards.weigh import WeightsConfig, weigh

EQUAL = Target(toward={"female": 0.5, "male": 0.5})


def test_a_given_share_out_of_reach_is_refused_with_its_interval(skewed, weighed):
    with pytest.raises(GateRefused, match=r"weights.targets.sex: level .*expected a share between"):
        weighed(skewed, {"sex": EQUAL}, upper=1.2, lower=0.9)


def test_given_shares_that_contradict_each_other_are_refused_by_name(skewed, weighed):
    # Dermoscopy is data set b: they cannot have different shares.
    targets = {
        "modality": Target(toward={"computed_tomography": 0.5, "dermoscopy": 0.5}),
        "dataset": Target(toward={"a": 0.6, "b": 0.4}),
    }
    with pytest.raises(GateRefused, match=r"modality: level .*; weights.targets.dataset: level .* contradict"):
        weighed(skewed, targets)


def test_a_refusal_writes_nothing_and_leaves_what_was_written(skewed, weighed):
    folder = skewed.solution.parent
    with pytest.raises(GateRefused):
        weighed(skewed, {"sex": EQUAL}, upper=1.2, lower=0.9)
    assert not folder.exists()
    weighed(skewed, {"sex": EQUAL})
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(GateRefused):
        weighed(skewed, {"race": Target(toward={"a": 1.0})})
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_given_shares_of_levels_without_any_row_are_refused_and_a_rule_is_listed(skewed, weighed):
    with pytest.raises(GateRefused, match=r"weights.targets.race: level a: expected training rows"):
        weighed(skewed, {"race": Target(toward={"a": 0.5, "b": 0.5})})
    solution, weights = weighed(skewed, {"race": Target(toward="uniform")})
    assert solution["levels_without_rows"] == {"race": ["every level"]}
    assert weights == pytest.approx(np.ones(100))


def test_a_target_with_ten_thousand_levels_is_refused_and_one_beside_it_is_counted(tmp_path):
    rows = [
        Sample(sample_id=f"{n:05}", dataset="a", native_id=str(n), split="train", task="classification",
               image_status="present", view=f"view {n}", source_file="x", sex="female" if n % 4 else "male")
        for n in range(10_000)
    ]  # fmt: skip
    workspace = Workspace(tmp_path)
    write_deltalake(workspace.samples, to_table(rows), partition_by=["dataset"])
    plan = {"max_repeats": {}, "num_epochs": 1, "draws_per_epoch": 0}
    with pytest.raises(BadInput, match=r"weights.targets.view: .* 10,000 in view alone"):
        weigh(workspace, WeightsConfig(targets={"view": Target(toward="uniform")}), attributes=[], **plan)
    summary = weigh(workspace, WeightsConfig(targets={"sex": EQUAL}), attributes=["view"], **plan)
    assert summary["num_cells"] == 2
    margins = pq.read_table(workspace.weights.with_name("margins.parquet")).to_pylist()
    assert sum(row["attribute"] == "view" for row in margins) == 10_000
    assert sum(row["after"] for row in margins if row["attribute"] == "view") == pytest.approx(1)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ({"toward": {"female": float("nan"), "male": 1.0}}, "no number"),
        ({"toward": {"female": -0.5, "male": 1.5}}, "negative"),
        ({"toward": "uniform", "strength": 2}, "strength"),
        ({"toward": "reference"}, "reference"),
    ],
)
def test_targets_that_make_no_sense_are_refused(target, message):
    with pytest.raises(ValueError, match=message):
        Target(**target)


def test_unknown_levels_attributes_and_bounds_are_refused():
    with pytest.raises(BadInput, match="expected a level of female, male"):
        WeightsConfig(targets={"sex": Target(toward={"woman": 1.0})})
    with pytest.raises(BadInput, match="expected an attribute"):
        WeightsConfig(targets={"colour": Target(toward="uniform")})
    with pytest.raises(BadInput, match=r"targets.sex: expected shares that sum to 1, got 1\.1"):
        WeightsConfig(targets={"sex": Target(toward={"female": 0.5, "male": 0.6})})
    with pytest.raises(BadInput, match=r"targets.label: expected rates of 0 to 1, got 1\.5 for edema"):
        WeightsConfig(targets={"label": Target(toward={"edema": 1.5})})
    with pytest.raises(ValueError, match="lower"):
        WeightsConfig(lower=3, upper=2)


def test_no_training_rows_is_bad_input(tmp_path, weighed):
    workspace = Workspace(tmp_path)
    row = Sample(sample_id="0", dataset="a", native_id="0", split="test", source_file="x")
    write_deltalake(workspace.samples, pa.Table.from_batches(to_table([row]).to_batches()))
    with pytest.raises(BadInput, match="got none to weigh"):
        weighed(workspace, {})
