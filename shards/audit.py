"""What a run really drew, held against its plan, its weights and their targets."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ingest.attributes import connect_samples, fetch, level_sql
from ingest.errors import BadInput
from ingest.workspace import Workspace
from shards.draw_log import PLAN_NAME, logged_epochs, read_draw_log
from shards.plan import draw_counts
from shards.repetition import caps_of

MARGIN_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Margin:
    """A level's share of the draws: wanted, under the weights, realised; and how far rounding may take it.

    target: None where so few persons have the level that its figures may not be told.
    """

    attribute: str
    level: str
    target: float | None
    weighted: float
    realised: float
    rounding: float

    @property
    def error(self) -> float:
        return abs(self.realised - self.weighted)

    @property
    def problem(self) -> str:
        """What to say where the draws do not follow the weights."""
        if self.target is None:
            return f"{self.attribute} {self.level}: drawn otherwise than weighted; figures suppressed"
        return (
            f"{self.attribute} {self.level}: expected a share of {self.weighted:.4f} (target {self.target:.4f}), got "
            f"{self.realised:.4f}"
        )


@dataclass(frozen=True)
class AuditedEpoch:
    """One epoch of a log. most_distinct: rows that could be drawn at all under the weights, in expectation."""

    epoch: int
    num_planned: int
    num_drawn: int
    num_distinct: int
    most_distinct: float
    margins: list[Margin]
    problems: list[str]

    def __str__(self) -> str:
        text = (
            f"epoch {self.epoch}: {self.num_drawn:,} of {self.num_planned:,} draws, {self.num_distinct:,} different "
            f"rows (most possible {self.most_distinct:,.0f})"
        )
        shown = [margin for margin in self.margins if margin.target is not None]
        if not shown:
            return text
        worst = max(shown, key=lambda margin: margin.error)
        return (
            f"{text}; largest error of {len(shown)} margins {worst.error:.1e}: {worst.attribute} {worst.level} "
            f"target {worst.target:.4f}, weighted {worst.weighted:.4f}, realised {worst.realised:.4f}"
        )


def audit_draws(workspace: Workspace, folder: Path) -> list[AuditedEpoch]:
    """Every epoch of the log in ``folder``. An epoch that was not finished is held against its rows only.

    Raises: BadInput where there is no log.
    """
    if not (folder / PLAN_NAME).exists():
        raise BadInput(f"{folder}: expected a draw log, got none")
    plan = json.loads((folder / PLAN_NAME).read_text())
    weights = pq.read_table(workspace.weights)
    connection = connect_samples(workspace.samples)
    connection.register("weighed", weights)
    return [_audited(connection, workspace, plan, weights, folder, epoch) for epoch in logged_epochs(folder)]


def drawn_too_often(workspace: Workspace, folder: Path) -> list[str]:
    """A line for every data set of which the whole log in ``folder`` drew a row more often than its cap allows."""
    caps = caps_of(workspace.solution)
    logs = [read_draw_log(folder, epoch) for epoch in logged_epochs(folder)]
    if not caps or not logs:
        return []
    connection = connect_samples(workspace.samples)
    connection.register("logged", pa.concat_tables(logs))
    worst = connection.execute(
        """SELECT dataset, max(times) FROM
             (SELECT sample_id, sum("count") AS times FROM logged GROUP BY sample_id) JOIN samples USING (sample_id)
           GROUP BY dataset ORDER BY dataset"""
    ).fetchall()
    return [
        f"max_repeats of {name}: expected at most {caps[name]} draws of a row over the run, got {int(times)}"
        for name, times in worst
        if name in caps and times > caps[name]
    ]


def _audited(
    connection: duckdb.DuckDBPyConnection,
    workspace: Workspace,
    plan: dict[str, Any],
    weights: pa.Table,
    folder: Path,
    epoch: int,
) -> AuditedEpoch:
    planned = draw_counts(
        weights["weight"].to_numpy(), epoch=epoch,
        num_epochs=plan["num_epochs"], num_draws=plan["num_draws"], seed=plan["seed"],
    )  # fmt: skip
    drawn, strangers = _drawn_per_row(connection, read_draw_log(folder, epoch))
    problems = [f"epoch {epoch}: {strangers} logged samples have no weight: weighed again since?"] if strangers else []
    is_whole = int(drawn.sum()) == plan["num_draws"]
    if wrong := int(((drawn != planned) if is_whole else (drawn > planned)).sum()):
        problems.append(f"epoch {epoch}: {wrong} rows were drawn otherwise than planned")
    margins = list(_margins(connection, workspace, weights, drawn)) if is_whole else []
    for margin in margins:
        if margin.error > max(MARGIN_TOLERANCE, margin.rounding):
            problems.append(f"epoch {epoch}: {margin.problem}")
    values = weights["weight"].to_numpy()
    most = float(np.minimum(1, plan["num_draws"] * values / values.sum()).sum())
    return AuditedEpoch(
        epoch, plan["num_draws"], int(drawn.sum()), int((drawn > 0).sum()), most, margins, problems
    )  # fmt: skip


def _drawn_per_row(connection: duckdb.DuckDBPyConnection, log: pa.Table) -> tuple[NDArray[np.int64], int]:
    """How often each weighed row was drawn, in the order of the weights; and how many drawn samples have no weight."""
    connection.register("logged", log)
    counts = connection.execute(
        """SELECT coalesce(times, 0) AS times
           FROM (SELECT *, row_number() OVER () AS place FROM weighed)
           LEFT JOIN (SELECT sample_id, sum("count") AS times FROM logged GROUP BY sample_id) USING (sample_id)
           ORDER BY place"""
    ).fetchnumpy()["times"]
    ((num_strangers,),) = connection.execute(
        "SELECT count(*) FROM (SELECT DISTINCT sample_id FROM logged) ANTI JOIN weighed USING (sample_id)"
    ).fetchall()
    return np.asarray(counts, dtype=np.int64), int(num_strangers)


def _margins(
    connection: duckdb.DuckDBPyConnection, workspace: Workspace, weights: pa.Table, drawn: NDArray[np.int64]
) -> Iterator[Margin]:
    """Every margin of the certificate, realised.

    Draws are systematic along the order of the weights: each unbroken run of rows of a level is drawn within
    one of its expectation, so that a level of r runs in M draws is off by less than r / M.
    """
    lines = json.loads(workspace.solution.read_text())["margins"]
    total, values = int(drawn.sum()), weights["weight"].to_numpy()
    for attribute in dict.fromkeys(line["attribute"] for line in lines):
        levels = _levels(connection, attribute)
        for line in (line for line in lines if line["attribute"] == attribute):
            has = _has(levels, line["level"])
            runs = int(has[0]) + int((has[1:] & ~has[:-1]).sum())
            yield Margin(
                attribute, line["level"], line["target"],
                float(values[has].sum() / values.sum()), float(drawn[has].sum() / total), runs / total,
            )  # fmt: skip


def _levels(connection: duckdb.DuckDBPyConnection, attribute: str) -> pa.ChunkedArray:
    """The level, or the list of levels, of each weighed row, in the order of the weights."""
    query = f"""SELECT {level_sql(attribute)} AS level
                FROM (SELECT sample_id, row_number() OVER () AS place FROM weighed)
                JOIN samples USING (sample_id) ORDER BY place"""
    return fetch(connection, query)["level"]


def _has(levels: pa.ChunkedArray, level: str) -> NDArray[np.bool_]:
    """[N] which rows have ``level``."""
    if not pa.types.is_list(levels.type):
        return np.asarray(pc.equal(levels, level))
    column = levels.combine_chunks()
    has = np.zeros(len(column), dtype=bool)
    has[np.asarray(pc.list_parent_indices(column))[np.asarray(pc.equal(pc.list_flatten(column), level))]] = True
    return has
