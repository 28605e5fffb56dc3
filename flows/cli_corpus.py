"""Commands about a corpus: look at it, count, weigh, pack and verify it, show it, clean it."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from flows.cli_app import ConfigFile, WorkspaceOption, app, load_settings

PANEL = "A corpus"


@app.command(rich_help_panel=PANEL)
def look(
    root: Annotated[Path, typer.Argument(metavar="ROOT", help="A folder with data sets in their own layouts.")],
    out: Annotated[Path | None, typer.Option(help="Where the page goes; default: ./bias.html")] = None,
) -> None:
    """Recognise the data under ROOT, count it, show its bias. No configuration, no training, no torch."""
    from flows.look import look_at

    page = look_at(root, out or Path("bias.html"))
    print(f"page: {page}")


@app.command(rich_help_panel=PANEL)
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


@app.command(rich_help_panel=PANEL)
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


@app.command(rich_help_panel=PANEL)
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

        print(f"card: {export_card(load_settings(config, workspace), export)}")


@app.command(rich_help_panel=PANEL)
def weigh(config: ConfigFile, workspace: WorkspaceOption = None) -> None:
    """Solve for the sampling weights again."""
    _run_one(config, workspace, "weigh")


@app.command(rich_help_panel=PANEL)
def pack(config: ConfigFile, workspace: WorkspaceOption = None) -> None:
    """Write the shards again."""
    _run_one(config, workspace, "pack")


@app.command(rich_help_panel=PANEL)
def verify(
    config: ConfigFile,
    workspace: WorkspaceOption = None,
    draws: Annotated[
        bool, typer.Option("--draws", help="Instead hold what the runs really drew against plan and targets.")
    ] = False,
) -> None:
    """Re-read every shard against its digest, the index and the samples table."""
    from flows.progress import Reporter
    from shards.mirror_check import verify_mirror
    from shards.verify import verify as verify_shards

    settings, reporter = load_settings(config, workspace), Reporter()
    if draws:
        from flows.audit_draws import audit_runs

        raise typer.Exit(audit_runs(settings.workspace))
    with reporter.stage("verify"):
        problems = verify_shards(settings.workspace, progress=reporter.rows)
        if settings.shards.store:
            problems += verify_mirror(settings.workspace.shards, settings.shards.store, progress=reporter.rows)
    for problem in problems:
        print(problem)
    print(f"{len(problems)} problems")
    raise typer.Exit(1 if problems else 0)


@app.command(rich_help_panel=PANEL)
def dashboard(
    config: ConfigFile,
    workspace: WorkspaceOption = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="On this machine; 0 takes a free one.")] = 8050,
) -> None:
    """Show the census, the weights and the drift as live pages, on this machine only."""
    from flows.show import show_dashboard

    show_dashboard(load_settings(config, workspace), port=port)


@app.command(rich_help_panel=PANEL)
def status(config: ConfigFile, workspace: WorkspaceOption = None) -> None:
    """Say which stages are up to date and which would run."""
    from flows.runner import print_status

    print_status(load_settings(config, workspace))


@app.command(rich_help_panel=PANEL)
def quarantine(
    config: ConfigFile,
    workspace: WorkspaceOption = None,
    export: Annotated[Path | None, typer.Option(help="Also write the rows as CSV or Parquet.")] = None,
) -> None:
    """List the rows set aside, with their reasons."""
    from flows.runner import print_quarantine

    print_quarantine(load_settings(config, workspace), export)


@app.command(rich_help_panel=PANEL)
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

    run_again(load_settings(config, workspace), name)
