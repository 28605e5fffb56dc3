"""One file per data set, one line per file in ADAPTERS."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ingest.adapters import imed361m, isic2018, vqa_rad
from ingest.adapters.root import Root
from ingest.sample import Sample


@dataclass(frozen=True)
class Adapter:
    """How a data set is read.

    ``read(root, options)`` yields samples and appends what it sets aside to ``root.rejections``.
    ``recognise(folder, search_root)`` cheaply tells whether ``folder`` has this layout: its options, or None.
    """

    read: Callable[[Root, Any], Iterator[Sample]]
    Options: type[Any]
    recognise: Callable[[Path, Path], Any | None]
    licence: str


ADAPTERS: dict[str, Adapter] = {
    "imed361m": Adapter(imed361m.read, imed361m.Options, imed361m.recognise, imed361m.LICENCE),
    "vqa_rad": Adapter(vqa_rad.read, vqa_rad.Options, vqa_rad.recognise, vqa_rad.LICENCE),
    "isic2018": Adapter(isic2018.read, isic2018.Options, isic2018.recognise, isic2018.LICENCE),
}
"""Adapter by name; the name is also the value of the ``dataset`` column."""
