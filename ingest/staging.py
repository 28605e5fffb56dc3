"""What the read stage leaves for the curation: one set of files per dataset, and all of them as one SQL view."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingest.attributes import quoted
from ingest.sample import SCHEMA
from ingest.split import RANK
from ingest.workspace import Workspace

PERCEPTUAL_HASHES = pa.field("perceptual_hashes", pa.list_(pa.uint64()))
STAGED_SCHEMA = SCHEMA.append(PERCEPTUAL_HASHES)

MEMORY_LIMIT = "2GB"
_DATASET_BITS = 40
"""A row's ``pos`` is its dataset's number, shifted so far, plus its row number there."""


@dataclass(frozen=True)
class Staged:
    """Where what was read of a dataset lies until it is curated."""

    folder: Path
    name: str

    @property
    def samples(self) -> Path:
        return self.folder / f"{self.name}.samples.parquet"

    @property
    def rejected(self) -> Path:
        return self.folder / f"{self.name}.rejected.parquet"

    @property
    def files(self) -> Path:
        return self.folder / f"{self.name}.files.parquet"

    @property
    def splits(self) -> Path:
        return self.folder / f"{self.name}.splits.parquet"

    @property
    def moves(self) -> Path:
        return self.folder / f"{self.name}.moves.parquet"

    @property
    def pictures(self) -> Path:
        return self.folder / f"{self.name}.pictures"


def staged_of(workspace: Workspace, name: str) -> Staged:
    """Where a dataset is staged."""
    return Staged(workspace.root / "staging", name)


def connect_staged(samples: Sequence[Path], splits: Sequence[pa.Array]) -> duckdb.DuckDBPyConnection:
    """A DuckDB connection with the view ``rows``: STAGED_SCHEMA with the final ``split``, its ``rank`` and ``pos``.

    Args:
        samples: staged files, one per dataset.
        splits: the split of every row of each, in file order.
    """
    connection = duckdb.connect()
    connection.execute(f"SET memory_limit = '{MEMORY_LIMIT}'")
    order = pa.array(list(RANK), pa.string())
    ranks = [pc.index_in(split, value_set=order).cast(pa.int8()) for split in splits]
    positions = [np.arange(len(split)) + first_of(number) for number, split in enumerate(splits)]
    assigned = pa.table({"pos": np.concatenate(positions), "rank": pa.chunked_array(ranks, pa.int8())})
    connection.register("arrow_splits", assigned)
    connection.execute("CREATE TABLE splits AS SELECT * FROM arrow_splits")
    connection.unregister("arrow_splits")
    names = ", ".join(f"'{split}'" for split in RANK)
    files = ", ".join(f"'{quoted(str(path))}'" for path in samples)
    connection.execute(
        f"CREATE VIEW rows AS SELECT staged.* EXCLUDE (split), [{names}][rank + 1] AS split, rank, pos FROM "
        f"(SELECT *, (file_index::BIGINT << {_DATASET_BITS}) + file_row_number AS pos FROM read_parquet([{files}])) "
        "AS staged JOIN splits USING (pos)"
    )
    return connection


def first_of(number: int) -> int:
    """The ``pos`` of the first row of dataset ``number``."""
    return number << _DATASET_BITS
