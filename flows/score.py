"""Group-by-group scores of any model's predictions: two tables, no workspace needed."""

from collections.abc import Collection
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable

from evaluation.evaluate import score_all
from evaluation.suppression import Guard
from ingest.errors import BadInput
from ingest.workspace import publishing


def score_predictions(
    predictions: Path,
    samples: Path,
    attributes: list[str],
    *,
    out: Path,
    seed: int,
    identifiable: Collection[str] = (),
    suppress_below: int = 11,
) -> list[Path]:
    """Write scores.parquet and gaps.parquet for every metric that fits the tasks found. Returns their paths.

    identifiable: data sets whose groups of fewer than ``suppress_below`` persons are hidden, with their complements.
    """
    if not predictions.is_file():
        raise BadInput(f"{predictions}: expected a Parquet file of predictions, got none")
    predicted, known = pq.read_table(predictions), _samples(samples)
    if unknown := set(identifiable) - set(known["dataset"].to_pylist() if "dataset" in known.column_names else ()):
        raise BadInput(f"--identifiable: expected data sets of {samples}, got {', '.join(sorted(unknown))}")
    guard = Guard.of(known, identifiable=identifiable, below=suppress_below) if identifiable else None
    tables = score_all(predicted, known, attributes, num_resamples=2000, seed=seed, guard=guard)
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
