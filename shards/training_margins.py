"""What weighting does to every attribute, targeted or not: ``weights/margins.parquet``, small cells hidden."""

from collections.abc import Collection, Sequence
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ingest.attributes import ATTRIBUTES, fetch, level_sql, quoted
from ingest.census.concentration import HEAVY_SHARE, held
from ingest.census.disclosure import Part, hidden_in_part
from ingest.sample import PERSON_HASH_SQL
from shards.cells import Cells, training_sql

Margin = tuple[str, str]
"""Attribute and level."""

MARGINS_SCHEMA = pa.schema(
    [
        ("attribute", pa.string()),
        ("level", pa.string()),
        ("num_rows", pa.int64()),
        ("num_persons", pa.int64()),
        ("before", pa.float64()),
        ("after", pa.float64()),
        ("suppressed", pa.bool_()),
    ]
)
_FIGURES = ("num_rows", "num_persons", "before", "after")


def training_margins(
    connection: duckdb.DuckDBPyConnection, cells: Cells, ratios: NDArray[np.float64], attributes: Sequence[str]
) -> list[dict[str, Any]]:
    """Share of the training rows at each level before and after, with its persons.

    A row with several labels counts under each. Cells give a margin exactly; else threads add up in any order, of
    which twelve digits are kept.
    """
    rows = []
    for name in attributes:
        known = name in cells.levels and not ATTRIBUTES[name].is_list
        found = fetch(connection, _query(name, cells.num_rows, view="training" if known else "weighed")).to_pylist()
        if known:
            after = cells.margin(name, ratios / (cells.shares @ ratios)).tolist()
            found = [row | {"after": share} for row, share in zip(found, after, strict=True)]
        rows += found
    return rows


def _query(name: str, num_rows: int, *, view: str) -> str:
    weight = "weight" if view == "weighed" else "1.0"
    return (
        f"SELECT '{name}' AS attribute, level, count(*) AS num_rows, count(DISTINCT person) AS num_persons, "
        f"count(*) / {num_rows} AS before, round(sum(weight) / {num_rows}, 12) AS after FROM "
        f"(SELECT {_levels_sql(name)} AS level, {weight} AS weight, {PERSON_HASH_SQL} AS person FROM {view}) "
        "GROUP BY level ORDER BY level"
    )


def _levels_sql(name: str) -> str:
    return f"unnest({level_sql(name)})" if ATTRIBUTES[name].is_list else level_sql(name)


def hidden_margins(
    connection: duckdb.DuckDBPyConnection,
    cells: Cells,
    attributes: Sequence[str],
    *,
    identifiable: Collection[str],
    below: int,
) -> frozenset[Margin]:
    """(attribute, level) whose training rows may not be shown, by the census's rule: they are a part of the whole."""
    names = ", ".join(f"'{quoted(dataset)}'" for dataset in sorted(identifiable))
    if not names:
        return frozenset()
    inside = f"SELECT *, {PERSON_HASH_SQL} AS person, ({training_sql(cells.has_pictures)}) AS inside FROM samples"
    guarded = f"(SELECT * FROM ({inside}) WHERE dataset IN ({names}))"

    def persons(keys: str, rows: str) -> list[dict[str, Any]]:
        """Of the whole and of the part inside it; one row per person first, which is cheaper than counting distinct."""
        each = f"SELECT {keys}, bool_or(inside) AS inside FROM {rows} GROUP BY {keys}, person"
        query = f"SELECT {keys}, count(*) AS whole, count(*) FILTER (inside) AS part FROM ({each}) GROUP BY {keys}"
        return fetch(connection, query).to_pylist()

    totals = persons("dataset", guarded)
    hidden: set[Margin] = set()
    for name in attributes:
        levelled = f"(SELECT dataset, person, inside, {_levels_sql(name)} AS level FROM {guarded})"
        counted = persons("level, dataset", levelled)
        part, whole = (
            Part(
                {(row["level"], row["dataset"]): row[side] for row in counted},
                {row["dataset"]: row[side] for row in totals if row[side]},
            )
            for side in ("part", "whole")
        )
        closed = hidden_in_part(part, whole, adds_up=not ATTRIBUTES[name].is_list, below=below)
        hidden |= {(name, level) for level, _ in closed}
    return frozenset(hidden)


def heavy_notes(connection: duckdb.DuckDBPyConnection, *, identifiable: Collection[str]) -> list[str]:
    """A line where one person makes up much of the training rows, or of what is drawn; reads the view ``weighed``."""
    row = fetch(
        connection,
        "WITH persons AS (SELECT dataset, count(*) AS num_rows, sum(weight) AS drawn FROM "
        f"(SELECT dataset, weight, {PERSON_HASH_SQL} AS person FROM weighed) GROUP BY dataset, person) "
        "SELECT dataset, num_rows / sum(num_rows) OVER () AS rows, drawn / sum(drawn) OVER () AS draws FROM persons "
        "ORDER BY greatest(rows, draws) DESC, dataset LIMIT 1",
    ).to_pylist()[0]
    if max(row["rows"], row["draws"]) < HEAVY_SHARE:
        return []
    rows, draws = (held(row[name], told=row["dataset"] not in identifiable) for name in ("rows", "draws"))
    return [f"{row['dataset']}: one person holds {rows} of the training rows and {draws} of the draws"]


def hide(margins: list[dict[str, Any]], hidden: frozenset[Margin]) -> pa.Table:
    """MARGINS_SCHEMA without the figures of ``hidden`` margins; one without any training row says so as little."""
    empty = dict.fromkeys(_FIGURES) | {"suppressed": True}
    shown = [row | {"suppressed": False} for row in margins if (row["attribute"], row["level"]) not in hidden]
    shown += [{"attribute": attribute, "level": level, **empty} for attribute, level in hidden]
    order = {name: place for place, name in enumerate(dict.fromkeys(row["attribute"] for row in margins))}
    shown.sort(key=lambda row: (order.get(row["attribute"], len(order)), row["level"]))
    return pa.Table.from_pylist(shown, schema=MARGINS_SCHEMA)
