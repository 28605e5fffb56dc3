"""Resampling of persons, and the intervals it gives: pointwise and simultaneous (METHODS section 4, Bands)."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from evaluation.estimators import Estimate, Estimator, joined

Floats = NDArray[np.float64]
LEVEL = 0.95
MIN_PERSONS = 30
MIN_EVENTS = 10
BAND_PRIOR = 0.5
"""Pseudo-persons per side on the logit scale of bands (Jeffreys-like)."""
_MAX_DEGENERATE = 0.01
_CELLS_AT_ONCE = 8_000_000


@dataclass(frozen=True, kw_only=True)
class Group:
    """One group of a family: its estimator, and where its persons stand among all the family's."""

    name: str
    estimator: Estimator
    person_P: NDArray[np.int64]


@dataclass(frozen=True)
class Interval:
    """Score, pointwise and simultaneous limits; None where the data cannot give one."""

    estimate: float | None
    low: float | None
    high: float | None
    simultaneous_low: float | None
    simultaneous_high: float | None


def generator_of(seed: int, *names: str) -> np.random.Generator:
    """A stream of its own for every named computation: adding one never moves another."""
    digest = hashlib.blake2b("\x1f".join(names).encode(), digest_size=8).digest()
    return np.random.default_rng([seed, int.from_bytes(digest, "little")])


def draw_counts(
    stratum_P: NDArray[np.int64], *, num_resamples: int, generator: np.random.Generator
) -> Iterator[Floats]:
    """How often each person is drawn, in chunks [R, P]: with replacement, within each stratum."""
    num_persons = len(stratum_P)
    step = max(1, _CELLS_AT_ONCE // max(1, num_persons))
    members = [np.flatnonzero(stratum_P == stratum) for stratum in np.unique(stratum_P)]
    for at in range(0, num_resamples, step):
        size = min(step, num_resamples - at)
        counts = np.zeros((size, num_persons))
        for member in members:
            drawn = generator.integers(0, len(member), size=(size, len(member)), dtype=np.int32)
            drawn += (np.arange(size, dtype=np.int32) * len(member))[:, None]
            counts[:, member] = np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape)
        yield counts


def bootstrap(
    groups: list[Group], stratum_P: NDArray[np.int64], *, num_resamples: int, generator: np.random.Generator
) -> list[Estimate]:
    """Each group's estimate in every resample of the persons they share, so that joint events stay joint."""
    parts: list[list[Estimate]] = [[] for _ in groups]
    for counts_RP in draw_counts(stratum_P, num_resamples=num_resamples, generator=generator):
        for place, group in enumerate(groups):
            parts[place].append(group.estimator.estimate(counts_RP[:, group.person_P]))
    return [joined(one) for one in parts]


def observe(group: Group) -> Estimate:
    """The group's estimate on the data themselves: every person once ([1] arrays)."""
    return group.estimator.estimate(np.ones((1, group.estimator.num_units)))


def in_family(group: Group) -> bool:
    """Whether the group is large enough to enter simultaneous statements and to be called worst."""
    events = group.estimator.num_events()
    return group.estimator.num_units >= MIN_PERSONS and (events is None or events >= MIN_EVENTS)


def intervals(
    groups: list[Group], stratum_P: NDArray[np.int64], *, num_resamples: int, generator: np.random.Generator
) -> list[Interval]:
    """Logit-studentised intervals: pointwise by each group's own quantile, simultaneous by max-t.

    Small groups take Student's quantile on their persons and no simultaneous band. 95 % joint coverage of
    the family that remains (measured 94-96 %).
    """
    observed = [observe(group) for group in groups]
    resampled = bootstrap(groups, stratum_P, num_resamples=num_resamples, generator=generator)
    deviations = [studentised(one, many) for one, many in zip(observed, resampled, strict=True)]
    family = [
        in_family(group) and np.isinf(deviation).mean() <= _MAX_DEGENERATE
        for group, deviation in zip(groups, deviations, strict=True)
    ]
    joint = [deviation for deviation, member in zip(deviations, family, strict=True) if member]
    critical = quantile_at_least_normal(np.max(joint, axis=0)) if joint else np.nan
    return [
        _interval(group, one, deviation, critical if member else np.nan)
        for group, one, deviation, member in zip(groups, observed, deviations, family, strict=True)
    ]


def studentised(observed: Estimate, resampled: Estimate) -> Floats:
    """|logit difference| over its standard error per resample; infinite where a resample has none."""
    psi, _ = _logit(observed)
    psi_R, se_R = _logit(resampled)
    with np.errstate(divide="ignore", invalid="ignore"):
        deviation = np.abs(psi_R - psi) / se_R
    return np.where(np.isfinite(deviation), deviation, np.inf)


def quantile_at_least_normal(deviation_R: Floats) -> float:
    """The 95 % quantile, never below the normal one: a degenerate bootstrap must not look certain."""
    quantile = float(np.quantile(deviation_R, LEVEL, method="higher"))
    return max(quantile, float(stats.norm.ppf((1 + LEVEL) / 2)))


def _logit(estimate: Estimate) -> tuple[Floats, Floats]:
    with np.errstate(divide="ignore", invalid="ignore"):
        psi = np.log(estimate.centre_R) - np.log1p(-estimate.centre_R)
        return psi, estimate.se_R / (estimate.centre_R * (1 - estimate.centre_R))


def _interval(group: Group, observed: Estimate, deviation_R: Floats, critical: float) -> Interval:
    theta = float(observed.theta_R[0])
    if not np.isfinite(theta):
        return Interval(None, None, None, None, None)
    num_persons = group.estimator.num_units
    if num_persons >= MIN_PERSONS and np.isinf(deviation_R).mean() <= _MAX_DEGENERATE:
        pointwise = quantile_at_least_normal(deviation_R)
    else:
        pointwise = float(stats.t.ppf((1 + LEVEL) / 2, num_persons - 1)) if num_persons > 1 else np.nan
    return Interval(theta, *_limits(observed, pointwise), *_limits(observed, critical))


def _limits(observed: Estimate, quantile: float) -> tuple[float | None, float | None]:
    """Limits on the score's own scale around the centre, always holding the score itself."""
    psi, se = (float(part[0]) for part in _logit(observed))
    if not (np.isfinite(psi) and np.isfinite(se) and se > 0 and np.isfinite(quantile)):
        return None, None
    theta = float(observed.theta_R[0])
    low, high = (1 / (1 + np.exp(-(psi + sign * quantile * se))) for sign in (-1, 1))
    return min(float(low), theta), max(float(high), theta)
