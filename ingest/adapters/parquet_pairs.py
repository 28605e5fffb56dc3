"""Question-answer pairs with the picture inside the table, as dataset hubs publish them.

Layout: data/{train,validation,test}-*.parquet with columns image{bytes, path}, question, answer. Rows have no id:
split and row number within it stand for one. A picture has no name: its bytes' digest, taken when pixels are read,
is what tells figures apart.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ingest.adapters.asked import question_columns, text_of
from ingest.adapters.folders import is_image_folder
from ingest.adapters.root import Root, RowRefused
from ingest.adapters.rows import parquet_has_columns
from ingest.embedded import COLUMN, embedded_uri
from ingest.errors import BadInput
from ingest.quarantine import Reason
from ingest.sample import Sample, Split, Task

TEXTS = ("question", "answer")
_PART = re.compile(r"(train|validation|test)-\d{5}-of-\d{5}\.parquet")


def parts_under(folder: Path) -> dict[Split, list[Path]]:
    """The Parquet files of every split in the folder's data/, in order; empty where it holds none of pairs."""
    data = folder / "data"
    try:
        names = [] if is_image_folder(data) else sorted(path.name for path in data.iterdir())
    except OSError:
        return {}
    found: dict[Split, list[Path]] = {}
    for match in filter(None, map(_PART.fullmatch, names)):
        found.setdefault(Split(match.group(1)), []).append(data / match.group())
    firsts = [paths[0] for paths in found.values()]
    return found if all(parquet_has_columns(path, (COLUMN, *TEXTS)) for path in firsts) else {}


def pairs_of(root: Root, splits: Sequence[Split], **common: Any) -> Iterator[Sample]:
    """Yield the pairs of ``splits`` in file order; ``common``: further columns, the same for all of them.

    The files lie in data/, in the root or one folder below. Raises: BadInput when there are none.
    """
    parts = next(filter(None, map(parts_under, (root.path, *root.subfolders()))), {})
    if not any(parts.get(split) for split in splits):
        raise BadInput(f"{root.path}: expected data/{splits[0]}-*.parquet with {', '.join(TEXTS)}, got none")
    for split in splits:
        number = 0
        for path in parts.get(split, []):
            name = path.relative_to(root.path).as_posix()
            for row_number, row in root.parquet(name, columns=TEXTS):
                number += 1
                try:
                    yield _pair_of(root, row, (name, row_number), f"{split}/{number}", split=split, **common)
                except RowRefused as refusal:
                    root.refuse(f"{split}/{number}", refusal, source_file=name, source_row=row_number + 1)


def _pair_of(root: Root, row: dict[str, Any], place: tuple[str, int], native_id: str, **columns: Any) -> Sample:
    name, row_number = place
    question, answer = (text_of(row[key]) for key in TEXTS)
    if not question or not answer:
        raise RowRefused(Reason.MISSING_FIELD, "expected the texts question and answer, got one blank or missing")
    return root.sample(
        native_id,
        task=Task.VQA,
        image_uris=[embedded_uri(name, row_number)],
        source_file=name,
        source_row=row_number + 1,
        **question_columns(question, answer),
        **columns,
    )
