"""VQA-RAD: 3,515 questions on 315 radiology pictures (Lau et al. 2018, CC0-1.0).

Layout: "VQA_RAD Dataset Public.json" (one array, 14 keys, absent values are the text "NULL") and
"VQA_RAD Image Folder/". Split: test where phrase_type starts "test_"; 203 pictures stand on both sides.
Known defects: answers that are numbers, blanks around and TABs inside texts, 'CLOSED ' with a blank.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ingest.adapters.root import Root
from ingest.anatomy import Anatomy, anatomy_of
from ingest.errors import BadInput
from ingest.modality import Modality, modalities_in
from ingest.quarantine import Reason
from ingest.sample import AnswerType, Sample, Source, Split, Task

LICENCE = "CC0-1.0"
TABLE = "VQA_RAD Dataset Public.json"
IMAGES = "VQA_RAD Image Folder"
_REQUIRED = ("qid", "image_name", "question", "answer")
_YES_NO = ("yes", "no")
_ASKS_FOR_KIND = re.compile(
    r"(?:is|was|are|were) (?:this|that|it|these|the (?:image|picture|scan|study|film))(?: image| picture| scan)?"
    r" (?:an?|taken|obtained|acquired|made|done|performed|from|via|by)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Options:
    """None: the layout has no variants."""


def recognise(folder: Path, search_root: Path) -> Options | None:
    """A folder with the public JSON file."""
    return Options() if (folder / TABLE).is_file() else None


def read(root: Root, options: Options) -> Iterator[Sample]:
    """Yield the questions in file order."""
    rows = root.json(TABLE)
    if not isinstance(rows, list):
        raise BadInput(f"{root.path / TABLE}: expected an array of questions, got {type(rows).__name__}")
    texts = [clean_row(row) if isinstance(row, dict) else None for row in rows]
    modality_of_image = vote_modalities(row for row in texts if row is not None)
    for number, row in enumerate(texts, start=1):
        sample = _question_of(root, row, number, modality_of_image)
        if sample is not None:
            yield sample


def clean_row(row: dict[str, Any]) -> dict[str, str]:
    """The values that are there, as texts without outer blanks and with single spaces inside."""
    texts = {key: " ".join(str(value).split()) for key, value in row.items() if value is not None}
    return {key: text for key, text in texts.items() if text and text != "NULL"}


def vote_modalities(rows: Iterator[dict[str, str]]) -> dict[str, Modality]:
    """The modality most questions on a picture take for granted; pictures with a tie are left out.

    Answers never vote (they are truth), nor do questions that ask for the modality ("is this an MRI?") or
    name two.
    """
    votes: defaultdict[str, Counter[Modality]] = defaultdict(Counter)
    for row in rows:
        question = row.get("question", "")
        named = () if _ASKS_FOR_KIND.match(question) else modalities_in(question)
        if len(named) == 1:
            votes[row.get("image_name", "")][named[0]] += 1
    winners: dict[str, Modality] = {}
    for image, counter in votes.items():
        (first, num_first), *rest = counter.most_common(2)
        if not rest or rest[0][1] < num_first:
            winners[image] = first
    return winners


def _question_of(
    root: Root, row: dict[str, str] | None, number: int, modality_of_image: dict[str, Modality]
) -> Sample | None:
    place: dict[str, Any] = {"source_file": TABLE, "source_row": number}
    if row is None:
        root.reject(f"row {number}", **place, reason=Reason.UNREADABLE_ROW, detail="expected an object")
        return None
    native_id = row.get("qid", f"row {number}")
    missing = [key for key in _REQUIRED if key not in row]
    if missing:
        detail = f"expected {', '.join(_REQUIRED)}; got no {', '.join(missing)}"
        root.reject(native_id, **place, reason=Reason.MISSING_FIELD, detail=detail)
        return None
    sample = root.sample(
        native_id, **place, **_text_of(row), **_picture_of(row, modality_of_image), task=Task.VQA, licence=LICENCE,
        split=Split.TEST if row.get("phrase_type", "").lower().startswith("test_") else Split.TRAIN,
    )  # fmt: skip
    try:
        root.resolve(sample.image_uris[0])
    except ValueError as error:
        root.reject(native_id, **place, reason=Reason.OUTSIDE_ROOT, detail=str(error), sample=sample)
        return None
    return sample


def _text_of(row: dict[str, str]) -> dict[str, Any]:
    """Question and answer; closed questions answered yes or no offer just these two."""
    answer_type = row.get("answer_type", "").lower()
    closed = answer_type == AnswerType.CLOSED
    return {
        "question": row["question"],
        "answer": row["answer"],
        "answer_type": AnswerType(answer_type) if answer_type in set(AnswerType) else None,
        "options": list(_YES_NO) if closed and row["answer"].lower() in _YES_NO else None,
        "language": "en",
    }


def _picture_of(row: dict[str, str], modality_of_image: dict[str, Modality]) -> dict[str, Any]:
    """The picture, what it shows and whose it is."""
    modality = modality_of_image.get(row["image_name"], Modality.UNKNOWN)
    organ = row.get("image_organ")
    anatomy = anatomy_of(organ or "")
    return {
        "image_uris": [f"{IMAGES}/{row['image_name']}"],
        "figure_id": row["image_name"],
        "study_id": row.get("image_case_url"),
        "modality": modality,
        "modality_source": None if modality is Modality.UNKNOWN else Source.RULE,
        "anatomy": anatomy,
        "anatomy_source": None if anatomy is Anatomy.UNKNOWN else Source.METADATA,
        "anatomy_raw": organ,
    }
