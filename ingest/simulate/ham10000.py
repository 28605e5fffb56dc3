"""HAM10000's layout: one table and two folders of pictures, without an ISIC 2018 beside them."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from ingest.anatomy import anatomy_of
from ingest.modality import Modality
from ingest.quarantine import Reason
from ingest.sample import age_band_of
from ingest.simulate.isic2018 import LesionImage, plan_images, write_metadata, write_picture
from ingest.simulate.planted import Plan, Planted

_SEED_OFFSET = 10000  # other lesions than ISIC 2018's
_DEFECTS = (Reason.IMAGE_CORRUPT, Reason.LABEL_INVALID, Reason.IMAGE_ABSENT)


def write(folder: Path, num_rows: int, plan: Plan) -> Planted:
    """Write ``num_rows`` pictures and the table; there is no official split."""
    planted = Planted("ham10000")
    generator = np.random.default_rng((plan.seed, _SEED_OFFSET))
    images = plan_images(num_rows, num_rows, plan.seed + _SEED_OFFSET, generator)
    for number, defect in enumerate(plan.defects(_DEFECTS, num_rows)):
        images[number] = replace(images[number], defect=defect)
    for part in (1, 2):
        (folder / f"HAM10000_images_part_{part}").mkdir(parents=True)
    for image in images:
        if plan.has_picture(image.number):
            part = 1 if image.number < num_rows / 2 else 2
            write_picture(folder / f"HAM10000_images_part_{part}" / f"{image.name}.jpg", image)
        _account(planted, image)
        plan.progress(1)
    write_metadata(folder / "HAM10000_metadata.csv", images)
    return planted


def _account(planted: Planted, image: LesionImage) -> None:
    if image.defect is not None:
        planted.reject(image.name, image.defect)
        return
    planted.count(
        labels=[image.label], modality=Modality.DERMOSCOPY, anatomy=anatomy_of(image.site), sex=image.sex,
        age_band=age_band_of(image.age_years),
    )  # fmt: skip
