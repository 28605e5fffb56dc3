"""From targets to margins the solver can meet: clipped or refused, weakened together, solved at once."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from ingest.errors import GateRefused
from shards.cells import Cells, effective_share
from shards.design import Design
from shards.targets import Goal, Target, wanted_shares
from shards.weights import SLACK, SOFTNESS, Problem, Solution, calibrate

Vector = NDArray[np.float64]

STRENGTH_STEPS = 20
"""At most so many steps to find the common strength factor."""
FLOOR_TOLERANCE = 5e-5
"""An effective share this close above its floor is at the floor."""
GIVEN_TOLERANCE = 1e-4
"""How far a share that a person wrote down may be missed when targets contradict each other."""

SUPPRESSED_WORDS = "figures suppressed, so few persons have it"


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What no solution may leave: bounds of the ratio and the floor of the effective share."""

    lower: float
    upper: float
    min_effective_share: float
    softness: float = SOFTNESS


@dataclass(frozen=True)
class Margin:
    """One attribute's part of the problem: shares [L] among the levels spoken of.

    wanted: before clipping. target: what is solved for. low, high: reachable interval.
    """

    name: str
    speaks: NDArray[np.bool_]
    wanted: Vector
    target: Vector
    low: Vector
    high: Vector
    given: bool


@dataclass(frozen=True)
class Met:
    """A solution, the margins it answers, and the factor that all rules' strengths were weakened by."""

    solution: Solution
    margins: list[Margin]
    strength_factor: float


def meet(cells: Cells, targets: dict[str, Target], goals: dict[str, Goal], limits: Limits) -> Met:
    """Solve; while the effective share is below its floor or rules keep a given share from being met, weaken all rules.

    Raises: GateRefused for a given share out of reach, alone or beside the others, or an effective share below the
    floor without any rule.
    """
    attempt = _attempts(cells, targets, goals, limits)
    strong = attempt(1.0)
    if _complaint(cells, strong, limits) is None:
        return strong
    met = attempt(0.0)
    complaint = _complaint(cells, met, limits)
    if complaint is not None:
        raise GateRefused(complaint)
    return _strongest(cells, attempt, weak=met, strong=strong, limits=limits)


def _strongest(cells: Cells, attempt: Callable[[float], Met], *, weak: Met, strong: Met, limits: Limits) -> Met:
    """The strongest rules without a complaint, between a solution that stands and one that does not.

    Bisection, with a chord of the effective share in every second step.
    """
    floor = limits.min_effective_share
    for step in range(STRENGTH_STEPS):
        low, high = weak.strength_factor, strong.strength_factor
        above, below = (effective_share(cells.shares, met.solution.ratios) - floor for met in (weak, strong))
        if above < FLOOR_TOLERANCE:
            break
        middle = (low + high) / 2
        if step % 2 == 0 and below < 0:
            middle = low + (high - low) * (above - FLOOR_TOLERANCE / 2) / (above - below)
        candidate = attempt(middle)
        if _complaint(cells, candidate, limits) is None:
            weak = candidate
        else:
            strong = candidate
    return weak


def _attempts(
    cells: Cells, targets: dict[str, Target], goals: dict[str, Goal], limits: Limits
) -> Callable[[float], Met]:
    """Solve at a strength factor, each time from the multipliers of the time before."""
    design = cells.design(list(goals))
    start: Vector | None = None

    def attempt(factor: float) -> Met:
        nonlocal start
        margins = [_margin(cells, targets[name], name, goal, factor, limits) for name, goal in goals.items()]
        solution = _solve(cells, design, margins, limits, start)
        if solution.converged and solution.feasible:
            start = solution.multipliers
        return Met(solution, margins, factor)

    return attempt


def _complaint(cells: Cells, met: Met, limits: Limits) -> str | None:
    """Why a solution may not stand, naming attributes and levels; None where it may."""
    missed: dict[str, str] = {}
    lines = margin_lines(cells, met.solution.ratios, met) if not met.solution.feasible else []
    for line in sorted(lines, key=lambda line: -abs(line["residual"])):
        if line["given"] and abs(line["residual"]) > GIVEN_TOLERANCE:
            found = f"expected a share of {line['target']:.4f}, got {line['after']:.4f}"
            if (line["attribute"], line["level"]) in cells.hidden:
                found = SUPPRESSED_WORDS
            where = f"weights.targets.{line['attribute']}: level {line['level']}"
            missed.setdefault(line["attribute"], f"{where}: {found}")
    if missed:
        return f"{'; '.join(missed.values())}: the targets contradict each other or the bounds"
    share = effective_share(cells.shares, met.solution.ratios)
    if share >= limits.min_effective_share:
        return None
    given = dict.fromkeys(attribute for m in met.margins if m.given for _, attribute, _ in cells.told(m.name))
    return (
        f"weights.targets of {', '.join(given) or 'no given shares'}: effective share {share:.3f} is below "
        f"min_effective_share = {limits.min_effective_share}"
    )


def _margin(cells: Cells, target: Target, name: str, goal: Goal, factor: float, limits: Limits) -> Margin:
    """Target shares of one attribute: a rule's are clipped to what is reachable, given ones refused beyond it."""
    strength = target.strength * (1.0 if target.is_given else factor)
    wanted = wanted_shares(goal, cells.margin(name, cells.ones), strength)
    low, high = reachable_shares(cells, name, goal.speaks, limits)
    places = np.array([place for place, _, _ in cells.told(name)])
    beyond = np.where(goal.speaks, np.maximum(low - wanted, wanted - high), -np.inf)[places]
    if target.is_given and beyond.max() > SLACK:
        place, attribute, level = cells.told(name)[int(beyond.argmax())]
        interval = f"between {low[place]:.4f} and {high[place]:.4f}"
        if (attribute, level) in cells.hidden:
            interval = f"within an interval that is not told ({SUPPRESSED_WORDS})"
        raise GateRefused(
            f"weights.targets.{attribute}: level {level}: expected a share {interval} (reachable under the bounds), "
            f"got {wanted[place]:.4f}"
        )
    return Margin(name, goal.speaks, wanted, clip_shares(wanted, low, high), low, high, target.is_given)


def _solve(cells: Cells, design: Design, margins: list[Margin], limits: Limits, start: Vector | None) -> Solution:
    """One row per level spoken of: its weight minus target times the weight of all levels spoken of, wanted 0."""
    blocks = [(np.eye(len(m.speaks)) - np.outer(m.target, m.speaks))[m.speaks] for m in margins]
    combine = scipy.linalg.block_diag(*blocks, np.ones((1, 1)))
    targets = np.zeros(len(combine))
    targets[-1] = 1.0
    upper = np.minimum(limits.upper, cells.caps)
    problem = Problem.checked(cells.shares, design.combined(combine), targets, limits.lower, upper)
    reachable = np.array([(m.low[k], m.high[k]) for m in margins for k in np.flatnonzero(m.speaks)]).reshape(-1, 2)
    return calibrate(problem, reachable=reachable, softness=limits.softness, start=start)


def margin_lines(cells: Cells, ratios: Vector, met: Met) -> list[dict[str, Any]]:
    """One line per level spoken of under ``ratios``, all shares of all training rows; ``given``: by a person.

    The multiplier is the level's change of log-odds: log w of a row is the sum of its levels' plus a constant,
    wherever no bound holds.
    """
    lines: list[dict[str, Any]] = []
    num_rows = 0
    for margin in met.margins:
        before, after = (cells.margin(margin.name, each) for each in (cells.ones, ratios))
        spoken_of = after[margin.speaks].sum()
        multipliers = np.zeros(len(margin.speaks))
        num_levels = int(margin.speaks.sum())
        multipliers[margin.speaks] = met.solution.multipliers[num_rows : num_rows + num_levels]
        num_rows += num_levels
        # Of a label against rows without it; else against all rows spoken of, by their target shares.
        common = multipliers[0] if margin.name in cells.presences else margin.target @ multipliers
        for place, attribute, level in cells.told(margin.name):
            if not margin.speaks[place]:
                continue
            wanted = margin.target[place] * spoken_of
            line = {
                "before": before[place],
                "target": wanted,
                "after": after[place],
                "residual": after[place] - wanted,
                "reachable_low": margin.low[place] * spoken_of,
                "reachable_high": margin.high[place] * spoken_of,
                "multiplier": multipliers[place] - common,
            }
            names = {"attribute": attribute, "level": level, "given": margin.given}
            lines.append(names | {key: float(value) for key, value in line.items()})
    return lines


def reachable_shares(cells: Cells, name: str, speaks: NDArray[np.bool_], limits: Limits) -> tuple[Vector, Vector]:
    """[L] lowest and highest share of each level among those in ``speaks``, while the total stays 1."""
    least = cells.margin(name, np.full(len(cells.shares), limits.lower))
    most = cells.margin(name, np.minimum(limits.upper, cells.caps))
    other_least = least[speaks].sum() - least
    other_most = most[speaks].sum() - most
    # What the levels spoken of may weigh together, given what the others must and can.
    room = 1 - least[~speaks].sum()
    floor = 1 - most[~speaks].sum()
    lowest = np.clip(least + other_most, floor, room)
    low = np.maximum(least, floor - other_most) / np.maximum(lowest, 1e-300)
    highest = np.minimum(most, room - other_least)
    high = highest / np.maximum(highest + np.maximum(other_least, floor - highest), 1e-300)
    return np.where(speaks, np.minimum(low, 1.0), 0.0), np.where(speaks, high, 0.0)


def clip_shares(wanted: Vector, low: Vector, high: Vector) -> Vector:
    """Clip to the reachable interval; levels with room take up the difference, so that the sum stays 1."""
    clipped = np.clip(wanted, low, high)
    excess = clipped.sum() - 1
    room = clipped - low if excess > 0 else high - clipped
    if room.sum() > 0:
        clipped = clipped - np.sign(excess) * room * min(1.0, abs(excess) / room.sum())
    return np.asarray(clipped)
