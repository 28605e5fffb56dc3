"""One shard, made by one process: rows in, a tar and its index rows out, both under temporary names."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ingest.access import Access, access_of, strictest
from ingest.disguise import Folder, HiddenFolder
from shards.earlier import EarlierPack, PackedSample, find_packed, link_or_copy, whole_shard
from shards.manifest import INDEX_SCHEMA, PackedShard, sha256_of
from shards.members import mask_digest, packed_sample, record_text
from shards.recipe import ShardsConfig
from shards.tar import Extent, ShardWriter


@dataclass(frozen=True)
class ShardJob:
    """Everything one process needs.

    rows_ipc: the samples' rows as an Arrow stream: a tenth of the time that pickled dicts take.
    staged: where the finished tar lies until the parent moves it; its index rows lie beside it (``rows_path``).
    """

    path: str
    rows_ipc: bytes
    root: Folder
    config: ShardsConfig
    staged: Path
    earlier: tuple[EarlierPack, ...]

    @property
    def rows_path(self) -> Path:
        return self.staged.with_suffix(".parquet")


def to_ipc(table: pa.Table) -> bytes:
    """A table as the bytes of an Arrow stream; a slice carries its own rows only."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def from_ipc(content: bytes) -> list[dict[str, Any]]:
    """The rows of ``to_ipc``, maps as dicts."""
    rows: list[dict[str, Any]] = pa.ipc.open_stream(content).read_all().to_pylist(maps_as_pydicts="strict")
    return rows


def write_shard(job: ShardJob) -> PackedShard:
    """Write the shard, taking from earlier packs what is still right: the whole file, or single samples.

    Raises: BiasCareError naming the sample that cannot be packed; OSError as the file system says.
    """
    rows = from_ipc(job.rows_ipc)
    texts = {row["sample_id"]: record_text(row, mask_digest(row, job.root)) for row in rows}
    packed: dict[str, PackedSample] = {}
    for earlier in job.earlier:
        if len(packed) < len(rows):
            packed |= find_packed(earlier, rows, texts)
    held = [packed[row["sample_id"]] for row in rows if row["sample_id"] in packed]
    whole = whole_shard(held) if len(held) == len(rows) else None
    if whole:
        link_or_copy(whole, job.staged)
        sha256, extents = sha256_of(job.staged), [sample.extent for sample in held]
    else:
        sha256, extents = _write(job, rows, texts, packed)
    _write_rows(job, rows, extents)
    return PackedShard(
        path=job.path,
        num_samples=len(rows),
        size_bytes=job.staged.stat().st_size,
        sha256=sha256,
        num_encoded=len(rows) - len(held),
        kept=whole is not None,
        access=_access_of(job, rows),
    )


def _access_of(job: ShardJob, rows: list[dict[str, Any]]) -> Access:
    """The strictest of the samples' labels; disguised ones are identifiable."""
    if isinstance(job.root, HiddenFolder):
        return Access.IDENTIFIABLE
    return strictest(access_of(licence) for licence in {row["licence"] for row in rows})


def _write(
    job: ShardJob, rows: list[dict[str, Any]], texts: dict[str, bytes], packed: dict[str, PackedSample]
) -> tuple[str, list[Extent]]:
    extents = []
    with job.staged.open("wb") as stream:
        writer = ShardWriter(stream)
        for row in rows:
            sample_id = row["sample_id"]
            if sample_id in packed:
                chunk = packed[sample_id].read()
            else:
                chunk = packed_sample(row, texts[sample_id], job.root, job.config)
            extents.append(writer.add(chunk))
        sha256 = writer.finish()
        stream.flush()
        os.fsync(stream.fileno())
    return sha256, extents


def _write_rows(job: ShardJob, rows: list[dict[str, Any]], extents: list[Extent]) -> None:
    columns: dict[str, list[Any]] = {
        name: [row[name] for row in rows] for name in ("sample_id", "dataset", "task", "split")
    }
    columns["shard"] = [job.path] * len(rows)
    columns["key"] = columns["sample_id"]
    for name in ("offset", "size_bytes", "xxh3_128"):
        columns[name] = [getattr(extent, name) for extent in extents]
    pq.write_table(pa.table(columns, schema=INDEX_SCHEMA), job.rows_path)
