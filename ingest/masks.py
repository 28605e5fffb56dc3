"""Masks: as files, as areas, as text. A file that does not hold a whole mask says so.

Mask files are IMed-361M's: a scipy CSR matrix (channels x pixels) whose true shape ``(T, H, W, 1)``
stands only in the file name. Row-major, in the orientation of the picture (seen on BTCV).
"""

import ast
import struct
import tokenize
import zipfile
import zlib
from pathlib import Path

import numpy as np

from ingest.pixels import MAX_PIXELS

_ARCHIVE_ERRORS = (
    OSError,
    ValueError,
    KeyError,
    EOFError,
    RuntimeError,  # an encrypted member, an unknown compression
    TypeError,
    MemoryError,
    OverflowError,
    SyntaxError,
    tokenize.TokenError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
"""What numpy and zipfile raise over damaged archives, as fuzzing found."""


class CorruptMask(ValueError):
    """A mask file that does not hold a whole CSR matrix."""


class MaskNameDisagrees(ValueError):
    """The shape in a mask's file name is not the shape of what is inside."""


def encode_mask(mask_HW: np.ndarray) -> str:
    """A binary mask as text: ``HxW:`` and row-major run lengths, the first of which counts zeros.

    A 2 x 2 mask with only its last pixel set is ``2x2:3 1``.
    """
    height, width = mask_HW.shape
    flat = np.asarray(mask_HW, dtype=bool).ravel()
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    runs = np.diff(np.concatenate(([0], edges, [flat.size]))).tolist() if flat.size else []
    if flat.size and flat[0]:
        runs.insert(0, 0)
    return f"{height}x{width}:" + " ".join(map(str, runs))


def decode_mask(text: str) -> np.ndarray:
    """The bool [H, W] mask that ``encode_mask`` wrote. Raises: ValueError when the text is not one."""
    size, colon, body = text.partition(":")
    height_text, cross, width_text = size.partition("x")
    words = [height_text, width_text, *body.split()]
    if not colon or not cross or not all(word.isascii() and word.isdigit() for word in words):
        raise ValueError(f"mask text: expected 'HxW:run run ...', got {text[:40]!r}")
    height, width, *runs = (int(word) for word in words)
    if sum(runs) != height * width or height * width > MAX_PIXELS:
        raise ValueError(f"mask text: expected runs that add up to {height}x{width}, got {sum(runs)}")
    values = np.arange(len(runs)) % 2 == 1
    return np.repeat(values, np.array(runs, dtype=np.int64)).reshape(height, width)


def mask_areas(path: Path) -> tuple[list[float], tuple[int, int]]:
    """Area fraction of every channel, in order, and (height, width); the matrix is never made dense.

    Raises: MaskNameDisagrees, CorruptMask; FileNotFoundError.
    """
    pixels_of, (height, width) = _sparse_channels(path)
    return [pixels.size / (height * width) for pixels in pixels_of], (height, width)


def read_masks(path: Path, num_targets: int) -> np.ndarray:
    """The non-empty channels, in order, as bool [T, H, W].

    Raises: CorruptMask when there are not ``num_targets`` of them, and what ``mask_areas`` raises.
    """
    pixels_of, (height, width) = _sparse_channels(path)
    filled = [pixels for pixels in pixels_of if pixels.size]
    if len(filled) != num_targets:
        raise CorruptMask(f"{path.name}: expected {num_targets} non-empty channels, got {len(filled)}")
    masks_TP = np.zeros((num_targets, height * width), dtype=bool)
    for mask_P, pixels in zip(masks_TP, filled, strict=True):
        mask_P[pixels] = True
    return masks_TP.reshape(num_targets, height, width)


def _shape_in_name(path: Path) -> tuple[int, int, int]:
    """(T, H, W) out of ``x.(T, H, W, 1).npz``."""
    parts = path.name.rsplit(".", 2)
    try:
        shape = ast.literal_eval(parts[-2]) if len(parts) == 3 else ()
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        shape = ()
    sides = list(shape) if isinstance(shape, tuple) else []
    positive = all(isinstance(side, int) and side > 0 for side in sides)
    if not positive or len(sides) not in (3, 4) or sides[3:] not in ([], [1]):
        raise MaskNameDisagrees("expected a name that ends '.(T, H, W, 1).npz', got none")
    num_channels, height, width = sides[:3]
    return num_channels, height, width


def _sparse_channels(path: Path) -> tuple[list[np.ndarray], tuple[int, int]]:
    """The set pixels (row-major positions) of every channel, and (height, width)."""
    num_channels, height, width = _shape_in_name(path)
    if height * width > MAX_PIXELS:
        raise CorruptMask(f"expected at most {MAX_PIXELS} pixels, got {height} x {width}")
    try:
        with np.load(path, allow_pickle=False) as archive:
            indptr, indices = archive["indptr"], archive["indices"]
            values, shape = archive["data"], tuple(int(side) for side in archive["shape"])
    except FileNotFoundError:
        raise
    except _ARCHIVE_ERRORS as error:
        raise CorruptMask(f"expected a CSR matrix, got {type(error).__name__}") from error
    if shape != (num_channels, height * width):
        raise MaskNameDisagrees(f"expected {(num_channels, height * width)} as named, got {shape}")
    _check_csr(indptr, indices, values, shape)
    bounds = zip(indptr[:-1].tolist(), indptr[1:].tolist(), strict=True)
    channels = [np.unique(indices[start:stop][values[start:stop] != 0]) for start, stop in bounds]
    return channels, (height, width)


def _check_csr(indptr: np.ndarray, indices: np.ndarray, values: np.ndarray, shape: tuple[int, ...]) -> None:
    whole = (
        all(array.ndim == 1 for array in (indptr, indices, values))
        and all(array.dtype.kind in "iu" for array in (indptr, indices))
        and indptr.size == shape[0] + 1
        and indptr[0] == 0
        and bool((np.diff(indptr) >= 0).all())
        and indptr[-1] == indices.size == values.size
        and (not indices.size or (indices.min() >= 0 and indices.max() < shape[1]))
    )
    if not whole:
        raise CorruptMask("expected a consistent CSR matrix, got pointers or indices out of range")
