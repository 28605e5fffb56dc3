"""The command line. Every command imports what it needs when it runs, so that --help answers at once."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from flows.config import Config

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="""BiasCareVL: raw medical image-text data in, measured bias, certified weights, shards,
    a bias-aware model and a group-by-group report out.

    Start with `biascarevl look FOLDER` on your own data, or `biascarevl demo`.""",
    epilog="Exit codes: 0 done, 1 a stage failed, 2 bad input, 3 a gate refused.",
)

ConfigFile = Annotated[Path, typer.Argument(metavar="CONFIG", help="The TOML configuration.", show_default=False)]
WorkspaceOption = Annotated[
    Path | None,
    typer.Option("--workspace", metavar="DIR", help="Where everything is written; overrides the configuration's key."),
]
Plain = Annotated[bool, typer.Option("--plain", help="Run the same stages without Prefect.")]


def main() -> None:
    """Run the command line; failures known to us are one line on standard error and an exit code."""
    from ingest.errors import BiasCareError

    try:
        app()
        code: int | str | None = 0
    except SystemExit as ended:
        code = ended.code
    except BiasCareError as error:
        print(f"biascarevl: {error}", file=sys.stderr)
        code = error.exit_code
    except KeyboardInterrupt:
        print("biascarevl: stopped; what was finished stands, run the same command to go on", file=sys.stderr)
        code = 130
    _silence_finalization()
    raise SystemExit(code)


def _silence_finalization() -> None:
    """Hide what DuckDB's binding prints about leaked types while the interpreter ends; everything is said by now."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"biascarevl {version('biascarevl')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options of the program itself."""


def _load(config: Path, workspace: Path | None) -> "Config":
    from flows.config import load_config

    return load_config(config, workspace=workspace)


@app.command()
def look(
    root: Annotated[Path, typer.Argument(metavar="ROOT", help="A folder with data sets in their own layouts.")],
    out: Annotated[Path | None, typer.Option(help="Where the page goes; default: ./bias.html")] = None,
) -> None:
    """Recognise the data under ROOT, count it, show its bias. No configuration, no training, no torch."""
    from flows.look import look_at

    page = look_at(root, out or Path("bias.html"))
    print(f"page: {page}")


@app.command()
def init(
    root: Annotated[Path, typer.Argument(metavar="ROOT", help="A folder with data sets in their own layouts.")],
    out: Annotated[Path, typer.Option(help="The configuration to write; an existing one is kept.")] = Path(
        "biascarevl.toml"
    ),
) -> None:
    """Write a configuration for the data under ROOT."""
    from flows.look import write_config

    write_config(root, out)
    print(f"config: {out}")


@app.command()
def simulate(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="An empty or new folder.")],
    samples: Annotated[int, typer.Option(min=30, help="Number of samples over all data sets.")] = 1200,
    seed: Annotated[int, typer.Option(help="Same seed, same bytes.")] = 2026,
    profile: Annotated[
        Literal["demo", "paper", "every"],
        typer.Option(help="demo: three small data sets; paper: the published corpus and proportions; every: all."),
    ] = "demo",
    images: Annotated[
        Literal["none", "sample", "all"], typer.Option(help="Which pictures are written; sample: one in a hundred.")
    ] = "all",
) -> None:
    """Write data sets in their native layouts with planted bias, and planted.json saying what was planted."""
    from flows.demo import simulate_into

    planted = simulate_into(folder, num_samples=samples, seed=seed, profile=profile, images=images)
    print(f"planted: {planted}")


@app.command()
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


@app.command()
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

        print_dry_run(_load(config, workspace))
        return
    _run_flow("refresh", config, workspace, plain)


@app.command()
def train(config: ConfigFile, workspace: WorkspaceOption = None, plain: Plain = False) -> None:
    """Train on the shards with DeepSpeed, drawing by the weights."""
    _run_flow("train", config, workspace, plain)


@app.command()
def evaluate(config: ConfigFile, workspace: WorkspaceOption = None, plain: Plain = False) -> None:
    """Predict, score group by group, and write the report."""
    _run_flow("evaluate", config, workspace, plain)


@app.command()
def run(config: ConfigFile, workspace: WorkspaceOption = None, plain: Plain = False) -> None:
    """Refresh, train, evaluate, report."""
    _run_flow("run", config, workspace, plain)
    print(f"report: {_load(config, workspace).workspace.report}")


@app.command()
def census(
    config: ConfigFile,
    workspace: WorkspaceOption = None,
    export: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Also write the dataset card there: Croissant, Markdown, tables.")
    ] = None,
) -> None:
    """Count the samples again."""
    _run_one(config, workspace, "census")
    if export is not None:
        from flows.export import export_card

        print(f"card: {export_card(_load(config, workspace), export)}")


@app.command()
def weigh(config: ConfigFile, workspace: WorkspaceOption = None) -> None:
    """Solve for the sampling weights again."""
    _run_one(config, workspace, "weigh")


@app.command()
def pack(config: ConfigFile, workspace: WorkspaceOption = None) -> None:
    """Write the shards again."""
    _run_one(config, workspace, "pack")


@app.command()
def verify(
    config: ConfigFile,
    workspace: WorkspaceOption = None,
    draws: Annotated[
        bool, typer.Option("--draws", help="Instead hold what the runs really drew against plan and targets.")
    ] = False,
) -> None:
    """Re-read every shard against its digest, the index and the samples table."""
    from flows.progress import Reporter
    from shards.mirror import verify_mirror
    from shards.verify import verify as verify_shards

    settings, reporter = _load(config, workspace), Reporter()
    if draws:
        from flows.audit_draws import audit_runs

        raise typer.Exit(audit_runs(settings.workspace))
    with reporter.stage("verify"):
        problems = verify_shards(settings.workspace, progress=reporter.rows)
        if settings.shards.store:
            problems += verify_mirror(settings.workspace.shards, settings.shards.store)
    for problem in problems:
        print(problem)
    print(f"{len(problems)} problems")
    raise typer.Exit(1 if problems else 0)


@app.command()
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

    settings = _load(config, workspace) if config else None
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


@app.command("import-weights")
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


@app.command()
def score(
    predictions: Annotated[Path, typer.Argument(metavar="PREDICTIONS", help="Parquet with the columns of README.")],
    samples: Annotated[Path, typer.Option(help="The samples: a Parquet file or a samples/ folder.")],
    attributes: Annotated[str, typer.Option(help="Comma-separated.")] = "sex,age_band,modality",
    out: Annotated[Path, typer.Option(help="Where scores.parquet and gaps.parquet go.")] = Path(),
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 2026,
) -> None:
    """Score any model's predictions group by group."""
    from flows.score import score_predictions

    for path in score_predictions(predictions, samples, attributes.split(","), out=out, seed=seed):
        print(path)


@app.command()
def dashboard(
    config: ConfigFile,
    workspace: WorkspaceOption = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="On this machine; 0 takes a free one.")] = 8050,
) -> None:
    """Show the census, the weights and the drift as live pages, on this machine only."""
    from flows.show import show_dashboard

    show_dashboard(_load(config, workspace), port=port)


@app.command()
def status(config: ConfigFile, workspace: WorkspaceOption = None) -> None:
    """Say which stages are up to date and which would run."""
    from flows.runner import print_status

    print_status(_load(config, workspace))


@app.command()
def quarantine(
    config: ConfigFile,
    workspace: WorkspaceOption = None,
    export: Annotated[Path | None, typer.Option(help="Also write the rows as CSV or Parquet.")] = None,
) -> None:
    """List the rows set aside, with their reasons."""
    from flows.runner import print_quarantine

    print_quarantine(_load(config, workspace), export)


@app.command()
def deidentify(
    source: Annotated[Path, typer.Argument(metavar="SRC", help="A folder of DICOM files.")],
    target: Annotated[Path, typer.Argument(metavar="DST", help="The new folder.")],
    key_file: Annotated[
        Path | None, typer.Option(help="Where the pseudonym key stands; default: BIASCAREVL_KEY.")
    ] = None,
    allow_burned_in: Annotated[bool, typer.Option(help="Also write pictures with text burned into them.")] = False,
) -> None:
    """De-identify DICOM files by PS3.15 Annex E: basic profile, clean descriptors, modified dates."""
    from flows.config import pseudonym_key
    from ingest.deidentify_files import deidentify_folder

    key = pseudonym_key(key_file, "deidentify")
    for outcome, number in deidentify_folder(source, target, key, allow_burned_in=allow_burned_in).items():
        print(f"{outcome}: {number}")


def _run_one(config: Path, workspace: Path | None, name: str) -> None:
    from flows.runner import run_again

    run_again(_load(config, workspace), name)


def _run_flow(name: str, config: Path, workspace: Path | None, plain: bool) -> None:
    """Run a pipeline, through Prefect unless ``plain``; Prefect is not imported when nothing is stale."""
    from flows.runner import PIPELINES, check, is_up_to_date, run_pipeline

    settings = _load(config, workspace)
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


if __name__ == "__main__":
    main()
