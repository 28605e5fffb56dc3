"""Predictions joined with their samples, judged, and sorted into the levels of an attribute."""

import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from evaluation.class_truth import ClassTruth, class_truth, spaces_of_several
from evaluation.metrics import METRICS, ClassRows, Metric, Row
from evaluation.metrics.classification import accuracy
from evaluation.metrics.vqa import strict_yes_or_no
from ingest.applicability import ATTRIBUTE_APPLIES, MISSING
from ingest.attributes import ABSENT_LEVELS
from ingest.census import WHOLE_CORPUS
from ingest.errors import BadInput
from ingest.sample import AGE_BANDS, AnswerType, Task, age_band_of

EVERYTHING = WHOLE_CORPUS
"""The level, attribute or dataset of everybody; counts and scores spell it alike."""
SEVERAL = "several"
_COLUMN_OF = {"label": "labels"}
NO_GROUP = frozenset(ABSENT_LEVELS)
"""Levels that are shown but are no group of people: never the best or the worst one."""

Bools = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Judged:
    """The N rows of one task on which one metric is defined.

    values_N: the per-row metric, None for an aggregate, which reads ``class_rows`` instead.
    """

    metric: Metric
    task: str
    values_N: NDArray[np.float64] | None
    class_rows: ClassRows | None
    sample_N: NDArray[np.object_]
    person_N: NDArray[np.object_]
    dataset_N: NDArray[np.object_]
    levels: dict[str, NDArray[np.object_]]


def judge(predictions: pa.Table, samples: pa.Table, metric: str, attributes: list[str]) -> list[Judged]:
    """The metric's rows, one entry per task that predictions hold and the metric reads.

    Raises BadInput on an unknown metric, predictions of unknown samples, a person or an attribute missing.
    """
    if metric not in METRICS:
        raise BadInput(f"metric: expected one of {', '.join(METRICS)}, got {metric!r}")
    known = METRICS[metric]
    tasks = [task for task in known.tasks if task in set(predictions["task"].to_pylist())]
    return [_judge_task(predictions, samples, known, task, attributes) for task in tasks]


def _judge_task(predictions: pa.Table, samples: pa.Table, metric: Metric, task: Task, attributes: list[str]) -> Judged:
    of_task = pa.array([str(value) == task for value in predictions["task"].to_pylist()])
    rows = predictions.filter(of_task)
    places = places_in(rows, samples)
    wanted = {"dataset", "modality", "task", "answer_type", "age_years", "label_space", *attributes}
    wanted |= {*_COLUMN_OF.values()}
    wanted &= set(samples.column_names)
    column = {name: samples[name].take(pa.array(places)).to_pylist() for name in sorted(wanted)}
    values = class_rows = None
    keep = np.ones(len(places), dtype=bool)
    truth = _class_truth(rows, column, samples) if task == Task.CLASSIFICATION else None
    if metric.per_row is None:
        assert truth is not None, "aggregates read classes"
        class_rows = _class_rows(rows, truth)
    else:
        values = np.array([metric.per_row(row) for row in _text_rows(rows, column, task)], dtype=float)
        if truth is not None:  # where several classes may hold, none of them alone is right or wrong
            values[~truth.one_N] = np.nan
        keep = np.isfinite(values)
        values = values[keep]
    return Judged(
        metric=metric, task=str(task), values_N=values, class_rows=class_rows,
        sample_N=_objects(rows["sample_id"].to_pylist())[keep],
        person_N=_persons(rows)[keep],
        dataset_N=level_column(column, "dataset")[keep],
        levels={name: level_column(column, name)[keep] for name in attributes},
    )  # fmt: skip


def _class_truth(rows: pa.Table, column: dict[str, list[Any]], samples: pa.Table) -> ClassTruth:
    spaces = column.get("label_space", [None] * rows.num_rows)
    return class_truth(rows["truth"].to_pylist(), spaces, several=spaces_of_several(samples))


def places_in(predictions: pa.Table, samples: pa.Table) -> NDArray[np.int64]:
    """The row of ``samples`` behind every prediction. Raises BadInput listing unknown sample ids."""
    found = pc.index_in(predictions["sample_id"], value_set=samples["sample_id"])
    if found.null_count:
        unknown = sorted({str(name) for name in predictions["sample_id"].filter(found.is_null()).to_pylist()})
        shown = ", ".join(unknown[:10]) + (", ..." if len(unknown) > 10 else "")
        raise BadInput(f"predictions: {len(unknown)} sample_id not in samples: {shown}")
    return np.asarray(found.to_numpy(), dtype=np.int64)


def level_column(column: dict[str, list[Any]], attribute: str) -> NDArray[np.object_]:
    """Each sample's level of an attribute as text; age_band comes from age_years.

    Null is ``__missing__``, or ``__not_applicable__`` where samples say so (``ingest.applicability``).
    """
    if attribute not in column and attribute == "age_band" and "age_years" in column:
        return _objects([age_band_of(_no_nan(age)) or MISSING for age in column["age_years"]])
    attribute = _COLUMN_OF.get(attribute, attribute)
    if attribute not in column:
        raise BadInput(f"attribute {attribute!r}: expected a column of samples, got {', '.join(column)}")
    values = column[attribute]
    applies = ATTRIBUTE_APPLIES.get(attribute)
    told = column.get(applies.column) if applies else None
    absent = [MISSING] * len(values) if applies is None or told is None else list(map(applies.absent_of, told))
    return _objects(
        [
            nothing if _no_nan(value) in (None, "", []) else _as_level(value)
            for value, nothing in zip(values, absent, strict=True)
        ]
    )


def _as_level(value: Any) -> str:
    """The value as text; a list of one is its value, a longer one is ``several``."""
    if isinstance(value, list):
        return _as_level(value[0]) if len(value) == 1 else SEVERAL
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _no_nan(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value


_BAND_ORDER = {band: place for place, (band, _) in enumerate(AGE_BANDS)}


def ordered_levels(levels: set[str]) -> list[str]:
    """Age bands by age, numbers by size, the rest by name; what is no group of people last."""
    return sorted(levels, key=_level_rank)


def _level_rank(level: str) -> tuple[bool, float, str]:
    number = float(level) if level.isdecimal() else math.inf
    return level in NO_GROUP, _BAND_ORDER.get(level, number), level


def _text_rows(rows: pa.Table, column: dict[str, list[Any]], task: Task) -> list[Row]:
    truths = [truth or "" for truth in rows["truth"].to_pylist()]
    predicted = [said or "" for said in rows["predicted"].to_pylist()]
    kinds = column.get("answer_type", [None] * len(truths))
    return [
        Row(truth, said, is_closed(truth, kind), str(task))
        for truth, said, kind in zip(truths, predicted, kinds, strict=True)
    ]


def is_closed(truth: str, answer_type: str | None) -> bool:
    """As declared; where nothing is declared, a question answered by a plain yes or no."""
    if answer_type is None:
        return strict_yes_or_no(truth) is not None and len(truth.split()) == 1
    return answer_type == AnswerType.CLOSED


def _persons(rows: pa.Table) -> NDArray[np.object_]:
    persons = rows["patient_id"].to_pylist()
    if None in persons:
        raise BadInput(f"predictions: patient_id expected on every row, {persons.count(None)} are null")
    return _objects(persons)


def classes_of(rows: pa.Table) -> list[str] | None:
    """The class order of the score column, from the schema's metadata; None where it is not stored."""
    stored = (rows.schema.metadata or {}).get(b"classes")
    return None if stored is None else [str(name) for name in json.loads(stored)]


def _class_rows(rows: pa.Table, truth: ClassTruth) -> ClassRows:
    """Classes in the run's order; one that it never learned stands last and is scored as chance."""
    said = rows["predicted"].to_pylist()
    learned = classes_of(rows)
    classes = [*(learned or ()), *sorted({name for labels in truth.labels_N for name in labels} - set(learned or ()))]
    pairs = zip(rows["truth"].to_pylist(), said, strict=True)
    return ClassRows(
        classes=tuple(classes),
        truth_NC=truth.holds(classes),
        asked_NC=truth.asked(classes),
        one_N=truth.one_N,
        correct_N=np.array([accuracy(Row(a, b or "")) for a, b in pairs], dtype=float),
        scores_NC=_scores(rows, len(classes)),
    )


def _scores(rows: pa.Table, num_classes: int) -> NDArray[np.float64] | None:
    """[N, C], 0 for classes behind the stored ones; None where scores are absent or not one per stored class."""
    stored = classes_of(rows)
    if "score" not in rows.column_names or stored is None:
        return None
    scores = rows["score"].to_pylist()
    if any(score is None or len(score) != len(stored) for score in scores):
        return None
    array = np.zeros((len(scores), num_classes))
    array[:, : len(stored)] = np.array(scores, dtype=float).reshape(len(scores), len(stored))
    return array if np.isfinite(array).all() else None


def _objects(values: list[Any]) -> NDArray[np.object_]:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array
