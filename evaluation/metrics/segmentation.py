"""Overlap of two binary masks at the native grid, and the rows that carry them as run-length text."""

import numpy as np
from numpy.typing import NDArray

from evaluation.metrics.row import Row


def dice(truth: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> float:
    """Sorensen-Dice overlap of two masks of one shape (Dice 1945), in [0, 1].

    1 where both are empty, 0 where exactly one is.
    """
    _check_shapes(truth, predicted)
    total = int(truth.sum()) + int(predicted.sum())
    return 2 * int((truth & predicted).sum()) / total if total else 1.0


def iou(truth: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> float:
    """Intersection over union of two masks of one shape (Jaccard 1912), in [0, 1]; 1 where both are empty."""
    _check_shapes(truth, predicted)
    union = int((truth | predicted).sum())
    return int((truth & predicted).sum()) / union if union else 1.0


def dice_of_row(row: Row) -> float:
    """Dice of a row whose truth and prediction are run-length text."""
    return dice(*_masks_of(row))


def iou_of_row(row: Row) -> float:
    """Intersection over union of a row whose truth and prediction are run-length text."""
    return iou(*_masks_of(row))


def _masks_of(row: Row) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    from ingest.masks import decode_mask

    return decode_mask(row.truth), decode_mask(row.predicted)


def _check_shapes(truth: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> None:
    if truth.shape != predicted.shape:
        raise ValueError(f"masks to compare: expected one shape, got {truth.shape} and {predicted.shape}")
