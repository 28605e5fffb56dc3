"""How much memory that was freed a reading process keeps for its next samples.

glibc hands the top of its heap back to the kernel after every batch, and takes it again page by page for the next:
at 1.3 MB per sample (a float32 picture and two masks) these page faults were half of the loader's CPU time.
"""

import ctypes
import os

KEPT_BYTES = 256 * 2**20
LARGEST_FROM_HEAP_BYTES = 32 * 2**20
"""The most that glibc allows, and where it arrives by itself after the first array of that size was freed."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_SET_BY_USER = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")


def keep_freed_memory() -> bool:
    """Let this process keep up to KEPT_BYTES of freed memory; whether it does.

    Not where the user has set glibc's own variables for it, nor with another C library. Calling it again changes
    nothing.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None or any(name in os.environ for name in _SET_BY_USER):
        return False
    return bool(mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES) and mallopt(_M_MMAP_THRESHOLD, LARGEST_FROM_HEAP_BYTES))
