"""The ``[shards]`` table: how a picture is made smaller and encoded, how large shards are, where a copy goes."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from PIL import __version__ as pillow_version
from PIL import features

from ingest.sample import SCHEMA_VERSION

LAYOUT_VERSION = 2
"""Counts changes of what ``shards.members`` writes for the same sample and settings."""


class Shape(StrEnum):
    """``longest_side``: aspect kept, never enlarged. ``square``: stretched to side x side, so that all are equal."""

    LONGEST_SIDE = "longest_side"
    SQUARE = "square"


class Format(StrEnum):
    """``png`` loses nothing of the resized picture."""

    JPEG = "jpeg"
    PNG = "png"


@dataclass(frozen=True, kw_only=True)
class ShardsConfig:
    """How samples are packed.

    samples_per_shard: the most one shard holds; shards are between about half full and full.
    store: a folder or any fsspec URL that gets a copy of the shards, or "".
    """

    image_side_px: int = 256
    shape: Shape = Shape.LONGEST_SIDE
    format: Format = Format.JPEG
    jpeg_quality: int = 92
    samples_per_shard: int = 2000
    store: str = ""

    def __post_init__(self) -> None:
        if not 16 <= self.image_side_px <= 8192:
            raise ValueError(f"image_side_px: expected 16 to 8192, got {self.image_side_px}")
        if not 1 <= self.jpeg_quality <= 100:
            raise ValueError(f"jpeg_quality: expected 1 to 100, got {self.jpeg_quality}")
        if self.samples_per_shard < 1:
            raise ValueError(f"samples_per_shard: expected at least 1, got {self.samples_per_shard}")


def recipe_of(config: ShardsConfig) -> dict[str, Any]:
    """Everything besides row and files that a sample's bytes depend on: equal recipes may share samples.

    The encoder libraries count: another version may write another JPEG of the same pixels.
    """
    return {
        "layout": LAYOUT_VERSION,
        "schema": SCHEMA_VERSION,
        "image_side_px": config.image_side_px,
        "shape": str(config.shape),
        "format": str(config.format),
        "jpeg_quality": config.jpeg_quality,
        "encoders": {"pillow": pillow_version} | {name: features.version(name) for name in ("jpg", "zlib")},
    }
