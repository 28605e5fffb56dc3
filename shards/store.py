"""Files under a folder or any fsspec URL: every request tried again where that may help, every fault one line."""

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import fsspec
from fsspec.implementations.local import LocalFileSystem

from ingest.errors import BadInput
from shards import store_faults
from shards.store_faults import ShortRead, WholeRead, asked, scrubbed

PIECE_BYTES = 8 * 2**20
EXTRAS = {"s3": "s3", "s3a": "s3", "http": "http", "https": "http"}
"""Which extra of this project brings what a protocol needs."""
BUCKETS = frozenset({"s3", "s3a", "gs", "gcs"})
"""Here an @ can only stand behind keys, which the libraries would quote in their errors."""
KEYS_BELONG = "set them in the environment or in its configuration files"
READ_ONLY = frozenset({"http", "https"})
WITHOUT_FOLDERS = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "az", "http", "https"})
S3_SETTINGS = {"config_kwargs": {"retries": {"total_max_attempts": 1}}}
"""Or else its library would try 5 times for each of ours."""

T = TypeVar("T")


@dataclass(frozen=True)
class Store:
    """Files under a prefix of a file system.

    prefix: without a slash at its end. query: what a signed URL has behind its path, or "".
    shown: the URL as it may be told, without user, password and query.
    """

    system: Any
    prefix: str
    query: str
    shown: str
    protocol: str
    waits_s: tuple[float, ...]

    @classmethod
    def at(cls, url: str, *, waits_s: tuple[float, ...] | None = None) -> "Store":
        """The files at ``url``, each asked for again after ``waits_s`` (None: as usual).

        Raises: BadInput for a URL whose file system is unknown or not installed.
        """
        shown, protocol = scrubbed(url).rstrip("/"), url.partition("://")[0] if "://" in url else "file"
        if protocol in BUCKETS and "@" in url.partition("://")[2].partition("/")[0]:
            raise BadInput(f"{shown}: expected a bucket's name, got user or password before it: {KEYS_BELONG}")
        path, _, query = url.partition("?") if protocol in READ_ONLY else (url, "", "")
        try:
            system, prefix = fsspec.core.url_to_fs(path, **_settings(protocol))
        except ImportError:
            extra = EXTRAS.get(protocol)
            how = f"`pip install 'biascarevl[{extra}]'`" if extra else f"the fsspec package for {protocol}://"
            raise BadInput(f"{shown}: expected what reads {protocol}://, got nothing installed: {how}") from None
        except ValueError as error:
            said = scrubbed(str(error))
            raise BadInput(f"shards.store: expected a folder or an fsspec URL, got {shown!r}: {said}") from None
        waits_s = store_faults.WAITS_S if waits_s is None else waits_s
        return cls(system, prefix.rstrip("/"), query, shown, protocol, waits_s)

    @property
    def can_be_written(self) -> bool:
        return self.protocol not in READ_ONLY

    def path(self, name: str) -> str:
        return f"{self.prefix}/{name}?{self.query}" if self.query else f"{self.prefix}/{name}"

    def read(self, name: str) -> bytes | None:
        """A small file whole; None where there is none."""
        try:
            return self._ask(name, lambda: bytes(self.system.cat_file(self.path(name))))
        except FileNotFoundError:
            return None

    def read_range(self, name: str, start: int, stop: int) -> bytes:
        """Bytes ``start`` to ``stop``, all of them. Raises: FileNotFoundError, StoreFault."""

        def act() -> bytes:
            content: bytes = self.system.cat_file(self.path(name), start=start, end=stop)
            if len(content) > stop - start:
                raise WholeRead(f"expected a server that gives ranges of a file, got {len(content):,} bytes")
            if len(content) < stop - start:
                raise ShortRead(f"expected {stop - start:,} bytes from byte {start:,}, got {len(content):,}")
            return content

        return self._ask(name, act) if stop > start else b""

    def size(self, name: str) -> int | None:
        """Its bytes; None where there is no such file."""
        try:
            return self._ask(name, lambda: int(self.system.info(self.path(name))["size"]))
        except FileNotFoundError:
            return None

    def sizes(self) -> dict[str, int]:
        """Bytes of every file under the prefix, by name; empty for a server of pages, which lists nothing."""
        if not self.can_be_written:
            return {}
        try:
            found = self._ask("", lambda: self.system.find(self.prefix, detail=True))
        except FileNotFoundError:
            return {}
        return {path.removeprefix(f"{self.prefix}/"): int(info["size"]) for path, info in found.items()}

    def pieces(self, name: str, size: int) -> Iterator[bytes]:
        """A file of ``size`` bytes, a few million at a time."""
        for start in range(0, size, PIECE_BYTES):
            yield self.read_range(name, start, min(size, start + PIECE_BYTES))

    def sha256(self, name: str, size: int) -> str:
        """Digest of the first ``size`` bytes of a file. Raises: FileNotFoundError, StoreFault."""
        hasher = hashlib.sha256()
        for piece in self.pieces(name, size):
            hasher.update(piece)
        return hasher.hexdigest()

    def write(self, name: str, content: bytes) -> None:
        """Not in one step in a folder: write beside, then ``move``."""
        self._make_folder(name)
        self._ask(name, lambda: self.system.pipe_file(self.path(name), content))

    def send(self, source: Path, name: str) -> None:
        """Copy one local file there, at most PIECE_BYTES twice in memory."""
        settings = {"chunksize": PIECE_BYTES, "max_concurrency": 1} if self.protocol in ("s3", "s3a") else {}
        self._make_folder(name)
        self._ask(name, lambda: self.system.put_file(str(source), self.path(name), **settings))

    def move(self, name: str, to: str) -> None:
        """Give a file another name, in place of what has it now. It is whole under whichever of both it has."""
        self._make_folder(to)
        if isinstance(self.system, LocalFileSystem):
            self._ask(to, lambda: Path(self.path(name)).replace(self.path(to)))
            return
        self._ask(to, lambda: self.system.cp_file(self.path(name), self.path(to)))
        self.remove(name)

    def remove(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._ask(name, lambda: self.system.rm_file(self.path(name)))

    def remove_folder(self, name: str) -> None:
        """Everything under a name."""
        with contextlib.suppress(FileNotFoundError):
            self._ask(name, lambda: self.system.rm(self.path(name), recursive=True))

    def forget_broken_uploads(self) -> None:
        """Free the parts of uploads here that were cut off: no listing shows them, but they are paid for."""
        if self.protocol not in ("s3", "s3a"):
            return
        bucket, _, folder = self.prefix.partition("/")
        for upload in self._ask("", lambda: self.system.list_multipart_uploads(bucket)):
            if upload["Key"].startswith(f"{folder}/" if folder else ""):
                self.system.abort_mpu(bucket, upload["Key"], upload["UploadId"])

    def _make_folder(self, name: str) -> None:
        if self.protocol not in WITHOUT_FOLDERS:
            folder = self.path(name).rpartition("/")[0]
            self._ask(name, lambda: self.system.makedirs(folder, exist_ok=True))

    def _ask(self, name: str, act: Callable[[], T]) -> T:
        return asked(f"{self.shown}/{name}" if name else self.shown, act, waits_s=self.waits_s)


def _settings(protocol: str) -> dict[str, Any]:
    """Listings are never kept: another process may write there. Raises: ImportError."""
    settings: dict[str, Any] = {"use_listings_cache": False}
    if protocol in ("s3", "s3a"):
        settings |= S3_SETTINGS
    if protocol in ("http", "https"):
        from aiohttp import ClientTimeout  # here: it comes with the extra

        settings["client_kwargs"] = {"timeout": ClientTimeout(total=None, sock_connect=10, sock_read=30)}
    return settings
