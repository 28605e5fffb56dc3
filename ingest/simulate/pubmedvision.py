"""PubMedVision's layout: two files about the same figures, several pictures a row, a model's noisy classes."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ingest.adapters.pubmedvision import ALIGNMENT, BODY_PARTS, INSTRUCTION, MODALITIES
from ingest.anatomy import Anatomy
from ingest.modality import Modality
from ingest.quarantine import Reason
from ingest.sample import Split
from ingest.simulate.planted import Plan, Planted
from ingest.simulate.questions import DEFECTS, Question, Topic, ask, paint, questions_about

_CLASS_OF = {modality: name for name, modality in MODALITIES.items()}
_PART_OF = {anatomy: name for name, anatomy in BODY_PARTS.items()}
_REGIONS = {
    "chest": Anatomy.CHEST, "abdomen": Anatomy.ABDOMEN, "brain": Anatomy.BRAIN, "eye": Anatomy.EYE,
    "foot": Anatomy.FOOT, "specimen": Anatomy.OTHER,
}  # fmt: skip
_TOPIC = Topic(
    stream=1,
    modalities={
        Modality.COMPUTED_TOMOGRAPHY: 0.3, Modality.MICROSCOPY: 0.28, Modality.MAGNETIC_RESONANCE: 0.17,
        Modality.X_RAY: 0.09, Modality.DIGITAL_PHOTOGRAPHY: 0.08, Modality.ULTRASOUND: 0.05, Modality.ENDOSCOPY: 0.03,
    },
    regions={"chest": 0.25, "abdomen": 0.25, "brain": 0.18, "eye": 0.1, "foot": 0.07, "specimen": 0.15},
    per_figure=(1, 1),
    splits={Split.TRAIN: 1.0},
)  # fmt: skip
_NUM_PICTURES = (1, 1, 1, 2, 1, 1, 4, 1, 1, 2)
_PICTURES_OF_THE_LARGEST = 29
_PREFIXES = ("", "Teacher: ", " ", "Senior Doctor: ", "", "Student:\u00a0", "", "")
_FREE_WORDS = "Bone scintigraphy"
_FREE_EVERY = 11_500  # 56 of 646,759 rows name a modality that is not in the list


def write(folder: Path, num_rows: int, plan: Plan) -> Planted:
    """Write ``num_rows`` rows, half of them in each file; a picture's defect takes the figure's row in both."""
    planted = Planted("pubmedvision")
    (folder / "images").mkdir(parents=True)
    defects = plan.defects((Reason.DUPLICATED_ID, *DEFECTS), num_rows // 2)
    num_instruction = (num_rows - defects.count(Reason.DUPLICATED_ID)) // 2
    num_alignment = num_rows - defects.count(Reason.DUPLICATED_ID) - num_instruction
    for table, num_figures in ((ALIGNMENT, num_alignment), (INSTRUCTION, num_instruction)):
        with (folder / table).open("w", encoding="utf-8") as file:
            file.write("[\n")
            figures = questions_about(_TOPIC, num_alignment, plan, defects=defects)
            for number, row in enumerate(_rows_of(table, figures, num_figures, planted)):
                file.write((",\n" if number else "") + json.dumps(row, ensure_ascii=False))
                plan.progress(1)
            file.write("\n]\n")
    for question in questions_about(_TOPIC, num_alignment, plan, defects=defects):
        if plan.has_picture(question.figure.number):
            for view, name in enumerate(_pictures_of(question.figure.number)):
                paint(folder / name, question.figure, plan, _TOPIC.stream, view=view)
    return planted


def _rows_of(table: str, questions: Iterator[Question], num_figures: int, planted: Planted) -> Iterator[dict[str, Any]]:
    """The rows of one file; what is wrong with a row alone is wrong in the alignment file only."""
    for question in questions:
        figure = question.figure
        if figure.number >= num_figures:
            return
        asked, defect = question, figure.defect
        if table == INSTRUCTION:
            asked = ask(figure, Split.TRAIN, question.kind + 1, names_modality=True)
            defect = None if defect in (Reason.DUPLICATED_ID, Reason.MISSING_FIELD) else defect
        row = _row_of(table, asked, is_blank=defect is Reason.MISSING_FIELD)
        if defect is not None:
            planted.reject(row["id"], defect)
        if defect in (None, Reason.DUPLICATED_ID):
            planted.count(labels=[asked.answer], modality=_modality_of(asked), anatomy=_REGIONS[figure.region])
        yield from [row] * (2 if defect is Reason.DUPLICATED_ID else 1)


def _row_of(table: str, question: Question, *, is_blank: bool) -> dict[str, Any]:
    """The release's five keys; n counts from 1 and is the same in both files."""
    figure = question.figure
    prefix = _PREFIXES[figure.number % len(_PREFIXES)]
    return {
        "image": _pictures_of(figure.number),
        "conversations": [
            {"from": "human", "value": "" if is_blank else prefix + question.text},
            {"from": "gpt", "value": question.answer},
        ],
        "id": f"{'Alignment_VQA' if table == ALIGNMENT else 'Instruction-Tuning'}_{figure.number + 1}",
        "modality": _class_of(figure.number, figure.modality),
        "body_part": _PART_OF[_REGIONS[figure.region]],
    }


def _pictures_of(number: int) -> list[str]:
    """Mostly one, sometimes a few, and one row with as many as the release's largest."""
    num_pictures = _PICTURES_OF_THE_LARGEST if number == 7 else _NUM_PICTURES[number % len(_NUM_PICTURES)]
    return [f"images/pmc_{number + 1}_{view}.jpg" for view in range(num_pictures)]


def _class_of(number: int, modality: Modality) -> str:
    """The model's word: it has none for X-rays, and now and then takes one of its own."""
    if number % _FREE_EVERY == _FREE_EVERY - 1:
        return _FREE_WORDS
    return _CLASS_OF.get(modality, "Others")


def _modality_of(question: Question) -> Modality:
    """What can be known of the row: an X-ray only where the question says so."""
    figure = question.figure
    if figure.number % _FREE_EVERY == _FREE_EVERY - 1:
        return Modality.SCINTIGRAPHY
    if figure.modality in _CLASS_OF or question.names_modality:
        return figure.modality
    return Modality.OTHER
