"""Names that say nothing: how rows and files of an identifiable dataset are called once they leave its folder.

A file's name or a row's key may hold a record number. In ``samples/`` and everything after it both are keyed
pseudonyms; whoever has the key and the files finds the file again by hashing the names in the folder.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from ingest.deidentify import pseudonym
from ingest.errors import BadInput

_SUFFIXES = (
    ".nii.gz", ".dcm.gz", ".csv.gz", ".nii", ".hdr", ".img", ".mgz", ".mgh", ".dcm", ".dicom", ".png", ".jpg", ".jpeg",
    ".bmp", ".tif", ".tiff", ".webp", ".npz", ".npy", ".csv", ".tsv", ".parquet", ".json",
)  # fmt: skip
"""What is kept of a name: any other ending may be part of an identifier."""

_KEYS = ("native_id", "study_id", "figure_id")
_FILES = ("source_file", "mask_uri")


def hidden_key(dataset: str, value: str, key: bytes) -> str:
    """The pseudonym of a row's, study's or figure's identifier."""
    return pseudonym(dataset, f"key\x1f{value}", key)


def hidden_name(dataset: str, name: str, key: bytes) -> str:
    """The pseudonym of a file's name relative to the dataset's folder, with its usual ending; "x#3" keeps "#3"."""
    name, mark, row = name.partition("#")
    ending = next((suffix for suffix in _SUFFIXES if name.lower().endswith(suffix)), "")
    return pseudonym(dataset, f"file\x1f{os.path.normpath(name)}", key) + ending + mark + row


def disguised(dataset: str, fields: Mapping[str, Any], key: bytes) -> dict[str, Any]:
    """Fields of a Sample with its row, its files, its study and its figure renamed."""
    hidden = dict(fields)
    for name in _KEYS:
        if hidden.get(name):
            hidden[name] = hidden_key(dataset, hidden[name], key)
    for name in _FILES:
        if hidden.get(name):
            hidden[name] = hidden_name(dataset, hidden[name], key)
    if "image_uris" in hidden:
        hidden["image_uris"] = [hidden_name(dataset, uri, key) for uri in hidden["image_uris"]]
    return hidden


class Folder(Protocol):
    """What URIs are joined to: a Path, or a HiddenFolder."""

    def __truediv__(self, uri: str, /) -> Path: ...


@dataclass(frozen=True)
class HiddenFolder:
    """A folder whose files are asked for by their disguised names: ``folder / uri`` is the file itself."""

    path: Path
    dataset: str
    key: bytes = field(repr=False)

    def __truediv__(self, uri: str) -> Path:
        """Raises: BadInput where no file has that pseudonym: another key, or the file is gone."""
        hidden, mark, row = uri.partition("#")
        name = _names_under(self.path, self.dataset, self.key).get(hidden)
        if name is None:
            raise BadInput(f"{self.dataset}: expected the file that {hidden} was named after, got another key or none")
        return self.path / (name + mark + row)


@lru_cache(maxsize=8)
def _names_under(folder: Path, dataset: str, key: bytes) -> dict[str, str]:
    """Every file under a folder by its disguised name: one walk per process. Links to folders are not followed."""
    names = {}
    for place, _, files in os.walk(folder):
        for file in files:
            name = os.path.relpath(os.path.join(place, file), folder)  # noqa: PTH118
            names[hidden_name(dataset, name, key)] = name
    return names
