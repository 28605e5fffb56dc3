"""Shares of a tagged attribute, corrected for the tagger's errors by rows that a person audited (METHODS section 1).

p_true = sum over tagged levels k of q_k P(true | tagged k), the audit being stratified by k. Both parts are redrawn:
q from as many persons as there are, P from the audited rows of its stratum, to which one row of prior is added (Perks):
an audit without a single error is no proof that there is none.
"""

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ingest.applicability import MISSING, NOT_APPLICABLE
from ingest.attributes import ATTRIBUTES, fetch, level_sql
from ingest.census.coded import Coded
from ingest.census.counts import WHOLE_CORPUS
from ingest.errors import BadInput

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
        unchecked = {row["level"] for row in rows if (row["attribute"], row["status"]) == (attribute, "unverified")}
        if attribute in audited and unchecked:
            notes.append(f"{attribute}: no audited row was tagged {', '.join(sorted(unchecked))}; taken as tagged")
    return pa.Table.from_pylist(rows, schema=CORRECTED_SCHEMA), notes


def read_audit(connection: duckdb.DuckDBPyConnection, audit: Path) -> dict[str, dict[tuple[str, str], int]]:
    """Attribute -> (tagged level, true level) -> audited rows. Raises: BadInput naming file, what, expected, got."""
    # As text: an id of digits is no number.
    reader = "read_parquet(?)" if audit.suffix == ".parquet" else "read_csv(?, all_varchar = true)"
    try:
        connection.execute(f"CREATE OR REPLACE TEMP TABLE audit AS SELECT * FROM {reader}", [str(audit)])
    except duckdb.Error as error:
        raise BadInput(f"{audit}: expected CSV or Parquet, got {str(error).splitlines()[0]}") from error
    columns = [row[0] for row in connection.execute("DESCRIBE audit").fetchall()]
    if not set(AUDIT_COLUMNS) <= set(columns):
        raise BadInput(f"{audit}: expected the columns {', '.join(AUDIT_COLUMNS)}, got {', '.join(columns)}")
    found: dict[str, dict[tuple[str, str], int]] = {}
    for (attribute,) in connection.execute("SELECT DISTINCT attribute FROM audit ORDER BY 1").fetchall():
        if attribute not in ATTRIBUTES or ATTRIBUTES[attribute].is_list:
            raise BadInput(f"{audit}: attribute: expected one with one level per row, got {attribute!r}")
        found[attribute] = _confusion(connection, audit, attribute)
    return found


def _confusion(connection: duckdb.DuckDBPyConnection, audit: Path, attribute: str) -> dict[tuple[str, str], int]:
    rows = fetch(
        connection,
        f"SELECT {level_sql(attribute)} AS tagged, coalesce(CAST(truth AS VARCHAR), '{MISSING}') AS truth, "
        "count(*) AS num_rows, count(samples.sample_id) AS num_found FROM audit "
        f"LEFT JOIN samples ON samples.sample_id = audit.sample_id WHERE attribute = '{attribute}' GROUP BY ALL",
    ).to_pylist()
    lost = sum(row["num_rows"] - row["num_found"] for row in rows)
    if lost:
        raise BadInput(f"{audit}: {attribute}: expected sample_id of the samples table, got {lost} that are not in it")
    declared = ATTRIBUTES[attribute].levels
    for row in rows:
        if declared is not None and row["truth"] not in (*declared, MISSING, NOT_APPLICABLE):
            raise BadInput(f"{audit}: {attribute}: expected truth of {', '.join(declared)}, got {row['truth']!r}")
    return {(row["tagged"], row["truth"]): row["num_rows"] for row in rows}


def _of_dataset(
    coded: Coded, attribute: str, place: int, confusion: dict[tuple[str, str], int] | None, error: float | None,
    generator: np.random.Generator, num_resamples: int,
) -> list[dict[str, Any]]:  # fmt: skip
    found = coded.occurrences[attribute]
    inside = coded.row_counts[attribute]
    counts = inside.sum(1) if place == len(coded.datasets) else inside[:, place]
    num_persons = int(
        coded.num_persons if place == len(coded.datasets) else np.count_nonzero(coded.dataset_P == place)
    )  # fmt: skip
    tagged = dict(zip(found.levels, (counts / counts.sum()).tolist(), strict=True))
    tagged = {level: share for level, share in tagged.items() if share > 0}
    if confusion is None:
        assert error is not None
        return [
            {"level": level, "tagged": share, "corrected": share, "low": max(0.0, share - error),
             "high": min(1.0, share + error), "num_audited": 0, "status": "unverified"}
            for level, share in tagged.items()
        ]  # fmt: skip
    return _audited(tagged, confusion, num_persons, generator, num_resamples)


def _audited(
    tagged: dict[str, float], confusion: dict[tuple[str, str], int], num_persons: int,
    generator: np.random.Generator, num_resamples: int,
) -> list[dict[str, Any]]:  # fmt: skip
    levels = sorted({*tagged, *(truth for level, truth in confusion if level in tagged)})
    q = np.array([tagged.get(level, 0.0) for level in levels])
    rows_KT = np.array([[confusion.get((level, truth), 0) for truth in levels] for level in levels], dtype=float)
    checked = rows_KT.sum(1) > 0
    doubt = float(q[~checked].sum())
    point = _true_shares(q, rows_KT, checked)
    draws = np.empty((num_resamples, len(levels)))
    for number in range(num_resamples):
        redrawn_q = generator.multinomial(num_persons, q) / num_persons
        redrawn = np.array([
            generator.dirichlet(row + 1 / len(levels)) if known else row
            for row, known in zip(rows_KT, checked, strict=True)
        ])  # fmt: skip
        draws[number] = _true_shares(redrawn_q, redrawn, checked)
    low, high = np.quantile(draws, [0.025, 0.975], axis=0)
    own_doubt = np.where(checked, 0.0, q)
    low = np.clip(np.minimum(low, point) - own_doubt, 0, 1)
    high = np.clip(np.maximum(high, point) + (doubt - own_doubt), 0, 1)
    return [
        {"level": level, "tagged": float(q[at]), "corrected": float(point[at]), "low": float(low[at]),
         "high": float(high[at]), "num_audited": int(rows_KT[at].sum()),
         "status": "audited" if checked[at] or q[at] == 0 else "unverified"}
        for at, level in enumerate(levels)
    ]  # fmt: skip


def _true_shares(q: Floats, rows_KT: Floats, checked: NDArray[np.bool_]) -> Floats:
    """sum_k q_k P(true | tagged k); a level nobody checked keeps its rows."""
    weights = np.where(checked[:, None], rows_KT / np.maximum(rows_KT.sum(1, keepdims=True), 1e-300), np.eye(len(q)))
    return np.asarray(q @ weights)
