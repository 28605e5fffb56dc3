"""The subjects, studies and pictures that MIMIC-CXR and CXR-LT share; a stream, the same for both."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ingest.simulate.pictures import Kind, Picture, Shape, Texture

RACES = {"WHITE": 0.66, "BLACK/AFRICAN AMERICAN": 0.18, "HISPANIC/LATINO - PUERTO RICAN": 0.06, "ASIAN": 0.04,
         "UNKNOWN": 0.06}  # fmt: skip
FINDINGS = ("Cardiomegaly", "Pleural Effusion", "Pneumonia", "Support Devices", "No Finding")
_SHARES = {"F": (0.18, 0.2, 0.14, 0.1, 0.38), "M": (0.12, 0.22, 0.12, 0.28, 0.26)}
_LOOKS = {
    "Cardiomegaly": (Kind.DISC, 190.0), "Pleural Effusion": (Kind.SQUARE, 215.0), "Pneumonia": (Kind.STAR, 175.0),
    "Support Devices": (Kind.CROSS, 240.0), "No Finding": (Kind.BAR, 110.0),
}  # fmt: skip
_VIEWS = ("PA", "LATERAL", "AP")
FIRST_YEAR = 2110


@dataclass(frozen=True, kw_only=True)
class Film:
    """One picture: who, when, how, and the one finding of its study. ``number`` counts from 0."""

    number: int
    subject: int
    study: int
    sex: str
    race: str
    age_years: int
    year: int
    view: str
    finding: str
    seed: int

    @property
    def dicom_id(self) -> str:
        digits = hashlib.blake2b(f"{self.seed}/{self.number}".encode(), digest_size=20).hexdigest()
        return "-".join(digits[start : start + 8] for start in range(0, 40, 8))

    @property
    def subject_id(self) -> str:
        return str(10_000_032 + 37 * self.subject)

    @property
    def study_id(self) -> str:
        return str(50_000_014 + 11 * self.study)

    @property
    def folder(self) -> str:
        """Relative to the corpus: files/p10/p10000032/s50000014."""
        return f"files/p{self.subject_id[:2]}/p{self.subject_id}/s{self.study_id}"

    @property
    def mimic_split(self) -> str:
        """By subject: every 40th in test, every 100th in validation."""
        return "test" if self.subject % 40 == 7 else "validate" if self.subject % 100 == 3 else "train"

    @property
    def picture(self) -> Picture:
        kind, value = _LOOKS[self.finding]
        x_px, y_px = 32 + 8 * (self.number % 5), 36 + 6 * (self.number % 7)
        return Picture(Texture.X_RAY, (self.seed, 17, self.number), (70.0,), (Shape(kind, x_px, y_px, 18.0, (value,)),))


def films(num_rows: int, seed: int) -> Iterator[Film]:
    """``num_rows`` pictures, subject by subject, study by study: about 3.4 studies a subject, 1.7 pictures a study."""
    generator = np.random.default_rng((seed, 17))
    number = subject = study = 0
    while number < num_rows:
        sex = "M" if generator.random() < 0.52 else "F"
        race = list(RACES)[int(generator.choice(len(RACES), p=list(RACES.values())))]
        age = int(generator.integers(19, 92))
        for visit in range(int(generator.geometric(0.29))):
            finding = FINDINGS[int(generator.choice(len(FINDINGS), p=_SHARES[sex]))]
            for view in _VIEWS[: 1 + int(generator.random() < 0.7)]:
                if number < num_rows:
                    yield Film(
                        number=number, subject=subject, study=study, sex=sex, race=race, age_years=min(age + visit, 91),
                        year=FIRST_YEAR + subject % 90 + visit, view=view, finding=finding, seed=seed,
                    )  # fmt: skip
                    number += 1
            study += 1
        subject += 1
