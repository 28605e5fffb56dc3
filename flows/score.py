"""Group-by-group scores of any model's predictions: two tables, no workspace needed."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable

from evaluation.evaluate import score_all
from ingest.errors import BadInput
from ingest.workspace import publishing


def score_predictions(predictions: Path, samples: Path, attributes: list[str], *, out: Path, seed: int) -> list[Path]:
    """Write scores.parquet and gaps.parquet for every metric that fits the tasks found. Returns their paths."""
    if not predictions.is_file():
        raise BadInput(f"{predictions}: expected a Parquet file of predictions, got none")
    predicted, known = pq.read_table(predictions), _samples(samples)
    tables = score_all(predicted, known, attributes, num_resamples=2000, seed=seed)
    paths = [out / "scores.parquet", out / "gaps.parquet"]
    for path, table in zip(paths, tables, strict=True):
        with publishing(path) as staged:
            pq.write_table(table, staged)
    return paths


def _samples(path: Path) -> pa.Table:
    if path.is_dir() and (path / "_delta_log").exists():
        return DeltaTable(path).to_pyarrow_table()
    if path.is_file():
        return pq.read_table(path)
    raise BadInput(f"{path}: expected a Parquet file of samples or a samples/ folder, got none")
