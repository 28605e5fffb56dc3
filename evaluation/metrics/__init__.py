"""The metrics by name. Adding one = one function and one line in METRICS.

A metric is either ``per_row`` (a number per prediction, averaged over persons) or an ``aggregate``
(a statistic of a whole group under weights); exactly one of the two is set.
"""

from collections.abc import Callable
from dataclasses import dataclass

from evaluation.metrics import classification, segmentation, vqa
from evaluation.metrics.classification import ClassRows, Floats, Statistic
from evaluation.metrics.row import Row
from ingest.sample import Task

__all__ = ["METRICS", "METRICS_OF_TASK", "ClassRows", "Metric", "Row", "Statistic"]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """How a prediction is judged, in [0, 1]; ``per_row`` gives NaN where it does not apply.

    tasks: the tasks whose predictions it reads.
    both_sides: an aggregate that needs negatives as well as positives of a class.
    """

    name: str
    tasks: tuple[Task, ...]
    per_row: Callable[[Row], float] | None = None
    aggregate: Callable[[ClassRows, Floats], Statistic] | None = None
    both_sides: bool = False
    higher_is_better: bool = True


def _accuracy(row: Row) -> float:
    return classification.accuracy(row) if row.task == Task.CLASSIFICATION else vqa.accuracy(row)


_ALL = (
    Metric(name="dice", tasks=(Task.SEGMENTATION,), per_row=segmentation.dice_of_row),
    Metric(name="iou", tasks=(Task.SEGMENTATION,), per_row=segmentation.iou_of_row),
    Metric(name="accuracy", tasks=(Task.CLASSIFICATION, Task.VQA), per_row=_accuracy),
    Metric(name="balanced_accuracy", tasks=(Task.CLASSIFICATION,), aggregate=classification.balanced_accuracy),
    Metric(name="auc", tasks=(Task.CLASSIFICATION,), aggregate=classification.macro_auc, both_sides=True),
    Metric(name="closed_accuracy", tasks=(Task.VQA,), per_row=vqa.closed_accuracy),
    Metric(name="open_accuracy", tasks=(Task.VQA,), per_row=vqa.open_accuracy),
    Metric(name="token_f1", tasks=(Task.VQA,), per_row=vqa.token_f1),
    Metric(name="unparsed", tasks=(Task.VQA,), per_row=vqa.unparsed, higher_is_better=False),
)
METRICS: dict[str, Metric] = {metric.name: metric for metric in _ALL}

METRICS_OF_TASK: dict[Task, tuple[str, ...]] = {
    task: tuple(metric.name for metric in _ALL if task in metric.tasks)
    for task in (Task.SEGMENTATION, Task.CLASSIFICATION, Task.VQA)
}
"""What ``evaluate`` computes for each task, in the order reports show it."""
