"""Kvasir-VQA's layout: one CSV file of questions, and the pictures it names."""

import csv
import itertools
from pathlib import Path

from ingest.adapters.kvasir_vqa import COLUMNS, TABLE
from ingest.anatomy import Anatomy
from ingest.modality import Modality
from ingest.quarantine import Reason
from ingest.sample import Split
from ingest.simulate.planted import Plan, Planted
from ingest.simulate.questions import DEFECTS, Topic, paint, questions_about

_TOPIC = Topic(
    stream=6,
    modalities={Modality.ENDOSCOPY: 1.0},
    regions={"colon": 0.6, "stomach": 0.4},
    per_figure=(4, 5),
    splits={Split.TRAIN: 1.0},  # none is published: one table
)
_SOURCES = ("HyperKvasir", "Kvasir-Instrument")


def write(folder: Path, num_rows: int, plan: Plan) -> Planted:
    """Write ``num_rows`` questions and their pictures."""
    planted = Planted("kvasir_vqa")
    (folder / "images").mkdir(parents=True)
    questions = questions_about(_TOPIC, num_rows, plan, defects=plan.defects(DEFECTS, num_rows))
    with (folder / TABLE).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for figure, asked in itertools.groupby(questions, key=lambda question: question.figure):
            image = f"cl{figure.number:08x}"
            paint(folder / "images" / f"{image}.jpg", figure, plan, _TOPIC.stream)
            for number, question in enumerate(asked, start=1):
                text = "" if question.defect is Reason.MISSING_FIELD else question.text
                writer.writerow((_SOURCES[figure.number % 2], text, question.answer, image))
                if question.defect is not None:
                    planted.reject(f"{image}.{number}", question.defect)
                else:
                    planted.count(
                        labels=[question.answer], modality=Modality.ENDOSCOPY, anatomy=Anatomy.GASTROINTESTINAL
                    )
                plan.progress(1)
    return planted
