"""Which data sets lie under a folder, told from their layouts alone."""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ingest.adapters import ADAPTERS
from ingest.adapters.folders import MAX_DEPTH, subfolders, unseen


@dataclass(frozen=True)
class Recognised:
    """A folder with the layout of ``adapter``; ``options`` as its Options."""

    adapter: str
    folder: Path
    options: Any


def recognise_under(root: Path) -> list[Recognised]:
    """The data sets under ``root``, nearest first, at most four folders deep.

    A recognised folder is not searched further, nor are folders of pictures.
    """
    found: list[Recognised] = []
    level = [root]
    seen: set[str] = set()
    for _ in range(MAX_DEPTH + 1):
        below: list[Path] = []
        for folder in unseen(level, seen):
            here = _recognise(folder, root)
            found += here
            if not here:
                below += subfolders(folder)
        level = below
    return found


def once_each(found: Iterable[Recognised]) -> tuple[list[Recognised], list[Recognised]]:
    """The nearest folder of every adapter, and the rest: a second copy of a data set would count its people twice."""
    first: dict[str, Recognised] = {}
    again = [each for each in found if first.setdefault(each.adapter, each) is not each]
    return list(first.values()), again


def unrecognised_under(root: Path, found: Iterable[Recognised]) -> list[Path]:
    """The folders right inside ``root`` that hold no recognised data set and no file that one refers to."""
    used = [path for each in found for path in (each.folder, *_paths_in(each.options))]
    return [
        folder
        for folder in subfolders(root)
        if not any(path.is_relative_to(folder) or folder.is_relative_to(path) for path in used)
    ]


def _recognise(folder: Path, search_root: Path) -> list[Recognised]:
    answers = ((name, adapter.recognise(folder, search_root)) for name, adapter in ADAPTERS.items())
    found = [Recognised(name, folder, options) for name, options in answers if options is not None]
    # What any folder of files may be is asked for last: a known layout is not also somebody's own table.
    known = [each for each in found if not ADAPTERS[each.adapter].identifiable]
    return known or found[:1]


def _paths_in(options: Any) -> list[Path]:
    values = (getattr(options, field.name) for field in dataclasses.fields(options))
    return [value for value in values if isinstance(value, Path)]
