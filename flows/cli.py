"""The command line. Every command imports what it needs when it runs, so that --help answers at once."""

import os
import sys

from flows import cli_corpus, cli_runs
from flows.cli_app import app

__all__ = ["app", "cli_corpus", "cli_runs", "main"]  # importing the commands is what puts them into the program


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


if __name__ == "__main__":
    main()
