"""How sure a share is: Wilson's interval on the effective number of rows that a patient bootstrap finds.

Rows of one person are no independent witnesses. The bootstrap draws persons (Poisson(1) weights, METHODS section 1);
its variance v of a share p says how many independent rows the corpus is worth, n_eff = p (1 - p) / v, and Wilson's
interval on n_eff keeps its coverage where the percentiles of the bootstrap lose it (3 % of 60 persons: 92 against
80 %). With fewer than MIN_PERSONS on a side there is too little to draw from: then a person's rows count as one
witness, n_eff = N^2 / sum of squared rows per person, or less where the few have many rows each.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

Z_95 = 1.959963984540054
"""Standard normal quantile of 0.975."""
MIN_PERSONS = 10
_ROUNDING = 1e-12
"""Of p (1 - p): a variance below is none, only sums that did not cancel."""
_BLOCK = 2048  # strata drawn at a time: 2048 x 1000 draws are 16 MB


def wilson(share: float, num_effective: float) -> tuple[float, float]:
    """95 % score interval of a share (Wilson 1927); (0, 1) where nothing was counted."""
    if num_effective <= 0:
        return 0.0, 1.0
    z2 = Z_95**2 / num_effective
    centre = (share + z2 / 2) / (1 + z2)
    half = Z_95 / (1 + z2) * (share * (1 - share) / num_effective + z2 / (4 * num_effective)) ** 0.5
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))


def effective_persons(sizes: Ints) -> float:
    """N^2 / sum n_i^2: how many persons of equal size the rows are worth (Kish 1965). 0 of none."""
    total = float(sizes.sum())
    return total**2 / float((sizes.astype(float) ** 2).sum()) if total else 0.0


def rows_worth(
    level: Ints, hits: Ints, sizes: Ints, *, num_rows: float, num_effective: float, num_levels: int
) -> Floats:
    """[num_levels] independent rows that each level's share is worth, p (1 - p) / v; infinite where v is only rounding.

    v = sum (h_i - p n_i)^2 / N^2 is the patient bootstrap's variance to first order.
    Args: level, hits, sizes: [R] of every person of a level, h and n. num_rows, num_effective: N and effective_persons
        of everybody, with the level or without.
    """
    h, h2, hn = (
        np.bincount(level, weights=part, minlength=num_levels)
        for part in (hits, hits.astype(float) ** 2, hits.astype(float) * sizes)
    )
    p = h / max(num_rows, 1.0)
    spread = h2 - 2 * p * hn + p**2 * num_rows**2 / max(num_effective, 1.0)
    binomial = p * (1 - p)
    known = spread > _ROUNDING * binomial * num_rows**2
    return np.where(known, binomial * num_rows**2 / np.where(known, spread, 1.0), np.inf)


@dataclass(frozen=True)
class Strata:
    """Persons pooled by (rows with the level, rows in all): those of a stratum are alike to the bootstrap.

    The sum of m independent Poisson(1) weights is Poisson(m): a stratum is drawn once, exactly as its persons would be.
    hits, sizes, persons: [G] of the persons with the level. all_sizes, all_persons: [S] of everybody.
    """

    hits: Ints
    sizes: Ints
    persons: Ints
    all_sizes: Ints
    all_persons: Ints

    @classmethod
    def of(cls, hits: Ints, sizes: Ints, all_sizes: Ints, all_persons: Ints) -> "Strata":
        """From rows with the level and rows in all of each person who has it."""
        base = int(hits.max(initial=0)) + 1
        keys, persons = np.unique(sizes * base + hits, return_counts=True)
        return cls(keys % base, keys // base, persons, all_sizes, all_persons)

    def draw(self, num_resamples: int, generator: np.random.Generator) -> tuple[Floats, Floats]:
        """[B] rows with the level and [B] rows in all, of ``num_resamples`` corpora of redrawn persons."""
        without = self.all_persons.copy()
        np.subtract.at(without, np.searchsorted(self.all_sizes, self.sizes), self.persons)
        hits = np.concatenate([self.hits, np.zeros(len(without), np.int64)])
        sizes = np.concatenate([self.sizes, self.all_sizes])
        persons = np.concatenate([self.persons, without])
        hit_B, size_B = np.zeros(num_resamples), np.zeros(num_resamples)
        for start in range(0, len(persons), _BLOCK):
            block = slice(start, start + _BLOCK)
            weights = generator.poisson(persons[block, None], (len(persons[block]), num_resamples))
            hit_B += hits[block] @ weights
            size_B += sizes[block] @ weights
        return hit_B, size_B


def sizes_of(size_P: Ints) -> tuple[Ints, Ints]:
    """Distinct numbers of rows per person, ascending, and how many persons have each."""
    sizes, persons = np.unique(size_P, return_counts=True)
    return sizes, persons


def effective_rows(hit_B: Floats, size_B: Floats, share: float, *, num_rows: int, fallback: float) -> float:
    """n_eff = p (1 - p) / v of a bootstrapped share, at most the rows; ``fallback`` where it hardly varies."""
    drawn = size_B > 0
    variance = float(np.var(hit_B[drawn] / size_B[drawn])) if drawn.any() else 0.0
    binomial = share * (1 - share)
    return min(binomial / variance, float(num_rows)) if variance > _ROUNDING * binomial and binomial > 0 else fallback
