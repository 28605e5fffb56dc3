"""The weigh stage: cells of the training rows, targets, one solution, a weight per row, the certificate."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ingest.attributes import ATTRIBUTES, connect_samples
from ingest.errors import BadInput, GateRefused
from ingest.workspace import Workspace, publishing, write_json
from shards.cells import Cells, collapse, effective_share, spread
from shards.certificate import Method, certify, compare
from shards.margins import Limits, meet
from shards.presence import label_set_sql, presence_goals, with_presences
from shards.targets import Goal, Target, check_levels, goal_of
from shards.training_margins import heavy_notes, hidden_margins, hide, training_margins
from shards.weights import SOFTNESS

ROWS_PER_BATCH = 122_880
SHOWN_LEVELS = 5
EVERY_LEVEL = ["every level"]
"""Instead of levels without rows: none that a target speaks of has any."""
LARGEST_NUM_LEVELS = 2_000
"""Levels of all targets together: the solver holds a square matrix of them."""
_SUMMARY = (
    "duality_gap", "effective_share", "max_weight", "strength_factor", "num_cells", "num_rows", "seconds", "notes",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class WeightsConfig:
    """The ``[weights]`` table. A ``method`` other than "calibration" is a baseline: it knows no target and no bound."""

    method: Method = "calibration"
    lower: float = 0.05
    upper: float = 20.0
    softness: float = SOFTNESS
    min_effective_share: float = 0.5
    targets: dict[str, Target] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 <= self.lower <= self.upper:
            raise ValueError(f"expected 0 <= lower <= upper, got lower {self.lower}, upper {self.upper}")
        if not self.lower <= 1 <= self.upper:
            raise ValueError(f"expected lower <= 1 <= upper, got lower {self.lower}, upper {self.upper}")
        if not 1e-9 <= self.softness <= 1:
            raise ValueError(f"softness: expected 1e-9 to 1, got {self.softness}")
        if not 0 <= self.min_effective_share <= 1:
            raise ValueError(f"min_effective_share: expected 0 to 1, got {self.min_effective_share}")
        for attribute, target in self.targets.items():
            check_levels(attribute, target)

    @property
    def limits(self) -> Limits:
        return Limits(
            lower=self.lower, upper=self.upper, min_effective_share=self.min_effective_share, softness=self.softness
        )


def weigh(
    workspace: Workspace,
    config: WeightsConfig,
    *,
    attributes: list[str],
    max_repeats: Mapping[str, int | None],
    num_epochs: int,
    draws_per_epoch: int,
    identifiable: Collection[str] = (),
    suppress_below: int = 11,
) -> dict[str, Any]:
    """Solve for the weights of the training rows and write weights, certificate and margins.

    Args:
        attributes: those of the census; their margins are reported before and after, targeted or not.
        max_repeats: lifetime repetition cap per dataset, None for no cap.
        num_epochs, draws_per_epoch: the plan the caps speak of; 0 draws mean one per row.
        identifiable, suppress_below: levels that would give away 1 to suppress_below - 1 persons of these data sets
            are hidden in margins.parquet, in solution.json and in what an error says, as the census hides its own.
    Raises: BadInput for no training rows or targets with too many levels; GateRefused for a given target out of
        reach, an effective share below the floor, or a baseline that breaks a repetition cap.
    """
    start = perf_counter()
    connection = connect_samples(workspace.samples)
    cells = _cells(connection, workspace, config.targets, max_repeats, num_epochs, draws_per_epoch, config.lower)
    names = list(dict.fromkeys([*config.targets, *attributes]))
    hidden = hidden_margins(connection, cells, names, identifiable=identifiable, below=suppress_below)
    cells = replace(cells, hidden=hidden, guarded=frozenset(identifiable), below=suppress_below)
    goals, absent = _goals(cells, config)
    targets = {key: config.targets[attribute] for key in goals for _, attribute, _ in cells.told(key)}
    met = meet(cells, targets, goals, config.limits)
    compared = compare(cells, met, list(goals), config.limits)
    ratios = compared[config.method].ratios
    if config.method != "calibration":
        _check_baseline(cells, config, ratios)
    draws = draws_per_epoch or cells.num_rows
    certificate = certify(cells, met, compared, config.method, config.limits, draws_per_epoch=draws) | {
        "levels_without_rows": absent,
        "max_repeats": dict(max_repeats),
        "num_epochs": num_epochs,
        "draws_per_epoch": draws,
    }
    spread(connection, cells, ratios)
    certificate["notes"] = [*_without_rows(absent), *heavy_notes(connection, identifiable=identifiable)]
    _write_weights(connection, workspace)
    margins = hide(training_margins(connection, cells, ratios, names), hidden)
    with publishing(workspace.solution.with_name("margins.parquet")) as staged:
        pq.write_table(margins, staged)
    certificate["seconds"] = perf_counter() - start
    write_json(workspace.solution, certificate)
    return {key: certificate[key] for key in _SUMMARY}


def _cells(
    connection: duckdb.DuckDBPyConnection,
    workspace: Workspace,
    targets: Mapping[str, Target],
    max_repeats: Mapping[str, int | None],
    num_epochs: int,
    draws_per_epoch: int,
    lower: float,
) -> Cells:
    """The training rows collapsed by what targets speak of. Raises: BadInput for no rows, or too many levels."""
    labels = {name: label_set_sql(name, target.shares) for name, target in targets.items() if ATTRIBUTES[name].is_list}
    cells = collapse(connection, list(targets), sql=labels)
    if cells.num_rows == 0:
        raise BadInput(f"{workspace.samples}: expected labelled training rows, got none to weigh")
    num_levels = {name: len(cells.levels[name]) for name in targets if name not in labels}
    if sum(num_levels.values()) > LARGEST_NUM_LEVELS:
        most = max(num_levels, key=lambda name: num_levels[name])
        raise BadInput(
            f"weights.targets.{most}: expected at most {LARGEST_NUM_LEVELS:,} levels over all targets, got "
            f"{num_levels[most]:,} in {most} alone; target a coarser attribute"
        )
    for name in labels:
        cells = with_presences(cells, name)
    return cells.capped(_repetition_caps(max_repeats, cells.num_rows, num_epochs, draws_per_epoch, lower))


def _repetition_caps(
    max_repeats: Mapping[str, int | None], num_rows: int, num_epochs: int, draws_per_epoch: int, lower: float
) -> dict[str, float]:
    """Highest ratio per dataset: kappa N / (E M)."""
    draws = num_epochs * (draws_per_epoch or num_rows)
    caps = {name: cap * num_rows / draws for name, cap in max_repeats.items() if cap is not None}
    for name, cap in caps.items():
        if cap < lower:
            raise GateRefused(
                f"max_repeats of {name}: {max_repeats[name]} draws of a row over {num_epochs} epochs of "
                f"{draws // num_epochs} draws allow a weight of {cap:.3g}, below weights.lower = {lower}"
            )
    return caps


def _goals(cells: Cells, config: WeightsConfig) -> tuple[dict[str, Goal], dict[str, list[str]]]:
    """The goal of each target, of labels one each; and by attribute the levels named that have no rows.

    Raises: GateRefused for given shares of levels none of which has a row.
    """
    goals: dict[str, Goal] = {}
    absent: dict[str, list[str]] = {}
    for name, target in config.targets.items():
        if ATTRIBUTES[name].is_list:
            found, removed = presence_goals(name, target, cells)
        else:
            goal = goal_of(name, target, cells.levels[name], cells.margin(name, cells.ones))
            found, removed = ({name: goal}, goal.removed) if goal else ({}, [])
        if not found and target.is_given and not ATTRIBUTES[name].is_list:
            known = ", ".join(cells.levels[name])
            raise GateRefused(
                f"weights.targets.{name}: level {next(iter(target.shares or {}), '')}: expected training rows, got "
                f"none for any level named; all rows say {known}"
            )
        goals |= found
        removed = [level for level in removed if (name, level) not in cells.hidden]
        if removed or not found:
            absent[name] = removed if found else EVERY_LEVEL
    return goals, absent


def _without_rows(absent: dict[str, list[str]]) -> list[str]:
    """What became of targets that speak of levels no training row has, a line per attribute."""
    notes = []
    for name, levels in absent.items():
        words = ", ".join(levels[:SHOWN_LEVELS])
        if len(levels) > SHOWN_LEVELS:
            words += f" and {len(levels) - SHOWN_LEVELS} more"
        said = f"no training row has {words}; the others share what they would get"
        if levels == EVERY_LEVEL:
            said = "no training row has a level it speaks of; it moves nothing"
        notes.append(f"weights.targets.{name}: {said}")
    return notes


def _check_baseline(cells: Cells, config: WeightsConfig, ratios: NDArray[np.float64]) -> None:
    """Refuse a baseline that would draw a row more often than its dataset allows, or that wastes too many rows."""
    share = effective_share(cells.shares, ratios)
    if share < config.min_effective_share:
        raise GateRefused(
            f"weights.method = {config.method!r}: effective share {share:.3f} is below "
            f"min_effective_share = {config.min_effective_share}"
        )
    worst = int((ratios - cells.caps).argmax())
    if ratios[worst] > cells.caps[worst] * (1 + 1e-6):
        name = cells.levels["dataset"][cells.codes["dataset"][worst]]
        raise GateRefused(
            f"weights.method = {config.method!r}: max_repeats of {name}: expected a weight of at most "
            f"{cells.caps[worst]:.3g}, got {ratios[worst]:.3g}; calibration keeps the cap"
        )


def _write_weights(connection: duckdb.DuckDBPyConnection, workspace: Workspace) -> None:
    """weights.parquet in the order of the plan: by cell, then sample id."""
    ordered = connection.sql("SELECT sample_id, weight FROM weighed ORDER BY cell, sample_id")
    with publishing(workspace.weights) as staged:
        schema = pa.schema([("sample_id", pa.string()), ("weight", pa.float64())])
        with pq.ParquetWriter(staged, schema) as writer:
            for batch in ordered.to_arrow_reader(ROWS_PER_BATCH):
                writer.write_batch(batch)
