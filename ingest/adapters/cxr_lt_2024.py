"""CXR-LT 2024: 45 findings, long-tailed, on MIMIC-CXR-JPG's pictures (Holste et al. 2024; PhysioNet credentialed).

Layout: train_labeled.csv (40 classes), development_labeled_task{1,2,3}.csv and test_labeled_task{1,2,3}.csv (40,
26 and 5 classes), with dicom_id, subject_id, study_id, ViewPosition and fpath ("files/p10/...", below ``images``).
Split: the official one (development is validation); it is not MIMIC-CXR's: the same picture may stand on another
side there, and the labels come from MIMIC's reports. Tasks: one label space each; no positive class is a finding
too (labels are empty). Known defects: "Normal" is CXR-LT 2023's "No Finding"; 2023 names the path "path".
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ingest.adapters.folders import folders_under
from ingest.adapters.mimic_people import People, table_in
from ingest.adapters.root import Root, RowRefused
from ingest.anatomy import Anatomy
from ingest.errors import BadInput
from ingest.modality import Modality
from ingest.quarantine import Reason
from ingest.sample import Sample, Source, Split, Task

LICENCE = "PhysioNet-Credentialed-1.5.0"
TASKS = (1, 2, 3)
_IDS = ("dicom_id", "subject_id", "study_id", "ViewPosition")
_NOT_CLASSES = frozenset({*_IDS, "ViewCodeSequence_CodeMeaning", "fpath", "path", "split"})
_METADATA = "mimic-cxr-2.0.0-metadata.csv"


@dataclass(frozen=True)
class Options:
    """``images``: MIMIC-CXR-JPG's folder, which holds files/; default: the root. ``mimic_iv``: for sex, age, race."""

    images: Path | None = None
    mimic_iv: Path | None = None


def recognise(folder: Path, search_root: Path) -> Options | None:
    """A folder with one of the tables; the pictures are looked for under ``search_root``."""
    if not any((folder / name).is_file() for name, _, _ in _tables()):
        return None
    places = list(folders_under(search_root))
    images = next((place for place in places if (place / "files").is_dir() or table_in(place, _METADATA)), None)
    people = next((place for place in places if table_in(place, "hosp/patients.csv")), None)
    return Options(images=images, mimic_iv=people)


def _tables() -> list[tuple[str, int, Split]]:
    """(File, task, split) of every table."""
    later = [
        (f"{part}_labeled_task{task}.csv", task, split)
        for part, split in (("development", Split.VALIDATION), ("test", Split.TEST))
        for task in TASKS
    ]
    return [("train_labeled.csv", 1, Split.TRAIN), *later]


def read(root: Root, options: Options) -> Iterator[Sample]:
    """Yield training rows, then development rows, then test rows, task by task."""
    tables = [each for each in _tables() if root.exists(each[0])]
    if not tables:
        raise BadInput(f"{root.path}: expected train_labeled.csv or another table of CXR-LT 2024, got none")
    people = People(options.mimic_iv)
    dates = _study_dates(options.images) if options.mimic_iv else {}
    for name, task, split in tables:
        classes: tuple[str, ...] | None = None
        for line, row in root.csv(name, columns=_IDS):
            if classes is None and row is not None:
                classes = tuple(column for column in row if column not in _NOT_CLASSES)
            try:
                labels = _labels_of(row, classes or ())
                person = people.person_of((row or {})["subject_id"], dates.get((row or {})["study_id"], ""))
                yield _picture_of(root, row or {}, (name, line), task=task, split=split, labels=labels, person=person)
            except RowRefused as refusal:
                native_id = f"task{task}/{(row or {}).get('dicom_id') or f'line {line}'}"
                root.refuse(native_id, refusal, source_file=name, source_row=line)


def _study_dates(images: Path | None) -> dict[str, str]:
    """YYYYMMDD of each study in MIMIC-CXR-JPG's metadata, where that lies."""
    table = table_in(images, _METADATA) if images else None
    if table is None:
        return {}
    rows = Root(table.parent, "mimic_cxr").csv(table.name, columns=("study_id", "StudyDate"))
    return {row["study_id"]: row["StudyDate"] for _, row in rows if row}


def _labels_of(row: dict[str, str] | None, classes: tuple[str, ...]) -> list[str]:
    """The classes set to 1, of which there may be none. Raises: RowRefused when the row is ragged or not 0 and 1."""
    if row is None:
        raise RowRefused(Reason.UNREADABLE_ROW, "expected as many fields as columns, got more or fewer")
    if not (row["dicom_id"] and row["subject_id"].isdecimal() and row["study_id"].isdecimal()):
        raise RowRefused(Reason.MISSING_FIELD, "expected dicom_id, subject_id and study_id, got a blank or other text")
    values = [row[name] for name in classes]
    if not set(values) <= {"0", "1", "0.0", "1.0"}:
        raise RowRefused(Reason.LABEL_INVALID, "expected 0 or 1 for every class, got another value")
    return [name for name, value in zip(classes, values, strict=True) if value in ("1", "1.0")]


def _picture_of(
    root: Root, row: dict[str, str], place: tuple[str, int], *, task: int, split: Split, labels: list[str],
    person: dict[str, Any],
) -> Sample:  # fmt: skip
    dicom_id, subject_id, study_id = row["dicom_id"], row["subject_id"], row["study_id"]
    usual = f"files/p{subject_id[:2]}/p{subject_id}/s{study_id}/{dicom_id}.jpg"
    uri = root.pictures.inside(row.get("fpath") or row.get("path") or usual)
    return root.sample(
        f"task{task}/{dicom_id}", split=split, task=Task.CLASSIFICATION, licence=LICENCE, source_file=place[0],
        source_row=place[1], image_uris=[uri], patient_id=root.pseudonym(subject_id), study_id=study_id,
        figure_id=dicom_id, view=row["ViewPosition"] or None, modality=Modality.X_RAY, modality_source=Source.CURATED,
        anatomy=Anatomy.CHEST, anatomy_source=Source.CURATED, labels=labels, label_space=f"cxr_lt_2024_task{task}",
        **person,
    )  # fmt: skip
