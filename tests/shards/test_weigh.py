"""A weight per training row: what was asked, what it came to, what is told of it."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake

from ingest.errors import GateRefused
from ingest.percent import percent
from ingest.sample import Sample, to_table
from ingest.workspace import Workspace
from shards.baselines import BASELINES
from shards.targets import Target
from shards.weigh import WeightsConfig, weigh

EQUAL = Target(toward={"female": 0.5, "male": 0.5})


def test_margins_are_met_among_the_rows_whose_level_is_known(skewed, weighed):
    solution, weights = weighed(skewed, {"sex": EQUAL, "modality": Target(toward="uniform")})
    assert weights.mean() == pytest.approx(1)
    assert weights[:60].sum() == pytest.approx(50, abs=1e-3)
    assert weights[60:90].sum() == pytest.approx(weights[90:98].sum(), abs=1e-3)
    assert solution["feasible"] and solution["duality_gap"] < 1e-8
    assert max(abs(line["residual"]) for line in solution["margins"]) < 1e-6
    assert {"attribute", "level", "before", "target", "after", "residual", "reachable_low", "reachable_high",
            "multiplier"} == set(solution["margins"][0])  # fmt: skip


def test_the_effective_share_floor_weakens_rules_but_not_given_shares(skewed, weighed):
    strong, _ = weighed(skewed, {"sex": Target(toward="uniform")}, min_effective_share=0.0)
    held, _ = weighed(skewed, {"sex": Target(toward="uniform")}, min_effective_share=0.9)
    assert strong["effective_share"] < 0.9 <= held["effective_share"] < 0.9001
    assert held["strength_factor"] < 1
    with pytest.raises(GateRefused, match=r"sex.*effective share"):
        weighed(skewed, {"sex": EQUAL}, min_effective_share=0.99)


def test_a_repetition_cap_bounds_the_weights_of_its_dataset(skewed, weighed):
    solution, weights = weighed(skewed, {"sex": Target(toward="uniform")}, caps={"b": 2}, epochs=1)
    assert solution["max_repeats"] == {"b": 2}
    assert weights[60:].max() <= 2 + 1e-9
    with pytest.raises(GateRefused, match="max_repeats of b"):
        weighed(skewed, {}, caps={"b": 1}, epochs=50)


def test_a_rule_out_of_reach_is_clipped_and_listed(skewed, weighed):
    solution, _ = weighed(skewed, {"sex": Target(toward="uniform")}, upper=1.2, lower=0.9)
    lines = {line["level"]: line for line in solution["margins"]}
    assert lines["female"]["target"] == pytest.approx(lines["female"]["reachable_high"], rel=1e-3)


def test_without_targets_every_weight_is_one(skewed, weighed):
    solution, weights = weighed(skewed, {})
    assert weights == pytest.approx(np.ones(100), abs=1e-6)
    assert solution["effective_share"] == pytest.approx(1)


def test_a_named_level_without_rows_is_listed(skewed, weighed):
    solution, _ = weighed(skewed, {"sex": Target(toward={"female": 0.4, "male": 0.4, "other": 0.2})})
    assert solution["levels_without_rows"] == {"sex": ["other"]}


def test_power_and_reference_move_part_of_the_way(skewed, weighed):
    power, _ = weighed(skewed, {"sex": Target(toward="power", alpha=0.5)})
    female = next(line for line in power["margins"] if line["level"] == "female")
    share = 8**0.5 / (8**0.5 + 30**0.5)
    assert female["after"] / sum(line["after"] for line in power["margins"]) == pytest.approx(share, abs=1e-4)
    reference = Target(toward="reference", reference={"female": 0.5, "male": 0.5}, strength=0.5)
    solution, _ = weighed(skewed, {"sex": reference})
    lines = {line["level"]: line["after"] for line in solution["margins"]}
    assert lines["female"] / (lines["female"] + lines["male"]) == pytest.approx((8 / 38 + 0.5) / 2, abs=1e-4)


def test_every_baseline_is_judged_by_the_same_margins(skewed, weighed):
    solution, _ = weighed(skewed, {"sex": EQUAL})
    lines = {line["method"]: line for line in solution["comparison"]}
    assert set(lines) == {"calibration", *BASELINES}
    assert lines["calibration"]["largest_residual"] < 1e-6
    assert lines["none"]["effective_share"] == pytest.approx(1)
    # 38 rows say their sex: 8 women of them make a gap of 11 rows in 100 to the half.
    assert lines["none"]["largest_residual"] == pytest.approx(0.11)


def test_a_baseline_can_be_chosen_and_still_reports_its_margins(skewed, weighed):
    solution, weights = weighed(skewed, {"sex": EQUAL}, method="inverse", min_effective_share=0.0)
    # Four groups (missing, male, female, unknown), the same mass each.
    assert [weights[rows].sum() for rows in (slice(60), slice(60, 90), slice(90, 98))] == pytest.approx([25, 25, 25])
    assert solution["method"] == "inverse" and solution["duality_gap"] is None
    assert all(line["multiplier"] is None for line in solution["margins"])
    with pytest.raises(GateRefused, match=r"inverse.*effective share"):
        weighed(skewed, {"sex": EQUAL}, method="inverse", min_effective_share=0.5)
    with pytest.raises(GateRefused, match=r"inverse.*max_repeats of b"):
        weighed(skewed, {"sex": EQUAL}, method="inverse", min_effective_share=0.0, caps={"b": 2})


def test_a_rule_gives_way_to_a_given_share(skewed, weighed):
    targets = {
        "modality": Target(toward="uniform"),
        "dataset": Target(toward={"a": 0.6, "b": 0.4}),
    }
    solution, weights = weighed(skewed, targets)
    assert weights[:60].sum() == pytest.approx(60, abs=0.02)
    assert solution["strength_factor"] < 0.01 and max(abs(line["residual"]) for line in solution["margins"]) < 2e-4


def test_a_rule_lists_declared_levels_without_rows(skewed, weighed):
    solution, _ = weighed(skewed, {"modality": Target(toward="uniform")})
    assert "ultrasound" in solution["levels_without_rows"]["modality"]


def test_clipped_targets_are_listed_with_what_was_wanted(skewed, weighed):
    solution, _ = weighed(skewed, {"sex": Target(toward="uniform")}, upper=1.2, lower=0.9)
    clipped = {line["level"]: line for line in solution["clipped"]}
    assert clipped["female"]["wanted"] == pytest.approx(0.5)
    assert clipped["female"]["target"] == pytest.approx(clipped["female"]["reachable_high"])


def test_the_draw_error_is_of_the_draws_of_an_epoch(skewed):
    plan = {"attributes": [], "max_repeats": {}, "num_epochs": 1}
    errors = []
    for draws in (10, 1000):
        weigh(skewed, WeightsConfig(targets={"sex": EQUAL}), **plan, draws_per_epoch=draws)
        errors.append(json.loads(skewed.solution.read_text())["largest_draw_error"])
    # Whole draws miss a margin by less than one draw at either end of it.
    assert 0.002 < errors[0] < 2 / 10 and errors[1] < 2 / 1000


def test_whole_draws_and_margins_of_other_attributes_are_told(skewed, weighed):
    solution, weights = weighed(skewed, {"sex": EQUAL})
    assert 0 < solution["largest_draw_error"] < 0.02  # 100 draws: an error of at most two rows
    margins = {
        (row["attribute"], row["level"]): row
        for row in pq.read_table(skewed.weights.with_name("margins.parquet")).to_pylist()
    }
    assert margins["modality", "dermoscopy"]["before"] == pytest.approx(0.4)
    assert margins["modality", "dermoscopy"]["after"] == pytest.approx(weights[60:].sum() / 100)


def test_the_same_rows_give_the_same_bytes(skewed, weighed):
    files = []
    for _ in range(2):
        weighed(skewed, {"sex": EQUAL})
        files.append([skewed.weights.read_bytes(), skewed.weights.with_name("margins.parquet").read_bytes()])
    assert files[0] == files[1]


def test_a_corpus_whose_pictures_have_not_come_is_weighed_as_if_they_had(tmp_path, weighed):
    def write(*statuses):
        rows = [
            Sample(sample_id=f"{number:032x}", dataset="a", native_id=str(number), split="train", image_status=status,
                   task="classification", sex=sex, source_file="x")
            for number, (sex, status) in enumerate(zip(["female"] * 25 + ["male"] * 75, statuses, strict=True))
        ]  # fmt: skip
        workspace = Workspace(tmp_path)
        write_deltalake(workspace.samples, to_table(rows), partition_by=["dataset"], mode="overwrite")
        return workspace

    planned, weights = weighed(write(*["absent"] * 100), {"sex": EQUAL})
    assert not planned["has_pictures"] and planned["num_rows"] == 100
    assert weights[:25].sum() == pytest.approx(50, abs=1e-3)
    plan = {"attributes": ["sex"], "max_repeats": {}, "num_epochs": 1, "draws_per_epoch": 0}
    weigh(write(*["present"] * 50, *["absent"] * 50), WeightsConfig(targets={"sex": EQUAL}), **plan)
    arrived = json.loads((tmp_path / "weights" / "solution.json").read_text())
    assert arrived["has_pictures"] and arrived["num_rows"] == 50


def test_one_patient_with_half_the_rows_is_weighed_like_anybody_and_told_of(tmp_path, weighed):
    rows = [
        Sample(sample_id=f"{n:032x}", dataset="a", native_id=str(n), split="train", task="classification",
               image_status="present", source_file="x", patient_id="p" if n < 50 else f"q{n}",
               sex="female" if n < 60 else "male")
        for n in range(100)
    ]  # fmt: skip
    workspace = Workspace(tmp_path)
    write_deltalake(workspace.samples, to_table(rows), partition_by=["dataset"])
    solution, weights = weighed(workspace, {"sex": EQUAL})
    assert weights[:60] == pytest.approx(np.full(60, 50 / 60), abs=1e-3) and len(weights) == 100
    (note,) = solution["notes"]
    drawn = percent(50 * 50 / 60 / 100)
    assert note == f"a: one person holds 50.0\N{NO-BREAK SPACE}% of the training rows and {drawn} of the draws"
    plan = {"attributes": [], "max_repeats": {}, "num_epochs": 1, "draws_per_epoch": 0, "identifiable": {"a"}}
    summary = weigh(workspace, WeightsConfig(targets={"sex": EQUAL}), **plan)
    assert summary["notes"] == [
        "a: one person holds half or more of the training rows and a quarter or more of the draws"
    ]


def test_targets_that_move_nothing_are_told_of(skewed, weighed):
    solution, _ = weighed(skewed, {"race": Target(toward="uniform"), "sex": Target(toward="uniform")})
    assert solution["notes"] == ["weights.targets.race: no training row has a level it speaks of; it moves nothing"]
    solution, _ = weighed(skewed, {"modality": Target(toward={"dermoscopy": 0.5, "ultrasound": 0.5})})
    assert solution["notes"] == [
        "weights.targets.modality: no training row has ultrasound; the others share what they would get"
    ]
