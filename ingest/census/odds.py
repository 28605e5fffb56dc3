"""Odds ratios, alone and adjusted for where and with what a picture was taken: Mantel-Haenszel and its flags.

Tables count persons: the rows of a person weigh one together, so that cells may be fractions.
"""

from dataclasses import dataclass

import numpy as np
import scipy.stats

from ingest.census.intervals import Z_95, Floats


@dataclass(frozen=True)
class Ratio:
    """An odds ratio with its 95 % interval; nan where a margin is empty."""

    estimate: float
    low: float
    high: float

    @property
    def excludes_one(self) -> bool:
        return self.low > 1 or self.high < 1


NOTHING = Ratio(np.nan, np.nan, np.nan)


def num_contrasts(num_rows: int, num_columns: int) -> int:
    """How many different odds ratios "this cell against the rest" an r x c table has; of 2 x 2, one."""
    return max(1, num_rows if num_rows > 2 else 1) * max(1, num_columns if num_columns > 2 else 1)


def z_of_chosen(num: int) -> float:
    """The normal quantile of a 95 % interval of the most extreme of ``num`` contrasts (Bonferroni)."""
    return Z_95 if num == 1 else float(scipy.stats.norm.isf(0.025 / num))


def odds_ratio(table: Floats, z: float = Z_95) -> Ratio:
    """Of one 2 x 2 table [[a, b], [c, d]]; half a person is added to every cell when one is empty (Haldane 1955)."""
    if min(table.sum(0).min(), table.sum(1).min()) <= 0:
        return NOTHING
    (a, b), (c, d) = table + (0.5 if table.min() < 1e-9 else 0.0)
    return _ratio(a * d / (b * c), 1 / a + 1 / b + 1 / c + 1 / d, z)


def mantel_haenszel(tables: Floats, z: float = Z_95) -> Ratio:
    """Over strata [S, 2, 2]: sum(ad/n) / sum(bc/n) with the variance of Robins, Breslow and Greenland (1986)."""
    a, b, c, d, n = _cells(tables)
    r, s = a * d / n, b * c / n
    if r.sum() <= 0 or s.sum() <= 0:
        return NOTHING
    p, q = (a + d) / n, (b + c) / n
    variance = (
        (p * r).sum() / (2 * r.sum() ** 2)
        + (p * s + q * r).sum() / (2 * r.sum() * s.sum())
        + (q * s).sum() / (2 * s.sum() ** 2)
    )
    return _ratio(r.sum() / s.sum(), variance, z)


def homogeneity_p(tables: Floats, ratio: float) -> float | None:
    """Breslow-Day (1980): do the strata share one odds ratio? None with fewer than two informative strata."""
    a, b, c, d, _ = _cells(tables)
    informative = np.minimum(np.minimum(a + b, c + d), np.minimum(a + c, b + d)) > 1e-9
    if informative.sum() < 2 or not np.isfinite(ratio):
        return None
    a, b, c, d = a[informative], b[informative], c[informative], d[informative]
    expected = _expected(a + b, c + d, a + c, ratio)
    cells = np.stack([expected, a + b - expected, a + c - expected, d - a + expected])
    variance = 1 / (1 / np.maximum(cells, 1e-9)).sum(0)
    statistic = float(((a - expected) ** 2 / variance).sum())
    return float(scipy.stats.chi2.sf(statistic, int(informative.sum()) - 1))


def is_explained(marginal: Ratio, adjusted: Ratio) -> bool:
    """The association is there, not within strata, and more than half of its log odds went (METHODS section 1)."""
    if not (marginal.excludes_one and np.isfinite(adjusted.estimate)) or adjusted.excludes_one:
        return False
    change = abs(np.log(marginal.estimate) - np.log(adjusted.estimate))
    return bool(change > 0.5 * abs(np.log(marginal.estimate)))


def is_reversed(marginal: Ratio, adjusted: Ratio) -> bool:
    """Both intervals exclude one, on opposite sides (Simpson's paradox)."""
    return marginal.excludes_one and adjusted.excludes_one and (marginal.low > 1) != (adjusted.low > 1)


def _cells(tables: Floats) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    n = np.maximum(tables.sum((1, 2)), 1e-300)
    return tables[:, 0, 0], tables[:, 0, 1], tables[:, 1, 0], tables[:, 1, 1], n


def _ratio(estimate: float, variance: float, z: float) -> Ratio:
    factor = float(np.exp(z * np.sqrt(variance)))
    return Ratio(float(estimate), float(estimate / factor), float(estimate * factor))


def _expected(first: Floats, second: Floats, column: Floats, ratio: float) -> Floats:
    """The first cell of tables with row sums ``first``, ``second`` and first column ``column`` at an odds ratio."""
    if abs(ratio - 1) < 1e-9:
        return first * column / (first + second)
    linear = first * ratio + second + column * (ratio - 1)
    # The root within the margins: both lie between 0 and min(first, column).
    root = np.sqrt(np.maximum(linear**2 - 4 * (ratio - 1) * ratio * first * column, 0))
    return np.asarray((linear - root) / (2 * (ratio - 1)))
