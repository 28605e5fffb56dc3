"""From raw signs of doubt to the error to expect: isotonic regression on the validation split, task by task.

The curve is stored beside the run and applied without any truth. It never changes who is less sure than whom, only
ties them where validation shows no difference (Zadrozny & Elkan 2002).
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from ingest.masks import decode_mask
from ingest.sample import Task
from ingest.workspace import write_json
from model.prediction import LABEL_SEPARATOR, Prediction

CALIBRATION_NAME = "calibration.json"
LEAST_ROWS = 20
"""Validation rows of a task below which its raw signs stay as they are."""

Curve = tuple[list[float], list[float]]
"""Raw uncertainties, ascending, and the error expected at each; straight lines between, constant beyond."""


def fit_calibration(validation: Iterable[Prediction]) -> dict[str, Curve]:
    """A curve per task with enough rows. This is the one place that reads truth, and of validation alone."""
    from sklearn.isotonic import IsotonicRegression  # a second to import

    raw: dict[str, list[float]] = defaultdict(list)
    errors: dict[str, list[float]] = defaultdict(list)
    for prediction in validation:
        raw[prediction.task].append(prediction.uncertainty)
        errors[prediction.task].append(error_of(prediction))
    curves: dict[str, Curve] = {}
    for task in sorted(task for task, rows in raw.items() if len(rows) >= LEAST_ROWS):
        fitted = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(raw[task], errors[task])
        curves[task] = fitted.X_thresholds_.tolist(), fitted.y_thresholds_.tolist()
    return curves


def calibrated(predictions: Iterable[Prediction], curves: Mapping[str, Curve]) -> list[Prediction]:
    """The predictions with the expected error as their uncertainty; tasks without a curve keep their raw signs."""
    return [
        replace(one, uncertainty=float(np.interp(one.uncertainty, *curves[one.task]))) if one.task in curves else one
        for one in predictions
    ]


def error_of(prediction: Prediction) -> float:
    """How wrong a prediction is, in [0, 1]: 1 - Dice of a mask, else 1 unless answer or class is right."""
    if prediction.task == Task.SEGMENTATION:
        truth, predicted = decode_mask(prediction.truth), decode_mask(prediction.predicted)
        size = int(truth.sum()) + int(predicted.sum())
        return 1 - 2 * int((truth & predicted).sum()) / size if size else 0.0
    right = {prediction.truth}
    if prediction.task == Task.CLASSIFICATION:
        right = set(prediction.truth.split(LABEL_SEPARATOR))
    return float(plain(prediction.predicted) not in {plain(text) for text in right})


def plain(text: str) -> str:
    return " ".join(text.casefold().split()).rstrip(".")


def write_calibration(folder: Path, curves: Mapping[str, Curve]) -> None:
    """Beside the run: by task ``raw`` and ``expected_error``."""
    named = {task: {"raw": raw, "expected_error": error} for task, (raw, error) in curves.items()}
    write_json(folder / CALIBRATION_NAME, named)


def read_calibration(folder: Path) -> dict[str, Curve]:
    """What an earlier prediction of the validation split stored; empty where there was none."""
    path = folder / CALIBRATION_NAME
    stored = json.loads(path.read_text()) if path.exists() else {}
    return {task: (curve["raw"], curve["expected_error"]) for task, curve in stored.items()}
