"""Losses on numbers that can be checked by hand."""

import math

import pytest
import torch

from model.class_losses import one_of_many
from model.corpus import class_weights
from model.losses import dice_loss, presence_loss, quality_loss


def test_dice_loss_is_zero_for_a_sure_hit_and_one_for_a_sure_miss():
    truth = torch.zeros(2, 4, 4)
    truth[:, :2] = 1
    sure = torch.where(truth > 0, 50.0, -50.0)
    loss = dice_loss(torch.stack([sure[0], -sure[1]]), truth)
    assert loss.tolist() == pytest.approx([0.0, 1.0], abs=1e-5)


def test_dice_loss_of_even_doubt_over_half_the_picture():
    truth = torch.zeros(1, 4, 4)
    truth[:, :2] = 1
    # overlap 8 * 0.5, sizes 16 * 0.5 + 8: 1 - 8 / 16
    assert dice_loss(torch.zeros(1, 4, 4), truth).item() == pytest.approx(0.5)


def test_quality_loss_compares_with_the_dice_of_the_thresholded_mask():
    truth = torch.zeros(1, 2, 2)
    truth[:, 0] = 1
    logits = torch.tensor([[[1.0, -1.0], [-1.0, -1.0]]])  # one of the two pixels: Dice 2 / 3
    assert quality_loss(torch.tensor([2 / 3]), logits, truth).item() == pytest.approx(0, abs=1e-7)


def test_presence_is_judged_by_the_likeliest_pixel():
    logits = torch.tensor([[[0.0, -9.0], [-9.0, -9.0]], [[50.0, -9.0], [-9.0, -9.0]]])
    empty, filled = torch.zeros(2, 2), torch.tensor([[0.0, 0.0], [0.0, 1.0]])
    assert presence_loss(logits, torch.stack([empty, filled])).tolist() == pytest.approx([math.log(2), 0.0])


def test_classes_of_another_space_do_not_compete():
    competes = torch.tensor([[True, True, False]])
    logits = torch.tensor([[0.0, 0.0, 9.0]])
    truth = torch.tensor([[False, True, False]])
    loss = one_of_many(logits, truth, competes_BC=competes, class_weights_C=torch.tensor([1.0, 3.0, 1.0]))
    assert loss.item() == pytest.approx(3 * math.log(2))


def test_class_weights_fall_with_the_root_of_the_mass_and_average_one_over_draws():
    common, rare = class_weights([8.0, 2.0])
    assert rare / common == pytest.approx(2.0)
    assert (8 * common + 2 * rare) / 10 == pytest.approx(1.0)
    assert class_weights([]) == ()
