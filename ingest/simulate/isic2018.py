"""ISIC 2018 task 3's layout and HAM10000's metadata: sex is skewed, tied to melanoma and to contrast."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ingest.adapters.isic2018 import CLASSES, GROUPINGS
from ingest.anatomy import anatomy_of
from ingest.modality import Modality
from ingest.quarantine import Reason
from ingest.sample import Split, age_band_of
from ingest.simulate.pictures import Kind, Picture, Shape, Texture, draw, write_broken_jpeg, write_jpeg
from ingest.simulate.planted import Plan, Planted

METADATA = "ham10000/HAM10000_metadata.csv"
"""Where HAM10000's table lies, beside the folder of the pictures."""

FLOOR_TEST_PERSONS = 60
MIN_ROWS_FOR_FLOOR = 240
CONTRAST = {"male": 1.0, "female": 0.55, "unknown": 1.0}
"""Lesions of women are painted this much weaker: a gap can exist, and is planted."""

_TEST_PER_SEX = FLOOR_TEST_PERSONS + 6  # a few may fall to a leakage gate
_SEX_SHARES = {"male": 0.58, "female": 0.38, "unknown": 0.04}
_CLASS_SHARES = {
    "male": (0.26, 0.36, 0.1, 0.07, 0.11, 0.05, 0.05),
    "female": (0.08, 0.5, 0.1, 0.07, 0.11, 0.07, 0.07),
    "unknown": (0.12, 0.48, 0.1, 0.07, 0.11, 0.06, 0.06),
}
_LOOKS: dict[str, tuple[Kind, tuple[float, float, float]]] = {
    "MEL": (Kind.STAR, (45.0, 35.0, 60.0)),
    "NV": (Kind.DISC, (120.0, 70.0, 45.0)),
    "BCC": (Kind.SQUARE, (225.0, 105.0, 125.0)),
    "AKIEC": (Kind.TRIANGLE, (210.0, 60.0, 45.0)),
    "BKL": (Kind.DIAMOND, (165.0, 135.0, 60.0)),
    "DF": (Kind.RING, (140.0, 95.0, 95.0)),
    "VASC": (Kind.CROSS, (130.0, 15.0, 60.0)),
}
_SITES = {
    "back": 0.22, "lower extremity": 0.2, "trunk": 0.14, "upper extremity": 0.11, "abdomen": 0.1, "face": 0.08,
    "chest": 0.05, "foot": 0.03, "scalp": 0.02, "neck": 0.02, "unknown": 0.03,
}  # fmt: skip
_PARTS = {Split.TRAIN: "Training", Split.VALIDATION: "Validation", Split.TEST: "Test"}
_DEFECTS = (Reason.IMAGE_CORRUPT, Reason.LABEL_INVALID, Reason.IMAGE_ABSENT, Reason.DUPLICATED_ID)


@dataclass(frozen=True, kw_only=True)
class LesionImage:
    """A picture of a lesion and its row of metadata; ``age_years`` None is a blank."""

    number: int
    lesion: int
    split: Split
    label: str
    sex: str
    age_years: float | None
    site: str
    picture: Picture
    defect: Reason | None = None

    @property
    def name(self) -> str:
        return f"ISIC_{24306 + self.number:07d}"

    @property
    def lesion_id(self) -> str:
        return f"HAM_{self.lesion:07d}"


def write(folder: Path, num_rows: int, plan: Plan) -> Planted:
    """Write ``num_rows`` pictures with their classes, and beside ``folder`` the metadata of all of them (METADATA)."""
    planted = Planted("isic2018")
    images = _plan(num_rows, plan, planted)
    for part in _PARTS.values():
        (folder / f"ISIC2018_Task3_{part}_Input").mkdir(parents=True)
    for image in images:
        if plan.has_picture(image.number):
            write_picture(folder / f"ISIC2018_Task3_{_PARTS[image.split]}_Input" / f"{image.name}.jpg", image)
        _account(planted, image)
        plan.progress(1)
    _write_tables(folder, folder.parent / METADATA, images)
    planted.notes |= _notes(images, num_rows)
    return planted


def _plan(num_rows: int, plan: Plan, planted: Planted) -> list[LesionImage]:
    """All pictures, defects and duplicates in place. A defective one stands only in training."""
    generator = np.random.default_rng((plan.seed, 3))
    defects = plan.defects(_DEFECTS, num_rows)
    num_images = num_rows - defects.count(Reason.DUPLICATED_ID)
    images = plan_images(num_images, num_rows, plan.seed, generator)
    in_train = [index for index, image in enumerate(images) if image.split is Split.TRAIN]
    chosen = generator.permutation(in_train).tolist()
    for defect in defects:
        index = chosen.pop()
        images[index] = replace(images[index], defect=defect)
    in_test = [index for index, image in enumerate(images) if image.split is Split.TEST]
    others = generator.permutation(in_test).tolist()
    for _ in range(min(plan.num_duplicates(num_rows), len(in_test))):
        first, second = images[chosen.pop()], others.pop()
        images[second] = replace(images[second], label=first.label, picture=first.picture)
        planted.duplicate(first.name, images[second].name)
    return images


def plan_images(num_images: int, num_rows: int, seed: int, generator: np.random.Generator) -> list[LesionImage]:
    """Test and validation lesions have one picture each; lesions in training have up to three."""
    floor = 2 * _TEST_PER_SEX + 4 if num_rows >= MIN_ROWS_FOR_FLOOR else 0
    num_test, num_validation = max(floor, round(0.2 * num_images)), max(1, round(0.08 * num_images))
    sexes = ["female", "male"] * (_TEST_PER_SEX if floor else 1)
    images: list[LesionImage] = []
    lesion = 0
    while len(images) < num_images:
        lesion += 1
        position = len(images)
        split = Split.TEST if position < num_test else Split.TRAIN
        if num_test <= position < num_test + num_validation:
            split = Split.VALIDATION
        sex = sexes[position] if position < len(sexes) else _choose(_SEX_SHARES, generator)
        num_views = 1 if split is not Split.TRAIN else int(generator.choice(3, p=[0.65, 0.25, 0.1])) + 1
        first = _plan_image(position, lesion, split, sex, seed, generator)
        images += [first] + [
            replace(
                first,
                number=position + view,
                picture=_paint(position + view, first.label, sex, seed, generator),
            )
            for view in range(1, min(num_views, num_images - position))
        ]
    return images


def _choose(shares: dict[str, float], generator: np.random.Generator) -> str:
    return list(shares)[int(generator.choice(len(shares), p=list(shares.values())))]


def _plan_image(
    number: int, lesion: int, split: Split, sex: str, seed: int, generator: np.random.Generator
) -> LesionImage:
    label = _choose(dict(zip(CLASSES, _CLASS_SHARES[sex], strict=True)), generator)
    mean_years = {"MEL": 62, "BCC": 66, "AKIEC": 67, "BKL": 63}.get(label, 46)
    age = 5.0 * round(float(np.clip(generator.normal(mean_years, 16), 0, 85)) / 5)
    return LesionImage(
        number=number, lesion=lesion, split=split, label=label, sex=sex, site=_choose(_SITES, generator),
        age_years=None if generator.random() < 0.03 else age,
        picture=_paint(number, label, sex, seed, generator),
    )  # fmt: skip


def _paint(number: int, label: str, sex: str, seed: int, generator: np.random.Generator) -> Picture:
    """The lesion on skin of varying tone; its colour fades towards the skin by the contrast of the sex."""
    skin_3 = np.array([222.0, 180.0, 155.0]) + generator.uniform(-14, 14)
    kind, colour = _LOOKS[label]
    value_3 = skin_3 + CONTRAST[sex] * (np.array(colour) - skin_3)
    x_px, y_px = (48 + generator.uniform(-14, 14, 2)).tolist()
    shape = Shape(kind, x_px, y_px, float(generator.uniform(18, 28)), tuple(value_3.tolist()))
    return Picture(Texture.SKIN, (seed, 13, number), tuple(skin_3.tolist()), (shape,))


def write_picture(path: Path, image: LesionImage) -> None:
    """The picture, unless its defect is to be absent; cut off half-way where that is its defect."""
    if image.defect is Reason.IMAGE_ABSENT:
        return
    write = write_broken_jpeg if image.defect is Reason.IMAGE_CORRUPT else write_jpeg
    write(path, draw(image.picture))


def _write_tables(folder: Path, metadata: Path, images: Sequence[LesionImage]) -> None:
    for split, part in _PARTS.items():
        name = f"ISIC2018_Task3_{part}_GroundTruth"
        mine = [image for image in images if image.split is split]
        rows = [row for image in mine for row in _truth_rows(image)]
        write_csv(folder / name / f"{name}.csv", ("image", *CLASSES), rows)
    training = [image for image in images if image.split is Split.TRAIN]
    groups = [(image.name, image.lesion_id, "histopathology") for image in training]
    write_csv(folder / f"{GROUPINGS}.csv", ("image", "lesion_id", "diagnosis_confirm_type"), groups)
    write_metadata(metadata, images)


def write_metadata(path: Path, images: Sequence[LesionImage]) -> None:
    """HAM10000's table; a row whose class is to be refused names none of the seven."""
    header = ("lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization")
    patients = [
        (image.lesion_id, image.name, "?" if image.defect is Reason.LABEL_INVALID else image.label.lower(), "histo",
         "" if image.age_years is None else image.age_years, image.sex, image.site)
        for image in sorted(images, key=lambda each: (each.label, each.number))
    ]  # fmt: skip
    write_csv(path, header, patients)


def _truth_rows(image: LesionImage) -> list[tuple[Any, ...]]:
    ones = [float(name == image.label or image.defect is Reason.LABEL_INVALID) for name in CLASSES]
    return [(image.name, *ones)] * (2 if image.defect is Reason.DUPLICATED_ID else 1)


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A table as published: comma separated, one header line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def _account(planted: Planted, image: LesionImage) -> None:
    if image.defect is not None:
        planted.reject(image.name, image.defect)
    if image.defect in (None, Reason.DUPLICATED_ID):
        planted.count(
            labels=[image.label], modality=Modality.DERMOSCOPY, anatomy=anatomy_of(image.site), sex=image.sex,
            age_band=age_band_of(image.age_years),
        )  # fmt: skip


def _notes(images: Sequence[LesionImage], num_rows: int) -> dict[str, Any]:
    """The planted association and contrast, and whether the test side is large enough to compare the sexes."""
    melanoma = {
        sex: float(np.mean([float(image.label == "MEL") for image in images if image.sex == sex] or [0.0]))
        for sex in ("female", "male")
    }
    in_test = [image for image in images if image.split is Split.TEST]
    persons = {sex: len({i.lesion for i in in_test if i.sex == sex}) for sex in ("female", "male")}
    return {
        "association": {"attributes": ["sex", "label"], "level": "MEL", "share_by_sex": melanoma},
        "contrast_by_sex": CONTRAST,
        "test_persons_by_sex": persons,
        "floor_test_persons": FLOOR_TEST_PERSONS,
        "floor_met": min(persons.values()) >= FLOOR_TEST_PERSONS,
        "floor_promised": num_rows >= MIN_ROWS_FOR_FLOOR,
    }
