"""De-identification of a DICOM data set: PS3.15 Annex E, Basic Application Level Confidentiality Profile with the
Retain Longitudinal Temporal Information with Modified Dates and the Clean Descriptors options.

The action of every attribute is the standard's table as dicom-anonymizer ships it (2026c). Beyond it, in the whole
tree of sequences: private attributes go; every instance UID becomes a keyed hash, the same for the same UID; every
date moves by a number of days drawn from the key and the patient, the same for one patient, so intervals stay; names
of persons go; descriptors keep only words of the vocabularies of modality and anatomy.
"""

import hashlib
import re
from datetime import datetime, timedelta
from functools import cache

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import UID

from ingest.anatomy import Anatomy, anatomy_of
from ingest.deidentify import pseudonym
from ingest.modality import Modality, modality_of

OPTION_CODES = {
    "113100": "Basic Application Confidentiality Profile",
    "113105": "Clean Descriptors Option",
    "113107": "Retain Longitudinal Temporal Information Modified Dates Option",
}
METHOD = "PS3.15 Annex E basic, clean descriptors, modified dates"
MAX_SHIFT_DAYS = 3650
_DATABASE = "dicomfields_2026c"
_ROOT_OF_HASHED_UIDS = "2.25."
_DESCRIPTORS = frozenset({
    "StudyDescription", "SeriesDescription", "ProtocolName", "PerformedProcedureStepDescription",
    "RequestedProcedureDescription", "BodyPartExamined", "CodeMeaning",
})  # fmt: skip
_PLAIN_WORDS = frozenset(
    [
        "ap",
        "pa",
        "lat",
        "lateral",
        "axial",
        "sagittal",
        "coronal",
        "oblique",
        "with",
        "without",
        "contrast",
        "pre",
        "post",
        "left",
        "right",
        "bilateral",
        "portable",
        "supine",
        "erect",
        "routine",
        "view",
        "views",
        "series",
        "scan",
        "and",
        "of",
        "the",
        "w",
        "wo",
    ]
)
_DATES, _TEXTS = frozenset({"DA", "DT"}), frozenset({"LO", "SH", "ST", "LT", "UT", "UC", "UR", "AE", "CS", "UN"})
_KEPT_WHEN_EMPTY_IS_ILLEGAL = frozenset({"DS", "IS", "FD", "FL", "SS", "US", "SL", "UL", "AS", "TM"})


def deidentify(dataset: Dataset, key: bytes) -> None:
    """De-identify in place, and record the options in (0012,0064)."""
    patient = str(dataset.get("PatientID") or dataset.get("PatientName") or dataset.get("StudyInstanceUID") or "")
    shift = timedelta(days=_shift_days(patient, key))
    _clean(dataset, key, shift)
    dataset.PatientID = dataset.PatientName = pseudonym("dicom", patient, key)
    dataset.PatientIdentityRemoved = "YES"
    dataset.LongitudinalTemporalInformationModified = "MODIFIED"
    dataset.DeidentificationMethod = METHOD
    dataset.DeidentificationMethodCodeSequence = Sequence(_code(value) for value in OPTION_CODES)
    _clean_meta(dataset, key)


def hashed_uid(uid: str, key: bytes) -> str:
    """The UID under 2.25 that stands for an instance UID: 127 bits of keyed blake2b."""
    digest = hashlib.blake2b(f"uid\x1f{uid}".encode(), digest_size=16, key=key).digest()
    return _ROOT_OF_HASHED_UIDS + str(int.from_bytes(digest, "big") >> 1)


def cleaned(description: str) -> str:
    """The words of a description that name a modality, a region, a projection or a contrast; others go."""
    words = re.findall(r"[A-Za-z0-9+]+", description)
    return " ".join(word for word in words if _is_plain(word))


@cache
def _is_plain(word: str) -> bool:
    """Two letters are a code in capitals alone: "DR" is an X-ray, "Dr" is somebody."""
    is_code = len(word) > 2 or word.isupper()
    known = is_code and (anatomy_of(word) is not Anatomy.UNKNOWN or modality_of(word) is not Modality.UNKNOWN)
    return word.isalpha() and (word.lower() in _PLAIN_WORDS or known)


@cache
def _actions() -> tuple[dict[int, str], list[tuple[int, int, str]]]:
    """Action letters by tag, and (tag, mask, letter) of the repeating groups."""
    from dicomanonymizer.dicomfields_selector import dicom_anonymization_database_selector

    single: dict[int, str] = {}
    repeating: list[tuple[int, int, str]] = []
    for category, tags in dicom_anonymization_database_selector(_DATABASE).items():
        if category == "ALL_TAGS":
            continue
        for tag in tags:
            if len(tag) > 2:
                repeating.append(((tag[0] << 16) | tag[1], (tag[2] << 16) | tag[3], category[0]))
            else:
                single[(tag[0] << 16) | tag[1]] = category[0]
    return single, repeating


def _action_of(tag: int) -> str:
    """X remove, Z empty, D replace, U another UID, "" keep. Of a choice (X/Z/D) the one that reveals least."""
    single, repeating = _actions()
    if tag in single:
        return single[tag]
    return next((letter for value, mask, letter in repeating if tag & mask == value & mask), "")


def _clean(dataset: Dataset, key: bytes, shift: timedelta) -> None:
    for tag in list(dataset.keys()):
        if tag.is_private or tag.group in range(0x5000, 0x5100):  # curves
            del dataset[tag]
            continue
        element = dataset[tag]
        if element.VR == "UN":  # an attribute nobody knows may hold anything
            del dataset[tag]
        elif element.VR == "SQ" and _action_of(int(tag)) != "X":
            for item in element.value or ():
                _clean(item, key, shift)
        elif not _clean_element(element, key, shift):
            del dataset[tag]


def _clean_element(element: DataElement, key: bytes, shift: timedelta) -> bool:
    """Clean one element in place; False where it is to be removed."""
    action = _action_of(int(element.tag))
    if element.VR == "UI":
        element.value = _each(element.value, lambda uid: uid if UID(uid).name != uid else hashed_uid(uid, key))
    elif element.VR in _DATES:
        element.value = _each(element.value, lambda date: _shifted(date, shift))
    elif element.keyword in _DESCRIPTORS:
        element.value = _each(element.value, cleaned)
    elif element.VR == "PN":
        element.value = ""
    elif action == "X":
        return False
    elif action in ("Z", "D") and element.VR in _TEXTS:
        element.value = "" if action == "Z" else "REMOVED"
    elif action in ("Z", "D"):
        return element.VR in _KEPT_WHEN_EMPTY_IS_ILLEGAL and element.keyword == "PatientSex"
    return True


def _each(value: object, change: object) -> object:
    """``change`` over one value or several; an empty one stays."""
    assert callable(change)
    if value is None or value == "":
        return value
    if isinstance(value, str):
        return change(value)
    return [change(str(one)) for one in value] if hasattr(value, "__iter__") else change(str(value))


def _shift_days(patient: str, key: bytes) -> int:
    """1 to MAX_SHIFT_DAYS days back, by patient."""
    digest = hashlib.blake2b(f"days\x1f{patient}".encode(), digest_size=8, key=key).digest()
    return -(1 + int.from_bytes(digest, "big") % MAX_SHIFT_DAYS)


def _shifted(text: str, shift: timedelta) -> str:
    """A DA or DT with its date moved; "" where its date cannot be told."""
    digits = text.replace(".", "", 2) if re.fullmatch(r"\d{4}\.\d\d\.\d\d", text) else text
    try:
        moved = datetime.strptime(digits[:8], "%Y%m%d") + shift
    except (ValueError, OverflowError):
        return ""
    return f"{moved:%Y%m%d}{digits[8:]}"


def _code(value: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", OPTION_CODES[value]
    return item


def _clean_meta(dataset: Dataset, key: bytes) -> None:
    """The file's own header: its instance UID follows, and who wrote and sent it goes."""
    dataset.ensure_file_meta()
    meta = dataset.file_meta
    for tag in [tag for tag in meta if int(tag.tag) >= 0x00020016 or tag.tag.is_private]:
        del meta[tag.tag]
    if "SOPInstanceUID" in dataset:
        meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.preamble = b"\0" * 128
