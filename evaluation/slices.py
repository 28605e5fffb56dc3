"""Scores group by group, each with its number of persons and its intervals."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from evaluation.bootstrap import BAND_PRIOR, Group, generator_of, intervals
from evaluation.estimators import estimator_of
from evaluation.metrics.classification import usable_classes
from evaluation.rows import EVERYTHING, Judged, judge, ordered_levels
from evaluation.suppression import Guard

SCORES_SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("metric", "task", "dataset", "attribute", "level")]
    + [("num_patients", pa.int64()), ("num_samples", pa.int64())]
    + [(name, pa.float64()) for name in ("estimate", "low", "high", "simultaneous_low", "simultaneous_high")]
)  # fmt: skip


def score(
    predictions: pa.Table,
    samples: pa.Table,
    metric: str,
    attributes: list[str],
    *,
    num_resamples: int = 2000,
    seed: int,
    guard: Guard | None = None,
) -> pa.Table:
    """One metric for everybody and for every level of every attribute, over all datasets and in each.

    Returns SCORES_SCHEMA; the first row of a task is ``__all__`` in every key. The levels of one
    attribute in one dataset are one family of simultaneous bands. A group of fewer than 30 persons
    (or 10 of a class) is shown without a band; null means the data cannot give the number.
    What ``guard`` hides has its keys alone, the numbers of persons and samples null like every figure: suppressed.
    The schema's metadata lists under ``skipped_classes`` what an AUC could not include.
    Raises BadInput on predictions of unknown samples and on unknown metrics or attributes.
    """
    rows: list[dict[str, Any]] = []
    skipped: dict[str, list[str]] = {}
    for judged in judge(predictions, samples, metric, attributes):
        hidden = {name: guard.hidden(name, judged.sample_N) if guard else set() for name in (EVERYTHING, *attributes)}
        for dataset, keep_N in _datasets(judged):
            for attribute, closed in hidden.items():
                levels = {level for level, place in closed if place == dataset}
                rows += _family(judged, keep_N, dataset, attribute, levels, num_resamples=num_resamples, seed=seed)
            skipped |= _skipped_classes(judged, keep_N, dataset)
    table = pa.Table.from_pylist(rows, schema=SCORES_SCHEMA)
    return table.replace_schema_metadata({"skipped_classes": json.dumps(skipped)})


def _datasets(judged: Judged) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    yield EVERYTHING, np.ones(len(judged.person_N), dtype=bool)
    for dataset in sorted(set(judged.dataset_N)):
        yield dataset, judged.dataset_N == dataset


def _family(
    judged: Judged,
    keep_N: NDArray[np.bool_],
    dataset: str,
    attribute: str,
    hidden: set[str],
    *,
    num_resamples: int,
    seed: int,
) -> list[dict[str, Any]]:
    """The rows of one attribute in one dataset; ``hidden`` levels are neither scored nor part of the family."""
    everybody = np.full(len(keep_N), EVERYTHING, dtype=object)
    level_N = everybody if attribute == EVERYTHING else judged.levels[attribute]
    persons, person_N = np.unique(judged.person_N[keep_N].astype(str), return_inverse=True)
    kept_levels, sample_K = level_N[keep_N], judged.sample_N[keep_N]
    names = ordered_levels(set(kept_levels) - hidden)
    groups = [_group(judged, keep_N, person_N, kept_levels == name, name) for name in names]
    keys: dict[str, Any] = {
        "metric": judged.metric.name,
        "task": judged.task,
        "dataset": dataset,
        "attribute": attribute,
    }
    rows = {name: keys | {"level": name} for name in hidden}
    if groups:
        found = intervals(
            groups,
            strata_of(person_N, kept_levels, len(persons)),
            num_resamples=num_resamples,
            generator=generator_of(seed, judged.metric.name, judged.task, dataset, attribute),
        )
        for group, interval in zip(groups, found, strict=True):
            num_samples = len(set(sample_K[kept_levels == group.name]))
            counted = {"num_patients": group.estimator.num_units, "num_samples": num_samples}
            rows[group.name] = keys | {"level": group.name} | counted | vars(interval)
    return [rows[name] for name in ordered_levels(set(rows))]


def _group(
    judged: Judged,
    keep_N: NDArray[np.bool_],
    person_K: NDArray[np.int64],
    inside_K: NDArray[np.bool_],
    name: str,
) -> Group:
    """The rows of one level; ``person_K`` and ``inside_K`` run over the kept rows."""
    chosen_N = keep_N.copy()
    chosen_N[keep_N] = inside_K
    present, unit = np.unique(person_K[inside_K], return_inverse=True)
    estimator = estimator_of(judged, chosen_N, unit, len(present), prior=BAND_PRIOR)
    return Group(name=name, estimator=estimator, person_P=present)


def strata_of(person_K: NDArray[np.int64], level_K: NDArray[np.object_], num_persons: int) -> NDArray[np.int64]:
    """Persons by level where each has exactly one (resampling keeps group sizes), else one stratum."""
    _, code_K = np.unique(level_K.astype(str), return_inverse=True)
    first_P = np.zeros(num_persons, dtype=np.int64)
    first_P[person_K] = code_K
    constant = bool((first_P[person_K] == code_K).all())
    return first_P if constant else np.zeros(num_persons, dtype=np.int64)


def _skipped_classes(judged: Judged, keep_N: NDArray[np.bool_], dataset: str) -> dict[str, list[str]]:
    if judged.class_rows is None:
        return {}
    rows = judged.class_rows.take(keep_N)
    usable = set(usable_classes(rows, both_sides=judged.metric.both_sides))
    missing = [name for place, name in enumerate(rows.classes) if place not in usable]
    return {dataset: missing} if missing else {}
