"""Small pictures a very small network can learn: bright shapes on the texture of a modality.

Every picture is a pure function of its description, so two equal descriptions are two equal files.
Slow variations of brightness differ from seed to seed: perceptual hashes of two pictures stay far apart.
"""

import io
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
from PIL import Image

SIDE_PX = 96
_NUM_KNOTS = 10
_SLOW_AMPLITUDE = 11.0  # grey levels
_JPEG_QUALITY = 88


class Kind(StrEnum):
    """What a shape looks like; stands for an organ, a finding or a class."""

    DISC = "disc"
    SQUARE = "square"
    TRIANGLE = "triangle"
    RING = "ring"
    CROSS = "cross"
    DIAMOND = "diamond"
    BAR = "bar"
    STAR = "star"


class Texture(StrEnum):
    """The grain of a modality."""

    CT = "ct"
    MR = "mr"
    ULTRASOUND = "ultrasound"
    X_RAY = "x_ray"
    SKIN = "skin"


@dataclass(frozen=True)
class Shape:
    """A filled shape: centre and radius in pixels, and the grey or RGB value it is painted with (0..255)."""

    kind: Kind
    x_px: float
    y_px: float
    radius_px: float
    value: tuple[float, ...]


@dataclass(frozen=True)
class Picture:
    """A picture to draw. ``base`` is the mean background, grey (one value) or RGB (three)."""

    texture: Texture
    seed: tuple[int, ...]
    base: tuple[float, ...]
    shapes: tuple[Shape, ...]


def mask_of(shape: Shape) -> np.ndarray:
    """The exact pixels of a shape, bool [SIDE_PX, SIDE_PX]."""
    rows_H1, columns_1W = np.ogrid[0:SIDE_PX, 0:SIDE_PX]
    x_1W, y_H1 = (columns_1W - shape.x_px) / shape.radius_px, (rows_H1 - shape.y_px) / shape.radius_px
    return _INSIDE[shape.kind](x_1W, y_H1)


def draw(picture: Picture) -> np.ndarray:
    """The picture as uint8 [H, W] when grey, [H, W, 3] when RGB."""
    generator = np.random.default_rng(picture.seed)
    grain_HW = generator.standard_normal((SIDE_PX, SIDE_PX), dtype=np.float32)
    slow_HW = _BLEND @ generator.standard_normal((_NUM_KNOTS, _NUM_KNOTS)) @ _BLEND.T
    relief_HW = _relief(picture.texture, grain_HW) + _SLOW_AMPLITUDE * slow_HW
    image_HWc = np.broadcast_to(np.array(picture.base), (SIDE_PX, SIDE_PX, len(picture.base))).copy()
    for shape in picture.shapes:
        image_HWc[mask_of(shape)] = shape.value
    image_HWc += relief_HW[..., None]
    return image_HWc.clip(0, 255).astype(np.uint8).squeeze(-1) if len(picture.base) == 1 else _rgb(image_HWc)


def _rgb(image_HW3: np.ndarray) -> np.ndarray:
    return image_HW3.clip(0, 255).astype(np.uint8)


def _relief(texture: Texture, grain_HW: np.ndarray) -> np.ndarray:
    """What a texture adds to a flat background: noise, scan lines, speckle."""
    if texture is Texture.MR:
        return 5 * grain_HW + _SCAN_LINES_H1
    if texture is Texture.ULTRASOUND:
        return 14 * (np.abs(grain_HW) - 0.8)
    if texture is Texture.X_RAY:
        return 4 * grain_HW + _SCAN_LINES_H1.T
    return (9 if texture is Texture.CT else 7) * grain_HW


def write_png(path: Path, image: np.ndarray) -> None:
    """Lossless, lightly compressed."""
    Image.fromarray(image).save(path, "PNG", compress_level=1)


def write_jpeg(path: Path, image: np.ndarray) -> None:
    """As the clinics export."""
    Image.fromarray(image).save(path, "JPEG", quality=_JPEG_QUALITY)


def write_broken_jpeg(path: Path, image: np.ndarray) -> None:
    """A JPEG cut off half-way."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=_JPEG_QUALITY)
    path.write_bytes(buffer.getvalue()[: buffer.tell() // 2])


def write_broken_png(path: Path, image: np.ndarray) -> None:
    """A PNG cut off half-way."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", compress_level=1)
    path.write_bytes(buffer.getvalue()[: buffer.tell() // 2])


def _blend_matrix() -> np.ndarray:
    """[SIDE_PX, _NUM_KNOTS]: linear interpolation between evenly spaced knots."""
    positions = np.linspace(0, _NUM_KNOTS - 1, SIDE_PX)
    return np.maximum(0, 1 - np.abs(positions[:, None] - np.arange(_NUM_KNOTS)))


_BLEND = _blend_matrix()
_SCAN_LINES_H1 = np.where(np.arange(SIDE_PX) % 4 < 2, 5.0, -5.0)[:, None]

_INSIDE = {
    Kind.DISC: lambda x, y: x**2 + y**2 <= 1,
    Kind.SQUARE: lambda x, y: (abs(x) <= 0.85) & (abs(y) <= 0.85),
    Kind.TRIANGLE: lambda x, y: (abs(x) <= (y + 1) / 1.8) & (y <= 0.8),
    Kind.RING: lambda x, y: (x**2 + y**2 <= 1) & (x**2 + y**2 >= 0.3),
    Kind.CROSS: lambda x, y: ((abs(x) <= 0.33) & (abs(y) <= 1)) | ((abs(y) <= 0.33) & (abs(x) <= 1)),
    Kind.DIAMOND: lambda x, y: abs(x) + abs(y) <= 1,
    Kind.BAR: lambda x, y: (abs(x) <= 1) & (abs(y) <= 0.35),
    Kind.STAR: lambda x, y: np.hypot(x, y) <= 0.68 + 0.32 * np.cos(5 * np.arctan2(y, x)),
}
