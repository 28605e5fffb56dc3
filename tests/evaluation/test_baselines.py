"""What a constant guess gets."""

import numpy as np
import pytest

from evaluation.baselines import best_constant_mask, resize_mask


def test_the_best_constant_mask_is_where_most_masks_agree() -> None:
    masks = np.zeros((4, 2, 2), dtype=bool)
    masks[:, 0, 0] = True
    masks[0, 1, 1] = True
    expected = np.array([[True, False], [False, False]])
    assert (best_constant_mask(masks) == expected).all()


def test_empty_training_masks_give_an_empty_guess() -> None:
    assert not best_constant_mask(np.zeros((3, 2, 2), dtype=bool)).any()


@pytest.mark.parametrize("size", [(4, 2), (2, 4)])
def test_resizing_keeps_height_and_width_apart(size: tuple[int, int]) -> None:
    assert resize_mask(np.array([[True, False]]), size).shape == size
