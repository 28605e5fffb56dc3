"""Bounded calibration weights: meet every margin at once, never leave the bounds, prove the optimum.

Deville & Sarndal 1992 (calibration), with soft margins and box bounds, solved in the dual by a
semismooth Newton method (METHODS section 2). For cells c with shares n_c and ratios r_c = w_c / n_c

    minimise   sum_c n_c phi(r_c) + 1/2 (A(n r) - t)' D^-1 (A(n r) - t)     over  l <= r <= u

with D = diag(mu). One row of A is all ones with target 1 and a much smaller mu: without it the total
drifts when a target is infeasible, and renormalising afterwards would break the bounds.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg
import scipy.sparse
import scipy.special
from numpy.typing import ArrayLike, NDArray

from shards.design import Design

Vector = NDArray[np.float64]

SOFTNESS = 1e-7
"""Default mu. A residual is -mu * multiplier: 1e-5 would already leave 1e-5 per unit of log-odds."""
TOTAL_SOFTNESS = 1e-9
FIRST_SOFTNESS = 1e-2
INFEASIBLE_SOFTNESS = 1e-5
"""Where a target is out of reach the continuation stops here: below it the gap cannot be closed."""
GAP_TOLERANCE = 1e-8
ROUGH_TOLERANCE = 1e-3
MAX_ITERATIONS = 100
ROUNDING = 1e-14
SLACK = 1e-9
MAX_MULTIPLIER = 100.0
"""Log-odds beyond this are no weighting: the targets contradict each other."""


@dataclass(frozen=True)
class Objective:
    """phi with its inverse derivative F (so r = F(s) without bounds) and F'."""

    phi: Callable[[Vector], Vector]
    inverse: Callable[[Vector, Vector], Vector]
    slope: Callable[[Vector], Vector]


OBJECTIVES: dict[str, Objective] = {
    # phi = r ln r - r + 1. Beyond ln(upper) the bound holds anyway, and exp would overflow.
    "kl": Objective(
        phi=lambda r: scipy.special.xlogy(r, r) - r + 1,
        inverse=lambda s, upper: np.exp(np.minimum(s, np.minimum(np.log(upper) + 1e-3, 700.0))),
        slope=lambda r: r,
    ),
    # phi = (r - 1)^2 / 2: the largest effective share.
    "chi2": Objective(phi=lambda r: (r - 1) ** 2 / 2, inverse=lambda s, upper: 1 + s, slope=lambda r: np.ones_like(r)),
}


@dataclass(frozen=True)
class Solution:
    """Weights of C cells against K margins, and the proof.

    ratios: [C] weight over share, within the bounds; their share-weighted mean is 1.
    multipliers: [K] change of a level's log-odds of being drawn (for "kl").
    residuals: [K] realised margin minus target.
    reachable: [K, 2] lowest and highest share each level can reach alone under the bounds.
    gap: primal plus dual value, at most 1e-8 (1 + |primal|) when ``converged``.
    feasible: whether every target can be met, alone and together with the others.
    """

    ratios: Vector
    multipliers: Vector
    residuals: Vector
    reachable: Vector
    gap: float
    primal: float
    num_iterations: int
    softness: float
    feasible: bool

    @property
    def converged(self) -> bool:
        return self.gap <= GAP_TOLERANCE * (1 + abs(self.primal))


def solve(
    counts: ArrayLike,
    design: Any,
    targets: ArrayLike,
    *,
    lower: ArrayLike = 0.05,
    upper: ArrayLike = 20.0,
    softness: float = SOFTNESS,
    objective: str = "kl",
) -> Solution:
    """Solve for the ratios of C cells.

    Args:
        counts: [C] shares of the cells, not negative, sum 1.
        design: [K, C] membership of cells in levels, dense or scipy.sparse.
        targets: [K] wanted share of each level.
        lower, upper: bounds of the ratio, a number or [C].
        softness: mu; larger trades exact margins for even weights.
        objective: "kl" or "chi2".

    An infeasible target is no error: ``feasible`` is False, the rest is met as closely as the bounds allow.
    Raises: ValueError for shapes, shares or bounds that do not fit together.
    """
    levels = scipy.sparse.csr_array(design)
    t = np.asarray(targets, dtype=float)
    if t.ndim != 1 or levels.shape[0] != len(t):
        raise ValueError(f"expected targets [K] and a design [K, C], got {t.shape} and {levels.shape}")
    problem = Problem.checked(counts, Design.of(levels), np.append(t, 1.0), lower, upper, objective)
    reachable = problem.reachable()
    within = bool(np.all((t >= reachable[:, 0] - SLACK) & (t <= reachable[:, 1] + SLACK)))
    return calibrate(problem, reachable=reachable, within=within, softness=softness)


def calibrate(
    problem: "Problem",
    *,
    reachable: Vector,
    within: bool = True,
    softness: float = SOFTNESS,
    start: Vector | None = None,
) -> Solution:
    """Solve a checked problem by continuation in mu, each stage starting from the one before.

    ``within``: whether every target lies in its ``reachable`` interval. Where targets contradict each other,
    multipliers grow as 1 / mu: the continuation then stops, and residuals say by how much each margin is missed.
    ``start``: multipliers of a problem nearby; the last stage is tried from there first.
    """
    last = softness if within else max(softness, INFEASIBLE_SOFTNESS)
    if start is not None:
        multipliers, steps, state = _newton(problem, np.append(start, 0.0), last, tolerance=GAP_TOLERANCE)
        if state.closed(GAP_TOLERANCE) and np.abs(multipliers[:-1]).max(initial=0) <= MAX_MULTIPLIER:
            return _solution(state, multipliers, reachable, steps, last, feasible=within)
    multipliers, num_iterations, contradict = np.zeros(len(problem.targets)), 0, False
    for mu in _continuation(last):
        # Only where the continuation may end does the gap have to close; before that a rough answer is start enough.
        tolerance = GAP_TOLERANCE if mu <= INFEASIBLE_SOFTNESS * 1.001 or mu == last else ROUGH_TOLERANCE
        multipliers, steps, state = _newton(problem, multipliers, mu, tolerance=tolerance)
        num_iterations += steps
        contradict = bool(np.abs(multipliers[:-1]).max(initial=0) > MAX_MULTIPLIER)
        if contradict and mu <= INFEASIBLE_SOFTNESS * 1.001:
            break
    return _solution(state, multipliers, reachable, num_iterations, mu, feasible=within and not contradict)


def _solution(
    state: "_State", multipliers: Vector, reachable: Vector, num_iterations: int, mu: float, *, feasible: bool
) -> Solution:
    return Solution(
        ratios=state.ratios, multipliers=multipliers[:-1], residuals=state.residuals[:-1], reachable=reachable,
        gap=state.gap, primal=state.primal, num_iterations=num_iterations, softness=mu, feasible=feasible,
    )  # fmt: skip


def _continuation(last: float) -> list[float]:
    """FIRST_SOFTNESS down by tens to ``last``: a cold start at 1e-6 can fail to close the gap."""
    stages = []
    mu = FIRST_SOFTNESS
    while mu > last * 1.001:
        stages.append(mu)
        mu /= 10
    return [*stages, last]


@dataclass(frozen=True)
class _State:
    """Everything about one point of the dual."""

    ratios: Vector
    residuals: Vector
    slopes: Vector
    dual: float
    gradient: Vector
    primal: float

    @property
    def gap(self) -> float:
        return abs(self.primal + self.dual)

    def closed(self, tolerance: float) -> bool:
        return self.gap <= tolerance * (1 + abs(self.primal))


@dataclass(frozen=True)
class Problem:
    """Shares, design with the all-ones row last, targets with 1 last, bounds, objective."""

    shares: Vector
    design: Design
    targets: Vector
    lower: Vector
    upper: Vector
    objective: Objective

    @classmethod
    def checked(
        cls,
        counts: ArrayLike,
        design: Design,
        targets: Vector,
        lower: ArrayLike,
        upper: ArrayLike,
        objective: str = "kl",
    ) -> "Problem":
        """Raises: ValueError for shares, bounds or targets that make no problem."""
        shares = np.asarray(counts, dtype=float)
        if shares.shape != (design.num_cells,):
            raise ValueError(f"expected counts [C] and a design [K, C], got {shares.shape}, {design.num_cells} cells")
        if (shares < 0).any() or not np.isclose(shares.sum(), 1.0, atol=1e-9):
            raise ValueError(f"counts: expected shares, not negative and summing to 1, got sum {shares.sum():.12g}")
        if not np.isfinite(targets).all():
            raise ValueError("targets: expected finite shares")
        low, high = (np.broadcast_to(np.asarray(bound, dtype=float), shares.shape) for bound in (lower, upper))
        if (low < 0).any() or (low > high).any() or shares @ low > 1 or shares @ np.minimum(high, 1e300) < 1:
            raise ValueError("bounds: expected 0 <= lower <= upper with a mean ratio of 1 between them")
        if objective not in OBJECTIVES:
            raise ValueError(f"objective: expected one of {sorted(OBJECTIVES)}, got {objective!r}")
        return cls(shares, design, targets, low, high, OBJECTIVES[objective])

    def softness(self, mu: float) -> Vector:
        return np.append(np.full(len(self.targets) - 1, mu), min(mu, TOTAL_SOFTNESS))

    def at(self, multipliers: Vector, mu: float) -> _State:
        """Values, gradient and ratios at a point of the dual."""
        s = self.design.transpose_times(multipliers)
        free = self.objective.inverse(s, self.upper)
        ratios = np.clip(free, self.lower, self.upper)
        softness = self.softness(mu)
        residuals = self.design.times(self.shares * ratios) - self.targets
        phi = self.objective.phi(ratios)
        dual = (
            self.shares @ (s * ratios - phi) - multipliers @ self.targets + 0.5 * multipliers @ (softness * multipliers)
        )
        primal = self.shares @ phi + 0.5 * residuals @ (residuals / softness)
        inside = (free > self.lower) & (free < self.upper)
        slopes = np.where(inside, self.objective.slope(ratios), 0.0)
        return _State(ratios, residuals, slopes, float(dual), residuals + softness * multipliers, float(primal))

    def reachable(self) -> Vector:
        """[K, 2] the share each level can reach while the total stays 1 (a design without combinations)."""
        lows, highs = self.shares * self.lower, np.where(self.shares > 0, self.shares * self.upper, 0.0)
        low_in, high_in = self.design.times(lows)[:-1], self.design.times(highs)[:-1]
        if np.isfinite(highs).all():
            high_out = highs.sum() - high_in
        else:  # inf - inf is no number: add up each level's outside
            high_out = np.array([highs[~self.design.members(level)].sum() for level in range(len(high_in))])
        low_out = lows.sum() - low_in
        return np.stack([np.maximum(low_in, 1 - high_out), np.minimum(high_in, 1 - low_out)], axis=1)


def _newton(problem: Problem, multipliers: Vector, mu: float, *, tolerance: float) -> tuple[Vector, int, _State]:
    """Semismooth Newton with Armijo halving, until the duality gap closes."""
    state = problem.at(multipliers, mu)
    for iteration in range(MAX_ITERATIONS):
        if state.closed(tolerance):
            return multipliers, iteration, state
        hessian = problem.design.gram(problem.shares * state.slopes) + np.diag(problem.softness(mu))
        direction = -_solve_positive(hessian, state.gradient)
        slope = state.gradient @ direction
        step = 1.0
        while step > 1e-10:
            candidate = problem.at(multipliers + step * direction, mu)
            # Near the optimum a step gains less than rounding shows; it still closes the gap quadratically.
            if candidate.dual <= state.dual + 1e-4 * step * slope + ROUNDING * (1 + abs(state.dual)):
                break
            step /= 2
        else:  # no descent left in floating point
            return multipliers, iteration, state
        multipliers, state = multipliers + step * direction, candidate
    return multipliers, MAX_ITERATIONS, state


def _solve_positive(hessian: Vector, gradient: Vector) -> Vector:
    """Solve a symmetric positive definite system, by least squares where rounding took definiteness."""
    try:
        return np.asarray(scipy.linalg.cho_solve(scipy.linalg.cho_factor(hessian), gradient), dtype=np.float64)
    except np.linalg.LinAlgError:
        return np.asarray(np.linalg.lstsq(hessian, gradient, rcond=None)[0], dtype=np.float64)
