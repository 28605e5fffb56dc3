"""Pictures as a person hands them over, made into what the network reads: uint8 [H, W, 3]. No torch.

Files are decoded as ingestion does: upright, first frame of an animation, deeper than 8 bit stretched to its own
range, CMYK converted, transparency dropped.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ingest.errors import BadInput
from ingest.images import read_image
from ingest.pixels import CorruptImage

Pixels = NDArray[np.uint8]
Picture = Path | str | Image.Image | NDArray[np.generic]
MOST_ELONGATED = 200
"""Longest over shortest side; beyond it the language branch has no grid of patches for the picture."""


def pixels_of(picture: Picture) -> Pixels:
    """uint8 [H, W, 3]. Raises: BadInput for a file that is none, an array that is no picture, a sliver."""
    if isinstance(picture, Path | str):
        pixels = _read(Path(picture))
    elif isinstance(picture, Image.Image):
        pixels = np.array(picture.convert("RGB"))
    else:
        pixels = _from_array(picture)
    height, width = pixels.shape[:2]
    if max(height, width) > MOST_ELONGATED * min(height, width):
        raise BadInput(f"picture: expected sides of at most {MOST_ELONGATED} : 1, got {width} x {height} px")
    return pixels


def as_samples(pictures: Sequence[Picture | Sequence[Picture]]) -> list[list[Pixels]]:
    """One list of pictures per sample; a sample may hold several."""
    return [
        [pixels_of(one) for one in sample] if isinstance(sample, list | tuple) else [pixels_of(sample)]  # type: ignore[arg-type]
        for sample in pictures
    ]


def _read(path: Path) -> Pixels:
    try:
        return read_image(path)
    except FileNotFoundError as error:
        raise BadInput(f"{path}: expected a picture, got no file") from error
    except (CorruptImage, IsADirectoryError) as error:
        raise BadInput(f"{path}: {error}") from error


def _from_array(array: NDArray[np.generic]) -> Pixels:
    """Grey or colour, uint8, or grey uint16 stretched to its own range."""
    if array.ndim == 2 and array.dtype == np.uint16 and array.size:
        values = array.astype(np.float64) - array.min()
        array = (values * (255.0 / max(values.max(), 1.0))).round().astype(np.uint8)
    if array.ndim == 2:
        array = np.repeat(array[..., None], 3, axis=2)
    if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8 or not array.size:
        raise BadInput(f"picture: expected uint8 [H, W, 3] or [H, W], got {array.dtype} {list(array.shape)}")
    return np.ascontiguousarray(array, dtype=np.uint8)
