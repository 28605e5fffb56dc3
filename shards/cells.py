"""Training rows collapsed to cells of equal levels: what the solver works on, 3.44 M rows or 400."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import scipy.sparse
from numpy.typing import NDArray


@dataclass(frozen=True)
class Cells:
    """The training rows collapsed: rows with the same levels and the same repetition cap share a cell.

    shares: [C]. levels: attribute -> its levels with rows, sorted. codes: attribute -> [C] index into them.
    caps: [C] highest ratio that the lifetime repetition cap of the cell's dataset allows.
    """

    shares: NDArray[np.float64]
    levels: dict[str, list[str]]
    codes: dict[str, NDArray[np.int64]]
    caps: NDArray[np.float64]
    num_rows: int

    @property
    def ones(self) -> NDArray[np.float64]:
        """[C] the ratios of no weighting."""
        return np.ones(len(self.shares))

    def margin(self, attribute: str, ratios: NDArray[np.float64]) -> NDArray[np.float64]:
        """Share of each level under ``ratios``."""
        shares = self.shares * ratios
        margin = np.bincount(self.codes[attribute], weights=shares, minlength=len(self.levels[attribute]))
        return margin.astype(np.float64)

    def levels_matrix(self, attributes: list[str]) -> Any:
        """[K, C] sparse one-hot rows of every level of ``attributes``, in order."""
        offsets = np.cumsum([0] + [len(self.levels[name]) for name in attributes])
        num_cells = len(self.shares)
        rows = [self.codes[name] + offset for name, offset in zip(attributes, offsets[:-1], strict=True)]
        columns = np.tile(np.arange(num_cells), len(attributes))
        shape = (int(offsets[-1]), num_cells)
        if not rows:
            return scipy.sparse.csr_array(shape)
        return scipy.sparse.csr_array((np.ones(len(columns)), (np.concatenate(rows), columns)), shape=shape)


def collapse(rows: pa.Table, names: list[str], caps: Mapping[str, float]) -> tuple[Cells, NDArray[np.int64]]:
    """Cells of equal levels and cap class, and the cell of each row."""
    row_caps = np.array([caps.get(name, np.inf) for name in rows["dataset"].to_pylist()])
    cap_values, cap_codes = np.unique(row_caps, return_inverse=True)
    columns, levels = [cap_codes], {}
    for name in names:
        encoded = rows[f"level_{name}"].combine_chunks().dictionary_encode()
        order = np.argsort(np.array(encoded.dictionary.to_pylist(), dtype=object))
        levels[name] = [encoded.dictionary[int(position)].as_py() for position in order]
        columns.append(np.argsort(order)[encoded.indices.to_numpy()])
    key = np.zeros(rows.num_rows, dtype=np.int64)
    for column in columns:  # mixed radix, renumbered after each attribute so that it cannot overflow
        key = np.unique(key * (int(column.max()) + 1) + column, return_inverse=True)[1]
    _, first, counts = np.unique(key, return_index=True, return_counts=True)
    codes = {name: column[first] for name, column in zip(names, columns[1:], strict=True)}
    return Cells(counts / rows.num_rows, levels, codes, cap_values[cap_codes[first]], rows.num_rows), key


def effective_share(shares: NDArray[np.float64], ratios: NDArray[np.float64]) -> float:
    """Kish's effective sample size over the number of rows, in (0, 1] (Kish 1965)."""
    return float((shares @ ratios) ** 2 / (shares @ ratios**2))


def reachable_shares(
    cells: Cells,
    name: str,
    speaks: NDArray[np.bool_],
    *,
    lower: NDArray[np.float64],
    upper: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """[L] lowest and highest share of each level among those in ``speaks``, while the total stays 1."""
    least, most = cells.margin(name, lower), cells.margin(name, upper)
    other_least = least[speaks].sum() - least
    other_most = most[speaks].sum() - most
    # What the levels spoken of may weigh together, given what the others must and can.
    room = 1 - least[~speaks].sum()
    floor = 1 - most[~speaks].sum()
    lowest = np.minimum(least + other_most, room)
    low = np.maximum(least, floor - other_most) / np.maximum(lowest, 1e-300)
    highest = np.minimum(most, room - other_least)
    high = highest / np.maximum(highest + np.maximum(other_least, floor - highest), 1e-300)
    return np.where(speaks, np.minimum(low, 1.0), 0.0), np.where(speaks, high, 0.0)


def clip_shares(
    wanted: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Clip to the reachable interval; levels with room take up the difference, so that the sum stays 1."""
    clipped = np.clip(wanted, low, high)
    excess = clipped.sum() - 1
    room = clipped - low if excess > 0 else high - clipped
    if room.sum() > 0:
        clipped = clipped - np.sign(excess) * room * min(1.0, abs(excess) / room.sum())
    return np.asarray(clipped)
