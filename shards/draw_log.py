"""What was really drawn: Parquet files of (epoch, sample_id, count), whole stretches of an epoch each.

A stretch is written when the loader's state is taken, and at the end of an epoch, by each rank for itself:
``epoch-000000/from-000000000000-to-000000004096-rank-0000.parquet``. A run that goes on from a state first
removes what was drawn after it, so that the log holds what the run's weights have seen, and nothing twice.
``plan.json`` says what was planned.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ingest.errors import BiasCareError
from ingest.workspace import publishing, write_json
from shards.epoch import Plan
from shards.row_columns import sample_ids

PLAN_NAME = "plan.json"
SCHEMA = pa.schema([("epoch", pa.int32()), ("sample_id", pa.string()), ("count", pa.int64())])
_NAME = re.compile(r"from-(\d+)-to-(\d+)-rank-(\d+)\.parquet")


@dataclass
class DrawLog:
    """The log of one rank in ``folder``."""

    folder: Path
    plan: Plan
    index: Path
    rank: int
    written_to: int = 0
    is_begun: bool = False
    _stretches: list[tuple[int, int]] = field(default_factory=list)
    _unreadable: list[int] = field(default_factory=list)

    def add(self, epoch: int, start: int, end: int, unreadable: list[int]) -> None:
        """This rank was given the draws from ``start`` to ``end``, without the rows ``unreadable``."""
        self._stretches.append((start, end))
        self._unreadable.extend(unreadable)

    def write(self, epoch: int, position: int) -> None:
        """Publish what was drawn since the last time; ``position`` is where the epoch stands over all ranks."""
        if self._stretches:
            path = (
                self.folder
                / f"epoch-{epoch:06d}"
                / (f"from-{self.written_to:012d}-to-{position:012d}-rank-{self.rank:04d}.parquet")
            )
            self._describe()
            with publishing(path) as staged, pq.ParquetWriter(staged, SCHEMA) as writer:
                for table in self._tables(epoch):
                    writer.write_table(table)
        self._stretches, self._unreadable = [], []
        self.written_to = position if position < self.plan.num_draws else 0

    def begin(self, epoch: int, position: int) -> None:
        """Before the first draw of this process: forget what an earlier one drew from ``position`` of ``epoch`` on."""
        if self.is_begun:
            return
        self.is_begun, self.written_to = True, position
        if self.rank == 0:
            for path, number, start in _files(self.folder):
                if (number, start) >= (epoch, position):
                    path.unlink(missing_ok=True)

    def _describe(self) -> None:
        """Say what was planned, once. Raises: BiasCareError where the folder holds the log of another plan."""
        path, parts = self.folder / PLAN_NAME, self.plan.parts
        if not path.exists():
            described = {"num_draws": self.plan.num_draws, "num_epochs": self.plan.num_epochs, "seed": self.plan.seed}
            write_json(path, {**described, "parts": parts})
        elif json.loads(path.read_text())["parts"] != parts:
            raise BiasCareError(f"{self.folder}: expected an empty folder for the draw log, got another plan's log")

    def _tables(self, epoch: int) -> Iterator[pa.Table]:
        draws = self.plan.draws(epoch)
        counts = np.zeros(len(self.plan.rows), dtype=np.int64)
        for start, end in self._stretches:
            np.add.at(counts, draws[start:end], 1)
        np.subtract.at(counts, np.array(self._unreadable, dtype=np.int64), 1)
        first = 0
        for ids in sample_ids(self.index, self.plan.rows.split):
            part = counts[first : first + len(ids)]
            drawn = np.flatnonzero(part)
            first += len(ids)
            columns = [np.full(len(drawn), epoch, np.int32), ids.take(pa.array(drawn)), part[drawn]]
            yield pa.table(columns, schema=SCHEMA)


def read_draw_log(folder: Path, epoch: int) -> pa.Table:
    """Everything drawn in ``epoch``: (epoch, sample_id, count), a sample once per stretch and rank that drew it."""
    paths = sorted(path for path, number, _ in _files(folder) if number == epoch)
    return pa.concat_tables([pq.read_table(path) for path in paths]) if paths else SCHEMA.empty_table()


def logged_epochs(folder: Path) -> list[int]:
    """The epochs that the log in ``folder`` knows of."""
    return sorted({number for _, number, _ in _files(folder)})


def _files(folder: Path) -> Iterator[tuple[Path, int, int]]:
    """Each file with its epoch and first position."""
    for path in folder.glob("epoch-*/from-*.parquet"):
        match = _NAME.fullmatch(path.name)
        if match:
            yield path, int(path.parent.name.removeprefix("epoch-")), int(match[1])
