"""How far the corpus is from a declared population: Jensen-Shannon distance with its null, and ratios by level."""

import zlib
from typing import Any

import numpy as np
import pyarrow as pa
import scipy.sparse
from numpy.typing import NDArray

from ingest.attributes import ABSENT_LEVELS
from ingest.census.coded import Coded
from ingest.census.config import Reference
from ingest.census.counts import WHOLE_CORPUS
from ingest.census.distance import NUM_NULL, Sparse, distance, null_distances
from ingest.census.intervals import MIN_PERSONS, Floats, effective_persons, rows_worth, wilson

REFERENCE_SCHEMA = pa.schema(
    [
        ("attribute", pa.string()),
        ("dataset", pa.string()),
        ("level", pa.string()),
        ("observed", pa.float64()),
        ("expected", pa.float64()),
        ("ratio", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("d", pa.float64()),
        ("null_95", pa.float64()),
        ("p_value", pa.float64()),
        ("reference", pa.string()),
        ("version", pa.string()),
        ("date", pa.string()),
        ("suppressed", pa.bool_()),
    ]
)


def compare(coded: Coded, reference: Reference | None, *, hidden: set[tuple[str, str]], seed: int = 0) -> pa.Table:
    """REFERENCE_SCHEMA for every attribute of the reference that the census counts, per data set and in all.

    Shares are among the rows whose level is known. Args: hidden: (attribute, dataset) with a suppressed cell.
    """
    rows: list[dict[str, Any]] = []
    for attribute, shares in (reference.shares if reference else {}).items():
        if attribute not in coded.occurrences:
            continue
        for place, dataset in enumerate([*coded.datasets, WHOLE_CORPUS]):
            generator = np.random.default_rng([seed, zlib.crc32(f"{attribute}|{dataset}".encode())])
            for row in _against(coded, attribute, place, shares, generator):
                assert reference is not None
                row |= {
                    "attribute": attribute, "dataset": dataset, "reference": reference.name,
                    "version": reference.version, "date": reference.date.isoformat(), "suppressed": False,
                }  # fmt: skip
                if (attribute, dataset) in hidden:
                    row |= dict.fromkeys(("observed", "ratio", "low", "high", "d", "null_95", "p_value"))
                    row["suppressed"] = True
                rows.append(row)
    return pa.Table.from_pylist(rows, schema=REFERENCE_SCHEMA)


def _against(
    coded: Coded, attribute: str, place: int, shares: dict[str, float], generator: np.random.Generator
) -> list[dict[str, Any]]:
    """Every level of the corpus or the reference; nothing where no row is known."""
    found = coded.occurrences[attribute]
    known = np.isin(np.array(found.levels), ABSENT_LEVELS, invert=True)[found.codes]
    if place < len(coded.datasets):
        known &= coded.dataset_N == place
    levels = sorted({*(found.levels[code] for code in np.unique(found.codes[known])), *shares})
    persons = _rows_by_person(coded, attribute, known, levels)
    counts = np.asarray(persons.sum(0)).ravel()
    if counts.sum() == 0:
        return []
    p = counts / counts.sum()
    q = np.array([shares.get(level, 0.0) for level in levels])
    d, null = float(distance(p, q)), null_distances(persons, q, generator)
    tested = {
        "d": d, "null_95": float(np.quantile(null, 0.95)),
        "p_value": (1 + int((null >= d - 1e-12).sum())) / (NUM_NULL + 1),
    }  # fmt: skip
    rows = []
    for level, observed, expected, worth in zip(levels, p, q, _worth(persons), strict=True):
        low, high = wilson(float(observed), float(worth))
        ratios = [value / expected if expected else None for value in (observed, low, high)]
        rows.append({"level": level, "observed": observed, "expected": expected,
                     **dict(zip(("ratio", "low", "high"), ratios, strict=True)), **tested})  # fmt: skip
    return rows


def _rows_by_person(coded: Coded, attribute: str, known: NDArray[np.bool_], levels: list[str]) -> Sparse:
    """[m, K] rows of each person by level, of those with a known one."""
    found = coded.occurrences[attribute]
    place = np.array([levels.index(level) if level in levels else 0 for level in found.levels])
    person = coded.person_N[known]
    dense = np.cumsum(np.append(False, person[1:] != person[:-1])) if len(person) else person
    shape = (int(dense[-1]) + 1 if len(dense) else 0, len(levels))
    rows = scipy.sparse.coo_array((np.ones(len(dense)), (dense, place[found.codes[known]])), shape=shape)
    return rows.tocsr()


def _worth(persons: Sparse) -> Floats:
    """[K] independent rows behind each level's share, by the rules of ``ingest.census.intervals``."""
    sizes = np.asarray(persons.sum(1)).ravel()
    parts = persons.tocoo()
    level, person = parts.coords[1], parts.coords[0]
    kish = effective_persons(sizes)
    worth = rows_worth(
        level, parts.data, sizes[person], num_rows=sizes.sum(), num_effective=kish, num_levels=persons.shape[1]
    )
    with_level = np.bincount(level, minlength=persons.shape[1])
    only_level = np.bincount(level[parts.data == sizes[person]], minlength=persons.shape[1])
    few = np.minimum(with_level, len(sizes) - only_level) < MIN_PERSONS
    return np.where(few | np.isinf(worth), np.minimum(worth, kish), np.minimum(worth, sizes.sum()))
