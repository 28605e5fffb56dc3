"""DICOM: any folder of files, with or without ".dcm", and optionally a table of reports, labels or demographics.

One file, one row; of several frames the middle one is the picture. Sex, age, modality, body part, view and
manufacturer come from the header, identifiers only as keyed pseudonyms. A table joins on path, StudyInstanceUID or
accession number (``columns``). Split: none; by patient. Known defects: PatientSex "N/A", ages without a unit (left
out). Files that say or show that text is burned in are set aside unless ``allow_burned_in``. Identifiable.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ingest.adapters.file_tree import SideTable, files_under, holds_only
from ingest.adapters.root import Root, RowRefused
from ingest.adapters.side_table import Columns, age_years_of, check_columns, kind_of
from ingest.images import DICOM_SUFFIXES, is_dicom
from ingest.pixels import CorruptImage
from ingest.quarantine import Reason
from ingest.sample import Sample, Sex, Task

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

LICENCE = "own"
_SEX = {"F": Sex.FEMALE, "M": Sex.MALE, "O": Sex.OTHER}
_IDENTIFIERS = ("PatientName", "PatientID", "AccessionNumber", "PatientBirthDate")
_PROTOCOL = {
    "KVP": "kVp", "SliceThickness": "slice_thickness_mm", "PixelSpacing": "spacing_mm", "EchoTime": "echo_time_ms",
    "MagneticFieldStrength": "field_strength_tesla", "RepetitionTime": "repetition_time_ms",
}  # fmt: skip


@dataclass(frozen=True)
class Options:
    """``table``, ``columns``: a side table. ``allow_burned_in``: keep pictures with text burned into them."""

    table: Path | None = None
    columns: Columns = field(default_factory=dict)
    allow_burned_in: bool = False

    def __post_init__(self) -> None:
        check_columns(self.columns)


def recognise(folder: Path, search_root: Path) -> Options | None:
    """A folder with DICOM files right in it, or in all of its subfolders."""
    return Options() if holds_only(folder, is_dicom_file) else None


def read(root: Root, options: Options) -> Iterator[Sample]:
    """Yield the files by name; what is no DICOM file is passed over."""
    side = SideTable(root, options.table, options.columns)
    for name in files_under(root.path):
        try:
            path = root.resolve(root.inside(name))
            if not is_dicom_file(path):
                continue
            fields = _fields_of(root, path, name, side, options)
            yield root.sample(name, image_uris=[name], source_file=name, licence=LICENCE, **fields)
        except RowRefused as refusal:
            root.refuse(name, refusal, source_file=name, source_row=None)


def is_dicom_file(path: Path) -> bool:
    """Whether a file says by its name or its first bytes that it is DICOM."""
    if path.name.lower().endswith(DICOM_SUFFIXES):
        return True
    try:
        with path.open("rb") as file:
            return is_dicom(file.read(132))
    except OSError:
        return False


def _fields_of(root: Root, path: Path, name: str, side: SideTable, options: Options) -> dict[str, Any]:
    """Everything a header and its row of the side table say. Raises: RowRefused."""
    from ingest.dicom import READ_ERRORS, open_dicom  # pydicom: 0.2 s

    try:
        content = path.read_bytes()
        header = open_dicom(content, pixels=False)
        fields = _header_fields(root, header)
        uids = {"study_uid": _text(header, "StudyInstanceUID"), "accession": _text(header, "AccessionNumber")}
        known = tuple(_text(header, tag) for tag in _IDENTIFIERS)
    except CorruptImage as error:
        raise RowRefused(error.reason, str(error)) from error
    except READ_ERRORS as error:
        raise RowRefused(Reason.IMAGE_CORRUPT, f"expected a DICOM header, got {type(error).__name__}") from error
    if not options.allow_burned_in:
        _refuse_burned_in(content, header, look=root.pixels)
    return fields | {"task": Task.UNLABELLED} | side.fields_for({"image": name, **uids}, known=known)


def _refuse_burned_in(content: bytes, header: "Dataset", *, look: bool) -> None:
    from ingest.burned_in import declares_text, shows_text

    if declares_text(header) or (look and shows_text(content, header)):
        raise RowRefused(Reason.BURNED_IN_ANNOTATION, "expected a picture without text burned in, got one with")


def _header_fields(root: Root, header: "Dataset") -> dict[str, Any]:
    patient = _text(header, "PatientID")
    protocol = {name: _text(header, tag).replace("\\", " x ") for tag, name in _PROTOCOL.items()}
    fields = {
        "patient_id": root.pseudonym(patient) if patient else None,
        "study_id": _text(header, "StudyInstanceUID") or None,
        "sex": _SEX.get(_text(header, "PatientSex").upper()),
        "age_years": _age_years(header),
        "view": _text(header, "ViewPosition") or None,
        "manufacturer": _text(header, "Manufacturer") or None,
        "protocol": {name: text for name, text in protocol.items() if text} or None,
        **kind_of(_text(header, "Modality"), _text(header, "BodyPartExamined")),
    }
    return {name: value for name, value in fields.items() if value is not None}


def _text(header: "Dataset", tag: str) -> str:
    """A value as text, "" where it is absent or empty; several values are joined by a backslash, as stored."""
    value = header.get(tag)
    if value is None:
        return ""
    several = not isinstance(value, str) and hasattr(value, "__iter__") and not hasattr(value, "family_name")
    return ("\\".join(map(str, value)) if several else str(value)).strip()


def _age_years(header: "Dataset") -> float | None:
    """PatientAge with its unit, else the years from birth to study; None where neither can be told."""
    age = _text(header, "PatientAge")
    if age and not age.isdecimal():
        return age_years_of(age) if age != "000Y" or _born_in_study_year(header) else _years_since_birth(header)
    return _years_since_birth(header)


def _born_in_study_year(header: "Dataset") -> bool:
    years = _years_since_birth(header)
    return years is not None and years < 1


def _years_since_birth(header: "Dataset") -> float | None:
    born, studied = _text(header, "PatientBirthDate"), _text(header, "StudyDate")
    if not all(len(date) == 8 and date.isascii() and date.isdecimal() for date in (born, studied)):
        return None
    years = int(studied[:4]) - int(born[:4]) - (studied[4:] < born[4:])
    return age_years_of(str(years))
