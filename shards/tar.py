"""A plain ustar archive of samples, digested while it is written.

Headers are fixed but for name, size and checksum: no owner, no time, no PAX records (a float mtime makes
webdataset's own writer add 2,048 bytes to every sample of two members, and differ from run to run).
"""

import hashlib
from dataclasses import dataclass
from typing import BinaryIO

import xxhash

BLOCK_BYTES = 512
END_OF_ARCHIVE = bytes(2 * BLOCK_BYTES)
MAX_NAME_BYTES = 100
MAX_MEMBER_BYTES = 8**11 - 1
WRITE_BYTES = 2**20  # one large write costs 0.6 of the many small ones

# POSIX.1-1988 ustar, in the order of the header: the fields around name, size and checksum.
_MODE_UID_GID = b"0000644\0" + 2 * b"0000000\0"
_MTIME = b"00000000000\0"
_TYPE_TO_PAD = b"0" + bytes(100) + b"ustar\x0000" + bytes(64 + 16 + 155 + 12)
_FIXED_SUM = sum(_MODE_UID_GID) + sum(_MTIME) + sum(_TYPE_TO_PAD) + 8 * ord(" ")
_PADDING = [bytes(-size % BLOCK_BYTES) for size in range(BLOCK_BYTES)]


@dataclass(frozen=True, slots=True)
class Extent:
    """Where a sample lies: from its first member's header to the end of its last member's padding."""

    offset: int
    size_bytes: int
    xxh3_128: str


def member(name: str, content: bytes) -> tuple[bytes, bytes, bytes]:
    """Header, content and padding of one file. Raises: ValueError for a name or size that ustar cannot hold."""
    encoded = name.encode("ascii")
    if not 0 < len(encoded) <= MAX_NAME_BYTES or len(content) > MAX_MEMBER_BYTES:
        raise ValueError(
            f"tar member: expected a name of 1 to {MAX_NAME_BYTES} bytes and at most {MAX_MEMBER_BYTES} bytes, "
            f"got {len(encoded)} and {len(content)}"
        )
    size = b"%011o\0" % len(content)
    checksum = b"%06o\0 " % (_FIXED_SUM + sum(encoded) + sum(size))
    header = b"".join((encoded.ljust(MAX_NAME_BYTES, b"\0"), _MODE_UID_GID, size, _MTIME, checksum, _TYPE_TO_PAD))
    return header, content, _PADDING[len(content) % BLOCK_BYTES]


def sample_bytes(key: str, members: dict[str, bytes]) -> bytes:
    """The run of members ``<key>.<suffix>`` that is one sample, in the order of ``members``."""
    return b"".join([part for suffix, content in members.items() for part in member(f"{key}.{suffix}", content)])


class ShardWriter:
    """Appends samples to ``stream``; sha256 of the whole and xxh3 of each sample come without a second pass."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._sha256 = stream, hashlib.sha256()
        self._waiting: list[bytes] = []
        self._num_waiting_bytes = 0
        self.size_bytes = 0

    def add(self, chunk: bytes) -> Extent:
        """Append one sample as ``sample_bytes`` laid it out."""
        extent = Extent(self.size_bytes, len(chunk), xxhash.xxh3_128_hexdigest(chunk))
        self._append(chunk)
        return extent

    def finish(self) -> str:
        """End the archive; its sha256. The stream stays open."""
        self._append(END_OF_ARCHIVE)
        self._write()
        return self._sha256.hexdigest()

    def _append(self, chunk: bytes) -> None:
        self._waiting.append(chunk)
        self._num_waiting_bytes += len(chunk)
        self.size_bytes += len(chunk)
        if self._num_waiting_bytes >= WRITE_BYTES:
            self._write()

    def _write(self) -> None:
        block = b"".join(self._waiting)
        self._stream.write(block)
        self._sha256.update(block)
        self._waiting.clear()
        self._num_waiting_bytes = 0
