"""Which cells of a joint table are hidden: those the counts hide, small ones, and others beside them.

Cells that are no row of the table, where a level is not known or does not apply, are what the open ones leave of the
margins: they protect nothing, and where one is small everything goes that tells those margins.
"""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np

from ingest.census.coded import Coded, Ints
from ingest.census.disclosure import Mask, close, is_small
from ingest.census.guard import Guard
from ingest.census.pairs import Pair, Variable, variable
from ingest.errors import GateRefused

_NOT_GIVEN = 3
"""The place of a label's data sets that never give it: what the counts tell of them is of no other table."""


def hidden_levels(coded: Coded, pair: Pair, guard: Guard, listed: Mask) -> Mask:
    """[r] levels of ``pair.a`` to hide where the share with the label ``pair.b`` is told of each. listed: [r].

    Everything where the label, or having none, is hidden in the counts or of few persons in a data set, and where
    nothing less would do.
    """
    nothing = np.zeros(len(listed), bool)
    if not len(guard.rows):
        return nothing
    by_dataset = guard.persons(coded, (variable(coded, "dataset"), pair.b))
    if guard.touches(pair.b) or guard.hides_whole(coded) or is_small(by_dataset, guard.below).any():
        return ~nothing
    if pair.a.name == "dataset":
        return nothing
    hidden, places = nothing.copy(), guard.places(pair.a)
    tables = [one for one in guard.persons(coded, (pair.a, pair.b))[:, :, :_NOT_GIVEN] if one[:, :2].any()]
    # Differences to the rest tell what all listed levels have together, and so what is left beside them.
    if any(is_small(one[len(listed) :], guard.below).any() for one in tables):
        return ~nothing
    while True:
        before = hidden.copy()
        for one in tables:
            persons = one[: len(listed)]
            rows = listed & (persons.any(1) | places)  # a level without any such person is known to have none
            told = persons.any(0)
            try:
                hidden[rows] |= _close_whole_rows(
                    persons[rows][:, told], hidden[rows], places[rows], np.flatnonzero(told) < 2, guard.below
                )
            except GateRefused:
                return ~nothing
        if (hidden == before).all():
            return hidden


def _close_whole_rows(persons: Ints, first: Mask, places: Mask, told: Mask, below: int) -> Mask:
    """[r] rows to hide, with all their ``told`` columns at once. first: hidden already; places: in the counts too."""
    hidden = is_small(persons, below) | ((first | places)[:, None] & told)
    while True:
        hidden |= hidden.any(1)[:, None] & told
        closed = close(persons, hidden, rows_open=~places, columns_open=np.ones(len(told), bool), below=below)
        if (closed == hidden).all():
            return np.asarray(closed.any(1))
        hidden = closed


def hidden_cells(
    coded: Coded, variables: Sequence[Variable], guard: Guard, pairs: Mapping[tuple[str, ...], Mask]
) -> Mask:
    """[levels, ...] cells of two or three attributes to hide where the whole table is told with its expectations.

    Of three attributes all where one is small, else those over a hidden cell of two. pairs: names -> those of two.
    """
    shape = tuple(len(one.levels) for one in variables)
    hidden = np.zeros(shape, bool)
    if not len(guard.rows):
        return hidden
    for axis, one in enumerate(variables):
        hidden |= _spread(guard.places(one), (axis,), len(shape))
    inside = (slice(None), *(slice(0, size) for size in shape))
    persons = guard.persons(coded, variables)
    small = is_small(persons, guard.below)
    listed = small[inside].any(0)
    small[inside] = False
    if small.any() or guard.hides_whole(coded) or (len(shape) > 2 and listed.any()):
        return np.ones(shape, bool)
    if len(shape) == 2:
        return _closed(persons[inside], hidden | listed, [guard.places(one) for one in variables], guard.below)
    for first, second in itertools.combinations(range(len(shape)), 2):
        pair = pairs.get((variables[first].name, variables[second].name))
        hidden |= True if pair is None else _spread(pair, (first, second), len(shape))
    return hidden


def _closed(tables: Ints, hidden: Mask, places: Sequence[Mask], below: int) -> Mask:
    """[r, c] of two attributes, every data set [D, r, c] protected by itself.

    Levels without such persons are known to have none, and can protect no other.
    """
    while True:
        before = hidden.copy()
        for persons in tables:
            rows, columns = (persons.any(axis) | one for axis, one in zip((1, 0), places, strict=True))
            kept = np.ix_(rows, columns)
            try:
                hidden[kept] = close(
                    persons[kept], hidden[kept], rows_open=~places[0][rows], columns_open=~places[1][columns],
                    below=below,
                )  # fmt: skip
            except GateRefused:
                return np.ones(hidden.shape, bool)
        if (hidden == before).all():
            return hidden


def _spread(mask: Mask, axes: tuple[int, ...], num_axes: int) -> Mask:
    """A mask over some axes, to be laid over a table of all."""
    return mask.reshape([mask.shape[axes.index(axis)] if axis in axes else 1 for axis in range(num_axes)])
