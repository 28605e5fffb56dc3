"""VQA-RAD: 3,515 questions on 315 radiology pictures (Lau et al. 2018, CC0-1.0).

Layouts: the original, "VQA_RAD Dataset Public.json" (one array, 14 keys, absent values are the text "NULL")
and "VQA_RAD Image Folder/"; or a Parquet distribution, data/{train,test}-*.parquet with columns
image{bytes}, question, answer (2,244 rows without the template questions). One of them is read, never both.
Split: test where phrase_type starts "test_"; 203 pictures stand on both sides.
Known defects: answers that are numbers, blanks around and TABs inside texts, 'CLOSED ' with a blank.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from ingest.adapters.asked import question_columns
from ingest.adapters.parquet_pairs import pairs_of, parts_under
from ingest.adapters.root import Root, RowRefused
from ingest.adapters.shown import anatomy_columns, modality_columns, vote_modalities
from ingest.anatomy import anatomy_of
from ingest.modality import Modality
from ingest.quarantine import Reason
from ingest.sample import Sample, Source, Split, Task

LICENCE = "CC0-1.0"
TABLE = "VQA_RAD Dataset Public.json"
IMAGES = "VQA_RAD Image Folder"
_REQUIRED = ("qid", "image_name", "question", "answer")
_SPLITS = (Split.TRAIN, Split.TEST)


class Layout(StrEnum):
    JSON = "json"
    PARQUET = "parquet"


@dataclass(frozen=True)
class Options:
    """``layout``: which distribution is read; by default the JSON where it lies, else the Parquet files."""

    layout: Layout | None = None


def recognise(folder: Path, search_root: Path) -> Options | None:
    """A folder with the public JSON file, or with Parquet files of pairs that have no validation part."""
    if (folder / TABLE).is_file():
        return Options()
    parts = parts_under(folder)
    return Options() if Split.TRAIN in parts and Split.VALIDATION not in parts else None


def read(root: Root, options: Options) -> Iterator[Sample]:
    """Yield the questions in file order."""
    layout = options.layout or (Layout.JSON if root.exists(TABLE) else Layout.PARQUET)
    if layout == Layout.PARQUET:
        yield from pairs_of(root, _SPLITS, licence=LICENCE)
        return
    texts = [(number, clean_row(row) if isinstance(row, dict) else None) for number, row in root.json_rows(TABLE)]
    questions = ((row.get("image_name", ""), row.get("question", "")) for _, row in texts if row is not None)
    modality_of_image = vote_modalities(questions)
    for number, row in texts:
        try:
            yield _question_of(root, row, number, modality_of_image)
        except RowRefused as refusal:
            native_id = (row or {}).get("qid", f"row {number}")
            root.refuse(native_id, refusal, source_file=TABLE, source_row=number)


def clean_row(row: dict[str, Any]) -> dict[str, str]:
    """The values that are there, as texts without outer blanks and with single spaces inside."""
    texts = {key: " ".join(str(value).split()) for key, value in row.items() if value is not None}
    return {key: text for key, text in texts.items() if text and text != "NULL"}


def _question_of(root: Root, row: dict[str, str] | None, number: int, modality_of_image: dict[str, Modality]) -> Sample:
    """Raises: RowRefused where the row cannot be a sample."""
    if row is None:
        raise RowRefused(Reason.UNREADABLE_ROW, "expected an object")
    missing = [key for key in _REQUIRED if key not in row]
    if missing:
        raise RowRefused(Reason.MISSING_FIELD, f"expected {', '.join(_REQUIRED)}; got no {', '.join(missing)}")
    is_test = row.get("phrase_type", "").lower().startswith("test_")
    return root.sample(
        row["qid"],
        task=Task.VQA,
        split=Split.TEST if is_test else Split.TRAIN,
        image_uris=[root.inside(f"{IMAGES}/{row['image_name']}")],
        figure_id=row["image_name"],
        study_id=row.get("image_case_url"),
        licence=LICENCE,
        source_file=TABLE,
        source_row=number,
        **question_columns(row["question"], row["answer"], declared_type=row.get("answer_type", "")),
        **modality_columns(modality_of_image.get(row["image_name"], Modality.UNKNOWN), Source.RULE),
        **anatomy_columns(anatomy_of(row.get("image_organ", "")), Source.METADATA, row.get("image_organ")),
    )
