"""A torch DataLoader over the epoch plan: weighted draws from plain WebDataset tars, equal batches on all ranks.

The loader knows no model: ``encode`` turns a Record into whatever the model eats, ``collate`` makes a
batch of a list of them. Each epoch draws exactly as ``shards.plan`` says; a sample that cannot be read
stops the run with its dataset, shard, key and sample id.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from ingest.errors import BiasCareError
from ingest.sample import Split
from ingest.workspace import Workspace, digest_of
from shards.plan import batch_slices, draw_counts, draw_order
from shards.record import Record, decode_record, members_of

Encode = Callable[[Record, np.random.Generator], Any]
Collate = Callable[[list[Any]], Any]


@dataclass(frozen=True, kw_only=True)
class LoadConfig:
    """How a split is read. ``draws_per_epoch`` 0 means as many draws as the split has rows."""

    batch_size: int
    num_workers: int = 0
    rank: int = 0
    world_size: int = 1
    num_epochs: int | None = 1
    draws_per_epoch: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.batch_size < 1 or self.num_workers < 0 or self.draws_per_epoch < 0:
            raise ValueError(f"expected batch_size >= 1, num_workers and draws_per_epoch >= 0, got {self}")
        if not 0 <= self.rank < self.world_size:
            raise ValueError(f"rank: expected 0 to {self.world_size - 1}, got {self.rank}")


@dataclass(frozen=True)
class PackedRows:
    """The rows of one split in the fixed order of the plan, with where their bytes lie."""

    sample_ids: list[str]
    datasets: list[str]
    shards: list[str]
    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]
    weights: NDArray[np.float64]

    @property
    def shard_numbers(self) -> NDArray[np.int64]:
        """Each row's shard as a number from 0."""
        numbers: NDArray[np.int64] = np.unique(self.shards, return_inverse=True)[1].astype(np.int64)
        return numbers


class ShardRows(Dataset[Any]):
    """Reads and encodes the draw (epoch, position, row) by one ranged read. Opened shards stay open per process."""

    def __init__(self, workspace: Workspace, rows: PackedRows, encode: Encode, seed: int) -> None:
        self.workspace, self.rows, self.encode, self.seed = workspace, rows, encode, seed
        self.descriptors: dict[str, int] = {}

    def __getitem__(self, draw: tuple[int, int, int]) -> Any:
        epoch, position, row = draw
        try:
            record = decode_record(members_of(self._read(row)))
        except Exception as error:
            raise BiasCareError(
                f"unreadable sample: dataset {self.rows.datasets[row]}, shard {self.rows.shards[row]}, "
                f"key and sample id {self.rows.sample_ids[row]}: {type(error).__name__}: {error}"
            ) from error
        return self.encode(record, np.random.default_rng([self.seed, epoch, position]))

    def _read(self, row: int) -> bytes:
        shard = self.rows.shards[row]
        if shard not in self.descriptors:
            self.descriptors[shard] = os.open(self.workspace.shards / shard, os.O_RDONLY)
        size = int(self.rows.sizes[row])
        chunk = os.pread(self.descriptors[shard], size, int(self.rows.offsets[row]))
        if len(chunk) != size:
            raise ValueError(f"expected {size} bytes, got {len(chunk)}: the shard is truncated")
        return chunk

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "descriptors": {}}  # a descriptor means nothing in another process

    def __del__(self) -> None:
        for descriptor in self.descriptors.values():
            os.close(descriptor)


class Loader:
    """Batches of one split. Iterating runs from the current position to the end of the current epoch."""

    def __init__(self, rows: ShardRows, collate: Collate, config: LoadConfig) -> None:
        self.rows, self.collate, self.config = rows, collate, config
        self.num_draws = config.draws_per_epoch or len(rows.rows.sample_ids)
        self.epoch, self.position = 0, 0
        self.plan_digest = digest_of(
            [
                rows.rows.sample_ids,
                rows.rows.weights.tobytes().hex(),
                self.num_draws,
                config.num_epochs,
                config.seed,
            ]
        )

    def __len__(self) -> int:
        """Batches of this rank per epoch."""
        return len(self._slices())

    def _slices(self) -> list[tuple[int, int]]:
        return batch_slices(
            self.num_draws,
            batch_size=self.config.batch_size,
            rank=self.config.rank,
            world_size=self.config.world_size,
        )

    def draws(self) -> NDArray[np.int64]:
        """The rows of the current epoch, over all ranks, in reading order."""
        packed, seed = self.rows.rows, self.config.seed
        counts = draw_counts(
            packed.weights,
            epoch=self.epoch,
            num_epochs=self.config.num_epochs,
            num_draws=self.num_draws,
            seed=seed,
        )
        return draw_order(counts, packed.shard_numbers, epoch=self.epoch, seed=seed)

    def __iter__(self) -> Iterator[Any]:
        draws = self.draws()
        slices = self._slices()[self.position :]
        batches = [[(self.epoch, p, int(draws[p])) for p in range(start, stop)] for start, stop in slices]
        loader: DataLoader[Any] = DataLoader(
            self.rows,
            batch_sampler=batches,
            num_workers=self.config.num_workers,
            collate_fn=self.collate,
        )
        for batch in loader:
            self.position += 1
            yield batch
        self.epoch, self.position = self.epoch + 1, 0

    def state_dict(self) -> dict[str, Any]:
        """Epoch and position (batches of this epoch already given), and the plan they belong to."""
        return {"epoch": self.epoch, "position": self.position, "plan": self.plan_digest}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from ``state``. Raises: ValueError when it belongs to other rows, weights or seeds."""
        if state["plan"] != self.plan_digest:
            raise ValueError(f"state of another plan: expected {self.plan_digest}, got {state['plan']}")
        self.epoch, self.position = state["epoch"], state["position"]


class OrderedLoader(Loader):
    """Every sample of the split once, in index order: validation and test are never drawn by weight."""

    def draws(self) -> NDArray[np.int64]:
        return np.arange(self.num_draws)


def open_shards(
    workspace: Workspace | str | os.PathLike[str],
    *,
    split: str,
    encode: Encode,
    collate: Collate,
    config: LoadConfig,
) -> Loader:
    """Open the packed samples of ``split``: weighted draws for training, every sample once otherwise.

    ``encode(record, generator)`` is given a generator that depends on (seed, epoch, position) only.
    Raises: ValueError for a split without packed samples, or training rows without weights.
    """
    if not isinstance(workspace, Workspace):
        workspace = Workspace(Path(workspace))
    kind = Loader if split == Split.TRAIN else OrderedLoader
    return kind(ShardRows(workspace, packed_rows(workspace, split), encode, config.seed), collate, config)


def packed_rows(workspace: Workspace, split: str) -> PackedRows:
    """Index rows of ``split``; training rows in the order of weights.parquet, which is sorted by cell."""
    index = pq.read_table(workspace.index)
    index = index.filter(pc.equal(index["split"], split))
    if index.num_rows == 0:
        raise ValueError(f"{workspace.index}: no packed sample of split {split}")
    weights = np.ones(index.num_rows)
    if split == Split.TRAIN:
        weighed = pq.read_table(workspace.weights, columns=["sample_id", "weight"])
        positions = pc.index_in(weighed["sample_id"], value_set=index["sample_id"].combine_chunks())
        if positions.null_count or weighed.num_rows != index.num_rows:
            raise ValueError(f"{workspace.weights}: its rows are not the packed training rows; run weigh and pack")
        index, weights = index.take(positions), weighed["weight"].to_numpy()
    return PackedRows(
        sample_ids=index["sample_id"].to_pylist(),
        datasets=index["dataset"].to_pylist(),
        shards=index["shard"].to_pylist(),
        offsets=index["offset"].to_numpy(),
        sizes=index["size_bytes"].to_numpy(),
        weights=weights,
    )
