"""Who moved a run's weights: every draw's loss weight, by sample and by group, and rows for review. No torch.

``influence-RANK.jsonl`` in the run's folder holds one line per optimiser step (so that a resumed run can drop what a
killed one wrote after its checkpoint); ``influence.parquet`` sums it when training is done; ``review.parquet`` lists
the draws the noise guard set aside.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from ingest.workspace import publishing

INFLUENCE_SCHEMA = pa.schema(
    [("sample_id", pa.string()), ("task", pa.string()), ("num_draws", pa.int64()), ("influence", pa.float64())]
)
REVIEW_SCHEMA = pa.schema(
    [("sample_id", pa.string()), ("task", pa.string()), ("step", pa.int64()), ("difficulty", pa.float64())]
)


class DrawnInfluence(Protocol):
    """One draw, as ``model.objective.Influence`` has it."""

    @property
    def sample_id(self) -> str: ...
    @property
    def task(self) -> str: ...
    @property
    def weight(self) -> float: ...
    @property
    def difficulty(self) -> float: ...
    @property
    def is_suspicious(self) -> bool: ...


class InfluenceLog:
    """Lines of one rank, appended step by step."""

    def __init__(self, folder: Path, rank: int) -> None:
        self.path = folder / f"influence-{rank}.jsonl"

    def begin(self, step: int) -> None:
        """Drop what a killed run wrote after the checkpoint at ``step``."""
        lines = self.path.read_text().splitlines(keepends=True) if self.path.exists() else []
        self.path.write_text("".join(line for line in lines if json.loads(line)["step"] <= step))

    def write(self, step: int, drawn: Iterable[DrawnInfluence]) -> None:
        rows = [[d.sample_id, d.task, round(d.weight, 6), round(d.difficulty, 6), d.is_suspicious] for d in drawn]
        if rows:
            with self.path.open("a") as stream:
                stream.write(json.dumps({"step": step, "drawn": rows}) + "\n")


def publish_influence(folder: Path) -> None:
    """Sum all ranks' lines into ``influence.parquet`` and list ``review.parquet``; nothing where there are none."""
    draws: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0, 0.0])
    review: list[dict[str, Any]] = []
    for step, (sample_id, task, weight, difficulty, is_suspicious) in _drawn(folder):
        draws[sample_id, task][0] += 1
        draws[sample_id, task][1] += weight
        if is_suspicious:
            review.append({"sample_id": sample_id, "task": task, "step": step, "difficulty": difficulty})
    if not draws:
        return
    rows = [
        {"sample_id": sample_id, "task": task, "num_draws": int(count), "influence": influence}
        for (sample_id, task), (count, influence) in sorted(draws.items())
    ]
    for name, content, schema in (("influence", rows, INFLUENCE_SCHEMA), ("review", review, REVIEW_SCHEMA)):
        with publishing(folder / f"{name}.parquet") as staged:
            pq.write_table(pa.Table.from_pylist(content, schema=schema), staged)


def _drawn(folder: Path) -> Iterator[tuple[int, list[Any]]]:
    for path in sorted(folder.glob("influence-*.jsonl")):
        with path.open() as stream:
            for line in stream:
                step = json.loads(line)
                for row in step["drawn"]:
                    yield step["step"], row


def influence_by_group(influence: pa.Table, samples: pa.Table, attribute: str) -> dict[str, dict[str, float]]:
    """Share of each level of ``attribute`` in the draws and in the influence (METHODS section 3, Log).

    ``draws`` is what the sampling weights decided, ``influence`` that times the loss weights; "__missing__" is a level.
    """
    level_of = dict(zip(samples["sample_id"].to_pylist(), samples[attribute].to_pylist(), strict=True))
    sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for row in influence.to_pylist():
        level = level_of.get(row["sample_id"])
        sums["__missing__" if level is None else str(level)][0] += row["num_draws"]
        sums["__missing__" if level is None else str(level)][1] += row["influence"]
    draws, total = (sum(pair[side] for pair in sums.values()) for side in (0, 1))
    return {
        level: {"draws": drawn / draws, "influence": moved / total} for level, (drawn, moved) in sorted(sums.items())
    }
