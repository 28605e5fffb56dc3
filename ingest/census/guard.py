"""What the counts hide, and of whom: every other table starts from it, so that no two tables undo each other.

A joint table is looked at with all that is not listed in it, rows whose level is not known or that the attribute does
not apply to: the counts hold its margins, so what is left of a margin can be computed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ingest.applicability import MISSING, NOT_APPLICABLE
from ingest.attributes import ABSENT_LEVELS
from ingest.census.coded import Coded, Ints, distinct
from ingest.census.counts import WHOLE_CORPUS
from ingest.census.disclosure import Mask, is_small
from ingest.census.pairs import KNOWN_OR_MISSING, POOLED, Pair, Variable

UNLISTED = 2
"""Places past the levels of a variable: rows where it is not known, and rows it does not apply to."""


@dataclass(frozen=True)
class Guard:
    """cells: (attribute, level, data set) that the counts hide. datasets: the identifiable ones. below: persons.

    rows: [G] their rows, ascending.
    """

    cells: frozenset[tuple[str, str, str]] = frozenset()
    datasets: frozenset[str] = frozenset()
    below: int = 1
    rows: Ints = field(default_factory=lambda: np.zeros(0, np.int64))

    @classmethod
    def of(cls, counts: pa.Table, coded: Coded, *, below: int, identifiable: set[str]) -> "Guard":
        """counts: COUNTS_SCHEMA of ``suppress``."""
        hidden = counts.filter(counts["suppressed"]).select(["attribute", "level", "dataset"]).to_pylist()
        places = [coded.datasets.index(name) for name in identifiable & set(coded.datasets)]
        return cls(
            frozenset((row["attribute"], row["level"], row["dataset"]) for row in hidden), frozenset(identifiable),
            below, np.flatnonzero(np.isin(coded.dataset_N, places)),
        )  # fmt: skip

    def hides_whole(self, coded: Coded) -> bool:
        """Whether an identifiable data set is so small that the whole corpus cannot be told beside the others."""
        return any(is_small(coded.persons_by_dataset.get(name, 0), self.below) for name in self.datasets)

    def levels(self, attribute: str, dataset: str = WHOLE_CORPUS) -> set[str]:
        """The levels of an attribute that are hidden in a data set, or in the whole corpus."""
        return {level for name, level, place in self.cells if name == attribute and place == dataset}

    def places(self, one: Variable) -> Mask:
        """[levels] the hidden ones; a pooled level is hidden with any that it may hold."""
        hidden = self.levels(one.name)
        pooled = bool(hidden - {*one.levels, *ABSENT_LEVELS})
        return np.array([level in hidden or (pooled and level == POOLED) for level in one.levels], bool)

    def touches(self, one: Variable) -> bool:
        """Whether a figure over all levels of a variable depends on a hidden one."""
        hidden = self.levels(one.name)
        if one.label is not None:
            return bool(hidden & {one.label, MISSING})
        return bool(hidden & {*ABSENT_LEVELS} if one.levels == KNOWN_OR_MISSING else hidden)

    def persons(self, coded: Coded, variables: Sequence[Variable]) -> Ints:
        """[D, levels + UNLISTED, ...] persons of each identifiable data set in every cell, also those no table lists.

        Data sets apart: who knows all of the others could take them away.
        """
        shape = tuple(len(one.levels) + UNLISTED for one in variables)
        present, codes = np.unique(coded.dataset_N[self.rows], return_inverse=True)
        codes = codes.astype(np.int64)
        for one, size in zip(variables, shape, strict=True):
            codes = codes * size + self._placed(coded, one)
        size = len(present) * int(np.prod(shape))
        return distinct(codes, coded.person_N[self.rows], size).reshape(len(present), *shape)

    def _placed(self, coded: Coded, one: Variable) -> Ints:
        """[G] the level of each guarded row, or a place past the levels."""
        found = coded.occurrences[one.name]
        if one.label is not None:  # not applicable: the data set never gives the label
            gives = np.bincount(coded.dataset_N[one.codes == 1], minlength=len(coded.datasets)) > 0
            apart = ~gives[coded.dataset_N[self.rows]]
        elif NOT_APPLICABLE in found.levels:
            apart = found.codes[self.rows] == found.levels.index(NOT_APPLICABLE)
        else:
            apart = np.zeros(len(self.rows), bool)
        codes = one.codes[self.rows]
        return np.where(codes >= 0, codes, len(one.levels) + apart).astype(np.int64)

    def hides_pair(self, coded: Coded, pair: Pair, tables: NDArray[np.int64] | None = None) -> bool:
        """Whether a figure over all cells of a pair could give few persons away: none of it is shown then.

        tables: [M] cells of the pair's rows within strata, where a figure is of those too.
        """
        if not len(self.rows):
            return False
        if self.touches(pair.a) or self.touches(pair.b) or self.hides_whole(coded):
            return True
        if is_small(self.persons(coded, (pair.a, pair.b)), self.below).any():
            return True
        if tables is None:
            return False
        mine = np.isin(pair.rows, self.rows, assume_unique=True)
        counted = distinct(tables[mine], pair.person_M[mine], int(tables.max(initial=0)) + 1)
        return bool(is_small(counted, self.below).any())


def hidden_attributes(counts: pa.Table) -> set[tuple[str, str]]:
    """(attribute, data set) of COUNTS_SCHEMA with a hidden level."""
    hidden = counts.filter(counts["suppressed"])
    return set(zip(hidden["attribute"].to_pylist(), hidden["dataset"].to_pylist(), strict=True))


NOBODY = Guard()
"""Of a corpus without identifiable data sets."""


def hide_rows(rows: list[dict[str, Any]], figures: Sequence[str], *, by: str) -> list[dict[str, Any]]:
    """Rows from the largest ``by`` down, suppressed ones last in the order of their names, their ``figures`` null."""
    shown = sorted((row for row in rows if not row["suppressed"]), key=lambda row: -row[by])
    hidden = [row | dict.fromkeys(figures) for row in rows if row["suppressed"]]
    return [*shown, *hidden]
