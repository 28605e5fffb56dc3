"""The weigh stage: cells of the training rows, targets, one solution, a weight per row, the certificate."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import scipy.linalg
from numpy.typing import NDArray

from ingest.attributes import ATTRIBUTES, MISSING, connect_samples, fetch
from ingest.errors import BadInput, GateRefused
from ingest.sample import Split
from ingest.workspace import Workspace, publishing, write_json
from shards.assignment import PACKABLE_SQL
from shards.cells import Cells, clip_shares, collapse, effective_share, reachable_shares
from shards.design import Design
from shards.targets import Goal, Target, check_levels, goal_of, wanted_shares
from shards.weights import SLACK, Problem, Solution, calibrate

STRENGTH_STEPS = 20
"""Bisection steps of the common strength factor: it is found to one part in a million."""


@dataclass(frozen=True, kw_only=True)
class WeightsConfig:
    """The ``[weights]`` table."""

    lower: float = 0.05
    upper: float = 20.0
    min_effective_share: float = 0.5
    targets: dict[str, Target] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 <= self.lower <= self.upper:
            raise ValueError(f"expected 0 <= lower <= upper, got lower {self.lower}, upper {self.upper}")
        if not self.lower <= 1 <= self.upper:
            raise ValueError(f"expected lower <= 1 <= upper, got lower {self.lower}, upper {self.upper}")
        if not 0 <= self.min_effective_share <= 1:
            raise ValueError(f"min_effective_share: expected 0 to 1, got {self.min_effective_share}")
        for attribute, target in self.targets.items():
            check_levels(attribute, target)


def weigh(
    workspace: Workspace,
    config: WeightsConfig,
    *,
    attributes: list[str],
    max_repeats: Mapping[str, int | None],
    num_epochs: int,
    draws_per_epoch: int,
) -> dict[str, Any]:
    """Solve for the weights of the training rows and write weights, certificate and margins.

    Args:
        attributes: those of the census; their margins are reported before and after, targeted or not.
        max_repeats: lifetime repetition cap per dataset, None for no cap.
        num_epochs, draws_per_epoch: the plan the caps speak of; 0 draws mean one per row.
    Raises: GateRefused for a given target out of reach or an effective share below the floor.
    """
    start = perf_counter()
    names = list(dict.fromkeys([*config.targets, *(a for a in attributes if not ATTRIBUTES[a].is_list)]))
    rows = _training_rows(workspace, names)
    caps = _repetition_caps(max_repeats, rows.num_rows, num_epochs, draws_per_epoch, config.lower)
    cells, row_cells = collapse(rows, names, caps)
    goals = _goals(cells, config)
    solution, margins, strength = _solve_with_floor(cells, config, goals)
    certificate = {
        "margins": _margin_lines(cells, solution, margins),
        "duality_gap": solution.gap,
        "converged": solution.converged,
        "effective_share": effective_share(cells.shares, solution.ratios),
        "max_weight": float(solution.ratios.max()),
        "strength_factor": strength,
        "feasible": solution.feasible,
        "levels_without_rows": {name: goal.removed for name, goal in goals.items() if goal.removed},
        "num_cells": len(cells.shares),
        "num_rows": rows.num_rows,
        "num_iterations": solution.num_iterations,
        "seconds": perf_counter() - start,
    }
    _write(workspace, rows, row_cells, cells, solution, certificate)
    keys = (
        "duality_gap",
        "effective_share",
        "max_weight",
        "strength_factor",
        "num_cells",
        "num_rows",
        "seconds",
    )
    return {key: certificate[key] for key in keys}


def _training_rows(workspace: Workspace, names: list[str]) -> pa.Table:
    """sample_id, dataset and the level of each attribute of every row that training can draw."""
    levels = ", ".join(f"coalesce({ATTRIBUTES[name].sql}, '{MISSING}') AS \"level_{name}\"" for name in names)
    table = fetch(
        connect_samples(workspace.samples),
        f"SELECT sample_id, dataset{', ' if levels else ''}{levels} FROM samples "
        f"WHERE split = '{Split.TRAIN}' AND {PACKABLE_SQL} ORDER BY sample_id",
    )
    if table.num_rows == 0:
        raise BadInput(f"{workspace.samples}: expected training rows with a picture, got none to weigh")
    return table


def _repetition_caps(
    max_repeats: Mapping[str, int | None], num_rows: int, num_epochs: int, draws_per_epoch: int, lower: float
) -> dict[str, float]:
    """Highest ratio per dataset: kappa N / (E M)."""
    draws = num_epochs * (draws_per_epoch or num_rows)
    caps = {name: np.inf if cap is None else cap * num_rows / draws for name, cap in max_repeats.items()}
    for name, cap in caps.items():
        if cap < lower:
            raise GateRefused(
                f"max_repeats of {name}: {max_repeats[name]} draws of a row over {num_epochs} epochs of "
                f"{draws // num_epochs} draws allow a weight of {cap:.3g}, below weights.lower = {lower}"
            )
    return caps


def _goals(cells: Cells, config: WeightsConfig) -> dict[str, Goal]:
    """The goal of each target that speaks of at least one level with rows."""
    goals = {
        name: goal_of(target, cells.levels[name], cells.margin(name, cells.ones))
        for name, target in config.targets.items()
    }
    return {name: goal for name, goal in goals.items() if goal is not None}


@dataclass(frozen=True)
class Margin:
    """One attribute's part of the problem: target and reachable shares [L] among the levels spoken of."""

    name: str
    speaks: NDArray[np.bool_]
    target: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def _solve_with_floor(
    cells: Cells, config: WeightsConfig, goals: dict[str, Goal]
) -> tuple[Solution, list[Margin], float]:
    """Solve; where the effective share is below its floor, shrink the rules' strengths by one factor."""

    def attempt(factor: float) -> tuple[Solution, list[Margin]]:
        margins = [_margin(cells, config, name, goal, factor) for name, goal in goals.items()]
        return _solve_margins(cells, config, margins), margins

    def share(solution: Solution) -> float:
        return effective_share(cells.shares, solution.ratios)

    solution, margins = attempt(1.0)
    if share(solution) >= config.min_effective_share:
        return solution, margins, 1.0
    low, high = 0.0, 1.0
    solution, margins = attempt(low)
    if share(solution) < config.min_effective_share:
        given = [name for name, target in config.targets.items() if target.is_given]
        raise GateRefused(
            f"weights.targets of {', '.join(given)}: effective share {share(solution):.3f} is below "
            f"min_effective_share = {config.min_effective_share}"
        )
    for _ in range(STRENGTH_STEPS):
        middle = (low + high) / 2
        candidate, wanted = attempt(middle)
        if share(candidate) >= config.min_effective_share:
            low, solution, margins = middle, candidate, wanted
        else:
            high = middle
    return solution, margins, low


def _margin(cells: Cells, config: WeightsConfig, name: str, goal: Goal, factor: float) -> Margin:
    """Target shares of one attribute: a rule's are clipped to what is reachable, given ones refused beyond it."""
    target = config.targets[name]
    strength = target.strength * (1.0 if target.is_given else factor)
    wanted = wanted_shares(goal, cells.margin(name, cells.ones), strength)
    lower = np.full(len(cells.shares), config.lower)
    low, high = reachable_shares(cells, name, goal.speaks, lower=lower, upper=np.minimum(config.upper, cells.caps))
    outside = goal.speaks & ((wanted < low - SLACK) | (wanted > high + SLACK))
    if target.is_given and outside.any():
        worst = int(np.argmax(outside))
        raise GateRefused(
            f"weights.targets.{name}: level {cells.levels[name][worst]}: expected a share between "
            f"{low[worst]:.4f} and {high[worst]:.4f} (reachable under the bounds), got {wanted[worst]:.4f}"
        )
    return Margin(name, goal.speaks, clip_shares(wanted, low, high), low, high)


def _solve_margins(cells: Cells, config: WeightsConfig, margins: list[Margin]) -> Solution:
    """One row per level spoken of: its weight minus target times the weight of all levels spoken of, wanted 0."""
    design = Design.of(cells.levels_matrix([margin.name for margin in margins]))
    blocks = [(np.eye(len(m.speaks)) - np.outer(m.target, m.speaks))[m.speaks] for m in margins]
    combine = scipy.linalg.block_diag(*blocks, np.ones((1, 1)))
    targets = np.zeros(len(combine))
    targets[-1] = 1.0
    upper = np.minimum(config.upper, cells.caps)
    problem = Problem.checked(cells.shares, design.combined(combine), targets, config.lower, upper)
    reachable = np.array([(m.low[k], m.high[k]) for m in margins for k in np.flatnonzero(m.speaks)]).reshape(-1, 2)
    return calibrate(problem, reachable=reachable)


def _margin_lines(cells: Cells, solution: Solution, margins: list[Margin]) -> list[dict[str, Any]]:
    """One line per level spoken of, as solution.json holds them: all shares are of all training rows.

    The multiplier is the level's change of log-odds: log w of a row is the sum of its levels' plus a constant,
    wherever no bound holds.
    """
    lines: list[dict[str, Any]] = []
    for margin in margins:
        before, after = (cells.margin(margin.name, ratios) for ratios in (cells.ones, solution.ratios))
        spoken_of = after[margin.speaks].sum()
        rows = slice(len(lines), len(lines) + int(margin.speaks.sum()))
        common = margin.target[margin.speaks] @ solution.multipliers[rows]
        for level, multiplier in zip(np.flatnonzero(margin.speaks), solution.multipliers[rows], strict=True):
            wanted = margin.target[level] * spoken_of
            line = {
                "before": before[level],
                "target": wanted,
                "after": after[level],
                "residual": after[level] - wanted,
                "reachable_low": margin.low[level] * spoken_of,
                "reachable_high": margin.high[level] * spoken_of,
                "multiplier": multiplier - common,
            }
            names = {"attribute": margin.name, "level": cells.levels[margin.name][level]}
            lines.append(names | {key: float(value) for key, value in line.items()})
    return lines


def _write(
    workspace: Workspace,
    rows: pa.Table,
    row_cells: NDArray[np.int64],
    cells: Cells,
    solution: Solution,
    certificate: dict[str, Any],
) -> None:
    """weights.parquet in the order of the plan (by cell, then sample id), margins.parquet, solution.json last."""
    weights = solution.ratios[row_cells]
    weights /= weights.mean()
    order = np.argsort(row_cells, kind="stable")  # rows come sorted by sample id
    table = pa.table({"sample_id": pc.take(rows["sample_id"], pa.array(order)), "weight": weights[order]})
    with publishing(workspace.weights) as staged:
        pq.write_table(table, staged)
    margins = [
        {"attribute": name, "level": level, "before": float(before), "after": float(after)}
        for name in cells.levels
        for level, before, after in zip(
            cells.levels[name], cells.margin(name, cells.ones), cells.margin(name, solution.ratios), strict=True
        )
    ]
    schema = pa.schema(
        [
            ("attribute", pa.string()),
            ("level", pa.string()),
            ("before", pa.float64()),
            ("after", pa.float64()),
        ]
    )
    with publishing(workspace.weights.with_name("margins.parquet")) as staged:
        pq.write_table(pa.Table.from_pylist(margins, schema=schema), staged)
    write_json(workspace.solution, certificate)
