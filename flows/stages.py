"""The stages in the order of the data: what each reads, when it is stale, how it is run. No Prefect.

A stage's digest covers its own settings and the digests of the stages before it, so that a change
anywhere makes everything behind it stale, and nothing else.
"""

import dataclasses
import functools
import json
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deltalake import DeltaTable

from flows.config import Config
from flows.progress import Reporter
from ingest.census import take_census
from ingest.curate import curate
from ingest.dataset_config import DatasetConfig
from ingest.errors import BadInput
from ingest.read import check_not_empty, read_dataset, read_digest
from ingest.staging import staged_of
from ingest.workspace import Workspace, digest_of, is_fresh, locked_file, read_stamp, tree_digest, write_stamp
from shards.manifest import shard_paths
from shards.pack import pack
from shards.rows import prepare_training_rows
from shards.weigh import weigh

logger = logging.getLogger(__name__)

Summary = dict[str, Any]

SHARD_STAGES = ("weigh", "pack")
"""The part of a refresh that starts from the published samples table."""


@dataclass(frozen=True)
class Stage:
    """One step. ``run`` returns its summary; ``outputs`` must stand for the stage to be skipped.

    contents: what must stand besides, named once the stage has run.
    """

    name: str
    title: str
    digest: str
    run: Callable[[Reporter], Summary]
    outputs: list[Path]
    contents: Callable[[], list[Path]] = list


def refresh_stages(config: Config) -> list[Stage]:
    """Read every dataset, curate, count, weigh, pack."""
    workspace = config.workspace
    reads = [_read_stage(config, dataset) for dataset in config.datasets]
    digests = {dataset.name: stage.digest for dataset, stage in zip(config.datasets, reads, strict=True)}
    policies = [(dataset.name, dataset.split) for dataset in config.datasets]
    curated = digest_of([[stage.digest for stage in reads], _plain(config.gates), policies])
    identifiable = config.identifiable
    caps = {dataset.name: dataset.max_repeats for dataset in config.datasets}
    audited = tree_digest(config.census.audit) if config.census.audit else None
    draws = (config.training.epochs, config.training.draws_per_epoch)
    return [
        *reads,
        Stage(
            "curate", "split, validate, guard", curated,
            functools.partial(_curate, config, digests),
            [workspace.samples, workspace.quarantine, workspace.validation, workspace.leakage],
        ),
        Stage(
            "census", "count", digest_of([curated, _plain(config.census), audited, sorted(identifiable)]),
            lambda reporter: take_census(
                workspace, config.census, identifiable=identifiable, progress=reporter.step,
                roots={dataset.name: dataset.pictures for dataset in config.datasets},
            ),
            [workspace.census],
        ),
        Stage(
            "weigh", "weigh",
            digest_of([curated, _plain(config.weights), config.census.attributes, caps, draws, sorted(identifiable),
                       config.census.suppress_below]),
            functools.partial(_weigh, config, caps),
            [workspace.weights, workspace.solution],
        ),
        Stage(
            "pack", "pack", digest_of([curated, _plain(config.shards)]),
            functools.partial(_pack, config),
            [workspace.index, workspace.manifest], lambda: shard_paths(workspace),
        ),
    ]  # fmt: skip


def train_stages(config: Config) -> list[Stage]:
    """Train on what refresh published. Raises: BadInput when that is not up to date."""
    workspace = config.workspace
    check_refreshed(config)
    inputs = [_finished(workspace, "weigh"), _finished(workspace, "pack")]
    digest = digest_of([inputs, _plain(config.model), _plain(config.training), config.seed])
    return [Stage("train", "train", digest, functools.partial(_train, config), [workspace.runs / "current.json"])]


def check_refreshed(config: Config) -> None:
    """Raises: BadInput where a refresh would change something."""
    behind = stale(config, refresh_stages(config))
    if behind:
        raise BadInput(
            f"{config.workspace.root}: expected a finished refresh, got stale {behind[0].name}; "
            "run `biascarevl refresh` first"
        )


def evaluate_stages(config: Config) -> list[Stage]:
    """Predict, score and report the current run."""
    workspace = config.workspace
    trained = _finished(workspace, "train")
    folder = workspace.runs / current_run(workspace)
    predicted = digest_of([trained, "predict"])
    hidden = (sorted(config.identifiable), config.census.suppress_below)
    scored = digest_of([predicted, _plain(config.evaluation), config.seed, hidden])
    return [
        Stage(
            "predict", "predict", predicted, functools.partial(_predict, config),
            [folder / "predictions"],
        ),
        Stage(
            "evaluate", "score", scored, functools.partial(_evaluate, config),
            [folder / "scores.parquet", folder / "gaps.parquet"],
        ),
        Stage(
            "report", "report", digest_of([scored, _finished(workspace, "census"), _finished(workspace, "weigh")]),
            functools.partial(_report, config), [workspace.report],
        ),
    ]  # fmt: skip


def stale(config: Config, stages: list[Stage]) -> list[Stage]:
    """The stages whose inputs changed since they last finished, or whose outputs are gone."""
    return [stage for stage in stages if not is_fresh(config.workspace, stage.name, stage.digest)]


def preflight(config: Config, stages: list[Stage]) -> None:
    """Refuse an empty dataset among the stale ones, before anything is written."""
    names = {stage.name for stage in stages}
    for dataset in config.datasets:
        if read_name(dataset) in names:
            check_not_empty(dataset)


def run_stage(config: Config, stage: Stage, reporter: Reporter) -> Summary:
    """Run one stage unless it is fresh, and stamp it when it finished."""
    workspace = config.workspace
    if is_fresh(workspace, stage.name, stage.digest):
        reporter.skipped(stage.title)
        stamp = read_stamp(workspace, stage.name)
        assert stamp is not None, "a fresh stage has a stamp"
        summary: Summary = stamp["summary"]
        return summary
    with reporter.stage(stage.title):
        summary = stage.run(reporter)
    outputs = [*stage.outputs, *stage.contents()]
    write_stamp(workspace, stage.name, digest=stage.digest, outputs=outputs, summary=summary)
    reporter.finished(stage.title, summary)
    return summary


def locked(workspace: Workspace) -> AbstractContextManager[None]:
    """Hold the workspace for this process; a second one is told so instead of writing beside the first."""
    return locked_file(workspace.root / ".lock")


def read_name(dataset: DatasetConfig) -> str:
    return f"read-{dataset.name}"


def current_run(workspace: Workspace) -> str:
    """The run that train last finished. Raises: BadInput when there is none."""
    path = workspace.runs / "current.json"
    if not path.exists():
        raise BadInput(f"{workspace.root}: expected a trained run, got none; run `biascarevl train` first")
    run: str = json.loads(path.read_text())["run"]
    return run


def _finished(workspace: Workspace, stage: str) -> str:
    """The digest of a stage that must have finished. Raises: BadInput when it has not."""
    stamp = read_stamp(workspace, stage)
    if stamp is None:
        before = "train" if stage == "train" else "refresh"
        raise BadInput(f"{workspace.root}: expected stage {stage} to be finished; run `biascarevl {before}` first")
    digest: str = stamp["digest"]
    return digest


def _plain(settings: Any) -> Any:
    return dataclasses.asdict(settings)


def _read_stage(config: Config, dataset: DatasetConfig) -> Stage:
    def run(reporter: Reporter) -> Summary:
        return read_dataset(config.workspace, dataset, progress=reporter.rows)

    staged = staged_of(config.workspace, dataset.name)
    return Stage(
        read_name(dataset), f"read {dataset.name}", read_digest(config.workspace, dataset), run,
        [staged.samples, staged.rejected, staged.files],
    )  # fmt: skip


def _curate(config: Config, digests: dict[str, str], reporter: Reporter) -> Summary:
    return curate(config.workspace, config.datasets, config.gates, digests=digests)


def _weigh(config: Config, caps: dict[str, int | None], reporter: Reporter) -> Summary:
    summary = weigh(
        config.workspace, config.weights, attributes=list(config.census.attributes), max_repeats=caps,
        num_epochs=config.training.epochs, draws_per_epoch=config.training.draws_per_epoch,
        identifiable=config.identifiable, suppress_below=config.census.suppress_below,
    )  # fmt: skip
    prepare_training_rows(config.workspace)
    return summary


def _pack(config: Config, reporter: Reporter) -> Summary:
    roots = {dataset.name: dataset.pictures for dataset in config.datasets}
    version = DeltaTable(config.workspace.samples).version()
    summary = pack(config.workspace, roots, config.shards, samples_version=version, progress=reporter.rows)
    prepare_training_rows(config.workspace)
    return summary


def _train(config: Config, reporter: Reporter) -> Summary:
    from model.train import train

    return train(config.workspace, model=config.model, training=config.training, seed=config.seed)


def _predict(config: Config, reporter: Reporter) -> Summary:
    from model.predict import predict

    return predict(config.workspace, run=current_run(config.workspace), seed=config.seed)


def _evaluate(config: Config, reporter: Reporter) -> Summary:
    from evaluation.evaluate import evaluate

    settings = config.evaluation
    return evaluate(
        config.workspace, run=current_run(config.workspace), attributes=list(settings.attributes),
        num_resamples=settings.num_resamples, delta=settings.delta, seed=config.seed,
        identifiable=config.identifiable, suppress_below=config.census.suppress_below,
    )  # fmt: skip


def _report(config: Config, reporter: Reporter) -> Summary:
    from evaluation.report import write_report

    path = write_report(
        config.workspace,
        run=current_run(config.workspace),
        out=config.workspace.report,
        title=config.source.stem,
        num_pictures=0 if config.identifiable else config.evaluation.report_pictures,
    )
    return {"report": path.name}
