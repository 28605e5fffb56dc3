"""How far shares lie from a population, and how far persons drawn from it would: the null of METHODS section 1.

Rows of one person are no independent draws, and levels differ in how many rows their persons have. The null therefore
draws persons as they are, a person's rows together, weighted so that their expected shares are the population's; of
persons with one row each that is the multinomial. Up to MAX_DRAWN persons are drawn, more follow the normal law of
their mean and covariance. Fewer than MIN_PERSONS say too little of each other: each is then one draw of one level.
"""

from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from ingest.census.intervals import MIN_PERSONS, Floats, effective_persons

Sparse = Any
"""A scipy.sparse.csr_array, which has no types of its own."""
NUM_NULL = 2_000
MAX_DRAWN = 500
_NUM_SWEEPS = 50


def distance(p: NDArray[Any], q: Floats) -> Floats:
    """Root of the Jensen-Shannon divergence in base 2, in [0, 1], of shares or counts [..., K] from shares q [K]."""
    p = p / p.sum(-1, keepdims=True)
    middle = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        from_p = np.where(p > 0, p * np.log2(p / middle), 0.0).sum(-1)
        from_q = np.where(q > 0, q * np.log2(q / middle), 0.0).sum(-1)
    return np.sqrt(np.clip((from_p + from_q) / 2, 0, 1))


def null_distances(persons: Sparse, q: Floats, generator: np.random.Generator) -> Floats:
    """[NUM_NULL] distances from the population q [K] of as many persons drawn from it; persons: [m, K] their rows."""
    num_persons, sizes = persons.shape[0], np.asarray(persons.sum(1)).ravel()
    if num_persons < MIN_PERSONS:
        return distance(generator.multinomial(max(1, round(effective_persons(sizes))), q, NUM_NULL), q)
    # A level of the population that nobody has could have been drawn: by a person of average size.
    absent = (q > 0) & (np.asarray(persons.sum(0)).ravel() == 0)
    kinds = scipy.sparse.vstack([persons, scipy.sparse.csr_array(np.diag(absent * sizes.mean())[absent])], format="csr")
    chances = _chances(kinds, q)
    expected = np.asarray(kinds.T @ chances)
    expected /= expected.sum()
    draw = _drawn if num_persons <= MAX_DRAWN else _normal
    return distance(draw(kinds, chances, expected, num_persons, generator), expected)


def _chances(kinds: Sparse, q: Floats) -> Floats:
    """[m] chances of persons under which the expected rows are as q; as near as persons of several levels allow."""
    sizes = np.asarray(kinds.sum(1)).ravel()
    composition = scipy.sparse.diags_array(1 / sizes) @ kinds
    weights = np.ones(len(sizes))
    for _ in range(_NUM_SWEEPS):
        reached = kinds.T @ weights
        reached /= reached.sum()
        factor = composition @ np.divide(q, reached, out=np.zeros_like(q), where=reached > 0)
        weights = weights * factor
        if np.abs(reached - q).max() < 1e-9:
            break
    return np.asarray(weights / weights.sum())


def _drawn(kinds: Sparse, chances: Floats, expected: Floats, num: int, generator: np.random.Generator) -> Floats:
    """[NUM_NULL, K] rows of ``num`` - 1 persons: the variance among m persons is that of m - 1 draws."""
    alike, of_kind = np.unique(kinds.toarray(), axis=0, return_inverse=True)
    of_alike = np.bincount(of_kind.ravel(), weights=chances)
    return np.asarray(generator.multinomial(num - 1, of_alike / of_alike.sum(), NUM_NULL) @ alike)


def _normal(kinds: Sparse, chances: Floats, expected: Floats, num: int, generator: np.random.Generator) -> Floats:
    """[NUM_NULL, K] shares with the first-order covariance of a ratio of sums over ``num`` persons."""
    sizes = np.asarray(kinds.sum(1)).ravel()
    crossed = (kinds.T @ scipy.sparse.diags_array(chances) @ kinds).toarray()
    with_size = kinds.T @ (chances * sizes)
    turned = np.outer(with_size, expected)
    covariance = crossed - turned - turned.T + np.outer(expected, expected) * (chances @ sizes**2)
    values, vectors = np.linalg.eigh(covariance / (num * (chances @ sizes) ** 2))
    noise = generator.standard_normal((NUM_NULL, len(values))) * np.sqrt(np.clip(values, 0, None))
    return np.clip(expected + noise @ vectors.T, 0, None)
