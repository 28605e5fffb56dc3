"""One stage as one Prefect task: a call, its retries, its tags. Stages skip themselves, so nothing is cached here."""

from pathlib import Path
from typing import Any

from prefect import task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE

from flows.config import Config, load_config
from flows.progress import Reporter
from flows.runner import Listing
from flows.stages import Stage, Summary, locked, preflight, run_stage, stale


def _is_worth_a_retry(task_: Any, run: Any, state: Any) -> bool:
    """A full disk or a lost mount may heal; bad rows, bad input and a refusing gate do not."""
    try:
        state.result()
    except OSError:
        return True
    except Exception:
        return False
    return False


@task(
    name="stage",
    task_run_name="{name}",
    tags=["biascarevl-stage"],
    retries=1,
    retry_delay_seconds=5,
    retry_condition_fn=_is_worth_a_retry,
    cache_policy=NO_CACHE,
)
def stage_task(config: str, workspace: str, listing: Listing, name: str) -> Summary:
    """Run the stage ``name`` of ``listing``; its files are its result, the summary is small."""
    settings = load_config(Path(config), workspace=Path(workspace))
    return run_stage(settings, _named(listing(settings), name), Reporter())


def _named(stages: list[Stage], name: str) -> Stage:
    return next(stage for stage in stages if stage.name == name)


def run_tasks(settings: Config, listing: Listing) -> dict[str, Summary]:
    """Run the stages of one part of a pipeline as tasks, in order, under the workspace's lock."""
    stages = listing(settings)
    preflight(settings, stale(settings, stages))
    source, workspace = str(settings.source), str(settings.workspace.root)
    with locked(settings.workspace):
        return {stage.name: stage_task(source, workspace, listing, stage.name) for stage in stages}


def publish_rows(summaries: dict[str, Summary]) -> None:
    """Rows in, samples and quarantined per dataset, as a table on the flow run's page."""
    rows = [
        {"dataset": name, **{key: facts[key] for key in ("rows_in", "samples", "quarantined")}}
        for name, facts in summaries["curate"]["datasets"].items()
    ]
    create_table_artifact(key="biascarevl-rows", table=rows, description="Rows in = samples + quarantined")


def settings_of(config: str, workspace: str | None) -> Config:
    """The checked configuration of a flow's parameters."""
    return load_config(Path(config), workspace=Path(workspace) if workspace else None)
