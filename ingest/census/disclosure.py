"""Small cells of identifiable data, and enough others that they cannot be computed back."""

import itertools
from typing import Any

import pyarrow as pa

from ingest.census.counts import WHOLE_CORPUS

_COUNTED = ("num_rows", "num_images", "num_studies", "num_persons", "share", "low", "high")


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
