"""Bytes of packed samples, from wherever the shards lie (``shards.block_cache`` for those that are not local)."""

import contextlib
import os
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

MAX_OPEN_FILES = 256


@dataclass(frozen=True)
class Stretch:
    """Bytes ``start`` to ``stop`` of a shard."""

    shard: str
    start: int
    stop: int


class Reader(Protocol):
    """What the loader needs of a place where shards lie."""

    def read(self, shard: str, offset: int, size: int) -> bytes:
        """``size`` bytes of a shard; fewer where the shard ends before. Raises: OSError."""

    def expect(self, stretches: list[Stretch]) -> None:
        """Start fetching what will be read soon."""


class LocalReader:
    """Shards in a folder, by ``pread``.

    Not by ``mmap``: a shard cut short while it is mapped kills the process with SIGBUS, where ``pread`` gives an
    error that names the sample; it costs 1.5 us more per sample of 25 KB.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)
        self._files = OpenFiles()

    def read(self, shard: str, offset: int, size: int) -> bytes:
        return os.pread(self._files.descriptor(f"{self.folder}/{shard}"), size, offset)

    def expect(self, stretches: list[Stretch]) -> None:
        for stretch in stretches:
            with contextlib.suppress(OSError):  # told again, with its sample, when it is read
                descriptor = self._files.descriptor(f"{self.folder}/{stretch.shard}")
                os.posix_fadvise(descriptor, stretch.start, stretch.stop - stretch.start, os.POSIX_FADV_WILLNEED)


class OpenFiles:
    """Files opened for reading, the longest unused ones closed beyond MAX_OPEN_FILES.

    A descriptor means nothing in another process: pickled, it is empty.
    """

    def __init__(self) -> None:
        self._descriptors: OrderedDict[str, int] = OrderedDict()

    def descriptor(self, path: str) -> int:
        if path in self._descriptors:
            self._descriptors.move_to_end(path)
            return self._descriptors[path]
        if len(self._descriptors) >= MAX_OPEN_FILES:
            os.close(self._descriptors.popitem(last=False)[1])
        self._descriptors[path] = os.open(path, os.O_RDONLY)
        return self._descriptors[path]

    def __reduce__(self) -> tuple[Any, ...]:
        return OpenFiles, ()

    def __del__(self) -> None:
        for descriptor in self._descriptors.values():
            with contextlib.suppress(OSError):
                os.close(descriptor)
