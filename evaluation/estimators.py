"""A group's score under weights on its persons, with the linearised standard error that respects them.

Weights are [R, P]: R weightings of the same P units (persons, or person-level blocks). Everything is
a matrix product over units, or for the rank statistics a cumulative sum over rows; no loop over resamples.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from evaluation.metrics import Metric
from evaluation.metrics.classification import ClassRows, usable_classes
from evaluation.rows import Judged

Floats = NDArray[np.float64]
_CELLS_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class Estimate:
    """The score under R weightings.

    theta_R: the score. centre_R: what its interval is built around. se_R: its standard error; 0 where the
    data show no variation, NaN for a single unit.
    """

    theta_R: Floats
    centre_R: Floats
    se_R: Floats


def joined(parts: list[Estimate]) -> Estimate:
    """Chunks of resamples as one."""
    return Estimate(
        np.concatenate([part.theta_R for part in parts]),
        np.concatenate([part.centre_R for part in parts]),
        np.concatenate([part.se_R for part in parts]),
    )


class Estimator(Protocol):
    """What bootstrap and permutation need to know of a metric."""

    num_units: int

    def estimate(self, weights_RP: Floats) -> Estimate: ...

    def num_events(self) -> int | None:
        """The rarest class's units, positive or negative; None where classes do not matter."""


class RatioEstimator:
    """Sum of values over number of rows, both weighted by unit: the mean that lets a person count once
    per picture but vary as one (METHODS section 4).

    ``prior`` pseudo-persons of value 0 and as many of value 1 steady 0/1 metrics, so that a group without
    a single error has an honest interval (Agresti and Coull 1998); 0 for graded metrics.
    """

    def __init__(self, values_N: Floats, unit_N: NDArray[np.int64], num_units: int, *, prior: float) -> None:
        self.num_units = num_units
        self.top_P = np.bincount(unit_N, weights=values_N, minlength=num_units)
        self.bottom_P = np.bincount(unit_N, minlength=num_units).astype(float)
        self._prior = prior if np.isin(values_N, (0.0, 1.0)).all() else 0.0
        # One product per chunk gives the sums and the second moments the variance needs.
        self._moments_P5 = np.stack(
            [self.top_P, self.bottom_P, self.top_P**2, self.top_P * self.bottom_P, self.bottom_P**2], axis=1
        )

    def num_events(self) -> int | None:
        return None

    def estimate(self, weights_RP: Floats) -> Estimate:
        top, bottom, top2, cross, bottom2 = (weights_RP @ self._moments_P5).T
        units = weights_RP.sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            theta = top / bottom
            size = bottom / units
            pseudo = self._prior * size
            centre = (top + pseudo) / (bottom + 2 * pseudo)
            spread = top2 - 2 * centre * cross + centre**2 * bottom2
            spread += self._prior * size**2 * (centre**2 + (1 - centre) ** 2)
            variance = np.clip(spread, 0, None) * units / (units - 1) / (bottom + 2 * pseudo) ** 2
            # Rounding leaves 1e-17 where every person scores the same.
            se = np.where(variance > 1e-20, np.sqrt(variance), 0.0)
        return Estimate(theta, centre, np.where(units > 1, se, np.nan))


class AggregateEstimator:
    """A statistic of all rows at once (AUC, balanced accuracy) with its influence summed per unit."""

    def __init__(self, metric: Metric, rows: ClassRows, unit_N: NDArray[np.int64], num_units: int) -> None:
        assert metric.aggregate is not None, "only aggregates come here"
        self.num_units = num_units
        self._statistic, self._rows = metric.aggregate, rows
        self._both_sides = metric.both_sides
        self._order = np.argsort(unit_N, kind="stable")
        self._unit_N = unit_N
        self._present, self._starts = np.unique(unit_N[self._order], return_index=True)

    def num_events(self) -> int | None:
        usable = usable_classes(self._rows, both_sides=self._both_sides)
        sides = [self._rows.sides(place, both_sides=self._both_sides) for place in usable]
        counts = [len(np.unique(self._unit_N[positive_N])) for positive_N, _ in sides]
        if self._both_sides:
            counts += [len(np.unique(self._unit_N[negative_N])) for _, negative_N in sides]
        return min(counts, default=0)

    def estimate(self, weights_RP: Floats) -> Estimate:
        step = max(1, _CELLS_AT_ONCE // max(1, len(self._unit_N)))
        parts = [self._estimate(weights_RP[at : at + step]) for at in range(0, len(weights_RP), step)]
        return joined(parts)

    def _estimate(self, weights_RP: Floats) -> Estimate:
        statistic = self._statistic(self._rows, weights_RP[:, self._unit_N])
        if not len(self._unit_N):
            return Estimate(statistic.theta_R, statistic.theta_R, statistic.extra_R)
        influence_RU = np.add.reduceat(statistic.influence_RN[:, self._order], self._starts, axis=1)
        weights_RU = weights_RP[:, self._present]
        units_R = weights_RU.sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            spread_R = (weights_RU * influence_RU**2).sum(axis=1) * units_R / (units_R - 1)
            se_R = np.where(units_R > 1, np.sqrt(spread_R + statistic.extra_R), np.nan)
        # A perfect score has no logit: its interval starts half a standard error inside.
        edge_R = np.minimum(se_R / 2, 0.5)
        return Estimate(statistic.theta_R, np.clip(statistic.theta_R, edge_R, 1 - edge_R), se_R)


def estimator_of(
    judged: Judged, keep_N: NDArray[np.bool_], unit_N: NDArray[np.int64], num_units: int, *, prior: float
) -> Estimator:
    """The metric's estimator over the rows where ``keep_N`` holds; ``unit_N`` numbers those rows' units."""
    if judged.values_N is not None:
        return RatioEstimator(judged.values_N[keep_N], unit_N, num_units, prior=prior)
    assert judged.class_rows is not None, "a metric is per row or an aggregate"
    return AggregateEstimator(judged.metric, judged.class_rows.take(keep_N), unit_N, num_units)
