"""How well an attribute can be read off pictures: one-vs-rest AUC of logistic regressions on coarse features.

Held-out scores, folds by person (here: one picture per person), the mean over levels and folds (METHODS section 1,
G-AUDIT). The interval is DeLong's (1988), of the models at hand. The p-value permutes the levels between persons and
trains anew each time, on least squares, whose held-out scores are two matrix products: scores held fixed would miss
that folds share what they were trained on, and call noise a reading 12 times of 100 instead of 5 (measured).
"""

from dataclasses import dataclass

import numpy as np
import scipy.stats
from numpy.typing import NDArray

from ingest.census.intervals import Z_95, Floats, Ints

MAX_LEVELS = 12
MIN_PERSONS = 15
"""Persons a level must have to be read: three in each fold."""
NUM_FOLDS = 5
NUM_PERMUTATIONS = 999
LEAST_P = 1e-4
"""As ``census.permutation`` has it: further out a tail is a matter of belief."""
_BLOCK_ENTRIES = 1_000_000  # scores at a time: 8 MB
_PENALTY = 0.1  # sklearn's C: with some 75 features and a few hundred persons, more freedom reads noise


@dataclass(frozen=True)
class Reading:
    """auc: mean over levels, 0.5 where nothing can be read. p_value: at least LEAST_P."""

    num_persons: int
    num_levels: int
    auc: float
    low: float
    high: float
    p_value: float


@dataclass(frozen=True)
class _Fold:
    """Held-out persons: codes [n] and midranks [n, K] of their scores."""

    codes: Ints
    ranks: Floats


def read_off(features: Floats, codes: Ints, *, generator: np.random.Generator, min_persons: int) -> Reading | None:
    """features: [n, d] of n persons. codes: [n] levels, -1 where not known. None with fewer than two levels to read.

    Levels with fewer than ``min_persons`` persons (or MIN_PERSONS) are left out, of more than MAX_LEVELS the rarest.
    """
    counts = np.bincount(codes[codes >= 0])
    kept = np.argsort(-counts, kind="stable")[:MAX_LEVELS]
    kept = kept[counts[kept] >= max(MIN_PERSONS, min_persons)]
    if len(kept) < 2:
        return None
    place = np.full(len(counts) + 1, -1)  # the last is for -1
    place[kept] = np.arange(len(kept))
    dense = place[codes]
    features, dense = features[dense >= 0], dense[dense >= 0]
    splits = _splits(features, dense, generator)
    auc, error = _auc_with_error([_held_out(features, dense, *split) for split in splits])
    low, high = max(0.0, auc - Z_95 * error), min(1.0, auc + Z_95 * error)
    return Reading(len(dense), len(kept), auc, low, high, _permutation_p(features, dense, splits, generator))


def _splits(features: Floats, codes: Ints, generator: np.random.Generator) -> list[tuple[Ints, Ints]]:
    """(train, test) of every fold, each with its part of every level."""
    from sklearn.model_selection import StratifiedKFold  # 1 s

    folds = StratifiedKFold(NUM_FOLDS, shuffle=True, random_state=int(generator.integers(2**31)))
    return list(folds.split(features, codes))


def _held_out(features: Floats, codes: Ints, train: Ints, test: Ints) -> _Fold:
    """Scores of every level against the rest."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=_PENALTY, solver="newton-cholesky")
    seen, unseen = _standardised(features, train, test)
    levels = range(int(codes.max()) + 1)
    if len(levels) == 2:
        score = model.fit(seen, codes[train]).decision_function(unseen)
        scores = np.stack([-score, score], axis=1)
    else:
        fits = (model.fit(seen, codes[train] == level) for level in levels)
        scores = np.stack([fit.decision_function(unseen) for fit in fits], axis=1)
    return _Fold(codes[test], scipy.stats.rankdata(scores, axis=0))


def _standardised(features: Floats, train: Ints, test: Ints) -> tuple[Floats, Floats]:
    centre, spread = features[train].mean(0), features[train].std(0)
    spread = np.where(spread > 1e-9, spread, 1.0)
    return (features[train] - centre) / spread, (features[test] - centre) / spread


def _permutation_p(
    features: Floats, codes: Ints, splits: list[tuple[Ints, Ints]], generator: np.random.Generator
) -> float:
    """Levels permuted within the folds, which so keep their part of every level.

    Where no permutation reaches what was seen, the tail of the normal law with their mean and spread (of 50,000
    permutations at 200 persons fewer lie there than that law has: it claims too little).
    """
    holds_nK = codes[:, None] == np.arange(int(codes.max()) + 1)
    scorers = [_scorer(*_standardised(features, train, test)) for train, test in splits]
    seen = _auc_of_drawn(holds_nK[:, :, None], splits, scorers)[0]
    block = max(1, _BLOCK_ENTRIES // holds_nK.size)
    drawn = np.concatenate([
        _auc_of_drawn(_shuffled(holds_nK, splits, min(block, NUM_PERMUTATIONS - done), generator), splits, scorers)
        for done in range(0, NUM_PERMUTATIONS, block)
    ])  # fmt: skip
    reached = int((drawn >= seen - 1e-12).sum())
    if reached:
        return (1 + reached) / (1 + NUM_PERMUTATIONS)
    tail = float(scipy.stats.norm.sf((seen - drawn.mean()) / drawn.std()))
    return float(np.clip(tail, LEAST_P, 1 / (1 + NUM_PERMUTATIONS)))


def _shuffled(
    holds_nK: NDArray[np.bool_], splits: list[tuple[Ints, Ints]], number: int, generator: np.random.Generator
) -> NDArray[np.bool_]:
    """[n, K, B] levels of B permutations."""
    order_nB = np.tile(np.arange(len(holds_nK))[:, None], number)
    for _, test in splits:
        order_nB[test] = generator.permuted(order_nB[test], axis=0)
    return np.moveaxis(holds_nK[order_nB], 2, 1)


def _scorer(train: Floats, test: Floats) -> tuple[Floats, Floats]:
    """[m, d] and [d, n] whose product takes the levels of n training persons to ridge scores of m held-out ones."""
    inner = train.T @ train + 4 / _PENALTY * np.eye(train.shape[1])  # 4: the logistic curve is a quarter as steep
    return test, np.asarray(np.linalg.solve(inner, train.T))


def _auc_of_drawn(
    holds_nKB: NDArray[np.bool_], splits: list[tuple[Ints, Ints]], scorers: list[tuple[Floats, Floats]]
) -> Floats:
    """[B] AUC of least squares, of B drawings of levels."""
    number, num_levels, num_drawn = holds_nKB.shape
    told = 1 if num_levels == 2 else num_levels  # of two levels the second is the first turned round
    total = np.zeros(num_drawn)
    for (train, test), (features, fit) in zip(splits, scorers, strict=True):
        scores = features @ (fit @ holds_nKB[train, :told].reshape(len(train), -1).astype(float))
        ranks = scipy.stats.rankdata(scores, axis=0).reshape(len(test), told, num_drawn)
        total += len(test) / number * _aucs(holds_nKB[test, :told], ranks).mean(0)
    return total


def _auc_of(folds: list[_Fold]) -> float:
    number = sum(len(fold.codes) for fold in folds)
    return float(sum(len(fold.codes) / number * _fold_aucs(fold).mean() for fold in folds))


def _fold_aucs(fold: _Fold) -> Floats:
    """[K] of one fold."""
    return _aucs(fold.codes[:, None] == np.arange(fold.ranks.shape[1]), fold.ranks)


def _aucs(holds: NDArray[np.bool_], ranks: Floats) -> Floats:
    """[...] of n persons [n, ...] (Mann-Whitney): rank sums of those who hold the level."""
    num = holds.sum(0)
    return np.asarray(((holds * ranks).sum(0) - num * (num + 1) / 2) / (num * (len(holds) - num)))


def _auc_with_error(folds: list[_Fold]) -> tuple[float, float]:
    """The AUC, and the root of the sum of each person's squared influence on it."""
    number = sum(len(fold.codes) for fold in folds)
    variance = 0.0
    for fold in folds:
        holds_nK: NDArray[np.bool_] = fold.codes[:, None] == np.arange(fold.ranks.shape[1])
        num_K = holds_nK.sum(0)
        others_K = len(fold.codes) - num_K
        within = np.where(
            holds_nK, _ranks_among(fold.ranks, holds_nK), _ranks_among(fold.ranks, ~holds_nK)
        )  # place among their own
        beaten = fold.ranks - within  # of the other side, a tie counting half
        influence = np.where(
            holds_nK,
            (beaten / others_K - _fold_aucs(fold)) / num_K,
            ((1 - beaten / num_K) - _fold_aucs(fold)) / others_K,
        )
        variance += float(((len(fold.codes) / number * influence.mean(1)) ** 2).sum())
    return _auc_of(folds), variance**0.5


def _ranks_among(ranks: Floats, members: NDArray[np.bool_]) -> Floats:
    """[n, K] midranks of the members of each column among themselves; 0 elsewhere."""
    found = np.zeros_like(ranks)
    for level in range(ranks.shape[1]):
        found[members[:, level], level] = scipy.stats.rankdata(ranks[members[:, level], level])
    return found
