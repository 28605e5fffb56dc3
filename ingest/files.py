"""Which files a data set consists of, and which of them changed since they were last read.

A table or text counts as changed when its bytes do; its time alone means nothing. A picture counts as changed
when its size or time does: it is looked at again then, and decoded again only if its bytes are others.
"""

import functools
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import xxhash

FILES_SCHEMA = pa.schema(
    [("path", pa.string()), ("size_bytes", pa.int64()), ("mtime_ns", pa.int64()), ("digest", pa.string())]
)
"""``digest`` is null for pictures and masks: theirs is the sha256 in the samples table."""

_TABLES = (".csv", ".tsv", ".json", ".jsonl", ".txt", ".parquet", ".pkl", ".xml", ".csv.gz", ".tsv.gz", ".json.gz")
_BLOCK_BYTES = 2**22


@dataclass(frozen=True)
class Changes:
    """Paths relative to their root, sorted."""

    added: list[str]
    changed: list[str]
    removed: list[str]

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.removed)


def list_files(
    roots: Sequence[Path], *, known: pa.Table | None = None, name_of: Callable[[str], str] = str
) -> pa.Table:
    """Every file under ``roots`` (folders or single files) in FILES_SCHEMA, sorted by path.

    Paths are relative to their root, behind its position and a colon for all but the first. ``known``: an earlier
    listing; a table whose size and time are as there is not opened again. name_of: what a path is listed as.
    """
    remembered = _digests_of(known)
    rows = [
        (name_of(name), size, mtime_ns, path)
        for number, root in enumerate(roots)
        for name, size, mtime_ns, path in _listing(root, number)
    ]
    rows.sort()
    digests: list[str | None] = []
    for name, size, mtime_ns, path in rows:
        if not path.lower().endswith(_TABLES):
            digests.append(None)
        elif (digest := remembered.get((name, size, mtime_ns))) is not None:
            digests.append(digest)
        else:
            digests.append(_content_digest(path, size, mtime_ns))
    columns = [pa.array([row[i] for row in rows], FILES_SCHEMA.types[i]) for i in range(3)]
    return pa.Table.from_arrays([*columns, pa.array(digests, pa.string())], schema=FILES_SCHEMA)


def read_listing(path: Path) -> pa.Table | None:
    """A listing that was written earlier, or None."""
    return pq.read_table(path, schema=FILES_SCHEMA) if path.is_file() else None


def listing_digest(files: pa.Table) -> str:
    """128 bits over the names and contents of a listing, in hex: equal exactly when nothing counts as changed."""
    hasher = hashlib.blake2b(digest_size=16)
    for token in _tokens(files):
        hasher.update(token.encode())
        hasher.update(b"\n")
    return hasher.hexdigest()


def changes_between(before: pa.Table | None, after: pa.Table) -> Changes:
    """What was added, changed and removed from one listing to the next; everything is added after None."""
    if before is None:
        return Changes(after["path"].to_pylist(), [], [])
    old, new = set(_tokens(before)), set(_tokens(after))
    gone, come = ({token.partition("\t")[0] for token in side} for side in (old - new, new - old))
    return Changes(sorted(come - gone), sorted(come & gone), sorted(gone - come))


def _tokens(files: pa.Table) -> Iterator[str]:
    """Per file its name and what it counts by: the digest of its bytes, else size and time."""
    stat = pc.binary_join_element_wise(files["size_bytes"].cast(pa.string()), files["mtime_ns"].cast(pa.string()), ":")
    yield from pc.binary_join_element_wise(files["path"], pc.coalesce(files["digest"], stat), "\t").to_pylist()


def _digests_of(known: pa.Table | None) -> dict[tuple[str, int, int], str]:
    if known is None:
        return {}
    tables = known.filter(pc.is_valid(known["digest"]))
    columns = [tables[name].to_pylist() for name in FILES_SCHEMA.names]
    return dict(zip(zip(*columns[:3], strict=True), columns[3], strict=True))


def _listing(root: Path, number: int) -> Iterator[tuple[str, int, int, str]]:
    """(name, size, time, path) of every file. A link counts as its target; a link to a folder is not entered."""
    prefix = f"{number}:" if number else ""
    if root.is_file():
        status = root.stat()
        yield prefix + root.name, status.st_size, status.st_mtime_ns, str(root)
        return
    folders = [(str(root), prefix)]
    while folders:
        folder, name = folders.pop()
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append((entry.path, f"{name}{entry.name}/"))
                    continue
                try:
                    status = entry.stat()
                except OSError:  # gone meanwhile, a dangling link, a loop: the adapter will say so
                    continue
                yield name + entry.name, status.st_size, status.st_mtime_ns, entry.path


@functools.lru_cache(maxsize=2**19)
def _content_digest(path: str, size_bytes: int, mtime_ns: int) -> str:
    """xxh3 of a file's bytes. Size and time are part of the key, so that a command that lists twice reads once."""
    hasher = xxhash.xxh3_128()
    with open(path, "rb") as stream:  # noqa: PTH123  hundreds of thousands of reports: strings
        while block := stream.read(_BLOCK_BYTES):
            hasher.update(block)
    return hasher.hexdigest()
