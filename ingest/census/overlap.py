"""How the levels of a list attribute overlap within a data set: what can be subtracted from what."""

from dataclasses import dataclass

import numpy as np

from ingest.census.coded import Coded, Ints, runs


@dataclass(frozen=True)
class Overlap:
    """Of one list attribute in one data set.

    exclusive: no row has two levels, so that the levels add up. without: [L, 2] persons with a row that lacks the
    level, among all rows and among those with a level known.
    """

    exclusive: bool
    without: Ints

    @classmethod
    def of(cls, coded: Coded, attribute: str, dataset: str) -> "Overlap":
        found = coded.occurrences[attribute]
        mine = coded.dataset_N[found.rows] == coded.datasets.index(dataset)
        rows, codes = found.rows[mine], found.codes[mine]
        known = codes != found.missing
        without = [_without(coded, rows[kept], codes[kept], len(found.levels)) for kept in (known | True, known)]
        return cls(bool(np.all(rows[1:] != rows[:-1])), np.stack(without, axis=1))


def _without(coded: Coded, rows: Ints, codes: Ints, num_levels: int) -> Ints:
    """[L] of the persons of some rows, those with a row that lacks the level. rows: ascending, repeated."""
    different = rows[np.append(True, rows[1:] != rows[:-1])] if len(rows) else rows
    size_P = np.bincount(coded.person_N[different], minlength=coded.num_persons)
    level, person, hits = runs(codes, coded.person_N[rows], num_levels)
    always = np.bincount(level[hits == size_P[person]], minlength=num_levels)
    return np.asarray(np.count_nonzero(size_P) - always)
