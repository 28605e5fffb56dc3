"""Is the gap between groups more than chance, and is it large enough to matter? (METHODS section 4)

With no disparity at all, 20 groups of 100 show a mean max-min gap of .134: a gap is never reported
without its null, its groups' uncertainty and a verdict that may be "cannot conclude".
"""

import itertools
import math
from dataclasses import replace
from enum import StrEnum
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from evaluation.bootstrap import (
    Group,
    bootstrap,
    generator_of,
    in_family,
    observe,
    quantile_at_least_normal,
)
from evaluation.estimators import Estimate, estimator_of
from evaluation.rows import NO_GROUP, Judged, judge, ordered_levels
from evaluation.slices import strata_of
from evaluation.suppression import Guard
from evaluation.worst_group import find_worst
from ingest.errors import BadInput

Floats = NDArray[np.float64]
DELTA = 0.05
_PRIOR = 1.0
"""Pseudo-persons per side and group for differences of proportions (Agresti and Caffo 2000)."""
_POWER = (1.96 + 0.84) ** 2
"""Two-sided 5 % error and 80 % power."""

GAPS_SCHEMA = pa.schema([
    ("metric", pa.string()), ("attribute", pa.string()),
    ("gap", pa.float64()), ("null_95", pa.float64()), ("p_value", pa.float64()),
    ("worst_level", pa.string()), ("worst_shrunk", pa.float64()),
    ("worst_raw", pa.float64()), ("worst_probability", pa.float64()),
    ("tau2", pa.float64()), ("tau2_low", pa.float64()), ("tau2_high", pa.float64()),
    ("rest_level", pa.string()), ("rest_gap", pa.float64()),
    ("rest_null_95", pa.float64()), ("rest_p_value", pa.float64()),
    ("verdict", pa.string()), ("num_needed", pa.int64()),
])  # fmt: skip


class Verdict(StrEnum):
    """What the simultaneous interval of the largest difference allows to say about delta."""

    WITHIN = "within"
    DISPARITY = "disparity"
    CANNOT_CONCLUDE = "cannot_conclude"


def gaps(
    predictions: pa.Table,
    samples: pa.Table,
    metric: str,
    attributes: list[str],
    *,
    num_resamples: int = 2000,
    seed: int,
    delta: float = DELTA,
    guard: Guard | None = None,
) -> pa.Table:
    """The largest difference between groups per attribute, over all datasets, as GAPS_SCHEMA.

    gap: max - min over groups of at least 30 persons; null_95, p_value: from permuting the attribute
    between persons; worst_shrunk, worst_raw, worst_probability: the worst group's score after and before
    empirical-Bayes shrinkage, and how probably it is the worst; tau2: variance of the true scores between
    groups; rest_level, rest_gap: the group farthest from all others together, and how far, with its null as for
    gap; num_needed: persons per group to see a difference of ``delta``. Missing and unknown are no groups. With
    fewer than two groups the verdict is cannot_conclude and the numbers are null. Where predictions hold several tasks
    of the metric, each has its rows and its name stands behind the metric: ``accuracy (vqa)``. Groups that ``guard``
    hides are not compared.
    """
    if not 0 < delta < 1:
        raise BadInput(f"delta: expected between 0 and 1, got {delta}")
    tasks = judge(predictions, samples, metric, attributes)
    rows = [
        {"metric": metric if len(tasks) == 1 else f"{metric} ({judged.task})", "attribute": attribute,
         **_gap(judged, attribute, hidden, num_resamples=num_resamples, seed=seed, delta=delta)}
        for judged in tasks for attribute in attributes
        for hidden in [{level for level, _ in guard.hidden(attribute, judged.sample_N)} if guard else set()]
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, schema=GAPS_SCHEMA)


def _gap(
    judged: Judged, attribute: str, hidden: set[str], *, num_resamples: int, seed: int, delta: float
) -> dict[str, Any]:
    level_N = judged.levels[attribute]
    groups = _eligible(judged, level_N, hidden)
    if len(groups) < 2:
        return {"verdict": Verdict.CANNOT_CONCLUDE}
    keep_N = np.isin(level_N.astype(str), [group.name for group in groups])
    observed = [observe(group) for group in groups]
    theta_G = np.array([one.theta_R[0] for one in observed])
    se_G = np.array([one.se_R[0] for one in observed])
    gap = float(theta_G.max() - theta_G.min())
    names = (judged.metric.name, judged.task, attribute)
    apart_G = _apart_from_rest(judged, keep_N, level_N, groups, theta_G)
    null_R, rest_null_R = _permuted_gaps(
        judged, keep_N, level_N, num_resamples=num_resamples, generator=generator_of(seed, "null", *names)
    )
    resampled = _resampled(groups, num_resamples=num_resamples, generator=generator_of(seed, "gap", *names))
    low, high = _difference_bounds(observed, resampled)
    worst = find_worst(
        theta_G, se_G, np.array([one.theta_R for one in resampled]),
        higher_is_better=judged.metric.higher_is_better, generator=generator_of(seed, "worst", *names),
    )  # fmt: skip
    farthest = int(np.argmax(apart_G))
    return {
        "gap": gap, **_against_null("", gap, null_R),
        "worst_level": groups[worst.place].name, "worst_shrunk": worst.shrunk,
        "worst_raw": float(theta_G[worst.place]), "worst_probability": worst.probability,
        "tau2": worst.tau2, "tau2_low": worst.tau2_low, "tau2_high": worst.tau2_high,
        "rest_level": groups[farthest].name, "rest_gap": float(apart_G[farthest]),
        **_against_null("rest_", float(apart_G[farthest]), rest_null_R),
        "verdict": _verdict(low, high, delta),
        "num_needed": _num_needed(se_G, groups, delta),
    }  # fmt: skip


def _against_null(prefix: str, seen: float, null_R: Floats) -> dict[str, float | None]:
    return {
        f"{prefix}null_95": float(np.quantile(null_R, 0.95)) if len(null_R) else None,
        f"{prefix}p_value": float((1 + (null_R >= seen - 1e-12).sum()) / (len(null_R) + 1)),
    }


def _apart_from_rest(
    judged: Judged, keep_N: NDArray[np.bool_], level_N: NDArray[np.object_], groups: list[Group], theta_G: Floats
) -> Floats:
    """[G] |score of a group - score of all others together|; -1 where the others have none."""
    rest_G = []
    for group in groups:
        rest_N = keep_N & (level_N != group.name)
        persons, unit = np.unique(judged.person_N[rest_N].astype(str), return_inverse=True)
        estimator = estimator_of(judged, rest_N, unit, len(persons), prior=_PRIOR)
        rest_G.append(estimator.estimate(np.ones((1, len(persons)))).theta_R[0])
    return np.nan_to_num(np.abs(theta_G - np.array(rest_G)), nan=-1.0)


def _eligible(judged: Judged, level_N: NDArray[np.object_], hidden: set[str]) -> list[Group]:
    """Groups of people large enough to be compared, none of them hidden, with a score and a standard error."""
    _, person_N = np.unique(judged.person_N.astype(str), return_inverse=True)
    groups = []
    for name in ordered_levels(set(level_N) - NO_GROUP - hidden):
        inside_N = level_N == name
        present, unit = np.unique(person_N[inside_N], return_inverse=True)
        estimator = estimator_of(judged, inside_N, unit, len(present), prior=_PRIOR)
        group = Group(name=name, estimator=estimator, person_P=present)
        if in_family(group) and np.isfinite(observe(group).se_R[0]):
            groups.append(group)
    return groups


def _permuted_gaps(
    judged: Judged,
    keep_N: NDArray[np.bool_],
    level_N: NDArray[np.object_],
    *,
    num_resamples: int,
    generator: np.random.Generator,
) -> tuple[Floats, Floats]:
    """Max - min, and the largest distance of a level from the rest, when levels are dealt anew among persons.

    What is dealt is a (person, level) block: for an attribute of the person that is the person; where an
    attribute varies within persons, their blocks are dealt singly, which widens the null (conservative).
    """
    level_K = level_N[keep_N].astype(str)
    blocks_K = np.char.add(np.char.add(judged.person_N[keep_N].astype(str), "\x1f"), level_K)
    _, first, unit_K = np.unique(blocks_K, return_index=True, return_inverse=True)
    _, code_U = np.unique(level_K[first], return_inverse=True)
    estimator = estimator_of(judged, keep_N, unit_K, len(first), prior=_PRIOR)
    num_levels = int(code_U.max()) + 1
    step = max(1, 4_000_000 // len(first))
    gaps_found, apart_found = [], []
    for at in range(0, num_resamples, step):
        dealt_RU = generator.permuted(np.tile(code_U, (min(step, num_resamples - at), 1)), axis=1)
        masks = [np.asarray(dealt_RU == code, dtype=float) for code in range(num_levels)]
        theta_GR = np.array([estimator.estimate(mask).theta_R for mask in masks])
        # Of two levels, one is the other's rest.
        rest_GR = theta_GR[::-1] if num_levels == 2 else [estimator.estimate(1 - mask).theta_R for mask in masks]
        gaps_found.append(theta_GR.max(axis=0) - theta_GR.min(axis=0))
        apart_found.append(np.abs(theta_GR - rest_GR).max(axis=0))
    # A deal that leaves a group without one of the classes has no score there.
    gap_R, apart_R = (null_R[np.isfinite(null_R)] for null_R in map(np.concatenate, (gaps_found, apart_found)))
    return gap_R, apart_R


def _resampled(groups: list[Group], *, num_resamples: int, generator: np.random.Generator) -> list[Estimate]:
    """Every group's estimate in resamples of the persons of all of them."""
    everybody = np.concatenate([group.person_P for group in groups])
    persons, place = np.unique(everybody, return_inverse=True)
    placed = [replace(group, person_P=np.searchsorted(persons, group.person_P)) for group in groups]
    names = np.concatenate([np.full(len(group.person_P), group.name, dtype=object) for group in groups])
    strata = strata_of(place, names, len(persons))
    return bootstrap(placed, strata, num_resamples=num_resamples, generator=generator)


def _difference_bounds(observed: list[Estimate], resampled: list[Estimate]) -> tuple[float, float]:
    """Simultaneous 95 % limits on the largest absolute difference between two groups.

    All pairs' differences get one studentised max-t quantile; the largest lower and the largest upper
    limit over pairs then bound the largest difference.
    """
    pairs = list(itertools.combinations(range(len(observed)), 2))
    deviation_R = np.max([_pair_deviation(observed, resampled, a, b) for a, b in pairs], axis=0)
    critical = quantile_at_least_normal(deviation_R)
    lows, highs = zip(*(_pair_bounds(observed, a, b, critical) for a, b in pairs), strict=True)
    return max(lows), max(highs)


def _pair_deviation(observed: list[Estimate], resampled: list[Estimate], a: int, b: int) -> Floats:
    expected = observed[a].theta_R - observed[b].theta_R
    seen_R = resampled[a].theta_R - resampled[b].theta_R
    with np.errstate(divide="ignore", invalid="ignore"):
        deviation = np.abs(seen_R - expected) / np.hypot(resampled[a].se_R, resampled[b].se_R)
    return np.where(np.isfinite(deviation), deviation, np.inf)


def _pair_bounds(observed: list[Estimate], a: int, b: int, critical: float) -> tuple[float, float]:
    difference = abs(float(observed[a].theta_R[0] - observed[b].theta_R[0]))
    reach = critical * math.hypot(float(observed[a].se_R[0]), float(observed[b].se_R[0]))
    return difference - reach, difference + reach if math.isfinite(reach) else math.inf


def _verdict(low: float, high: float, delta: float) -> Verdict:
    if high < delta:
        return Verdict.WITHIN
    return Verdict.DISPARITY if low > delta else Verdict.CANNOT_CONCLUDE


def _num_needed(se_G: Floats, groups: list[Group], delta: float) -> int:
    """Persons per group: 2 (1.96 + .84)^2 v / delta^2, v the largest variance of one person's score."""
    variance = max(float(se) ** 2 * group.estimator.num_units for se, group in zip(se_G, groups, strict=True))
    return math.ceil(2 * _POWER * variance / delta**2)
