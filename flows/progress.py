"""What a person sees while stages run: a bar on a terminal, plain lines elsewhere. All on standard error."""

import contextlib
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

SHOWN_NOTES = 5
PLAIN_LINE_SECONDS = 10.0
"""Without a terminal, long work says where it is this often."""


class Reporter:
    """Tells the start, the rows done and the end of each stage."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True, highlight=False, soft_wrap=True)
        self._progress: Progress | None = None
        self._title = ""
        self._started = self._last_line = 0.0

    @contextlib.contextmanager
    def stage(self, title: str) -> Iterator[None]:
        """Show ``title`` as under way until the block ends."""
        self._title, self._started = title, time.monotonic()
        self._last_line = self._started
        if not self.console.is_terminal:
            yield
            return
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self.console, transient=True) as self._progress:
            self._progress.add_task(title, total=None, rate="")
            yield
        self._progress = None

    def rows(self, done: int, total: int | None = None) -> None:
        """``done`` rows of ``total`` are finished."""
        now = time.monotonic()
        per_second = done / max(now - self._started, 1e-9)
        rate = f"{per_second:,.0f} rows/s"
        if self._progress:
            self._progress.update(self._progress.task_ids[0], completed=done, total=total, rate=rate)
        elif now - self._last_line > PLAIN_LINE_SECONDS:
            self._last_line = now
            of_total = f" of {total:,}" if total else ""
            left = f", {timedelta(seconds=round((total - done) / per_second))} left" if total and done else ""
            self.console.print(f"  {self._title}: {done:,}{of_total} rows, {rate}{left}")

    def step(self, name: str) -> None:
        """A part of the stage, whose length nobody knows beforehand, begins."""
        if self._progress:
            self._progress.update(self._progress.task_ids[0], description=f"{self._title}: {name}")
        elif time.monotonic() - self._last_line > PLAIN_LINE_SECONDS:
            self._last_line = time.monotonic()
            self.console.print(f"  {self._title}: {name}")

    def finished(self, title: str, summary: dict[str, Any]) -> None:
        """The figures of a summary in one line, then each of its ``notes``."""
        seconds = time.monotonic() - self._started
        told = ", ".join(
            f"{key} {_short(value)}" for key, value in summary.items() if not isinstance(value, dict | list)
        )
        self.console.print(f"[green]done[/] {title} [dim]({seconds:.1f} s)[/] {told}")
        notes = summary.get("notes", [])
        for note in notes[:SHOWN_NOTES]:
            self.console.print(f"  note: {note}", markup=False)
        if len(notes) > SHOWN_NOTES:
            self.console.print(f"  and {len(notes) - SHOWN_NOTES} further notes, in the report")

    def skipped(self, title: str) -> None:
        self.console.print(f"[dim]unchanged {title}[/]")


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
