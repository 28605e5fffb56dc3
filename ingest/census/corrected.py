"""Shares of a tagged attribute, corrected for the tagger's errors by rows that a person audited (METHODS section 1).

p_true = sum over tagged levels k of q_k P(true | tagged k), the audit being stratified by k. P depends on how common a
level is, so that no data set borrows another's: each is corrected by its own audited rows, and the whole corpus by all
of them, weighted by how many rows of their data set and tag they stand for. Both parts are redrawn: q on effective
persons, P on the audited persons of its stratum, to which one of prior is added (Perks): an audit without a single
error is no proof that there is none.
"""

import zlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ingest.applicability import MISSING, NOT_APPLICABLE
from ingest.attributes import ATTRIBUTES, fetch, level_sql
from ingest.census.coded import Coded, runs
from ingest.census.counts import WHOLE_CORPUS
from ingest.census.intervals import effective_persons, rows_worth
from ingest.errors import BadInput
from ingest.sample import PERSON_HASH_SQL

CORRECTED_SCHEMA = pa.schema(
    [
        ("attribute", pa.string()),
        ("dataset", pa.string()),
        ("level", pa.string()),
        ("tagged", pa.float64()),
        ("corrected", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("num_audited", pa.int64()),
        ("status", pa.string()),
        ("suppressed", pa.bool_()),
    ]
)
AUDIT_COLUMNS = ("sample_id", "attribute", "truth")
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Audited:
    """A row that a person looked at; ``person``: hash of whose it is."""

    dataset: str
    person: int
    tagged: str
    truth: str


@dataclass(frozen=True)
class Stratum:
    """The audited rows of one data set and tagged level. persons_T: [T] effective persons by true level.

    weight: its rows among those of all audited strata of the tag. prior: persons added before drawing.
    """

    tag: int
    num_rows: int
    persons_T: Floats
    weight: float
    prior: float


def correct_shares(
    connection: duckdb.DuckDBPyConnection, coded: Coded, *, audit: Path | None, declared_error: Mapping[str, float],
    hidden: set[tuple[str, str]], num_resamples: int, seed: int = 0,
) -> tuple[pa.Table, list[str]]:  # fmt: skip
    """CORRECTED_SCHEMA of the audited attributes and of those with a declared error, and notes.

    Shares are of all rows, missing a level like others. A tagged level without audited rows is taken as tagged, its
    whole share as doubt, and called unverified. Raises: BadInput for an audit that does not fit the corpus.
    """
    rows: list[dict[str, Any]] = []
    notes: list[str] = []
    audited = read_audit(connection, audit) if audit else {}
    for attribute in [name for name in coded.occurrences if name in audited or name in declared_error]:
        if ATTRIBUTES[attribute].is_list:
            continue
        for place, dataset in enumerate([*coded.datasets, WHOLE_CORPUS]):
            generator = np.random.default_rng([seed, zlib.crc32(f"{attribute}|{dataset}".encode())])
            found = _of_dataset(
                coded, attribute, place, audited.get(attribute), declared_error.get(attribute), generator, num_resamples
            )
            for row in found:
                if (attribute, dataset) in hidden:
                    row |= dict.fromkeys(("tagged", "corrected", "low", "high", "num_audited")) | {"suppressed": True}
                rows.append({"attribute": attribute, "dataset": dataset, "suppressed": False} | row)
        if attribute in audited:
            notes += _unverified(attribute, [row for row in rows if row["attribute"] == attribute])
    return pa.Table.from_pylist(rows, schema=CORRECTED_SCHEMA), notes


def _unverified(attribute: str, rows: list[dict[str, Any]]) -> list[str]:
    """A note on tagged levels of data sets that the audit never looked at, none where it looked at all."""
    unchecked: dict[str, list[str]] = {}
    for row in rows:
        if row["status"] == "unverified" and row["dataset"] != WHOLE_CORPUS:
            unchecked.setdefault(row["level"], []).append(row["dataset"])
    found = "; ".join(f"{level} in {', '.join(datasets)}" for level, datasets in sorted(unchecked.items()))
    return [f"{attribute}: no audited row was tagged {found}: taken as tagged"] if found else []


def read_audit(connection: duckdb.DuckDBPyConnection, audit: Path) -> dict[str, list[Audited]]:
    """Audited rows by attribute. Raises: BadInput naming file, what, expected, got."""
    # As text: an id of digits is no number.
    reader = "read_parquet(?)" if audit.suffix == ".parquet" else "read_csv(?, all_varchar = true)"
    try:
        connection.execute(f"CREATE OR REPLACE TEMP TABLE audit AS SELECT * FROM {reader}", [str(audit)])
    except duckdb.Error as error:
        raise BadInput(f"{audit}: expected CSV or Parquet, got {str(error).splitlines()[0]}") from error
    columns = [row[0] for row in connection.execute("DESCRIBE audit").fetchall()]
    if not set(AUDIT_COLUMNS) <= set(columns):
        raise BadInput(f"{audit}: expected the columns {', '.join(AUDIT_COLUMNS)}, got {', '.join(columns)}")
    found: dict[str, list[Audited]] = {}
    for (attribute,) in connection.execute("SELECT DISTINCT attribute FROM audit ORDER BY 1").fetchall():
        if attribute not in ATTRIBUTES or ATTRIBUTES[attribute].is_list:
            raise BadInput(f"{audit}: attribute: expected one with one level per row, got {attribute!r}")
        found[attribute] = _audited_rows(connection, audit, attribute)
    return found


def _audited_rows(connection: duckdb.DuckDBPyConnection, audit: Path, attribute: str) -> list[Audited]:
    rows = fetch(
        connection,
        "WITH looked_at AS (SELECT sample_id AS audited, truth AS seen FROM audit WHERE attribute = "
        f"'{attribute}') SELECT dataset, {PERSON_HASH_SQL} AS person, {level_sql(attribute)} AS tagged, "
        f"coalesce(CAST(seen AS VARCHAR), '{MISSING}') AS truth, sample_id IS NOT NULL AS is_found "
        "FROM looked_at LEFT JOIN samples ON sample_id = audited ORDER BY ALL",
    ).to_pylist()
    lost = sum(not row.pop("is_found") for row in rows)
    if lost:
        raise BadInput(f"{audit}: {attribute}: expected sample_id of the samples table, got {lost} that are not in it")
    declared = ATTRIBUTES[attribute].levels
    for row in rows:
        if declared is not None and row["truth"] not in (*declared, MISSING, NOT_APPLICABLE):
            raise BadInput(f"{audit}: {attribute}: expected truth of {', '.join(declared)}, got {row['truth']!r}")
    return [Audited(**row) for row in rows]


def _of_dataset(
    coded: Coded, attribute: str, place: int, audited: list[Audited] | None, error: float | None,
    generator: np.random.Generator, num_resamples: int,
) -> list[dict[str, Any]]:  # fmt: skip
    levels, inside = coded.occurrences[attribute].levels, coded.row_counts[attribute]
    whole = place == len(coded.datasets)
    counts = inside.sum(1) if whole else inside[:, place]
    tagged = {level: share for level, share in zip(levels, counts / counts.sum(), strict=True) if share > 0}
    if audited is None:
        assert error is not None
        return [
            {"level": level, "tagged": share, "corrected": share, "low": max(0.0, share - error),
             "high": min(1.0, share + error), "num_audited": 0, "status": "unverified"}
            for level, share in tagged.items()
        ]  # fmt: skip
    mine = [row for row in audited if whole or row.dataset == coded.datasets[place]]
    stands_for = {(dataset, level): inside[at, number] for number, dataset in enumerate(coded.datasets)
                  for at, level in enumerate(levels)}  # fmt: skip
    num_effective = _effective_persons(coded, attribute, place)
    return _corrected(tagged, mine, stands_for, num_effective, generator, num_resamples)


def _effective_persons(coded: Coded, attribute: str, place: int) -> float:
    """How many independent rows the tagged shares are worth, at the level that persons of many rows weigh on most."""
    found = coded.occurrences[attribute]
    whole = place == len(coded.datasets)
    rows = slice(None) if whole else coded.dataset_N == place
    size_P = coded.size_P if whole else np.where(coded.dataset_P == place, coded.size_P, 0)
    level, person, hits = runs(found.codes[rows], coded.person_N[rows], len(found.levels))
    kish = effective_persons(size_P)
    worth = rows_worth(
        level, hits, size_P[person], num_rows=size_P.sum(), num_effective=kish, num_levels=len(found.levels)
    )
    return min(float(worth[np.unique(level)].min()), kish)


def _corrected(
    tagged: dict[str, float], audited: list[Audited], stands_for: dict[tuple[str, str], int], num_effective: float,
    generator: np.random.Generator, num_resamples: int,
) -> list[dict[str, Any]]:  # fmt: skip
    levels = sorted({*tagged, *(row.truth for row in audited)})
    q = np.array([tagged.get(level, 0.0) for level in levels])
    strata = _strata(audited, stands_for, levels)
    num_audited = np.bincount([one.tag for one in strata], [one.num_rows for one in strata], minlength=len(levels))
    checked = num_audited > 0
    doubt = float(q[~checked].sum())
    point = np.where(checked, 0.0, q)
    prior = np.where(q > 0, 1 / np.count_nonzero(q), 1e-300)
    drawn_q = generator.dirichlet(num_effective * q + prior, num_resamples)
    draws = np.where(checked, 0.0, drawn_q)
    for one in strata:
        point += q[one.tag] * one.weight * one.persons_T / one.persons_T.sum()
        truth = generator.dirichlet(one.persons_T + one.prior / len(levels), num_resamples)
        draws += drawn_q[:, [one.tag]] * one.weight * truth
    low, high = np.quantile(draws, [0.025, 0.975], axis=0)
    own_doubt = np.where(checked, 0.0, q)
    low = np.clip(np.minimum(low, point) - own_doubt, 0, 1)
    high = np.clip(np.maximum(high, point) + (doubt - own_doubt), 0, 1)
    return [
        {"level": level, "tagged": float(q[at]), "corrected": float(point[at]), "low": float(low[at]),
         "high": float(high[at]), "num_audited": int(num_audited[at]),
         "status": "audited" if checked[at] or q[at] == 0 else "unverified"}
        for at, level in enumerate(levels)
    ]  # fmt: skip


def _strata(audited: list[Audited], stands_for: dict[tuple[str, str], int], levels: list[str]) -> list[Stratum]:
    """What was found among the audited rows of each data set and tagged level."""
    rows: dict[tuple[str, str], list[Audited]] = {}
    for row in audited:
        rows.setdefault((row.dataset, row.tagged), []).append(row)
    behind = Counter[str]()
    for dataset, tagged in rows:
        behind[tagged] += stands_for[dataset, tagged]
    num_strata = Counter(tagged for _, tagged in rows)
    return [
        Stratum(
            tag=levels.index(tagged), num_rows=len(members), persons_T=_witnesses(members, levels),
            weight=stands_for[dataset, tagged] / behind[tagged], prior=1 / num_strata[tagged],
        )
        for (dataset, tagged), members in sorted(rows.items())
    ]  # fmt: skip


def _witnesses(audited: list[Audited], levels: list[str]) -> Floats:
    """[T] audited persons by true level: n rows count as n^2 / sum of squared rows per person (Kish 1965)."""
    rows_T = np.bincount([levels.index(row.truth) for row in audited], minlength=len(levels)).astype(float)
    per_person = np.array(list(Counter(row.person for row in audited).values()))
    return rows_T * len(audited) / (per_person**2).sum()
