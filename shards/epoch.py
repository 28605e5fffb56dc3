"""The draws of an epoch, planned once on each machine by whoever comes first, and mapped by all ranks and workers."""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ingest.workspace import digest_of, publishing
from shards.order import draw_order
from shards.plan import draw_counts
from shards.rows import PackedRows, alone

KEPT_EPOCHS = 2
KEPT_EPOCHS_OF_ALL_RUNS = 16


class Plan(Protocol):
    """The draws of every epoch of a run. parts: what they are a function of, by name."""

    @property
    def rows(self) -> PackedRows: ...

    @property
    def num_draws(self) -> int: ...

    @property
    def num_epochs(self) -> int | None: ...

    @property
    def seed(self) -> int: ...

    @property
    def parts(self) -> dict[str, str]: ...

    def draws(self, epoch: int) -> NDArray[np.uint32]: ...


@dataclass(frozen=True)
class EveryRow:
    """Every row once, in the order of the index: validation and test are never drawn by weight."""

    rows: PackedRows
    num_epochs: int | None = None
    seed: int = 0

    @property
    def num_draws(self) -> int:
        return len(self.rows)

    @property
    def parts(self) -> dict[str, str]:
        return {**self.rows.parts, "settings": "every row once"}

    def draws(self, epoch: int) -> NDArray[np.uint32]:
        return np.arange(len(self.rows), dtype=np.uint32)


@dataclass(frozen=True)
class RunPlan:
    """What the draws of a run are a function of: the rows with their weights, and these three numbers."""

    rows: PackedRows
    num_draws: int
    num_epochs: int | None
    seed: int

    @property
    def parts(self) -> dict[str, str]:
        """A digest of everything the plan depends on, by the name a reader knows it by."""
        draws = f"{self.num_draws} draws, {self.num_epochs or 'any number of'} epochs, seed {self.seed}"
        return {**self.rows.parts, "settings": draws}

    def counts(self, epoch: int) -> NDArray[np.int64]:
        """How often each row is drawn in ``epoch``, rows in reading order."""
        drawn = draw_counts(
            self.rows.weights, epoch=epoch, num_epochs=self.num_epochs, num_draws=self.num_draws, seed=self.seed
        )
        counts = np.empty_like(drawn)
        counts[self.rows.weighed_rows] = drawn
        return counts

    def draws(self, epoch: int) -> NDArray[np.uint32]:
        """The rows of ``epoch`` in the order they are drawn, mapped from a file; planned first where it is missing."""
        folder = self.rows.folder / f"draws-{digest_of(self.parts)}"
        path = folder / f"epoch-{epoch:06d}.npy"
        with contextlib.suppress(FileNotFoundError):
            return np.load(path, mmap_mode="r")
        with alone(path):
            with contextlib.suppress(FileNotFoundError):
                return np.load(path, mmap_mode="r")
            with publishing(path) as staged, staged.open("wb") as stream:
                np.save(stream, draw_order(self.counts(epoch), self.rows.layout, epoch=epoch, seed=self.seed))
            _forget_old(folder)
            return np.load(path, mmap_mode="r")


def _forget_old(folder: Path) -> None:
    """Keep the newest files only; who still maps an older one keeps it until it closes it, or plans it again."""
    old = [*_newest_first(folder, "epoch-*.npy")[KEPT_EPOCHS:]]
    old += _newest_first(folder.parent, "draws-*/epoch-*.npy")[KEPT_EPOCHS_OF_ALL_RUNS:]
    for path in old:
        path.unlink(missing_ok=True)
        path.with_name(f".{path.name}.lock").unlink(missing_ok=True)


def _newest_first(folder: Path, pattern: str) -> list[Path]:
    def age(path: Path) -> int:
        try:
            return -path.stat().st_mtime_ns
        except FileNotFoundError:  # forgotten by another process just now
            return 0

    return sorted(folder.glob(pattern), key=age)
