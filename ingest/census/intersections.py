"""Intersections to order 3: how much more often levels meet than independence would have it (METHODS section 1)."""

import itertools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ingest.attributes import ATTRIBUTES
from ingest.census.coded import NUM_THREADS, Coded, Ints, distinct
from ingest.census.disclosure import Mask
from ingest.census.guard import NOBODY, Guard
from ingest.census.intervals import Z_95, Floats, effective_persons, wilson
from ingest.census.joint import hidden_cells
from ingest.census.pairs import Variable, variable

INTERSECTIONS_SCHEMA = pa.schema(
    [
        ("order", pa.int64()),
        *((f"{part}_{number}", pa.string()) for number in (1, 2, 3) for part in ("attribute", "level")),
        ("num_rows", pa.int64()),
        ("num_persons", pa.int64()),
        ("share", pa.float64()),
        ("expected", pa.float64()),
        ("lift", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("suppressed", pa.bool_()),
    ]
)
MIN_EXPECTED = 5.0
"""Rows that independence must lead one to expect; below, a lift says nothing."""
_FIGURES = ("num_rows", "num_persons", "share", "expected", "lift", "low", "high")


def intersections(
    coded: Coded, attributes: Sequence[str], *, order: int, guard: Guard = NOBODY
) -> pa.Table:  # fmt: skip
    """INTERSECTIONS_SCHEMA of the whole corpus: cells of 2 to ``order`` attributes where 5 rows or more are expected.

    Shares are of all rows, expectations among the rows in which all attributes of a cell are known; cells of levels
    that are not known are left to the counts. The interval of a lift is that of its logarithm by the delta method, with
    every person as one witness.
    """
    singles = [variable(coded, name) for name in attributes if not ATTRIBUTES[name].is_list]
    singles = [one for one in singles if len(one.levels) > 1]
    populations = _Populations(coded, singles)
    hidden: dict[tuple[str, ...], Mask] = {}
    frames: list[pa.Table] = []
    with ThreadPoolExecutor(NUM_THREADS) as threads:
        for number in range(2, order + 1):  # lifts of pairs are all there before order 3 asks for them
            crossed = threads.map(
                lambda variables: _cross(coded, variables, populations.of(variables), guard, hidden),
                itertools.combinations(singles, number),
            )
            frames += [table for table in crossed if table is not None]
    empty = INTERSECTIONS_SCHEMA.empty_table()
    return pa.concat_tables([empty, *frames])


@dataclass(frozen=True)
class _Population:
    """The rows in which some attributes are all known. inside: [N], None where that is every row."""

    inside: NDArray[np.bool_] | None
    num_rows: int
    num_effective: float
    margins: dict[str, Floats] = field(default_factory=dict)
    lifts: dict[tuple[str, str], Floats] = field(default_factory=dict)

    @classmethod
    def of(cls, coded: Coded, inside: NDArray[np.bool_] | None) -> "_Population":
        if inside is None:
            return cls(None, coded.num_rows, effective_persons(coded.size_P))
        sizes = np.bincount(coded.person_N[inside], minlength=coded.num_persons)
        return cls(inside, int(sizes.sum()), effective_persons(sizes))

    def shares(self, one: Variable) -> Floats:
        """[r] share of this population's rows at each level."""
        if one.name not in self.margins:
            codes = one.codes if self.inside is None else one.codes[self.inside]
            counts = np.bincount(codes + 1, minlength=len(one.levels) + 1)[1:]
            self.margins[one.name] = np.asarray(counts / max(1, self.num_rows))
        return self.margins[one.name]

    def lift(self, a: Variable, b: Variable) -> Floats:
        """[r, c] how much more often the levels of two attributes meet in this population."""
        if (a.name, b.name) not in self.lifts:
            shape = (len(a.levels), len(b.levels))
            codes, rows = _cell_codes((a, b), shape)
            codes = codes if self.inside is None else codes[self.inside[rows]]
            self.note(a, b, np.bincount(codes, minlength=shape[0] * shape[1]).reshape(shape))
        return self.lifts[a.name, b.name]

    def note(self, a: Variable, b: Variable, met: Ints) -> None:
        with np.errstate(divide="ignore", invalid="ignore"):
            expected = np.multiply.outer(self.shares(a), self.shares(b)) * self.num_rows
            self.lifts[a.name, b.name] = np.nan_to_num(met / expected)


class _Populations:
    """One population per set of attributes that are not known of every row; what is known of all shares one.

    Else two attributes known of the same half of the corpus would meet twice as often as by chance.
    """

    def __init__(self, coded: Coded, singles: Sequence[Variable]) -> None:
        self._coded = coded
        self._partial = {one.name: known for one in singles if not (known := one.codes >= 0).all()}
        self._found: dict[tuple[str, ...], _Population] = {}

    def of(self, variables: Sequence[Variable]) -> _Population:
        key = tuple(one.name for one in variables if one.name in self._partial)
        if key not in self._found:
            inside = np.logical_and.reduce([self._partial[name] for name in key]) if key else None
            self._found[key] = _Population.of(self._coded, inside)
        return self._found[key]


def _cross(
    coded: Coded,
    variables: tuple[Variable, ...],
    population: _Population,
    guard: Guard,
    hidden: dict[tuple[str, ...], Mask],
) -> pa.Table | None:
    total = population.num_rows
    shares = [population.shares(one) for one in variables]
    expected = total * _outer(shares)
    cells = np.flatnonzero(expected.ravel() >= MIN_EXPECTED)
    if not len(cells):
        return None
    shape = expected.shape
    codes, rows = _cell_codes(variables, shape)
    size = int(np.prod(shape))
    num_rows = np.bincount(codes, minlength=size)
    num_persons = distinct(codes, coded.person_N[rows], size)
    observed = num_rows.reshape(shape) / total
    if len(variables) == 2:
        population.note(*variables, num_rows.reshape(shape))
    variance = _log_lift_variance(observed, shares, variables, population).ravel() / population.num_effective
    lift, low, high = _lift_interval(num_rows, expected.ravel(), variance, population.num_effective, total)
    names = tuple(one.name for one in variables)
    hidden[names] = hidden_cells(coded, variables, guard, hidden)
    return _frame(
        variables, cells, shape,
        {"num_rows": num_rows, "num_persons": num_persons, "share": num_rows / coded.num_rows,
         "expected": expected.ravel(), "lift": lift, "low": low, "high": high}, hidden[names].ravel(),
    )  # fmt: skip


def _outer(shares: list[Floats]) -> Floats:
    product = shares[0]
    for one in shares[1:]:
        product = np.multiply.outer(product, one)
    return product


def _cell_codes(variables: tuple[Variable, ...], shape: tuple[int, ...]) -> tuple[NDArray[np.integer], Ints]:
    """[M] the cell of every row whose levels are all known, and [M] its number."""
    rows = np.flatnonzero(np.logical_and.reduce([one.codes >= 0 for one in variables]))
    kind: Any = np.int32 if np.prod(shape) < 2**31 else np.int64
    codes: NDArray[Any] = np.zeros(len(rows), kind)
    for one, size in zip(variables, shape, strict=True):
        codes *= kind(size)
        codes += one.codes[rows].astype(kind)
    return codes, rows


def _log_lift_variance(
    observed: Floats, shares: list[Floats], variables: Sequence[Variable], population: _Population
) -> Floats:
    """n times the variance of ln(p / prod p_j): 1/p - 1 - sum (1/p_j - 1) + 2 sum over pairs (lift_ij - 1).

    From the multinomial covariances of the cell's share and its margins.
    """
    with np.errstate(divide="ignore"):
        variance = 1 / observed - 1
        for axis, share in enumerate(shares):
            variance = variance - _along(1 / share - 1, axis, len(shares))
    for first, second in itertools.combinations(range(len(shares)), 2):
        pair = population.lift(variables[first], variables[second])
        spread = [slice(None) if axis in (first, second) else None for axis in range(len(shares))]
        variance = variance + 2 * (pair - 1)[tuple(spread)]
    return np.asarray(variance)


def _along(values: Floats, axis: int, num_axes: int) -> Floats:
    return values.reshape([-1 if place == axis else 1 for place in range(num_axes)])


def _lift_interval(
    num_rows: Ints, expected: Floats, variance: Floats, num_effective: float, total: int
) -> tuple[Floats, Floats, Floats]:
    """Lift and its 95 % interval; of an empty cell from 0 to what Wilson's interval of no row allows."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        lift = num_rows / expected
        factor = np.exp(Z_95 * np.sqrt(np.maximum(variance, 0)))
        low, high = lift / factor, lift * factor
        empty = num_rows == 0
        low[empty] = 0.0
        high[empty] = wilson(0.0, num_effective)[1] * total / expected[empty]
    return lift, low, high


def _frame(
    variables: tuple[Variable, ...], cells: Ints, shape: tuple[int, ...], figures: dict[str, Any],
    hidden: NDArray[np.bool_],
) -> pa.Table:  # fmt: skip
    places = np.unravel_index(cells, shape)
    columns: dict[str, Any] = {"order": np.full(len(cells), len(variables))}
    for number in (1, 2, 3):
        known = number <= len(variables)
        one = variables[number - 1] if known else None
        columns[f"attribute_{number}"] = pa.array([one.name if one else None] * len(cells), pa.string())
        names = [one.levels[place] for place in places[number - 1]] if one else [None] * len(cells)
        columns[f"level_{number}"] = pa.array(names, pa.string())
    for name in _FIGURES:
        kind = INTERSECTIONS_SCHEMA.field(name).type
        columns[name] = pa.array(figures[name][cells], kind, mask=hidden[cells])
    columns["suppressed"] = hidden[cells]
    return pa.table(columns, schema=INTERSECTIONS_SCHEMA)
