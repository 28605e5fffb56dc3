"""MIMIC-CXR-JPG: 377,110 chest X-rays of 227,835 studies, 65,379 subjects (Johnson et al. 2019; credentialed).

Layout: mimic-cxr-2.0.0-{metadata,split,chexpert}.csv[.gz] and files/p10/p10000032/s50414267/<dicom_id>.jpg.
Reports (MIMIC-CXR): beside the pictures, or mimic-cxr-reports.zip. Sex, age, race: MIMIC-IV (mimic-iv/hosp/).
Split: the official one ("validate" is validation). Labels: CheXpert's positives, per study; a study it did not
label has none. Known defects: 8 studies without labels, blank views, race absent without an admission.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ingest.adapters.mimic_people import People, table_in
from ingest.adapters.mimic_reports import Reports, section_of
from ingest.adapters.root import Root, RowRefused
from ingest.anatomy import Anatomy
from ingest.errors import BadInput
from ingest.modality import Modality
from ingest.quarantine import Reason
from ingest.sample import Sample, Source, Split, Task

LICENCE = "PhysioNet-Credentialed-1.5.0"
LABEL_SPACE = "chexpert"
QUESTION = "What does the report on this chest X-ray say?"
CLASSES = (
    "Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Enlarged Cardiomediastinum", "Fracture", "Lung Lesion",
    "Lung Opacity", "No Finding", "Pleural Effusion", "Pleural Other", "Pneumonia", "Pneumothorax", "Support Devices",
)  # fmt: skip
_PREFIX = "mimic-cxr-2.0.0"
_SPLITS = {"train": Split.TRAIN, "validate": Split.VALIDATION, "test": Split.TEST}
_PROTOCOL = {
    "PerformedProcedureStepDescription": "procedure",
    "PatientOrientationCodeSequence_CodeMeaning": "position",
}


@dataclass(frozen=True)
class Options:
    """``reports``: a folder that holds files/, or the archive; default: the root. ``mimic_iv``: MIMIC-IV's folder."""

    reports: Path | None = None
    mimic_iv: Path | None = None


def recognise(folder: Path, search_root: Path) -> Options | None:
    """A folder with the table of metadata; MIMIC-IV is looked for in it and beside it."""
    if table_in(folder, f"{_PREFIX}-metadata.csv") is None:
        return None
    places = [folder / "mimic-iv", folder.parent / "mimic-iv", *sorted(folder.parent.glob("mimic-iv-*"))]
    return Options(mimic_iv=next((place for place in places if table_in(place, "hosp/patients.csv")), None))


def read(root: Root, options: Options) -> Iterator[Sample]:
    """Yield the pictures in the order of the metadata."""
    people = People(options.mimic_iv)
    reports = Reports(options.reports or root.path)
    labels = _labels(root)
    splits = {row["dicom_id"]: row["split"] for _, row in _table(root, "split", ("dicom_id", "split")) if row}
    columns = ("dicom_id", "subject_id", "study_id", "ViewPosition", "Rows", "Columns", "StudyDate")
    name = _required(root, "metadata")
    answers: dict[str, Any] = {}
    for line, row in root.csv(name, columns=columns):
        try:
            ids = _ids_of(row)
            if ids[2] not in answers:
                answers = {ids[2]: _text_of(reports, *ids[1:])}  # the pictures of a study stand together
            split = splits.get(ids[0])
            if split is not None and split not in _SPLITS:
                raise RowRefused(Reason.LABEL_INVALID, f"expected split {', '.join(_SPLITS)}, got another word")
            person = people.person_of(ids[1], (row or {})["StudyDate"])
            yield _picture_of(
                root, row or {}, ids, (name, line), split=_SPLITS[split] if split else None,
                labels=labels.get(ids[2]), text=answers[ids[2]], person=person,
            )  # fmt: skip
        except RowRefused as refusal:
            native_id = (row or {}).get("dicom_id") or f"line {line}"
            root.refuse(native_id, refusal, source_file=name, source_row=line)


def _required(root: Root, part: str) -> str:
    path = table_in(root.path, f"{_PREFIX}-{part}.csv")
    if path is None:
        raise BadInput(f"{root.path}: expected {_PREFIX}-{part}.csv.gz, got none")
    return path.name


def _table(root: Root, part: str, columns: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str] | None]]:
    return root.csv(_required(root, part), columns=columns)


def _labels(root: Root) -> dict[str, list[str]]:
    """CheXpert's positives of each study it labelled; empty where it found none."""
    if table_in(root.path, f"{_PREFIX}-chexpert.csv") is None:
        return {}
    known: dict[tuple[str, ...], list[str]] = {}  # a few thousand sets serve all studies
    labels: dict[str, list[str]] = {}
    for _, row in _table(root, "chexpert", ("study_id", *CLASSES)):
        if row is not None:
            positive = tuple(name for name in CLASSES if row[name] in ("1.0", "1"))
            labels[row["study_id"]] = known.setdefault(positive, list(positive))
    return labels


def _ids_of(row: dict[str, str] | None) -> tuple[str, str, str]:
    """(dicom_id, subject_id, study_id). Raises: RowRefused when the row is ragged or one is not what it must be."""
    if row is None:
        raise RowRefused(Reason.UNREADABLE_ROW, "expected as many fields as columns, got more or fewer")
    dicom_id, subject_id, study_id = row["dicom_id"], row["subject_id"], row["study_id"]
    if not (dicom_id.replace("-", "").isalnum() and subject_id.isdecimal() and study_id.isdecimal()):
        raise RowRefused(Reason.MISSING_FIELD, "expected dicom_id, subject_id and study_id, got a blank or other text")
    return dicom_id, subject_id, study_id


def _text_of(reports: Reports, subject_id: str, study_id: str) -> tuple[str, str] | None:
    report = reports.read(subject_id, study_id)
    return section_of(report) if report else None


def _picture_of(
    root: Root, row: dict[str, str], ids: tuple[str, str, str], place: tuple[str, int], *, split: Split | None,
    labels: list[str] | None, text: tuple[str, str] | None, person: dict[str, Any],
) -> Sample:  # fmt: skip
    """A report to learn where there is one, else classes, else a picture that is counted."""
    dicom_id, subject_id, study_id = ids
    protocol = {name: row[column] for column, name in _PROTOCOL.items() if row.get(column)}
    if text is not None:
        protocol["report_section"] = text[0]
    task = Task.REPORT if text else Task.UNLABELLED if labels is None else Task.CLASSIFICATION
    return root.sample(
        dicom_id, split=split, task=task, licence=LICENCE, source_file=place[0], source_row=place[1],
        image_uris=[root.inside(f"files/p{subject_id[:2]}/p{subject_id}/s{study_id}/{dicom_id}.jpg")],
        patient_id=root.pseudonym(subject_id), study_id=study_id, figure_id=dicom_id, view=row["ViewPosition"] or None,
        modality=Modality.X_RAY, modality_source=Source.CURATED, anatomy=Anatomy.CHEST, anatomy_source=Source.CURATED,
        question=QUESTION if text else None, answer=text[1] if text else None, language="en" if text else None,
        labels=labels, label_space=LABEL_SPACE if labels is not None else None, protocol=protocol or None, **person,
    )  # fmt: skip
