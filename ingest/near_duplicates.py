"""The nearest of many 64-bit hashes within a few bits, without comparing all with all.

Multi-index hashing (Norouzi, Punjani and Fleet 2012): hashes are cut into four bands of 16 bits. Of seven or fewer
different bits, some band holds at most one (pigeonhole), so looking up every band as it is and with each of its bits
turned finds every neighbour; candidates are then compared exactly. With n hashes on either side about n^2 / 960
pairs are compared.
"""

import numpy as np
from numpy.typing import NDArray

MAX_RADIUS_BITS = 7
"""Above this four bands with one turned bit might miss a neighbour."""

_NUM_BANDS, _BAND_BITS = 4, 16
_BLOCK_PAIRS = 2**22
# Neighbouring bits of a picture hash agree (black borders): bands of scattered bits fill evenly.
_SCATTER = np.random.default_rng(64).permutation(64)
_NOTHING = np.int64(2**62)

Hashes = NDArray[np.uint64]
Ints = NDArray[np.int64]


def nearest_within(wanted: Hashes, others: Hashes, radius_bits: int) -> tuple[Ints, Ints]:
    """Hamming distance (bits) and position of the nearest of ``others`` for each of ``wanted``; -1 and -1 for none.

    Among equally near ones the first counts. Raises: ValueError for a radius above MAX_RADIUS_BITS.
    """
    if not 0 <= radius_bits <= MAX_RADIUS_BITS:
        raise ValueError(f"radius_bits: expected 0 to {MAX_RADIUS_BITS}, got {radius_bits}")
    best = np.full(len(wanted), _NOTHING)  # distance in the upper half, position in the lower: minimum finds both
    if len(others):
        wanted_bands, others_bands = _bands(wanted), _bands(others)
        for band in range(_NUM_BANDS):
            _search_band(wanted, others, wanted_bands[band], others_bands[band], radius_bits, best)
    found = best < _NOTHING
    return np.where(found, best >> 32, -1), np.where(found, best & 0xFFFFFFFF, -1)


def _bands(hashes: Hashes) -> NDArray[np.uint16]:
    """[4, n]: the bits of every hash, scattered, in four numbers."""
    bits = np.unpackbits(hashes.view(np.uint8).reshape(-1, 8), axis=1)[:, _SCATTER]
    return np.ascontiguousarray(np.packbits(bits, axis=1)).view(np.uint16).T.copy()


def _search_band(
    wanted: Hashes, others: Hashes, wanted_band: NDArray[np.uint16], others_band: NDArray[np.uint16],
    radius_bits: int, best: Ints,
) -> None:  # fmt: skip
    """Compare what agrees in one band up to one bit. Lowers ``best``."""
    order = np.argsort(others_band, kind="stable")
    sizes = np.bincount(others_band, minlength=2**_BAND_BITS)
    starts = np.cumsum(sizes) - sizes
    for turned in (0, *(1 << bit for bit in range(_BAND_BITS))):
        buckets = wanted_band ^ np.uint16(turned)
        rows = np.flatnonzero(sizes[buckets])
        for block in _blocks(rows, sizes[buckets[rows]]):
            in_bucket = sizes[buckets[block]]
            left = np.repeat(block, in_bucket)
            firsts = np.cumsum(in_bucket) - in_bucket
            right = order[np.arange(len(left)) + np.repeat(starts[buckets[block]] - firsts, in_bucket)]
            bits = np.bitwise_count(wanted[left] ^ others[right])
            near = np.flatnonzero(bits <= radius_bits)
            np.minimum.at(best, left[near], (bits[near].astype(np.int64) << 32) | right[near])


def _blocks(rows: Ints, num_candidates: Ints) -> list[Ints]:
    """``rows`` in pieces of about _BLOCK_PAIRS candidates, which keeps memory flat."""
    cuts = np.flatnonzero(np.diff(np.cumsum(num_candidates) // _BLOCK_PAIRS)) + 1
    return np.split(rows, cuts)
