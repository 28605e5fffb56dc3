"""MIMIC-IV's demographics: sex, age and race of the subjects of a chest X-ray corpus.

Layout: hosp/patients.csv[.gz] (subject_id, gender, anchor_age, anchor_year) and hosp/admissions.csv[.gz]
(subject_id, race). Ages above 89 are 91 there and stay 91. Race is per admission: the one most admissions of a
subject name, in its coarse form ("WHITE - RUSSIAN" is white); none where two are named equally often.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ingest.adapters.root import Root
from ingest.errors import BadInput
from ingest.sample import Sex

OLDEST_YEARS = 91
"""What stands for every age above 89."""

_SEX = {"F": Sex.FEMALE, "M": Sex.MALE}
_NOT_SAID = frozenset({"", "UNKNOWN", "UNABLE TO OBTAIN", "PATIENT DECLINED TO ANSWER"})


@dataclass(frozen=True, slots=True)
class Subject:
    """A subject as MIMIC-IV knows it. ``birth_year`` is shifted like all its dates."""

    sex: Sex | None
    birth_year: int | None
    race: str | None


class People:
    """The subjects by id; nobody where ``folder`` is None."""

    def __init__(self, folder: Path | None) -> None:
        self._subjects: dict[str, Subject] = {}
        if folder is not None:
            hospital = Root(folder, "mimic-iv")
            if table_in(folder, "hosp/patients.csv") is None:
                raise BadInput(f"{folder}: expected hosp/patients.csv.gz of MIMIC-IV, got none")
            self._subjects = _subjects(hospital, _races(hospital))

    def person_of(self, subject_id: str, study_date: str) -> dict[str, Any]:
        """Sex, age in years at the study (``study_date``: YYYYMMDD, or "") and race; None what is not known."""
        subject = self._subjects.get(subject_id)
        if subject is None:
            return {"sex": None, "age_years": None, "race": None}
        year = study_date[:4]
        known = subject.birth_year is not None and len(study_date) >= 8 and year.isascii() and year.isdecimal()
        age = int(year) - (subject.birth_year or 0) if known else None
        return {
            "sex": subject.sex,
            "age_years": None if age is None else float(min(age, OLDEST_YEARS) if age >= 0 else age),
            "race": subject.race,
        }


def table_in(folder: Path, name: str) -> Path | None:
    """The table of that name in ``folder``, compressed or not; None where there is neither."""
    return next((path for path in (folder / f"{name}.gz", folder / name) if path.is_file()), None)


def _rows(hospital: Root, name: str, columns: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str] | None]]:
    path = table_in(hospital.path, name)
    return iter(()) if path is None else hospital.csv(str(path.relative_to(hospital.path)), columns=columns)


def _races(hospital: Root) -> dict[str, str]:
    named: dict[str, Counter[str]] = {}
    for _, row in _rows(hospital, "hosp/admissions.csv", ("subject_id", "race")):
        if row is not None and row["race"].strip().upper() not in _NOT_SAID:
            named.setdefault(row["subject_id"], Counter())[row["race"].partition(" - ")[0].strip().lower()] += 1
    races = {}
    for subject_id, counter in named.items():
        (first, most), *rest = counter.most_common(2)
        if not rest or rest[0][1] < most:
            races[subject_id] = first
    return races


def _subjects(hospital: Root, races: dict[str, str]) -> dict[str, Subject]:
    subjects = {}
    columns = ("subject_id", "gender", "anchor_age", "anchor_year")
    for _, row in _rows(hospital, "hosp/patients.csv", columns):
        if row is None:
            continue
        age, year = row["anchor_age"].strip(), row["anchor_year"].strip()
        plain = all(text.isascii() and text.isdecimal() and len(text) < 5 for text in (age, year))
        birth_year = int(year) - int(age) if plain else None
        subject_id = row["subject_id"]
        subjects[subject_id] = Subject(_SEX.get(row["gender"].strip()), birth_year, races.get(subject_id))
    return subjects
