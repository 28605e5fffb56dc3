"""Counts of levels by row, image, study and person, and shares of rows with intervals over persons."""

import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ingest.attributes import ATTRIBUTES, fetch
from ingest.census.coded import NUM_THREADS, Coded, Ints, distinct, runs
from ingest.census.intervals import MIN_PERSONS, Strata, effective_persons, effective_rows, rows_worth, sizes_of, wilson
from ingest.sample import PERSON_COLUMNS, PERSON_HASH_SQL

WHOLE_CORPUS = "__all__"
COUNTS_SCHEMA = pa.schema(
    [
        ("attribute", pa.string()),
        ("level", pa.string()),
        ("dataset", pa.string()),
        ("num_rows", pa.int64()),
        ("num_images", pa.int64()),
        ("num_studies", pa.int64()),
        ("num_persons", pa.int64()),
        ("share", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("suppressed", pa.bool_()),
    ]
)


def count_levels(coded: Coded, attributes: Sequence[str], *, num_resamples: int = 1000, seed: int = 0) -> pa.Table:
    """COUNTS_SCHEMA: each attribute's levels, for the whole corpus and per data set, sorted."""
    with ThreadPoolExecutor(NUM_THREADS) as threads:
        found = threads.map(lambda unit: Units.of(coded, unit), ("image", "study"))
        units = dict(zip(("num_images", "num_studies"), found, strict=True))

        def count(name: str) -> list[dict[str, Any]]:
            generator = np.random.default_rng([seed, zlib.crc32(name.encode())])
            return _count_attribute(coded, name, units, num_resamples, generator)

        rows = [row for counted in threads.map(count, attributes) for row in counted]
    rows.sort(key=lambda row: (row["attribute"], row["dataset"], row["level"]))
    return pa.Table.from_pylist(rows, schema=COUNTS_SCHEMA)


@dataclass(frozen=True)
class Units:
    """Images or studies. rows: [M] the rows that have one, sorted by unit; units: [M] from 0, ascending.

    spans_datasets: whether any unit stands in two data sets, so that totals are no sums.
    """

    rows: Ints
    units: Ints
    spans_datasets: bool

    @classmethod
    def of(cls, coded: Coded, unit: str) -> "Units":
        keys = coded.units[unit]
        rows = np.argsort(keys)
        rows = rows[np.searchsorted(keys[rows], 1) :]
        ordered, dataset = keys[rows], coded.dataset_N[rows]
        same = ordered[1:] == ordered[:-1]
        units = np.append(0, np.cumsum(~same))[: len(rows)]
        return cls(rows, units, bool(np.any(dataset[1:][same] != dataset[:-1][same])))


def _count_attribute(
    coded: Coded, name: str, units: dict[str, Units], num_resamples: int, generator: np.random.Generator
) -> list[dict[str, Any]]:
    found = coded.occurrences[name]
    shape = (len(found.levels), len(coded.datasets))
    cells = _cells(found.codes, coded.dataset_N[found.rows], shape[1])
    cell, person, hits = runs(cells, coded.person_N[found.rows], shape[0] * shape[1])
    counted = {"num_rows": _with_total(coded.row_counts[name])}
    counted |= {column: _count_units(coded, name, unit) for column, unit in units.items()}
    counted["num_persons"] = _with_total(_tally(cell, shape))
    shares = LevelShares(coded, cell, person, hits, shape, num_resamples, generator)
    rows = []
    for place, dataset in enumerate([*coded.datasets, WHOLE_CORPUS]):
        total = int(coded.size_P[shares.inside(place)].sum())
        for code in np.flatnonzero(counted["num_rows"][:, place]):
            share = counted["num_rows"][code, place] / total
            low, high = wilson(share, shares.effective(int(code), place, share))
            measured = {key: int(values[code, place]) for key, values in counted.items()}
            rows.append(
                {"attribute": name, "level": found.levels[code], "dataset": dataset, **measured,
                 "share": share, "low": low, "high": high, "suppressed": False}
            )  # fmt: skip
    return rows


class LevelShares:
    """The effective number of rows behind every share of one attribute; each data set is drawn once.

    A person belongs to one data set, so the draws of the whole corpus are the sums of theirs.
    """

    def __init__(
        self, coded: Coded, cell: Ints, person: Ints, hits: Ints, shape: tuple[int, int], num_resamples: int,
        generator: np.random.Generator,
    ) -> None:  # fmt: skip
        """Cells are level * datasets + data set, ascending; shape: levels, datasets."""
        self._coded, self._person, self._hits = coded, person, hits
        self._num_resamples, self._generator = num_resamples, generator
        self._bounds = np.searchsorted(cell, np.arange(shape[0] * shape[1] + 1))
        self._with_level = _with_total(np.diff(self._bounds).reshape(shape))
        self._only_level = _with_total(_tally(cell[hits == coded.size_P[person]], shape))
        self._sizes = [sizes_of(coded.size_P[coded.dataset_P == place]) for place in range(shape[1])]
        self._draws: dict[tuple[int, int], tuple[Any, Any]] = {}
        places = range(shape[1] + 1)
        self.num_persons = [int(self.inside(place).sum()) for place in places]
        self._num_rows = [int(coded.size_P[self.inside(place)].sum()) for place in places]
        self._effective_persons = [effective_persons(coded.size_P[self.inside(place)]) for place in places]

    def inside(self, place: int) -> NDArray[np.bool_]:
        """[P] the persons of a data set; of everybody past the last one."""
        if place == len(self._coded.datasets):
            return np.ones(self._coded.num_persons, bool)
        return self._coded.dataset_P == place

    def effective(self, code: int, place: int, share: float) -> float:
        """n_eff of the share of level ``code`` in data set ``place`` (past the last: the whole corpus)."""
        without = self.num_persons[place] - self._only_level[code, place]
        if not self._num_resamples:
            return self._effective_persons[place]
        if min(self._with_level[code, place], without) < MIN_PERSONS:
            return min(self._effective_persons[place], self._worth(code, place))
        if place < len(self._coded.datasets):
            hit_B, size_B = self._draw(code, place)
        else:
            drawn = [self._draw(code, one) for one in range(place)]
            hit_B, size_B = sum(hit for hit, _ in drawn), sum(size for _, size in drawn)
        return effective_rows(
            hit_B, size_B, share, num_rows=self._num_rows[place], fallback=self._effective_persons[place]
        )

    def _worth(self, code: int, place: int) -> float:
        """Independent rows by first-order variance: the few persons of a level may be those with many rows."""
        person, hits = self._of_level(code, place)
        size, kish = self._num_rows[place], self._effective_persons[place]
        level = np.zeros(len(person), np.int64)
        worth = rows_worth(
            level, hits, self._coded.size_P[person], num_rows=size, num_effective=kish, num_levels=1
        )  # fmt: skip
        return float(worth[0])

    def _of_level(self, code: int, place: int) -> tuple[Ints, Ints]:
        """Persons of a level in a data set (past the last: in all), and their rows with it."""
        datasets = len(self._coded.datasets)
        first, last = (code * datasets + place, 1) if place < datasets else (code * datasets, datasets)
        block = slice(self._bounds[first], self._bounds[first + last])
        return self._person[block], self._hits[block]

    def _draw(self, code: int, place: int) -> tuple[Any, Any]:
        if (code, place) not in self._draws:
            person, hits = self._of_level(code, place)
            strata = Strata.of(hits, self._coded.size_P[person], *self._sizes[place])
            self._draws[code, place] = strata.draw(self._num_resamples, self._generator)
        return self._draws[code, place]


def _cells(codes: NDArray[np.integer], dataset: NDArray[np.integer], num_datasets: int) -> NDArray[np.int32]:
    return codes.astype(np.int32) * np.int32(num_datasets) + dataset.astype(np.int32)


def _tally(cells: Ints, shape: tuple[int, int]) -> Ints:
    return np.bincount(cells, minlength=shape[0] * shape[1]).reshape(shape)


def _with_total(table: Ints) -> Ints:
    """[levels, datasets + 1], the whole corpus last."""
    return np.concatenate([table, table.sum(1, keepdims=True)], axis=1)


def _count_units(coded: Coded, name: str, units: Units) -> Ints:
    """Distinct units by level and data set, the whole corpus last; rows without a unit count none."""
    found = coded.occurrences[name]
    shape = (len(found.levels), len(coded.datasets))
    codes, unit, rows = _codes_by_unit(coded, name, units)
    table = distinct(_cells(codes, coded.dataset_N[rows], shape[1]), unit, shape[0] * shape[1]).reshape(shape)
    if not units.spans_datasets:
        return _with_total(table)
    return np.concatenate([table, distinct(codes, unit, shape[0])[:, None]], axis=1)


def _codes_by_unit(coded: Coded, name: str, units: Units) -> tuple[NDArray[np.integer], Ints, Ints]:
    """[M] level, unit and row of every occurrence whose row has a unit, sorted by unit."""
    found = coded.occurrences[name]
    if not ATTRIBUTES[name].is_list:
        return found.codes[units.rows], units.units, units.rows
    starts = np.searchsorted(found.rows, units.rows)
    lengths = np.searchsorted(found.rows, units.rows, side="right") - starts
    within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    places = np.repeat(starts, lengths) + within
    return found.codes[places], np.repeat(units.units, lengths), found.rows[places]


def count_persons(connection: duckdb.DuckDBPyConnection) -> pa.Table:
    """Which column stood for a person, per dataset."""
    served = (
        "CASE "
        + " ".join(f"WHEN {name} IS NOT NULL THEN '{name}'" for name in PERSON_COLUMNS)
        + " ELSE 'sample_id' END"
    )
    return fetch(
        connection,
        f"SELECT dataset, {served} AS person_column, count(*) AS num_rows, "
        f"count(DISTINCT {PERSON_HASH_SQL}) AS num_persons FROM samples GROUP BY ALL ORDER BY ALL",
    )
