"""The ``.masks.npz`` member: planes of bits at the packed and at the native size, each inflated by itself.

``np.load`` opens it as any .npz. An array of planes is one deflate stream with full flushes in it (as ``zlib.h``
describes for random access) around what lies between the zeros of each plane: whoever knows where that starts
inflates it and nothing else. These places stand in the first array, which is stored as it is and always begins at
the same byte. Arrays:

- ``layout`` uint32: T, h, w, H, W, and of each plane of ``masks``, then of ``native``: where its bytes that are
  not all zero start and stop in the file, which byte of the plane is the first of them, and how many they are,
- ``masks`` uint8 [T, ceil(h w / 8)]: ``np.packbits`` of each plane at the packed size h x w,
- ``native`` uint8 [T, ceil(H W / 8)]: the same at the native size H x W.
"""

import io
import struct
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ingest.pixels import MAX_PIXELS

_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_VERSION, _FIRST_OF_1980 = 20, (1 << 5) + 1
_STORED, _DEFLATED, _RAW_DEFLATE = 0, 8, -15
_NPY_HEADER_BYTES = 128
_LAYOUT_FIRST_BYTE = _LOCAL.size + len("layout.npy") + _NPY_HEADER_BYTES
_LAYOUT_DTYPE = np.dtype("<u4")
_NUM_SIZES, _NUM_PLACES = 5, 4


def pack_planes(masks_Thw: NDArray[np.bool_], native_THW: NDArray[np.bool_]) -> bytes:
    """The member of planes at the packed and at the native size; equal planes give equal bytes."""
    num_planes = len(masks_Thw)
    layout = np.zeros(_NUM_SIZES + 2 * num_planes * _NUM_PLACES, dtype=_LAYOUT_DTYPE)
    layout[:_NUM_SIZES] = [*masks_Thw.shape, *native_THW.shape[1:]]
    of_planes = layout[_NUM_SIZES:].reshape(2, num_planes, _NUM_PLACES)
    entries, end = [], _LAYOUT_FIRST_BYTE + layout.nbytes
    for places, name, planes in zip(of_planes, ("masks.npy", "native.npy"), (masks_Thw, native_THW), strict=True):
        bits = np.packbits(planes.reshape(num_planes, -1), axis=1)
        packed, found = _deflated(bits)
        begin = end + _LOCAL.size + len(name)
        places[:] = found
        places[:, :2] += begin
        end = begin + len(packed)
        entries.append((name, _npy_header(bits) + bits.tobytes(), packed, _DEFLATED))
    stored = _npy_header(layout) + layout.tobytes()
    return _archive([("layout.npy", stored, stored, _STORED), *entries])


def unpack_masks(packed: bytes, chosen: Sequence[int] | None = None) -> NDArray[np.bool_]:
    """bool [T, h, w], read-only: planes at the packed size, all or the ``chosen`` ones.

    Raises: ValueError, zlib.error for bytes that ``pack_planes`` did not write; IndexError for a plane not there.
    """
    layout = _layout(packed)
    places = layout[_NUM_SIZES : _NUM_SIZES + layout[0] * _NUM_PLACES]
    return _planes(packed, places, (layout[1], layout[2]), range(layout[0]) if chosen is None else chosen)


def unpack_native(packed: bytes) -> NDArray[np.bool_]:
    """bool [T, H, W], read-only: every plane at the native size. Raises: as ``unpack_masks``."""
    layout = _layout(packed)
    places = layout[_NUM_SIZES + layout[0] * _NUM_PLACES :]
    return _planes(packed, places, (layout[3], layout[4]), range(layout[0]))


def _layout(packed: bytes) -> list[int]:
    """The values of ``layout``, refused where they cannot be those of this file."""
    if packed[:4] != b"PK\x03\x04" or packed[_LOCAL.size : _LOCAL.size + 16] != b"layout.npy\x93NUMPY":
        raise ValueError("masks: expected an .npz that begins with layout.npy, got other bytes")
    num_planes = int.from_bytes(packed[_LAYOUT_FIRST_BYTE : _LAYOUT_FIRST_BYTE + 4], "little")
    count = _NUM_SIZES + 2 * num_planes * _NUM_PLACES
    if _LAYOUT_FIRST_BYTE + 4 * count > len(packed):
        raise ValueError(f"masks: expected a layout of {num_planes} planes, got {len(packed)} bytes")
    return np.frombuffer(packed, dtype=_LAYOUT_DTYPE, count=count, offset=_LAYOUT_FIRST_BYTE).tolist()


def _planes(packed: bytes, places: list[int], size: tuple[int, int], chosen: Sequence[int]) -> NDArray[np.bool_]:
    num_pixels = size[0] * size[1]
    if not 0 < num_pixels <= MAX_PIXELS:
        raise ValueError(f"masks: expected planes of 1 to {MAX_PIXELS} px, got {size[0]} x {size[1]}")
    flat = np.zeros((len(chosen), num_pixels), dtype=np.uint8)
    for row, number in enumerate(chosen):
        if not 0 <= number < len(places) // _NUM_PLACES:
            raise IndexError(f"masks: expected a plane from 0 to {len(places) // _NUM_PLACES - 1}, got {number}")
        start, stop, first, num_bytes = places[number * _NUM_PLACES : (number + 1) * _NUM_PLACES]
        if num_bytes == 0:
            continue
        content = zlib.decompressobj(_RAW_DEFLATE).decompress(packed[start:stop], num_bytes + 1)
        if len(content) != num_bytes or (first + num_bytes - 1) * 8 >= num_pixels:
            raise ValueError(f"masks: expected {num_bytes} bytes of a plane of {num_pixels} px, got {len(content)}")
        wanted = flat[row, first * 8 : (first + num_bytes) * 8]
        wanted[:] = np.unpackbits(np.frombuffer(content, dtype=np.uint8), count=len(wanted))
    planes: NDArray[np.bool_] = flat.reshape(-1, *size).view(np.bool_)  # no copy
    planes.flags.writeable = False  # a repeated draw is given the same planes
    return planes


def _deflated(bits: NDArray[np.uint8]) -> tuple[bytes, list[tuple[int, int, int, int]]]:
    """Planes [T, bytes] as a deflated .npy file, and of each plane what ``layout`` says, from this file's start."""
    deflate = zlib.compressobj(6, zlib.DEFLATED, _RAW_DEFLATE)
    parts, places = [], []
    size, waiting = 0, _npy_header(bits)
    for plane in bits:
        filled = np.flatnonzero(plane)
        first, last = (int(filled[0]), int(filled[-1]) + 1) if filled.size else (0, 0)
        if first == last:
            waiting += plane.tobytes()
            places.append((0, 0, 0, 0))
            continue
        parts.append(deflate.compress(waiting + plane[:first].tobytes()) + deflate.flush(zlib.Z_FULL_FLUSH))
        parts.append(deflate.compress(plane[first:last].tobytes()) + deflate.flush(zlib.Z_FULL_FLUSH))
        start = size + len(parts[-2])
        size = start + len(parts[-1])
        places.append((start, size, first, last - first))
        waiting = plane[last:].tobytes()
    parts.append(deflate.compress(waiting) + deflate.flush())
    return b"".join(parts), places


def _npy_header(array: NDArray[np.generic]) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, np.lib.format.header_data_from_array_1_0(array))
    return stream.getvalue()


def _archive(entries: list[tuple[str, bytes, bytes, int]]) -> bytes:
    """A zip of (name, content, content as stored, method) without any time, as ``zipfile`` reads it."""
    files, directory, place = [], [], 0
    for name, content, packed, method in entries:
        shared = (0, method, 0, _FIRST_OF_1980, zlib.crc32(content), len(packed), len(content), len(name), 0)
        local = _LOCAL.pack(b"PK\x03\x04", _VERSION, *shared) + name.encode()
        central = _CENTRAL.pack(b"PK\x01\x02", _VERSION, _VERSION, *shared, 0, 0, 0, 0, place)
        files += [local, packed]
        directory += [central, name.encode()]
        place += len(local) + len(packed)
    listed = b"".join(directory)
    end = _END.pack(b"PK\x05\x06", 0, 0, len(entries), len(entries), len(listed), place, 0)
    return b"".join([*files, listed, end])
