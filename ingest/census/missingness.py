"""What is not known, and whether not knowing it is a bias of its own (METHODS section 1). Nothing is imputed."""

import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from ingest.attributes import ATTRIBUTES, MISSING
from ingest.census.association import cramers_v, effective_rows_of
from ingest.census.coded import Coded
from ingest.census.pairs import SITES_AND_DEVICES, UNKNOWN_LEVELS, Pair, Variable, label_variables, variable
from ingest.census.permutation import benjamini_hochberg, permutation_p

MISSINGNESS_SCHEMA = pa.schema(
    [
        ("attribute", pa.string()),
        ("dataset", pa.string()),
        ("num_rows", pa.int64()),
        ("num_persons", pa.int64()),
        ("num_missing", pa.int64()),
        ("share", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("suppressed", pa.bool_()),
    ]
)
MISSING_TESTS_SCHEMA = pa.schema(
    [
        ("attribute", pa.string()),
        ("against", pa.string()),
        ("level", pa.string()),
        ("cramers_v", pa.float64()),
        ("p_value", pa.float64()),
        ("q_value", pa.float64()),
        ("family_size", pa.int64()),
    ]
)


def missingness(counts: pa.Table, totals: dict[str, int]) -> pa.Table:
    """MISSINGNESS_SCHEMA from COUNTS_SCHEMA: the share of rows that miss each attribute, 0 where none does.

    num_persons are those with a row that misses it. Args: totals: rows of every data set and of the whole corpus.
    """
    rows: list[dict[str, Any]] = []
    seen = counts.to_pylist()
    by_place = {(row["attribute"], row["dataset"], row["level"]): row for row in seen}
    with_hidden = {(row["attribute"], row["dataset"]) for row in seen if row["suppressed"]}
    for attribute, dataset in dict.fromkeys((row["attribute"], row["dataset"]) for row in seen):
        row = by_place.get((attribute, dataset, MISSING))
        closed = row["suppressed"] if row else (attribute, dataset) in with_hidden
        figures: dict[str, Any] = {}
        if not closed:
            figures = {"num_rows": totals[dataset], "num_missing": 0, "num_persons": 0, "share": 0.0}
        if row and not closed:
            figures |= {name: row[name] for name in ("num_persons", "share", "low", "high")}
            figures["num_missing"] = row["num_rows"]
        rows.append({"attribute": attribute, "dataset": dataset, **figures, "suppressed": closed})
    return pa.Table.from_pylist(rows, schema=MISSINGNESS_SCHEMA)


def missing_tests(coded: Coded, attributes: Sequence[str], *, seed: int = 0) -> pa.Table:
    """MISSING_TESTS_SCHEMA: corrected V of "is it known?" with every site, device and label; strongest first."""
    rows: list[dict[str, Any]] = []
    for known in _known_or_not(coded, attributes):
        for other in _partners(coded, known.name):
            pair = Pair.of(coded, known, other)
            if not pair.varies:
                continue
            name = f"missing|{known.name}|{other.name}|{other.label}"
            generator = np.random.default_rng([seed, zlib.crc32(name.encode())])
            table = pair.table()
            rows.append(
                {"attribute": known.name, "against": other.name, "level": other.label,
                 "cramers_v": cramers_v(table, effective_rows_of(pair, table))[0],
                 "p_value": permutation_p(pair, generator)}
            )  # fmt: skip
    for row, q in zip(rows, benjamini_hochberg(np.array([row["p_value"] for row in rows])), strict=True):
        row |= {"q_value": float(q), "family_size": len(rows)}
    rows.sort(key=lambda row: -row["cramers_v"])
    return pa.Table.from_pylist(rows, schema=MISSING_TESTS_SCHEMA)


def _known_or_not(coded: Coded, attributes: Sequence[str]) -> Iterator[Variable]:
    """Attributes that some rows miss and some do not, as "known" and "missing"."""
    for name in attributes:
        if ATTRIBUTES[name].is_list:
            continue
        found = coded.occurrences[name]
        missing = np.isin(np.array(found.levels), UNKNOWN_LEVELS)
        if missing.any() and not missing.all():
            yield Variable(name, ["known", "missing"], missing[found.codes].astype(np.int64))


def _partners(coded: Coded, attribute: str) -> Iterator[Variable]:
    for name in SITES_AND_DEVICES:
        if name in coded.occurrences and name != attribute:
            yield variable(coded, name)
    for name in [name for name in coded.occurrences if ATTRIBUTES[name].is_list]:
        yield from label_variables(coded, name)
