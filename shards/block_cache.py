"""Shards in any fsspec store, read in blocks through a bounded folder that the workers of a machine share."""

import contextlib
import hashlib
import os
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ingest.workspace import digest_of, publishing
from shards.reader import Stretch
from shards.rows import alone
from shards.store import Store
from shards.store_faults import FIRST_WAITS_S, scrubbed, told

BLOCK_BYTES = 4 * 2**20
READ_AHEAD_THREADS = 4


class BlockCache:
    """A reader of ``url``/<shard>: ranged reads of whole blocks, kept in ``folder`` up to ``max_bytes``.

    A block is fetched once per machine, ahead of its use where ``expect`` was told in time; the blocks longest
    unused are deleted first.

    ends: of each shard's last sample, in bytes: what is asked for up to there must come.
    version: names what lies at ``url`` now; another version shares no block with it.
    """

    def __init__(self, url: str, folder: Path, *, ends: Mapping[str, int], max_bytes: int, version: str) -> None:
        self.url, self.ends, self.max_bytes = url, ends, max_bytes
        self.folder = folder / digest_of([scrubbed(url), version])  # signatures change
        self._pending: dict[Path, Future[None]] = {}
        self._threads: ThreadPoolExecutor | None = None

    def require(self) -> None:
        """Raises: BadInput or BiasCareError in one line where the store cannot be read at all."""
        with told():
            Store.at(self.url, waits_s=FIRST_WAITS_S).read_range(next(iter(self.ends)), 0, 1)

    def read(self, shard: str, offset: int, size: int) -> bytes:
        parts, stop = [], offset + size
        for number in range(offset // BLOCK_BYTES, (stop - 1) // BLOCK_BYTES + 1):
            first = number * BLOCK_BYTES
            parts.append(self._part(shard, number, max(offset - first, 0), min(stop - first, BLOCK_BYTES)))
        return b"".join(parts)

    def expect(self, stretches: list[Stretch]) -> None:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(READ_AHEAD_THREADS)
        self._pending = {path: future for path, future in self._pending.items() if not future.done()}
        for stretch in stretches:
            for number in range(stretch.start // BLOCK_BYTES, (stretch.stop - 1) // BLOCK_BYTES + 1):
                path = self._path(stretch.shard, number)
                if path not in self._pending and not path.exists():
                    self._pending[path] = self._threads.submit(self._ahead, path, stretch.shard, number)

    def _part(self, shard: str, number: int, start: int, stop: int) -> bytes:
        """Bytes ``start`` to ``stop`` of a block."""
        path = self._path(shard, number)
        for _ in range(3):  # another process may delete the block between fetching and reading it
            with contextlib.suppress(FileNotFoundError), path.open("rb", buffering=0) as block:
                os.utime(block.fileno())  # not by its path, where touch would leave an empty block once it is deleted
                return os.pread(block.fileno(), stop - start, start)
            self._fetch(path, shard, number)
        return self._ranged(shard, number)[start:stop]

    def _path(self, shard: str, number: int) -> Path:
        name = hashlib.blake2b(shard.encode(), digest_size=12).hexdigest()
        return self.folder / f"{name}.{number:06d}"

    def _ahead(self, path: Path, shard: str, number: int) -> None:
        """Fetch what may be read soon, with one try: whoever reads it tries again, and tells."""
        with contextlib.suppress(OSError):
            self._fetch(path, shard, number, waits_s=())

    def _fetch(self, path: Path, shard: str, number: int, *, waits_s: tuple[float, ...] | None = None) -> None:
        with alone(path.with_name(f"{path.name.partition('.')[0]}-{number % READ_AHEAD_THREADS}")):
            if path.exists():
                return
            content = self._ranged(shard, number, waits_s=waits_s)
            with publishing(path) as staged:
                staged.write_bytes(content)
        self._make_room()

    def _ranged(self, shard: str, number: int, *, waits_s: tuple[float, ...] | None = None) -> bytes:
        start = number * BLOCK_BYTES
        return Store.at(self.url, waits_s=waits_s).read_range(shard, start, min(start + BLOCK_BYTES, self.ends[shard]))

    def _make_room(self) -> None:
        blocks = []
        for path in self.folder.glob("[0-9a-f]*.*"):
            with contextlib.suppress(FileNotFoundError):
                blocks.append((path.stat().st_mtime_ns, path.stat().st_size, path))
        excess = sum(size for _, size, _ in blocks) - self.max_bytes
        for _, size, path in sorted(blocks):
            if excess <= 0:
                return
            path.unlink(missing_ok=True)
            excess -= size

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_pending": {}, "_threads": None}  # threads do not survive into another process
