"""What is not known, and whether not knowing it is a bias of its own (METHODS section 1). Nothing is imputed."""

import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from ingest.applicability import NOT_APPLICABLE
from ingest.attributes import ABSENT_LEVELS, ATTRIBUTES, UNKNOWN_LEVELS
from ingest.census.association import cramers_v, effective_rows_of
from ingest.census.coded import Coded, Ints
from ingest.census.counts import WHOLE_CORPUS
from ingest.census.guard import NOBODY, Guard, hide_rows
from ingest.census.intervals import MIN_PERSONS, Strata, effective_persons, effective_rows, rows_worth, sizes_of, wilson
from ingest.census.pairs import KNOWN_OR_MISSING, SITES_AND_DEVICES, Pair, Variable, label_variables, variable
from ingest.census.permutation import benjamini_hochberg, permutation_p

MISSINGNESS_SCHEMA = pa.schema(
    [
        ("attribute", pa.string()),
        ("dataset", pa.string()),
        ("num_rows", pa.int64()),
        ("num_applicable", pa.int64()),
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
        ("suppressed", pa.bool_()),
    ]
)
_TESTED = ("cramers_v", "p_value", "q_value")


def missingness(coded: Coded, counts: pa.Table, *, num_resamples: int = 1000, seed: int = 0) -> pa.Table:
    """MISSINGNESS_SCHEMA from COUNTS_SCHEMA: of the rows an attribute applies to, the share missing or "unknown".

    0 where none does, null where it applies to none. num_persons are those with a row that misses it.
    """
    seen = counts.to_pylist()
    by_place = {(row["attribute"], row["dataset"], row["level"]): row for row in seen}
    with_hidden = {(row["attribute"], row["dataset"]) for row in seen if row["suppressed"]}
    totals = coded.rows_by_dataset | {WHOLE_CORPUS: coded.num_rows}
    rows: list[dict[str, Any]] = []
    for attribute, dataset in dict.fromkeys((row["attribute"], row["dataset"]) for row in seen):
        found = {
            level: by_place[place] for level in ABSENT_LEVELS if (place := (attribute, dataset, level)) in by_place
        }
        apart = found.pop(NOT_APPLICABLE, None)
        closed = any(row["suppressed"] for row in (*found.values(), *([apart] if apart else [])))
        figures: dict[str, Any] = {}
        if not closed and (found or (attribute, dataset) not in with_hidden):
            figures = _figures(list(found.values()), totals[dataset], apart["num_rows"] if apart else 0)
        if figures and (len(found) > 1 or (found and apart)):
            generator = np.random.default_rng([seed, zlib.crc32(f"missing|{attribute}|{dataset}".encode())])
            figures |= _among_applicable(coded, attribute, dataset, figures["share"], num_resamples, generator)
        rows.append({"attribute": attribute, "dataset": dataset, **figures, "suppressed": not figures})
    return pa.Table.from_pylist(rows, schema=MISSINGNESS_SCHEMA)


def _figures(absent: list[dict[str, Any]], num_rows: int, num_apart: int) -> dict[str, Any]:
    """num_persons, low and high are right where one level alone says "not known" and the attribute applies to all."""
    num_applicable = num_rows - num_apart
    figures = {"num_rows": num_rows, "num_applicable": num_applicable, "num_missing": 0, "num_persons": 0}
    if not absent:
        return figures | {"share": 0.0 if num_applicable else None}
    figures |= {name: absent[0][name] for name in ("num_persons", "low", "high")}
    num_missing = sum(row["num_rows"] for row in absent)
    return figures | {"num_missing": num_missing, "share": num_missing / num_applicable}


def _among_applicable(
    coded: Coded, attribute: str, dataset: str, share: float, num_resamples: int, generator: np.random.Generator
) -> dict[str, Any]:
    """Persons with a row that misses the attribute, and the interval of their share of the rows it applies to."""
    found = coded.occurrences[attribute]
    inside = (
        np.ones(coded.num_rows, bool) if dataset == WHOLE_CORPUS else coded.dataset_N == coded.datasets.index(dataset)
    )
    unknown, apart = (np.isin(found.levels, levels) for levels in (UNKNOWN_LEVELS, (NOT_APPLICABLE,)))
    applies_N = inside & ~apart[found.codes]
    sizes = np.bincount(coded.person_N[applies_N], minlength=coded.num_persons)
    hits = np.bincount(coded.person_N[applies_N & unknown[found.codes]], minlength=coded.num_persons)
    num_effective = _effective_rows(hits, sizes, share, num_resamples, generator)
    low, high = wilson(share, num_effective)
    return {"num_persons": np.count_nonzero(hits), "low": low, "high": high}


def _effective_rows(hits: Ints, sizes: Ints, share: float, num_resamples: int, generator: np.random.Generator) -> float:
    """n_eff of a share by the rules of ``ingest.census.intervals``; hits, sizes: [P] rows with it and in all."""
    has = hits > 0
    fallback = effective_persons(sizes)
    if min(np.count_nonzero(has), np.count_nonzero(hits < sizes)) < MIN_PERSONS:
        level = np.zeros(np.count_nonzero(has), np.int64)
        worth = rows_worth(
            level, hits[has], sizes[has], num_rows=sizes.sum(), num_effective=fallback, num_levels=1
        )  # fmt: skip
        return min(fallback, float(worth[0]))
    strata = Strata.of(hits[has], sizes[has], *sizes_of(sizes[sizes > 0]))
    drawn = strata.draw(num_resamples, generator)
    return effective_rows(*drawn, share, num_rows=int(sizes.sum()), fallback=fallback)


def missing_tests(
    coded: Coded, attributes: Sequence[str], *, guard: Guard = NOBODY, seed: int = 0
) -> pa.Table:  # fmt: skip
    """MISSING_TESTS_SCHEMA: corrected V of "is it known?" with every site, device and label; strongest first.

    Suppressed, and last, is what could give few persons of identifiable data away.
    """
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
                 "p_value": permutation_p(pair, generator), "suppressed": guard.hides_pair(coded, pair)}
            )  # fmt: skip
    for row, q in zip(rows, benjamini_hochberg(np.array([row["p_value"] for row in rows])), strict=True):
        row |= {"q_value": float(q), "family_size": len(rows)}
    return pa.Table.from_pylist(hide_rows(rows, _TESTED, by="cramers_v"), schema=MISSING_TESTS_SCHEMA)


def _known_or_not(coded: Coded, attributes: Sequence[str]) -> Iterator[Variable]:
    """Attributes that some rows miss and some do not, as "known" and "missing", among the rows they apply to."""
    for name in attributes:
        if ATTRIBUTES[name].is_list:
            continue
        found = coded.occurrences[name]
        place = np.select(
            [np.isin(found.levels, UNKNOWN_LEVELS), np.isin(found.levels, (NOT_APPLICABLE,))], [1, -1], default=0
        )
        if {0, 1} <= set(place.tolist()):
            yield Variable(name, KNOWN_OR_MISSING, place[found.codes])


def _partners(coded: Coded, attribute: str) -> Iterator[Variable]:
    for name in SITES_AND_DEVICES:
        if name in coded.occurrences and name != attribute:
            yield variable(coded, name)
    for name in [name for name in coded.occurrences if ATTRIBUTES[name].is_list]:
        yield from label_variables(coded, name)
