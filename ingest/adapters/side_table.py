"""A hospital's own table: any CSV or Parquet, its columns named by configuration alone.

``columns`` maps what a sample holds to a column: image, id, patient_id, study_id, study_uid, accession, sex, age_years,
race, skin_type, view, split, modality, anatomy, question, answer, report, label; ``labels`` and ``identifiers`` list
columns. Of ``labels`` the classes are the columns that say 1, true or yes. What stands in ``patient_id`` and
``identifiers`` is taken out of texts; other free text is kept, with the marks its source put there.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ingest.adapters.root import Root, RowRefused
from ingest.anatomy import Anatomy, anatomy_of
from ingest.modality import Modality, modality_of
from ingest.quarantine import Reason
from ingest.sample import Sex, Source, Split, Task

Columns = dict[str, str | list[str]]

LISTS = ("labels", "identifiers")
SINGLE = (
    "image", "id", "patient_id", "study_id", "study_uid", "accession", "sex", "age_years", "race", "skin_type", "view",
    "split", "modality", "anatomy", "question", "answer", "report", "label",
)  # fmt: skip
QUESTION = "What does the report on this picture say?"
REMOVED = "___"
OLDEST_YEARS = 90
"""Every age from here to 120 is written as this: older patients are few enough to be known by their age."""

_SEX = {"f": Sex.FEMALE, "female": Sex.FEMALE, "w": Sex.FEMALE, "m": Sex.MALE, "male": Sex.MALE, "o": Sex.OTHER,
        "other": Sex.OTHER, "u": Sex.UNKNOWN, "unknown": Sex.UNKNOWN}  # fmt: skip
_SPLIT = {"train": Split.TRAIN, "training": Split.TRAIN, "validation": Split.VALIDATION, "validate": Split.VALIDATION,
          "valid": Split.VALIDATION, "val": Split.VALIDATION, "dev": Split.VALIDATION, "test": Split.TEST}  # fmt: skip
_YES, _NO = frozenset({"1", "1.0", "true", "yes", "y"}), frozenset({"0", "0.0", "false", "no", "n", "-1", "-1.0", ""})
_AGE = re.compile(r"(-?\d{1,6}(?:\.\d{1,6})?) ?([YMWD]?)", re.IGNORECASE)
_PER_YEAR = {"": 1.0, "Y": 1.0, "M": 12.0, "W": 52.18, "D": 365.25}
_BLANK = frozenset({"", "NULL", "nan", "None", "NaN"})


def check_columns(columns: Columns) -> None:
    """Raises: ValueError for a key that nothing reads, or a list where one column is meant."""
    for key, value in columns.items():
        if key not in (*SINGLE, *LISTS):
            raise ValueError(f"columns: expected keys among {', '.join((*SINGLE, *LISTS))}, got {key!r}")
        if isinstance(value, list) != (key in LISTS):
            raise ValueError(f"columns: expected {'a list of columns' if key in LISTS else 'one column'} for {key}")


def rows_of(table: Path, columns: Columns) -> Iterator[tuple[int, dict[str, str] | None]]:
    """The rows of a table as texts, with their line (CSV, TSV) or row number (Parquet, from 1). Raises: BadInput."""
    names = list(
        dict.fromkeys(name for value in columns.values() for name in ([value] if isinstance(value, str) else value))
    )
    root = Root(table.parent, "table")
    if table.suffix == ".parquet":
        for number, row in root.parquet(table.name, columns=names):
            yield number + 1, {name: "" if row[name] is None else str(row[name]) for name in names}
    else:
        yield from root.csv(table.name, columns=names)


def text_of(row: Mapping[str, str], columns: Columns, key: str) -> str:
    """The value under a key, without outer blanks; "" where it is blank or no column is named."""
    name = columns.get(key)
    value = row[name].strip() if isinstance(name, str) else ""
    return "" if value in _BLANK else value


def fields_of(root: Root, row: Mapping[str, str], columns: Columns, *, known: tuple[str, ...] = ()) -> dict[str, Any]:
    """The fields of a Sample that a row says; what it does not say is left out.

    ``known``: further identifiers to take out of texts.
    Raises: RowRefused for a sex, an age, a skin type, a split or a label outside its vocabulary.
    """
    said = {key: text_of(row, columns, key) for key in SINGLE}
    listed = columns.get("identifiers", [])
    secrets = [said["patient_id"], said["accession"], *(row[name].strip() for name in listed), *known]
    fields: dict[str, Any] = {
        "patient_id": root.pseudonym(said["patient_id"]) if said["patient_id"] else None,
        "study_id": said["study_id"] or said["study_uid"] or said["accession"] or None,
        "sex": _meaning(said["sex"], _SEX, "sex"),
        "age_years": age_years_of(said["age_years"]),
        "race": said["race"].lower() or None,
        "skin_type": _skin_type_of(said["skin_type"]),
        "view": said["view"] or None,
        "split": _meaning(said["split"], _SPLIT, "split"),
        **kind_of(said["modality"], said["anatomy"]),
        **_task_of(row, columns, said, secrets),
    }
    return {name: value for name, value in fields.items() if value is not None}


def kind_of(modality: str, anatomy: str) -> dict[str, Any]:
    """Modality and anatomy out of declared words; None where they say nothing."""
    shown, place = modality_of(modality), anatomy_of(anatomy)
    return {
        "modality": None if shown is Modality.UNKNOWN else shown,
        "modality_source": None if shown is Modality.UNKNOWN else Source.METADATA,
        "modality_raw": modality or None,
        "anatomy": None if place is Anatomy.UNKNOWN else place,
        "anatomy_source": None if place is Anatomy.UNKNOWN else Source.METADATA,
        "anatomy_raw": anatomy or None,
    }


def age_years_of(text: str) -> float | None:
    """Years of "63", "63.5", "063Y", "018M", "010D"; None of a blank. Raises: RowRefused for other text."""
    if not text:
        return None
    match = _AGE.fullmatch(text)
    if match is None:
        raise RowRefused(Reason.LABEL_INVALID, "expected age in years or as DICOM writes it, got other text")
    years = float(match.group(1)) / _PER_YEAR[match.group(2).upper()]
    return float(OLDEST_YEARS) if OLDEST_YEARS <= years <= 120 else years


def scrubbed(text: str, secrets: list[str]) -> str:
    """``text`` in one line, with every known identifier of three characters or more replaced by REMOVED."""
    line = " ".join(text.split())
    words = {word for secret in secrets for word in (secret, *re.split(r"[\s^=,]+", secret)) if len(word) >= 3}
    for word in sorted(words, key=len, reverse=True):
        line = re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", REMOVED, line, flags=re.IGNORECASE)
    return line


def _meaning(text: str, meanings: Mapping[str, Any], name: str) -> Any:
    if text and text.lower() not in meanings:
        raise RowRefused(Reason.LABEL_INVALID, f"expected {name} {', '.join(meanings)} or a blank, got another word")
    return meanings.get(text.lower())


def _skin_type_of(text: str) -> int | None:
    if text in ("", "-1", "-1.0"):
        return None
    number = text.removesuffix(".0")
    if number not in ("1", "2", "3", "4", "5", "6"):
        raise RowRefused(Reason.LABEL_INVALID, "expected a skin type 1 to 6, -1 or a blank, got another value")
    return int(number)


def _task_of(
    row: Mapping[str, str], columns: Columns, said: Mapping[str, str], secrets: list[str]
) -> dict[str, Any]:  # fmt: skip
    """What the row teaches: a report, else question and answer, else classes."""
    labels = _labels_of(row, columns, said)
    found: dict[str, Any] = {"labels": labels, "label_space": "table" if labels is not None else None}
    if said["report"]:
        return found | {"task": Task.REPORT, "question": QUESTION, "answer": scrubbed(said["report"], secrets)}
    if said["question"] and said["answer"]:
        texts = {name: scrubbed(said[name], secrets) for name in ("question", "answer")}
        return found | {"task": Task.VQA, **texts}
    return found | {"task": Task.CLASSIFICATION if labels is not None else Task.UNLABELLED}


def _labels_of(row: Mapping[str, str], columns: Columns, said: Mapping[str, str]) -> list[str] | None:
    if said["label"]:
        return [said["label"]]
    names = list(columns.get("labels", []))
    values = [row[name].strip().lower() for name in names]
    if not any(values):
        return None
    if not set(values) <= _YES | _NO:
        raise RowRefused(Reason.LABEL_INVALID, "expected 0, 1, true, false, yes, no or a blank, got another value")
    return [name for name, value in zip(names, values, strict=True) if value in _YES]
