"""Labels stand together: each is weighed as present or absent, where its data set tells."""

import json

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ingest.errors import BadInput, GateRefused
from ingest.sample import Sample, to_table
from ingest.workspace import Workspace
from shards.audit import _has
from shards.cells import LABEL_SEPARATOR, Cells
from shards.margins import Limits, meet
from shards.presence import label_set_sql, presence_goals, with_presences
from shards.targets import Target
from shards.weigh import WeightsConfig, weigh
from shards.weights import solve


@pytest.fixture
def chests(tmp_path):
    """100 chests: 20 with edema, 10 with effusion, half of those with both, 5 not labelled; and 50 skins."""
    labels = [["edema"]] * 15 + [["edema", "effusion"]] * 5 + [["effusion"]] * 5 + [["clear"]] * 70 + [[]] * 5
    rows = [
        Sample(
            sample_id=f"{number:032x}", dataset="chest" if number < 100 else "skin", native_id=str(number),
            split="train", task="classification", image_status="present", source_file="x", labels=each,
        )
        for number, each in enumerate([*labels, *[["nevus"]] * 40, *[["melanoma"]] * 10])
    ]  # fmt: skip
    workspace = Workspace(tmp_path)
    write_deltalake(workspace.samples, to_table(rows), partition_by=["dataset"])
    return workspace


def weighed(workspace, target, **changes):
    """The certificate, and the weights in the order of the rows."""
    plan = {"attributes": ["label"], "max_repeats": {}, "num_epochs": 1, "draws_per_epoch": 0}
    weigh(workspace, WeightsConfig(targets={"label": target}, **changes), **plan)
    weights = dict(zip(*(c.to_pylist() for c in pq.read_table(workspace.weights).columns), strict=True))
    return json.loads(workspace.solution.read_text()), np.array([weights[name] for name in sorted(weights)])


def test_presence_rates_are_met_among_the_rows_that_tell(chests):
    solution, weights = weighed(chests, Target(toward={"edema": 0.4, "effusion": 0.3}))
    told = weights[:95].sum()  # neither the 5 chests without a label nor the skins
    assert weights[:20].sum() / told == pytest.approx(0.4, abs=1e-5)
    assert weights[15:25].sum() / told == pytest.approx(0.3, abs=1e-5)
    lines = {line["level"]: line for line in solution["margins"]}
    assert set(lines) == {"edema", "effusion"} and lines["edema"]["attribute"] == "label"
    assert lines["edema"]["before"] == pytest.approx(20 / 150)
    assert lines["edema"]["after"] == pytest.approx(weights[:20].sum() / 150)
    # A multiplier is the change of log-odds of a row for having the label.
    assert np.log(weights[16] / weights[22]) == pytest.approx(lines["edema"]["multiplier"], abs=1e-4)
    margins = {row["level"]: row for row in pq.read_table(chests.solution.with_name("margins.parquet")).to_pylist()}
    assert margins["edema"]["after"] == pytest.approx(lines["edema"]["after"])
    assert margins["nevus"]["num_rows"] == 40


def test_uniform_gives_the_labels_of_a_data_set_one_rate_and_keeps_how_many_a_row_has(chests):
    solution, weights = weighed(chests, Target(toward="uniform"), min_effective_share=0.0)
    rates = [weights[rows].sum() / weights[:95].sum() for rows in (slice(0, 20), slice(15, 25), slice(25, 95))]
    assert rates == pytest.approx([100 / 95 / 3] * 3, abs=1e-4)
    assert weights[100:140].sum() == pytest.approx(weights[140:].sum(), rel=1e-4)
    assert solution["feasible"] and solution["clipped"] == []
    assert {line["level"] for line in solution["margins"]} == {"clear", "edema", "effusion", "melanoma", "nevus"}


def test_a_rate_out_of_reach_is_refused_naming_the_label_and_a_rule_is_clipped(chests):
    bounds = {"lower": 0.9, "upper": 1.1}
    with pytest.raises(GateRefused, match=r"weights.targets.label: level effusion: expected a share between 0\.0"):
        weighed(chests, Target(toward={"effusion": 0.5}), **bounds)
    with pytest.raises(GateRefused, match=r"weights.targets.label: level fracture: expected training rows with this"):
        weighed(chests, Target(toward={"fracture": 0.1}))
    solution, _ = weighed(chests, Target(toward="uniform"), **bounds)
    clipped = {line["level"]: line for line in solution["clipped"]}
    assert clipped["effusion"]["target"] == pytest.approx(clipped["effusion"]["reachable_high"])
    assert clipped["effusion"]["wanted"] == pytest.approx(100 / 95 / 3)


def test_rates_that_contradict_each_other_are_refused_naming_a_label(chests):
    # Every row with a label of the skins has exactly one of two.
    with pytest.raises(GateRefused, match=r"weights.targets.label: level (nevus|melanoma): .* contradict"):
        weighed(chests, Target(toward={"nevus": 0.5, "melanoma": 0.8}))


def test_a_label_of_a_reference_without_rows_is_listed(chests):
    reference = Target(toward="reference", reference={"edema": 0.3, "fracture": 0.2})
    solution, _ = weighed(chests, reference)
    assert solution["levels_without_rows"] == {"label": ["fracture"]}


def test_too_many_labels_are_refused(tmp_path):
    rows = [
        Sample(sample_id=f"{n:05}", dataset="a", native_id=str(n), split="train", task="classification",
               image_status="present", labels=[f"label {n}"], source_file="x")
        for n in range(10_000)
    ]  # fmt: skip
    workspace = Workspace(tmp_path)
    write_deltalake(workspace.samples, to_table(rows), partition_by=["dataset"])
    with pytest.raises(BadInput, match=r"weights.targets.label: expected at most 200 labels, got 10,000; name the"):
        weighed(workspace, Target(toward="uniform"))
    solution, weights = weighed(workspace, Target(toward={"label 7": 0.001}))
    assert weights[7] == pytest.approx(10, rel=1e-3) and solution["num_cells"] == 2


def test_only_labels_spoken_of_split_cells_and_rows_without_any_stay_apart():
    rows = [["b", "a"], ["a", "other"], ["other"], None, [], ["unknown"]]
    connection = duckdb.connect()
    connection.execute("CREATE TABLE t (labels VARCHAR[])")
    connection.executemany("INSERT INTO t VALUES (?)", [[row] for row in rows])
    found = [text for (text,) in connection.sql(f"SELECT {label_set_sql('label', ['a', 'b'])} FROM t").fetchall()]
    assert found == [LABEL_SEPARATOR.join("ab"), "a", "", "__missing__", "__missing__", "unknown"]


def test_the_audit_of_draws_finds_a_label_among_several():
    levels = pa.chunked_array([[["a", "b"], ["b"]], [[], ["a"]]], pa.list_(pa.string()))
    assert _has(levels, "a").tolist() == [True, False, False, True]
    assert _has(pa.chunked_array([["a", "b"]]), "a").tolist() == [True, False]


@st.composite
def label_problems(draw):
    """Cells of two data sets with random label sets, and a wanted rate for each label that has rows."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    num_labels, num_cells = draw(st.integers(1, 4)), draw(st.integers(4, 10))
    holds = rng.random((num_labels, num_cells)) < 0.45
    sets = [LABEL_SEPARATOR.join(f"l{k}" for k in np.flatnonzero(column)) or "__missing__" for column in holds.T]
    words = sorted(set(sets))
    cells = Cells(
        rng.dirichlet(np.ones(num_cells) * 4), {"dataset": ["a", "b"], "label": words},
        {"dataset": rng.integers(0, 2, num_cells), "label": np.array([words.index(each) for each in sets])},
        np.full(num_cells, np.inf), num_rows=1000, has_pictures=True,
    )  # fmt: skip
    return with_presences(cells, "label"), draw(st.sampled_from([0.1, 0.4])), rng


@settings(max_examples=60)
@given(label_problems(), st.sampled_from([(0.05, 20.0), (0.5, 1.5)]), st.sampled_from([1e-1, 1e-3]))
def test_rates_are_solved_as_a_general_convex_solver_does(clarabel_value, problem, bounds, softness):
    cells, tau, rng = problem
    assume(cells.presences)
    wanted, rows = {}, []
    for key, (_, label) in cells.presences.items():
        absent, has, _ = cells.margin(key, cells.ones)
        wanted[label] = float((1 - tau) * has / (absent + has) + tau * rng.random())
    target = Target(toward="reference", reference=wanted)
    goals, _ = presence_goals("label", target, cells)
    limits = Limits(lower=bounds[0], upper=bounds[1], min_effective_share=0.0, softness=softness)
    met = meet(cells, dict.fromkeys(goals, target), goals, limits)
    for margin in met.margins:
        for place, share in enumerate(margin.target[:2]):
            code = cells.codes[margin.name]
            rows.append((code == place).astype(float) - share * (code < 2))
    value, status = clarabel_value(cells.shares, np.array(rows), np.zeros(len(rows)), *bounds, softness, "kl")
    if met.solution.softness == softness and status == "Solved":
        assert met.solution.primal == pytest.approx(value, abs=1e-6)


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["kl", "chi2"]), st.sampled_from([1e-1, 1e-3]))
def test_several_ones_per_cell_are_solved_as_a_general_convex_solver_does(clarabel_value, seed, objective, softness):
    rng = np.random.default_rng(seed)
    counts, design = rng.dirichlet(np.ones(8)), (rng.random((4, 8)) < 0.5).astype(float)
    targets = 0.7 * design @ counts + 0.3 * rng.random(4)
    solution = solve(counts, design, targets, lower=0.2, upper=4.0, softness=softness, objective=objective)
    value, status = clarabel_value(counts, design, targets, 0.2, 4.0, softness, objective)
    if solution.softness == softness and status == "Solved":
        assert solution.primal == pytest.approx(value, abs=1e-6)
