"""Walking a download folder without listing millions of pictures."""

import itertools
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
MAX_DEPTH = 4
_NUM_PEEKED = 32
_NUM_PICTURES = 8


def folders_under(root: Path, *, max_depth: int = MAX_DEPTH) -> Iterator[Path]:
    """``root`` and the folders below it, nearest first, without hidden ones and what lies in image folders."""
    level = [root]
    seen: set[str] = set()
    for _ in range(max_depth + 1):
        level = unseen(level, seen)
        yield from level
        level = [child for folder in level for child in subfolders(folder)]


def unseen(folders: Iterable[Path], seen: set[str]) -> list[Path]:
    """Those of ``folders`` that are not in ``seen``, links resolved, and put them there: no loop of links is a loop."""
    new: dict[str, Path] = {}
    for folder in folders:
        new.setdefault(os.path.realpath(folder), folder)
    found = [folder for real, folder in new.items() if real not in seen]
    seen.update(new)
    return found


def subfolders(folder: Path) -> list[Path]:
    """The folders right inside, by name; none for an image folder, none where reading is not allowed.

    Links are followed, for people gather data sets under one root by linking them. What an adapter reads is another
    matter: no link in a data set's folder leads out of it (``Root``).
    """
    try:
        if is_image_folder(folder):
            return []
        with os.scandir(folder) as entries:
            names = [each.name for each in entries if each.is_dir() and each.name[0] != "."]
    except OSError:
        return []
    return [folder / name for name in sorted(names)]


def stays_in_its_folder(path: Path) -> bool:
    """Whether a file is none, or no link, or a link to something in the same folder: safe to look into unasked."""
    return not path.is_symlink() or path.resolve().is_relative_to(path.parent.resolve())


def is_image_folder(folder: Path) -> bool:
    """Whether a quarter of the first few entries are pictures: what lies there is data, not layout."""
    with os.scandir(folder) as entries:
        peeked = itertools.islice(entries, _NUM_PEEKED)
        num_pictures = sum(Path(entry.name).suffix.lower() in PICTURE_SUFFIXES for entry in peeked)
    return num_pictures >= _NUM_PICTURES
