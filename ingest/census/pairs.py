"""Two attributes side by side: the rows where both are known, person after person."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ingest.attributes import ABSENT_LEVELS, ATTRIBUTES
from ingest.census.coded import Coded, Ints
from ingest.census.intervals import Floats

MAX_LEVELS = 200
"""Levels told apart in a test; what is rarer is pooled into one, and a note says so."""
POOLED = "(rarer levels)"
KNOWN_OR_MISSING = ["known", "missing"]
"""Levels of the question whether an attribute is known."""
SENSITIVE = ("sex", "age_band", "race", "skin_type", "language")
SITES_AND_DEVICES = ("dataset", "manufacturer", "modality")


@dataclass(frozen=True)
class Variable:
    """One attribute of every row. codes: [N] into ``levels``, -1 where not known."""

    name: str
    levels: list[str]
    codes: Ints
    label: str | None = None


@dataclass(frozen=True)
class Pair:
    """M rows where both variables are known, sorted by person. a_M, b_M: codes; person_M: from 0, ascending."""

    a: Variable
    b: Variable
    rows: Ints
    a_M: Ints
    b_M: Ints
    person_M: Ints

    @classmethod
    def of(cls, coded: Coded, a: Variable, b: Variable) -> "Pair":
        rows = np.flatnonzero((a.codes >= 0) & (b.codes >= 0))
        person = coded.person_N[rows]
        dense = np.cumsum(np.append(False, person[1:] != person[:-1])) if len(rows) else person
        return cls(a, b, rows, a.codes[rows], b.codes[rows], dense.astype(np.int64))

    @property
    def num_rows(self) -> int:
        return len(self.rows)

    @property
    def varies(self) -> bool:
        """Whether both have at least two levels among these rows."""
        return all(np.count_nonzero(np.bincount(codes, minlength=1)) > 1 for codes in (self.a_M, self.b_M))

    @cached_property
    def person_sizes(self) -> Ints:
        """[P] rows of each person."""
        return np.bincount(self.person_M) if len(self.person_M) else np.zeros(0, np.int64)

    @cached_property
    def row_weights(self) -> Floats:
        """[M] 1 over the rows of the person: each person weighs one."""
        return 1 / self.person_sizes[self.person_M]

    def table(self, weights: Floats | None = None) -> Floats:
        """[r, c] rows (or their weights) by level of a and of b."""
        shape = (len(self.a.levels), len(self.b.levels))
        counted = np.bincount(self.a_M * shape[1] + self.b_M, weights=weights, minlength=shape[0] * shape[1])
        return counted.reshape(shape).astype(float)


def variable(coded: Coded, name: str) -> Variable:
    """A one-level attribute: its known levels, the rarest beyond MAX_LEVELS pooled."""
    found = coded.occurrences[name]
    counts = np.bincount(found.codes, minlength=len(found.levels))
    known = [code for code in np.argsort(-counts, kind="stable") if found.levels[code] not in ABSENT_LEVELS]
    kept, rest = sorted(known[:MAX_LEVELS]), known[MAX_LEVELS:]
    place = np.full(len(found.levels), -1)
    place[kept] = np.arange(len(kept))
    place[rest] = len(kept)
    levels = [found.levels[code] for code in kept] + ([POOLED] if rest else [])
    return Variable(name, levels, place[found.codes])


def label_variables(coded: Coded, name: str) -> Iterator[Variable]:
    """Has a row this label? One variable per label, the most frequent MAX_LEVELS.

    Not known of rows without any label, and of every row of a data set that never gives this one: collections label by
    their own lists, and a skin lesion is no chest without effusion.
    """
    found = coded.occurrences[name]
    counts = np.bincount(found.codes, minlength=len(found.levels))
    labelled = found.rows[found.codes != found.missing]
    for code in [code for code in np.argsort(-counts, kind="stable") if code != found.missing][:MAX_LEVELS]:
        rows = found.rows[found.codes == code]
        gives = np.bincount(coded.dataset_N[rows], minlength=len(coded.datasets)) > 0
        codes = np.full(coded.num_rows, -1)
        codes[labelled[gives[coded.dataset_N[labelled]]]] = 0
        codes[rows] = 1
        yield Variable(name, ["no", "yes"], codes, found.levels[code])


def with_partners(attributes: Sequence[str]) -> list[str]:
    """The attributes and what they are held against: sites, devices and labels."""
    return list(dict.fromkeys([*attributes, *SITES_AND_DEVICES, "label"]))


def pairs_to_test(coded: Coded, attributes: Sequence[str]) -> Iterator[Pair]:
    """Every pair of one-level attributes, sites and devices included; every sensitive one with every label."""
    names = [name for name in dict.fromkeys([*attributes, *SITES_AND_DEVICES]) if name in coded.occurrences]
    singles = [variable(coded, name) for name in names if not ATTRIBUTES[name].is_list]
    singles = [one for one in singles if len(one.levels) > 1]
    for place, a in enumerate(singles):
        for b in singles[place + 1 :]:
            yield Pair.of(coded, *((b, a) if b.name in SENSITIVE and a.name not in SENSITIVE else (a, b)))
    sensitive = [one for one in singles if one.name in SENSITIVE]
    for name in [name for name in coded.occurrences if ATTRIBUTES[name].is_list and sensitive]:
        for label in label_variables(coded, name):
            for a in sensitive:
                yield Pair.of(coded, a, label)
