"""Where each attribute's value comes from: read, curated, told by a rule, guessed by a model, or not there."""

from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from ingest.applicability import MISSING
from ingest.attributes import ATTRIBUTES, absent_sql, fetch
from ingest.census.counts import WHOLE_CORPUS
from ingest.census.disclosure import close, is_small
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
    connection: duckdb.DuckDBPyConnection, attributes: list[str], *, below: int, identifiable: set[str]
) -> pa.Table:
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
        hidden = _hidden(found, below, identifiable)
        for row in found:
            closed = (row["source"], row["dataset"]) in hidden
            figures = {"num_rows": row["num_rows"], "num_persons": row["num_persons"],
                       "share": row["num_rows"] / totals[row["dataset"]]}  # fmt: skip
            rows.append(
                {"attribute": attribute, "source": row["source"], "dataset": row["dataset"],
                 **({} if closed else figures), "suppressed": closed}
            )  # fmt: skip
    return pa.Table.from_pylist(rows, schema=PROVENANCE_SCHEMA)


def _hidden(rows: list[dict[str, Any]], below: int, identifiable: set[str]) -> set[tuple[str, str]]:
    """(source, data set) to hide: small ones with their complement, and the same source of the whole corpus."""
    hidden: set[tuple[str, str]] = set()
    for dataset in identifiable:
        members = [row for row in rows if row["dataset"] == dataset]
        persons = np.array([[row["num_persons"]] for row in members], dtype=np.int64).reshape(-1, 1)
        mask = close(
            persons, is_small(persons, below), rows_open=np.zeros(len(members), bool),
            columns_open=persons.sum(0) >= below, below=below,
        )  # fmt: skip
        names = [row["source"] for row, one in zip(members, mask[:, 0], strict=True) if one]
        hidden |= {(name, place) for name in names for place in (dataset, WHOLE_CORPUS)}
    return hidden
