"""Text burned into a picture: what a DICOM header says of it, and what the edges of the picture show.

Ultrasound, endoscopy, captured and fluoroscopic pictures are looked at unless their header denies it; a scanner's
CT, MR and PET slices are not. Text is eight or more small bright shapes of like height in one line of the outer
fifth of the picture: a lone "L" or "R" marker, a scale or a ruler is none. A heuristic: it finds what machines
print, and is no proof of absence.
"""

from collections import Counter
from typing import Any

import numpy as np

from ingest.pixels import CorruptImage

LEAST_GLYPHS = 8
EDGE_SHARE = 0.2
_NOT_LOOKED_AT = frozenset({"CT", "MR", "PT", "NM", "SEG", "RTDOSE", "RTSTRUCT", "RTPLAN", "SR", "OT"})
_GLYPH_HEIGHT_PX = (5, 40)


def declares_text(header: Any) -> bool:
    """Whether the header says that identification or text is burned in."""
    return str(header.get("BurnedInAnnotation") or "").strip().upper() == "YES"


def shows_text(content: bytes, header: Any) -> bool:
    """Whether a picture of a kind that often carries text shows some; False where it does not decode."""
    from ingest.dicom import read_frame

    denied = str(header.get("BurnedInAnnotation") or "").strip().upper() == "NO"
    if denied or str(header.get("Modality") or "").strip().upper() in _NOT_LOOKED_AT:
        return False
    try:
        return has_edge_text(read_frame(content))
    except CorruptImage:
        return False


def has_edge_text(frame: np.ndarray) -> bool:
    """Whether a line of text stands in the outer EDGE_SHARE of a uint8 picture [H, W] or [H, W, 3]."""
    from scipy import ndimage

    grey_HW = frame if frame.ndim == 2 else frame.max(axis=2)
    height, width = grey_HW.shape
    bright_HW = grey_HW >= 200
    inner_rows = slice(round(EDGE_SHARE * height), round((1 - EDGE_SHARE) * height))
    inner_columns = slice(round(EDGE_SHARE * width), round((1 - EDGE_SHARE) * width))
    bright_HW = bright_HW.copy()
    bright_HW[inner_rows, inner_columns] = False
    labels_HW, _ = ndimage.label(bright_HW, structure=np.ones((3, 3)))
    lines: Counter[tuple[int, int]] = Counter()
    low, high = _GLYPH_HEIGHT_PX
    for rows, columns in ndimage.find_objects(labels_HW):
        tall, wide = rows.stop - rows.start, columns.stop - columns.start
        if low <= tall <= high and 1 < wide <= 1.5 * tall + 2:
            for baseline in {rows.stop // 3, (rows.stop + 1) // 3}:
                lines[baseline, tall // 3] += 1
    return max(lines.values(), default=0) >= LEAST_GLYPHS
