import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shards.plan import draw_counts

weights = st.lists(st.floats(0, 20, allow_nan=False), min_size=1, max_size=60).filter(lambda w: sum(w) > 1e-3)


@given(weights, st.integers(1, 300), st.integers(1, 12), st.integers(0, 2**31))
def test_every_epoch_and_the_whole_run_keep_their_promises(w, num_draws, num_epochs, seed):
    expected = num_draws * np.asarray(w) / np.sum(w)
    run = [
        draw_counts(w, epoch=epoch, num_epochs=num_epochs, num_draws=num_draws, seed=seed)
        for epoch in range(num_epochs)
    ]
    for counts in run:
        assert counts.sum() == num_draws
        assert (counts >= np.floor(expected - 1e-9)).all() and (counts <= np.ceil(expected + 1e-9)).all()
    lifetime, total = sum(run), num_epochs * expected
    assert (lifetime >= np.floor(total - 1e-6)).all() and (lifetime <= np.ceil(total + 1e-6)).all()


@given(weights, st.integers(1, 300), st.integers(0, 50), st.integers(0, 2**31))
def test_with_an_unknown_number_of_epochs_each_epoch_keeps_its_promise(w, num_draws, epoch, seed):
    counts = draw_counts(w, epoch=epoch, num_epochs=None, num_draws=num_draws, seed=seed)
    expected = num_draws * np.asarray(w) / np.sum(w)
    assert counts.sum() == num_draws
    assert (np.abs(counts - expected) < 1 + 1e-6).all()


def test_equal_weights_draw_every_row_once():
    assert draw_counts([1, 1, 1], epoch=0, num_epochs=2, num_draws=3, seed=5).tolist() == [1, 1, 1]


def test_the_same_seed_gives_the_same_draws_and_epochs_differ():
    rows = np.linspace(0.1, 2, 50)
    first, again, later = (draw_counts(rows, epoch=e, num_epochs=4, num_draws=50, seed=1).tolist() for e in (0, 0, 1))
    assert first == again
    assert first != later


@pytest.mark.parametrize(
    ("w", "changes", "message"),
    [
        ([], {}, "one per row"),
        ([1, -1], {}, "not negative"),
        ([0, 0], {}, "not all zero"),
        ([1, np.inf], {}, "finite"),
        ([1], {"epoch": 3}, "epoch"),
        ([1], {"num_draws": 0}, "num_draws"),
    ],
)
def test_what_cannot_be_planned_is_refused(w, changes, message):
    arguments = {"epoch": 0, "num_epochs": 3, "num_draws": 5, "seed": 0} | changes
    with pytest.raises(ValueError, match=message):
        draw_counts(w, **arguments)
