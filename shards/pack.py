"""Samples and their pictures into WebDataset tars: ``shards/<dataset>/<task>-<split>-000000.tar``.

Equal input gives equal bytes: samples are ordered by sample id (a hash, so a shard is a fair mixture),
tar headers are fixed and the encoders' settings are constants. Weights stay outside the tars.
"""

import functools
import itertools
import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ingest.attributes import connect_samples, fetch
from ingest.errors import BadInput, BiasCareError
from ingest.images import read_picture
from ingest.masks import read_masks
from ingest.sample import SCHEMA_VERSION, ImageStatus, Task
from ingest.workspace import Workspace, publishing, write_json
from shards.manifest import INDEX_SCHEMA, PackedShard, sha256_of, xxh3_of
from shards.members import encode_image, encode_masks

MEMBER_MTIME = 0  # a float or the present time would bloat the headers and change the bytes on every run
ROWS_PER_PROCESS = 2_000
"""Below this many samples per process, starting one costs more than it saves."""

Progress = Callable[[int, int], None]
"""Told (samples done, samples in all)."""


@dataclass(frozen=True, kw_only=True)
class ShardsConfig:
    """The ``[shards]`` table. A picture's longest side becomes at most ``image_side_px``; none is enlarged."""

    image_side_px: int = 256
    samples_per_shard: int = 2000

    def __post_init__(self) -> None:
        if not 16 <= self.image_side_px <= 8192:
            raise ValueError(f"image_side_px: expected 16 to 8192, got {self.image_side_px}")
        if self.samples_per_shard < 1:
            raise ValueError(f"samples_per_shard: expected at least 1, got {self.samples_per_shard}")


@dataclass(frozen=True)
class _Job:
    """Everything one process needs to write one shard."""

    folder: Path
    path: str
    rows: list[dict[str, Any]]
    roots: dict[str, Path]
    image_side_px: int


PACKABLE_SQL = f"image_status = '{ImageStatus.PRESENT}' AND task <> '{Task.UNLABELLED}'"
"""What enters shards, and so what can be drawn in training."""


def pack(
    workspace: Workspace,
    roots: dict[str, Path],
    config: ShardsConfig,
    *,
    samples_version: int,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write every shard, the index and last the manifest; the folder is replaced as a whole.

    Args: roots: the folder each dataset's URIs are relative to.
    Returns: ``num_shards``, ``num_samples``, ``size_bytes``.
    Raises: BadInput when nothing can be packed; BiasCareError naming the sample that cannot.
    """
    with publishing(workspace.shards) as folder:
        folder.mkdir(parents=True)
        jobs = list(_jobs(workspace, folder, roots, config))
        if not jobs:
            raise BadInput(f"{workspace.samples}: expected labelled samples with a picture, got none to pack")
        shards = list(_run(jobs, progress))
        rows = itertools.chain.from_iterable(shard.rows for shard in shards)
        pq.write_table(pa.Table.from_pylist(list(rows), schema=INDEX_SCHEMA), folder / "index.parquet")
        manifest = {
            "schema_version": SCHEMA_VERSION,
            "samples_version": samples_version,
            "image_side_px": config.image_side_px,
            "shards": [shard.line for shard in shards],
        }
        write_json(folder / "manifest.json", manifest)
    return {
        "num_shards": len(shards),
        "num_samples": sum(shard.num_samples for shard in shards),
        "size_bytes": sum(shard.size_bytes for shard in shards),
    }


def _jobs(workspace: Workspace, folder: Path, roots: dict[str, Path], config: ShardsConfig) -> Iterator[_Job]:
    """One job per shard, in the order of their names."""
    table = fetch(
        connect_samples(workspace.samples),
        f"SELECT * FROM samples WHERE {PACKABLE_SQL} ORDER BY dataset, task, split, sample_id",
    )
    rows = table.to_pylist(maps_as_pydicts="strict")
    groups = itertools.groupby(rows, key=lambda row: (row["dataset"], row["task"], row["split"]))
    for (dataset, task, split), group in groups:
        members = list(group)
        for number, start in enumerate(range(0, len(members), config.samples_per_shard)):
            path = f"{dataset}/{task}-{split}-{number:06d}.tar"
            chunk = members[start : start + config.samples_per_shard]
            yield _Job(folder, path, chunk, roots, config.image_side_px)


def _run(jobs: list[_Job], progress: Progress | None) -> Iterator[PackedShard]:
    total = sum(len(job.rows) for job in jobs)
    processes = min(os.cpu_count() or 1, len(jobs), total // ROWS_PER_PROCESS)
    done = 0
    if processes < 2:
        results: Iterator[PackedShard] = map(_write_shard, jobs)
    else:
        pool = ProcessPoolExecutor(processes, mp_context=get_context("spawn"))
        results = pool.map(_write_shard, jobs)
    try:
        for shard in results:
            done += shard.num_samples
            if progress:
                progress(done, total)
            yield shard
    finally:
        if processes >= 2:
            pool.shutdown(cancel_futures=True)


def _write_shard(job: _Job) -> PackedShard:
    import webdataset  # 1.6 s where torch is installed: only when a shard is really written

    target = job.folder / job.path
    target.parent.mkdir(parents=True, exist_ok=True)
    bounds = []
    with target.open("wb") as stream:
        writer = webdataset.TarWriter(stream, mtime=MEMBER_MTIME, encoder=False, compress=False)
        for row in job.rows:
            start = writer.tarstream.offset
            writer.write({"__key__": row["sample_id"], **_members(row, job)})
            bounds.append((start, writer.tarstream.offset - start))
        writer.close()
    return PackedShard(
        path=job.path,
        num_samples=len(job.rows),
        size_bytes=target.stat().st_size,
        sha256=sha256_of(target),
        rows=list(_index_rows(job, target, bounds)),
    )


def _index_rows(job: _Job, target: Path, bounds: list[tuple[int, int]]) -> Iterator[dict[str, Any]]:
    with target.open("rb") as stream:
        for row, (offset, size_bytes) in zip(job.rows, bounds, strict=True):
            stream.seek(offset)
            yield {
                "sample_id": row["sample_id"], "dataset": row["dataset"], "task": row["task"],
                "split": row["split"], "shard": job.path, "key": row["sample_id"],
                "offset": offset, "size_bytes": size_bytes, "xxh3_128": xxh3_of(stream.read(size_bytes)),
            }  # fmt: skip


def _members(row: dict[str, Any], job: _Job) -> dict[str, bytes]:
    """Suffix -> bytes of one sample's members."""
    root = job.roots[row["dataset"]]
    members: dict[str, bytes] = {}
    try:
        for number, uri in enumerate(row["image_uris"]):
            suffix = "png" if uri.lower().endswith(".png") else "jpg"
            prefix = f"{number}." if len(row["image_uris"]) > 1 else ""
            members[prefix + suffix], size = _packed_image(root / uri, suffix, job.image_side_px)
        if row["mask_uri"] and row["mask_targets"]:
            masks = read_masks(root / row["mask_uri"], len(row["mask_targets"]))
            members["masks.npz"] = encode_masks(masks, size=size)
    except (OSError, ValueError) as error:
        raise BiasCareError(
            f"pack: dataset {row['dataset']}, sample {row['sample_id']}: {type(error).__name__}; "
            "its picture or mask changed since it was read: run refresh again"
        ) from error
    fields = {name: value for name, value in row.items() if value is not None}
    members["json"] = json.dumps(fields, sort_keys=True, ensure_ascii=False, default=str).encode()
    return members


@functools.lru_cache(maxsize=1024)
def _packed_image(path: Path, suffix: str, side_px: int) -> tuple[bytes, tuple[int, int]]:
    """A picture's bytes as packed, and (height, width). Cached: several questions share a picture."""
    picture = read_picture(path, side_px=side_px)
    return encode_image(picture, suffix), (picture.height, picture.width)
