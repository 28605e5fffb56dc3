"""What a refresh would do, before it does anything: changed files, expected against found rows, bytes and hours.

No picture is opened. Bytes after packing and hours are estimates from the measured costs below.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass

import pyarrow.compute as pc

from flows.config import Config
from flows.stages import read_name, refresh_stages, stale
from ingest.adapters import ADAPTERS
from ingest.dataset_config import DatasetConfig
from ingest.files import Changes, changes_between, list_files
from ingest.read import files_of
from ingest.workspace import is_fresh, read_stamp

PACKED_BYTES_PER_PICTURE = 25_600
"""Of a 256 px JPEG with its record, as PEERS.md counts 3.44 million; grows with the square of the side."""
PICTURES_PER_HOUR = 250 * 3600
"""Decoded, described and shrunk by one process (benchmarks/pictures.py: 64 to 490 a second and core, by kind)."""
ROWS_PER_HOUR = 10_000 * 3600
"""Read, validated, split and committed without pixels (benchmarks/ingest.py)."""
NUM_SHOWN = 5


@dataclass(frozen=True)
class Forecast:
    """One dataset: its files now and since the last read, its rows, its pictures."""

    name: str
    changes: Changes
    expected_rows: int | None
    found_rows: int
    num_pictures: int
    num_bytes: int

    def packed_bytes(self, side_px: int) -> float:
        return self.num_pictures * PACKED_BYTES_PER_PICTURE * (side_px / 256) ** 2

    @property
    def hours(self) -> float:
        """Of a first read on one process: rows, then pictures twice (described, packed)."""
        return self.found_rows / ROWS_PER_HOUR + 2 * self.num_pictures / PICTURES_PER_HOUR


def print_dry_run(config: Config) -> None:
    """Tell what would change and what the corpus amounts to; writes nothing."""
    stages = refresh_stages(config)
    forecasts = [forecast(config, dataset, fresh=is_fresh(config.workspace, read_name(dataset), stage.digest))
                 for dataset, stage in zip(config.datasets, stages, strict=False)]  # fmt: skip
    for each in forecasts:
        _print_changes(each)
    _print_table(forecasts, config.shards.image_side_px)
    behind = [stage.name for stage in stale(config, stages)]
    print(f"would run: {', '.join(behind)}" if behind else "unchanged: nothing to do")


def forecast(config: Config, dataset: DatasetConfig, *, fresh: bool) -> Forecast:
    """Count a dataset's rows from its last read when nothing changed, else by reading its tables alone."""
    before, now = files_of(config.workspace, dataset)
    stamp = read_stamp(config.workspace, read_name(dataset)) if fresh else None
    found = stamp["summary"]["rows_in"] if stamp else _count_rows(dataset)
    others = [each.root for each in config.datasets if each is not dataset]
    own = [path for path in dataset.roots() if not any(path.is_relative_to(root) for root in others)]
    files = list_files(own, known=before)  # pictures that two data sets share lie on the disk once
    is_picture = pc.and_(pc.is_null(files["digest"]), pc.invert(pc.ends_with(files["path"], ".zip")))
    return Forecast(
        dataset.name, changes_between(before, now), dataset.expected_rows, found,
        files.filter(is_picture).num_rows, pc.sum(files["size_bytes"]).as_py() or 0,
    )  # fmt: skip


def _count_rows(dataset: DatasetConfig) -> int:
    root = dataset.open(pixels=False)
    num_samples = 0
    for number, _ in enumerate(ADAPTERS[dataset.adapter].read(root, dataset.options), start=1):
        num_samples = number
        if number % 500_000 == 0:
            print(f"  {dataset.name}: {number:,} rows", file=sys.stderr)
    if dataset.max_samples is not None:
        num_samples = min(num_samples, dataset.max_samples)
    return num_samples + len(root.rejections)


def _print_changes(each: Forecast) -> None:
    for word, paths in vars(each.changes).items():
        if paths:
            more = f", and {len(paths) - NUM_SHOWN:,} more" if len(paths) > NUM_SHOWN else ""
            print(f"{each.name}: {len(paths):,} files {word}: {', '.join(paths[:NUM_SHOWN])}{more}")


def _print_table(forecasts: list[Forecast], side_px: int) -> None:
    columns: list[tuple[str, Callable[[Forecast], float | None], str]] = [
        ("expected", lambda each: each.expected_rows, ",.0f"),
        ("found", lambda each: each.found_rows, ",.0f"),
        ("GB now", lambda each: each.num_bytes / 1e9, ",.2f"),
        ("GB packed", lambda each: each.packed_bytes(side_px) / 1e9, ",.2f"),
        ("hours", lambda each: each.hours, ",.2f"),
    ]
    print(f"{'dataset':16}" + "".join(f"{title:>14}" for title, _, _ in columns))
    for each in forecasts:
        print(f"{each.name:16}" + "".join(_cell(value(each), form) for _, value, form in columns))
    totals = [sum(value(each) or 0 for each in forecasts) for _, value, _ in columns]
    print(f"{'all':16}" + "".join(_cell(total, form) for total, (_, _, form) in zip(totals, columns, strict=True)))


def _cell(value: float | None, form: str) -> str:
    return f"{'–' if value is None else format(value, form):>14}"
