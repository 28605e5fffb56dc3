"""What a per-row metric is handed."""

from dataclasses import dataclass

from ingest.sample import Task


@dataclass(frozen=True)
class Row:
    """One prediction with its truth as text; ``closed`` tells a yes/no question from an open one."""

    truth: str
    predicted: str
    closed: bool = False
    task: str = Task.VQA
