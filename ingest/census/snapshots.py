"""What was published of a census before: no small group by subtraction (METHODS section 1)."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ingest.census.disclosure import is_small
from ingest.errors import GateRefused
from ingest.workspace import publishing


def check_against_published(counts: pa.Table, published: Path, *, below: int, identifiable: set[str]) -> None:
    """Refuse counts that differ from an earlier export by 1 to ``below - 1`` persons in an open cell.

    Args: published: the folder of earlier exports' counts; may not exist.
    Raises: GateRefused naming export, data set, attribute and level, never the difference.
    """
    now = _open_cells(counts, identifiable)
    for path in sorted(published.glob("*.parquet")):
        for cell, num_persons in _open_cells(pq.read_table(path), identifiable).items():
            if cell in now and is_small(abs(now[cell] - num_persons), below):
                attribute, level, dataset = cell
                raise GateRefused(
                    f"census --export: expected counts that differ by 0 or at least {below} persons from the export "
                    f"{path.stem}, got fewer for {attribute} {level} of {dataset}; wait until more persons came"
                )


def record_published(counts: pa.Table, published: Path) -> None:
    """Keep the counts of an export, for the next one to be held against."""
    number = 1 + max((int(path.stem) for path in published.glob("*.parquet")), default=0)
    with publishing(published / f"{number:04d}.parquet") as staged:
        pq.write_table(counts, staged)


def _open_cells(counts: pa.Table, identifiable: set[str]) -> dict[tuple[str, str, str], int]:
    return {
        (row["attribute"], row["level"], row["dataset"]): row["num_persons"]
        for row in counts.to_pylist()
        if row["dataset"] in identifiable and not row["suppressed"]
    }
