"""Predict the packed validation and test splits with weights from elsewhere: nothing is trained."""

from pathlib import Path

from flows.config import Config
from flows.progress import Reporter
from flows.stages import check_refreshed, locked
from ingest.errors import BadInput
from ingest.workspace import Workspace, digest_of, tree_digest, write_json


def predict_with(config: Config, weights: Path) -> Path:
    """Predictions, ``cls_metrics.json``, ``dir_metrics.json``, ``results/`` and ``visualization/`` in a run of its own.

    Args: weights: a folder of ours, as ``biascarevl import-weights`` or a training leaves one.
    Returns: the run's folder; ``runs/current.json`` still names the trained run.
    Raises: BadInput without a finished refresh or for a folder without a network.
    """
    from evaluation.evaluate import read_samples, read_splits, write_published
    from evaluation.suppression import Guard
    from model.predict import predict

    check_refreshed(config)
    if not (weights / "config.json").is_file():
        raise BadInput(
            f"{weights}: expected a folder of ours with config.json, got none; see biascarevl import-weights"
        )
    reporter = Reporter()
    with locked(config.workspace):
        folder = describe(config.workspace, weights.resolve(), seed=config.seed)
        with reporter.stage("predict"):
            summary = predict(config.workspace, run=folder.name, seed=config.seed)
            samples = read_samples(config.workspace, [], persons=bool(config.identifiable))
            guard = Guard.of(samples, identifiable=config.identifiable, below=config.census.suppress_below)
            write_published(config.workspace, folder, read_splits(folder), samples, seed=config.seed, guard=guard)
        reporter.finished("predict", summary)
    return folder


def describe(workspace: Workspace, weights: Path, *, seed: int) -> Path:
    """Write the ``run.json`` of weights from elsewhere; the run is named by them and by the corpus."""
    digest = digest_of([tree_digest(weights), workspace.manifest.read_text(), seed])
    folder = workspace.runs / f"given-{weights.name}-{digest[:8]}"
    write_json(folder / "run.json", {"run": folder.name, "digest": digest, "seed": seed, "weights": str(weights)})
    return folder
