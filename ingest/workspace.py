"""Where everything lies, when a stage may be skipped, and how its output is published whole.

A stage's output is a file or folder written under a temporary name and renamed. Its stamp
(``stages/<stage>.json``) is written last and holds the digest of what went in: a stage whose digest
and outputs are unchanged is skipped, a stage killed half-way has no stamp and runs again.
"""

import contextlib
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


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

    Files are replaced atomically. A folder that stands is moved aside first and removed last.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    token = uuid.uuid4().hex[:12]
    staged = target.with_name(f".{target.name}.{token}.new")
    retired = target.with_name(f".{target.name}.{token}.old")
    try:
        yield staged
        if target.is_dir():
            target.rename(retired)
        staged.replace(target)
    finally:
        for leftover in (staged, retired):
            if leftover.is_dir():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                leftover.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON, whole or not at all. NaN is refused: it is no JSON."""
    with publishing(path) as staged:
        staged.write_text(json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n")
