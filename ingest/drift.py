"""Drift between two versions of the samples table: what came, went and moved, and what that did to every share.

Delta keeps the versions; persons who stand in both are the same witnesses in both, so that the interval of a change is
of the difference, person by person: u_i = (a_i - p_A n_Ai) / N_A - (b_i - p_B n_Bi) / N_B, variance sum u_i^2 (the
patient bootstrap to first order, METHODS section 1). To each version one person with the level and one without are
added, so that few persons, or none with the level, are no proof (Agresti and Caffo 2000 of two samples, Agresti and
Min 2005 of the same persons twice).
"""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import scipy.stats
from deltalake import DeltaTable

from ingest.attributes import ATTRIBUTES, fetch, level_sql
from ingest.census.counts import WHOLE_CORPUS
from ingest.census.intervals import MIN_PERSONS, Z_95
from ingest.census.permutation import benjamini_hochberg
from ingest.errors import BadInput
from ingest.few_changed import FewChanged
from ingest.sample import PERSON_HASH_SQL

DRIFT_SCHEMA = pa.schema(
    [
        ("before", pa.int64()), ("after", pa.int64()),
        ("attribute", pa.string()), ("level", pa.string()), ("dataset", pa.string()),
        *((name, pa.int64()) for name in (
            "rows_before", "rows_after", "persons_before", "persons_after",
            "rows_came", "rows_went", "rows_moved_in", "rows_moved_out",
        )),
        *((name, pa.float64()) for name in (
            "share_before", "share_after", "change", "low", "high", "p_value", "q_value",
        )),
        ("family_size", pa.int64()),
        ("suppressed", pa.bool_()),
    ]
)  # fmt: skip
TOTALS_SCHEMA = pa.schema(
    [
        ("before", pa.int64()), ("after", pa.int64()), ("dataset", pa.string()),
        *((name, pa.int64()) for name in ("rows_before", "rows_after", "came", "went", "moved", "same")),
        ("suppressed", pa.bool_()),
    ]
)  # fmt: skip
MOVES = ("rows_came", "rows_went", "rows_moved_in", "rows_moved_out")
_SCOPES = f"coalesce(dataset, '{WHOLE_CORPUS}') AS dataset"


def drift_between(
    samples: Path,
    before: int,
    after: int,
    *,
    attributes: Sequence[str],
    below: int,
    identifiable: set[str],
    hidden: Collection[tuple[str, str]] = (),
) -> dict[str, pa.Table]:
    """The tables ``drift`` (DRIFT_SCHEMA) and ``drift_totals`` (TOTALS_SCHEMA) between two versions of ``samples``.

    List attributes have counts and shares; came, went and moved are null there. hidden: (attribute, data set) with a
    level that the counts hide: it is hidden here too. Raises: BadInput for a version that does not exist, or whose
    files are gone.
    """
    connection = duckdb.connect()
    for name, version in (("old", before), ("new", after)):
        connection.register(name, open_version(samples, version))
    names = list(attributes)
    levels = ", ".join(f"{level_sql(name)} AS level_{name}" for name in names)
    halves = " UNION ALL ".join(
        f"SELECT {flag} AS is_new, hash(sample_id) AS sample, dataset, {PERSON_HASH_SQL} AS person, {levels} "
        f"FROM {name}"
        for flag, name in ((0, "old"), (1, "new"))
    )
    connection.execute(f"CREATE TEMP TABLE both_versions AS {halves}")
    _join_samples(connection, [name for name in names if not ATTRIBUTES[name].is_list])
    few = FewChanged(connection, below, frozenset(identifiable), frozenset(hidden))
    rows: list[dict[str, Any]] = []
    for name in names:
        rows += _of_attribute(connection, name, few)
    tested = [row for row in rows if row.get("p_value") is not None]
    for row, q in zip(tested, benjamini_hochberg(np.array([row["p_value"] for row in tested])), strict=True):
        row |= {"q_value": float(q), "family_size": len(tested)}
    versions = {"before": before, "after": after}
    totals = _totals(connection, few)
    return {
        "drift": pa.Table.from_pylist([versions | row for row in rows], schema=DRIFT_SCHEMA),
        "drift_totals": pa.Table.from_pylist([versions | row for row in totals], schema=TOTALS_SCHEMA),
    }


def open_version(samples: Path, version: int) -> Any:
    """One version of the samples table as an Arrow dataset. Raises: BadInput where it does not exist."""
    newest = DeltaTable(samples).version()
    if not 0 <= version <= newest:
        raise BadInput(f"{samples}: expected a version from 0 to {newest}, got {version}")
    dataset = DeltaTable(samples, version=version).to_pyarrow_dataset()
    if any(not (samples / path).exists() for path in DeltaTable(samples, version=version).file_uris()):
        raise BadInput(f"{samples}: expected the files of version {version}, got some that were cleaned away")
    return dataset


def _join_samples(connection: duckdb.DuckDBPyConnection, names: list[str]) -> None:
    """Table ``pairs``: every sample once, with its data set and levels before and after (null where it is not)."""
    columns = ", ".join(
        f"any_value({name}) FILTER (is_new = {flag}) AS {name}_{flag}"
        for name in ("dataset", "person", *(f"level_{name}" for name in names)) for flag in (0, 1)
    )  # fmt: skip
    connection.execute(f"CREATE TEMP TABLE pairs AS SELECT sample, {columns} FROM both_versions GROUP BY sample")


def _of_attribute(connection: duckdb.DuckDBPyConnection, name: str, few: FewChanged) -> list[dict[str, Any]]:
    """Every level of an attribute; all null in the data sets where one is of few persons, and then in the whole."""
    totals = {row["dataset"]: row for row in fetch(connection, _TOTAL_SUMS).to_pylist()}
    moves = {} if ATTRIBUTES[name].is_list else _moves(connection, name)
    levels = fetch(connection, _level_sums(name)).to_pylist()
    closed = few.datasets_of(name, levels, moves)
    rows = []
    for sums in levels:
        row = {"attribute": name, "level": sums["level"], "dataset": sums["dataset"]}
        if sums["dataset"] in closed:
            rows.append(row | {"suppressed": True})
            continue
        row |= {key: sums[key] for key in ("rows_before", "rows_after", "persons_before", "persons_after")}
        row |= _change(sums, totals[sums["dataset"]])
        if not ATTRIBUTES[name].is_list:
            counted = moves.get((sums["level"], sums["dataset"]), {})
            row |= {column: counted.get(column, (0, 0))[0] for column in MOVES}
        rows.append(row | {"suppressed": False})
    return rows


# N_A, N_B and the sums over persons of n_A^2, n_A n_B, n_B^2 (A: after, B: before); persons in each, and in one only.
_TOTAL_SUMS = (
    "WITH persons AS (SELECT dataset, person, count(*) FILTER (is_new = 1)::DOUBLE AS a, "
    "count(*) FILTER (is_new = 0)::DOUBLE AS b FROM both_versions GROUP BY ALL) "
    f"SELECT {_SCOPES}, sum(a) AS a, sum(b) AS b, sum(a * a) AS aa, sum(a * b) AS ab, sum(b * b) AS bb, "
    "count(*) FILTER (a > 0) AS persons_a, count(*) FILTER (b > 0) AS persons_b, "
    "count(*) FILTER ((a > 0) <> (b > 0)) AS one_sided "
    "FROM persons GROUP BY GROUPING SETS ((dataset), ())"
)


def _level_sums(name: str) -> str:
    """The same by level, with the products of a person's rows at the level and in all."""
    level = f"unnest(level_{name})" if ATTRIBUTES[name].is_list else f"level_{name}"
    return (
        f"WITH levelled AS (SELECT is_new, dataset, person, {level} AS level FROM both_versions), "
        "persons AS (SELECT dataset, person, count(*) FILTER (is_new = 1)::DOUBLE AS n_a, "
        "count(*) FILTER (is_new = 0)::DOUBLE AS n_b FROM both_versions GROUP BY ALL), "
        "hits AS (SELECT dataset, level, person, count(*) FILTER (is_new = 1)::DOUBLE AS a, "
        "count(*) FILTER (is_new = 0)::DOUBLE AS b FROM levelled GROUP BY ALL) "
        f"SELECT level, {_SCOPES}, sum(b)::BIGINT AS rows_before, sum(a)::BIGINT AS rows_after, "
        "count(*) FILTER (a <> b) AS persons_changed, "
        "count(*) FILTER (b > 0) AS persons_before, count(*) FILTER (a > 0) AS persons_after, "
        "sum(a * a) AS aa, sum(a * b) AS ab, sum(b * b) AS bb, "
        "sum(a * n_a) AS a_na, sum(a * n_b) AS a_nb, sum(b * n_a) AS b_na, sum(b * n_b) AS b_nb "
        "FROM hits JOIN persons USING (dataset, person) "
        "GROUP BY GROUPING SETS ((level, dataset), (level)) ORDER BY level, dataset"
    )


def _change(sums: dict[str, Any], total: dict[str, Any]) -> dict[str, Any]:
    """Shares, their difference and its interval; null where one of the versions has no row there.

    No p with fewer than MIN_PERSONS persons in a version.
    """
    num_a, num_b = total["a"], total["b"]
    share_a = sums["rows_after"] / num_a if num_a else None
    share_b = sums["rows_before"] / num_b if num_b else None
    found: dict[str, Any] = {"share_before": share_b, "share_after": share_a}
    if share_a is None or share_b is None:
        return found
    change = share_a - share_b
    if change == 0 and not total["one_sided"] and _variance(sums, total, prior=0) < 1e-24:
        return found | {"change": 0.0, "low": 0.0, "high": 0.0, "p_value": 1.0}
    centre, error = _steadied(sums, total), _variance(sums, total, prior=1) ** 0.5
    enough = min(total["persons_a"], total["persons_b"]) >= MIN_PERSONS
    return found | {
        "change": change,
        "low": max(-1.0, min(change, centre - Z_95 * error)),
        "high": min(1.0, max(change, centre + Z_95 * error)),
        "p_value": float(2 * scipy.stats.norm.sf(abs(centre) / error)) if enough else None,
    }


def _steadied(sums: dict[str, Any], total: dict[str, Any]) -> float:
    """The difference of shares with one person of each kind, of as many rows as persons have on average, added."""
    after = (sums["rows_after"] / total["a"] * total["persons_a"] + 1) / (total["persons_a"] + 2)
    before = (sums["rows_before"] / total["b"] * total["persons_b"] + 1) / (total["persons_b"] + 2)
    return float(after - before)


def _variance(sums: dict[str, Any], total: dict[str, Any], *, prior: int) -> float:
    """sum u_i^2 with ``prior`` persons of each kind added to either version, independent of each other."""
    rows_a, rows_b = (
        prior * total[rows] / total[persons] for rows, persons in (("a", "persons_a"), ("b", "persons_b"))
    )
    x, y = 1 / (total["a"] + 2 * rows_a), 1 / (total["b"] + 2 * rows_b)
    p, q = (sums["rows_after"] + rows_a) * x * x, (sums["rows_before"] + rows_b) * y * y
    aa, bb = rows_a * rows_a, rows_b * rows_b  # a person with the level has as many rows with it as in all
    variance = (
        (sums["aa"] + aa) * x * x - 2 * sums["ab"] * x * y + (sums["bb"] + bb) * y * y
        - 2 * (x * (p * (sums["a_na"] + aa) - q * sums["a_nb"]) - y * (p * sums["b_na"] - q * (sums["b_nb"] + bb)))
        + p * p * (total["aa"] + 2 * aa) - 2 * p * q * total["ab"] + q * q * (total["bb"] + 2 * bb)
    )  # fmt: skip
    return max(0.0, float(variance))


def _moves(connection: duckdb.DuckDBPyConnection, name: str) -> dict[tuple[str, str], dict[str, tuple[int, int]]]:
    """By (level, data set): rows that came with a level, went with it, moved to it and away from it, and persons."""
    old, new = f"level_{name}_0", f"level_{name}_1"
    found: dict[tuple[str, str], dict[str, tuple[int, int]]] = {}
    places = ((new, 1, "dataset_0 IS NULL"), (old, 0, "dataset_1 IS NULL"),
              (new, 1, f"{old} <> {new}"), (old, 0, f"{old} <> {new}"))  # fmt: skip
    for column, (level, side, condition) in zip(MOVES, places, strict=True):
        rows = connection.execute(
            f"SELECT {level}, coalesce(dataset_{side}, '{WHOLE_CORPUS}'), count(*), count(DISTINCT person_{side}) "
            f"FROM pairs WHERE {condition} GROUP BY GROUPING SETS (({level}, dataset_{side}), ({level}))"
        ).fetchall()
        for value, place, *numbers in rows:
            found.setdefault((value, place), {})[column] = tuple(numbers)
    return found


def _totals(connection: duckdb.DuckDBPyConnection, few: FewChanged) -> list[dict[str, Any]]:
    """Rows that came, went, stayed the same in every attribute, or moved in one, by data set and in all."""
    columns = [row[0] for row in connection.execute("DESCRIBE pairs").fetchall()]
    levels = [name.removesuffix("_0") for name in columns if name.startswith("level_") and name.endswith("_0")]
    moved = " OR ".join(f"{name}_0 <> {name}_1" for name in levels) or "false"
    both = "dataset_0 IS NOT NULL AND dataset_1 IS NOT NULL"
    kinds = {"came": "dataset_0 IS NULL", "went": "dataset_1 IS NULL",
             "moved": f"{both} AND ({moved})", "same": f"{both} AND NOT ({moved})"}  # fmt: skip
    rows = fetch(
        connection,
        "WITH paired AS (SELECT *, coalesce(dataset_1, dataset_0) AS dataset, coalesce(person_1, person_0) AS person "
        f"FROM pairs) SELECT {_SCOPES}, "
        "count(dataset_0) AS rows_before, count(dataset_1) AS rows_after, "
        + ", ".join(
            f"count(*) FILTER ({holds}) AS {kind}, count(DISTINCT person) FILTER ({holds}) AS persons_{kind}"
            for kind, holds in kinds.items()
        )
        + " FROM paired GROUP BY GROUPING SETS ((dataset), ()) ORDER BY dataset",
    ).to_pylist()
    closed = few.datasets_in_all(rows)
    for row in rows:
        row["suppressed"] = row["dataset"] in closed
        if row["suppressed"]:
            row |= dict.fromkeys(TOTALS_SCHEMA.names[3:-1])
    return list(rows)
