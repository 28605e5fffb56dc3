"""PathVQA: 32,795 questions on 4,289 pathology pictures (He et al. 2020, MIT; pictures belong to their publishers).

Layouts, one of which is read: the authors' pickles, split/qas/{train,val,test}/<split>_qa.pkl (lists of
{image, question, answer}) with images/<split>/<image>.jpg; or data/{train,validation,test}-*.parquet with columns
image{bytes}, question, answer (32,632 rows, duplicates taken out). Split: the official one; no picture crosses it.
Pickles are read as data: nothing in them can name, let alone call, anything (``ingest.adapters.plain_pickle``).
Known defects: answers in mixed case; 715 pictures nobody asks about, which no table names.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from ingest.adapters.asked import question_columns, text_of
from ingest.adapters.parquet_pairs import pairs_of, parts_under
from ingest.adapters.plain_pickle import load_plain_pickle
from ingest.adapters.root import Root, RowRefused
from ingest.errors import BadInput
from ingest.modality import Modality
from ingest.quarantine import Reason
from ingest.sample import Sample, Source, Split, Task

LICENCE = "MIT (pictures: their publishers)"
PART_OF_SPLIT = {Split.TRAIN: "train", Split.VALIDATION: "val", Split.TEST: "test"}
_SHOWN = {"modality": Modality.MICROSCOPY, "modality_source": Source.CURATED}


class Layout(StrEnum):
    PICKLE = "pickle"
    PARQUET = "parquet"


@dataclass(frozen=True)
class Options:
    """``layout``: which distribution is read; by default the pickles where they lie, else the Parquet files."""

    layout: Layout | None = None


def table_of(split: Split) -> str:
    """The authors' pickle of a split."""
    part = PART_OF_SPLIT[split]
    return f"split/qas/{part}/{part}_qa.pkl"


def recognise(folder: Path, search_root: Path) -> Options | None:
    """A folder with the authors' pickles, or with Parquet files of pairs that have a validation part."""
    if any((folder / table_of(split)).is_file() for split in PART_OF_SPLIT):
        return Options()
    parts = parts_under(folder)
    return Options() if Split.TRAIN in parts and Split.VALIDATION in parts else None


def read(root: Root, options: Options) -> Iterator[Sample]:
    """Yield training, validation and test rows, each in file order."""
    pickles = {split: table_of(split) for split in PART_OF_SPLIT if root.exists(table_of(split))}
    layout = options.layout or (Layout.PICKLE if pickles else Layout.PARQUET)
    if layout == Layout.PARQUET:
        yield from pairs_of(root, tuple(PART_OF_SPLIT), licence=LICENCE, **_SHOWN)
        return
    if not pickles:
        raise BadInput(f"{root.path}: expected {table_of(Split.TRAIN)} or another split's, got none")
    for split, table in pickles.items():
        rows = load_plain_pickle(root.required(table))
        if not isinstance(rows, list):
            raise BadInput(f"{root.path / table}: expected a list of questions, got {type(rows).__name__}")
        for number, row in enumerate(rows, start=1):
            native_id = f"{PART_OF_SPLIT[split]}/{number}"
            try:
                yield _question_of(root, row, native_id, split=split, place=(table, number))
            except RowRefused as refusal:
                root.refuse(native_id, refusal, source_file=table, source_row=number)


def _question_of(root: Root, row: Any, native_id: str, *, split: Split, place: tuple[str, int]) -> Sample:
    if not isinstance(row, dict):
        raise RowRefused(Reason.UNREADABLE_ROW, "expected an object")
    image, question, answer = (text_of(row.get(key)) for key in ("image", "question", "answer"))
    if not image or not question or not answer:
        raise RowRefused(Reason.MISSING_FIELD, "expected the texts image, question and answer, got one missing")
    return root.sample(
        native_id,
        split=split,
        task=Task.VQA,
        image_uris=[root.inside(f"images/{PART_OF_SPLIT[split]}/{image}.jpg")],
        figure_id=image,
        licence=LICENCE,
        source_file=place[0],
        source_row=place[1],
        **question_columns(question, answer),
        **_SHOWN,
    )
