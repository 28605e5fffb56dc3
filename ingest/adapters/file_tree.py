"""What the dicom and nifti adapters share: the files of a tree, and a side table joined to them."""

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ingest.adapters.root import Root
from ingest.adapters.side_table import Columns, fields_of, rows_of, text_of
from ingest.errors import BadInput

JOIN_KEYS = ("image", "study_uid", "accession")
"""What a side table may be joined by, in this order: a path, a StudyInstanceUID, an accession number."""

_NUM_PEEKED = 8
_DEPTH = 4


def files_under(folder: Path) -> Iterator[str]:
    """Every file by its name relative to ``folder``, in order. Links to folders are not followed: no loop."""
    for place, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            yield os.path.relpath(os.path.join(place, name), folder)  # noqa: PTH118


def holds_only(folder: Path, is_one: Callable[[Path], bool], *, depth: int = _DEPTH) -> bool:
    """Whether the files of a kind lie right in ``folder``, or all of its first few subfolders hold them.

    A folder that holds nothing but one folder is not it: the inner one is.
    """
    try:
        with os.scandir(folder) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)[: 16 * _NUM_PEEKED]
        if any(is_one(Path(e.path)) for e in [e for e in listed if e.is_file()][: 2 * _NUM_PEEKED]):
            return True
        inner = [Path(e.path) for e in listed if e.is_dir(follow_symlinks=False) and not e.name.startswith(".")]
    except OSError:
        return False
    if depth == 0 or len(inner) < (2 if depth == _DEPTH else 1):
        return False
    return all(holds_only(each, is_one, depth=depth - 1) for each in inner[:_NUM_PEEKED])


class SideTable:
    """The rows of a table by what they are joined on; empty where none is configured."""

    def __init__(self, root: Root, table: Path | None, columns: Columns) -> None:
        self._root, self._columns = root, columns
        self._rows: dict[str, dict[str, str]] = {}
        self._key = next((key for key in JOIN_KEYS if key in columns), "")
        if table is None:
            return
        if not self._key:
            raise BadInput(f"{table}: expected a column for one of {', '.join(JOIN_KEYS)} to join by, got none")
        for _, row in rows_of(table, columns):
            if row is not None:
                self._rows.setdefault(text_of(row, columns, self._key), row)

    def fields_for(self, keys: Mapping[str, str], *, known: tuple[str, ...] = ()) -> dict[str, Any]:
        """What the table says of a file; nothing where no row joins. Raises: RowRefused as ``fields_of``."""
        row = self._rows.get(keys.get(self._key, "")) if self._rows else None
        return {} if row is None else fields_of(self._root, row, self._columns, known=known)
