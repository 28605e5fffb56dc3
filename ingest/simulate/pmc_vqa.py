"""PMC-VQA's first version: four choices with their letters, in a CSV file per split."""

import csv
from pathlib import Path

from ingest.adapters.pmc_vqa import CHOICES, LETTERS
from ingest.anatomy import Anatomy, anatomy_of
from ingest.modality import Modality
from ingest.quarantine import Reason
from ingest.sample import Split
from ingest.simulate.planted import Plan, Planted
from ingest.simulate.questions import DEFECTS, Question, Topic, Twins, paint, questions_about

_TOPIC = Topic(
    stream=2,
    modalities={
        Modality.COMPUTED_TOMOGRAPHY: 0.35, Modality.MAGNETIC_RESONANCE: 0.25, Modality.X_RAY: 0.2,
        Modality.MICROSCOPY: 0.1, Modality.ULTRASOUND: 0.1,
    },
    regions={"chest": 0.4, "abdomen": 0.3, "brain": 0.2, "specimen": 0.1},
    per_figure=(1, 2),
    splits={Split.TRAIN: 0.78, Split.TEST: 0.22},
)  # fmt: skip
_HEADER = ("Figure_path", "Question", "Answer", *CHOICES, "Answer_label")
_FIGURES_PER_ARTICLE = 3
_FIRST_ARTICLE = 1_064_097


def write(folder: Path, num_rows: int, plan: Plan) -> Planted:
    """Write ``num_rows`` questions on whole figures and their pictures."""
    planted = Planted("pmc_vqa")
    (folder / "images").mkdir(parents=True)
    twins = Twins(planted)
    defects = plan.defects((Reason.LABEL_INVALID, *DEFECTS), num_rows)
    numbers = dict.fromkeys(_TOPIC.splits, 0)
    with (
        (folder / "train.csv").open("w", newline="", encoding="utf-8") as train,
        (folder / "test.csv").open("w", newline="", encoding="utf-8") as test,
    ):
        writers = {Split.TRAIN: csv.writer(train), Split.TEST: csv.writer(test)}
        for writer in writers.values():
            writer.writerow(_HEADER)
        for question in questions_about(_TOPIC, num_rows, plan, defects=defects):
            numbers[question.split] += 1
            native_id = f"{question.split}/{numbers[question.split]}"
            writers[question.split].writerow(_row_of(question))
            paint(folder / "images" / _name_of(question.figure.number), question.figure, plan, _TOPIC.stream)
            twins.note(question.figure, native_id)
            _account(planted, question, native_id)
            plan.progress(1)
    return planted


def _name_of(number: int) -> str:
    article, figure = divmod(number, _FIGURES_PER_ARTICLE)
    return f"PMC{_FIRST_ARTICLE + article}_F{figure + 1}.jpg"


def _row_of(question: Question) -> list[str]:
    """Letters before the choices, with and without blanks; now and then quotes around the letter, or none of it."""
    number = question.figure.number
    place = number % len(LETTERS)
    others = [option for option in question.options if option != question.answer]
    options = [*others[:place], question.answer, *others[place:]]
    shape = "{}:{}" if number % 3 else " {}: {} "
    choices = [shape.format(letter, option) for letter, option in zip(LETTERS, options, strict=True)]
    label = LETTERS[place]
    if number % 50 == 1:
        label = f"'{label}'" if number % 100 == 1 else ""
    answer = question.answer
    if question.defect is Reason.LABEL_INVALID:
        label, answer = "?", "none of these"
    text = "" if question.defect is Reason.MISSING_FIELD else question.text
    return [_name_of(number), f" {text}" if number % 5 == 0 else text, answer, *choices, label]


def _account(planted: Planted, question: Question, native_id: str) -> None:
    if question.defect is not None:
        planted.reject(native_id, question.defect)
        return
    modality = question.figure.modality if question.names_modality else Modality.UNKNOWN
    region = question.figure.region
    anatomy = anatomy_of(region) if region in question.text else Anatomy.UNKNOWN
    planted.count(labels=[question.answer], modality=modality, anatomy=anatomy)
