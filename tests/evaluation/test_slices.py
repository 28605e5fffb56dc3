"""Scores by group: the columns, the numbers, and intervals that hold what they promise."""

import json
import warnings
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from evaluation.slices import SCORES_SCHEMA, score
from ingest.errors import BadInput

Draw = Callable[..., tuple[pa.Table, pa.Table]]


def row_of(table: pa.Table, level: str, *, dataset: str = "__all__") -> dict[str, float]:
    (row,) = (row for row in table.to_pylist() if row["level"] == level and row["dataset"] == dataset)
    return row


def answered(rows: list[tuple[str, str, int]]) -> tuple[pa.Table, pa.Table]:
    """(person, level, right) as predictions and samples."""
    predictions = [
        {"sample_id": str(n), "patient_id": person, "task": "vqa", "truth": "yes", "predicted": "yes" if ok else "no"}
        for n, (person, _, ok) in enumerate(rows)
    ]
    samples = [{"sample_id": str(n), "dataset": "d", "sex": level or None} for n, (_, level, _) in enumerate(rows)]
    return pa.Table.from_pylist(predictions), pa.Table.from_pylist(samples)


def test_columns_are_the_fixed_ones_and_everybody_comes_first(draw: Draw) -> None:
    table = score(
        *draw({"male": 0.5}, num_persons=31, seed=0), "accuracy", ["sex", "age_band"], num_resamples=50, seed=0
    )
    assert table.schema.equals(SCORES_SCHEMA)
    assert ",".join(table.column_names) == (
        "metric,task,dataset,attribute,level,num_patients,num_samples,"
        "estimate,low,high,simultaneous_low,simultaneous_high"
    )
    assert [table[name][0].as_py() for name in ("dataset", "attribute", "level")] == ["__all__"] * 3
    assert set(table["dataset"].to_pylist()) == {"__all__", "skin"}
    assert row_of(table, "18-39")["num_patients"] == 31


def test_a_person_counts_once_in_the_number_and_by_rows_in_the_mean() -> None:
    rows = [("p1", "female", 1), ("p1", "female", 1), ("p1", "female", 1), ("p2", "female", 0), ("p3", "", 1)]
    table = score(*answered(rows), "accuracy", ["sex"], num_resamples=50, seed=0)
    female, missing = row_of(table, "female"), row_of(table, "__missing__")
    assert (female["num_patients"], female["num_samples"], female["estimate"]) == (2, 4, 0.75)
    assert (missing["estimate"], missing["low"]) == (1.0, None)
    assert female["simultaneous_low"] is None


def test_repeated_rows_of_a_person_do_not_narrow_the_interval() -> None:
    once = [(f"p{n}", "female", n % 4 != 0) for n in range(60)]
    widths = []
    for rows in (once, once * 5):
        row = row_of(score(*answered(rows), "accuracy", ["sex"], num_resamples=300, seed=0), "female")
        widths.append(row["high"] - row["low"])
    assert widths[1] == pytest.approx(widths[0], rel=0.1)


def test_a_faultless_group_keeps_an_honest_interval_and_nothing_warns() -> None:
    rows = [(f"p{n}", "female" if n < 40 else "male", 1 if n < 40 else n % 2) for n in range(80)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        row = row_of(score(*answered(rows), "accuracy", ["sex"], num_resamples=200, seed=0), "female")
    assert row["estimate"] == row["high"] == 1.0
    assert 0.8 < row["simultaneous_low"] <= row["low"] < 0.96


def test_bands_hold_jointly_and_intervals_singly(draw: Draw) -> None:
    truth = {f"level {k}": 0.8 for k in range(6)}
    joint, single = [], []
    for seed in range(60):
        table = score(*draw(truth, num_persons=60, seed=seed), "accuracy", ["sex"], num_resamples=150, seed=seed)
        rows = [row_of(table, level) for level in truth]
        joint.append(all(row["simultaneous_low"] <= 0.8 <= row["simultaneous_high"] for row in rows))
        single += [row["low"] <= 0.8 <= row["high"] for row in rows]
    assert np.mean(joint) >= 0.88
    assert 0.92 <= np.mean(single) <= 0.99


def test_the_same_seed_gives_the_same_bytes_whatever_else_is_asked(draw: Draw) -> None:
    tables = draw({"male": 0.7, "female": 0.8}, num_persons=40, seed=3)
    alone = score(*tables, "accuracy", ["sex"], num_resamples=80, seed=5)
    beside = score(*tables, "accuracy", ["age_band", "sex"], num_resamples=80, seed=5)
    assert row_of(alone, "male") == row_of(beside, "male")


def test_auc_lists_what_it_skips() -> None:
    rows = [
        {"sample_id": str(n), "patient_id": str(n), "task": "classification", "truth": "ab"[n % 2],
         "predicted": "a", "score": [1 - n % 2, float(n % 2), 0.0]}
        for n in range(40)
    ]  # fmt: skip
    predictions = pa.Table.from_pylist(rows).replace_schema_metadata({"classes": '["a", "b", "never"]'})
    samples = pa.table({"sample_id": [str(n) for n in range(40)], "dataset": ["d"] * 40})
    table = score(predictions, samples, "auc", [], num_resamples=50, seed=0)
    assert table["estimate"][0].as_py() == 1.0
    assert json.loads(table.schema.metadata[b"skipped_classes"])["__all__"] == ["never"]


def test_unknown_samples_metrics_and_attributes_are_named(draw: Draw) -> None:
    predictions, samples = draw({"male": 0.5}, num_persons=3, seed=0)
    with pytest.raises(BadInput, match="3 sample_id not in samples: male-0-0"):
        score(predictions, samples.slice(0, 0), "accuracy", [], num_resamples=10, seed=0)
    with pytest.raises(BadInput, match="got 'bleu'"):
        score(predictions, samples, "bleu", [], num_resamples=10, seed=0)
    with pytest.raises(BadInput, match="attribute 'race'"):
        score(predictions, samples, "accuracy", ["race"], num_resamples=10, seed=0)
