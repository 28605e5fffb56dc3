"""Disclosure control of ``identifiable`` data sets: small cells are hidden, and enough others beside them.

Primary: cells of 1 to k - 1 persons. Secondary (METHODS section 1): while an open line (a total and its parts) has one
hidden cell, or hidden cells of fewer than k persons together, its smallest open cell is hidden too, one without persons
last. Greedy, so a safeguard and no proof: a linear program then asks how far every hidden cell could range given all
that is shown, and what ranges over fewer than k persons has its line hidden further, or the census is refused.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import scipy.optimize
import scipy.sparse
from numpy.typing import NDArray

from ingest.applicability import ATTRIBUTE_APPLIES, NOT_APPLICABLE
from ingest.attributes import ATTRIBUTES
from ingest.census.coded import Coded
from ingest.census.counts import WHOLE_CORPUS
from ingest.census.overlap import Overlap
from ingest.errors import GateRefused

Persons = NDArray[np.int64]
Mask = NDArray[np.bool_]
Table = TypeVar("Table", Persons, Mask)
Cell = tuple[str, str]
"""Level and data set."""
_COUNTED = ("num_rows", "num_images", "num_studies", "num_persons", "share", "low", "high")
ROUNDED_TO = 5
"""Totals of a data set with hidden cells are rounded to this."""


def is_small(num_persons: Any, below: int) -> Any:
    """1 to ``below - 1`` persons."""
    return (num_persons >= 1) & (num_persons < below)


def close(persons: Persons, hidden: Mask, *, rows_open: Mask, columns_open: Mask, below: int) -> Mask:
    """``hidden`` with the cells that must be hidden beside it, checked by linear programs.

    Args: persons, hidden: [r, c]. rows_open: [r], columns_open: [c] whether the total of a line is shown.
    Raises: GateRefused where a hidden cell stays within reach of its totals.
    """
    hidden = hidden.copy()
    open_lines = [*((0, row) for row in np.flatnonzero(rows_open)), *((1, one) for one in np.flatnonzero(columns_open))]
    lines = {(axis, int(at)): (_line(persons, axis, int(at)), _line(hidden, axis, int(at))) for axis, at in open_lines}
    while True:
        while sum(_close_line(values, mask, below) for values, mask in lines.values()):
            pass
        exposed = _exposed(persons, hidden, rows_open, columns_open, below)
        if not exposed:
            return hidden
        around = [(axis, at) for axis, at in enumerate(exposed[0]) if (axis, at) in lines]
        if not sum(_hide_one(*lines[line]) for line in around):
            raise GateRefused(f"census: expected hidden cells to range over {below} persons, got one within reach")


def _line(table: Table, axis: int, at: int) -> Table:
    """A row (axis 0) or a column, as a view: hiding in it hides in the table."""
    return table[at, :] if axis == 0 else table[:, at]


def _close_line(persons: Persons, hidden: Mask, below: int) -> bool:
    """Hide the smallest open cell of a line (views) where one hidden cell, or too few persons, would show."""
    if not hidden.any() or (hidden.sum() > 1 and persons[hidden].sum() >= below):
        return False
    return _hide_one(persons, hidden)


def _hide_one(persons: Persons, hidden: Mask) -> bool:
    """Hide the smallest open cell with persons, else one without; whether there was any."""
    open_cells = np.flatnonzero(~hidden)
    if not len(open_cells):
        return False
    order = np.lexsort((persons[open_cells], persons[open_cells] == 0))
    hidden[open_cells[order[0]]] = True
    return True


def _exposed(persons: Persons, hidden: Mask, rows_open: Mask, columns_open: Mask, below: int) -> list[tuple[int, int]]:
    """Hidden cells whose range given the open totals is narrower than ``below``."""
    found = []
    for cells in _components(hidden, rows_open, columns_open):
        low, high = _ranges(persons, cells, rows_open, columns_open, below)
        found += [(int(row), int(column)) for row, column in cells[high - low < below]]
    return found


def _components(hidden: Mask, rows_open: Mask, columns_open: Mask) -> Iterable[NDArray[np.int64]]:
    """Hidden cells [m, 2] that share open lines, directly or through others: one linear program each."""
    cells = np.argwhere(hidden)
    num_rows, num_columns = hidden.shape
    # A graph of cells and open lines; a closed line is a node of the cell's own.
    nodes = np.arange(len(cells))
    size = len(cells) + num_rows + num_columns
    edges = [(nodes[keep], len(cells) + offset + cells[keep, axis])
             for axis, offset, open_ in ((0, 0, rows_open), (1, num_rows, columns_open))
             for keep in (open_[cells[:, axis]],)]  # fmt: skip
    start, end = (np.concatenate([edge[side] for edge in edges]) for side in (0, 1))
    graph = scipy.sparse.coo_array((np.ones(len(start)), (start, end)), shape=(size, size))
    _, component = scipy.sparse.csgraph.connected_components(graph, directed=False)
    for label in np.unique(component[: len(cells)]):
        yield cells[component[: len(cells)] == label]


def _ranges(
    persons: Persons, cells: NDArray[np.int64], rows_open: Mask, columns_open: Mask, below: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lowest and highest persons of every cell [m] that the open totals allow; inf without any total."""
    values = persons[cells[:, 0], cells[:, 1]].astype(float)
    equations = [cells[:, axis] == line
                 for axis, open_ in ((0, rows_open), (1, columns_open))
                 for line in np.unique(cells[:, axis]) if open_[line]]  # fmt: skip
    if not equations:
        return np.zeros(len(cells)), np.full(len(cells), np.inf)
    if len(equations) == 1:  # one total: each cell can be nothing, or all of what is hidden
        alone = len(cells) == 1
        return (values, values) if alone else (np.zeros(len(cells)), np.full(len(cells), values.sum()))
    matrix = np.array(equations, dtype=float)
    low, high = np.zeros(len(cells)), np.zeros(len(cells))
    for place in range(len(cells)):
        goal = np.zeros(len(cells))
        goal[place] = 1.0
        low[place] = _extreme(goal, matrix, matrix @ values)
        high[place] = np.inf if low[place] == np.inf else -_extreme(-goal, matrix, matrix @ values)
    return low, high


def _extreme(goal: NDArray[np.float64], matrix: NDArray[np.float64], totals: NDArray[np.float64]) -> float:
    solved = scipy.optimize.linprog(goal, A_eq=matrix, b_eq=totals, bounds=(0, None), method="highs")
    return float(solved.fun) if solved.status == 0 else -np.inf


def suppress(counts: pa.Table, coded: Coded, *, below: int, identifiable: set[str]) -> pa.Table:
    """COUNTS_SCHEMA with the small cells of identifiable data sets hidden, and all that would give them away.

    The level of the whole corpus is hidden wherever a data set's is. A data set of fewer than ``below`` persons is
    hidden whole, and with it the whole corpus of every attribute: else the rest would be subtracted from it. Every
    other table starts from what is hidden here (``ingest.census.guard``).
    """
    rows = counts.to_pylist()
    sizes = {name: number for name, number in coded.persons_by_dataset.items() if name in identifiable}
    if not sizes:
        return counts
    tiny = {name for name, number in sizes.items() if is_small(number, below)}
    members: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        members.setdefault(row["attribute"], []).append(row)
    hidden = _hidden_cells(members, coded, sizes, below)
    added: list[dict[str, Any]] = []
    for attribute, mine in members.items():
        present = {(row["level"], row["dataset"]) for row in mine}
        touched = {level for level, _ in hidden[attribute]}
        for row in mine:
            whole = row["dataset"] == WHOLE_CORPUS and (tiny or row["level"] in touched)
            if whole or row["dataset"] in tiny or (row["level"], row["dataset"]) in hidden[attribute]:
                row.update(dict.fromkeys(_COUNTED), suppressed=True)
        added += [
            {"attribute": attribute, "level": level, "dataset": dataset, "suppressed": True}
            for level, dataset in sorted(hidden[attribute] - present)
        ]
    rows = sorted([*rows, *added], key=lambda row: (row["attribute"], row["dataset"], row["level"]))
    return pa.Table.from_pylist(rows, schema=counts.schema)


def _hidden_cells(
    members: Mapping[str, list[dict[str, Any]]], coded: Coded, sizes: Mapping[str, int], below: int
) -> dict[str, set[Cell]]:
    """attribute -> (level, data set) to hide. sizes: persons of every identifiable data set.

    What does not apply follows from another column: where that has a hidden level, it is hidden too.
    """
    hidden = {name: _hidden_levels(mine, coded, name, sizes, below, set()) for name, mine in members.items()}
    for name in members.keys() & ATTRIBUTE_APPLIES.keys():
        told = {dataset for _, dataset in hidden.get(ATTRIBUTE_APPLIES[name].column, ())}
        if told:
            hidden[name] = _hidden_levels(members[name], coded, name, sizes, below, told)
    return hidden


def _hidden_levels(
    members: list[dict[str, Any]], coded: Coded, attribute: str, sizes: Mapping[str, int], below: int, told: set[str]
) -> set[Cell]:
    """(level, data set) to hide of one attribute. told: data sets where what does not apply is hidden first."""
    levels = sorted({row["level"] for row in members})
    counted = {(row["level"], row["dataset"]): row["num_persons"] for row in members if row["dataset"] in sizes}
    hidden: set[Cell] = set()
    for dataset in {name for _, name in counted}:
        persons = np.array([counted.get((level, dataset), 0) for level in levels], np.int64)
        first = np.array([dataset in told and level == NOT_APPLICABLE for level in levels]) & (persons > 0)
        if np.count_nonzero(persons) < 2:
            first[:] = False  # it applies to no row or to all of them
        overlap = Overlap.of(coded, attribute, dataset) if ATTRIBUTES[attribute].is_list else None
        adds_up = overlap is None or overlap.exclusive
        if overlap is not None:
            known = coded.occurrences[attribute].levels
            lacking = dict(zip(known, is_small(overlap.without, below).any(axis=1), strict=True))
            first |= np.array([lacking[level] for level in levels], bool) & (persons > 0)
        closed = close_levels(persons, sizes[dataset], adds_up=adds_up, below=below, first=first)
        hidden |= {(levels[place], dataset) for place in np.flatnonzero(closed)}
    return hidden


def close_levels(
    persons: Persons, num_persons: int, *, adds_up: bool, below: int, first: Mask | None = None
) -> Mask:  # fmt: skip
    """[L] levels of one attribute in one data set of ``num_persons`` that must be hidden.

    adds_up: whether a row has one level only. Labels overlap: their counts have no common total, but each has its
    complement, the persons without it. first: [L] hidden in any case.
    """
    small = is_small(persons, below) | (False if first is None else first)
    if not adds_up:
        return np.asarray(small | is_small(num_persons - persons, below))
    closed = close(
        persons[:, None], small[:, None], rows_open=np.zeros(len(persons), bool),
        columns_open=np.array([persons.sum() >= below]), below=below,
    )  # fmt: skip
    return np.asarray(closed[:, 0])


@dataclass(frozen=True)
class Part:
    """Persons by (level, data set), and by data set, of a part of the corpus: training rows, or test rows judged."""

    levels: Mapping[Cell, int]
    datasets: Mapping[str, int]


def hidden_in_part(part: Part, whole: Part, *, adds_up: bool, below: int) -> set[Cell]:
    """(level, data set) that must be hidden where ``part`` is shown beside the census of ``whole``, by the same rule.

    Both hold identifiable data sets alone, ``part`` those with persons in it. Hidden is what the census hides; levels
    of 1 to ``below - 1`` persons in the part, or in the rest, its complement; and others beside them, until the hidden
    levels of part and rest each are two or more and of ``below`` persons together. All that subtraction then tells of
    a hidden level leaves a range of the least of its whole, the hidden part, the hidden rest and the whole of the
    other hidden levels, and all of these are ``below`` or more: no linear program is needed. A data set of few persons
    is hidden whole; one without any in the part has nothing to hide there.
    """
    hidden: set[Cell] = set()
    for dataset, num_part in part.datasets.items():
        num_persons = whole.datasets[dataset]
        levels = sorted({level for level, name in (*whole.levels, *part.levels) if name == dataset})
        all_of, part_of = (
            np.array([side.levels.get((level, dataset), 0) for level in levels], np.int64) for side in (whole, part)
        )
        closed = close_levels(all_of, num_persons, adds_up=adds_up, below=below)
        if is_small(num_persons, below):
            closed[:] = True
        elif adds_up:
            closed = _close_sides(np.stack([part_of, all_of - part_of], axis=1), closed, below)
        else:
            closed |= close_levels(part_of, num_part, adds_up=False, below=below)
            closed |= close_levels(all_of - part_of, num_persons - num_part, adds_up=False, below=below)
        hidden |= {(levels[place], dataset) for place in np.flatnonzero(closed)}
    return hidden


def _close_sides(sides: Persons, closed: Mask, below: int) -> Mask:
    """[L] levels to hide in part and rest ``sides`` [L, 2] at once; where either is small, its totals are not shown."""
    hidden = closed | np.asarray(is_small(sides, below).any(axis=1), dtype=bool)
    totals = sides.sum(axis=0)
    columns_open = (totals >= below) & ~is_small(totals, below).any()
    rows_open = np.zeros(len(sides), bool)
    num_hidden = -1
    while num_hidden < hidden.sum():
        num_hidden = hidden.sum()
        for side in (slice(0, 1), slice(1, 2)):  # one after the other: what one hides often serves the other too
            hidden = close(
                sides[:, side], hidden[:, None], rows_open=rows_open, columns_open=columns_open[side], below=below
            )[:, 0]
    return hidden


def round_totals(persons: pa.Table, counts: pa.Table, *, below: int, identifiable: set[str]) -> pa.Table:
    """Totals by data set and person column: small ones hidden with others beside them, for they add up.

    Rounded where any cell of the data set is hidden.
    """
    with_hidden = {row["dataset"] for row in counts.to_pylist() if row["suppressed"]} & identifiable
    rows = persons.to_pylist()
    for dataset in identifiable:
        members = [row for row in rows if row["dataset"] == dataset]
        numbers = np.array([row["num_persons"] for row in members], np.int64)
        small = is_small(numbers, below)
        if small.any() and numbers.sum() >= below:
            small = close_levels(numbers, int(numbers.sum()), adds_up=True, below=below)
        for row, hidden in zip(members, small, strict=True):
            for name in ("num_rows", "num_persons"):
                rounded = ROUNDED_TO * round(row[name] / ROUNDED_TO) if dataset in with_hidden else row[name]
                row[name] = None if hidden else rounded
    return pa.Table.from_pylist(rows, schema=persons.schema)
