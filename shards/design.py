"""Which cell belongs to which levels: the matrix A of the weights problem, with the products the solver needs.

With one level per attribute and cell the products are counts (pairwise ones for A diag(x) A'), which is
many times faster than sparse algebra at half a million cells.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Design:
    """Rows of margins over C cells, the last row always the total.

    membership: [K + 1, C] sparse 0/1, an all-ones row last.
    codes: [J + 1, C] rows of ``membership`` that hold a cell, where each cell is held by equally many; else None.
    combine: [R, K + 1] margins as combinations of levels; None where each level is a margin.
    """

    membership: Any
    codes: NDArray[np.int64] | None
    combine: Vector | None = None

    @classmethod
    def of(cls, levels: Any) -> "Design":
        """The design of 0/1 ``levels`` [K, C], dense or sparse; an all-ones row is appended."""
        num_cells = levels.shape[1]
        full = scipy.sparse.csc_array(scipy.sparse.vstack([levels, np.ones((1, num_cells))]))
        full.sort_indices()
        entries = np.diff(full.indptr)
        if not (np.all(full.data == 1.0) and np.all(entries == entries[0])):
            return cls(scipy.sparse.csr_array(full), None)
        codes = full.indices.reshape(num_cells, entries[0]).T.astype(np.int64)
        return cls(scipy.sparse.csr_array(full), np.ascontiguousarray(codes))

    def combined(self, combine: Vector) -> "Design":
        """The same cells under other margins: rows of ``combine`` [R, K + 1] over levels and total."""
        return replace(self, combine=combine)

    def times(self, cells: Vector) -> Vector:
        """A x [R] for x [C]."""
        margins = self._times(cells)
        return margins if self.combine is None else self.combine @ margins

    def transpose_times(self, margins: Vector) -> Vector:
        """A' y [C] for y [R]."""
        levels = margins if self.combine is None else self.combine.T @ margins
        if self.codes is None:
            return np.asarray(self.membership.T @ levels)
        total = np.zeros(self.codes.shape[1])
        for row in self.codes:
            total += levels[row]
        return total

    def gram(self, cells: Vector) -> Vector:
        """A diag(x) A' [R, R]."""
        gram = self._gram(cells)
        return gram if self.combine is None else self.combine @ gram @ self.combine.T

    def members(self, level: int) -> NDArray[np.bool_]:
        """Which cells a level holds."""
        return np.asarray(self.membership[[level], :].toarray()[0] > 0)

    @property
    def _num_levels(self) -> int:
        return int(self.membership.shape[0])

    def _times(self, cells: Vector) -> Vector:
        if self.codes is None:
            return np.asarray(self.membership @ cells)
        total = np.zeros(self._num_levels)
        for row in self.codes:
            total += np.bincount(row, weights=cells, minlength=self._num_levels)
        return total

    def _gram(self, cells: Vector) -> Vector:
        """By pairwise counts where there are codes: J (J - 1) / 2 passes over the cells."""
        if self.codes is None:
            return np.asarray(((self.membership * cells) @ self.membership.T).todense())
        size = self._num_levels
        upper = np.zeros(size * size)
        for first in range(len(self.codes)):
            for second in range(first, len(self.codes)):
                pairs = self.codes[first] * size + self.codes[second]
                counted = np.bincount(pairs, weights=cells, minlength=size * size)
                upper += counted if first != second else counted / 2
        half = upper.reshape(size, size)
        return half + half.T
