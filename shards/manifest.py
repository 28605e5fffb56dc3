"""What the shards hold: ``index.parquet`` (one row per sample) and ``manifest.json``, written last."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import xxhash

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
    """One finished tar: its line of the manifest and its rows of the index."""

    path: str
    num_samples: int
    size_bytes: int
    sha256: str
    rows: list[dict[str, Any]]

    @property
    def line(self) -> dict[str, Any]:
        return {
            "path": self.path,
            "num_samples": self.num_samples,
            "size_bytes": self.size_bytes,
            "sha256": self.sha256,
        }


def sha256_of(path: Path) -> str:
    """Hex sha256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def xxh3_of(chunk: bytes) -> str:
    """Hex 128-bit XXH3 of a sample's bytes."""
    return xxhash.xxh3_128_hexdigest(chunk)
