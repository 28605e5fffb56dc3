"""HAM10000: 10,015 dermoscopies of 7,470 lesions in seven classes (Tschandl et al. 2018, CC BY-NC 4.0).

Layout: HAM10000_metadata.csv (lesion_id, image_id, dx, dx_type, age, sex, localization; newer copies add
dataset) and the pictures in HAM10000_images_part_1/, HAM10000_images_part_2/, HAM10000_images/ or beside it.
Split: none; by lesion. Known defects: rows in no order; age 0.0 is real, a blank is missing. These are ISIC 2018's
training pictures: beside an ISIC 2018 task 3 the table is that dataset's metadata, and no dataset of its own.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ingest.adapters.folders import folders_under
from ingest.adapters.root import Root, RowRefused
from ingest.adapters.skin_lesions import LICENCE, image_of, lesion_sample, person_of
from ingest.quarantine import Reason
from ingest.sample import Sample

__all__ = ["LICENCE", "Options", "read", "recognise"]

TABLE = "HAM10000_metadata.csv"
LABEL_SPACE = "isic2018_task3"
_CLASS_OF_DX = {"mel": "MEL", "nv": "NV", "bcc": "BCC", "akiec": "AKIEC", "bkl": "BKL", "df": "DF", "vasc": "VASC"}
_FOLDERS = ("HAM10000_images_part_1", "HAM10000_images_part_2", "HAM10000_images", "images", ".")


@dataclass(frozen=True)
class Options:
    """None: the layout has no variants."""


def recognise(folder: Path, search_root: Path) -> Options | None:
    """A folder with the metadata, unless an ISIC 2018 task 3 under ``search_root`` takes it."""
    if not (folder / TABLE).is_file() or any(_holds_isic2018(place) for place in folders_under(search_root)):
        return None
    return Options()


def _holds_isic2018(folder: Path) -> bool:
    return any(folder.glob("ISIC2018_Task3_*_GroundTruth*"))


def read(root: Root, options: Options) -> Iterator[Sample]:
    """Yield the rows in file order."""
    for line, row in root.csv(TABLE, columns=("lesion_id", "image_id", "dx", "age", "sex", "localization")):
        image = ""
        try:
            image = image_of(row, "image_id")
            yield lesion_sample(
                root, image, _uri_of(root, image), (TABLE, line), split=None, label=_label_of(row or {}),
                label_space=LABEL_SPACE, person=person_of(row or {}, age="age", site="localization"),
            )  # fmt: skip
        except RowRefused as refusal:
            root.refuse(image or f"line {line}", refusal, source_file=TABLE, source_row=line)


def _label_of(row: dict[str, str]) -> str:
    label = _CLASS_OF_DX.get(row["dx"].strip().lower())
    if label is None:
        raise RowRefused(Reason.LABEL_INVALID, f"expected dx {', '.join(_CLASS_OF_DX)}, got another word")
    return label


def _uri_of(root: Root, image: str) -> str:
    """Where the picture lies; in the first folder that exists where it lies nowhere."""
    names = [f"{folder}/{image}.jpg".removeprefix("./") for folder in _FOLDERS if (root.path / folder).is_dir()]
    return next((name for name in names if root.exists(name)), names[0])
