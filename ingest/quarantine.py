"""Rows that do not enter the corpus, each with its reason. Nothing is lost, nothing silently replaced."""

from dataclasses import dataclass
from enum import StrEnum

import pyarrow as pa

from ingest.sample import SCHEMA, Sample, to_table


class Reason(StrEnum):
    """Why a row was set aside."""

    UNREADABLE_ROW = "unreadable_row"
    MISSING_FIELD = "missing_field"
    DUPLICATED_ID = "duplicated_id"
    IMAGE_ABSENT = "image_absent"
    IMAGE_CORRUPT = "image_corrupt"
    IMAGE_UNSUPPORTED = "image_unsupported"
    NO_PIXELS = "no_pixels"
    AFFINE_SINGULAR = "affine_singular"
    BURNED_IN_ANNOTATION = "burned_in_annotation"
    MASK_ABSENT = "mask_absent"
    MASK_CORRUPT = "mask_corrupt"
    MASK_NAME_DISAGREES = "mask_name_disagrees"
    MASK_SIZE_DISAGREES = "mask_size_disagrees"
    LABEL_INVALID = "label_invalid"
    OUTSIDE_ROOT = "outside_root"
    FAILED_VALIDATION = "failed_validation"
    LEAKAGE = "leakage"


@dataclass(frozen=True, kw_only=True)
class Rejection:
    """One row set aside. ``detail`` says expected and got; it never carries an identifier or free text.

    ``sample`` is the record as far as it came, None where the row never became one.
    """

    dataset: str
    native_id: str
    source_file: str
    source_row: int | None
    reason: Reason
    detail: str
    sample: Sample | None = None


def rejection_of(sample: Sample, reason: Reason, detail: str) -> Rejection:
    """Set a finished record aside."""
    return Rejection(
        dataset=sample.dataset, native_id=sample.native_id, source_file=sample.source_file,
        source_row=sample.source_row, reason=reason, detail=detail, sample=sample,
    )  # fmt: skip


QUARANTINE_SCHEMA = pa.schema(
    [column.with_nullable(True) for column in SCHEMA]
    + [pa.field("reason", pa.string(), nullable=False), pa.field("detail", pa.string(), nullable=False)]
)


def rejections_to_table(rejections: list[Rejection]) -> pa.Table:
    """Rejections in QUARANTINE_SCHEMA: the record's columns as far as known, then reason and detail."""
    records = [
        rejection.sample
        or Sample(
            sample_id="", dataset=rejection.dataset, native_id=rejection.native_id,
            source_file=rejection.source_file, source_row=rejection.source_row,
        )
        for rejection in rejections
    ]  # fmt: skip
    table = to_table(records)
    reasons = pa.array([str(rejection.reason) for rejection in rejections], pa.string())
    details = pa.array([rejection.detail for rejection in rejections], pa.string())
    return pa.Table.from_arrays([*table.columns, reasons, details], schema=QUARANTINE_SCHEMA)
