"""What the ISIC family shares: one class in a row of zeros, and who the lesion is of."""

from collections.abc import Mapping, Sequence
from typing import Any

from ingest.adapters.root import Root, RowRefused
from ingest.anatomy import Anatomy, anatomy_of
from ingest.modality import Modality
from ingest.quarantine import Reason
from ingest.sample import Sample, Sex, Source, Task

LICENCE = "CC-BY-NC-4.0"
_SITES = {"palms/soles": Anatomy.ACRAL, "posterior torso": Anatomy.BACK}
"""Sites of ISIC 2019 whose words alone mislead."""


def image_of(row: Mapping[str, str] | None, column: str) -> str:
    """The picture's name. Raises: RowRefused when the row is ragged or nameless."""
    if row is None:
        raise RowRefused(Reason.UNREADABLE_ROW, "expected as many fields as columns, got more or fewer")
    image = row[column].strip()
    if not image:
        raise RowRefused(Reason.MISSING_FIELD, "expected an image name, got a blank")
    return image


def class_of(row: Mapping[str, str], classes: Sequence[str]) -> str:
    """The one class set to 1. Raises: RowRefused when the row is not one-hot."""
    try:
        values = [float(row[name]) for name in classes]
    except ValueError as error:
        raise RowRefused(Reason.LABEL_INVALID, "expected numbers 0 or 1, got text or a blank") from error
    if sorted(values) != [0.0] * (len(classes) - 1) + [1.0]:
        raise RowRefused(Reason.LABEL_INVALID, f"expected one 1 and else 0, got {values}")
    return classes[values.index(1.0)]


def person_of(row: Mapping[str, str], *, age: str, site: str) -> dict[str, Any]:
    """Lesion, sex, age and site; ``age`` and ``site`` name the columns, which may be absent like all others.

    Raises: RowRefused for a sex outside the vocabulary or an age that is no number.
    """
    years, sex = row.get(age, "").strip(), row.get("sex", "").strip().lower()
    place, lesion = row.get(site, "").strip(), row.get("lesion_id", "").strip()
    anatomy = _SITES.get(place.lower()) or anatomy_of(place)
    if sex and sex not in set(Sex):
        raise RowRefused(Reason.LABEL_INVALID, f"expected sex {', '.join(Sex)} or a blank, got another word")
    if years and not years.replace(".", "", 1).isdecimal():
        raise RowRefused(Reason.LABEL_INVALID, "expected age in years or a blank, got no number")
    return {
        **({"study_id": lesion} if lesion else {}),
        "sex": Sex(sex) if sex else None,
        "age_years": float(years) if years else None,
        "anatomy": anatomy,
        "anatomy_source": None if anatomy is Anatomy.UNKNOWN else Source.METADATA,
        "anatomy_raw": place or None,
    }


def lesion_sample(
    root: Root, image: str, uri: str, place: tuple[str, int], *, label: str | None, label_space: str,
    person: Mapping[str, Any], split: str | None,
) -> Sample:  # fmt: skip
    """The record of one dermoscopy; without a label it is counted, never trained.

    Raises: RowRefused when ``uri`` leads out of the root.
    """
    return root.sample(
        image, split=split, task=Task.CLASSIFICATION if label else Task.UNLABELLED, label_space=label_space,
        labels=[label] if label else None, image_uris=[root.inside(uri)], figure_id=image.removesuffix("_downsampled"),
        modality=Modality.DERMOSCOPY, modality_source=Source.CURATED, licence=LICENCE, source_file=place[0],
        source_row=place[1], **person,
    )  # fmt: skip
