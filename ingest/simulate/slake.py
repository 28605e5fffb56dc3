"""SLAKE's layout: arrays in one line, English and Chinese questions, keys in three orders."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ingest.adapters.slake import TABLES
from ingest.anatomy import Anatomy
from ingest.modality import Modality
from ingest.quarantine import Reason
from ingest.sample import Split
from ingest.simulate.planted import Plan, Planted
from ingest.simulate.questions import DEFECTS, Question, Topic, Twins, paint, questions_about

_WORDS = {Modality.COMPUTED_TOMOGRAPHY: "CT", Modality.X_RAY: "X-Ray", Modality.MAGNETIC_RESONANCE: "MRI"}
_LOCATIONS = {
    "chest": ("Lung", Anatomy.CHEST), "abdomen": ("Abdomen", Anatomy.ABDOMEN),
    "brain": ("Brain_Tissue", Anatomy.BRAIN), "pelvis": ("Pelvic Cavity", Anatomy.PELVIS),
}  # fmt: skip
_TOPIC = Topic(
    stream=4,
    modalities={Modality.COMPUTED_TOMOGRAPHY: 0.4, Modality.X_RAY: 0.35, Modality.MAGNETIC_RESONANCE: 0.25},
    regions={"chest": 0.4, "abdomen": 0.3, "brain": 0.2, "pelvis": 0.1},
    per_figure=(3, 5),
    splits={Split.TRAIN: 0.7, Split.VALIDATION: 0.15, Split.TEST: 0.15},
)
_ORDERS = {Split.TRAIN: 0, Split.VALIDATION: 3, Split.TEST: 7}
_IN_CHINESE = {"question": "这是什么?", "answer": "异常", "q_lang": "zh", "answer_type": "OPEN"}


def write(folder: Path, num_rows: int, plan: Plan) -> Planted:
    """Write ``num_rows`` English questions, as many Chinese ones beside them (not counted), and the pictures."""
    planted = Planted("slake")
    twins = Twins(planted)
    base = folder / "Slake1.0"
    (base / "imgs").mkdir(parents=True)
    defects = plan.defects((Reason.DUPLICATED_ID, *DEFECTS), num_rows)
    asked = num_rows - defects.count(Reason.DUPLICATED_ID)
    with ExitStack() as stack:
        files = {
            split: stack.enter_context((base / name).open("w", encoding="utf-8")) for split, name in TABLES.items()
        }
        separators = dict.fromkeys(TABLES, "[")
        for number, question in enumerate(questions_about(_TOPIC, asked, plan, defects=defects)):
            for row in _rows_of(question, qid=2 * number):
                files[question.split].write(separators[question.split] + json.dumps(row, ensure_ascii=False))
                separators[question.split] = ", "
            if plan.has_picture(question.figure.number):
                picture = base / "imgs" / f"xmlab{question.figure.number}" / "source.jpg"
                picture.parent.mkdir(exist_ok=True)
                paint(picture, question.figure, plan, _TOPIC.stream)
            twins.note(question.figure, str(2 * number))
            _account(planted, question, native_id=str(2 * number))
            plan.progress(2 if question.defect is Reason.DUPLICATED_ID else 1)
        for split, file in files.items():
            file.write("]" if separators[split] != "[" else "[]")
    return planted


def _rows_of(question: Question, *, qid: int) -> Iterator[dict[str, Any]]:
    """The English row, twice where its id is to be taken, and the Chinese one about the same picture."""
    location, _ = _LOCATIONS[question.figure.region]
    name = f"xmlab{question.figure.number}"
    row = {
        "img_id": question.figure.number, "img_name": f"{name}/source.jpg", "question": question.text,
        "answer": "" if question.defect is Reason.MISSING_FIELD else question.answer, "q_lang": "en",
        "location": location, "modality": _WORDS[question.figure.modality],
        "answer_type": "CLOSED" if question.answer in ("Yes", "No") else "OPEN", "base_type": "vqa",
        "content_type": "Abnormality", "triple": ["vhead", "_", "_"], "qid": qid,
    }  # fmt: skip
    keys = list(row)
    start = _ORDERS[question.split]
    ordered = {key: row[key] for key in (*keys[start:], *keys[:start])}
    yield from [ordered] * (2 if question.defect is Reason.DUPLICATED_ID else 1)
    yield ordered | _IN_CHINESE | {"qid": qid + 1}


def _account(planted: Planted, question: Question, native_id: str) -> None:
    if question.defect is not None:
        planted.reject(native_id, question.defect)
    if question.defect in (None, Reason.DUPLICATED_ID):
        _, anatomy = _LOCATIONS[question.figure.region]
        planted.count(labels=[question.answer], modality=question.figure.modality, anatomy=anatomy)
