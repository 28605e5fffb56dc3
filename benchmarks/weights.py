"""Bounded calibration against row-level raking, 3.44 M rows, 10 attributes, 103 margins, weights in [0.05, 20].

    python -m benchmarks.weights [--rows 3440000]

The same rows and the same targets in the same run. Row-level raking (iterative proportional fitting) three ways:
``ipfn`` in its form for data frames (its dense table of all combinations would have 2e9 entries), run to the end on one
million rows, and on all of them one sweep, multiplied by the sweeps that raking needed; our own numpy raking over
integer codes, the fastest row-level form we could write, whole; and that raking, trimmed to the bounds. Calibration
reads the samples table itself; all raking is handed codes.
"""

import argparse
import json
import platform
import shutil
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
import pandas as pd
import psutil
from numpy.typing import NDArray

from benchmarks._large_corpus import LEVELS, NUM_ROWS, draw_codes, write_samples
from ingest.attributes import connect_samples
from shards.cells import Cells, collapse, effective_share
from shards.margins import Limits, Met, margin_lines, meet
from shards.targets import Target, goal_of
from shards.weights import GAP_TOLERANCE

RESULTS = Path(__file__).parent / "results" / "weights.json"
LOWER, UPPER = 0.05, 20.0
STRENGTH = 0.4
MARGIN_TOLERANCE = 1e-6
RAKING_SWEEPS = 2_000
OUTRIGHT_ROWS = 1_000_000
"""What ``ipfn`` gets through to the end of in about two minutes."""
Vector = NDArray[np.float64]


def timed(act: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """What ``act`` returns, with wall and CPU seconds."""
    wall, cpu = perf_counter(), process_time()
    result = act()
    return result, {"seconds": round(perf_counter() - wall, 3), "cpu_seconds": round(process_time() - cpu, 3)}


def calibrate(cells: Cells) -> Met:
    """Every attribute part of the way to uniform, clipped to what the bounds can reach."""
    targets = {name: Target(toward="uniform", strength=STRENGTH) for name in LEVELS}
    goals = {name: goal_of(name, t, cells.levels[name], cells.margin(name, cells.ones)) for name, t in targets.items()}
    limits = Limits(lower=LOWER, upper=UPPER, min_effective_share=0.0)
    return meet(cells, targets, {name: goal for name, goal in goals.items() if goal is not None}, limits)


def rake(codes: dict[str, NDArray[np.int64]], targets: dict[str, Vector]) -> tuple[Vector, int, float]:
    """Row-level raking without bounds until every margin is met: weights [N], sweeps, largest residual."""
    num_rows = len(next(iter(codes.values())))
    weights = np.ones(num_rows)
    largest = np.inf
    num_sweeps = 0
    while largest > MARGIN_TOLERANCE and num_sweeps < RAKING_SWEEPS:
        num_sweeps += 1
        largest = 0.0
        for name, code in codes.items():
            margin = np.bincount(code, weights=weights, minlength=len(targets[name])) / num_rows
            largest = max(largest, float(np.abs(margin - targets[name]).max()))
            weights *= (targets[name] / margin)[code]
    return weights, num_sweeps, largest


def trim(weights: Vector) -> Vector:
    """What is done to raked weights in practice: cut to the bounds, then to mean 1 again."""
    cut = np.clip(weights / weights.mean(), LOWER, UPPER)
    trimmed: Vector = cut / cut.mean()
    return trimmed


def miss(weights: Vector, codes: dict[str, NDArray[np.int64]], targets: dict[str, Vector]) -> tuple[float, float]:
    """Largest residual of a margin, and largest relative to its target."""
    residuals = {
        name: np.bincount(code, weights=weights, minlength=len(targets[name])) / weights.sum() - targets[name]
        for name, code in codes.items()
    }
    return (
        max(float(np.abs(residual).max()) for residual in residuals.values()),
        max(float(np.abs(residual / targets[name]).max()) for name, residual in residuals.items()),
    )


def ipfn(codes: dict[str, NDArray[np.int64]], targets: dict[str, Vector], *, num_sweeps: int) -> tuple[Vector, float]:
    """Weights [N] and CPU seconds of ``num_sweeps`` sweeps of the package ``ipfn``, in its form for data frames."""
    from ipfn.ipfn import ipfn as Ipfn

    frame = pd.DataFrame(codes)
    frame["total"], frame["row"] = 1.0, np.arange(len(frame))
    wanted = [
        pd.Series(targets[name] * len(frame), index=pd.RangeIndex(len(targets[name]), name=name)) for name in codes
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # It sweeps while its counter, from 0, is at most max_iteration: once more than the name says.
        solver = Ipfn(
            frame, wanted, [[name] for name in codes], max_iteration=num_sweeps - 1, convergence_rate=0.0,
            rate_tolerance=-1.0,
        )  # fmt: skip
        raked, took = timed(solver.iteration)
    return raked.sort_values("row")["total"].to_numpy(), took["cpu_seconds"]


@dataclass(frozen=True)
class Calibrated:
    """Our solution with its time, and the same rows and targets as both kinds of raking are handed them."""

    cells: Cells
    met: Met
    took: dict[str, dict[str, float]]
    codes: dict[str, NDArray[np.int64]]
    wanted: dict[str, Vector]

    @classmethod
    def of(cls, num_rows: int, folder: Path) -> "Calibrated":
        samples = folder / f"samples-{num_rows}"
        write_samples(samples, num_rows=num_rows, seed=1)
        connection = connect_samples(samples)
        cells, collapsing = timed(lambda: collapse(connection, list(LEVELS)))
        met, solving = timed(lambda: calibrate(cells))
        shutil.rmtree(samples)
        wanted = {
            margin.name: np.bincount(
                [LEVELS[margin.name].index(level) for level in cells.levels[margin.name]],
                weights=margin.target, minlength=len(LEVELS[margin.name]),
            )
            for margin in met.margins
        }  # fmt: skip
        codes = {name: code.astype(np.int64) for name, code in draw_codes(num_rows, seed=1).items()}
        return cls(cells, met, {"collapse": collapsing, "solve": solving}, codes, wanted)

    @property
    def seconds(self) -> dict[str, float]:
        """Of collapse and solve together."""
        return {key: round(sum(each[key] for each in self.took.values()), 3) for key in ("seconds", "cpu_seconds")}

    @property
    def largest_residual(self) -> float:
        return max(abs(line["residual"]) for line in margin_lines(self.cells, self.met.solution.ratios, self.met))


def outright(num_rows: int, folder: Path) -> dict[str, Any]:
    """``ipfn`` run to the end, as many sweeps as margins within 1e-6 take, beside ours on the same rows."""
    ours = Calibrated.of(num_rows, folder)
    _, num_sweeps, _ = rake(ours.codes, ours.wanted)
    weights, cpu_seconds = ipfn(ours.codes, ours.wanted, num_sweeps=num_sweeps)
    return {
        "num_rows": num_rows,
        "times_faster_than_ipfn": round(cpu_seconds / ours.seconds["cpu_seconds"], 1),
        "calibration": {
            **ours.seconds, "largest_residual": ours.largest_residual,
            "max_weight": float(ours.met.solution.ratios.max()),
        },
        "ipfn": {
            "cpu_seconds": round(cpu_seconds, 1), "num_sweeps": num_sweeps,
            "largest_residual": miss(weights, ours.codes, ours.wanted)[0], "max_weight": float(weights.max()),
        },
    }  # fmt: skip


def measure(num_rows: int, folder: Path) -> dict[str, Any]:
    """Every figure at full size, where ``ipfn`` is extrapolated from one sweep."""
    ours = Calibrated.of(num_rows, folder)
    solution, seconds = ours.met.solution, ours.seconds
    (raked, sweeps, largest), raking = timed(lambda: rake(ours.codes, ours.wanted))
    trimmed = trim(raked)
    missed, missed_relative = miss(trimmed, ours.codes, ours.wanted)
    _, sweep_seconds = ipfn(ours.codes, ours.wanted, num_sweeps=1)
    return {
        "times_faster_than_ipfn_extrapolated": round(sweep_seconds * sweeps / seconds["cpu_seconds"], 1),
        "times_faster_than_raking_in_numpy": round(raking["cpu_seconds"] / seconds["cpu_seconds"], 1),
        "calibration": {
            **seconds, **ours.took, "num_cells": len(ours.cells.shares),
            "num_margins": len(margin_lines(ours.cells, solution.ratios, ours.met)),
            "largest_residual": ours.largest_residual, "duality_gap": solution.gap,
            "gap_allowed": GAP_TOLERANCE * (1 + abs(solution.primal)), "feasible": solution.feasible,
            "num_iterations": solution.num_iterations, "min_weight": float(solution.ratios.min()),
            "max_weight": float(solution.ratios.max()),
            "effective_share": effective_share(ours.cells.shares, solution.ratios),
        },
        "raking": {
            **raking, "num_sweeps": sweeps, "largest_residual": largest, "min_weight": float(raked.min()),
            "max_weight": float(raked.max()), "effective_share": float(raked.sum() ** 2 / (raked @ raked) / num_rows),
        },
        "raking_then_trimming": {
            "largest_residual": missed, "largest_residual_of_target": missed_relative,
            "max_weight": float(trimmed.max()),
        },
        "ipfn": {
            "cpu_seconds_per_sweep": sweep_seconds, "cpu_seconds_of_all_sweeps": round(sweep_seconds * sweeps, 1)
        },
    }  # fmt: skip


def main() -> None:
    """Measure once and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=NUM_ROWS)
    num_rows = parser.parse_args().rows
    folder = Path(tempfile.mkdtemp(prefix="weights_"))
    try:
        measured = {"ipfn_outright": outright(min(num_rows, OUTRIGHT_ROWS), folder)} | measure(num_rows, folder)
    finally:
        shutil.rmtree(folder)
    results = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": {"cpus": psutil.cpu_count(), "python": platform.python_version(), "system": platform.platform()},
        "num_rows": num_rows,
        **measured,
    }
    text = json.dumps(results, indent=2)
    print(text)
    if num_rows == NUM_ROWS:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(text + "\n")


if __name__ == "__main__":
    main()
