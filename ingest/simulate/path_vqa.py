"""PathVQA's layout: the authors' pickles, a list of plain objects per split."""

import pickle
from pathlib import Path
from typing import Any

from ingest.adapters.path_vqa import PART_OF_SPLIT, table_of
from ingest.anatomy import Anatomy
from ingest.modality import Modality
from ingest.quarantine import Reason
from ingest.sample import Split
from ingest.simulate.planted import Plan, Planted
from ingest.simulate.questions import DEFECTS, Topic, Twins, paint, questions_about

_TOPIC = Topic(
    stream=3,
    modalities={Modality.MICROSCOPY: 1.0},
    regions={"specimen": 0.6, "liver": 0.2, "kidney": 0.2},
    per_figure=(3, 5),
    splits={Split.TRAIN: 0.6, Split.VALIDATION: 0.19, Split.TEST: 0.21},
)
_PROTOCOL = 2  # the release's pickles are of Python 2 and 3


def write(folder: Path, num_rows: int, plan: Plan) -> Planted:
    """Write ``num_rows`` questions and their pictures. A pickle is one list: 33,000 rows are held at once."""
    planted = Planted("path_vqa")
    twins = Twins(planted)
    rows: dict[Split, list[dict[str, Any]]] = {split: [] for split in PART_OF_SPLIT}
    for part in PART_OF_SPLIT.values():
        (folder / "images" / part).mkdir(parents=True)
    for question in questions_about(_TOPIC, num_rows, plan, defects=plan.defects(DEFECTS, num_rows)):
        part, figure = PART_OF_SPLIT[question.split], question.figure
        image = f"{part}_{figure.number:04d}"
        is_blank = question.defect is Reason.MISSING_FIELD
        answer = question.answer.lower() if figure.number % 2 else question.answer
        rows[question.split].append({"image": image, "question": "" if is_blank else question.text, "answer": answer})
        native_id = f"{part}/{len(rows[question.split])}"
        paint(folder / "images" / part / f"{image}.jpg", figure, plan, _TOPIC.stream)
        twins.note(figure, native_id)
        if question.defect is not None:
            planted.reject(native_id, question.defect)
        else:
            planted.count(labels=[answer], modality=Modality.MICROSCOPY, anatomy=Anatomy.UNKNOWN)
        plan.progress(1)
    for split, table in ((split, table_of(split)) for split in PART_OF_SPLIT):
        (folder / table).parent.mkdir(parents=True)
        (folder / table).write_bytes(pickle.dumps(rows[split], protocol=_PROTOCOL))
    return planted
