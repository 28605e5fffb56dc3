"""What a model must beat: the best constant mask, the most frequent answer, the most frequent class.

Each is learnt from the training rows and scored on the very rows a model was scored on; none looks at a picture.
"""

from collections import Counter, defaultdict
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from PIL import Image
from scipy import stats

from evaluation.class_truth import spaces_of_several
from evaluation.estimators import RatioEstimator
from evaluation.metrics.segmentation import dice
from evaluation.metrics.vqa import words_of
from evaluation.rows import EVERYTHING
from evaluation.suppression import Guard
from ingest.masks import decode_mask
from ingest.sample import Split, Task
from ingest.workspace import Workspace
from shards.record import iterate_records

GRID_SIDE = 64
"""Masks are averaged on a square grid of this side."""


def baselines_of(
    workspace: Workspace, predictions: pa.Table, samples: pa.Table, *, guard: Guard | None = None
) -> dict[str, Any]:
    """Per task: ``model`` and ``baseline`` score on the rows of ``predictions``, their number and persons,
    and the 95 % interval of the difference over persons (``difference_low``, ``difference_high``; None if unknown).

    Segmentation: mean Dice against the best constant mask of each target. Questions: exact answers against
    the most frequent answer. Classification: correct classes against the most frequent class. Every figure of a task
    with too few persons for ``guard`` is None.
    """
    rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in predictions.select(["sample_id", "patient_id", "task", "truth", "predicted", "prompt"]).to_pylist():
        rows[row["task"]].append(row)
    training = _training_rows(samples)
    found: dict[str, Any] = {}
    if segmented := rows[Task.SEGMENTATION]:
        found["dice"] = _told(guard, segmented, _segmentation(workspace, segmented))
    if asked := rows[Task.VQA]:
        answers = Counter(_normalised(row["answer"]) for row in training if row["task"] == Task.VQA)
        found["answer_accuracy"] = _told(guard, asked, _most_frequent(asked, answers, _normalised))
    if classified := _of_one_class(rows[Task.CLASSIFICATION], samples):
        ones = (row["labels"] for row in training if row["task"] == Task.CLASSIFICATION)
        labels = Counter(names[0] for names in ones if names and len(names) == 1)
        found["class_accuracy"] = _told(guard, classified, _most_frequent(classified, labels, str))
    return found


def _told(guard: Guard | None, rows: list[dict[str, Any]], entry: dict[str, Any]) -> dict[str, Any]:
    hidden = guard is not None and guard.hidden(EVERYTHING, [row["sample_id"] for row in rows])
    return dict.fromkeys(entry) if hidden else entry


def _of_one_class(rows: list[dict[str, Any]], samples: pa.Table) -> list[dict[str, Any]]:
    """The predictions in label spaces where exactly one class holds."""
    several = pa.array(sorted(spaces_of_several(samples)), pa.string())
    outside = samples.filter(pc.is_in(pc.fill_null(samples["label_space"], ""), value_set=several))
    of_several = set(outside["sample_id"].to_pylist())
    return [row for row in rows if row["sample_id"] not in of_several]


def _training_rows(samples: pa.Table) -> list[dict[str, Any]]:
    rows = samples.select(["split", "task", "answer", "labels", "image_status"]).to_pylist()
    return [row for row in rows if row["split"] == Split.TRAIN and row["image_status"] == "present"]


def _normalised(answer: str) -> str:
    return " ".join(words_of(answer))


def _most_frequent(rows: list[dict[str, Any]], counts: Counter[str], normalise: Any) -> dict[str, Any]:
    constant = counts.most_common(1)[0][0] if counts else ""
    truths = [normalise(row["truth"]) for row in rows]
    predicted = [normalise(row["predicted"]) for row in rows]
    model = [float(a == b) for a, b in zip(truths, predicted, strict=True)]
    return _beside(rows, model, [float(truth == constant) for truth in truths])


def _beside(rows: list[dict[str, Any]], model: list[float], baseline: list[float]) -> dict[str, Any]:
    """Two scores of the same rows and how far apart they may be, persons being what varies."""
    _, person_N = np.unique([row["patient_id"] for row in rows], return_inverse=True)
    num_persons = int(person_N.max()) + 1
    difference_N = np.subtract(model, baseline)
    estimate = RatioEstimator(difference_N, person_N, num_persons, prior=0.0).estimate(np.ones((1, num_persons)))
    middle, se = float(estimate.theta_R[0]), float(estimate.se_R[0])
    reach = float(stats.t.ppf(0.975, num_persons - 1)) * se if num_persons > 1 and se > 0 else None
    return {
        "model": float(np.mean(model)),
        "baseline": float(np.mean(baseline)),
        "difference_low": None if reach is None else middle - reach,
        "difference_high": None if reach is None else middle + reach,
        "num_rows": len(rows),
        "num_patients": num_persons,
    }


def _segmentation(workspace: Workspace, rows: list[dict[str, Any]]) -> dict[str, Any]:
    masks = constant_masks(workspace)
    model, baseline = [], []
    for row in rows:
        truth = decode_mask(row["truth"])
        model.append(dice(truth, decode_mask(row["predicted"])))
        constant = masks.get(row["prompt"], np.zeros((GRID_SIDE, GRID_SIDE), dtype=bool))
        baseline.append(dice(truth, resize_mask(constant, truth.shape)))
    return _beside(rows, model, baseline)


def constant_masks(workspace: Workspace) -> dict[str, NDArray[np.bool_]]:
    """Per target the constant mask [GRID_SIDE, GRID_SIDE] of highest mean Dice on its training masks."""
    stacks: dict[str, list[NDArray[np.bool_]]] = defaultdict(list)
    for record in iterate_records(workspace, Split.TRAIN):
        if record.masks is not None:
            for target, mask in zip(record.fields["mask_targets"], record.masks, strict=True):
                stacks[target].append(resize_mask(mask, (GRID_SIDE, GRID_SIDE)))
    return {target: best_constant_mask(np.stack(masks)) for target, masks in stacks.items()}


def best_constant_mask(masks_NHW: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mean mask cut at the frequency whose mask has the highest mean Dice with all N."""
    frequency_HW = masks_NHW.mean(0)
    cuts = np.unique(frequency_HW[frequency_HW > 0])
    if not cuts.size:
        return np.zeros(masks_NHW.shape[1:], dtype=bool)
    candidates = [frequency_HW >= cut for cut in np.quantile(cuts, np.linspace(0, 1, 41), method="nearest")]
    sizes_N = masks_NHW.sum((1, 2))
    scores = [
        np.mean(2 * (masks_NHW & candidate).sum((1, 2)) / np.maximum(sizes_N + candidate.sum(), 1))
        for candidate in candidates
    ]
    return np.asarray(candidates[int(np.argmax(scores))])


def resize_mask(mask_HW: NDArray[np.bool_], size: tuple[int, ...]) -> NDArray[np.bool_]:
    """A mask at ``size`` = (h, w), nearest pixel."""
    height, width = size
    picture = Image.fromarray(mask_HW.astype(np.uint8))
    return np.asarray(picture.resize((width, height), Image.Resampling.NEAREST)) > 0
