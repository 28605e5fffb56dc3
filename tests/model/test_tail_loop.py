"""The second look: whom it takes, where a reader clicks, and that a batch trains with every setting."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.clicks import NO_NOISE, ReaderNoise, corrective_click
from model.config import TrainingConfig
from model.network import build_network
from model.objective import Objective
from model.tail_loop import reader_clicks, reference_clicks, reference_hard


def test_the_click_is_the_innermost_pixel_of_the_largest_error():
    truth, predicted = np.zeros((9, 12), bool), np.zeros((9, 12), bool)
    truth[1:6, 1:6] = True  # missed whole: the largest error, centre (3, 3)
    predicted[7:9, 8:10] = True  # said in vain: smaller
    click = corrective_click(truth, predicted, np.random.default_rng(0))
    assert (click.x, click.y, click.is_foreground) == (3, 3, True)
    blind = corrective_click(truth, predicted, np.random.default_rng(0), ReaderNoise(spread=0, flip=0, miss=1))
    assert not blind.is_foreground and blind.x in (8, 9) and blind.y in (7, 8)
    flipped = corrective_click(truth, predicted, np.random.default_rng(0), ReaderNoise(spread=0, flip=1, miss=0))
    assert not flipped.is_foreground
    assert corrective_click(truth, truth, np.random.default_rng(0)) is None


@settings(max_examples=60)
@given(seed=st.integers(0, 10**6), share=st.floats(0.05, 0.95))
def test_an_exact_reader_clicks_into_the_error_and_a_noisy_one_into_the_picture(seed, share):
    generator = np.random.default_rng(seed)
    truth, predicted = generator.random((2, 7, 11)) < share
    click = corrective_click(truth, predicted, generator, NO_NOISE)
    if click is None:
        assert (truth == predicted).all()
        return
    assert truth[click.y, click.x] != predicted[click.y, click.x]
    assert click.is_foreground == truth[click.y, click.x]
    noisy = corrective_click(truth, predicted, generator, ReaderNoise(spread=1.0))
    assert noisy is None or (0 <= noisy.x < 11 and 0 <= noisy.y < 7)


def test_the_published_choice_takes_at_least_one_and_may_take_what_does_not_count():
    scores, counts = torch.tensor([0.2, 0.9, 0.5, 1.0]), torch.tensor([1.0, 1.0, 1.0, 0.0])
    assert reference_hard(scores, counts).tolist() == [False, False, False, True]
    assert reference_hard(scores, counts, share=0.7).sum() == 2


def test_published_clicks_fall_on_the_error_else_on_the_structure_else_anywhere():
    truth = torch.zeros(3, 4, 4)
    truth[0, 0, 0] = truth[1, 2, 3] = 1
    logits = torch.full((3, 4, 4), -5.0)
    logits[1, 2, 3] = 5
    points, labels = reference_clicks(truth, logits, np.random.default_rng(0))
    assert points[:2, 0].tolist() == [[0, 0], [3, 2]] and labels[:, 0].tolist() == [1, 1, 0]
    points, labels = reader_clicks(truth, logits, np.random.default_rng(1))
    assert labels[1].item() == -1  # nothing to correct: padding


@pytest.mark.parametrize(
    ("uncertainty", "tail_loop"),
    [("reference", "off"), ("off", "reference"), ("reference", "reference"), ("corrected", "corrected")],
)
def test_every_setting_trains_and_gives_every_parameter_a_gradient(make_records, setup, uncertainty, tail_loop):
    network = build_network(setup.network.config, seed=3)
    training = TrainingConfig(uncertainty=uncertainty, tail_loop=tail_loop, tail_rounds=2)
    objective = Objective(network, training, seed=5)
    records = make_records(12)
    records[3] = dataclasses.replace(records[3], masks=np.zeros_like(records[3].masks))  # one empty mask
    encode = setup.encoder.encode_for_training
    batch = setup.collate.batch([encode(record, np.random.default_rng(4)) for record in records])
    each = [objective(batch) for _ in range(4)]
    each[-1]["total"].backward()
    assert each[-1]["total"].isfinite()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
    if tail_loop == "corrected":
        first, *later = (losses["segmentation"].item() for losses in each)
        assert max(later) > first + 0.1  # once the quantile is known there is a second look
    if uncertainty == "corrected":
        assert {one.task for one in objective.influences} == {"segmentation", "text"}
        assert len(objective.influences) == 8
    again = Objective(network, training, seed=5)
    again.load_state_dict(objective.state_dict())
    assert again.num_batches == 4
