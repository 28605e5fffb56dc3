"""How often each row is drawn in each epoch, and in what order: pure functions of weights, seed and epoch.

Systematic sampling with stratified offsets (METHODS section 2, "Epoch plan"; Madow 1949). Each epoch
draws exactly ``num_draws`` rows; each row is drawn floor or ceil of its expectation, in every epoch and,
when the number of epochs is known, over the whole run.
"""

import itertools

import numpy as np
from numpy.typing import ArrayLike, NDArray

GOLDEN_RATIO = (5**0.5 - 1) / 2
SHUFFLE_WINDOW = 65_536
"""Draws shuffled together: reading stays near-sequential beyond this, mixing is complete within it."""


def draw_counts(
    weights: ArrayLike, *, epoch: int, num_epochs: int | None, num_draws: int, seed: int
) -> NDArray[np.int64]:
    """How often each row is drawn in ``epoch`` (from 0); the expectation is num_draws * w / sum(w).

    The order of the rows matters: keep one order for the whole run, sorted by cell, and margins are met
    more than twice as closely. With ``num_epochs`` None the offsets follow the golden ratio and only the
    promises per epoch hold.

    Returns: int64, one per row, in the order given, sum ``num_draws``.
    Raises: ValueError for weights that are negative, not finite or all zero, or an epoch out of range.
    """
    expected = _expectations(weights, num_draws)
    if num_epochs is not None and not 0 <= epoch < num_epochs:
        raise ValueError(f"epoch: expected 0 to {num_epochs - 1}, got {epoch}")
    if epoch < 0:
        raise ValueError(f"epoch: expected 0 or more, got {epoch}")
    generator = np.random.default_rng([seed, 0x0FF5E7])
    start = generator.random()
    step = GOLDEN_RATIO * epoch if num_epochs is None else generator.permutation(num_epochs)[epoch] / num_epochs
    offset = (start + step) % 1.0
    cumulative = np.minimum(np.cumsum(expected), num_draws)
    cumulative[-1] = num_draws  # rounding must not cost or add a draw
    return np.diff(np.floor(cumulative + offset), prepend=0.0).astype(np.int64)


def _expectations(weights: ArrayLike, num_draws: int) -> NDArray[np.float64]:
    values = np.asarray(weights, dtype=np.float64)
    if values.ndim != 1 or values.size == 0:
        raise ValueError(f"weights: expected one per row, got shape {values.shape}")
    if not np.isfinite(values).all() or (values < 0).any() or values.sum() <= 0:
        raise ValueError("weights: expected finite, not negative and not all zero")
    if num_draws < 1:
        raise ValueError(f"num_draws: expected at least 1, got {num_draws}")
    expected: NDArray[np.float64] = num_draws * (values / values.sum())
    return expected


def draw_order(
    counts: NDArray[np.int64], shard_of_row: NDArray[np.int64], *, epoch: int, seed: int
) -> NDArray[np.int64]:
    """The rows of an epoch in reading order, each repeated by its count.

    Shards come in a random order and draws are shuffled within windows of SHUFFLE_WINDOW.
    """
    generator = np.random.default_rng([seed, 0x0D3A, epoch])
    draws = np.repeat(np.arange(len(counts)), counts)
    shard_ranks = generator.permutation(int(shard_of_row.max(initial=0)) + 1)
    draws = draws[np.argsort(shard_ranks[shard_of_row[draws]], kind="stable")]
    for start in range(0, len(draws), SHUFFLE_WINDOW):
        generator.shuffle(draws[start : start + SHUFFLE_WINDOW])
    return draws


def batch_slices(num_draws: int, *, batch_size: int, rank: int, world_size: int) -> list[tuple[int, int]]:
    """The draws (from, to) of each batch of ``rank``: every rank has equally many batches, none is empty.

    A global batch is ``batch_size * world_size`` consecutive draws. The last one is shared out to within
    one draw; where it is too small to reach every rank, it joins the one before it.
    """
    whole = batch_size * world_size
    bounds = [*range(0, num_draws, whole), num_draws]
    if len(bounds) > 2 and bounds[-1] - bounds[-2] < world_size:
        del bounds[-2]
    if num_draws < world_size:
        raise ValueError(f"{num_draws} draws cannot reach {world_size} ranks")
    return [
        (start + (stop - start) * rank // world_size, start + (stop - start) * (rank + 1) // world_size)
        for start, stop in itertools.pairwise(bounds)
    ]
