"""Flows: refresh (raw files to shards) and the full pipeline (raw files to report)."""

from collections.abc import Callable
from typing import Any

from prefect import flow

from flows.build_shards import build_shards
from flows.evaluate_model import evaluate_model
from flows.ingest_datasets import ingest_datasets
from flows.stage_task import publish_rows
from flows.stages import Summary
from flows.train_model import train_model


@flow(name="refresh", log_prints=True)
def refresh(config: str, workspace: str | None = None) -> dict[str, Summary]:
    """Bring samples, census, weights and shards up to date; unchanged stages are skipped."""
    summaries = ingest_datasets(config, workspace) | build_shards(config, workspace)
    publish_rows(summaries)
    return summaries


@flow(name="full-pipeline", log_prints=True)
def full_pipeline(config: str, workspace: str | None = None) -> dict[str, Summary]:
    """Refresh, train, evaluate, report."""
    summaries = refresh(config, workspace)
    return summaries | train_model(config, workspace) | evaluate_model(config, workspace)


FLOWS: dict[str, Callable[..., Any]] = {
    "refresh": refresh,
    "train": train_model,
    "evaluate": evaluate_model,
    "run": full_pipeline,
}
"""By the name of the command that starts them."""
