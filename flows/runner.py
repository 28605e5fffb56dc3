"""Pipelines without Prefect: lists of stages, run in order under the workspace's lock."""

from collections.abc import Callable
from pathlib import Path

from deltalake import DeltaTable

from flows.config import Config
from flows.progress import Reporter
from flows.stages import (
    Stage,
    Summary,
    evaluate_stages,
    locked,
    preflight,
    refresh_stages,
    run_stage,
    stale,
    train_stages,
)
from ingest.errors import BadInput, BiasCareError
from ingest.sample import COLUMNS

Listing = Callable[[Config], list[Stage]]

# Each part's stages can only be listed once the part before it has finished: their digests build on it.
PIPELINES: dict[str, list[Listing]] = {
    "refresh": [refresh_stages],
    "train": [train_stages],
    "evaluate": [evaluate_stages],
    "run": [refresh_stages, train_stages, evaluate_stages],
}


def is_up_to_date(config: Config, name: str) -> bool:
    """Whether every stage of a pipeline is fresh."""
    try:
        return not any(stale(config, listing(config)) for listing in PIPELINES[name])
    except BadInput:  # a later part whose predecessor has not finished
        return False


def check(config: Config, name: str) -> None:
    """Refuse what can be known before the first stage of a pipeline runs, and before anything is written."""
    first = PIPELINES[name][0](config)
    preflight(config, stale(config, first))


def run_pipeline(config: Config, listings: list[Listing]) -> dict[str, Summary]:
    """Run the parts of a pipeline one after another."""
    summaries: dict[str, Summary] = {}
    for listing in listings:
        summaries |= run_stages(config, listing(config))
    return summaries


def run_stages(config: Config, stages: list[Stage]) -> dict[str, Summary]:
    """Run what is stale of ``stages``, in order, one process to a workspace."""
    preflight(config, stale(config, stages))
    reporter = Reporter()
    with locked(config.workspace):
        return {stage.name: run_stage(config, stage, reporter) for stage in stages}


def run_again(config: Config, name: str) -> None:
    """Run one stage of refresh whether it is stale or not; the stages before it must be fresh."""
    stages = refresh_stages(config)
    position = [stage.name for stage in stages].index(name)
    # census, weigh and pack build on the curated table alone.
    before = [stage for stage in stages[:position] if stage.name not in ("census", "weigh")]
    behind = stale(config, before)
    if behind:
        raise BiasCareError(f"stage {name} needs {behind[0].name}, which is stale; run `biascarevl refresh` first")
    config.workspace.stamp(name).unlink(missing_ok=True)
    run_stages(config, [stages[position]])


def print_status(config: Config) -> None:
    """One line per stage: fresh or stale."""
    for listing in PIPELINES["run"]:
        try:
            stages = listing(config)
        except BadInput as error:
            print(f"waiting  {error}")
            continue
        behind = {stage.name for stage in stale(config, stages)}
        for stage in stages:
            print(f"{'stale' if stage.name in behind else 'fresh':8} {stage.name}")


def print_quarantine(config: Config, export: Path | None) -> None:
    """Rows set aside, counted by dataset and reason; all of them into ``export`` where asked for."""
    import duckdb

    if not config.workspace.quarantine.exists():
        raise BadInput(
            f"{config.workspace.quarantine}: expected a quarantine table, got none; run `biascarevl refresh` first"
        )
    connection = duckdb.connect()
    connection.register("quarantine", DeltaTable(config.workspace.quarantine).to_pyarrow_dataset())
    rows = connection.execute(
        "SELECT dataset, reason, detail, count(*) FROM quarantine GROUP BY ALL ORDER BY 1, 4 DESC, 2, 3"
    ).fetchall()
    for dataset, reason, detail, count in rows:
        print(f"{count:8,}  {dataset}  {reason}: {detail}")
    print(f"{sum(row[3] for row in rows):8,}  rows in quarantine")
    if export:
        flat = ", ".join(f"CAST({name} AS VARCHAR) AS {name}" for name in COLUMNS)
        kind = "PARQUET" if export.suffix == ".parquet" else "CSV, HEADER"
        query = f"SELECT reason, detail, {flat} FROM quarantine ORDER BY dataset, source_file, source_row"
        connection.execute(f"COPY ({query}) TO '{str(export).replace(chr(39), chr(39) * 2)}' (FORMAT {kind})")
        print(f"exported: {export}")
