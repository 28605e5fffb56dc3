"""VQA-Med 2019's layout: four questions a picture in lines of fields, a category more in the test part."""

import itertools
from contextlib import ExitStack
from pathlib import Path

from ingest.adapters.vqa_med_2019 import PICTURES, TABLES
from ingest.anatomy import Anatomy, anatomy_of
from ingest.modality import Modality
from ingest.quarantine import Reason
from ingest.sample import Split
from ingest.simulate.planted import Plan, Planted
from ingest.simulate.questions import DEFECTS, Question, Topic, Twins, paint, questions_about

_TOPIC = Topic(
    stream=5,
    modalities={
        Modality.COMPUTED_TOMOGRAPHY: 0.4, Modality.MAGNETIC_RESONANCE: 0.3, Modality.X_RAY: 0.25,
        Modality.ULTRASOUND: 0.05,
    },
    regions={"chest": 0.4, "abdomen": 0.3, "spine": 0.3},
    per_figure=(4, 4),
    splits={Split.TRAIN: 0.8, Split.VALIDATION: 0.1, Split.TEST: 0.1},
)  # fmt: skip
_CATEGORIES = ("abnormality", "organ", "plane", "modality")
_FIRST_PICTURE = 20_000


def write(folder: Path, num_rows: int, plan: Plan) -> Planted:
    """Write ``num_rows`` questions and their pictures."""
    planted = Planted("vqa_med_2019")
    twins = Twins(planted)
    for split, table in TABLES.items():
        (folder / table).parent.mkdir(parents=True)
        ((folder / table).parent / PICTURES[split]).mkdir()
    defects = plan.defects(DEFECTS, num_rows)
    with ExitStack() as stack:
        files = {split: stack.enter_context((folder / table).open("w")) for split, table in TABLES.items()}
        questions = questions_about(_TOPIC, num_rows, plan, defects=defects)
        for figure, about_it in itertools.groupby(questions, key=lambda question: question.figure):
            asked = list(about_it)
            image = f"synpic{_FIRST_PICTURE + figure.number}"
            place = (folder / TABLES[asked[0].split]).parent / PICTURES[asked[0].split]
            paint(place / f"{image}.jpg", figure, plan, _TOPIC.stream)
            is_named = any(question.names_modality for question in asked)
            for number, question in enumerate(asked, start=1):
                files[question.split].write(_line_of(question, image))
                twins.note(figure, f"{image}.{number}")
                _account(planted, question, f"{image}.{number}", is_named=is_named)
                plan.progress(1)
    return planted


def _line_of(question: Question, image: str) -> str:
    """Fields between bars; now and then a second answer that would do as well."""
    answer = question.answer.lower()
    if question.figure.number % 40 == 3:
        answer += "#lesion"
    text = "" if question.defect is Reason.MISSING_FIELD else question.text
    category = [_CATEGORIES[question.kind % len(_CATEGORIES)]] if question.split is Split.TEST else []
    return "|".join([image, *category, text, answer]) + "\n"


def _account(planted: Planted, question: Question, native_id: str, *, is_named: bool) -> None:
    """The modality of a picture is what one of the questions about it says."""
    if question.defect is not None:
        planted.reject(native_id, question.defect)
        return
    region = question.figure.region
    planted.count(
        labels=[question.answer.lower()],
        modality=question.figure.modality if is_named else Modality.UNKNOWN,
        anatomy=anatomy_of(region) if region in question.text else Anatomy.UNKNOWN,
    )
