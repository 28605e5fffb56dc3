"""The samples table as integers: what every statistic of the census is counted on.

DuckDB reads the table twice: once to count levels by GROUPING SETS (which also says which levels there are), once
to code every row. Reading it once, into a temporary table, takes a third more CPU time (measured). 3.44 M rows of ten
attributes are then 150 MB in numpy, sorted by person.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import duckdb
import numpy as np
import pyarrow as pa
import scipy.sparse
from numpy.typing import NDArray

from ingest.applicability import MISSING
from ingest.attributes import ATTRIBUTES, fetch, level_sql
from ingest.sample import PERSON_HASH_SQL

Ints = NDArray[np.int64]
NUM_THREADS = 2
"""At a time: numpy lets go of the interpreter while it counts and sorts, memory bounds how many pay."""
UNIT_SQL = {
    "image": "CASE WHEN image_sha256[1] IS NOT NULL THEN hash(image_sha256[1]) "
    "WHEN image_uris[1] IS NOT NULL THEN hash(dataset, image_uris[1]) ELSE 0 END",
    "study": "CASE WHEN study_id IS NOT NULL THEN hash(dataset, study_id) ELSE 0 END",
}
"""64-bit keys of what is counted beside rows and persons; 0 where a row has none."""


@dataclass(frozen=True)
class Occurrences:
    """Every level a row has of one attribute. rows: [M] row numbers, ascending; codes: [M] into ``levels``."""

    levels: list[str]
    rows: Ints
    codes: NDArray[np.integer]

    @property
    def missing(self) -> int:
        """The code of ``__missing__``, -1 where no row misses it."""
        return self.levels.index(MISSING) if MISSING in self.levels else -1


@dataclass(frozen=True)
class Coded:
    """N rows of P persons, rows sorted by person; persons are in the order of a hash, so any slice is a random one.

    person_N: [N] from 0, ascending. dataset_N: [N] into ``datasets``. dataset_P: [P] the same, for a person
    belongs to one. size_P: [P] rows.
    units: [N] keys of UNIT_SQL. row_counts: attribute -> [levels, datasets] rows.
    """

    datasets: list[str]
    person_N: Ints
    dataset_N: NDArray[np.integer]
    dataset_P: Ints
    size_P: Ints
    occurrences: dict[str, Occurrences]
    units: dict[str, NDArray[np.uint64]]
    row_counts: dict[str, Ints]

    @property
    def num_rows(self) -> int:
        return len(self.person_N)

    @property
    def num_persons(self) -> int:
        return len(self.size_P)

    @property
    def persons_by_dataset(self) -> dict[str, int]:
        counted = np.bincount(self.dataset_P, minlength=len(self.datasets))
        return dict(zip(self.datasets, counted.tolist(), strict=True))

    @property
    def rows_by_dataset(self) -> dict[str, int]:
        return dict(zip(self.datasets, self.row_counts["dataset"].sum(1).tolist(), strict=True))

    def single(self, attribute: str) -> NDArray[np.integer]:
        """[N] the one level of every row. Not for list attributes."""
        return self.occurrences[attribute].codes


def encode(connection: duckdb.DuckDBPyConnection, attributes: Sequence[str]) -> Coded:
    """Code the view ``samples`` of ``connect_samples``; an attribute missing on all rows has one level, missing."""
    names = list(dict.fromkeys(["dataset", *attributes]))
    counts = level_counts(connection, names)
    datasets = sorted(counts["dataset"])
    levels = {name: sorted({level for level, _ in counts[name]}) for name in names if name != "dataset"}
    levels["dataset"] = [name for name, _ in datasets]
    table = _fetch_codes(connection, levels)
    person_hash = table["person"].to_numpy()
    order = np.argsort(person_hash, kind="stable")
    ordered = person_hash[order]
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1])) if len(ordered) else np.zeros(0, np.int64)
    size_P = np.diff(np.append(starts, len(ordered)))
    occurrences = {name: _occurrences(table[f"level_{name}"], levels[name], order, name) for name in names}
    position = {name: place for place, name in enumerate(levels["dataset"])}
    return Coded(
        datasets=levels["dataset"],
        person_N=np.repeat(np.arange(len(starts)), size_P),
        dataset_N=occurrences["dataset"].codes,
        dataset_P=occurrences["dataset"].codes[starts].astype(np.int64),
        size_P=size_P,
        occurrences=occurrences,
        units={unit: table[unit].to_numpy()[order] for unit in UNIT_SQL},
        row_counts={name: _row_counts(counts[name], levels[name], position) for name in names},
    )


def level_counts(connection: duckdb.DuckDBPyConnection, names: Sequence[str]) -> dict[str, dict[tuple[str, str], int]]:
    """Rows by (level, dataset) of every attribute: one pass of GROUPING SETS, and one per list attribute."""
    single = [name for name in names if not ATTRIBUTES[name].is_list]
    select = ", ".join(f"{level_sql(name)} AS level_{name}" for name in single)
    sets = ", ".join(f"(level_{name}, the_dataset)" for name in single)
    table = fetch(
        connection,
        f"WITH levelled AS (SELECT dataset AS the_dataset, {select} FROM samples) "
        f"SELECT {', '.join(f'level_{name}' for name in single)}, the_dataset, count(*) AS num_rows, "
        + ", ".join(f"grouping(level_{name}) AS rolled_{name}" for name in single)
        + f" FROM levelled GROUP BY GROUPING SETS ({sets})",
    )
    rows = table.to_pylist()
    counts = {
        name: {(row[f"level_{name}"], row["the_dataset"]): row["num_rows"] for row in rows if not row[f"rolled_{name}"]}
        for name in single
    }
    for name in names:
        if name not in counts:
            unnested = fetch(
                connection,
                f"WITH unnested AS (SELECT dataset, unnest({level_sql(name)}) AS level FROM samples) "
                "SELECT level, dataset, count(*) AS num_rows FROM unnested GROUP BY ALL",
            ).to_pylist()
            counts[name] = {(row["level"], row["dataset"]): row["num_rows"] for row in unnested}
    return counts


def _row_counts(counts: dict[tuple[str, str], int], levels: list[str], datasets: Mapping[str, int]) -> Ints:
    table = np.zeros((len(levels), len(datasets)), np.int64)
    place = {level: number for number, level in enumerate(levels)}
    for (level, dataset), number in counts.items():
        table[place[level], datasets[dataset]] = number
    return table


def _fetch_codes(connection: duckdb.DuckDBPyConnection, levels: Mapping[str, list[str]]) -> pa.Table:
    """Person, units and the code of every attribute, in the order of the table. Levels become an ENUM each."""
    columns = [f"{PERSON_HASH_SQL} AS person", *(f"{sql} AS {unit}" for unit, sql in UNIT_SQL.items())]
    for name, names in levels.items():
        connection.register("level_names", pa.table({"level": pa.array(names, pa.string())}))
        connection.execute(f"DROP TYPE IF EXISTS enum_{name}")
        connection.execute(f"CREATE TYPE enum_{name} AS ENUM (SELECT level FROM level_names)")
        connection.unregister("level_names")
        coded = f"enum_code(CAST({level_sql(name)} AS enum_{name}))"
        if ATTRIBUTES[name].is_list:
            coded = f"list_transform({level_sql(name)}, lambda level: enum_code(CAST(level AS enum_{name})))"
        columns.append(f"{coded} AS level_{name}")
    return fetch(connection, f"SELECT {', '.join(columns)} FROM samples")


def _occurrences(column: pa.ChunkedArray, levels: list[str], order: Ints, name: str) -> Occurrences:
    """The codes of one attribute in the order of persons."""
    if not ATTRIBUTES[name].is_list:
        return Occurrences(levels, np.arange(len(order)), column.to_numpy()[order])
    array = column.combine_chunks()
    lengths = array.value_lengths().to_numpy()
    row_of = np.empty(len(order), np.int64)
    row_of[order] = np.arange(len(order))
    rows = np.repeat(row_of, lengths)
    sorting = np.argsort(rows, kind="stable")
    return Occurrences(levels, rows[sorting], array.flatten().to_numpy()[sorting])


def runs(codes: NDArray[np.integer], units: NDArray[np.integer], num_codes: int) -> tuple[Ints, Ints, Ints]:
    """Distinct (code, unit) pairs as (code, unit, how many), sorted by code; ``units`` from 0, ascending."""
    unit, first, ends = _by_code(codes, units, num_codes)
    begins = np.flatnonzero(first)
    lengths = np.empty(len(begins), np.int64)
    np.subtract(begins[1:], begins[:-1], out=lengths[:-1])
    lengths[-1:] = len(unit) - begins[-1:]
    code = np.repeat(np.arange(num_codes), np.diff(np.searchsorted(begins, ends)))
    return code, unit[begins].astype(np.int64), lengths


def distinct(codes: NDArray[np.integer], units: NDArray[np.integer], num_codes: int) -> Ints:
    """[num_codes] how many units have each code; ``units`` from 0, ascending."""
    _, first, ends = _by_code(codes, units, num_codes)
    return np.diff(np.searchsorted(np.flatnonzero(first), ends)).astype(np.int64)


def _by_code(
    codes: NDArray[np.integer], units: NDArray[np.integer], num_codes: int
) -> tuple[NDArray[np.integer], NDArray[np.bool_], NDArray[np.integer]]:
    """[M] units sorted by code, then by unit; [M] whether one differs from that before; [num_codes + 1] code borders.

    Bringing a sparse matrix from rows to columns is a bucket sort in C: tens of milliseconds for 3.44 M entries.
    """
    starts = np.zeros(int(units[-1]) + 2 if len(units) else 1, np.int32)
    np.cumsum(np.bincount(units, minlength=0), out=starts[1:])
    ones = np.ones(len(codes), np.int8)
    shape = (len(starts) - 1, num_codes)
    by_code = scipy.sparse.csr_array((ones, codes.astype(np.int32, copy=False), starts), shape=shape).tocsc()
    unit, ends = by_code.indices, by_code.indptr
    first = np.ones(len(unit), bool)
    np.not_equal(unit[1:], unit[:-1], out=first[1:])
    first[ends[:-1][ends[:-1] < len(unit)]] = True
    return unit, first, ends
