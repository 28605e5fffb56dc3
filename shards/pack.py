"""Samples and their pictures into WebDataset tars: ``shards/<dataset>/<task>-<split>-000000.tar``.

Equal input gives equal bytes, for any number of processes and whatever was packed before: the assignment of
samples to shards, their order, the tar headers and the encoders' settings are fixed. Work happens in
``.shards.partial`` beside the shards, shard by finished shard, and takes their place in one step at the end;
a killed run leaves it behind and the next one goes on from it. Weights stay outside the tars.
"""

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from ingest.attributes import connect_samples
from ingest.disguise import Folder
from ingest.errors import BadInput, BiasCareError
from ingest.workspace import Workspace, locked_file, put_in_place, write_json
from shards.assignment import PlannedShard, limit_memory, plan_shards, rows_of_shards
from shards.earlier import EarlierPack
from shards.manifest import INDEX_SCHEMA, PackedShard, manifest_of, read_manifest, sha256_of
from shards.mirror import mirror, published_at
from shards.parallel import num_cores, run_jobs
from shards.recipe import ShardsConfig, recipe_of
from shards.shard_job import ShardJob, to_ipc, write_shard
from shards.space import require_space

ROWS_PER_PROCESS = 2_000
"""Below this many samples per process, starting one costs more than it saves."""
ROWS_PER_INDEX_GROUP = 16_384
"""Small enough that the rows of one shard are found without reading much of the index."""
Progress = Callable[[int, int], None]
"""Told (samples done, samples in all): of packing, then of sending where there is a store."""


@dataclass(frozen=True)
class Partial:
    """The folder of an unfinished pack: finished shards, index rows of each, shards being written."""

    folder: Path

    @property
    def shards(self) -> Path:
        return self.folder / "shards"

    @property
    def writing(self) -> Path:
        return self.folder / "writing"

    @property
    def recipe(self) -> Path:
        return self.folder / "recipe.json"

    def rows(self, path: str) -> Path:
        return (self.folder / "rows" / path).with_suffix(".parquet")


def pack(
    workspace: Workspace,
    roots: Mapping[str, Folder],
    config: ShardsConfig,
    *,
    samples_version: int,
    num_processes: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write every shard that is not there already, the index and last the manifest; all take effect at once.

    Args: roots: the folder each dataset's URIs are relative to. num_processes: None for as many as pay.
    Returns: ``num_shards``, ``num_samples``, ``size_bytes``, ``num_shards_kept``, ``num_samples_encoded``, ``corpus``.
    Raises: BadInput when nothing can be packed; BiasCareError naming the sample that cannot, for a disk
    without room, and where another process packs here.
    """
    connection = connect_samples(workspace.samples)
    planned = plan_shards(connection, config.samples_per_shard)
    if not planned:
        raise BadInput(f"{workspace.samples}: expected labelled samples with a picture, got none to pack")
    if unknown := {shard.dataset for shard in planned} - roots.keys():
        raise BadInput(f"pack: expected a folder for every dataset of the samples table, got none for {min(unknown)}")
    if config.store:
        published_at(config.store)  # told now, not after hours of packing
    total = sum(shard.num_samples for shard in planned)
    processes = num_processes or min(num_cores(), len(planned), total // ROWS_PER_PROCESS)
    with locked_file(workspace.root / ".shards.lock"), _told_when_full(workspace.root):
        partial = _open_partial(workspace, config)
        finished: dict[str, PackedShard] = {}
        done = 0
        jobs = _jobs(workspace, partial, planned, roots, config, connection)
        for shard in run_jobs(write_shard, jobs, num_processes=processes):
            _keep(partial, shard)
            finished[shard.path] = shard
            done += shard.num_samples
            if progress:
                progress(done, total)
        shards = [finished[shard.path] for shard in planned]
        corpus = _publish(workspace, partial, shards, config, samples_version)
        if config.store:
            mirror(workspace.shards, config.store, progress=progress)
    return {
        "num_shards": len(shards),
        "num_samples": total,
        "size_bytes": sum(shard.size_bytes for shard in shards),
        "num_shards_kept": sum(shard.kept for shard in shards),
        "num_samples_encoded": sum(shard.num_encoded for shard in shards),
        "corpus": corpus,
    }


@contextlib.contextmanager
def _told_when_full(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        free = shutil.disk_usage(folder).free
        raise BiasCareError(
            f"pack: {folder}: expected room for the shards, got a full disk ({free:,} bytes free); "
            "finished shards are kept: make room and run it again"
        ) from error


def _open_partial(workspace: Workspace, config: ShardsConfig) -> Partial:
    """The folder to work in; what an interrupted pack by the same recipe finished is still there."""
    partial = Partial(workspace.root / ".shards.partial")
    if not partial.recipe.exists() or json.loads(partial.recipe.read_text()) != recipe_of(config):
        shutil.rmtree(partial.folder, ignore_errors=True)
        write_json(partial.recipe, recipe_of(config))
    shutil.rmtree(partial.writing, ignore_errors=True)
    return partial


def _published(workspace: Workspace, config: ShardsConfig) -> list[EarlierPack]:
    """The shards that stand, where they were packed by the same recipe: their samples need not be encoded again."""
    if not workspace.manifest.exists():
        return []
    try:
        manifest = read_manifest(workspace.manifest)
    except BiasCareError:  # a damaged manifest says nothing of its shards: all are packed again
        return []
    return [EarlierPack(workspace.shards, workspace.index)] if manifest["recipe"] == recipe_of(config) else []


def _jobs(
    workspace: Workspace,
    partial: Partial,
    planned: list[PlannedShard],
    roots: Mapping[str, Folder],
    config: ShardsConfig,
    connection: duckdb.DuckDBPyConnection,
) -> Iterator[ShardJob]:
    """One job per shard, made when a process is about to be free for it."""
    limit_memory(connection, spill=partial.folder / "sort")
    published = _published(workspace, config)
    held = [*partial.folder.glob("rows/**/*.parquet"), *(earlier.index for earlier in published)]
    require_space(connection, roots, config, folder=workspace.root, held=held)
    for shard, rows in rows_of_shards(connection, planned):
        staged = partial.writing / shard.path
        staged.parent.mkdir(parents=True, exist_ok=True)
        earlier = (EarlierPack(partial.shards, partial.rows(shard.path)), *published)
        yield ShardJob(shard.path, to_ipc(rows), roots[shard.dataset], config, staged, earlier)


def _keep(partial: Partial, shard: PackedShard) -> None:
    """Move a finished shard to the finished ones. Only the parent does: what a killed run left behind cannot."""
    for source, target in (
        (partial.writing / shard.path, partial.shards / shard.path),
        ((partial.writing / shard.path).with_suffix(".parquet"), partial.rows(shard.path)),
    ):
        target.parent.mkdir(parents=True, exist_ok=True)
        source.replace(target)


def _publish(
    workspace: Workspace, partial: Partial, shards: list[PackedShard], config: ShardsConfig, samples_version: int
) -> str:
    """Add index and manifest to the finished shards and put them in place; the corpus digest."""
    listed = {partial.shards / shard.path for shard in shards}
    for path in partial.shards.rglob("*.*"):
        if path.is_file() and path not in listed:
            path.unlink()
    index = partial.shards / workspace.index.name
    _write_index(index, [partial.rows(shard.path) for shard in shards])
    manifest = manifest_of(
        [shard.line for shard in shards],
        recipe=recipe_of(config),
        samples_version=samples_version,
        index_sha256=sha256_of(index),
    )
    write_json(partial.shards / workspace.manifest.name, manifest)
    for path in (index, partial.shards / workspace.manifest.name):
        _sync(path)
    put_in_place(partial.shards, workspace.shards)
    _sync(workspace.root)
    shutil.rmtree(partial.folder)
    corpus: str = manifest["corpus"]
    return corpus


def _write_index(target: Path, parts: list[Path]) -> None:
    """The rows of every shard as one file, a few shards in memory at a time."""
    with pq.ParquetWriter(target, INDEX_SCHEMA) as writer:
        waiting = INDEX_SCHEMA.empty_table()
        for part in parts:
            waiting = pa.concat_tables([waiting, pq.read_table(part, schema=INDEX_SCHEMA)])
            if waiting.num_rows >= ROWS_PER_INDEX_GROUP:
                writer.write_table(waiting)
                waiting = INDEX_SCHEMA.empty_table()
        if waiting.num_rows:
            writer.write_table(waiting)


def _sync(path: Path) -> None:
    """Have the system put a file or folder on the disk now: the order of writes must survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
