"""ISIC 2019's layout: eight classes, other words for sites, blanks, a test side without labels."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ingest.adapters.isic2019 import CLASSES
from ingest.adapters.skin_lesions import person_of
from ingest.modality import Modality
from ingest.quarantine import Reason
from ingest.sample import Split, age_band_of
from ingest.simulate.isic2018 import LesionImage, plan_images, write_csv, write_picture
from ingest.simulate.planted import Plan, Planted

_SEED_OFFSET = 2019  # other lesions than ISIC 2018's
_SITE = {
    "back": "posterior torso", "trunk": "anterior torso", "abdomen": "anterior torso", "chest": "anterior torso",
    "face": "head/neck", "scalp": "head/neck", "neck": "head/neck", "foot": "palms/soles", "unknown": "",
}  # fmt: skip
_LABEL = {"AKIEC": "AK"}
_DEFECTS = (Reason.IMAGE_CORRUPT, Reason.LABEL_INVALID, Reason.IMAGE_ABSENT)


def write(folder: Path, num_rows: int, plan: Plan) -> Planted:
    """Write ``num_rows`` pictures: training with classes and metadata, test with metadata alone."""
    planted = Planted("isic2019")
    generator = np.random.default_rng((plan.seed, _SEED_OFFSET))
    images = plan_images(num_rows, num_rows, plan.seed + _SEED_OFFSET, generator)
    training = [image for image in images if image.split is not Split.TEST]
    test = [image for image in images if image.split is Split.TEST]
    defects = dict(enumerate(plan.defects(_DEFECTS, num_rows)))
    for part, rows in (("Training", training), ("Test", test)):
        (folder / f"ISIC_2019_{part}_Input").mkdir(parents=True)
        for number, image in enumerate(rows):
            if plan.has_picture(image.number):
                defect = defects.get(number) if part == "Training" else None
                path = folder / f"ISIC_2019_{part}_Input" / f"{_name(image)}.jpg"
                write_picture(path, image if defect is None else _damaged(image, defect))
            plan.progress(1)
    _write_tables(folder, training, test, defects)
    for number, image in enumerate(training):
        _account(planted, image, defects.get(number))
    for image in test:
        _account(planted, image, None)
    return planted


def _name(image: LesionImage) -> str:
    return f"ISIC_9{image.number:06d}" + ("_downsampled" if image.number % 12 == 0 else "")


def _damaged(image: LesionImage, defect: Reason) -> LesionImage:
    return replace(image, defect=defect)


def _write_tables(
    folder: Path, training: list[LesionImage], test: list[LesionImage], defects: dict[int, Reason]
) -> None:
    truth = folder / "ISIC_2019_Training_GroundTruth.csv"
    write_csv(truth, ("image", *CLASSES), _truth_rows(training, defects))
    columns = ("image", "age_approx", "anatom_site_general", "lesion_id", "sex")
    write_csv(folder / "ISIC_2019_Training_Metadata.csv", columns, (list(_row(i).values()) for i in training))
    rows = ([value for key, value in _row(i).items() if key != "lesion_id"] for i in test)
    write_csv(folder / "ISIC_2019_Test_Metadata.csv", [name for name in columns if name != "lesion_id"], rows)


def _truth_rows(training: list[LesionImage], defects: dict[int, Reason]) -> Iterator[tuple[Any, ...]]:
    for number, image in enumerate(training):
        label = _LABEL.get(image.label, image.label)
        both = defects.get(number) is Reason.LABEL_INVALID
        yield (_name(image), *(float(name == label or both) for name in CLASSES))


def _row(image: LesionImage) -> dict[str, Any]:
    """A row of metadata: what is unknown is blank, as published."""
    return {
        "image": _name(image),
        "age_approx": "" if image.age_years is None else int(image.age_years),
        "anatom_site_general": _SITE.get(image.site, image.site),
        "lesion_id": f"BCN_{image.lesion:07d}",
        "sex": "" if image.sex == "unknown" else image.sex,
    }


def _account(planted: Planted, image: LesionImage, defect: Reason | None) -> None:
    if defect is not None:
        planted.reject(_name(image), defect)
        return
    row = {key: str(value) for key, value in _row(image).items()}
    person = person_of(row, age="age_approx", site="anatom_site_general")
    planted.count(
        labels=[] if image.split is Split.TEST else [_LABEL.get(image.label, image.label)],
        modality=Modality.DERMOSCOPY, anatomy=person["anatomy"], sex=person["sex"],
        age_band=age_band_of(image.age_years),
    )  # fmt: skip
