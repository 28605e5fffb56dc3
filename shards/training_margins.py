"""What weighting does to every attribute, targeted or not: ``weights/margins.parquet``, small cells hidden."""

import itertools
from collections.abc import Collection, Sequence
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ingest.attributes import ATTRIBUTES, fetch, level_sql, quoted
from ingest.sample import PERSON_HASH_SQL
from shards.cells import Cells

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
    connection: duckdb.DuckDBPyConnection,
    cells: Cells,
    ratios: NDArray[np.float64],
    attributes: Sequence[str],
    *,
    identifiable: Collection[str],
) -> list[dict[str, Any]]:
    """Share of the training rows at each level before and after, with its persons.

    ``num_guarded``: persons of ``identifiable`` data sets. A row with several labels counts under each. Cells give a
    margin exactly; else threads add up in any order, of which twelve digits are kept.
    """
    rows = []
    for name in attributes:
        known = name in cells.levels
        query = _query(name, cells.num_rows, view="training" if known else "weighed", identifiable=identifiable)
        found = fetch(connection, query).to_pylist()
        if known:
            after = cells.margin(name, ratios / (cells.shares @ ratios)).tolist()
            found = [row | {"after": share} for row, share in zip(found, after, strict=True)]
        rows += found
    return rows


def _query(name: str, num_rows: int, *, view: str, identifiable: Collection[str]) -> str:
    level = f"unnest({level_sql(name)})" if ATTRIBUTES[name].is_list else level_sql(name)
    weight = "weight" if view == "weighed" else "1.0"
    names = ", ".join(f"'{quoted(dataset)}'" for dataset in sorted(identifiable))
    guarded = f"count(DISTINCT person) FILTER (dataset IN ({names}))" if names else "0"
    return (
        f"SELECT '{name}' AS attribute, level, count(*) AS num_rows, count(DISTINCT person) AS num_persons, "
        f"{guarded} AS num_guarded, count(*) / {num_rows} AS before, round(sum(weight) / {num_rows}, 12) AS after FROM "
        f"(SELECT {level} AS level, dataset, {weight} AS weight, {PERSON_HASH_SQL} AS person FROM {view}) "
        "GROUP BY level ORDER BY level"
    )


def hide_small(margins: list[dict[str, Any]], *, below: int) -> pa.Table:
    """MARGINS_SCHEMA without the figures of levels of 1 to ``below - 1`` guarded persons.

    Where an attribute hides exactly one level the smallest other is hidden too, or the total would give it back.
    """
    rows = []
    for _, group in itertools.groupby(margins, key=lambda row: row["attribute"]):
        levels = sorted(group, key=lambda row: row["num_persons"])
        hidden = [row["level"] for row in levels if 1 <= row["num_guarded"] < below]
        if len(hidden) == 1:
            hidden += [row["level"] for row in levels if row["level"] not in hidden][:1]
        for row in sorted(levels, key=lambda row: row["level"]):
            suppressed = row["level"] in hidden
            rows.append(row | {"suppressed": suppressed} | (dict.fromkeys(_FIGURES) if suppressed else {}))
    return pa.Table.from_pylist(rows, schema=MARGINS_SCHEMA)
