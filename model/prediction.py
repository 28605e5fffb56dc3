"""The table of predictions every score is computed from (DESIGN section 5, fixed columns). No torch."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ingest.workspace import publishing

LABEL_SEPARATOR = "; "
"""Between the classes of a truth in a label space where several may hold; none of them: an empty text."""

SCHEMA = pa.schema(
    [
        pa.field("sample_id", pa.string(), nullable=False),
        pa.field("patient_id", pa.string(), nullable=False),
        pa.field("task", pa.string(), nullable=False),
        pa.field("truth", pa.string(), nullable=False),
        pa.field("predicted", pa.string(), nullable=False),
        pa.field("score", pa.list_(pa.float64()), nullable=False),
        pa.field("confidence", pa.float64(), nullable=False),
        pa.field("uncertainty", pa.float64(), nullable=False),
        pa.field("prompt", pa.string(), nullable=False),
        pa.field("seconds", pa.float64(), nullable=False),
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """One prediction; for segmentation one per target, ``prompt`` being the target's name.

    patient_id: the person key. truth, predicted: answer, class name or mask as run lengths.
    score: probability per class of the run; predicted Dice (one number); mean token probability (one number).
    confidence: in [0, 1]. uncertainty: in [0, 1], the error to expect (``model.calibration``): learnt on the validation
    split, whose own rows are therefore fitted; the raw signs of doubt where that split was too small.
    seconds: share of its batch's time.
    """

    sample_id: str
    patient_id: str
    task: str
    truth: str
    predicted: str
    score: list[float]
    confidence: float
    uncertainty: float
    prompt: str
    seconds: float


def write_predictions(path: Path, predictions: Sequence[Prediction], *, classes: Sequence[str]) -> None:
    """Write the table whole; the run's classes stand in the schema's metadata under ``classes``."""
    schema = SCHEMA.with_metadata({b"classes": json.dumps(list(classes), ensure_ascii=False).encode()})
    table = pa.Table.from_pylist([asdict(prediction) for prediction in predictions], schema=schema)
    with publishing(path) as staged:
        pq.write_table(table, staged, compression="zstd")
