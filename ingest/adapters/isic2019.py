"""ISIC 2019: 25,331 labelled and 8,238 unlabelled dermoscopies (Combalia et al. 2019, CC BY-NC 4.0).

Layout: ISIC_2019_Training_GroundTruth.csv (eight classes and UNK; AK, not AKIEC), ISIC_2019_{Training,Test}_
Metadata.csv, ISIC_2019_{Training,Test}_Input/<image>.jpg; a test ground truth where it lies. Split: the official
one. Known defects: blanks for age, site, lesion and sex; names that end "_downsampled"; all of HAM10000 stands in
training, and ISIC 2018's validation and test pictures stand in test under the same names (``figure_id``).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ingest.adapters.root import Root, RowRefused
from ingest.adapters.skin_lesions import LICENCE, class_of, image_of, lesion_sample, person_of
from ingest.errors import BadInput
from ingest.sample import Sample, Split

__all__ = ["LICENCE", "Options", "read", "recognise"]

CLASSES = ("MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC", "UNK")
LABEL_SPACE = "isic2019"
_PARTS = {Split.TRAIN: "Training", Split.TEST: "Test"}


@dataclass(frozen=True)
class Options:
    """None: the layout has no variants."""


def recognise(folder: Path, search_root: Path) -> Options | None:
    """A folder with a ground truth or with the metadata of the test pictures."""
    tables = (_truth("Training"), _truth("Test"), _metadata("Test"))
    return Options() if any((folder / name).is_file() for name in tables) else None


def read(root: Root, options: Options) -> Iterator[Sample]:
    """Yield training rows in the order of their ground truth, then test rows in the order of their metadata."""
    found = False
    for split, part in _PARTS.items():
        if root.exists(_truth(part)):
            found = True
            yield from _labelled(root, split, part)
        elif root.exists(_metadata(part)):
            found = True
            yield from _rows(root, _metadata(part), split, {})
    if not found:
        raise BadInput(f"{root.path}: expected {_truth('Training')} or {_metadata('Test')}, got neither")


def _truth(part: str) -> str:
    return f"ISIC_2019_{part}_GroundTruth.csv"


def _metadata(part: str) -> str:
    return f"ISIC_2019_{part}_Metadata.csv"


def _labelled(root: Root, split: Split, part: str) -> Iterator[Sample]:
    """The rows of a ground truth with their metadata, where that lies."""
    patients = {}
    if root.exists(_metadata(part)):
        rows = root.csv(_metadata(part), columns=("image",))
        patients = {row["image"].strip(): row for _, row in rows if row is not None}
    yield from _rows(root, _truth(part), split, patients, classes=CLASSES)


def _rows(
    root: Root, table: str, split: Split, patients: dict[str, dict[str, str]], *, classes: tuple[str, ...] = ()
) -> Iterator[Sample]:
    for line, row in root.csv(table, columns=("image", *classes)):
        image = ""
        try:
            image = image_of(row, "image")
            own = row or {}
            yield lesion_sample(
                root, image, f"ISIC_2019_{_PARTS[split]}_Input/{image}.jpg", (table, line), split=split,
                label=class_of(own, classes) if classes else None, label_space=LABEL_SPACE,
                person=person_of(patients.get(image, own), age="age_approx", site="anatom_site_general"),
            )  # fmt: skip
        except RowRefused as refusal:
            root.refuse(image or f"{split} line {line}", refusal, source_file=table, source_row=line)
