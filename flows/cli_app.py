"""The program itself and what its commands share: the options, and a checked configuration."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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


def load_settings(config: Path, workspace: Path | None) -> "Config":
    """The checked configuration of a command."""
    from flows.config import load_config

    return load_config(config, workspace=workspace)
