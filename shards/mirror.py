"""A copy of the packed shards in a folder or any fsspec store (``s3://``, ``gs://``, ``memory://`` ...).

An object store cannot swap folders. So the copy is withdrawn first (its manifest goes), then the shards that
differ are sent, then the index, and the manifest last: a reader finds a whole copy or none. What was sent is
noted in ``sending.json``, from which an interrupted copy goes on.
"""

import contextlib
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec

from ingest.errors import BadInput, BiasCareError
from shards.manifest import parse_manifest, read_manifest

READ_BYTES = 8 * 2**20
INDEX, MANIFEST, SENDING = "index.parquet", "manifest.json", "sending.json"

Progress = Callable[[int, int], None]
"""Told (shards done, shards in all)."""


@dataclass(frozen=True)
class Store:
    """Files under a prefix of a file system."""

    system: Any
    prefix: str

    @classmethod
    def at(cls, url: str) -> "Store":
        """Raises: BadInput for a URL whose file system is unknown or not installed."""
        try:
            system, prefix = fsspec.core.url_to_fs(url)
        except (ValueError, ImportError) as error:
            raise BadInput(f"shards.store: expected a folder or an fsspec URL, got {url!r}: {error}") from error
        return cls(system, prefix.rstrip("/"))

    def read(self, name: str) -> bytes | None:
        """A small file whole; None where there is none."""
        path = f"{self.prefix}/{name}"
        content: bytes | None = self.system.cat_file(path) if self.system.exists(path) else None
        return content

    def write(self, name: str, content: bytes) -> None:
        self.system.pipe_file(f"{self.prefix}/{name}", content)

    def send(self, folder: Path, name: str) -> None:
        """Copy one file of ``folder``."""
        path = f"{self.prefix}/{name}"
        self.system.makedirs(path.rpartition("/")[0], exist_ok=True)
        self.system.put_file(str(folder / name), path)

    def remove(self, name: str) -> None:
        if self.system.exists(f"{self.prefix}/{name}"):
            self.system.rm_file(f"{self.prefix}/{name}")

    def shards(self) -> set[str]:
        """The paths of all tars there."""
        found = self.system.find(self.prefix) if self.system.exists(self.prefix) else []
        return {path.removeprefix(f"{self.prefix}/") for path in found if path.endswith(".tar")}

    def sha256(self, name: str) -> str:
        """Digest of a file read in pieces. Raises: FileNotFoundError."""
        with self.system.open(f"{self.prefix}/{name}", "rb", block_size=READ_BYTES) as stream:
            hasher = hashlib.sha256()
            while piece := stream.read(READ_BYTES):
                hasher.update(piece)
        return hasher.hexdigest()


def mirror(folder: Path, url: str, *, progress: Progress | None = None) -> int:
    """Make ``url`` hold what ``folder`` holds; the number of shards sent.

    Raises: BadInput for an unknown store; BiasCareError where it fails on the way.
    """
    store, manifest = Store.at(url), read_manifest(folder / MANIFEST)
    try:
        if store.read(MANIFEST) == (folder / MANIFEST).read_bytes():
            return 0
        return _send_all(store, folder, {line["path"]: line["sha256"] for line in manifest["shards"]}, progress)
    except OSError as error:
        raise BiasCareError(
            f"{url}: expected to copy the shards there, got {type(error).__name__}: {error}; run it again"
        ) from error


def _send_all(store: Store, folder: Path, wanted: dict[str, str], progress: Progress | None) -> int:
    there = _there(store)
    kept = {path: sha256 for path, sha256 in there.items() if wanted.get(path) == sha256}
    missing = sorted(wanted.keys() - kept.keys())
    store.system.makedirs(store.prefix, exist_ok=True)
    store.write(SENDING, json.dumps(kept).encode())
    store.remove(MANIFEST)
    for number, path in enumerate(missing, start=1):
        store.send(folder, path)
        kept[path] = wanted[path]
        store.write(SENDING, json.dumps(kept).encode())
        if progress:
            progress(number, len(missing))
    for path in sorted(store.shards() - wanted.keys()):
        store.remove(path)
    store.send(folder, INDEX)
    store.send(folder, MANIFEST)
    store.remove(SENDING)
    return len(missing)


def _there(store: Store) -> dict[str, str]:
    """Shards that the store holds whole, with their sha256: by its manifest, else by what an interrupted copy noted."""
    if (sending := store.read(SENDING)) is not None:
        with contextlib.suppress(ValueError):
            noted: dict[str, str] = json.loads(sending)
            return noted
    elif (manifest := store.read(MANIFEST)) is not None:
        with contextlib.suppress(BiasCareError):
            return {line["path"]: line["sha256"] for line in parse_manifest(manifest, MANIFEST)["shards"]}
    return {}


def verify_mirror(folder: Path, url: str) -> list[str]:
    """One line per way in which the copy at ``url`` is not the manifest's shards; every byte is read."""
    store, manifest = Store.at(url), read_manifest(folder / MANIFEST)
    if store.read(MANIFEST) is None:
        return [f"{url}: expected a whole copy of the shards, got none; run `biascarevl pack`"]
    wanted = {line["path"]: line["sha256"] for line in manifest["shards"]} | {INDEX: manifest["index_sha256"]}
    problems = []
    if store.read(MANIFEST) != (folder / MANIFEST).read_bytes():
        problems.append(f"{url}: {MANIFEST}: expected the one of {folder}, got another; run `biascarevl pack`")
    for name, sha256 in wanted.items():
        try:
            got = store.sha256(name)
        except OSError as error:
            got = type(error).__name__
        if got != sha256:
            problems.append(f"{url}: {name}: expected sha256 {sha256}, got {got}")
    strays = sorted(store.shards() - wanted.keys())
    return problems + [f"{url}: {name}: a shard the manifest does not list" for name in strays]
