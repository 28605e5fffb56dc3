"""CXR-LT 2024's layout: labels on MIMIC-CXR's pictures, three tasks, a split of its own.

One subject in fifty stands in MIMIC-CXR's training and in CXR-LT's test: such leaks are planted and listed.
"""

import contextlib
import csv
from pathlib import Path
from typing import Any

from ingest.anatomy import Anatomy
from ingest.modality import Modality
from ingest.quarantine import Reason
from ingest.simulate.mimic_cxr import write_film
from ingest.simulate.mimic_subjects import Film, films
from ingest.simulate.planted import Plan, Planted

CLASSES_TASK2 = (
    "Atelectasis", "Calcification of the Aorta", "Cardiomegaly", "Consolidation", "Edema", "Emphysema",
    "Enlarged Cardiomediastinum", "Fibrosis", "Fracture", "Hernia", "Infiltration", "Lung Lesion", "Lung Opacity",
    "Mass", "Normal", "Nodule", "Pleural Effusion", "Pleural Other", "Pleural Thickening", "Pneumomediastinum",
    "Pneumonia", "Pneumoperitoneum", "Pneumothorax", "Subcutaneous Emphysema", "Support Devices", "Tortuous Aorta",
)  # fmt: skip
CLASSES_TASK3 = ("Bulla", "Cardiomyopathy", "Hilum", "Osteopenia", "Scoliosis")
CLASSES_TASK1 = tuple(
    sorted(
        {*CLASSES_TASK2, "Adenopathy", "Azygos Lobe", "Clavicle Fracture", "Fissure", "Granuloma", "Hydropneumothorax",
         "Infarction", "Kyphosis", "Lobar Atelectasis", "Pulmonary Embolism", "Pulmonary Hypertension", "Rib Fracture",
         "Round(ed) Atelectasis", "Tuberculosis"}
    )
)  # fmt: skip
_CLASSES = {1: CLASSES_TASK1, 2: CLASSES_TASK2, 3: CLASSES_TASK3}
_IDS = ("dicom_id", "subject_id", "study_id", "ViewPosition", "ViewCodeSequence_CodeMeaning", "fpath")
_PART = {"train": "train_labeled", "validate": "development_labeled_task{}", "test": "test_labeled_task{}"}
_DEFECTS = (Reason.LABEL_INVALID, Reason.MISSING_FIELD)


def write(folder: Path, num_rows: int, plan: Plan) -> Planted:
    """Write ``num_rows`` rows; the pictures are MIMIC-CXR's where the plan has them, else this folder's own."""
    planted = Planted("cxr_lt_2024")
    folder.mkdir(parents=True)
    defects = dict(enumerate(plan.defects(_DEFECTS, num_rows)))
    num_shared = plan.num_rows_of.get("mimic_cxr", 0)
    with contextlib.ExitStack() as stack:
        writers = _open_tables(folder, stack)
        written = 0
        for film in films(num_rows, plan.seed):
            split = _split_of(film)
            tasks = (1,) if split == "train" else (1, 2, 3)
            for task in tasks[: num_rows - written]:
                defect = defects.get(written) if split == "train" else None
                writers[_PART[split].format(task)].writerow(_row(film, task, defect))
                _account(planted, film, task, defect)
                written += 1
                plan.progress(1)
            if not num_shared and plan.has_picture(film.number):
                write_film(folder, film, None)
            if film.number < num_shared and split == "test" and film.mimic_split == "train":
                planted.leak("same_patient", film.dicom_id, other_dataset="mimic_cxr", test_id=f"task1/{film.dicom_id}")
            if written == num_rows:
                break
    return planted


def _split_of(film: Film) -> str:
    """MIMIC-CXR's split, but for one subject in fifty."""
    return "test" if film.subject % 50 == 11 else film.mimic_split


def _open_tables(folder: Path, stack: contextlib.ExitStack) -> dict[str, Any]:
    writers = {}
    for split, pattern in _PART.items():
        for task, classes in _CLASSES.items():
            name = pattern.format(task)
            if name in writers or (split == "train" and task != 1):
                continue
            file = stack.enter_context((folder / f"{name}.csv").open("w", newline="", encoding="utf-8"))
            writers[name] = csv.writer(file, lineterminator="\n")
            writers[name].writerow((*_IDS, *classes))
    return writers


def _labels(film: Film, task: int) -> list[str]:
    finding = "Normal" if film.finding == "No Finding" else film.finding
    rare = CLASSES_TASK3[film.study % 50 % 5] if film.study % 50 < 5 else ""
    return [name for name in _CLASSES[task] if name in (finding, rare)]


def _row(film: Film, task: int, defect: Reason | None) -> list[Any]:
    subject_id = "" if defect is Reason.MISSING_FIELD else film.subject_id
    labels = _labels(film, task)
    values = [2 if defect is Reason.LABEL_INVALID else int(name in labels) for name in _CLASSES[task]]
    view = "postero-anterior" if film.view == "PA" else "lateral"
    return [film.dicom_id, subject_id, film.study_id, film.view, view, f"{film.folder}/{film.dicom_id}.jpg", *values]


def _account(planted: Planted, film: Film, task: int, defect: Reason | None) -> None:
    if defect is not None:
        planted.reject(f"task{task}/{film.dicom_id}", defect)
        return
    planted.count(labels=_labels(film, task), modality=Modality.X_RAY, anatomy=Anatomy.CHEST)
