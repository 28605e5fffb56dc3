"""Commands that run a pipeline or a model: refresh, train, evaluate, predict, score."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli_app import ConfigFile, Plain, WorkspaceOption, app, load_settings

if TYPE_CHECKING:
    from flows.config import Config

PANEL = "Pipelines and models"


@app.command(rich_help_panel=PANEL)
def demo(
    workspace: Annotated[Path, typer.Option("--workspace", metavar="DIR", help="Where the demo lives.")] = Path(
        "work/demo"
    ),
    plain: Plain = False,
) -> None:
    """Simulate a small corpus, then run everything: the whole way in a few minutes. A second run skips what is done."""
    from flows.demo import prepare_demo, publish_report

    config = prepare_demo(workspace)
    _run_flow("run", config, None, plain)
    print(f"report: {publish_report(workspace)}")


@app.command(rich_help_panel=PANEL)
def refresh(
    config: ConfigFile,
    workspace: WorkspaceOption = None,
    plain: Plain = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would change, rows, bytes and hours; write nothing.")
    ] = False,
) -> None:
    """Read, clean, validate, guard, count, weigh and pack what changed; nothing else."""
    if dry_run:
        from flows.dry_run import print_dry_run

        print_dry_run(load_settings(config, workspace))
        return
    _run_flow("refresh", config, workspace, plain)


@app.command(rich_help_panel=PANEL)
def train(config: ConfigFile, workspace: WorkspaceOption = None, plain: Plain = False) -> None:
    """Train on the shards with DeepSpeed, drawing by the weights."""
    _run_flow("train", config, workspace, plain)


@app.command(rich_help_panel=PANEL)
def evaluate(config: ConfigFile, workspace: WorkspaceOption = None, plain: Plain = False) -> None:
    """Predict, score group by group, and write the report."""
    _run_flow("evaluate", config, workspace, plain)


@app.command(rich_help_panel=PANEL)
def run(config: ConfigFile, workspace: WorkspaceOption = None, plain: Plain = False) -> None:
    """Refresh, train, evaluate, report."""
    _run_flow("run", config, workspace, plain)
    print(f"report: {load_settings(config, workspace).workspace.report}")


@app.command(rich_help_panel=PANEL)
def predict(
    config: Annotated[
        Path | None, typer.Argument(metavar="[CONFIG]", help="The TOML configuration; none with --image and --weights.")
    ] = None,
    workspace: WorkspaceOption = None,
    image: Annotated[Path | None, typer.Option(help="Ask about this one picture instead of the packed splits.")] = None,
    question: Annotated[str, typer.Option(help="Asked about it; a description where there is none.")] = "",
    target: Annotated[str, typer.Option(help="The structure to segment, in words.")] = "",
    point: Annotated[
        list[str] | None, typer.Option(metavar="X,Y", help="A click on the structure in px; X,Y,0 is one off it.")
    ] = None,
    box: Annotated[str, typer.Option(metavar="X0,Y0,X1,Y1", help="A box around the structure in px.")] = "",
    weights: Annotated[Path | None, typer.Option(help="A folder of ours; default: the current run.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where results/ and visualization/ go.")] = None,
) -> None:
    """Predict validation and test with the current run or given weights, or one picture from the shell."""
    from ingest.errors import BadInput

    settings = load_settings(config, workspace) if config else None
    if image is None:
        if question or target or point or box or out:
            raise BadInput("predict: expected --image beside --question, --target, --point, --box, --out, got none")
        if settings is None:
            raise BadInput("predict: expected CONFIG, or --image and --weights, got neither")
        if weights is not None:
            from flows.predict_with import predict_with

            print(f"results: {predict_with(settings, weights) / 'results'}")
            return
        from flows.runner import run_stages
        from flows.stages import evaluate_stages

        run_stages(settings, [stage for stage in evaluate_stages(settings) if stage.name == "predict"])
        return
    if settings is None and weights is None:
        raise BadInput("predict: expected CONFIG or --weights beside --image, got neither")
    from flows.ask import Asked, ask, box_of, point_of, summary_lines, weights_of

    asked = Asked(
        image=image, question=question, target=target, points=tuple(map(point_of, point or [])),
        box=box_of(box) if box else None,
    )  # fmt: skip
    folder = out or (settings.workspace.root / "asked" if settings else Path())
    source = weights if settings is None else weights or weights_of(settings.workspace)
    assert source is not None, "checked above"
    for line in summary_lines(ask(asked, weights=source, out=folder)):
        print(line)
    print(f"results: {folder / 'results' / f'{image.stem}.json'}")


@app.command("import-weights", rich_help_panel=PANEL)
def import_weights(
    source: Annotated[Path, typer.Argument(metavar="SRC", help="Released weights: a file, or a folder with one.")],
    destination: Annotated[Path, typer.Argument(metavar="DST", help="The new folder of ours.")],
    config: Annotated[
        Path | None, typer.Option(help="JSON with vl, seg, cls_num; default: parity.json or config.json beside SRC.")
    ] = None,
    language: Annotated[
        Path | None, typer.Option(help="A Qwen2.5-VL or HuatuoGPT-Vision folder: tokenizer and configuration.")
    ] = None,
    head: Annotated[str, typer.Option(help="Which classification head, where its tensors do not tell.")] = "",
    classes: Annotated[str, typer.Option(help="Names of the classes, comma-separated, in the order of outputs.")] = "",
) -> None:
    """Take released weights, under the published names, into a folder of ours. Nothing in them is executed."""
    from model.import_weights import import_weights as import_into

    names = tuple(name.strip() for name in classes.split(",") if name.strip())
    network = import_into(source, destination, config_file=config, language=language, head=head, classes=names)
    print(f"weights: {destination} ({sum(p.numel() for p in network.parameters()):,} parameters)")


@app.command(rich_help_panel=PANEL)
def score(
    predictions: Annotated[Path, typer.Argument(metavar="PREDICTIONS", help="Parquet with the columns of README.")],
    samples: Annotated[Path, typer.Option(help="The samples: a Parquet file or a samples/ folder.")],
    attributes: Annotated[str, typer.Option(help="Comma-separated.")] = "sex,age_band,modality",
    out: Annotated[Path, typer.Option(help="Where scores.parquet and gaps.parquet go.")] = Path(),
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 2026,
    identifiable: Annotated[
        str, typer.Option(help="Data sets, comma-separated, whose groups of few persons are hidden.")
    ] = "",
    suppress_below: Annotated[int, typer.Option(min=1, help="Persons: fewer are few.")] = 11,
) -> None:
    """Score any model's predictions group by group."""
    from flows.score import score_predictions

    guarded = [name.strip() for name in identifiable.split(",") if name.strip()]
    paths = score_predictions(
        predictions, samples, attributes.split(","), out=out, seed=seed, identifiable=guarded,
        suppress_below=suppress_below,
    )  # fmt: skip
    for path in paths:
        print(path)


def _run_flow(name: str, config: Path, workspace: Path | None, plain: bool) -> None:
    """Run a pipeline, through Prefect unless ``plain``; Prefect is not imported when nothing is stale."""
    from flows.runner import PIPELINES, check, is_up_to_date, run_pipeline

    settings = load_settings(config, workspace)
    if is_up_to_date(settings, name):
        print("unchanged: nothing to do")
        return
    if plain:
        run_pipeline(settings, PIPELINES[name])
        return
    check(settings, name)
    flow = _prefect_flow(name, settings)
    flow(str(settings.source), str(settings.workspace.root))


def _prefect_flow(name: str, settings: "Config") -> Callable[..., Any]:
    """The Prefect flow of a pipeline; a private temporary server unless one is configured."""
    for variable, value in {
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",  # failures are told once, by main
    }.items():
        os.environ.setdefault(variable, value)
    if "PREFECT_API_URL" not in os.environ and not (Path.home() / ".prefect" / "profiles.toml").exists():
        home = settings.workspace.root / ".prefect"
        home.mkdir(parents=True, exist_ok=True)  # Prefect makes the folder itself, but not the ones above it
        os.environ.setdefault("PREFECT_HOME", str(home))
    from flows import full_pipeline

    return full_pipeline.FLOWS[name]
