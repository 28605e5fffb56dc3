import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake

from evaluation.certificate_section import comparison_cells
from ingest.errors import BadInput, GateRefused
from ingest.percent import percent
from ingest.sample import Sample, to_table
from ingest.workspace import Workspace
from shards.baselines import BASELINES
from shards.targets import Target
from shards.weigh import WeightsConfig, weigh


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


def weighed(workspace, targets, *, caps=None, epochs=1, **changes):
    config = WeightsConfig(targets=targets, **changes)
    weigh(workspace, config, attributes=["modality"], max_repeats=caps or {}, num_epochs=epochs, draws_per_epoch=0)
    lines = json.loads(workspace.solution.read_text())
    weights = dict(zip(*(c.to_pylist() for c in pq.read_table(workspace.weights).columns), strict=True))
    return lines, np.array([weights[f"{number:032x}"] for number in range(100)])


EQUAL = Target(toward={"female": 0.5, "male": 0.5})


def test_margins_are_met_among_the_rows_whose_level_is_known(skewed):
    solution, weights = weighed(skewed, {"sex": EQUAL, "modality": Target(toward="uniform")})
    assert weights.mean() == pytest.approx(1)
    assert weights[:60].sum() == pytest.approx(50, abs=1e-3)
    assert weights[60:90].sum() == pytest.approx(weights[90:98].sum(), abs=1e-3)
    assert solution["feasible"] and solution["duality_gap"] < 1e-8
    assert max(abs(line["residual"]) for line in solution["margins"]) < 1e-6
    assert {"attribute", "level", "before", "target", "after", "residual", "reachable_low", "reachable_high",
            "multiplier"} == set(solution["margins"][0])  # fmt: skip


def test_the_effective_share_floor_weakens_rules_but_not_given_shares(skewed):
    strong, _ = weighed(skewed, {"sex": Target(toward="uniform")}, min_effective_share=0.0)
    held, _ = weighed(skewed, {"sex": Target(toward="uniform")}, min_effective_share=0.9)
    assert strong["effective_share"] < 0.9 <= held["effective_share"] < 0.9001
    assert held["strength_factor"] < 1
    with pytest.raises(GateRefused, match=r"sex.*effective share"):
        weighed(skewed, {"sex": EQUAL}, min_effective_share=0.99)


def test_a_repetition_cap_bounds_the_weights_of_its_dataset(skewed):
    solution, weights = weighed(skewed, {"sex": Target(toward="uniform")}, caps={"b": 2}, epochs=1)
    assert solution["max_repeats"] == {"b": 2}
    assert weights[60:].max() <= 2 + 1e-9
    with pytest.raises(GateRefused, match="max_repeats of b"):
        weighed(skewed, {}, caps={"b": 1}, epochs=50)


def test_a_given_share_out_of_reach_is_refused_with_its_interval(skewed):
    with pytest.raises(GateRefused, match=r"weights.targets.sex: level .*expected a share between"):
        weighed(skewed, {"sex": EQUAL}, upper=1.2, lower=0.9)


def test_a_rule_out_of_reach_is_clipped_and_listed(skewed):
    solution, _ = weighed(skewed, {"sex": Target(toward="uniform")}, upper=1.2, lower=0.9)
    lines = {line["level"]: line for line in solution["margins"]}
    assert lines["female"]["target"] == pytest.approx(lines["female"]["reachable_high"], rel=1e-3)


def test_without_targets_every_weight_is_one(skewed):
    solution, weights = weighed(skewed, {})
    assert weights == pytest.approx(np.ones(100), abs=1e-6)
    assert solution["effective_share"] == pytest.approx(1)


def test_a_named_level_without_rows_is_listed(skewed):
    solution, _ = weighed(skewed, {"sex": Target(toward={"female": 0.4, "male": 0.4, "other": 0.2})})
    assert solution["levels_without_rows"] == {"sex": ["other"]}


def test_power_and_reference_move_part_of_the_way(skewed):
    power, _ = weighed(skewed, {"sex": Target(toward="power", alpha=0.5)})
    female = next(line for line in power["margins"] if line["level"] == "female")
    share = 8**0.5 / (8**0.5 + 30**0.5)
    assert female["after"] / sum(line["after"] for line in power["margins"]) == pytest.approx(share, abs=1e-4)
    reference = Target(toward="reference", reference={"female": 0.5, "male": 0.5}, strength=0.5)
    solution, _ = weighed(skewed, {"sex": reference})
    lines = {line["level"]: line["after"] for line in solution["margins"]}
    assert lines["female"] / (lines["female"] + lines["male"]) == pytest.approx((8 / 38 + 0.5) / 2, abs=1e-4)


def test_every_baseline_is_judged_by_the_same_margins(skewed):
    solution, _ = weighed(skewed, {"sex": EQUAL})
    lines = {line["method"]: line for line in solution["comparison"]}
    assert set(lines) == {"calibration", *BASELINES}
    assert lines["calibration"]["largest_residual"] < 1e-6
    assert lines["none"]["effective_share"] == pytest.approx(1)
    # 38 rows say their sex: 8 women of them make a gap of 11 rows in 100 to the half.
    assert lines["none"]["largest_residual"] == pytest.approx(0.11)


def test_a_baseline_can_be_chosen_and_still_reports_its_margins(skewed):
    solution, weights = weighed(skewed, {"sex": EQUAL}, method="inverse", min_effective_share=0.0)
    # Four groups (missing, male, female, unknown), the same mass each.
    assert [weights[rows].sum() for rows in (slice(60), slice(60, 90), slice(90, 98))] == pytest.approx([25, 25, 25])
    assert solution["method"] == "inverse" and solution["duality_gap"] is None
    assert all(line["multiplier"] is None for line in solution["margins"])
    with pytest.raises(GateRefused, match=r"inverse.*effective share"):
        weighed(skewed, {"sex": EQUAL}, method="inverse", min_effective_share=0.5)
    with pytest.raises(GateRefused, match=r"inverse.*max_repeats of b"):
        weighed(skewed, {"sex": EQUAL}, method="inverse", min_effective_share=0.0, caps={"b": 2})


def test_given_shares_that_contradict_each_other_are_refused_by_name(skewed):
    # Dermoscopy is data set b: they cannot have different shares.
    targets = {
        "modality": Target(toward={"computed_tomography": 0.5, "dermoscopy": 0.5}),
        "dataset": Target(toward={"a": 0.6, "b": 0.4}),
    }
    with pytest.raises(GateRefused, match=r"modality: level .*; weights.targets.dataset: level .* contradict"):
        weighed(skewed, targets)


def test_a_rule_gives_way_to_a_given_share(skewed):
    targets = {
        "modality": Target(toward="uniform"),
        "dataset": Target(toward={"a": 0.6, "b": 0.4}),
    }
    solution, weights = weighed(skewed, targets)
    assert weights[:60].sum() == pytest.approx(60, abs=0.02)
    assert solution["strength_factor"] < 0.01 and max(abs(line["residual"]) for line in solution["margins"]) < 2e-4


def test_a_refusal_writes_nothing_and_leaves_what_was_written(skewed):
    folder = skewed.solution.parent
    with pytest.raises(GateRefused):
        weighed(skewed, {"sex": EQUAL}, upper=1.2, lower=0.9)
    assert not folder.exists()
    weighed(skewed, {"sex": EQUAL})
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(GateRefused):
        weighed(skewed, {"race": Target(toward={"a": 1.0})})
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_given_shares_of_levels_without_any_row_are_refused_and_a_rule_is_listed(skewed):
    with pytest.raises(GateRefused, match=r"weights.targets.race: level a: expected training rows"):
        weighed(skewed, {"race": Target(toward={"a": 0.5, "b": 0.5})})
    solution, weights = weighed(skewed, {"race": Target(toward="uniform")})
    assert solution["levels_without_rows"] == {"race": ["every level"]}
    assert weights == pytest.approx(np.ones(100))


def test_a_rule_lists_declared_levels_without_rows(skewed):
    solution, _ = weighed(skewed, {"modality": Target(toward="uniform")})
    assert "ultrasound" in solution["levels_without_rows"]["modality"]


def test_clipped_targets_are_listed_with_what_was_wanted(skewed):
    solution, _ = weighed(skewed, {"sex": Target(toward="uniform")}, upper=1.2, lower=0.9)
    clipped = {line["level"]: line for line in solution["clipped"]}
    assert clipped["female"]["wanted"] == pytest.approx(0.5)
    assert clipped["female"]["target"] == pytest.approx(clipped["female"]["reachable_high"])


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


def test_whole_draws_and_margins_of_other_attributes_are_told(skewed):
    solution, weights = weighed(skewed, {"sex": EQUAL})
    assert 0 < solution["largest_draw_error"] < 0.02  # 100 draws: an error of at most two rows
    margins = {
        (row["attribute"], row["level"]): row
        for row in pq.read_table(skewed.weights.with_name("margins.parquet")).to_pylist()
    }
    assert margins["modality", "dermoscopy"]["before"] == pytest.approx(0.4)
    assert margins["modality", "dermoscopy"]["after"] == pytest.approx(weights[60:].sum() / 100)


def test_the_same_rows_give_the_same_bytes(skewed):
    files = []
    for _ in range(2):
        weighed(skewed, {"sex": EQUAL})
        files.append([skewed.weights.read_bytes(), skewed.weights.with_name("margins.parquet").read_bytes()])
    assert files[0] == files[1]


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


def test_no_training_rows_is_bad_input(tmp_path):
    workspace = Workspace(tmp_path)
    row = Sample(sample_id="0", dataset="a", native_id="0", split="test", source_file="x")
    write_deltalake(workspace.samples, pa.Table.from_batches(to_table([row]).to_batches()))
    with pytest.raises(BadInput, match="got none to weigh"):
        weighed(workspace, {})


def test_a_corpus_whose_pictures_have_not_come_is_weighed_as_if_they_had(tmp_path):
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


def test_one_patient_with_half_the_rows_is_weighed_like_anybody_and_told_of(tmp_path):
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


def test_targets_that_move_nothing_are_told_of(skewed):
    solution, _ = weighed(skewed, {"race": Target(toward="uniform"), "sex": Target(toward="uniform")})
    assert solution["notes"] == ["weights.targets.race: no training row has a level it speaks of; it moves nothing"]
    solution, _ = weighed(skewed, {"modality": Target(toward={"dermoscopy": 0.5, "ultrasound": 0.5})})
    assert solution["notes"] == [
        "weights.targets.modality: no training row has ultrasound; the others share what they would get"
    ]


GUARDED = {"attributes": ["sex"], "max_repeats": {}, "num_epochs": 1, "draws_per_epoch": 0, "identifiable": {"b"}}


def test_margins_of_few_training_persons_of_identifiable_data_are_hidden(skewed):
    weigh(skewed, WeightsConfig(), **GUARDED)
    margins = {row["level"]: row for row in pq.read_table(skewed.weights.with_name("margins.parquet")).to_pylist()}
    # 8 women and 2 unknown are small, and ten persons together still: the 30 men are hidden with them. The 60 rows
    # without sex are of data set a, which is not identifiable.
    assert {level for level, row in margins.items() if row["suppressed"]} == {"female", "unknown", "male"}
    assert margins["female"]["before"] is None and margins["__missing__"]["num_persons"] == 60


def test_the_certificate_tells_no_figure_of_a_hidden_margin(skewed):
    config = WeightsConfig(targets={"sex": Target(toward="uniform")}, upper=1.2, lower=0.9)
    weigh(skewed, config, **GUARDED)
    solution = json.loads(skewed.solution.read_text())
    for line in (*solution["margins"], *solution["clipped"]):
        assert {key for key, value in line.items() if value is not None} == {"attribute", "level"}
    assert {line["level"] for line in solution["clipped"]} == {"female", "male"}


def test_the_comparison_does_not_tell_the_size_of_a_small_group(skewed):
    config = WeightsConfig(targets={"sex": Target(toward="uniform")})
    weigh(skewed, config, **GUARDED)
    solution = json.loads(skewed.solution.read_text())
    inverse = next(line for line in solution["comparison"] if line["method"] == "inverse")
    # 100 rows in four groups: the two unknown would weigh 12.5, that is 100 / 4 / 2.
    assert inverse["max_weight"] is None and inverse["min_weight"] is not None
    assert inverse["largest_residual"] is None  # every margin is hidden
    assert comparison_cells(inverse)[1] == comparison_cells(inverse)[3] == "suppressed"
    weigh(skewed, config, **GUARDED | {"identifiable": {"a"}})
    public = next(line for line in json.loads(skewed.solution.read_text())["comparison"] if line["method"] == "inverse")
    assert public["max_weight"] == pytest.approx(12.5)


def test_an_error_tells_no_figure_of_a_hidden_margin(skewed):
    def refused(**options):
        with pytest.raises(GateRefused) as error:
            weigh(skewed, WeightsConfig(targets={"sex": EQUAL}, upper=1.2, lower=0.9), **GUARDED | options)
        return str(error.value)

    assert "between 0." in refused(identifiable=set())
    assert "an interval that is not told" in refused() and "between 0." not in refused()
