"""Where each attribute's value comes from: read, curated, told by a rule, guessed by a model, or not there."""

from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from ingest.applicability import MISSING, NOT_APPLICABLE
from ingest.attributes import ATTRIBUTES, absent_sql, fetch
from ingest.census.counts import WHOLE_CORPUS
from ingest.census.disclosure import close, is_small
from ingest.census.guard import NOBODY, Guard
from ingest.errors import GateRefused
from ingest.sample import COLUMNS, PERSON_HASH_SQL, Source

PROVENANCE_SCHEMA = pa.schema(
    [
        ("attribute", pa.string()),
        ("source", pa.string()),
        ("dataset", pa.string()),
        ("num_rows", pa.int64()),
        ("num_persons", pa.int64()),
        ("share", pa.float64()),
        ("suppressed", pa.bool_()),
    ]
)


def source_sql(attribute: str) -> str:
    """Where a row's level comes from. Columns without a source of their own are copied from the data set's metadata."""
    column = f"{attribute}_source"
    absent = f"({ATTRIBUTES[attribute].sql}) IS NULL"
    if ATTRIBUTES[attribute].is_list:
        absent = f"coalesce(len({ATTRIBUTES[attribute].sql}), 0) = 0"
    known = f"coalesce({column}, '{MISSING}')" if column in COLUMNS else f"'{Source.METADATA}'"
    return f"CASE WHEN {absent} THEN {absent_sql(attribute)} ELSE {known} END"


def provenance(
    connection: duckdb.DuckDBPyConnection, attributes: list[str], *, guard: Guard = NOBODY
) -> pa.Table:  # fmt: skip
    """PROVENANCE_SCHEMA: each attribute's sources per data set and in the whole corpus."""
    rows: list[dict[str, Any]] = []
    for attribute in attributes:
        found = fetch(
            connection,
            f"WITH sourced AS (SELECT dataset, {PERSON_HASH_SQL} AS person, {source_sql(attribute)} AS source "
            "FROM samples) "
            f"SELECT source, coalesce(dataset, '{WHOLE_CORPUS}') AS dataset, count(*) AS num_rows, "
            "count(DISTINCT person) AS num_persons FROM sourced "
            "GROUP BY GROUPING SETS ((source, dataset), (source)) ORDER BY ALL",
        ).to_pylist()
        totals: dict[str, int] = {}
        for row in found:
            totals[row["dataset"]] = totals.get(row["dataset"], 0) + row["num_rows"]
        hidden = _hidden(found, attribute, guard)
        for row in found:
            closed = (row["source"], row["dataset"]) in hidden
            figures = {"num_rows": row["num_rows"], "num_persons": row["num_persons"],
                       "share": row["num_rows"] / totals[row["dataset"]]}  # fmt: skip
            rows.append(
                {"attribute": attribute, "source": row["source"], "dataset": row["dataset"],
                 **({} if closed else figures), "suppressed": closed}
            )  # fmt: skip
    return pa.Table.from_pylist(rows, schema=PROVENANCE_SCHEMA)


def _hidden(rows: list[dict[str, Any]], attribute: str, guard: Guard) -> set[tuple[str, str]]:
    """(source, data set) to hide: small ones with others beside them, and the same source of the whole corpus.

    What is missing or does not apply is hidden just as the counts hide it; where they show it, it protects nothing.
    """
    hidden: set[tuple[str, str]] = set()
    for dataset in guard.datasets:
        closed = {*guard.levels(attribute, dataset), *guard.levels(f"{attribute}_source", dataset)}
        members = [row for row in rows if row["dataset"] == dataset
                   and (row["source"] not in (MISSING, NOT_APPLICABLE) or row["source"] in closed)]  # fmt: skip
        persons = np.array([[row["num_persons"]] for row in members], dtype=np.int64).reshape(-1, 1)
        small = is_small(persons, guard.below)
        small[:, 0] |= np.array([row["source"] in closed for row in members], bool)
        try:
            mask = close(
                persons, small, rows_open=np.zeros(len(members), bool), columns_open=np.ones(1, bool),
                below=guard.below,
            )  # fmt: skip
        except GateRefused:
            mask = np.ones_like(small)
        names = [row["source"] for row, one in zip(members, mask[:, 0], strict=True) if one]
        hidden |= {(name, place) for name in names for place in (dataset, WHOLE_CORPUS)}
    return hidden
