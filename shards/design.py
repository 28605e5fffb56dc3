"""Which cell belongs to which levels: the matrix A of the weights problem, with the products the solver needs.

With one level per attribute and cell every product is a count. A few attributes are counted together (a block),
and pairs and single margins are read off that small joint table: at half a million cells this is many times faster
than sparse algebra.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

Vector = NDArray[np.float64]

LARGEST_TABLE = 100_000
"""Entries of a block's joint table: larger ones leave the processor's cache."""


@dataclass(frozen=True)
class Block:
    """Some attributes counted together.

    attributes: positions. sizes: their numbers of levels. key: [C] place of each cell in the joint table.
    pairs: the pairs of attributes read off this block. firsts: the attributes whose margins are read off it.
    """

    attributes: tuple[int, ...]
    sizes: tuple[int, ...]
    key: NDArray[np.int64]
    pairs: tuple[tuple[int, int], ...]
    firsts: tuple[int, ...]

    def joint(self, cells: Vector) -> Vector:
        table = np.bincount(self.key, weights=cells, minlength=int(np.prod(self.sizes)))
        return table.astype(np.float64, copy=False).reshape(self.sizes)

    def margin(self, joint: Vector, *attributes: int) -> Vector:
        """The joint table summed over all but ``attributes``, which must stand in the block's order."""
        others = tuple(axis for axis, name in enumerate(self.attributes) if name not in attributes)
        margin: Vector = joint.sum(axis=others)
        return margin


@dataclass(frozen=True)
class Design:
    """Rows of margins over C cells, the last row always the total.

    membership: [K + 1, C] sparse 0/1, an all-ones row last; None where ``codes`` say it all.
    codes: [J, C] the levels (rows) that hold a cell, where each cell is held by equally many; else None.
    combine: [R, K + 1] margins as combinations of levels; None where each level is a margin.
    """

    membership: Any
    codes: NDArray[np.int64] | None
    num_levels: int
    combine: Vector | None = None

    @classmethod
    def of(cls, levels: Any) -> "Design":
        """The design of 0/1 ``levels`` [K, C], dense or sparse; an all-ones row is appended."""
        num_levels, num_cells = levels.shape
        columns = scipy.sparse.csc_array(levels)
        columns.sort_indices()
        entries = np.diff(columns.indptr)
        if num_cells and np.all(columns.data == 1.0) and np.all(entries == entries[0]):
            return cls.of_codes(columns.indices.reshape(num_cells, entries[0]).T.astype(np.int64), num_levels)
        full = scipy.sparse.vstack([columns, np.ones((1, num_cells))])
        return cls(scipy.sparse.csr_array(full), None, num_levels)

    @classmethod
    def of_codes(cls, codes: NDArray[np.int64], num_levels: int) -> "Design":
        """The design of cells that each belong to the levels ``codes`` [J, C]."""
        return cls(None, np.ascontiguousarray(codes), num_levels)

    def combined(self, combine: Vector) -> "Design":
        """The same cells under other margins: rows of ``combine`` [R, K + 1] over levels and total."""
        combined = replace(self, combine=combine)
        if self.codes is not None:
            combined.__dict__["blocks"] = self.blocks  # the same cells: count them together in the same way
        return combined

    @property
    def num_cells(self) -> int:
        return int((self.membership if self.codes is None else self.codes).shape[1])

    def times(self, cells: Vector) -> Vector:
        """A x [R] for x [C]."""
        margins = self._times(cells)
        return margins if self.combine is None else self.combine @ margins

    def transpose_times(self, margins: Vector) -> Vector:
        """A' y [C] for y [R]."""
        levels = margins if self.combine is None else self.combine.T @ margins
        if self.codes is None:
            return np.asarray(self.membership.T @ levels)
        total = np.full(self.num_cells, levels[-1])
        for block in self.blocks:
            if block.firsts:
                table = np.zeros(block.sizes)
                for attribute in block.firsts:
                    shape = [1] * len(block.attributes)
                    shape[block.attributes.index(attribute)] = -1
                    table += levels[self._range(attribute)].reshape(shape)
                total += table.ravel()[block.key]
        return total

    def gram(self, cells: Vector) -> Vector:
        """A diag(x) A' [R, R]."""
        gram = self._gram(cells)
        return gram if self.combine is None else self.combine @ gram @ self.combine.T

    def members(self, level: int) -> NDArray[np.bool_]:
        """Which cells a level holds."""
        if self.codes is not None:
            return np.asarray((self.codes == level).any(axis=0))
        return np.asarray(self.membership[[level], :].toarray()[0] > 0)

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """Blocks that between them hold every pair of attributes."""
        assert self.codes is not None, "a design without codes has no blocks"
        sizes = [self._range(attribute).stop - self._range(attribute).start for attribute in range(len(self.codes))]
        blocks, seen = [], set[int]()
        for attributes, pairs in _covering(sizes):
            shape = tuple(sizes[attribute] for attribute in attributes)
            key = np.zeros(self.num_cells, dtype=np.int64)
            for attribute, size in zip(attributes, shape, strict=True):
                key *= size
                key += self.codes[attribute] - self._range(attribute).start
            firsts = tuple(attribute for attribute in attributes if attribute not in seen)
            seen.update(firsts)
            blocks.append(Block(attributes, shape, key, pairs, firsts))
        return tuple(blocks)

    @cached_property
    def _ranges(self) -> list[slice]:
        assert self.codes is not None, "a design without codes has no ranges"
        return [slice(int(row.min()), int(row.max()) + 1) for row in self.codes]

    def _range(self, attribute: int) -> slice:
        """The rows of one attribute's levels."""
        return self._ranges[attribute]

    def _times(self, cells: Vector) -> Vector:
        if self.codes is None:
            return np.asarray(self.membership @ cells)
        total = np.zeros(self.num_levels + 1)
        for block in self.blocks:
            if block.firsts:
                joint = block.joint(cells)
                for attribute in block.firsts:
                    total[self._range(attribute)] += block.margin(joint, attribute)
        total[-1] = cells.sum()
        return total

    def _gram(self, cells: Vector) -> Vector:
        if self.codes is None:
            return np.asarray(((self.membership * cells) @ self.membership.T).todense())
        gram = np.zeros((self.num_levels + 1, self.num_levels + 1))
        margins = np.zeros(self.num_levels + 1)
        for block in self.blocks:
            joint = block.joint(cells)
            for attribute in block.firsts:
                margins[self._range(attribute)] += block.margin(joint, attribute)
            for first, second in block.pairs:
                counted = block.margin(joint, first, second)
                gram[self._range(first), self._range(second)] += counted
                gram[self._range(second), self._range(first)] += counted.T
        margins[-1] = cells.sum()
        gram[np.diag_indices_from(gram)] += margins
        gram[-1, :] = gram[:, -1] = margins
        return gram


def _covering(sizes: Sequence[int]) -> Iterator[tuple[tuple[int, ...], tuple[tuple[int, int], ...]]]:
    """Greedy blocks (attributes, the pairs they are the first to hold) that hold every pair of attributes once."""
    if len(sizes) == 1:
        yield (0,), ()
    left = set(itertools.combinations(range(len(sizes)), 2))
    while left:
        block = set(min(left))
        while True:
            gains = {
                attribute: sum(tuple(sorted((attribute, member))) in left for member in block)
                for attribute in set(range(len(sizes))) - block
                if np.prod([float(sizes[member]) for member in (*block, attribute)]) <= LARGEST_TABLE
            }
            best = max(gains, key=lambda attribute: (gains[attribute], -attribute), default=None)
            if best is None or gains[best] == 0:
                break
            block.add(best)
        attributes = tuple(sorted(block))
        pairs = tuple(pair for pair in itertools.combinations(attributes, 2) if pair in left)
        left -= set(pairs)
        yield attributes, pairs
