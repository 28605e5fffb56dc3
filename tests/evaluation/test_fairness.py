"""Gaps: chance is not called disparity, a planted one is, and a small study says that it cannot tell."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from evaluation.fairness import GAPS_SCHEMA, Verdict, gaps
from evaluation.worst_group import find_worst, shrink

Draw = Callable[..., tuple[pa.Table, pa.Table]]


def gap_of(tables: tuple[pa.Table, pa.Table], *, seed: int = 0) -> dict[str, float]:
    table = gaps(*tables, "accuracy", ["sex"], num_resamples=200, seed=seed)
    assert table.schema.equals(GAPS_SCHEMA)
    (row,) = table.to_pylist()
    return row


def test_chance_is_rarely_called_disparity(draw: Draw) -> None:
    rows = [gap_of(draw(dict.fromkeys("abcde", 0.8), num_persons=50, seed=seed), seed=seed) for seed in range(60)]
    assert sum(row["verdict"] == Verdict.DISPARITY for row in rows) <= 2
    assert sum(row["p_value"] <= 0.05 for row in rows) <= 8
    # Naive gap reporting would see a large difference every time.
    assert np.mean([row["gap"] for row in rows]) > 0.08


def test_a_planted_disparity_is_found_and_its_group_named(draw: Draw) -> None:
    row = gap_of(draw({"female": 0.55, "male": 0.92, "other": 0.9}, num_persons=150, seed=1))
    assert row["verdict"] == Verdict.DISPARITY
    assert row["worst_level"] == "female"
    assert row["p_value"] < 0.01 < row["null_95"] < row["gap"]
    assert 0.5 < row["worst_shrunk"] < 0.7


def test_many_persons_and_no_gap_is_within(draw: Draw) -> None:
    row = gap_of(draw({"female": 0.9, "male": 0.9}, num_persons=3000, seed=2))
    assert row["verdict"] == Verdict.WITHIN


def test_two_small_faultless_groups_prove_nothing(draw: Draw) -> None:
    row = gap_of(draw({"female": 1.0, "male": 1.0}, num_persons=40, seed=0))
    assert (row["gap"], row["verdict"]) == (0.0, Verdict.CANNOT_CONCLUDE)


def test_missing_and_small_groups_are_no_groups(draw: Draw) -> None:
    row = gap_of(draw({"female": 0.9, "unknown": 0.1}, num_persons=50, seed=0))
    assert row["gap"] is None
    assert row["verdict"] == Verdict.CANNOT_CONCLUDE


def test_shrinkage_pulls_to_the_mean_what_noise_explains() -> None:
    noisy = shrink(np.array([0.7, 0.8, 0.9]), np.array([0.2, 0.2, 0.2]))
    assert noisy == pytest.approx([0.8, 0.8, 0.8])
    exact = shrink(np.array([0.2, 0.9]), np.array([0.001, 0.001]))
    assert exact == pytest.approx([0.2, 0.9], abs=1e-4)


def test_where_nothing_tells_groups_apart_the_lowest_raw_score_is_named() -> None:
    generator = np.random.default_rng(0)
    score, noise = np.array([0.875, 0.825, 0.85]), np.full(3, 0.1)
    resampled = score[:, None] + 0.001 * generator.standard_normal((3, 200))
    low = find_worst(score, noise, resampled, higher_is_better=True, generator=generator)
    high = find_worst(score, noise, resampled, higher_is_better=False, generator=generator)
    assert (low.place, high.place) == (1, 0)
    assert low.shrunk == pytest.approx(0.85) and low.tau2 == 0
    assert low.probability == pytest.approx(1 / 3)


def test_the_worst_group_comes_with_its_probability_and_the_spread_of_all(draw: Draw) -> None:
    row = gap_of(draw({"female": 0.55, "male": 0.92, "other": 0.9}, num_persons=150, seed=1))
    assert row["worst_probability"] > 0.95
    # Planted: the variance of .55, .92 and .9 is .043.
    assert 0.02 < row["tau2_low"] < row["tau2"] < row["tau2_high"] < 0.08
    assert row["rest_level"] == "female" and row["rest_null_95"] < row["rest_gap"] and row["rest_p_value"] < 0.01
    assert row["rest_gap"] == pytest.approx(0.36, abs=0.08)


def test_of_two_groups_one_is_the_others_rest(draw: Draw) -> None:
    row = gap_of(draw({"female": 0.8, "male": 0.7}, num_persons=50, seed=3))
    assert [row["rest_gap"], row["rest_p_value"]] == pytest.approx([row["gap"], row["p_value"]])


def test_several_tasks_of_a_metric_are_told_apart(draw: Draw) -> None:
    predictions, samples = draw({"female": 0.8, "male": 0.8}, num_persons=40, seed=0)
    tasks = pa.array(["vqa" if n % 2 else "classification" for n in range(predictions.num_rows)])
    both = predictions.set_column(predictions.column_names.index("task"), "task", tasks)
    table = gaps(both, samples, "accuracy", ["sex"], num_resamples=50, seed=0)
    assert table["metric"].to_pylist() == ["accuracy (classification)", "accuracy (vqa)"]
