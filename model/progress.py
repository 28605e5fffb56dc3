"""Show how far a worker is, from the lines it appends to train.jsonl: a bar on a terminal, plain lines without."""

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.5


def watch(worker: "subprocess.Popen[bytes]", journal: Path, *, name: str) -> int:
    """Follow ``journal`` until ``worker`` ends; returns its exit code."""
    if sys.stderr.isatty():
        _watch_with_bar(worker, journal, name)
    else:
        _watch_with_lines(worker, journal, name)
    return worker.wait()


def _watch_with_bar(worker: "subprocess.Popen[bytes]", journal: Path, name: str) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task(f"train {name}", total=None)
        for line in _new_lines(worker, journal):
            description = f"train {name} loss {line['loss']:.3f}"
            progress.update(bar, completed=line["step"], total=line["num_steps"], description=description)


def _watch_with_lines(worker: "subprocess.Popen[bytes]", journal: Path, name: str) -> None:
    """About ten lines over the whole training."""
    for line in _new_lines(worker, journal):
        every = max(1, line["num_steps"] // 10)
        if line["step"] % every == 0 or line["step"] == line["num_steps"]:
            logger.info("train %s: step %d of %d, loss %.3f", name, line["step"], line["num_steps"], line["loss"])


def _new_lines(worker: "subprocess.Popen[bytes]", journal: Path) -> Iterator[dict[str, Any]]:
    """Whole lines as they are appended, until the worker has ended and all is read."""
    position, rest = 0, ""
    while True:
        ended = worker.poll() is not None
        if journal.exists():
            with journal.open() as stream:
                stream.seek(position)
                rest += stream.read()
                position = stream.tell()
        *lines, rest = rest.split("\n")
        yield from (json.loads(line) for line in lines)
        if ended:
            return
        try:
            worker.wait(timeout=POLL_SECONDS)
        except subprocess.TimeoutExpired:
            continue
