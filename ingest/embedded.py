"""Pictures inside Parquet files: "x.parquet#12" is what row 12 (from 0) of x.parquet holds in image.bytes."""

import bisect
import itertools
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

SUFFIX = ".parquet"
COLUMN = "image.bytes"
_GROUPS_KEPT = 2  # row groups of pictures held in memory: neighbouring rows share one


def embedded_uri(name: str, row: int) -> str:
    """The URI of the picture in row ``row`` (from 0) of the Parquet file ``name``."""
    return f"{name}#{row}"


def container_of(path: Path) -> tuple[Path, int] | None:
    """The Parquet file and the row that a path names; None for the path of a file of its own."""
    name, mark, row = path.name.rpartition("#")
    is_embedded = bool(mark) and name.endswith(SUFFIX) and row.isascii() and row.isdigit()
    return (path.with_name(name), int(row)) if is_embedded else None


def picture_bytes(path: Path) -> bytes:
    """The bytes of a picture: a file's, or what a row of a Parquet file holds.

    Raises: FileNotFoundError when the file, the row or its picture is not there; ValueError when it is damaged.
    """
    place = container_of(path)
    if place is None:
        return path.read_bytes()
    container, row = place
    try:
        firsts = _first_rows(container, container.stat().st_mtime_ns)
        group = bisect.bisect_right(firsts, row) - 1
        if row >= firsts[-1]:
            raise FileNotFoundError(f"{container}: expected more than {row} rows, got {firsts[-1]}")
        pictures = _pictures(container, container.stat().st_mtime_ns, group)
        content = pictures[row - firsts[group]].as_py()
    except (pa.ArrowException, KeyError, MemoryError) as error:
        raise ValueError(f"{container}: expected pictures in {COLUMN}, got {type(error).__name__}") from error
    if content is None:
        raise FileNotFoundError(f"{container}: expected a picture in row {row}, got none")
    return bytes(content)


@lru_cache(maxsize=64)
def _first_rows(container: Path, changed_ns: int) -> tuple[int, ...]:
    """The first row of every row group, and at the end the number of rows. ``changed_ns`` tells versions apart."""
    with pq.ParquetFile(container) as file:
        sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
    return tuple(itertools.accumulate(sizes, initial=0))


@lru_cache(maxsize=_GROUPS_KEPT)
def _pictures(container: Path, changed_ns: int, group: int) -> pa.ChunkedArray:
    with pq.ParquetFile(container) as file:
        return file.read_row_group(group, columns=[COLUMN]).column("image").combine_chunks().field("bytes")
