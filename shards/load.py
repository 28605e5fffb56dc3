"""A torch DataLoader over the epoch plan: weighted draws from plain WebDataset tars, equal batches on all ranks.

The loader knows no model: ``encode`` turns a Record into whatever the model eats, ``collate`` makes a
batch of a list of them. Each epoch draws exactly as ``shards.plan`` says, in the steps of ``shards.steps``. The
state of a run is its plan, the epoch and the position in draws: no rank, no worker, no buffer is part of it.
"""

import gc
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, Sampler

from ingest.errors import BiasCareError
from ingest.sample import Split
from ingest.workspace import Workspace, digest_of
from shards.block_cache import BlockCache
from shards.draw_log import DrawLog
from shards.drawn import DrawReader, Encode, Unreadable
from shards.epoch import EveryRow, Plan, RunPlan
from shards.heap import keep_freed_memory
from shards.reader import LocalReader, Reader
from shards.repetition import caps_of, check_caps
from shards.row_columns import changed_datasets
from shards.rows import FileVersions, packed_rows, sample_id_of, versions_of, writable_folder
from shards.steps import rank_share, step_bounds

logger = logging.getLogger(__name__)

Collate = Callable[[list[Any]], Any]


@dataclass(frozen=True, kw_only=True)
class LoadConfig:
    """How a split is read.

    num_epochs: of the whole run; None for a run without a known end.
    draws_per_epoch: 0 means as many draws as the split has rows.
    max_unreadable: so many draws of this rank may give nothing, each of them logged, before the run stops.
    draw_log: a folder for what was drawn (``shards.draw_log``).
    store: a folder or fsspec URL that the shards are read from, instead of the workspace's own.
    cache_bytes: of the machine's disk, for blocks of a store. repeat_bytes: of each worker's memory, for decoded
    samples that are drawn again soon.
    """

    batch_size: int
    num_workers: int = 0
    rank: int = 0
    world_size: int = 1
    num_epochs: int | None = 1
    draws_per_epoch: int = 0
    seed: int = 0
    max_unreadable: int = 0
    draw_log: Path | str | None = None
    store: str = ""
    cache_bytes: int = 8 * 2**30
    repeat_bytes: int = 256 * 2**20

    def __post_init__(self) -> None:
        least = {"batch_size": 1, "num_workers": 0, "draws_per_epoch": 0, "max_unreadable": 0, "cache_bytes": 0}
        for name, lowest in least.items():
            if getattr(self, name) < lowest:
                raise ValueError(f"{name}: expected at least {lowest}, got {getattr(self, name)}")
        if not 0 <= self.rank < self.world_size:
            raise ValueError(f"rank: expected 0 to {self.world_size - 1}, got {self.rank}")
        if self.num_epochs is not None and self.num_epochs < 1:
            raise ValueError(f"num_epochs: expected at least 1 or None, got {self.num_epochs}")


@dataclass(frozen=True)
class _Given:
    """What a worker hands over for one step of one rank."""

    stop: int
    batch: Any
    unreadable: list[Unreadable]


class _Batches(Dataset[_Given]):
    """The batch of (epoch, from, to, stop of the step), read and collated where it is asked for."""

    def __init__(self, draws: DrawReader, collate: Collate) -> None:
        self.draws, self.collate = draws, collate

    def __getitem__(self, share: tuple[int, int, int, int]) -> _Given:
        epoch, start, end, stop = share
        samples, unreadable = self.draws.encoded(epoch, start, end)
        return _Given(stop, _tensors(self.collate(samples)) if samples else None, unreadable)


@dataclass(frozen=True)
class _Shares(Sampler[tuple[int, int, int, int]]):
    """One rank's share of every step, in order."""

    epoch: int
    bounds: NDArray[np.int64]
    rank: int
    world_size: int

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def __iter__(self) -> Iterator[tuple[int, int, int, int]]:
        for number in range(len(self)):
            start, stop = int(self.bounds[number]), int(self.bounds[number + 1])
            yield self.epoch, *rank_share(start, stop, rank=self.rank, world_size=self.world_size), stop


class Loader:
    """Batches of one split. Iterating runs from the current position to the end of the current epoch.

    epoch: counted from 0. position: draws of this epoch given so far, over all ranks.
    """

    def __init__(
        self, plan: Plan, draws: DrawReader, collate: Collate, config: LoadConfig, index: Path, opened: FileVersions
    ) -> None:
        self.plan, self.config = plan, config
        self.batches = _Batches(draws, collate)
        self.index = index
        self.epoch, self.position = 0, 0
        self.num_unreadable = 0
        self._index_version = opened
        self.log = None if config.draw_log is None else DrawLog(Path(config.draw_log), plan, index, rank=config.rank)

    def __len__(self) -> int:
        """Batches of this rank in a whole epoch, the same on every rank."""
        return len(self._bounds(0)) - 1

    def _bounds(self, position: int) -> NDArray[np.int64]:
        return step_bounds(
            position, self.plan.num_draws, batch_size=self.config.batch_size, world_size=self.config.world_size
        )

    def __iter__(self) -> Iterator[Any]:
        shares = _Shares(self.epoch, self._bounds(self.position), self.config.rank, self.config.world_size)
        self._check_not_packed_again()
        if self.log is not None:
            self.log.begin(self.epoch, self.position)
        if not self.config.num_workers:
            keep_freed_memory()
        self.plan.draws(self.epoch)  # planned before workers start, who then only map it
        loader: DataLoader[_Given] = DataLoader(
            self.batches,
            sampler=shares,
            batch_size=None,  # a share is a batch already
            collate_fn=_as_is,
            num_workers=self.config.num_workers,
            worker_init_fn=_prepare,
            generator=torch.Generator(),  # its own: iterating must not move the trainer's random state
        )
        for (_, start, end, _), given in zip(shares, loader, strict=True):
            self._account(start, end, given)
            self.position = given.stop
            yield given.batch
        if self.log is not None:
            self.log.write(self.epoch, self.plan.num_draws)
        self.epoch, self.position = self.epoch + 1, 0

    def _account(self, start: int, end: int, given: _Given) -> None:
        """Count what could not be read against the budget. Raises: BiasCareError beyond it."""
        if given.unreadable:
            self._check_not_packed_again()
        for unreadable in given.unreadable:
            self.num_unreadable += 1
            message = f"unreadable sample: {self._name(unreadable.row)}: {unreadable.reason}"
            if self.num_unreadable > self.config.max_unreadable:
                budget = f"; max_unreadable = {self.config.max_unreadable}" if self.config.max_unreadable else ""
                raise BiasCareError(message + budget)
            logger.warning("%s; skipped, %d of %d", message, self.num_unreadable, self.config.max_unreadable)
        if given.batch is None:
            raise BiasCareError(f"draws {start} to {end} of epoch {self.epoch}: not one of their samples is readable")
        if self.log is not None:
            self.log.add(self.epoch, start, end, [unreadable.row for unreadable in given.unreadable])

    def _check_not_packed_again(self) -> None:
        """The same samples packed again are the same. Raises: BiasCareError naming data sets that changed."""
        try:
            version = versions_of([self.index])
        except FileNotFoundError as error:
            raise BiasCareError(f"{self.index}: expected the index this run began with, got none any more") from error
        if version == self._index_version:
            return
        changed = changed_datasets(self.index, self.plan.rows.split, self.plan.rows.parts)
        if changed:
            raise BiasCareError(
                f"{self.index.parent}: expected the shards this run began with, got them packed again meanwhile; "
                f"changed: {', '.join(changed)}. Start the training anew"
            )
        self._index_version = version

    def _name(self, row: int) -> str:
        rows = self.plan.rows
        shard = rows.shard_of(row)
        sample_id = sample_id_of(self.index, rows, row)
        return f"dataset {rows.datasets[shard]}, shard {rows.shards[shard]}, key and sample id {sample_id}"

    def state_dict(self) -> dict[str, Any]:
        """Epoch and position, and the digests of what the plan depends on. Writes what the draw log still holds."""
        if self.log is not None:
            self.log.write(self.epoch, self.position)
        parts = self.plan.parts
        return {"plan": digest_of(parts), "epoch": self.epoch, "position": self.position, "parts": parts}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from ``state``, written by any number of ranks and workers.

        Raises: ValueError naming what changed when the state belongs to another plan; BiasCareError when
            fewer draws are left of its epoch than there are ranks.
        """
        mine, theirs = self.plan.parts, state["parts"]
        if digest_of(mine) != state["plan"]:
            changed = [name for name in sorted(mine.keys() | theirs.keys()) if mine.get(name) != theirs.get(name)]
            differences = "; ".join(f"{n}: expected {mine.get(n)}, got {theirs.get(n)}" for n in changed)
            raise ValueError(f"state of another plan: {differences}")
        self._bounds(state["position"])
        self.epoch, self.position = state["epoch"], state["position"]


def open_shards(
    workspace: Workspace | str | os.PathLike[str],
    *,
    split: str,
    encode: Encode,
    collate: Collate,
    config: LoadConfig,
) -> Loader:
    """Open the packed samples of ``split``: weighted draws for training, every sample once otherwise.

    ``encode(record, generator)`` is given a generator that depends on (seed, epoch, position) only and is good
    for this call. Numpy arrays in a batch, or in the samples of a list, are handed over as torch tensors, which
    travel between processes by shared memory. The processes that read keep freed memory (``shards.heap``).
    Raises: ValueError for a split without packed samples, or training rows without weights; GateRefused where the run
        would draw a row more often than its data set's ``max_repeats``.
    """
    if not isinstance(workspace, Workspace):
        workspace = Workspace(Path(workspace))
    is_training = split == Split.TRAIN
    weights = workspace.weights if is_training else None
    opened = versions_of([workspace.index])  # before it is read: what comes later is told
    rows = packed_rows(index=workspace.index, weights=weights, split=split, plans=workspace.plans)
    num_draws = config.draws_per_epoch or len(rows)
    if is_training:
        check_caps(caps_of(workspace.solution), rows.largest_shares, num_draws=num_draws, num_epochs=config.num_epochs)
    plan: Plan = RunPlan(rows, num_draws, config.num_epochs, config.seed) if is_training else EveryRow(rows)
    reader: Reader = LocalReader(workspace.shards)
    if config.store:
        blocks = writable_folder(workspace.plans) / "blocks"
        version = digest_of(rows.parts)
        reader = BlockCache(config.store, blocks, ends=rows.ends_bytes, max_bytes=config.cache_bytes, version=version)
        reader.require()
    draws = DrawReader(plan, reader, encode, seed=config.seed, repeat_bytes=config.repeat_bytes)
    return Loader(plan, draws, collate, config, workspace.index, opened)


_HOLD_ARRAYS = frozenset({np.ndarray, list, tuple, dict})


def _tensors(batch: Any, depth: int = 2) -> Any:
    """Numpy arrays of a batch, and of the samples in it, as tensors of the same memory; all else as it is.

    Not deeper: walking every field of every sample costs more than the whole of reading it.
    """
    if isinstance(batch, np.ndarray) and batch.dtype.kind in "biuf":
        return torch.from_numpy(batch if batch.flags.writeable else _own_copy(batch))
    if depth and type(batch) in (list, tuple):
        return type(batch)([_tensors(item, depth - 1) if type(item) in _HOLD_ARRAYS else item for item in batch])
    if depth and type(batch) is dict:
        return {key: _tensors(item, depth - 1) for key, item in batch.items()}
    return batch


def _own_copy(array: NDArray[Any]) -> NDArray[Any]:
    """``array`` in memory of its own; five times as fast as ``array.copy()`` for the channels of a grey picture."""
    if array.ndim < 3 or array.strides[-1] != 0:
        return array.copy()
    copy = np.empty(array.shape, array.dtype)
    for channel in range(array.shape[-1]):
        copy[..., channel] = array[..., channel]
    return copy


def _prepare(worker: int) -> None:
    # What was forked stays: collecting the parent's connections, whose threads do not exist here, crashes Python 3.11.
    gc.freeze()
    keep_freed_memory()


def _as_is(given: Any) -> Any:
    return given
