"""Pictures of every kind: decoded whole, windowed, upright, described. A file that does not decode says so.

One picture per file: of a DICOM file with several frames the middle one, of a NIfTI volume its middle
axial slice (``ingest.dicom``, ``ingest.nifti``).
"""

import hashlib
import io
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from ingest.embedded import picture_bytes
from ingest.pixels import MAX_PIXELS, CorruptImage, check_size, shrunk, size_within, windowed

NIFTI_SUFFIXES = (".nii", ".nii.gz", ".hdr", ".img", ".mgz", ".mgh")
DICOM_SUFFIXES = (".dcm", ".dicom", ".dcm.gz")
_DECODE_ERRORS = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error, zlib.error)
_TURN = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> what puts the picture upright."""
_DEEP_MODES = {"I", "F", "I;16", "I;16L", "I;16B", "I;16N"}


@dataclass(frozen=True)
class ImageFacts:
    """``sha256`` of the file's bytes; size upright (EXIF applied); dHash as an unsigned 64-bit number."""

    sha256: str
    width_px: int
    height_px: int
    perceptual_hash: int


def describe_image(path: Path) -> ImageFacts:
    """Decode a picture to its last pixel and describe it.

    Raises: CorruptImage (truncated, no picture, too large); FileNotFoundError.
    """
    content = picture_bytes(path)
    picture = _picture_of(path, content, None)
    return ImageFacts(hashlib.sha256(content).hexdigest(), *picture.size, _difference_hash(picture))


def read_picture(path: Path, *, side_px: int | None = None) -> Image.Image:
    """A picture in mode L or RGB, upright, without metadata, its longest side at most ``side_px``, never enlarged.

    Deep grey is shown through the file's own window, else from the 0.5th to the 99.5th percentile (DICOM, NIfTI)
    or from its minimum to its maximum (PNG, TIFF). Transparency is dropped. A JPEG much larger than
    ``side_px`` is decoded at a fraction of its size, at least twice ``side_px``.
    Raises: CorruptImage; FileNotFoundError.
    """
    return _picture_of(path, picture_bytes(path), side_px)


def read_image(source: Path | str | bytes) -> np.ndarray:
    """A picture as uint8 [H, W, 3], upright, from a path or the file's bytes.

    Raises: CorruptImage; FileNotFoundError.
    """
    if isinstance(source, bytes):
        return np.array(_picture_of(None, source, None).convert("RGB"))
    return np.array(read_picture(Path(source)).convert("RGB"))


def is_dicom(head: bytes) -> bool:
    """Whether a file's first 132 bytes are those of a DICOM file."""
    return head[128:132] == b"DICM"


def _picture_of(path: Path | None, content: bytes, side_px: int | None) -> Image.Image:
    name = path.name.lower() if path else ""
    if path and name.endswith(NIFTI_SUFFIXES):
        from ingest.nifti import read_slice  # nibabel: 0.3 s

        picture = Image.fromarray(read_slice(path))
    elif is_dicom(content) or name.endswith(DICOM_SUFFIXES):
        from ingest.dicom import read_frame  # pydicom: 0.2 s

        picture = Image.fromarray(read_frame(content))
    else:
        return _decode(content, side_px)
    return shrunk(picture, size_within(picture.size, side_px))


def _decode(content: bytes, side_px: int | None) -> Image.Image:
    """A Pillow picture: decoded, 8-bit, shrunk, and then turned upright (few pixels are turned fastest)."""
    try:
        image = Image.open(io.BytesIO(content))
        check_size(image.height, image.width)
        size = size_within(image.size, side_px)
        turn = _TURN.get(image.getexif().get(ExifTags.Base.Orientation, 1))
        if size != image.size:
            image.draft(None, (2 * size[0], 2 * size[1]))  # a JPEG's own cheap halving
        image.load()
    except Image.DecompressionBombError as error:
        raise CorruptImage(f"expected at most {MAX_PIXELS} pixels, got a decompression bomb") from error
    except CorruptImage:
        raise
    except _DECODE_ERRORS as error:
        raise CorruptImage(f"expected a whole picture, got {type(error).__name__}") from error
    picture = shrunk(_eight_bit(image), size)
    picture = picture if turn is None else picture.transpose(turn)
    picture.info.clear()  # comments and colour profiles would be written again
    return picture


def _eight_bit(image: Image.Image) -> Image.Image:
    """In mode L where it is grey, else RGB."""
    if image.mode in _DEEP_MODES:
        values_HW = np.nan_to_num(np.asarray(image, dtype=np.float64), posinf=0.0, neginf=0.0)
        return Image.fromarray(windowed(values_HW, values_HW.min(), values_HW.max()))
    if image.mode in ("L", "RGB"):
        return image
    return image.convert("L" if image.mode in ("1", "LA", "La") else "RGB")


def _difference_hash(picture: Image.Image) -> int:
    """dHash: 64 signs of horizontal differences of a 9 x 8 grey thumbnail (Krawetz 2013)."""
    grey = picture.convert("L").resize((9, 8), Image.Resampling.BOX)
    thumbnail_87 = np.asarray(grey, dtype=np.int16)
    bits = (thumbnail_87[:, 1:] > thumbnail_87[:, :-1]).ravel()
    return int.from_bytes(np.packbits(bits).tobytes(), "big")
