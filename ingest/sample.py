"""The record every stage shares: one image-text unit with its origin, person, question, labels and masks.

The dataclass is the single source: the Arrow schema of ``samples/`` is derived from its annotations.
"""

import dataclasses
import hashlib
import operator
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import pyarrow as pa

SCHEMA_VERSION = "1"


class Task(StrEnum):
    """What a sample can teach. ``unlabelled`` is counted, never trained."""

    VQA = "vqa"
    REPORT = "report"
    CLASSIFICATION = "classification"
    SEGMENTATION = "segmentation"
    DETECTION = "detection"
    UNLABELLED = "unlabelled"


class Split(StrEnum):
    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


class ImageStatus(StrEnum):
    PRESENT = "present"
    ABSENT = "absent"
    CORRUPT = "corrupt"


class Source(StrEnum):
    """How a modality or an anatomy was established, most trusted first."""

    METADATA = "metadata"
    CURATED = "curated"
    RULE = "rule"
    MODEL = "model"


class Sex(StrEnum):
    FEMALE = "female"
    MALE = "male"
    OTHER = "other"
    UNKNOWN = "unknown"


class AnswerType(StrEnum):
    OPEN = "open"
    CLOSED = "closed"


AGE_BANDS: tuple[tuple[str, float], ...] = (
    ("0-17", 18), ("18-39", 40), ("40-59", 60), ("60-79", 80), ("80+", float("inf")),
)  # fmt: skip
"""Band and the age in years below which it ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One image-text unit. Absent values are None; lists are empty only where "none" was established.

    ``split`` is None while no official split claims the sample; ``ingest.split`` fills it.
    Image and mask URIs are relative to the dataset's root.
    """

    sample_id: str
    dataset: str
    native_id: str
    split: str | None = None
    task: str = Task.UNLABELLED
    image_uris: list[str] = field(default_factory=list)
    image_status: str = ImageStatus.ABSENT
    image_sha256: list[str] | None = None
    width_px: int | None = None
    height_px: int | None = None
    modality: str = "unknown"
    modality_source: str | None = None
    modality_raw: str | None = None
    anatomy: str = "unknown"
    anatomy_source: str | None = None
    anatomy_raw: str | None = None
    patient_id: str | None = None
    study_id: str | None = None
    figure_id: str | None = None
    sex: str | None = None
    age_years: float | None = None
    race: str | None = None
    skin_type: int | None = None
    view: str | None = None
    manufacturer: str | None = None
    protocol: dict[str, str] | None = None
    question: str | None = None
    answer: str | None = None
    options: list[str] | None = None
    answer_type: str | None = None
    language: str | None = None
    labels: list[str] | None = None
    label_space: str | None = None
    mask_uri: str | None = None
    mask_targets: list[str] | None = None
    boxes_xyxy_px: list[list[float]] | None = None
    mask_area_fraction: list[float] | None = None
    licence: str | None = None
    source_file: str = ""
    source_row: int | None = None
    adapter_version: str = "1"


def sample_id_of(dataset: str, native_id: str) -> str:
    """The identifier that survives refreshes: 128 bits of blake2b over dataset and native key, in hex."""
    return hashlib.blake2b(f"{dataset}\x1f{native_id}".encode(), digest_size=16).hexdigest()


def age_band_of(age_years: float | None) -> str | None:
    """The band of an age in years; None stays None. Ages are validated elsewhere."""
    if age_years is None:
        return None
    return next(band for band, upper_years in AGE_BANDS if age_years < upper_years)


PERSON_COLUMNS: tuple[str, ...] = ("patient_id", "study_id", "figure_id", "image_sha256")
"""What can stand for a person, most trusted first."""


def person_key_of(row: Mapping[str, Any]) -> tuple[str, str]:
    """The person behind a row as (column that served, key); the sample itself when nothing identifies one.

    The key carries the dataset, so that equal numbers in two corpora stay two persons.
    """
    for column in PERSON_COLUMNS:
        value = row[column]
        if column == "image_sha256" and value:
            value = value[0]
        if value:
            return column, f"{row['dataset']}:{column}:{value}"
    return "sample_id", f"{row['dataset']}:sample_id:{row['sample_id']}"


# As SQL, for DuckDB over samples/: the same order of preference as person_key_of.
PERSON_KEY_SQL = (
    "coalesce(dataset || ':patient_id:' || patient_id, dataset || ':study_id:' || study_id, "
    "dataset || ':figure_id:' || figure_id, dataset || ':image_sha256:' || image_sha256[1], "
    "dataset || ':sample_id:' || sample_id)"
)
# The same person as 64 bits: several times cheaper than building the key, and equal exactly where the key is.
PERSON_HASH_SQL = (
    "CASE "
    + " ".join(
        f"WHEN {value} IS NOT NULL THEN hash(dataset, '{column}', {value})"
        for column, value in zip(PERSON_COLUMNS, (*PERSON_COLUMNS[:-1], "image_sha256[1]"), strict=True)
    )
    + " ELSE hash(dataset, 'sample_id', sample_id) END"
)
AGE_BAND_SQL = (
    "CASE "
    + " ".join(f"WHEN age_years < {upper} THEN '{band}'" for band, upper in AGE_BANDS[:-1])
    + f" WHEN age_years IS NOT NULL THEN '{AGE_BANDS[-1][0]}' END"
)

_SCALARS: dict[type, pa.DataType] = {str: pa.string(), int: pa.int64(), float: pa.float64()}


def _arrow_type(hint: Any) -> tuple[pa.DataType, bool]:
    """Arrow type and nullability of an annotation such as ``list[str] | None``."""
    if isinstance(hint, types.UnionType):
        (inner,) = (arg for arg in typing.get_args(hint) if arg is not types.NoneType)
        return _arrow_type(inner)[0], True
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is list:
        return pa.list_(_arrow_type(arguments[0])[0]), False
    if origin is dict:
        return pa.map_(_arrow_type(arguments[0])[0], _arrow_type(arguments[1])[0]), False
    return _SCALARS[hint], False


SCHEMA = pa.schema(
    [pa.field(name, kind, nullable=nullable)
     for name, (kind, nullable) in ((f.name, _arrow_type(f.type)) for f in dataclasses.fields(Sample))]
)  # fmt: skip
COLUMNS: tuple[str, ...] = tuple(SCHEMA.names)


_VALUES_OF = operator.attrgetter(*COLUMNS)


def to_table(samples: Iterable[Sample], *, overrides: Mapping[str, Sequence[Any]] | None = None) -> pa.Table:
    """Samples as an Arrow table in SCHEMA, built column by column; ``overrides`` replace whole columns."""
    columns = dict(zip(COLUMNS, zip(*map(_VALUES_OF, samples), strict=True), strict=False)) | dict(overrides or {})
    return pa.Table.from_arrays([_array(columns.get(field.name, ()), field) for field in SCHEMA], schema=SCHEMA)


def _array(values: Sequence[Any], field: pa.Field) -> pa.Array:
    if pa.types.is_map(field.type):
        values = [value if value is None else list(value.items()) for value in values]
    return pa.array(values, type=field.type)
