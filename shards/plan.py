"""How often each row is drawn in each epoch: a pure function of weights, seed and epoch.

Systematic sampling with stratified offsets (METHODS section 2, "Epoch plan"; Madow 1949). Each epoch
draws exactly ``num_draws`` rows; each row is drawn floor or ceil of its expectation, in every epoch and,
when the number of epochs is known, over the whole run.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

GOLDEN_RATIO = (5**0.5 - 1) / 2


def draw_counts(
    weights: ArrayLike, *, epoch: int, num_epochs: int | None, num_draws: int, seed: int
) -> NDArray[np.int64]:
    """How often each row is drawn in ``epoch`` (from 0); the expectation is num_draws * w / sum(w).

    The order of the rows matters: keep one order for the whole run, sorted by cell, and margins are met
    more than twice as closely. With ``num_epochs`` None the offsets follow the golden ratio and only the
    promises per epoch hold. Besides the result one more array of its size is held.

    Returns: int64, one per row, in the order given, sum ``num_draws``.
    Raises: ValueError for weights that are negative, not finite or all zero, or an epoch out of range.
    """
    values, total = _checked(weights, num_draws)
    offset = _offset(epoch, num_epochs, seed)
    cumulative = np.cumsum(np.multiply(values, num_draws / total))
    np.minimum(cumulative, num_draws, out=cumulative)
    cumulative[-1] = num_draws  # rounding must not cost or add a draw
    np.floor(np.add(cumulative, offset, out=cumulative), out=cumulative)
    counts = cumulative.astype(np.int64)
    counts[1:] -= cumulative[:-1].astype(np.int64)
    return counts


def _checked(weights: ArrayLike, num_draws: int) -> tuple[NDArray[np.float64], float]:
    """The weights and their sum."""
    values = np.asarray(weights, dtype=np.float64)
    if values.ndim != 1 or values.size == 0:
        raise ValueError(f"weights: expected one per row, got shape {values.shape}")
    total = float(values.sum())  # not finite as soon as one of them is not
    if not np.isfinite(total) or values.min() < 0 or total <= 0:
        raise ValueError("weights: expected finite, not negative and not all zero")
    if num_draws < 1:
        raise ValueError(f"num_draws: expected at least 1, got {num_draws}")
    return values, total


def _offset(epoch: int, num_epochs: int | None, seed: int) -> float:
    """Where this epoch's grid of draws starts, in [0, 1): E equally spaced points, or the golden ratio's."""
    if epoch < 0 or (num_epochs is not None and epoch >= num_epochs):
        most = "" if num_epochs is None else f" to {num_epochs - 1}"
        raise ValueError(f"epoch: expected 0{most or ' or more'}, got {epoch}")
    generator = np.random.default_rng([seed, 0x0FF5E7])
    start = generator.random()
    step = GOLDEN_RATIO * epoch if num_epochs is None else generator.permutation(num_epochs)[epoch] / num_epochs
    return float((start + step) % 1.0)
