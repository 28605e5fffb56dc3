"""What others do instead of calibration: weights read off the counts, for the comparison in ``solution.json``.

Each is a function of cells and the targeted attributes, as ratios with mean 1. None of them knows a target,
a bound or a repetition cap: how far each misses them is what the comparison shows.
A row's group is its combination of levels of the targeted attributes, missing being a level like any other.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shards.cells import Cells

Vector = NDArray[np.float64]

POWER = 0.25
"""Exponent alpha of ``power``: a group's share becomes proportional to its present share^alpha."""
BETA = 0.9999
"""Of the effective number of samples (Cui et al. 2019, the value of their large data sets)."""


def none(cells: Cells, attributes: list[str]) -> Vector:
    """Every row counts the same."""
    return cells.ones


def inverse(cells: Cells, attributes: list[str]) -> Vector:
    """1 / n_g: every group the same mass."""
    return _mean_one(cells, 1 / _group_shares(cells, attributes))


def square_root(cells: Cells, attributes: list[str]) -> Vector:
    """n_g^-1/2 (Mahajan et al. 2018)."""
    return _mean_one(cells, _group_shares(cells, attributes) ** -0.5)


def power(cells: Cells, attributes: list[str]) -> Vector:
    """n_g^(alpha - 1): between inverse (alpha 0) and none (alpha 1)."""
    return _mean_one(cells, _group_shares(cells, attributes) ** (POWER - 1))


def effective_number(cells: Cells, attributes: list[str]) -> Vector:
    """(1 - beta) / (1 - beta^n_g), n_g rows in the group (Cui et al. 2019)."""
    num_rows = _group_shares(cells, attributes) * cells.num_rows
    return _mean_one(cells, (1 - BETA) / -np.expm1(num_rows * np.log(BETA)))


def kamiran_calders(cells: Cells, attributes: list[str]) -> Vector:
    """prod_j P(level_j) / P(group): attributes become independent, margins stay (Kamiran & Calders 2012)."""
    independent = np.ones(len(cells.shares))
    for name in attributes:
        independent *= cells.margin(name, cells.ones)[cells.codes[name]]
    return _mean_one(cells, independent / _group_shares(cells, attributes))


def dataset_only(cells: Cells, attributes: list[str]) -> Vector:
    """Every data set the same mass, whatever is in it."""
    return inverse(cells, ["dataset"])


BASELINES: dict[str, Callable[[Cells, list[str]], Vector]] = {
    "none": none,
    "inverse": inverse,
    "sqrt": square_root,
    "power": power,
    "effective_number": effective_number,
    "kamiran_calders": kamiran_calders,
    "dataset": dataset_only,
}


def _group_shares(cells: Cells, attributes: list[str]) -> Vector:
    """[C] share of the rows in the cell's group."""
    group: NDArray[Any] = np.zeros(len(cells.shares), dtype=np.int64)
    for name in attributes:  # renumbered after each attribute, so that no product of levels can overflow
        group = np.unique(group * len(cells.levels[name]) + cells.codes[name], return_inverse=True)[1]
    shares: Vector = np.bincount(group, weights=cells.shares)[group]
    return shares


def _mean_one(cells: Cells, ratios: Vector) -> Vector:
    scaled: Vector = ratios / (cells.shares @ ratios)
    return scaled
