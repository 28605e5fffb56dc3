"""One shard re-read by one process: its digest, each sample's digest and record, its members."""

import hashlib
import json
import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xxhash

from shards.members import MASK_DIGEST, has_masks, record_text
from shards.record import UnreadableSample, members_of
from shards.shard_job import from_ipc
from shards.tar import BLOCK_BYTES, END_OF_ARCHIVE

OCTAL_DIGITS = b"01234567"
SAMPLES_NAMED = 5
"""Of many samples with the same trouble, so many are named and the others counted."""


@dataclass(frozen=True)
class ShardCheck:
    """A shard to check.

    line: its line of the manifest.
    rows_ipc: its index rows in the order of their offsets, each with its row of the samples table as the struct
    ``sample`` (of nulls where the table has none).
    """

    folder: Path
    line: dict[str, Any]
    rows_ipc: bytes


def check_shard(check: ShardCheck) -> tuple[int, list[str]]:
    """How many samples the shard should hold, and one line per problem."""
    return check.line["num_samples"], [f"{check.line['path']}: {problem}" for problem in _problems(check)]


def _problems(check: ShardCheck) -> Iterator[str]:
    line, rows = check.line, from_ipc(check.rows_ipc)
    try:
        content = _content(check.folder / line["path"])
    except OSError as error:
        yield f"expected a shard, got {type(error).__name__}"
        return
    complete = len(rows) == line["num_samples"]
    if not complete:
        yield f"expected {line['num_samples']} samples in the index, got {len(rows)}"
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 != line["sha256"]:
        yield f"expected {line['size_bytes']:,} bytes of sha256 {line['sha256']}, got {len(content):,} of {sha256}"
    chunks = [(row, content[row["offset"] : row["offset"] + row["size_bytes"]]) for row in rows]
    changed = {row["sample_id"] for row, chunk in chunks if xxhash.xxh3_128_hexdigest(chunk) != row["xxh3_128"]}
    stale = [
        row["sample_id"]
        for row, chunk in chunks
        if row["sample_id"] not in changed and row["sample"]["sample_id"] and not _says(chunk, row["sample"])
    ]
    yield from named(sorted(changed), "its bytes are not those of the index")
    yield from named(stale, "the samples table says otherwise now: run `biascarevl pack`")
    if sha256 != line["sha256"] or not complete:
        yield from _members(content, {row["key"] for row in rows})


def _content(path: Path) -> bytes | mmap.mmap:
    with path.open("rb") as stream:
        if path.stat().st_size == 0:  # nothing to map
            return b""
        return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)


def _says(chunk: bytes, sample: dict[str, Any]) -> bool:
    """Whether a packed sample is the record of the samples table. Its mask digest is its own: files are not re-read."""
    try:
        text = members_of(chunk)["json"]
        digest = json.loads(text).get(MASK_DIGEST) if has_masks(sample) else None
    except (UnreadableSample, KeyError, ValueError):
        return False
    return text == record_text(sample, digest)


def named(sample_ids: list[str], says: str) -> Iterator[str]:
    """One line for each of the first SAMPLES_NAMED, and one for the rest."""
    for sample_id in sample_ids[:SAMPLES_NAMED]:
        yield f"sample {sample_id}: {says}"
    if len(sample_ids) > SAMPLES_NAMED:
        yield f"{len(sample_ids) - SAMPLES_NAMED} more samples: {says}"


def _members(content: bytes | mmap.mmap, keys: set[str]) -> Iterator[str]:
    """Members without an index row, index rows without a member, and what is no member at all."""
    found: set[str] = set()
    start, end = 0, len(content)
    while start + BLOCK_BYTES <= end and content[start] != 0:
        header = content[start : start + BLOCK_BYTES]
        digits = header[124:135]
        if header[257:262] != b"ustar" or digits.strip(OCTAL_DIGITS):
            yield f"expected a tar member at byte {start:,}, got none"
            return
        name = header[:100].rstrip(b"\0").decode("ascii", "replace")
        found.add(name.partition(".")[0])
        if name.partition(".")[0] not in keys:
            yield f"a member the index does not list: {name}"
        start += BLOCK_BYTES + -(-int(digits, 8) // BLOCK_BYTES) * BLOCK_BYTES
    if content[start:] != END_OF_ARCHIVE:
        yield f"expected the end of the archive at byte {start:,}, got {max(0, end - start):,} other bytes"
    yield from named(sorted(keys - found), "no member of the shard")
