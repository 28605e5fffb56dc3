"""Samples that an earlier pack already holds: found by their record, checked by their digest, copied or linked.

Whether a packed sample is still right is asked of the tar itself: its bytes must have the digest that the
index gives, and must end in the JSON that the present row would be packed with (which carries the digests
of its picture and mask files).
"""

import contextlib
import itertools
import logging
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from shards.tar import END_OF_ARCHIVE, Extent, member

_COLUMNS = ["sample_id", "shard", "key", "offset", "size_bytes", "xxh3_128"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EarlierPack:
    """A folder of shards and an index of them: what was published, or what an interrupted pack finished."""

    shards: Path
    index: Path

    def rows_beside(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Its index rows in the range of ``rows`` (of one dataset, task and split, by ascending sample id)."""
        if not rows or not self.index.exists():
            return []
        first, last = rows[0], rows[-1]
        wanted = [(name, "=", first[name]) for name in ("dataset", "task", "split")]
        span = [("sample_id", ">=", first["sample_id"]), ("sample_id", "<=", last["sample_id"])]
        try:
            found: list[dict[str, Any]] = pq.read_table(self.index, columns=_COLUMNS, filters=wanted + span).to_pylist()
        except (pa.ArrowException, OSError, ValueError) as error:
            logger.warning("%s: unreadable index (%s): its samples are packed again", self.index, type(error).__name__)
            return []
        return found


@dataclass(frozen=True)
class PackedSample:
    """One sample in an earlier shard."""

    shard: Path
    extent: Extent

    def read(self) -> bytes:
        with self.shard.open("rb") as stream:
            return _read(stream, self.extent)


def _read(stream: BinaryIO, extent: Extent) -> bytes:
    stream.seek(extent.offset)
    return stream.read(extent.size_bytes)


def find_packed(
    earlier: EarlierPack, rows: list[dict[str, Any]], texts: Mapping[str, bytes]
) -> dict[str, PackedSample]:
    """The samples of ``rows`` that ``earlier`` holds exactly as they would be packed now, by sample id.

    texts: sample id -> the JSON member of today.
    """
    found: dict[str, PackedSample] = {}
    known = [row for row in earlier.rows_beside(rows) if row["sample_id"] in texts]
    for name, packed in itertools.groupby(known, key=lambda row: row["shard"]):
        shard = earlier.shards / name
        with contextlib.suppress(OSError, ValueError), shard.open("rb") as stream:
            for row in packed:
                extent = Extent(row["offset"], row["size_bytes"], row["xxh3_128"])
                tail = b"".join(member(f"{row['key']}.json", texts[row["sample_id"]]))
                chunk = _read(stream, extent)
                if xxhash.xxh3_128_hexdigest(chunk) == extent.xxh3_128 and chunk.endswith(tail):
                    found[row["sample_id"]] = PackedSample(shard, extent)
    return found


def whole_shard(samples: list[PackedSample]) -> Path | None:
    """The one file that is exactly ``samples`` in this order, every byte of it accounted for; else None."""
    shard = samples[0].shard
    end = 0
    for sample in samples:
        if sample.shard != shard or sample.extent.offset != end:
            return None
        end += sample.extent.size_bytes
    with shard.open("rb") as stream:
        stream.seek(end)
        return shard if stream.read() == END_OF_ARCHIVE else None


def link_or_copy(source: Path, target: Path) -> None:
    """``target`` with the bytes of ``source``: a hard link where the file system has them."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
