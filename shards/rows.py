"""The packed rows of one split as columns that every process maps: what to draw, and where its bytes lie.

Built once per version of index and weights, when these are published or else first opened, under ``plans/`` of the
workspace, and mapped from then on: at 3.44 M rows that is 96 MB of shared pages, however many ranks and workers read.
Rows stand in reading order (by shard and offset); weights in the order of weights.parquet, which is sorted by cell.
"""

import bisect
import contextlib
import fcntl
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ingest.sample import Split
from ingest.workspace import Workspace, digest_of, publishing
from shards.order import ShardLayout
from shards.row_columns import COLUMNS, LAYOUT_VERSION, sample_ids, write_columns


@dataclass(frozen=True)
class PackedRows:
    """Rows of one split. Columns are mapped, never copied.

    starts, sizes: [N] in tar blocks of 512 bytes. checks: [N] upper 64 bits of the index's xxh3_128.
    weights: [N] in the order of the plan; weighed_rows: the row each of them belongs to.
    shards: path of each shard. datasets, groups: [S] of each shard. first_rows: [S + 1].
    parts: digest of everything a plan depends on, by name: each dataset, the weights.
    largest_shares: of each dataset, the largest weight of a row over the sum of all weights.
    """

    folder: Path
    split: str
    starts: NDArray[np.uint32]
    sizes: NDArray[np.uint32]
    checks: NDArray[np.uint64]
    weights: NDArray[np.float64]
    weighed_rows: NDArray[np.uint32]
    shards: list[str]
    datasets: list[str]
    groups: list[int]
    first_rows: list[int]
    parts: dict[str, str]
    largest_shares: dict[str, float]

    def __len__(self) -> int:
        return len(self.starts)

    def __reduce__(self) -> tuple[Any, ...]:
        return open_rows, (self.folder,)  # another process maps the files itself

    @property
    def layout(self) -> ShardLayout:
        return ShardLayout(np.array(self.first_rows), np.array(self.groups))

    def shard_of(self, row: int) -> int:
        """The number of the shard a row lies in."""
        return bisect.bisect_right(self.first_rows, row) - 1


def packed_rows(*, index: Path, weights: Path | None, split: str, plans: Path) -> PackedRows:
    """The rows of ``split``, built first where this version of index and weights has none under ``plans``.

    Args: weights: None where every row counts the same (validation and test).
    Raises: ValueError for a split without packed samples, or training rows without weights.
    """
    sources = [index] if weights is None else [index, weights]
    status = [(path.stat().st_size, path.stat().st_mtime_ns) for path in sources]
    name = f"{split}-{digest_of([LAYOUT_VERSION, status])}"
    folder = writable_folder(plans) / name
    with alone(folder):
        if not (folder / "rows.json").exists():
            with publishing(folder) as staged:
                staged.mkdir()
                write_columns(staged, index=index, weights=weights, split=split)
    return open_rows(folder)


def prepare_training_rows(workspace: Workspace) -> None:
    """Build the columns that the first training loader would build, where index and weights are of the same rows.

    Done when either of them is published, so that training starts with what it only has to map.
    """
    if workspace.index.exists() and workspace.weights.exists():
        with contextlib.suppress(ValueError):  # the other of the two is still to come; told again when opened
            packed_rows(index=workspace.index, weights=workspace.weights, split=Split.TRAIN, plans=workspace.plans)


def open_rows(folder: Path) -> PackedRows:
    """Map the columns in ``folder``."""
    described = json.loads((folder / "rows.json").read_text())
    # as plain arrays over the mapped memory: np.memmap is ten times slower to index
    columns: dict[str, Any] = {name: np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r")) for name in COLUMNS}
    return PackedRows(folder=folder, **described, **columns)


def writable_folder(plans: Path) -> Path:
    """``plans``, or a folder of this user's among the temporary ones where the workspace cannot be written to."""
    try:
        plans.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=plans):
            return plans
    except OSError:
        place = Path(tempfile.gettempdir()) / f"biascarevl-{os.getuid()}" / digest_of(str(plans.absolute()))
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        return place


def sample_id_of(index: Path, rows: PackedRows, row: int) -> str:
    """The sample id of one row, for a message; the index is read up to it."""
    first = 0
    for ids in sample_ids(index, rows.split):
        if row < first + len(ids):
            return str(ids[row - first].as_py())
        first += len(ids)
    raise ValueError(f"{index}: expected row {row} of split {rows.split}, got {first} rows")


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """Let one process of the machine make ``path`` while the others wait for it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
