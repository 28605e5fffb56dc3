"""NIfTI (and MGH) volumes: their geometry checked, and one axial slice as it is to be looked at.

The middle axial slice of the first volume stands for the file; a volume that is one pixel thick in one
direction shows its only slice. Shown as radiologists look at it: the patient's right on the left, front or head
up. Grey from the 0.5th to the 99.5th percentile.
"""

import warnings
import zlib
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.orientations import io_orientation

from ingest.pixels import MAX_PIXELS, CorruptImage, NoPixels, SingularAffine, UnsupportedImage, window_of, windowed

_READ_ERRORS = (
    ImageFileError, OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, EOFError, OverflowError,
    ArithmeticError, MemoryError, zlib.error, np.linalg.LinAlgError,
)  # fmt: skip
_RIGHT, _FRONT, _HEAD = 0, 1, 2  # axes of RAS+


def open_volume(path: Path) -> Any:
    """The volume of a file, nothing of it read but its header.

    Raises: SingularAffine; NoPixels (a header without its image file); CorruptImage; FileNotFoundError.
    """
    if not path.is_file():
        raise FileNotFoundError(path.name)
    if path.suffix.lower() == ".hdr" and not any(path.with_suffix(each).is_file() for each in (".img", ".img.gz")):
        raise NoPixels("expected the image file of a header, got none")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            volume: Any = nibabel.load(path)
        shape, affine = volume.shape, np.asarray(volume.affine, dtype=float)
    except _READ_ERRORS as error:
        raise CorruptImage(f"expected a NIfTI file, got {type(error).__name__}") from error
    if len(shape) < 2 or min(shape) < 1 or int(np.prod(shape[:3], dtype=object)) > MAX_PIXELS:
        raise CorruptImage(f"expected 1 to {MAX_PIXELS} voxels, got {' x '.join(map(str, shape))}")
    axes_33 = affine[:3, :3]
    scale = np.abs(axes_33).max()
    if not np.isfinite(affine).all() or scale == 0 or abs(np.linalg.det(axes_33 / scale)) < 1e-9:
        raise SingularAffine("expected an affine that can be inverted, got a singular one")
    return volume


def read_slice(path: Path) -> np.ndarray:
    """The slice that stands for the file as uint8 [H, W] or [H, W, 3].

    Raises: as ``open_volume``; UnsupportedImage for voxels that are neither grey nor RGB.
    """
    volume = open_volume(path)
    orientation = io_orientation(volume.affine)
    if np.isnan(orientation).any():
        raise SingularAffine("expected three axes in space, got fewer")
    shape = (*volume.shape, 1)[:3]
    axis = _axis_across(shape, orientation)
    where = [slice(None)] * min(3, len(volume.shape)) + [0] * (len(volume.shape) - 3)
    if axis < len(where):
        where[axis] = shape[axis] // 2
    try:
        voxels = np.asanyarray(volume.dataobj[tuple(where)])
    except _READ_ERRORS as error:
        raise CorruptImage(f"expected whole voxels, got {type(error).__name__}") from error
    return _shown(_as_displayed(voxels, axis, orientation))


def _axis_across(shape: tuple[int, ...], orientation: np.ndarray) -> int:
    """The voxel axis the slice lies across: the only thin one, else the one nearest to head-feet."""
    thin = [axis for axis, size in enumerate(shape) if size == 1]
    return thin[0] if len(thin) == 1 else int(np.flatnonzero(orientation[:, 0] == _HEAD)[0])


def _as_displayed(voxels: np.ndarray, axis: int, orientation: np.ndarray) -> np.ndarray:
    """[rows, columns]: columns from right to left (or front to back), rows from front to back or head to feet."""
    first, second = (orientation[other] for other in range(3) if other != axis)
    if first[0] < second[0]:
        voxels, first, second = voxels.swapaxes(0, 1), second, first
    # Rows run along ``first`` (the axis nearer to the head), columns along ``second``; RAS+ counts up to
    # head, front and right: each is shown from its far end, which puts head, front and the patient's right first.
    if first[1] > 0:
        voxels = voxels[::-1]
    if second[1] > 0:
        voxels = voxels[:, ::-1]
    return voxels


def _shown(voxels: np.ndarray) -> np.ndarray:
    if voxels.dtype.names:
        if voxels.dtype.names[:3] != ("R", "G", "B"):
            raise UnsupportedImage("expected grey or RGB voxels, got others")
        return np.ascontiguousarray(np.stack([voxels[name] for name in "RGB"], axis=-1), dtype=np.uint8)
    if voxels.dtype.kind not in "iufb":
        raise UnsupportedImage(f"expected grey or RGB voxels, got {voxels.dtype.kind}")
    levels = voxels.astype(np.float64)
    low, high = window_of(levels)
    return windowed(np.nan_to_num(levels, nan=low, posinf=high, neginf=low), low, high)
