"""The packed rows of one split as columns that every process maps: what to draw, and where its bytes lie.

Built once per version of index and weights, when these are published or else first opened, under ``plans/`` of the
workspace, and mapped from then on: at 3.44 M rows that is 96 MB of shared pages, however many ranks and workers read.
Whoever maps a version holds it; a version that nobody holds goes when a newer one is built.
Rows stand in reading order (by shard and offset); weights in the order of weights.parquet, which is sorted by cell.
"""

import bisect
import contextlib
import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from ingest.sample import Split
from ingest.workspace import Workspace, digest_of, publishing
from shards.order import ShardLayout
from shards.record import TAR_BLOCK
from shards.row_columns import COLUMNS, LAYOUT_VERSION, sample_ids, write_columns

_HELD = ".held"
FileVersions = list[tuple[int, int]]


@dataclass(frozen=True)
class PackedRows:
    """Rows of one split. Columns are mapped, never copied.

    starts, sizes: [N] in tar blocks of 512 bytes. checks: [N] upper 64 bits of the index's xxh3_128.
    weights: [N] in the order of the plan; weighed_rows: the row each of them belongs to.
    shards: path of each shard. datasets, groups: [S] of each shard. first_rows: [S + 1].
    parts: digest of everything a plan depends on, by name: each dataset, the weights.
    largest_shares: of each dataset, the largest weight of a row over the sum of all weights.
    held: keeps the folder from being removed.
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
    held: TextIO | None = field(default=None, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.starts)

    def __reduce__(self) -> tuple[Any, ...]:
        return open_rows, (self.folder,)  # another process maps the files itself

    @property
    def layout(self) -> ShardLayout:
        return ShardLayout(np.array(self.first_rows), np.array(self.groups))

    @property
    def ends_bytes(self) -> dict[str, int]:
        """Where the last sample of each shard ends in it."""
        lasts = np.array(self.first_rows[1:]) - 1
        ends = (self.starts[lasts].astype(np.int64) + self.sizes[lasts]) * TAR_BLOCK
        return dict(zip(self.shards, ends.tolist(), strict=True))

    def shard_of(self, row: int) -> int:
        """The number of the shard a row lies in."""
        return bisect.bisect_right(self.first_rows, row) - 1


def packed_rows(*, index: Path, weights: Path | None, split: str, plans: Path) -> PackedRows:
    """The rows of ``split``, built first where this version of index and weights has none under ``plans``.

    Args: weights: None where every row counts the same (validation and test).
    Raises: ValueError for a split without packed samples, or training rows without weights.
    """
    sources = [index] if weights is None else [index, weights]
    place = writable_folder(plans)
    while True:
        version = versions_of(sources)
        folder = place / f"{split}-{digest_of([LAYOUT_VERSION, version])}"
        with alone(folder):
            if not (folder / "rows.json").exists():
                with publishing(folder) as staged:
                    staged.mkdir()
                    write_columns(staged, index=index, weights=weights, split=split)
            rows = open_rows(folder)
        if versions_of(sources) == version:  # else they were published anew while they were read
            _forget_unused(place, split, kept=folder)
            return rows


def prepare_training_rows(workspace: Workspace) -> None:
    """Build the columns that the first training loader would build, where index and weights are of the same rows.

    Done when either of them is published, so that training starts with what it only has to map.
    """
    if workspace.index.exists() and workspace.weights.exists():
        with contextlib.suppress(ValueError):  # the other of the two is still to come; told again when opened
            packed_rows(index=workspace.index, weights=workspace.weights, split=Split.TRAIN, plans=workspace.plans)


def versions_of(paths: Sequence[Path]) -> FileVersions:
    """Size and time of each file: another one published in its place has others."""
    return [(status.st_size, status.st_mtime_ns) for status in (path.stat() for path in paths)]


def open_rows(folder: Path) -> PackedRows:
    """Map the columns in ``folder`` and hold it."""
    described = json.loads((folder / "rows.json").read_text())
    # as plain arrays over the mapped memory: np.memmap is ten times slower to index
    columns: dict[str, Any] = {name: np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r")) for name in COLUMNS}
    return PackedRows(folder=folder, **described, **columns, held=_hold(folder))


def _hold(folder: Path) -> TextIO | None:
    """A shared lock for as long as the stream lives, here and in forked workers; None where there are no locks."""
    with contextlib.suppress(OSError):
        stream = (folder / _HELD).open("a")
        fcntl.flock(stream, fcntl.LOCK_SH)
        return stream
    return None


def _forget_unused(plans: Path, split: str, *, kept: Path) -> None:
    """Remove the other versions of a split that no process holds or makes."""
    for folder in plans.glob(f"{split}-*"):
        if folder != kept:
            with (
                contextlib.suppress(OSError),
                alone(folder, wait=False),
                (folder / _HELD).open("a") as stream,
            ):
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder)


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
def alone(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Let one process of the machine make ``path`` while the others wait for it, or get BlockingIOError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
