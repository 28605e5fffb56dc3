"""SLAKE: 14,028 questions on 642 radiology pictures, half English, half Chinese (Liu et al. 2021, licence unclear).

Layout: {train,validate,test}.json (each one array in one line) and imgs/<xmlab..>/source.jpg, in the root or in
Slake1.0/ below it. Split: the official one; within a language no picture crosses it, across languages 142 do: with
both languages read, such pictures go whole to the test side. Read by default: English; the language is kept.
Known defects: keys in three different orders, one empty answer, locations spelt two ways (Brain_Tissue, Pelvic Cavity).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ingest.adapters.asked import question_columns, text_of
from ingest.adapters.root import Root, RowRefused
from ingest.adapters.shown import anatomy_columns, modality_columns
from ingest.anatomy import anatomy_of
from ingest.errors import BadInput
from ingest.modality import modality_of
from ingest.quarantine import Reason
from ingest.sample import Sample, Source, Split, Task

LICENCE = "unclear"
LANGUAGES = ("en", "zh")
TABLES = {Split.TRAIN: "train.json", Split.VALIDATION: "validate.json", Split.TEST: "test.json"}
_FOLDERS = ("", "Slake1.0/")
_REQUIRED = ("qid", "img_name", "question", "answer")


@dataclass(frozen=True)
class Options:
    """``languages``: which questions are read, of "en" and "zh"."""

    languages: tuple[str, ...] = ("en",)

    def __post_init__(self) -> None:
        if not self.languages or not set(self.languages) <= set(LANGUAGES):
            raise ValueError(f"languages: expected some of {', '.join(LANGUAGES)}, got {', '.join(self.languages)}")


def recognise(folder: Path, search_root: Path) -> Options | None:
    """A folder with validate.json, which no other data set calls so, beside one of the other two."""
    names = [name for split, name in TABLES.items() if split is not Split.VALIDATION]
    beside = any((folder / name).is_file() for name in names)
    return Options() if beside and (folder / TABLES[Split.VALIDATION]).is_file() else None


def read(root: Root, options: Options) -> Iterator[Sample]:
    """Yield training, validation and test rows of the wanted languages, each in file order."""
    places = [(split, folder + name) for folder in _FOLDERS for split, name in TABLES.items()]
    found = [(split, name) for split, name in places if root.exists(name)]
    if not found:
        raise BadInput(f"{root.path}: expected {', '.join(TABLES.values())}, here or in Slake1.0, got none")
    for split, table in found:
        for number, row in root.json_rows(table):
            if isinstance(row, dict) and row.get("q_lang") in LANGUAGES and row["q_lang"] not in options.languages:
                continue
            try:
                yield _question_of(root, row, split=split, place=(table, number))
            except RowRefused as refusal:
                qid = text_of(row.get("qid")) if isinstance(row, dict) else ""
                root.refuse(qid or f"{split} row {number}", refusal, source_file=table, source_row=number)


def _question_of(root: Root, row: Any, *, split: Split, place: tuple[str, int]) -> Sample:
    """Raises: RowRefused where the row cannot be a sample."""
    if not isinstance(row, dict):
        raise RowRefused(Reason.UNREADABLE_ROW, "expected an object")
    texts = {key: text_of(value) for key, value in row.items()}
    missing = [key for key in _REQUIRED if not texts.get(key)]
    if missing:
        raise RowRefused(Reason.MISSING_FIELD, f"expected {', '.join(_REQUIRED)}; got no {', '.join(missing)}")
    language = texts.get("q_lang", "")
    if language not in LANGUAGES:
        raise RowRefused(Reason.LABEL_INVALID, f"expected q_lang {' or '.join(LANGUAGES)}, got another")
    folder = place[0].rpartition("/")[0]
    modality, location = texts.get("modality"), texts.get("location")
    return root.sample(
        texts["qid"],
        split=split,
        task=Task.VQA,
        image_uris=[root.inside(f"{folder}/imgs/{texts['img_name']}".removeprefix("/"))],
        figure_id=texts["img_name"].partition("/")[0],
        licence=LICENCE,
        source_file=place[0],
        source_row=place[1],
        **question_columns(
            texts["question"], texts["answer"], declared_type=texts.get("answer_type", ""), language=language
        ),
        **modality_columns(modality_of(modality or ""), Source.METADATA, modality or None),
        **anatomy_columns(anatomy_of(location or ""), Source.METADATA, location or None),
    )
