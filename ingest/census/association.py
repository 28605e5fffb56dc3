"""What goes together in the corpus: every pair of attributes."""

import itertools
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ingest.attributes import ATTRIBUTES, fetch

ASSOCIATIONS_SCHEMA = pa.schema(
    [
        ("attribute_a", pa.string()),
        ("attribute_b", pa.string()),
        ("cramers_v", pa.float64()),
        ("num_rows", pa.int64()),
        ("p_value", pa.float64()),
    ]
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
