"""ISIC 2018 task 3: 11,720 dermoscopies in seven classes (Codella et al. 2019, Tschandl et al. 2018, CC BY-NC 4.0).

Layout: ISIC2018_Task3_{Training,Validation,Test}_GroundTruth.csv (in the root or in a folder of that name),
ISIC2018_Task3_{...}_Input/<image>.jpg, and, optional, the training lesion groupings. Sex, age and site stand
in HAM10000_metadata.csv, which belongs to the training pictures. Split: the official one.
Known defects: columns in another order in circulating copies; age 0.0 is real, a blank is missing.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ingest.adapters.folders import folders_under
from ingest.adapters.root import Root, RowRefused
from ingest.adapters.rows import read_csv
from ingest.adapters.skin_lesions import LICENCE, class_of, image_of, lesion_sample, person_of
from ingest.errors import BadInput
from ingest.sample import Sample, Split

__all__ = ["LICENCE", "Options", "read", "recognise"]

LABEL_SPACE = "isic2018_task3"
CLASSES = ("MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC")
METADATA = "HAM10000_metadata.csv"
GROUPINGS = "ISIC2018_Task3_Training_LesionGroupings"
_PART_OF_SPLIT = {Split.TRAIN: "Training", Split.VALIDATION: "Validation", Split.TEST: "Test"}
_METADATA_COLUMNS = ("lesion_id", "image_id", "age", "sex", "localization")


@dataclass(frozen=True)
class Options:
    """``metadata``: HAM10000_metadata.csv, joined on image_id."""

    metadata: Path | None = None


def recognise(folder: Path, search_root: Path) -> Options | None:
    """A folder with a ground truth; the metadata may lie anywhere under ``search_root``, nearest first."""
    if not any(_table_in(folder, _truth_name(part)) for part in _PART_OF_SPLIT.values()):
        return None
    places = (place / METADATA for start in (folder, search_root) for place in folders_under(start))
    return Options(metadata=next((path for path in places if path.is_file()), None))


def read(root: Root, options: Options) -> Iterator[Sample]:
    """Yield training, validation and test rows, each in file order."""
    patients = _by_image(options.metadata)
    lesions = _lesion_groupings(root)
    tables = {split: _table_in(root.path, _truth_name(part)) for split, part in _PART_OF_SPLIT.items()}
    if not any(tables.values()):
        raise BadInput(f"{root.path}: expected {_truth_name('Training')}.csv or another ground truth, got none")
    for split, table in tables.items():
        if table is None:
            continue
        for line, row in root.csv(table, columns=("image", *CLASSES)):
            sample = _image_of(root, row, (table, line), split=split, patients=patients, lesions=lesions)
            if sample is not None:
                yield sample


def _truth_name(part: str) -> str:
    return f"ISIC2018_Task3_{part}_GroundTruth"


def _table_in(folder: Path, name: str) -> str | None:
    """The name of a table, relative to ``folder``: in it, or in a folder of the same name."""
    return next((n for n in (f"{name}.csv", f"{name}/{name}.csv") if (folder / n).is_file()), None)


def _by_image(metadata: Path | None) -> dict[str, dict[str, str]]:
    if metadata is None:
        return {}
    rows: dict[str, dict[str, str]] = {}
    for line, row in read_csv(metadata, columns=_METADATA_COLUMNS):
        if row is None:
            raise BadInput(f"{metadata}, line {line}: expected as many fields as columns, got more or fewer")
        rows.setdefault(row["image_id"].strip(), row)
    return rows


def _lesion_groupings(root: Root) -> dict[str, str]:
    """Lesion of each training image, where the optional table lies."""
    table = _table_in(root.path, GROUPINGS)
    if table is None:
        return {}
    rows = root.csv(table, columns=("image", "lesion_id"))
    return {row["image"].strip(): row["lesion_id"].strip() for _, row in rows if row is not None}


def _image_of(
    root: Root, row: dict[str, str] | None, place: tuple[str, int], *, split: Split,
    patients: Mapping[str, dict[str, str]], lesions: Mapping[str, str],
) -> Sample | None:  # fmt: skip
    """The sample of one row; None, and a rejection, where it cannot be one."""
    image = ""
    try:
        image = image_of(row, "image")
        uri = f"ISIC2018_Task3_{_PART_OF_SPLIT[split]}_Input/{image}.jpg"
        person = {"study_id": lesions.get(image) or None} | _patient_of(patients.get(image))
        label = class_of(row or {}, CLASSES)
        return lesion_sample(
            root, image, uri, place, label=label, label_space=LABEL_SPACE, person=person, split=split
        )  # fmt: skip
    except RowRefused as refusal:
        root.refuse(image or f"{split} line {place[1]}", refusal, source_file=place[0], source_row=place[1])
    return None


def _patient_of(row: Mapping[str, str] | None) -> dict[str, Any]:
    """Lesion, sex, age and site out of the metadata; nothing where the image is not in it."""
    return person_of(row, age="age", site="localization") if row is not None else {}
