"""How pictures were taken: the ``protocol`` map (kVp, slice thickness ...) by data set (METHODS section 1).

A field is continuous where at least NUMERIC_SHARE of its values are numbers. Continuous values are one per person, the
median of its rows, so that n is the number of independent witnesses.
"""

import itertools
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import scipy.stats
from numpy.typing import NDArray

from ingest.applicability import SETTING_APPLIES
from ingest.attributes import fetch
from ingest.census.disclosure import is_small
from ingest.census.guard import NOBODY, Guard, hide_rows
from ingest.census.permutation import benjamini_hochberg
from ingest.sample import PERSON_HASH_SQL

PROTOCOL_SCHEMA = pa.schema(
    [
        ("field", pa.string()),
        ("dataset", pa.string()),
        ("num_rows", pa.int64()),
        ("num_applicable", pa.int64()),
        ("num_persons", pa.int64()),
        ("median", pa.float64()),
        ("q1", pa.float64()),
        ("q3", pa.float64()),
        ("eta2", pa.float64()),
        ("suppressed", pa.bool_()),
    ]
)
PAIRS_SCHEMA = pa.schema(
    [
        ("field", pa.string()),
        ("dataset_a", pa.string()),
        ("dataset_b", pa.string()),
        ("ks", pa.float64()),
        ("p_value", pa.float64()),
        ("q_value", pa.float64()),
        ("family_size", pa.int64()),
        ("suppressed", pa.bool_()),
    ]
)
VALUES_SCHEMA = pa.schema(
    [
        ("field", pa.string()),
        ("dataset", pa.string()),
        ("value", pa.string()),
        ("num_rows", pa.int64()),
        ("num_persons", pa.int64()),
        ("share", pa.float64()),
        ("suppressed", pa.bool_()),
    ]
)
NUMERIC_SHARE = 0.9
MAX_VALUES = 50
"""A field with more values is text, not a protocol: it is named in the notes and not listed."""
MOST_EXACT = 1_000
"""From as many persons in the smaller data set on, the Kolmogorov-Smirnov law of many is within 5 % of the exact p."""
Floats = NDArray[np.float64]


def protocol(connection: duckdb.DuckDBPyConnection, *, guard: Guard = NOBODY) -> tuple[dict[str, pa.Table], list[str]]:
    """The tables ``protocol``, ``protocol_pairs`` and ``protocol_values``, and notes on fields left out."""
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE protocol_entries AS WITH entries AS ("
        f"SELECT dataset, {PERSON_HASH_SQL} AS person, unnest(map_entries(protocol)) AS entry FROM samples) "
        "SELECT dataset, person, entry.key AS field, entry.value AS value FROM entries WHERE entry.value IS NOT NULL"
    )
    fields = fetch(
        connection,
        "SELECT field, avg(CASE WHEN isfinite(TRY_CAST(value AS DOUBLE)) THEN 1.0 ELSE 0.0 END) AS numeric, "
        "count(DISTINCT value) AS num_values FROM protocol_entries GROUP BY field ORDER BY field",
    ).to_pylist()
    continuous = [row["field"] for row in fields if row["numeric"] >= NUMERIC_SHARE]
    listed = [row["field"] for row in fields if row["numeric"] < NUMERIC_SHARE and row["num_values"] <= MAX_VALUES]
    text = [row["field"] for row in fields if row["field"] not in (*continuous, *listed)]
    notes = [f"protocol: {name} has more than {MAX_VALUES} values and is not listed" for name in text]
    lines, pairs = [], []
    for field in continuous:
        values = _values(connection, field)
        applicable = _applicable(connection, field)
        hidden = _hidden(field, {name: [len(value)] for name, value in values.items()}, applicable, guard)
        lines += _describe(connection, field, values, applicable, hidden)
        pairs += [row | {"suppressed": bool({row["dataset_a"], row["dataset_b"]} & hidden)}
                  for row in _compare(field, values)]  # fmt: skip
    q_values = benjamini_hochberg(np.array([row["p_value"] for row in pairs]))
    for row, q in zip(pairs, q_values, strict=True):
        row |= {"q_value": float(q), "family_size": len(pairs)}
    tables = {
        "protocol": pa.Table.from_pylist(lines, schema=PROTOCOL_SCHEMA),
        "protocol_pairs": pa.Table.from_pylist(
            hide_rows(pairs, ("ks", "p_value", "q_value"), by="ks"), schema=PAIRS_SCHEMA
        ),
        "protocol_values": _list_values(connection, listed, guard),
    }
    return tables, notes


def _values(connection: duckdb.DuckDBPyConnection, field: str) -> dict[str, Floats]:
    """One value per person (the median of its rows) by data set: then n is the effective number."""
    rows = connection.execute(
        "SELECT dataset, median(TRY_CAST(value AS DOUBLE)) AS value FROM protocol_entries "
        "WHERE field = ? AND isfinite(TRY_CAST(value AS DOUBLE)) GROUP BY dataset, person ORDER BY ALL",
        [field],
    ).fetchnumpy()
    datasets = np.asarray(rows["dataset"]).astype(str)
    return {name: np.asarray(rows["value"], dtype=float)[datasets == name] for name in np.unique(datasets)}


def _describe(
    connection: duckdb.DuckDBPyConnection, field: str, values: dict[str, Floats], applicable: dict[str, list[int]],
    hidden: set[str],
) -> list[dict[str, Any]]:  # fmt: skip
    counted = connection.execute(
        "SELECT dataset, count(*) FROM protocol_entries WHERE field = ? GROUP BY dataset", [field]
    ).fetchall()
    num_rows = dict(counted)
    eta2 = None if hidden & values.keys() else rank_eta2(list(values.values()))
    lines = []
    for dataset, value in values.items():
        line: dict[str, Any] = {"field": field, "dataset": dataset, "suppressed": dataset in hidden}
        if dataset in hidden:
            lines.append(line)
            continue
        q1, median, q3 = np.quantile(value, [0.25, 0.5, 0.75])
        figures = {"median": median, "q1": q1, "q3": q3, "eta2": eta2}
        counts = {"num_rows": num_rows[dataset], "num_applicable": applicable[dataset][0], "num_persons": len(value)}
        lines.append(line | figures | counts)
    return lines


def _applicable(connection: duckdb.DuckDBPyConnection, field: str) -> dict[str, list[int]]:
    """By data set: the rows that have the field or could have it; persons with a row that lacks it, that could have
    it and does not, and that could not have it; all persons."""
    applies = SETTING_APPLIES.get(field)
    holds = applies.holds_sql if applies else "true"
    rows = connection.execute(
        "WITH told AS (SELECT dataset, modality, task, "
        f"{PERSON_HASH_SQL} AS person, protocol[?] IS NOT NULL AS has FROM samples) "
        f"SELECT dataset, count(*) FILTER (has OR {holds}), count(DISTINCT person) FILTER (NOT has), "
        f"count(DISTINCT person) FILTER (NOT has AND {holds}), count(DISTINCT person) FILTER (NOT has AND NOT {holds}),"
        " count(DISTINCT person) FROM told GROUP BY dataset",
        [field],
    ).fetchall()
    return {dataset: list(numbers) for dataset, *numbers in rows}


def _hidden(
    field: str, persons: Mapping[str, Sequence[int]], applicable: Mapping[str, Sequence[int]], guard: Guard
) -> set[str]:
    """Identifiable data sets where the field is hidden: few persons have a value, or are left over.

    Also where a modality is hidden that the field applies to or not: the rows it applies to would tell. persons: by
    data set, those of every value.
    """
    column = SETTING_APPLIES[field].column if field in SETTING_APPLIES else None
    hidden = set()
    for dataset in persons.keys() & guard.datasets:
        _, *lacking, everybody = applicable[dataset]
        numbers = [*persons[dataset], *lacking, everybody - max(persons[dataset])]
        if any(is_small(number, guard.below) for number in numbers) or (column and guard.levels(column, dataset)):
            hidden.add(dataset)
    return hidden


def rank_eta2(groups: list[Floats]) -> float | None:
    """SS_between / SS_total of ranks, in [0, 1]; None with one group or one value."""
    if len(groups) < 2:
        return None
    ranks = scipy.stats.rankdata(np.concatenate(groups))
    total = float(((ranks - ranks.mean()) ** 2).sum())
    if total == 0:
        return None
    ends = np.cumsum([len(group) for group in groups])[:-1]
    between = sum(len(part) * (part.mean() - ranks.mean()) ** 2 for part in np.split(ranks, ends))
    return float(between / total)


def _compare(field: str, values: dict[str, Floats]) -> list[dict[str, Any]]:
    found = []
    for a, b in itertools.combinations(values, 2):
        # The law of many is wrong about few: two persons against two others are p = 1/3, never 0.
        method = "exact" if min(len(values[a]), len(values[b])) < MOST_EXACT else "asymp"
        with warnings.catch_warnings():
            # Rounding takes the exact p of equal samples past 1; scipy then turns to the other law, and says so.
            warnings.filterwarnings("ignore", "ks_2samp: Exact calculation unsuccessful")
            result = scipy.stats.ks_2samp(values[a], values[b], method=method)
        found.append({"field": field, "dataset_a": a, "dataset_b": b,
                      "ks": float(result.statistic), "p_value": float(result.pvalue)})  # fmt: skip
    return found


def _list_values(connection: duckdb.DuckDBPyConnection, fields: list[str], guard: Guard) -> pa.Table:
    """Values of categorical fields. One small value of identifiable data hides the field there: values add up."""
    rows = fetch(
        connection,
        "SELECT field, dataset, value, count(*) AS num_rows, count(DISTINCT person) AS num_persons, "
        "count(*) / sum(count(*)) OVER (PARTITION BY field, dataset) AS share "
        "FROM protocol_entries GROUP BY field, dataset, value ORDER BY ALL",
    ).to_pylist()
    lines = []
    for field in fields:
        members = [row for row in rows if row["field"] == field]
        persons: dict[str, list[int]] = {}
        for row in members:
            persons.setdefault(row["dataset"], []).append(row["num_persons"])
        hidden = _hidden(field, persons, _applicable(connection, field), guard)
        lines += [
            {"field": field, "dataset": row["dataset"], "suppressed": True} if row["dataset"] in hidden
            else row | {"suppressed": False}
            for row in members
        ]  # fmt: skip
    return pa.Table.from_pylist(lines, schema=VALUES_SCHEMA)
