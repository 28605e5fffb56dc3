"""In what order the draws of an epoch are read: a pure function of counts, seed and epoch.

Shards are read one after the other within each group (a data set's task and split), all groups side by
side in proportion to their draws, so that every window of the epoch holds the same mixture. Draws are
then shuffled within windows: reading stays near-sequential, and a row's repeats stay close enough to
be decoded once.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WINDOW_DRAWS = 8_192
"""Draws shuffled together. A packed shard is a fair mixture already (its samples are ordered by hash)."""


@dataclass(frozen=True)
class ShardLayout:
    """Where each shard's rows stand. starts: [S + 1] first row of each shard, and the number of rows.

    groups: [S] number of the shard's group; every shard has rows.
    """

    starts: NDArray[np.int64]
    groups: NDArray[np.int64]


def draw_order(counts: NDArray[np.int64], layout: ShardLayout, *, epoch: int, seed: int) -> NDArray[np.uint32]:
    """The rows of an epoch in reading order, each repeated by its count.

    Args: counts: one per row, rows in the order of the shards.
    """
    generator = np.random.default_rng([seed, 0x0D3A, epoch])
    shards = generator.permutation(len(layout.groups))
    shards = shards[np.argsort(layout.groups[shards], kind="stable")]
    rows = _joined_ranges(layout.starts[:-1][shards], np.diff(layout.starts)[shards])
    draws = np.repeat(rows, counts[rows])
    draws_per_group = np.bincount(
        layout.groups, weights=np.add.reduceat(counts, layout.starts[:-1]), minlength=int(layout.groups.max()) + 1
    ).astype(np.int64)
    draws = draws[_merged(draws_per_group, generator)]
    for start in range(0, len(draws), WINDOW_DRAWS):
        generator.shuffle(draws[start : start + WINDOW_DRAWS])
    return draws


def _joined_ranges(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.uint32]:
    """start, start + 1, ... of each range, one range after the other."""
    steps = np.ones(int(lengths.sum()), dtype=np.int64)
    firsts = np.cumsum(lengths) - lengths
    steps[firsts] = starts
    steps[firsts[1:]] -= starts[:-1] + lengths[:-1] - 1
    return np.cumsum(steps, out=steps).astype(np.uint32)


def _merged(draws_per_group: NDArray[np.int64], generator: np.random.Generator) -> NDArray[np.intp]:
    """The positions of the groups' draws when each group is spread evenly over the epoch."""
    places = np.empty(int(draws_per_group.sum()))
    start = 0
    for num_draws, shift in zip(draws_per_group.tolist(), generator.random(len(draws_per_group)), strict=True):
        places[start : start + num_draws] = (np.arange(num_draws) + shift) / max(num_draws, 1)
        start += num_draws
    return np.argsort(places, kind="stable")
