"""The samples and quarantine tables (Delta): of both, only datasets whose rows changed are written, in one commit.

Each commit carries, per dataset, the digest of what it holds. So the next one knows what to replace, and a commit
that was killed half-way is none: the version before it stays whole, and the next run writes what is missing.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable, WriterProperties, write_deltalake
from numpy.typing import NDArray

from ingest.attributes import quoted
from ingest.quarantine import QUARANTINE_SCHEMA
from ingest.sample import COLUMNS, SCHEMA
from ingest.staging import Staged
from ingest.workspace import Workspace, digest_of

_OUTCOMES = "biascarevl.outcomes"
_BLOCK_ROWS = 20_000


@dataclass(frozen=True)
class Outcome:
    """What becomes of the rows of one staged dataset.

    digest: of what was read and how it was split. splits: of every row, in file order. aside_rows: the rows that do
    not enter, sorted, with their reasons and details.
    """

    staged: Staged
    digest: str
    splits: pa.Array
    aside_rows: NDArray[np.int64]
    aside_reasons: pa.ChunkedArray
    aside_details: pa.ChunkedArray

    @property
    def num_samples(self) -> int:
        return len(self.splits) - len(self.aside_rows)

    def identity(self) -> str:
        """Digest of what of the dataset is published, and where."""
        aside = [self.aside_rows.tolist(), self.aside_reasons.to_pylist(), self.aside_details.to_pylist()]
        return digest_of([SCHEMA.to_string(), self.digest, aside])

    def rows(self) -> dict[str, Any]:
        """Rows in and out; ``rows_in`` = ``samples`` + ``quarantined``."""
        rejected = pq.read_table(self.staged.rejected, columns=["reason"])["reason"]
        reasons = pa.chunked_array([*rejected.chunks, *self.aside_reasons.chunks], pa.string())
        counted = {entry["values"]: entry["counts"] for entry in reasons.value_counts().to_pylist()}
        return {
            "rows_in": self.num_samples + len(reasons),
            "samples": self.num_samples,
            "quarantined": len(reasons),
            "by_reason": dict(sorted(counted.items())),
        }


def publish(workspace: Workspace, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Bring both tables to ``outcomes``, quarantine first. Returns their versions and the datasets written."""
    quarantined = _publish(workspace.quarantine, outcomes, _quarantine_of, QUARANTINE_SCHEMA)
    written = _publish(workspace.samples, outcomes, _samples_of, SCHEMA)
    return {
        "samples_version": DeltaTable(workspace.samples).version(),
        "quarantine_version": DeltaTable(workspace.quarantine).version(),
        "written": written,
        "quarantine_written": quarantined,
    }


def _publish(
    path: Path, outcomes: Sequence[Outcome], rows_of: Callable[[Outcome], Iterator[pa.Table]], schema: pa.Schema
) -> list[str]:
    """Replace the rows of changed datasets and remove those of absent ones in one commit, if there are any."""
    now = {outcome.staged.name: outcome.identity() for outcome in outcomes}
    before = _outcomes_of(path)
    changed = [outcome for outcome in outcomes if (before or {}).get(outcome.staged.name) != now[outcome.staged.name]]
    gone = sorted(set(before or {}) - set(now))
    if not changed and not gone:
        return []
    names = [outcome.staged.name for outcome in changed] + gone
    batches = (batch for outcome in changed for table in rows_of(outcome) for batch in table.to_batches())
    listed = ", ".join(f"'{quoted(name)}'" for name in names)
    # Without a record of what stands there, or of another schema, everything is written anew.
    whole = before is None or len(names) == len(set(before) | set(now))
    write_deltalake(
        path,
        pa.RecordBatchReader.from_batches(schema, batches),
        mode="overwrite",
        partition_by=["dataset"],
        schema_mode="overwrite" if whole else None,
        predicate=None if whole else f"dataset IN ({listed})",
        writer_properties=WriterProperties(compression="ZSTD"),
        commit_properties=CommitProperties(custom_metadata={_OUTCOMES: json.dumps(now)}),
    )
    return names


def _outcomes_of(path: Path) -> dict[str, str] | None:
    """What the table's current version holds, by dataset; None when there is no table or it does not say."""
    if not DeltaTable.is_deltatable(str(path)):
        return None
    told = DeltaTable(path).history(1)[0].get(_OUTCOMES)
    outcomes: dict[str, str] | None = json.loads(told) if told else None
    return outcomes


def _samples_of(outcome: Outcome) -> Iterator[pa.Table]:
    """The rows that enter, in file order."""
    for start, table in _staged_blocks(outcome):
        keep = np.ones(table.num_rows, dtype=bool)
        first, last = np.searchsorted(outcome.aside_rows, [start, start + table.num_rows])
        keep[outcome.aside_rows[first:last] - start] = False
        yield table.filter(pa.array(keep))


def _quarantine_of(outcome: Outcome) -> Iterator[pa.Table]:
    """What was rejected while reading, then the rows set aside since."""
    for batch in pq.ParquetFile(outcome.staged.rejected).iter_batches(_BLOCK_ROWS):
        yield pa.Table.from_batches([batch]).cast(QUARANTINE_SCHEMA)
    if not len(outcome.aside_rows):
        return
    for start, table in _staged_blocks(outcome):
        first, last = np.searchsorted(outcome.aside_rows, [start, start + table.num_rows])
        rows = table.take(pa.array(outcome.aside_rows[first:last] - start))
        told = [each.slice(first, last - first) for each in (outcome.aside_reasons, outcome.aside_details)]
        yield pa.Table.from_arrays([*rows.columns, *told], schema=QUARANTINE_SCHEMA)


def _staged_blocks(outcome: Outcome) -> Iterator[tuple[int, pa.Table]]:
    """The staged rows with their final split, some thousand at a time, and the number of the first of them."""
    start, place = 0, SCHEMA.get_field_index("split")
    for batch in pq.ParquetFile(outcome.staged.samples).iter_batches(_BLOCK_ROWS, columns=list(COLUMNS)):
        table = pa.Table.from_batches([batch]).cast(SCHEMA)
        yield start, table.set_column(place, SCHEMA.field("split"), outcome.splits.slice(start, table.num_rows))
        start += table.num_rows
