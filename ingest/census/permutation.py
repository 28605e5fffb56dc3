"""Is an association more than chance? Permutation of one attribute between persons (METHODS section 1).

A person's rows travel together and each person weighs one, however many rows there are: a_i and y_i are the person's
compositions by A and by Y, and the statistic is that of the table sum_i a_i y_i'. Up to MAX_EXACT persons the
permutation is exact, and above it wherever a cell is rare and persons are of few kinds. Elsewhere the table is drawn
from the normal law with the permutation's own mean and covariance, S_A x S_Y / (m - 1) (Strasser and Weber 1999). At
most MAX_PERSONS persons are tested: they stand in the order of a hash, so that the first ones are a random sample.
"""

from collections.abc import Callable

import numpy as np
import scipy.stats

from ingest.census.intervals import Floats, Ints
from ingest.census.pairs import Pair

MAX_EXACT = 2_000
RARE = 5.0
"""Expected persons in a cell below which the normal law is none (Cochran 1954)."""
MAX_KINDS = 1_000
MAX_PERSONS = 200_000
MAX_ENTRIES = 20_000_000
NUM_FIRST, NUM_MORE = 999, 9_000
"""Permutations drawn at first, and how many more where fewer than ten of those reach what was seen."""
_BLOCK_ENTRIES = 4_000_000
_MOST_KINDS_PER_PERSON = 4


def permutation_p(pair: Pair, generator: np.random.Generator) -> float:
    """p of no association between persons, at least 1e-4.

    1 where a person or a level stands alone, and where all persons are alike in either attribute: what varies within
    persons only cannot be told by exchanging persons.
    """
    a, y = _persons(pair)
    if len(a) < 3 or (a == a[0]).all() or (y == y[0]).all():
        return 1.0
    seen = float(phi2(a.T @ y))
    least = seen - 1e-9 * max(1.0, seen)  # sums of other orders differ in their last digits
    draw = _permuted if len(a) <= MAX_EXACT or _is_rare(a, y) else _normal
    reached, drawn = 0, 0
    for number in (NUM_FIRST, NUM_MORE):
        reached += int((draw(a, y, number, generator) >= least).sum())
        drawn += number
        if reached >= 10:
            break
    return (1 + reached) / (1 + drawn)


def phi2(tables: Floats) -> Floats:
    """Chi-square over n of tables [..., r, c] ; empty margins count nothing."""
    rows, columns = tables.sum(-1, keepdims=True), tables.sum(-2, keepdims=True)
    expected = np.maximum(rows, 0) * np.maximum(columns, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = np.where(expected > 0, tables**2 / expected, 0.0)
    return np.asarray(parts.sum((-2, -1)) - 1)


def _persons(pair: Pair) -> tuple[Floats, Floats]:
    """[m, r] and [m, c]: compositions by A and by Y of the persons tested, levels without rows left out."""
    num_a, num_b = len(pair.a.levels), len(pair.b.levels)
    m = min(len(pair.person_sizes), MAX_PERSONS, MAX_ENTRIES // (num_a + num_b))
    end = int(np.searchsorted(pair.person_M, m))
    person = pair.person_M[:end]
    a = _compositions(person, pair.a_M[:end], (m, num_a))
    y = _compositions(person, pair.b_M[:end], (m, num_b))
    return a[:, a.any(0)], y[:, y.any(0)]


def _compositions(person: Ints, codes: Ints, shape: tuple[int, int]) -> Floats:
    """Counts over their sum, so that persons of one composition are equal to the last bit."""
    counted = np.bincount(person * shape[1] + codes, minlength=shape[0] * shape[1]).reshape(shape)
    return np.asarray(counted / np.maximum(counted.sum(1, keepdims=True), 1))


def _is_rare(a: Floats, y: Floats) -> bool:
    """Whether a cell is expected to hold few persons, and these are of so few kinds that they can be dealt exactly."""
    if a.sum(0).min() * y.sum(0).min() / len(a) >= RARE:
        return False
    return len(_kinds(a)[0]) * len(_kinds(y)[0]) <= MAX_KINDS


def _kinds(x: Floats) -> tuple[Floats, Ints]:
    """The different rows of x [m, k] and how many there are of each, found by a projection that tells them apart."""
    weights = np.random.default_rng(0).standard_normal(x.shape[1])
    _, firsts, counts = np.unique((x * weights).sum(1), return_index=True, return_counts=True)
    return x[firsts], counts


def _in_blocks(number: int, entries: int, draw: Callable[[int], Floats]) -> Floats:
    """phi2 of ``number`` tables drawn a block at a time, so that memory stays flat."""
    block = max(1, _BLOCK_ENTRIES // max(1, entries))
    return np.concatenate([phi2(draw(min(block, number - done))) for done in range(0, number, block)])


def _permuted(a: Floats, y: Floats, number: int, generator: np.random.Generator) -> Floats:
    """Persons of equal rows are exchangeable: a permutation is a random table of their kinds with fixed margins."""
    (kinds_a, counts_a), (kinds_y, counts_y) = _kinds(a), _kinds(y)
    num_kinds = len(kinds_a) * len(kinds_y)
    if num_kinds > _MOST_KINDS_PER_PERSON * len(a):  # hardly two persons alike: a table of kinds would be the larger
        return _shuffled(a, y, number, generator)
    law = scipy.stats.random_table(counts_a, counts_y)
    method = "patefield" if len(a) > MAX_EXACT else None  # its cost does not grow with the persons

    def draw(size: int) -> Floats:
        tables = law.rvs(size, method=method, random_state=generator).reshape(size, len(kinds_a), len(kinds_y))
        return np.asarray(kinds_a.T @ tables @ kinds_y)

    return _in_blocks(number, num_kinds, draw)


def _shuffled(a: Floats, y: Floats, number: int, generator: np.random.Generator) -> Floats:
    def draw(size: int) -> Floats:
        order = generator.permuted(np.tile(np.arange(len(a)), (size, 1)), axis=1)
        return np.asarray(np.swapaxes(a[order], 1, 2) @ y)

    return _in_blocks(number, a.size, draw)


def _normal(a: Floats, y: Floats, number: int, generator: np.random.Generator) -> Floats:
    expected = np.outer(a.sum(0), y.sum(0)) / len(a)
    root_a, root_y = _root(a), _root(y)

    def draw(size: int) -> Floats:
        noise = generator.standard_normal((size, root_a.shape[1], root_y.shape[1]))
        return np.maximum(expected + root_a @ noise @ root_y.T / np.sqrt(len(a) - 1), 0)

    return _in_blocks(number, expected.size, draw)


def _root(x: Floats) -> Floats:
    """L with L L' = the centred cross-products of x [m, k]; directions without variance left out."""
    centred = x - x.mean(0)
    values, vectors = np.linalg.eigh(centred.T @ centred)
    keep = values > values.max() * 1e-12
    return np.asarray(vectors[:, keep] * np.sqrt(values[keep]))


def benjamini_hochberg(p_values: Floats) -> Floats:
    """q of every test of a family: the lowest false discovery rate at which it is flagged (1995)."""
    order = np.argsort(p_values)
    scaled = p_values[order] * len(p_values) / np.arange(1, len(p_values) + 1)
    q = np.empty(len(p_values))
    q[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return q
