"""Walking a download folder without listing millions of pictures."""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
MAX_DEPTH = 4
_NUM_PEEKED = 32
_NUM_PICTURES = 8


def folders_under(root: Path, *, max_depth: int = MAX_DEPTH) -> Iterator[Path]:
    """``root`` and the folders below it, nearest first, without hidden ones and what lies in image folders."""
    level = [root]
    for _ in range(max_depth + 1):
        yield from level
        level = [child for folder in level for child in subfolders(folder)]


def subfolders(folder: Path) -> list[Path]:
    """The folders right inside, by name; none for an image folder, none where reading is not allowed."""
    try:
        if is_image_folder(folder):
            return []
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(".")]
    except OSError:
        return []
    return [folder / name for name in sorted(names)]


def is_image_folder(folder: Path) -> bool:
    """Whether a quarter of the first few entries are pictures: what lies there is data, not layout."""
    with os.scandir(folder) as entries:
        peeked = itertools.islice(entries, _NUM_PEEKED)
        num_pictures = sum(Path(entry.name).suffix.lower() in PICTURE_SUFFIXES for entry in peeked)
    return num_pictures >= _NUM_PICTURES
