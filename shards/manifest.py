"""What the shards hold: ``index.parquet`` (one row per sample) and ``manifest.json``, written last."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from ingest.errors import BadInput, BiasCareError
from ingest.sample import SCHEMA_VERSION
from ingest.workspace import Workspace, digest_of

INDEX_SCHEMA = pa.schema(
    [
        pa.field(name, kind, nullable=False)
        for name, kind in (
            ("sample_id", pa.string()),
            ("dataset", pa.string()),
            ("task", pa.string()),
            ("split", pa.string()),
            ("shard", pa.string()),
            ("key", pa.string()),
            ("offset", pa.int64()),
            ("size_bytes", pa.int64()),
            ("xxh3_128", pa.string()),
        )
    ]
)
"""offset and size_bytes: from the first member's header to the end of the last member's padding."""


@dataclass(frozen=True)
class PackedShard:
    """One finished tar; ``access`` is the strictest of its samples'.

    ``num_encoded`` of its samples are new, the others were taken from an earlier pack."""

    path: str
    num_samples: int
    size_bytes: int
    sha256: str
    num_encoded: int
    kept: bool
    access: str

    @property
    def line(self) -> dict[str, Any]:
        """Its line of the manifest."""
        return {
            "path": self.path,
            "num_samples": self.num_samples,
            "size_bytes": self.size_bytes,
            "sha256": self.sha256,
            "access": self.access,
        }


def corpus_digest(lines: list[dict[str, Any]]) -> str:
    """The identity of a packed corpus: one digest over the shards' paths and digests, whatever their order."""
    return digest_of(sorted((line["path"], line["sha256"]) for line in lines))


def manifest_of(
    lines: list[dict[str, Any]], *, recipe: dict[str, Any], samples_version: int, index_sha256: str
) -> dict[str, Any]:
    """The manifest of finished shards. ``checksum`` covers all the rest of it: a flipped byte anywhere shows."""
    content: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "samples_version": samples_version,
        "corpus": corpus_digest(lines),
        "index_sha256": index_sha256,
        "recipe": recipe,
        "shards": lines,
    }
    return {"checksum": digest_of(content), **content}


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest as it was written. Raises: BadInput where there is none, BiasCareError where it changed since."""
    if not path.exists():
        raise BadInput(f"{path}: expected packed shards, got none; run `biascarevl refresh` first")
    return parse_manifest(path.read_bytes(), str(path))


def shard_paths(workspace: Workspace) -> list[Path]:
    """Every tar that the manifest lists."""
    return [workspace.shards / line["path"] for line in read_manifest(workspace.manifest)["shards"]]


def parse_manifest(text: bytes, where: str) -> dict[str, Any]:
    """The manifest in ``text``. Raises: BiasCareError where it is not as ``manifest_of`` made it."""
    try:
        manifest: dict[str, Any] = json.loads(text)
        content = {name: value for name, value in manifest.items() if name != "checksum"}
        if manifest["checksum"] == digest_of(content) and content["corpus"] == corpus_digest(content["shards"]):
            return manifest
    except (ValueError, TypeError, KeyError, AttributeError):
        pass
    raise BiasCareError(f"{where}: expected the manifest as it was written, got changed bytes; run `biascarevl pack`")


def sha256_of(path: Path) -> str:
    """Hex sha256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
