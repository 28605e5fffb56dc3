"""What is written down about weights: the proof, what was clipped or missed, and how baselines would have done."""

from dataclasses import dataclass
from time import process_time
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ingest.census.disclosure import is_small
from shards.baselines import BASELINES
from shards.cells import Cells, effective_share
from shards.margins import Limits, Met, margin_lines
from shards.plan import draw_counts
from shards.weights import OBJECTIVES, SLACK

Vector = NDArray[np.float64]
Row = dict[str, Any]
Method = Literal["calibration", "none", "inverse", "sqrt", "power", "effective_number", "kamiran_calders", "dataset"]
"""``[weights] method``: calibration, or a name of shards.baselines.BASELINES."""

NUM_MISSED = 5
"""How many of the farthest margins are listed where targets contradict each other."""


@dataclass(frozen=True)
class Compared:
    """One method's ratios [C] and what they cost."""

    ratios: Vector
    line: Row


def compare(cells: Cells, met: Met, attributes: list[str], limits: Limits) -> dict[str, Compared]:
    """Calibration and every baseline, each judged by the same margins, bounds and caps."""
    compared = {
        "calibration": Compared(met.solution.ratios, _line("calibration", cells, met.solution.ratios, met, limits))
    }
    for method, baseline in BASELINES.items():
        start = process_time()
        ratios = baseline(cells, attributes)
        line = _line(method, cells, ratios, met, limits)
        compared[method] = Compared(ratios, line | {"cpu_seconds": process_time() - start})
    return compared


def _line(method: str, cells: Cells, ratios: Vector, met: Met, limits: Limits) -> Row:
    """What a method costs. The farthest margin is one that may be told, as are counts of rows and extreme weights: the
    weight of a small group under "inverse" is its size.
    """
    lines = margin_lines(cells, ratios, met)
    shown = [line for line in lines if (line["attribute"], line["level"]) not in cells.hidden]
    outside = (ratios < limits.lower * (1 - SLACK)) | (ratios > limits.upper * (1 + SLACK))
    return {
        "method": method,
        "largest_residual": max((abs(line["residual"]) for line in shown), default=None if lines else 0.0),
        "effective_share": effective_share(cells.shares, ratios),
        "min_weight": _extreme(cells, ratios, float(ratios.min())),
        "max_weight": _extreme(cells, ratios, float(ratios.max())),
        "num_rows_outside_bounds": _num_rows(cells, outside),
        "num_rows_above_cap": _num_rows(cells, ratios > cells.caps * (1 + SLACK)),
    }


def _extreme(cells: Cells, ratios: Vector, weight: float) -> float | None:
    """The weight, unless the rows that have it are so few that they may not be counted."""
    return None if _num_rows(cells, np.isclose(ratios, weight, rtol=1e-9)) is None else weight


def certify(
    cells: Cells, met: Met, compared: dict[str, Compared], method: str, limits: Limits, *, draws_per_epoch: int
) -> Row:
    """The certificate of the weights in use, as solution.json holds it (without seconds and levels removed).

    A baseline solves nothing: it has neither a duality gap nor multipliers. Hidden margins keep their names alone:
    every figure is null.
    """
    solution, ratios = met.solution, compared[method].ratios
    solved = method == "calibration"
    lines = margin_lines(cells, ratios, met)
    for line in lines:
        line.pop("given")
        if not solved:
            line["multiplier"] = None
    missed = _missed(lines) if solved and not solution.feasible else []
    return {
        "method": method,
        "margins": _veiled(lines, cells),
        "duality_gap": solution.gap if solved else None,
        "converged": solution.converged if solved else None,
        "feasible": solution.feasible,
        "effective_share": effective_share(cells.shares, ratios),
        "max_weight": float(ratios.max()),
        "min_weight": float(ratios.min()),
        "kl": float(cells.shares @ OBJECTIVES["kl"].phi(ratios)),
        "num_rows_at_lower": _num_rows(cells, ratios <= limits.lower * (1 + SLACK)),
        "num_rows_at_upper": _num_rows(cells, ratios >= limits.upper * (1 - SLACK)),
        "num_rows_at_cap": _num_rows(cells, ratios >= cells.caps * (1 - SLACK)),
        "strength_factor": met.strength_factor,
        "clipped": _veiled(_clipped(cells, met), cells),
        "missed": _veiled(missed, cells),
        "largest_draw_error": _draw_error(
            cells, ratios, [margin.name for margin in met.margins], num_draws=draws_per_epoch
        ),
        "comparison": [one.line for one in compared.values()],
        "softness": solution.softness,
        "num_cells": len(cells.shares),
        "num_rows": cells.num_rows,
        "has_pictures": cells.has_pictures,
        "num_iterations": solution.num_iterations,
    }


def _veiled(lines: list[Row], cells: Cells) -> list[Row]:
    """The lines, without the figures of hidden margins."""
    return [
        {key: value if key in ("attribute", "level") else None for key, value in line.items()}
        if (line["attribute"], line["level"]) in cells.hidden
        else line
        for line in lines
    ]


def _num_rows(cells: Cells, chosen: NDArray[np.bool_]) -> int | None:
    """Rows of the cells chosen; None where those of identifiable data sets are too few to be counted in public."""
    identifiable = np.isin(cells.levels["dataset"], list(cells.guarded))[cells.codes["dataset"]]
    rows, guarded = (
        round(float(cells.shares[each].sum()) * cells.num_rows) for each in (chosen, chosen & identifiable)
    )
    return None if is_small(guarded, cells.below) else rows


def _clipped(cells: Cells, met: Met) -> list[Row]:
    """Levels whose target was moved into the interval that the bounds can reach; shares among the levels spoken of."""
    return [
        {
            "attribute": attribute,
            "level": level,
            "wanted": float(margin.wanted[place]),
            "target": float(margin.target[place]),
            "reachable_low": float(margin.low[place]),
            "reachable_high": float(margin.high[place]),
        }
        for margin in met.margins
        for place, attribute, level in cells.told(margin.name)
        if margin.speaks[place] and not margin.low[place] - SLACK <= margin.wanted[place] <= margin.high[place] + SLACK
    ]


def _missed(lines: list[Row]) -> list[Row]:
    """Where targets contradict each other: the margins that are farthest from theirs."""
    farthest = sorted(lines, key=lambda line: -abs(line["residual"]))[:NUM_MISSED]
    return [{key: line[key] for key in ("attribute", "level", "target", "after", "residual")} for line in farthest]


def _draw_error(cells: Cells, ratios: Vector, attributes: list[str], *, num_draws: int) -> float:
    """How far the margins of one epoch of whole draws lie from the weighted ones, at most.

    Rows are drawn in the order of cells, so an epoch's draws of a cell follow from the cells alone.
    """
    weights = cells.shares * ratios
    drawn = draw_counts(weights, epoch=0, num_epochs=None, num_draws=num_draws, seed=0) / num_draws
    errors = [
        np.abs(cells.margin(name, drawn / cells.shares) - cells.margin(name, ratios / weights.sum())).max()
        for name in attributes
    ]
    return float(max(errors, default=0.0))
