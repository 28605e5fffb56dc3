"""Where everything lies, when a stage may be skipped, and how its output is published whole.

A stage's output is a file or folder written under a temporary name and renamed. Its stamp
(``stages/<stage>.json``) is written last and holds the digest of what went in: a stage whose digest
and outputs are unchanged is skipped, a stage killed half-way has no stamp and runs again.
"""

import contextlib
import ctypes
import fcntl
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ingest.errors import BiasCareError


@dataclass(frozen=True)
class Workspace:
    """The names of everything under one folder (DESIGN section 1)."""

    root: Path

    @property
    def samples(self) -> Path:
        return self.root / "samples"

    @property
    def quarantine(self) -> Path:
        return self.root / "quarantine"

    @property
    def validation(self) -> Path:
        return self.root / "validation"

    @property
    def leakage(self) -> Path:
        return self.root / "leakage.parquet"

    @property
    def census(self) -> Path:
        return self.root / "census"

    @property
    def picture_features(self) -> Path:
        """What the census keeps of pictures it has looked at; may be deleted at any time."""
        return self.root / "picture_features.parquet"

    @property
    def weights(self) -> Path:
        return self.root / "weights" / "weights.parquet"

    @property
    def solution(self) -> Path:
        return self.root / "weights" / "solution.json"

    @property
    def shards(self) -> Path:
        return self.root / "shards"

    @property
    def index(self) -> Path:
        return self.shards / "index.parquet"

    @property
    def manifest(self) -> Path:
        return self.shards / "manifest.json"

    @property
    def plans(self) -> Path:
        """What the loader maps instead of computing it again; may be deleted at any time."""
        return self.root / "plans"

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    @property
    def report(self) -> Path:
        return self.root / "report.html"

    def stamp(self, stage: str) -> Path:
        return self.root / "stages" / f"{stage}.json"


def digest_of(value: Any) -> str:
    """128 bits of blake2b over the canonical JSON of ``value``, in hex."""
    text = json.dumps(value, sort_keys=True, default=str, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def tree_digest(root: Path) -> str:
    """Digest of names, sizes and modification times under ``root`` (a folder or one file); no file is opened."""
    entries: list[tuple[str, int, int]] = []
    if root.is_file():
        entries.append(("", root.stat().st_size, root.stat().st_mtime_ns))
    for folder, _, names in os.walk(root):
        for name in names:
            path = os.path.join(folder, name)  # noqa: PTH118  a million files: strings, not Path objects
            with contextlib.suppress(FileNotFoundError):
                status = os.stat(path)  # noqa: PTH116
                entries.append((os.path.relpath(path, root), status.st_size, status.st_mtime_ns))
    hasher = hashlib.blake2b(digest_size=16)
    for entry in sorted(entries):
        hasher.update(repr(entry).encode())
    return hasher.hexdigest()


def is_fresh(workspace: Workspace, stage: str, digest: str) -> bool:
    """Whether ``stage`` last finished on these very inputs and what it wrote still stands."""
    stamp = read_stamp(workspace, stage)
    return (
        stamp is not None
        and stamp["digest"] == digest
        and all((workspace.root / output).exists() for output in stamp["outputs"])
    )


def read_stamp(workspace: Workspace, stage: str) -> dict[str, Any] | None:
    """The stamp of a finished stage (``digest``, ``outputs``, ``summary``), or None."""
    path = workspace.stamp(stage)
    if not path.exists():
        return None
    stamp: dict[str, Any] = json.loads(path.read_text())
    return stamp


def write_stamp(
    workspace: Workspace, stage: str, *, digest: str, outputs: list[Path], summary: Mapping[str, Any]
) -> None:
    """Declare ``stage`` finished. Called last: everything in ``outputs`` stands already."""
    relative = [str(path.relative_to(workspace.root)) for path in outputs]
    write_json(workspace.stamp(stage), {"digest": digest, "outputs": relative, "summary": dict(summary)})


@contextlib.contextmanager
def publishing(target: Path) -> Iterator[Path]:
    """Give a temporary path beside ``target``; on success it replaces ``target``, on failure it vanishes.

    Both are replaced in one step where the system can; what stood there is removed last.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    staged = target.with_name(f".{target.name}.{uuid.uuid4().hex[:12]}.new")
    try:
        yield staged
        put_in_place(staged, target)
    finally:
        if staged.is_dir():
            shutil.rmtree(staged, ignore_errors=True)
        else:
            staged.unlink(missing_ok=True)


def put_in_place(staged: Path, target: Path) -> None:
    """Put ``staged`` where ``target`` is. A folder that stood there is afterwards at ``staged``.

    One step on Linux: a reader finds the old folder or the new one. Elsewhere two renames, and a moment without.
    """
    if not target.is_dir():
        staged.replace(target)
    elif not _exchange(staged, target):
        retired = staged.with_suffix(".old")
        target.rename(retired)
        staged.rename(target)
        retired.rename(staged)


def _exchange(first: Path, second: Path) -> bool:
    """Swap two paths atomically by renameat2; False where the system or the file system has no such call."""
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    try:
        call = ctypes.CDLL(None).renameat2
    except (AttributeError, OSError, TypeError):
        return False
    return int(call(here, os.fsencode(first), here, os.fsencode(second), exchange)) == 0


@contextlib.contextmanager
def locked_file(path: Path) -> Iterator[None]:
    """Hold ``path`` as this process's lock; a second process is told so instead of writing beside the first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BiasCareError(
                f"{path.parent}: expected a free workspace, got one another process works on"
            ) from error
        yield


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON, whole or not at all. NaN is refused: it is no JSON."""
    with publishing(path) as staged:
        staged.write_text(json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n")
