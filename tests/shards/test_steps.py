"""Steps and ranks: nothing is lost, nothing comes twice, whoever reads and wherever a run was stopped."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.errors import BiasCareError
from shards.order import ShardLayout, draw_order
from shards.plan import draw_counts
from shards.steps import rank_share, step_bounds

batch_sizes, worlds = st.integers(1, 9), st.integers(1, 6)


def shares_of(bounds, world_size):
    """[step][rank] -> (from, to)."""
    return [
        [rank_share(start, stop, rank=rank, world_size=world_size) for rank in range(world_size)]
        for start, stop in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)
    ]


@given(st.integers(0, 400), batch_sizes, worlds)
def test_all_ranks_have_equally_many_batches_that_cover_every_draw_once(num_draws, batch_size, world_size):
    if 0 < num_draws < world_size:
        with pytest.raises(BiasCareError, match=f"at most {num_draws} ranks"):
            step_bounds(0, num_draws, batch_size=batch_size, world_size=world_size)
        return
    bounds = step_bounds(0, num_draws, batch_size=batch_size, world_size=world_size)
    shares = [share for step in shares_of(bounds, world_size) for share in step]
    assert [start for start, _ in shares] == [0, *(stop for _, stop in shares)][: len(shares)]
    assert (shares[-1][1] if shares else 0) == num_draws
    sizes = [stop - start for start, stop in shares]
    assert all(sizes)
    if batch_size > 1 or world_size == 1:
        assert max(sizes, default=0) <= batch_size
        assert len(bounds) - 1 == -(-num_draws // (batch_size * world_size))


def test_the_last_steps_are_one_draw_smaller_instead_of_one_step_tiny():
    assert np.diff(step_bounds(0, 98, batch_size=5, world_size=2)).tolist() == [10] * 8 + [9, 9]
    assert np.diff(step_bounds(0, 9, batch_size=1, world_size=4)).tolist() == [4, 5]


@given(st.integers(8, 400), st.integers(1, 6))
def test_global_batches_are_the_same_for_every_split_over_ranks(num_draws, half):
    whole = 4 * half
    splits = [(whole // world, world) for world in (1, 2, 4)]
    bounds = [
        step_bounds(0, num_draws, batch_size=size, world_size=world).tolist() for size, world in splits if size > 1
    ]
    assert all(other == bounds[0] for other in bounds)


@given(st.integers(1, 400), batch_sizes, worlds, st.data())
def test_going_on_after_any_step_changes_no_later_step(num_draws, batch_size, world_size, data):
    if num_draws < world_size:
        return
    whole = step_bounds(0, num_draws, batch_size=batch_size, world_size=world_size)
    stopped = data.draw(st.integers(0, len(whole) - 1))
    rest = step_bounds(int(whole[stopped]), num_draws, batch_size=batch_size, world_size=world_size)
    assert rest.tolist() == whole[stopped:].tolist()


@settings(max_examples=250)
@given(
    st.lists(st.floats(0.01, 20), min_size=2, max_size=60),
    st.integers(1, 120),
    st.integers(1, 3),
    st.lists(st.tuples(batch_sizes, worlds, st.integers(0, 20)), max_size=6),
    st.integers(0, 999),
)
def test_stops_with_any_ranks_give_every_weighted_mixed_draw_of_a_run_exactly_once(
    weights, num_draws, num_epochs, stops, seed
):
    half = len(weights) // 2
    layout = ShardLayout(np.array([0, half, len(weights)]), np.array([0, 1]))  # two data sets, mixed
    counts = [
        draw_counts(weights, epoch=epoch, num_epochs=num_epochs, num_draws=num_draws, seed=seed)
        for epoch in range(num_epochs)
    ]
    draws = [draw_order(counts[epoch], layout, epoch=epoch, seed=seed) for epoch in range(num_epochs)]
    given_rows = [[] for _ in range(num_epochs)]
    epoch, position = 0, 0
    for batch_size, world_size, steps_left in [*stops, (3, 1, num_draws * num_epochs)]:
        if 0 < num_draws - position < world_size or num_draws < world_size:
            continue  # refused by name: see the first test
        while steps_left and epoch < num_epochs:
            bounds = step_bounds(position, num_draws, batch_size=batch_size, world_size=world_size)[: steps_left + 1]
            for step in shares_of(bounds, world_size):
                for start, stop in step:
                    given_rows[epoch].extend(draws[epoch][start:stop].tolist())
            steps_left -= len(bounds) - 1
            epoch, position = (epoch + 1, 0) if bounds[-1] == num_draws else (epoch, int(bounds[-1]))
    assert given_rows == [order.tolist() for order in draws]
    times = np.bincount(np.concatenate(given_rows), minlength=len(weights))
    expected = num_epochs * num_draws * np.array(weights) / sum(weights)  # what a cap is held against
    assert np.all(times <= np.ceil(expected + 1e-9)) and np.all(times >= np.floor(expected - 1e-9))
