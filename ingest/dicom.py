"""DICOM files: opened safely, and one frame of them as it is to be looked at.

Of several frames the middle one (number n // 2) stands for the file. Grey goes through the modality LUT and
the first VOI LUT or window of the file, else through its percentiles; MONOCHROME1 and an inverse presentation
are inverted, palettes and YBR become RGB. Cross-sections are turned to the usual display (rows towards the
patient's left or back, columns towards back or feet), projections where PatientOrientation says so.
"""

import io
import logging
import struct
import warnings
import zlib
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi_lut, apply_windowing
from pydicom.pixels.utils import pixel_array
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from ingest.pixels import (
    MAX_PIXELS,
    WINDOW_PERCENTILES,
    CorruptImage,
    NoPixels,
    UnsupportedImage,
    check_size,
    window_of,
    windowed,
)  # fmt: skip

# What pydicom says about odd values quotes them, and they may be a name: it is not to speak here.
pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
logging.getLogger("pydicom").setLevel(logging.CRITICAL)
warnings.filterwarnings("ignore", module=r"pydicom(\.|$)")

MAX_BYTES = 2**31
"""Above this what a compressed file holds is taken for a decompression bomb."""

PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
READ_ERRORS = (
    BytesLengthException, InvalidDicomError, OSError, ValueError, KeyError, TypeError, AttributeError, IndexError,
    EOFError, OverflowError,
    NotImplementedError, RuntimeError, AssertionError, struct.error, zlib.error, MemoryError, RecursionError,
)  # fmt: skip
"""What pydicom and its decoders raise on damaged files."""

_MAX_TABLE = 2**20  # grey levels worth a look-up table
_FAR = 2**40  # further than any stored value


def open_dicom(content: bytes, *, pixels: bool = True) -> Dataset:
    """The data set in a file's bytes, gzip-wrapped ones included, with or without a preamble.

    Raises: CorruptImage when there is none, or when it inflates beyond MAX_BYTES.
    """
    if content[:2] == b"\x1f\x8b":
        content = _inflated(content, 16 + zlib.MAX_WBITS)
    try:
        _refuse_deflate_bomb(content)
        dataset = pydicom.dcmread(io.BytesIO(content), force=True, stop_before_pixels=not pixels)
        num_elements = len(dataset)
    except CorruptImage:
        raise
    except READ_ERRORS as error:
        raise CorruptImage(f"expected a DICOM file, got {type(error).__name__}") from error
    if not num_elements:
        raise CorruptImage("expected a DICOM file, got no element")
    return dataset


def read_frame(content: bytes) -> np.ndarray:
    """The middle frame as uint8 [H, W] or [H, W, 3], windowed and turned.

    Raises: NoPixels, UnsupportedImage (transfer syntax), CorruptImage.
    """
    try:
        dataset = open_dicom(content)
        return turned(shown(stored_frame(dataset), dataset), dataset)
    except CorruptImage:
        raise
    except READ_ERRORS as error:
        raise CorruptImage(f"expected a whole frame, got {type(error).__name__}") from error


def stored_frame(dataset: Dataset) -> np.ndarray:
    """The middle frame as stored, [H, W] or [H, W, 3]; YBR is RGB by now.

    Raises: NoPixels, UnsupportedImage, CorruptImage, and READ_ERRORS where the pixel data are not whole.
    """
    if not any(name in dataset for name in PIXELS):
        raise NoPixels(f"expected pixels, got a {_kind_of(dataset)} without")
    syntax = getattr(getattr(dataset, "file_meta", None), "TransferSyntaxUID", None)
    if syntax is None:
        # PS3.5 section 10: what names no transfer syntax is implicit little endian.
        dataset.ensure_file_meta()
        dataset.file_meta.TransferSyntaxUID = UID("1.2.840.10008.1.2")
    elif syntax.is_private or not syntax.is_transfer_syntax:
        raise UnsupportedImage("expected a transfer syntax of the standard, got another")
    try:
        check_size(int(dataset.Rows), int(dataset.Columns))
        num_frames = int(dataset.get("NumberOfFrames") or 1)
        frame = pixel_array(dataset, index=num_frames // 2)
    except NotImplementedError as error:
        raise UnsupportedImage("expected a transfer syntax with a decoder, got another") from error
    if frame.ndim not in (2, 3) or frame.size > 4 * MAX_PIXELS:
        raise CorruptImage(f"expected one frame of grey or colour, got {frame.ndim} dimensions")
    return frame


def shown(frame: np.ndarray, dataset: Dataset) -> np.ndarray:
    """A stored frame as uint8: windowed grey [H, W], or colour [H, W, 3]."""
    if dataset.get("PhotometricInterpretation") == "PALETTE COLOR":
        frame = apply_color_lut(frame, dataset)
    if frame.ndim == 3:
        depth = frame.dtype.itemsize * 8
        bits = depth if dataset.get("PhotometricInterpretation") == "PALETTE COLOR" else int(dataset.BitsStored)
        return np.asarray(frame if depth == 8 else frame >> max(0, bits - 8), dtype=np.uint8)[..., :3]
    grey = _grey(frame, dataset)
    inverse = dataset.get("PresentationLUTShape") == "INVERSE"
    return 255 - grey if inverse or dataset.get("PhotometricInterpretation") == "MONOCHROME1" else grey


def _grey(frame: np.ndarray, dataset: Dataset) -> np.ndarray:
    """Through a table of all grey levels that occur where these are few: pixels are looked up, not computed."""
    if frame.dtype.kind not in "iu":
        return _through_window(frame, frame, dataset)
    low, high = int(frame.min()), int(frame.max())
    if high - low >= _MAX_TABLE:
        return _through_window(frame, frame, dataset)
    table = _through_window(np.arange(low, high + 1), frame, dataset)
    offsets = frame if low == 0 else frame.astype(np.int32) - low
    return np.take(table, offsets)


def _through_window(levels: np.ndarray, frame: np.ndarray, dataset: Dataset) -> np.ndarray:
    """Stored ``levels`` as uint8, through the modality LUT and the file's window, or ``frame``'s percentiles."""
    if _has_lut(dataset, "VOILUTSequence"):
        values = apply_voi_lut(apply_modality_lut(levels, dataset).astype(np.int64), dataset, prefer_lut=True)
        bits = int(dataset.VOILUTSequence[0].LUTDescriptor[2])
        return windowed(values, 0, 2**bits - 1)
    values = np.asarray(apply_modality_lut(levels, dataset), dtype=np.float64)
    if _has_window(dataset):
        ends = apply_windowing(np.array([-_FAR, _FAR], dtype=np.float64), dataset)
        return windowed(apply_windowing(values, dataset), float(ends[0]), float(ends[1]))
    if levels.size == frame.size:
        return windowed(values, *window_of(values))
    return windowed(values, *sorted(values[_ends_of(frame, dataset)].tolist()))


def _ends_of(frame: np.ndarray, dataset: Dataset) -> list[int]:
    """Positions, counted from the lowest level, of the percentiles of a frame without its padding."""
    low = int(frame.min())
    counts = np.bincount((frame.astype(np.int64) - low).ravel())
    padding = dataset.get("PixelPaddingValue")
    if isinstance(padding, int) and 0 <= padding - low < counts.size and counts[padding - low] < frame.size:
        counts[padding - low] = 0
    shares = np.cumsum(counts) / counts.sum() * 100
    below, above = (int(np.searchsorted(shares, end)) for end in WINDOW_PERCENTILES)
    return [below, above] if above > below else np.flatnonzero(counts)[[0, -1]].tolist()


def _has_lut(dataset: Dataset, name: str) -> bool:
    return bool(dataset.get(name))


def _has_window(dataset: Dataset) -> bool:
    return dataset.get("WindowCenter") not in (None, "") and dataset.get("WindowWidth") not in (None, "")


def turned(frame: np.ndarray, dataset: Dataset) -> np.ndarray:
    """The frame as it is usually displayed; as it is where nothing says how it lies."""
    along_row, along_column = _directions_of(dataset)
    if along_row in ("H", "F") and along_column in ("L", "R", "A", "P"):
        frame, along_row, along_column = frame.swapaxes(0, 1), along_column, along_row
    if along_row == "R" or (along_row == "A" and "ImageOrientationPatient" in dataset):
        frame = frame[:, ::-1]
    if along_column == "H" or (along_column == "A" and "ImageOrientationPatient" in dataset):
        frame = frame[::-1]
    return np.ascontiguousarray(frame)


def _directions_of(dataset: Dataset) -> tuple[str, str]:
    """Where rows and columns run: L, R, A, P, H (head) or F (feet); "" where nothing says so."""
    cosines = dataset.get("ImageOrientationPatient")
    if cosines is not None and len(cosines) == 6:
        row, column = np.array(cosines, dtype=float).reshape(2, 3)
        return _nearest(row), _nearest(column)
    letters = dataset.get("PatientOrientation")
    if isinstance(letters, str) or letters is None or len(letters) != 2:
        return "", ""
    return str(letters[0])[:1], str(letters[1])[:1]


def _nearest(direction: np.ndarray) -> str:
    """The letter of the axis a direction in patient coordinates (x to the left, y to the back, z up) is nearest to."""
    axis = int(np.abs(direction).argmax())
    return ("LR", "PA", "HF")[axis][int(direction[axis] < 0)] if np.isfinite(direction).all() else ""


def _kind_of(dataset: Dataset) -> str:
    """The SOP class in words, for a reason; never a value of the patient's."""
    uid = dataset.get("SOPClassUID")
    known = isinstance(uid, UID) and uid.name != uid
    return str(uid.name) if known and uid is not None else "file"


def _inflated(content: bytes, window_bits: int) -> bytes:
    """Gzip or deflate content, at most MAX_BYTES of it."""
    try:
        inflater: Any = zlib.decompressobj(window_bits)
        inflated = inflater.decompress(content, MAX_BYTES)
    except zlib.error as error:
        raise CorruptImage("expected a whole compressed file, got a damaged one") from error
    if inflater.unconsumed_tail:
        raise CorruptImage(f"expected at most {MAX_BYTES} bytes, got a decompression bomb")
    return bytes(inflated)


def _refuse_deflate_bomb(content: bytes) -> None:
    """Inflate a deflated data set once within bounds: pydicom would do so without any."""
    if content[128:132] != b"DICM":
        return
    end_of_meta = 144 + int.from_bytes(content[140:144], "little")
    if DeflatedExplicitVRLittleEndian.encode() in content[144:end_of_meta]:
        _inflated(content[end_of_meta:], -zlib.MAX_WBITS)
