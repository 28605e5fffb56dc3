"""NIfTI (and MGH): any folder of volumes, and optionally a table of labels or demographics joined on path.

One file, one row; its picture is the middle axial slice (``ingest.nifti``). A person is the "sub-..." of the path
(BIDS), else the file. Modality: the BIDS suffix (T1w, bold, dwi ...), else the option ``modality``. Split: none.
Known defects: singular affines, headers without their image, volumes of NaN: set aside. Identifiable.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ingest.adapters.file_tree import SideTable, files_under, holds_only
from ingest.adapters.root import Root, RowRefused
from ingest.adapters.side_table import Columns, check_columns, kind_of
from ingest.images import NIFTI_SUFFIXES
from ingest.pixels import CorruptImage
from ingest.quarantine import Reason
from ingest.sample import Sample, Task

LICENCE = "own"
_SUBJECT = re.compile(r"(?:^|[/_])(sub-[A-Za-z0-9]+)")
_BIDS_MR = frozenset({"t1w", "t2w", "pdw", "flair", "bold", "dwi", "inplanet2", "angio", "asl", "swi", "t2starw"})


@dataclass(frozen=True)
class Options:
    """``table``, ``columns``: a side table. ``modality``, ``anatomy``: of files whose names do not say."""

    table: Path | None = None
    columns: Columns = field(default_factory=dict)
    modality: str = ""
    anatomy: str = ""

    def __post_init__(self) -> None:
        check_columns(self.columns)


def recognise(folder: Path, search_root: Path) -> Options | None:
    """A folder with volumes right in it, or in all of its subfolders."""
    return Options() if holds_only(folder, _is_volume) else None


def read(root: Root, options: Options) -> Iterator[Sample]:
    """Yield the volumes by name. The image half of a .hdr/.img pair is no row of its own."""
    side = SideTable(root, options.table, options.columns)
    for name in files_under(root.path):
        if not _is_volume(Path(name)):
            continue
        try:
            path = root.resolve(root.inside(name))
            fields = _geometry_of(path) | _person_and_kind(root, name, options)
            fields |= {"task": Task.UNLABELLED} | side.fields_for({"image": name})
            yield root.sample(name, image_uris=[name], source_file=name, licence=LICENCE, **fields)
        except RowRefused as refusal:
            root.refuse(name, refusal, source_file=name, source_row=None)
        except CorruptImage as error:
            root.refuse(name, RowRefused(error.reason, str(error)), source_file=name, source_row=None)
        except OSError as error:
            gone = RowRefused(Reason.IMAGE_ABSENT, f"expected a file, got {type(error).__name__}")
            root.refuse(name, gone, source_file=name, source_row=None)


def _is_volume(path: Path) -> bool:
    return path.name.lower().endswith(NIFTI_SUFFIXES) and not path.name.lower().endswith(".img")


def _geometry_of(path: Path) -> dict[str, Any]:
    """Spacing and size; nothing else of the header is read into a sample: its text fields may name a patient."""
    from ingest.nifti import open_volume  # nibabel: 0.3 s

    volume = open_volume(path)
    spacing = " x ".join(f"{float(size):g}" for size in volume.header.get_zooms()[:3])
    return {"protocol": {"spacing_mm": spacing, "voxels": " x ".join(map(str, volume.shape))}}


def _person_and_kind(root: Root, name: str, options: Options) -> dict[str, Any]:
    subject = match.group(1) if (match := _SUBJECT.search(name)) else name
    suffix = Path(name).name.split(".")[0].rpartition("_")[2].lower()
    modality = "mr" if suffix in _BIDS_MR else options.modality
    said = kind_of(modality, options.anatomy)
    return {"patient_id": root.pseudonym(subject)} | {key: value for key, value in said.items() if value is not None}
