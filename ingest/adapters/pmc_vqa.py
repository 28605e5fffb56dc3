"""PMC-VQA: multiple-choice questions on figures of PubMed Central (Zhang et al. 2023, CC BY-SA 4.0).

Layouts, one of which is read: version 1 {train,test}.csv (226,946 questions on whole figures in images/, Answer is
the text, Answer_label the letter), test_clean.csv standing in where test.csv is absent, of which it is a part;
version 2 {train_2,test_2}.csv (186,033 questions on cut-out panels in figures/, Answer is the letter, with Caption).
Split: the official one. Person: the figure; its id names the article ("PMC1064097_F1", panels go with their figure).
Known defects: letters and blanks before choices, letters in stray quotes or missing, several questions a figure.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

from ingest.adapters.asked import question_columns, text_of
from ingest.adapters.root import Root, RowRefused
from ingest.adapters.rows import csv_has_columns
from ingest.adapters.shown import anatomy_columns, modality_columns
from ingest.anatomy import anatomy_of
from ingest.errors import BadInput
from ingest.modality import Modality, modality_of, modality_taken_for_granted
from ingest.quarantine import Reason
from ingest.sample import Sample, Source, Split, Task

LICENCE = "CC-BY-SA-4.0"
LETTERS = ("A", "B", "C", "D")
CHOICES = tuple(f"Choice {letter}" for letter in LETTERS)
_LETTER_BEFORE = re.compile(r"\s*[A-D]\s*:\s*")
_LETTER = re.compile(r"\W*([A-D])\W*")
_FIGURE = re.compile(r"PMC\d+_[^_.]+")


class Version(IntEnum):
    """Whole figures, or panels cut out of them."""

    FIGURES = 1
    PANELS = 2


_TABLES: dict[Version, dict[Split, tuple[str, ...]]] = {
    Version.FIGURES: {Split.TRAIN: ("train.csv",), Split.TEST: ("test.csv", "test_clean.csv")},
    Version.PANELS: {Split.TRAIN: ("train_2.csv", "train2.csv"), Split.TEST: ("test_2.csv", "test2.csv")},
}
_COLUMNS = {
    Version.FIGURES: ("Figure_path", "Question", "Answer", *CHOICES, "Answer_label"),
    Version.PANELS: ("Figure_path", "Caption", "Question", "Answer", *CHOICES),
}
_FOLDERS = {Version.FIGURES: "images", Version.PANELS: "figures"}


@dataclass(frozen=True)
class Options:
    """``version``: which of the two is read; by default the first where it lies."""

    version: Version | None = None


def recognise(folder: Path, search_root: Path) -> Options | None:
    """A folder with a table of either version; the columns tell it from other data sets' train.csv."""
    for version, tables in _TABLES.items():
        for name in (name for names in tables.values() for name in names):
            if csv_has_columns(folder / name, _COLUMNS[version]):
                return Options()
    return None


def read(root: Root, options: Options) -> Iterator[Sample]:
    """Yield training, then test rows, in file order."""
    found = {version: _tables_in(root, version) for version in Version}
    version = options.version or next((each for each, tables in found.items() if tables), Version.FIGURES)
    if not found[version]:
        expected = _TABLES[version][Split.TRAIN][0]
        raise BadInput(f"{root.path}: expected {expected} or its test part (version {version}), got neither")
    folder = _picture_folder(root, version)
    for split, table in found[version].items():
        for number, (line, row) in enumerate(root.csv(table, columns=_COLUMNS[version]), start=1):
            native_id = f"{Path(table).stem}/{(row or {}).get('index', '').strip() or number}"
            try:
                yield _sample_of(root, row, native_id, version=version, split=split, folder=folder, place=(table, line))
            except RowRefused as refusal:
                root.refuse(native_id, refusal, source_file=table, source_row=line)


def _tables_in(root: Root, version: Version) -> dict[Split, str]:
    """The first table of each split that lies there."""
    firsts = {split: next(filter(root.exists, names), None) for split, names in _TABLES[version].items()}
    return {split: name for split, name in firsts.items() if name is not None}


def _picture_folder(root: Root, version: Version) -> str:
    """The folder of the archive, also where it was unpacked into one of the archive's own name."""
    name = _FOLDERS[version]
    places = (name, f"images_2/{name}", f"images/{name}", "images")
    return next((place for place in places if (root.path / place).is_dir()), name)


def _sample_of(
    root: Root, row: dict[str, str] | None, native_id: str, *, version: Version, split: Split, folder: str,
    place: tuple[str, int],
) -> Sample:  # fmt: skip
    """Raises: RowRefused where the row cannot be a sample."""
    if row is None:
        raise RowRefused(Reason.UNREADABLE_ROW, "expected as many fields as columns, got more or fewer")
    figure, question = row["Figure_path"].strip(), text_of(row["Question"])
    if not figure or not question:
        raise RowRefused(Reason.MISSING_FIELD, "expected Figure_path and Question, got a blank")
    choices = [text_of(_LETTER_BEFORE.sub("", row[name], count=1)) for name in CHOICES]
    answer = _answer_of(row, choices)
    match = _FIGURE.match(figure)
    return root.sample(
        native_id,
        split=split,
        task=Task.VQA,
        image_uris=[root.inside(f"{folder}/{figure}")],
        figure_id=match.group() if match else Path(figure).stem,
        licence=LICENCE,
        source_file=place[0],
        source_row=place[1],
        **question_columns(question, answer, options=choices),
        **_shown(question, text_of(row.get("Caption"))),
    )


def _answer_of(row: dict[str, str], choices: list[str]) -> str:
    """The choice that is right: the one the letter names, else the one that reads like Answer.

    Raises: RowRefused where neither tells, or a choice is blank.
    """
    if not all(choices):
        raise RowRefused(Reason.MISSING_FIELD, "expected four choices, got a blank")
    stated = row["Answer"]
    if match := _LETTER.fullmatch(row.get("Answer_label", stated)):
        return choices[LETTERS.index(match.group(1))]
    text = text_of(_LETTER_BEFORE.sub("", stated, count=1)).casefold()
    same = [choice for choice in choices if choice.casefold() == text]
    if not same:
        raise RowRefused(Reason.LABEL_INVALID, "expected a letter A to D or the text of a choice, got neither")
    return same[0]


def _shown(question: str, caption: str) -> dict[str, Any]:
    """What the caption names first, else what the question takes for granted; never the choices."""
    modality = modality_of(caption) if caption else Modality.UNKNOWN
    if modality is Modality.UNKNOWN:
        modality = modality_taken_for_granted(question)
    anatomy = anatomy_of(f"{question} {caption}")
    return {**modality_columns(modality, Source.RULE), **anatomy_columns(anatomy, Source.RULE)}
