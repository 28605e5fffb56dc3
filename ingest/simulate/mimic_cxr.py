"""MIMIC-CXR-JPG's layout with the reports' archive and MIMIC-IV's two tables; support devices are tied to men."""

import contextlib
import csv
import gzip
import io
import itertools
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ingest.adapters.mimic_cxr import CLASSES
from ingest.adapters.mimic_people import OLDEST_YEARS
from ingest.adapters.mimic_reports import ARCHIVE
from ingest.anatomy import Anatomy
from ingest.modality import Modality
from ingest.quarantine import Reason
from ingest.sample import age_band_of
from ingest.simulate.mimic_subjects import Film, films
from ingest.simulate.pictures import draw, write_broken_jpeg, write_jpeg
from ingest.simulate.planted import Plan, Planted

_DEFECTS = (Reason.MISSING_FIELD, Reason.LABEL_INVALID, Reason.IMAGE_CORRUPT, Reason.IMAGE_ABSENT)
_ADMISSION = ("subject_id", "hadm_id", "admittime", "race")
_PATIENT = ("subject_id", "gender", "anchor_age", "anchor_year", "anchor_year_group", "dod")
_METADATA = (
    "dicom_id", "subject_id", "study_id", "PerformedProcedureStepDescription", "ViewPosition", "Rows", "Columns",
    "StudyDate", "StudyTime", "ProcedureCodeSequence_CodeMeaning", "ViewCodeSequence_CodeMeaning",
    "PatientOrientationCodeSequence_CodeMeaning",
)  # fmt: skip
_HEADERS: dict[str, tuple[str, ...]] = {
    "mimic-cxr-2.0.0-metadata": _METADATA,
    "mimic-cxr-2.0.0-split": ("dicom_id", "study_id", "subject_id", "split"),
    "mimic-cxr-2.0.0-chexpert": ("subject_id", "study_id", *CLASSES),
    "mimic-iv/hosp/patients": _PATIENT,
    "mimic-iv/hosp/admissions": _ADMISSION,
}


class _Tables:
    """The open tables and the archive of reports; rows go in as they come."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        self._writers = {
            name: _open_table(folder / f"{name}.csv.gz", header, stack) for name, header in _HEADERS.items()
        }
        self._archive = stack.enter_context(zipfile.ZipFile(folder / ARCHIVE, "w"))

    def row(self, name: str, *values: Any) -> None:
        self._writers[name].writerow(values)

    def report(self, film: Film, text: str) -> None:
        self._archive.writestr(zipfile.ZipInfo(f"{film.folder}.txt"), text)


def write(folder: Path, num_rows: int, plan: Plan) -> Planted:
    """Write ``num_rows`` pictures of subjects in order, and every table they stand in."""
    planted = Planted("mimic_cxr")
    defects = dict(enumerate(plan.defects(_DEFECTS, num_rows)))
    folder.mkdir(parents=True)
    with contextlib.ExitStack() as stack:
        tables = _Tables(folder, stack)
        for _, studies in itertools.groupby(films(num_rows, plan.seed), key=lambda film: film.subject):
            for number, (_, study) in enumerate(itertools.groupby(studies, key=lambda film: film.study)):
                pictures = list(study)
                if number == 0:
                    _write_subject(tables, pictures[0])
                _write_study(tables, pictures[0])
                for film in pictures:
                    defect = defects.get(film.number)
                    _write_rows(tables, film, defect)
                    if plan.has_picture(film.number):
                        write_film(folder, film, defect)
                    _account(planted, film, defect)
                    plan.progress(1)
    return planted


def write_film(folder: Path, film: Film, defect: Reason | None) -> None:
    """The JPEG of a film under ``folder``, as far as its defect lets it be."""
    if defect is Reason.IMAGE_ABSENT:
        return
    path = folder / film.folder / f"{film.dicom_id}.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    (write_broken_jpeg if defect is Reason.IMAGE_CORRUPT else write_jpeg)(path, draw(film.picture))


def _open_table(path: Path, header: tuple[str, ...], stack: contextlib.ExitStack) -> Any:
    path.parent.mkdir(parents=True, exist_ok=True)
    packed = stack.enter_context(gzip.GzipFile(path, "wb", compresslevel=1, mtime=0))  # no time: same bytes
    writer = csv.writer(
        stack.enter_context(io.TextIOWrapper(packed, encoding="utf-8", newline="")), lineterminator="\n"
    )
    writer.writerow(header)
    return writer


def _write_subject(tables: _Tables, film: Film) -> None:
    group = "2014 - 2016"
    tables.row("mimic-iv/hosp/patients", film.subject_id, film.sex, film.age_years, film.year, group, "")
    if film.subject % 9:  # some subjects of the X-rays were never admitted
        tables.row(
            "mimic-iv/hosp/admissions", film.subject_id, 20_000_000 + film.subject, f"{film.year}-01-01", film.race
        )


def _write_study(tables: _Tables, film: Film) -> None:
    values = ["1.0" if name == film.finding else "0.0" if name == "Pneumothorax" else "" for name in CLASSES]
    tables.row("mimic-cxr-2.0.0-chexpert", film.subject_id, film.study_id, *values)
    tables.report(film, "\n".join(_report_lines(film)))


def _report_lines(film: Film) -> Iterator[str]:
    """Sections and marks as the publisher leaves them; one in six reports has no impression."""
    name = film.finding.lower()
    said = "No acute cardiopulmonary process." if film.finding == "No Finding" else f"There is {name}."
    yield "                                 FINAL REPORT"
    yield " EXAMINATION:  CHEST (PA AND LAT)\n"
    yield " INDICATION:  ___ year old with cough, seen by Dr. ___.\n"
    yield f" FINDINGS:  \n \n {said} Compared with ___.\n"
    if film.study % 6:
        yield f" IMPRESSION:  \n \n {said}"


def _write_rows(tables: _Tables, film: Film, defect: Reason | None) -> None:
    study_id = "" if defect is Reason.MISSING_FIELD else film.study_id
    view = "postero-anterior" if film.view == "PA" else "lateral"
    tables.row(
        "mimic-cxr-2.0.0-metadata", film.dicom_id, film.subject_id, study_id, "CHEST (PA AND LAT)", film.view, 96, 96,
        f"{film.year}0214", "93015.25", "CHEST (PA AND LAT)", view, "Erect" if film.number % 3 else "",
    )  # fmt: skip
    split = "valid" if defect is Reason.LABEL_INVALID else film.mimic_split
    tables.row("mimic-cxr-2.0.0-split", film.dicom_id, film.study_id, film.subject_id, split)


def _account(planted: Planted, film: Film, defect: Reason | None) -> None:
    if defect is not None:
        planted.reject(film.dicom_id, defect)
        return
    planted.count(
        labels=[film.finding], modality=Modality.X_RAY, anatomy=Anatomy.CHEST,
        sex="female" if film.sex == "F" else "male", age_band=age_band_of(min(film.age_years, OLDEST_YEARS)),
    )  # fmt: skip
