"""Counts of levels by row, image, study and person, whole corpus and per data set."""

import itertools
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ingest.attributes import ATTRIBUTES, MISSING, connect_samples, fetch
from ingest.sample import PERSON_COLUMNS
from ingest.workspace import Workspace, publishing

WHOLE_CORPUS = "__all__"
Z_95 = 1.959963984540054  # standard normal quantile of 0.975

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
ASSOCIATIONS_SCHEMA = pa.schema(
    [
        ("attribute_a", pa.string()),
        ("attribute_b", pa.string()),
        ("cramers_v", pa.float64()),
        ("num_rows", pa.int64()),
        ("p_value", pa.float64()),
    ]
)
_COUNTED = ("num_rows", "num_images", "num_studies", "num_persons", "share", "low", "high")


@dataclass(frozen=True, kw_only=True)
class CensusConfig:
    """The ``[census]`` table. Cells of 1 to ``suppress_below - 1`` persons of identifiable data are hidden."""

    attributes: tuple[str, ...] = ("modality", "anatomy", "sex", "age_band", "skin_type")
    suppress_below: int = 11

    def __post_init__(self) -> None:
        unknown = [name for name in self.attributes if name not in ATTRIBUTES]
        if unknown:
            raise ValueError(f"attributes: expected some of {', '.join(ATTRIBUTES)}, got {unknown[0]!r}")
        if self.suppress_below < 1:
            raise ValueError(f"suppress_below: expected at least 1, got {self.suppress_below}")


def take_census(workspace: Workspace, config: CensusConfig, *, identifiable: set[str]) -> dict[str, Any]:
    """Count the samples table and publish ``census/``."""
    connection = connect_samples(workspace.samples)
    counts = count_levels(connection, list(config.attributes))
    counts = suppress(counts, below=config.suppress_below, identifiable=identifiable)
    tables = {
        "counts": counts,
        "associations": associations(connection, list(config.attributes)),
        "persons": count_persons(connection),
    }
    with publishing(workspace.census) as folder:
        folder.mkdir(parents=True)
        for name, table in tables.items():
            pq.write_table(table, folder / f"{name}.parquet")
    return {"attributes": list(config.attributes), "num_levels": counts.num_rows}


def count_levels(connection: duckdb.DuckDBPyConnection, attributes: list[str]) -> pa.Table:
    """COUNTS_SCHEMA over the view ``samples``: each attribute's levels, for the whole corpus and per dataset."""
    rows: list[dict[str, Any]] = []
    for name in attributes:
        rows += _count_attribute(connection, name)
    rows.sort(key=lambda row: (row["attribute"], row["dataset"], row["level"]))
    return pa.Table.from_pylist(rows, schema=COUNTS_SCHEMA)


def _count_attribute(connection: duckdb.DuckDBPyConnection, name: str) -> list[dict[str, Any]]:
    attribute = ATTRIBUTES[name]
    # A row with several labels counts once under each; one with none under "missing".
    level = (
        f"unnest(CASE WHEN len({attribute.sql}) > 0 THEN list_distinct({attribute.sql}) ELSE ['{MISSING}'] END)"
        if attribute.is_list
        else f"coalesce({attribute.sql}, '{MISSING}')"
    )
    measures = (
        "count(DISTINCT sample_id) AS num_rows, "
        "count(DISTINCT coalesce(image_sha256[1], dataset || image_uris[1])) AS num_images, "
        "count(DISTINCT dataset || study_id) AS num_studies, count(DISTINCT person_key) AS num_persons"
    )
    rows = fetch(
        connection,
        f"WITH levelled AS (SELECT *, {level} AS level FROM samples) SELECT level, "
        f"coalesce(dataset, '{WHOLE_CORPUS}') AS dataset, grouping(level) AS is_total, {measures} FROM levelled "
        "GROUP BY GROUPING SETS ((level, dataset), (level), (dataset), ())",
    ).to_pylist()
    totals = {row["dataset"]: row for row in rows if row["is_total"]}
    counted = []
    for row in rows:
        if row["is_total"]:
            continue
        total = totals[row["dataset"]]
        share = row["num_rows"] / total["num_rows"]
        low, high = wilson(share, total["num_persons"])
        measured = {key: row[key] for key in ("level", "dataset", *_COUNTED[:4])}
        counted.append({"attribute": name, **measured, "share": share, "low": low, "high": high, "suppressed": False})
    return counted


def wilson(share: float, num_persons: int) -> tuple[float, float]:
    """95 % score interval of a share, with the persons as the effective number (Wilson 1927)."""
    z2 = Z_95**2 / num_persons
    centre = (share + z2 / 2) / (1 + z2)
    half = Z_95 / (1 + z2) * (share * (1 - share) / num_persons + z2 / (4 * num_persons)) ** 0.5
    return max(0.0, centre - half), min(1.0, centre + half)


def suppress(counts: pa.Table, *, below: int, identifiable: set[str]) -> pa.Table:
    """Hide small cells of identifiable datasets, and enough others that they cannot be computed back.

    A cell of 1 to ``below - 1`` persons of such a dataset is hidden, then the smallest open cell of its
    attribute wherever exactly one was hidden, and the same levels of the whole corpus.
    """
    rows = counts.to_pylist()
    hidden: set[tuple[str, str]] = set()
    for (_, _), members in _grouped(rows, identifiable):
        small = [row for row in members if 1 <= row["num_persons"] < below]
        open_cells = sorted((row for row in members if row not in small), key=lambda row: row["num_persons"])
        if len(small) == 1:
            small += open_cells[:1]
        hidden |= {(row["attribute"], row["level"]) for row in small}
    touched = identifiable | {WHOLE_CORPUS}
    for row in rows:
        if row["dataset"] in touched and (row["attribute"], row["level"]) in hidden:
            row.update(dict.fromkeys(_COUNTED), suppressed=True)
    return pa.Table.from_pylist(rows, schema=counts.schema)


def _grouped(rows: list[dict[str, Any]], identifiable: set[str]) -> Any:
    def key(row: dict[str, Any]) -> tuple[str, str]:
        return row["attribute"], row["dataset"]

    chosen = sorted((row for row in rows if row["dataset"] in identifiable), key=key)
    return [(name, list(members)) for name, members in itertools.groupby(chosen, key=key)]


def count_persons(connection: duckdb.DuckDBPyConnection) -> pa.Table:
    """Which column stood for a person, per dataset."""
    served = (
        "CASE "
        + " ".join(f"WHEN {name} IS NOT NULL THEN '{name}'" for name in PERSON_COLUMNS)
        + " ELSE 'sample_id' END"
    )
    return fetch(
        connection,
        f"SELECT dataset, {served} AS person_column, count(*) AS num_rows, count(DISTINCT person_key) AS num_persons "
        "FROM samples GROUP BY ALL ORDER BY ALL",
    )


def associations(connection: duckdb.DuckDBPyConnection, attributes: list[str]) -> pa.Table:
    """Every pair of one-level attributes, rows where both are known; strongest first.

    V is bias-corrected (Bergsma 2013). The p-value is of a chi-square test over persons, not rows:
    a person's repeated rows are no further evidence.
    """
    import scipy.stats  # 0.4 s

    names = [name for name in attributes if not ATTRIBUTES[name].is_list]
    rows: list[dict[str, Any]] = []
    for a, b in itertools.combinations(names, 2):
        cells = fetch(
            connection,
            f"SELECT {ATTRIBUTES[a].sql} AS a, {ATTRIBUTES[b].sql} AS b, count(*) AS num_rows, "
            "count(DISTINCT person_key) AS num_persons FROM samples "
            "WHERE a IS NOT NULL AND b IS NOT NULL GROUP BY a, b",
        )
        if len(set(cells["a"].to_pylist())) < 2 or len(set(cells["b"].to_pylist())) < 2:
            continue
        v, num_rows = cramers_v(_table(cells, "num_rows"))
        p_value = float(scipy.stats.chi2_contingency(_table(cells, "num_persons")).pvalue)
        rows.append({"attribute_a": a, "attribute_b": b, "cramers_v": v, "num_rows": num_rows, "p_value": p_value})
    rows.sort(key=lambda row: -row["cramers_v"])
    return pa.Table.from_pylist(rows, schema=ASSOCIATIONS_SCHEMA)


def _table(cells: pa.Table, column: str) -> NDArray[np.float64]:
    """The contingency table of columns a and b."""
    a, a_codes = np.unique(cells["a"].to_pylist(), return_inverse=True)
    b, b_codes = np.unique(cells["b"].to_pylist(), return_inverse=True)
    table = np.zeros((len(a), len(b)))
    table[a_codes, b_codes] = cells[column].to_numpy()
    return table


def cramers_v(table: NDArray[np.float64]) -> tuple[float, int]:
    """Bias-corrected Cramer's V of a contingency table, in [0, 1], and its n (Bergsma 2013)."""
    n = table.sum()
    expected = table.sum(1, keepdims=True) * table.sum(0, keepdims=True) / n
    phi2 = float(((table - expected) ** 2 / expected).sum() / n)
    r, c = table.shape
    phi2_corrected = max(0.0, phi2 - (r - 1) * (c - 1) / (n - 1))
    r_corrected, c_corrected = r - (r - 1) ** 2 / (n - 1), c - (c - 1) ** 2 / (n - 1)
    smaller = min(r_corrected, c_corrected) - 1
    return (min(1.0, (phi2_corrected / smaller) ** 0.5) if smaller > 0 else 0.0), int(n)
