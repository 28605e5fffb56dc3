"""The score stage: predictions of a run into scores, gaps, baselines and the published output files."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import DeltaTable

from evaluation.baselines import baselines_of
from evaluation.fairness import DELTA, GAPS_SCHEMA, gaps
from evaluation.influence import write_influence
from evaluation.metrics import METRICS, METRICS_OF_TASK
from evaluation.outputs import write_metrics, write_results, write_visualization
from evaluation.rows import EVERYTHING
from evaluation.slices import SCORES_SCHEMA, score
from evaluation.suppression import Guard
from ingest.errors import BadInput
from ingest.sample import COLUMNS, PERSON_COLUMNS, Split, Task
from ingest.workspace import Workspace, publishing, write_json

_COLUMNS = (
    "sample_id", "dataset", "split", "task", "image_status", "age_years", "answer", "answer_type", "labels",
    "label_space",
)  # fmt: skip


def evaluate(
    workspace: Workspace,
    *,
    run: str,
    attributes: list[str],
    num_resamples: int = 2000,
    delta: float = DELTA,
    seed: int,
    identifiable: Collection[str] = (),
    suppress_below: int = 11,
) -> dict[str, Any]:
    """Score a run's test predictions group by group and write everything under ``runs/<run>``.

    Returns: the test scores of everybody by metric and task, and what the validation predictions reach
    beside baselines that look at no picture. What would give away fewer than ``suppress_below`` persons of
    ``identifiable`` data sets is null everywhere.
    Raises: BadInput when the run has no predictions.
    """
    folder = workspace.runs / run
    samples = read_samples(workspace, attributes, persons=bool(identifiable))
    guard = Guard.of(samples, identifiable=identifiable, below=suppress_below)
    predictions = read_splits(folder)
    test = predictions[Split.TEST]
    scores, differences = score_all(
        test, samples, attributes, num_resamples=num_resamples, delta=delta, seed=seed, guard=guard
    )
    differences = differences.replace_schema_metadata({"delta": str(delta)})
    for name, table in (("scores", scores), ("gaps", differences)):
        with publishing(folder / f"{name}.parquet") as staged:
            pq.write_table(table, staged)
    write_influence(folder, samples, attributes, guard=guard)
    baselines = baselines_of(workspace, predictions[Split.VALIDATION], samples, guard=guard)
    write_json(folder / "baselines.json", baselines)
    write_published(workspace, folder, predictions, samples, seed=seed, guard=guard)
    whole = {
        f"{row['task']}.{row['metric']}": row["estimate"]
        for row in scores.to_pylist()
        if row["attribute"] == row["dataset"] == EVERYTHING
    }
    return {"test": whole, "validation": baselines}


def write_published(
    workspace: Workspace,
    folder: Path,
    predictions: dict[Split, pa.Table],
    samples: pa.Table,
    *,
    seed: int,
    guard: Guard,
) -> None:
    """The files of the published system, into a run's folder."""
    write_metrics(folder, predictions[Split.TEST], samples, guard=guard)
    write_results(folder, predictions, samples)
    write_visualization(folder / "visualization", workspace, predictions[Split.TEST], seed=seed)


def read_samples(workspace: Workspace, attributes: list[str], *, persons: bool) -> pa.Table:
    """The columns of samples/ that scoring reads; an attribute that is no column is derived or refused later.

    persons: also those that tell a person, for a ``Guard``.
    """
    known = set(COLUMNS)
    names = (*_COLUMNS, *attributes, *(PERSON_COLUMNS if persons else ()))
    wanted = [name for name in dict.fromkeys(names) if name in known]
    return pa.table(DeltaTable(workspace.samples).to_pyarrow_table(columns=wanted))


def read_splits(folder: Path) -> dict[Split, pa.Table]:
    """A run's predictions of validation and test. Raises: BadInput where one is not there."""
    return {split: read_predictions(folder, split) for split in (Split.VALIDATION, Split.TEST)}


def read_predictions(folder: Path, split: str) -> pa.Table:
    """The predictions of one split. Raises: BadInput when there are none."""
    path = folder / "predictions" / f"{split}.parquet"
    if not path.exists():
        raise BadInput(f"{path}: expected predictions, got none; run `biascarevl predict` first")
    return pq.read_table(path)


def score_all(
    predictions: pa.Table,
    samples: pa.Table,
    attributes: list[str],
    *,
    num_resamples: int,
    delta: float = DELTA,
    seed: int,
    guard: Guard | None = None,
) -> tuple[pa.Table, pa.Table]:
    """Scores and gaps of every metric of every task found, without what ``guard`` hides.

    Gaps carry no task: where two tasks share a metric (accuracy), a task's own metrics stand for it.
    """
    scores, differences = [SCORES_SCHEMA.empty_table()], [GAPS_SCHEMA.empty_table()]
    for task in Task:
        rows = predictions.filter(pc.equal(predictions["task"], str(task)))
        if rows.num_rows == 0:
            continue
        for metric in METRICS_OF_TASK.get(task, ()):
            found = score(rows, samples, metric, attributes, num_resamples=num_resamples, seed=seed, guard=guard)
            scores.append(found.replace_schema_metadata(None))
            if METRICS[metric].tasks[0] == task:
                options: dict[str, Any] = {"num_resamples": num_resamples, "seed": seed, "delta": delta}
                differences.append(gaps(rows, samples, metric, attributes, **options, guard=guard))
    return pa.concat_tables(scores), pa.concat_tables(differences)
