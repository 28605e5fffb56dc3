"""Grey levels and their limits: what every kind of picture file shares."""

from typing import ClassVar

import numpy as np
from PIL import Image

from ingest.quarantine import Reason

MAX_PIXELS = 2**28
"""Above this a picture or mask is taken for a decompression bomb (16384 x 16384)."""


WINDOW_PERCENTILES = (0.5, 99.5)
"""Where a file names no window, grey levels between these become black to white."""


class CorruptImage(ValueError):
    """A picture that does not decode to its last pixel. ``reason``: why its row is set aside."""

    reason: ClassVar[Reason] = Reason.IMAGE_CORRUPT


class NoPixels(CorruptImage):
    """A file that holds no picture: a report, a plan, a header."""

    reason = Reason.NO_PIXELS


class UnsupportedImage(CorruptImage):
    """A picture in a form that nothing here decodes."""

    reason = Reason.IMAGE_UNSUPPORTED


class SingularAffine(CorruptImage):
    """A volume whose axes in space cannot be told."""

    reason = Reason.AFFINE_SINGULAR


def check_size(height: int, width: int) -> None:
    """Raises: CorruptImage for a picture without or with too many pixels."""
    if height < 1 or width < 1 or height * width > MAX_PIXELS:
        raise CorruptImage(f"expected 1 to {MAX_PIXELS} pixels, got {width} x {height}")


def windowed(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """``values`` as uint8, ``low`` and below 0, ``high`` and above 255; all 0 where low = high."""
    if not high > low:
        return np.zeros(values.shape, np.uint8)
    scaled = (values.astype(np.float64) - low) * (255.0 / (high - low))
    return np.asarray(scaled.round().clip(0, 255), dtype=np.uint8)


def window_of(values: np.ndarray) -> tuple[float, float]:
    """The WINDOW_PERCENTILES of the finite values; a flat picture gives its own range.

    Raises: CorruptImage when there is none.
    """
    finite = values[np.isfinite(values)]
    if not finite.size:
        raise CorruptImage("expected finite grey levels, got none")
    low, high = np.percentile(finite, WINDOW_PERCENTILES)
    return (float(low), float(high)) if high > low else (float(finite.min()), float(finite.max()))


def shrunk(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The picture at (width, height) ``size``, bicubic; as it is where it has that size."""
    return picture if picture.size == size else picture.resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0)


def size_within(size: tuple[int, int], side_px: int | None) -> tuple[int, int]:
    """(width, height) with the longest side at most ``side_px``, aspect kept, never enlarged."""
    if side_px is None or max(size) <= side_px:
        return size
    width, height = (max(1, round(side * side_px / max(size))) for side in size)
    return width, height
