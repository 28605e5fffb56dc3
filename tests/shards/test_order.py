"""The reading order: every draw once, the same mixture everywhere, shards one after the other."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from shards.order import WINDOW_DRAWS, ShardLayout, draw_order


def layout_of(sizes, groups):
    return ShardLayout(np.concatenate([[0], np.cumsum(sizes)]), np.array(groups))


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 3)), min_size=1, max_size=12), st.integers(0, 99))
def test_the_order_holds_every_draw_once(shards, seed):
    layout = layout_of([size for size, _ in shards], [group for _, group in shards])
    counts = np.random.default_rng(seed).integers(0, 4, layout.starts[-1])
    order = draw_order(counts, layout, epoch=seed, seed=seed)
    assert np.array_equal(np.bincount(order, minlength=len(counts)), counts)


def test_the_same_epoch_has_the_same_order_and_another_has_another():
    layout, counts = layout_of([50, 50], [0, 1]), np.ones(100, np.int64)
    first, again, later = (draw_order(counts, layout, epoch=epoch, seed=1).tolist() for epoch in (0, 0, 1))
    assert first == again != later


def test_every_window_holds_the_same_mixture():
    layout = layout_of([10_000] * 8, [0, 0, 0, 0, 0, 0, 1, 2])
    counts = np.ones(80_000, np.int64)
    counts[70_000:] = 2  # group 2: 20,000 of 90,000 draws
    order = draw_order(counts, layout, epoch=0, seed=0)
    for start in range(0, len(order) - WINDOW_DRAWS, WINDOW_DRAWS):
        share = (order[start : start + WINDOW_DRAWS] >= 70_000).mean()
        assert abs(share - 20_000 / 90_000) < 1e-3


def test_a_window_reads_few_shards_and_holds_all_repeats_of_most_rows():
    layout = layout_of([1_000] * 100, [0] * 100)
    counts = np.full(100_000, 2)
    order = draw_order(counts, layout, epoch=3, seed=3)
    first = np.unique(order[:WINDOW_DRAWS])
    assert len(np.unique(first // 1_000)) <= 6  # 4,096 rows
    assert len(first) == WINDOW_DRAWS // 2
