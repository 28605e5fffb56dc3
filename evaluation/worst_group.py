"""Which group is worst, and how sure is that? Empirical Bayes over groups (METHODS section 4, Worst group)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_TIED = 1e-12


@dataclass(frozen=True)
class Worst:
    """The worst group's place, and what is known of the spread of all groups.

    probability: that this group is the worst, 1 / groups where nothing tells them apart. tau2: variance of the true
    scores between groups, with a 95 % bootstrap interval.
    """

    place: int
    shrunk: float
    probability: float
    tau2: float
    tau2_low: float
    tau2_high: float


def find_worst(
    theta_G: Floats, se_G: Floats, resampled_GR: Floats, *, higher_is_better: bool, generator: np.random.Generator
) -> Worst:
    """The group with the worst shrunk score; where shrinkage leaves several equal, the one with the worst raw score.

    Args: theta_G, se_G: scores and standard errors. resampled_GR: the scores when persons are drawn anew.
    """
    sign = 1.0 if higher_is_better else -1.0
    shrunk_G = shrink(theta_G, se_G)
    lowest = np.flatnonzero(sign * shrunk_G <= (sign * shrunk_G).min() + _TIED)
    place = int(lowest[np.argmin(sign * theta_G[lowest])])
    tau2_R = resampled_tau2(resampled_GR, se_G)
    low, high = np.quantile(tau2_R, [0.025, 0.975]) if len(tau2_R) else (0.0, np.inf)
    tau2 = between_groups(theta_G, se_G)
    return Worst(
        place=place,
        shrunk=float(shrunk_G[place]),
        probability=float(worst_probabilities(sign * theta_G, se_G, tau2_R, generator)[place]),
        tau2=tau2,
        tau2_low=min(float(low), tau2),
        tau2_high=max(float(high), tau2),
    )


def between_groups(theta_G: Floats, se_G: Floats) -> float:
    """tau2 = max(0, variance between groups - mean se2), the method of moments."""
    return max(0.0, float(theta_G.var(ddof=1) - (se_G**2).mean()))


def shrink(theta_G: Floats, se_G: Floats) -> Floats:
    """Groups' scores pulled to their common mean by their noise: mu + tau2 / (tau2 + se2) (theta - mu)."""
    tau2 = between_groups(theta_G, se_G)
    total_G = tau2 + se_G**2
    if (total_G <= 0).any():
        return theta_G.copy()
    mean = float(np.average(theta_G, weights=1 / total_G))
    return mean + tau2 / total_G * (theta_G - mean)


def resampled_tau2(resampled_GR: Floats, se_G: Floats) -> Floats:
    """tau2 in every resample where all groups have a score; their noise counts twice, once seen and once redrawn."""
    usable_GR = resampled_GR[:, np.isfinite(resampled_GR).all(0)]
    return np.clip(usable_GR.var(axis=0, ddof=1) - 2 * (se_G**2).mean(), 0, None)


def worst_probabilities(theta_G: Floats, se_G: Floats, tau2_R: Floats, generator: np.random.Generator) -> Floats:
    """P(a group's true score is the lowest): one draw of all true scores per tau2; where tau2 is 0, all are equal."""
    num_groups = len(theta_G)
    apart_R = tau2_R[tau2_R > 0]
    if not len(apart_R):
        return np.full(num_groups, 1 / num_groups)
    total_RG = apart_R[:, None] + se_G**2
    mean_R1 = (theta_G / total_RG).sum(1, keepdims=True) / (1 / total_RG).sum(1, keepdims=True)
    kept_RG = apart_R[:, None] / total_RG
    noise_RG = generator.standard_normal(kept_RG.shape) * np.sqrt(kept_RG) * se_G
    drawn_RG = mean_R1 + kept_RG * (theta_G - mean_R1) + noise_RG
    named_G = np.bincount(drawn_RG.argmin(axis=1), minlength=num_groups)
    return np.asarray((named_G + (len(tau2_R) - len(apart_R)) / num_groups) / len(tau2_R))
