"""Whole folders of DICOM files, de-identified into a new folder under names that say nothing."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from ingest.adapters.dicom import is_dicom_file
from ingest.adapters.file_tree import files_under
from ingest.adapters.root import Root
from ingest.burned_in import declares_text, shows_text
from ingest.dicom import READ_ERRORS, open_dicom
from ingest.dicom_profile import deidentify, hashed_uid
from ingest.disguise import hidden_name
from ingest.errors import BadInput
from ingest.pixels import CorruptImage
from ingest.quarantine import Reason
from ingest.workspace import publishing

DONE = "written"


def deidentify_folder(
    source: Path,
    target: Path,
    key: bytes,
    *,
    allow_burned_in: bool = False,
    progress: Callable[[int], None] | None = None,
) -> dict[str, int]:
    """Write every DICOM file under ``source`` as ``target``/<patient>/<study>/<instance>.dcm; how many, by outcome.

    What cannot be read, leads out of ``source`` or carries burned-in text is left out and counted by its reason.
    Raises: BadInput where ``source`` is no folder or holds no DICOM file, or ``target`` exists.
    """
    if target.exists():
        raise BadInput(f"{target}: expected a new folder, got one that exists")
    root = Root(source, "dicom", key=key)
    outcomes: Counter[str] = Counter()
    with publishing(target) as staged:
        staged.mkdir()
        for name in files_under(source):
            outcome = _write_one(root, name, staged, key, allow_burned_in)
            if outcome:
                outcomes[outcome] += 1
            if progress:
                progress(outcomes.total())
        if not outcomes:
            raise BadInput(f"{source}: expected DICOM files, got none")
    return dict(sorted(outcomes.items()))


def _write_one(root: Root, name: str, folder: Path, key: bytes, allow_burned_in: bool) -> str:
    """De-identify one file. Returns: its outcome, "" for what is no DICOM file."""
    try:
        path = root.resolve(name)
    except ValueError:
        return str(Reason.OUTSIDE_ROOT)
    if not is_dicom_file(path):
        return ""
    try:
        content = path.read_bytes()
        dataset = open_dicom(content)
        if "DirectoryRecordSequence" in dataset:  # a DICOMDIR: an index of files by their old names
            return str(Reason.NO_PIXELS)
        if not allow_burned_in and (declares_text(dataset) or shows_text(content, dataset)):
            return str(Reason.BURNED_IN_ANNOTATION)
        deidentify(dataset, key)
        instance = str(dataset.get("SOPInstanceUID") or hashed_uid(name, key))
        written = folder / str(dataset.PatientID) / str(dataset.get("StudyInstanceUID") or "study") / f"{instance}.dcm"
        if written.exists():  # two files of one instance, as copies in several transfer syntaxes are
            written = written.with_name(f"{instance}-{hidden_name('dicom', name, key)[:8]}.dcm")
        written.parent.mkdir(parents=True, exist_ok=True)
        dataset.save_as(written, enforce_file_format=False)
    except CorruptImage as error:
        return str(error.reason)
    except READ_ERRORS:
        return str(Reason.IMAGE_CORRUPT)
    return DONE
