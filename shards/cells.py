"""Training rows collapsed to cells of equal levels: what the solver works on, 3.44 M rows or 400.

DuckDB groups and joins; no Python object is made per row.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ingest.attributes import fetch, level_sql
from ingest.sample import Split
from shards.assignment import LABELLED_SQL, PACKABLE_SQL
from shards.design import Design

Vector = NDArray[np.float64]
LABEL_SEPARATOR = "\x1f"
"""Between the labels of a row where their set is one text: no label holds a control character."""


@dataclass(frozen=True)
class Cells:
    """The training rows collapsed: rows of one dataset with the same levels share a cell.

    shares: [C]. levels: attribute -> its levels with rows, sorted; ``dataset`` always stands first.
    codes: attribute -> [C] index into them. caps: [C] highest ratio that the lifetime repetition cap allows.
    has_pictures: False where no row has one yet.
    presences: attributes that are one label, present or absent (``shards.presence``) -> its attribute and the label.
    hidden: (attribute, level) of so few persons that nothing written or said may give their figures.
    guarded: identifiable data sets, of whose rows 1 to ``below`` - 1 are not counted in public.
    """

    shares: Vector
    levels: dict[str, list[str]]
    codes: dict[str, NDArray[np.int64]]
    caps: Vector
    num_rows: int
    has_pictures: bool
    presences: dict[str, tuple[str, str]] = field(default_factory=dict)
    hidden: frozenset[tuple[str, str]] = frozenset()
    guarded: frozenset[str] = frozenset()
    below: int = 11

    @property
    def ones(self) -> Vector:
        """[C] the ratios of no weighting."""
        return np.ones(len(self.shares))

    def capped(self, caps: Mapping[str, float]) -> "Cells":
        """The same cells, with the highest ratio that each dataset named in ``caps`` allows."""
        of_dataset = np.array([caps.get(name, np.inf) for name in self.levels["dataset"]])
        return replace(self, caps=of_dataset[self.codes["dataset"]])

    def told(self, name: str) -> list[tuple[int, str, str]]:
        """What is said of an attribute: (place, attribute, level) of each level; of a label, only its presence."""
        if name in self.presences:
            return [(self.levels[name].index("present"), *self.presences[name])]
        return [(place, name, level) for place, level in enumerate(self.levels[name])]

    def margin(self, attribute: str, ratios: Vector) -> Vector:
        """Share of each level under ``ratios``."""
        shares = self.shares * ratios
        margin = np.bincount(self.codes[attribute], weights=shares, minlength=len(self.levels[attribute]))
        return margin.astype(np.float64)

    def design(self, attributes: list[str]) -> Design:
        """The design of every level of ``attributes``, in order."""
        offsets = np.cumsum([0] + [len(self.levels[name]) for name in attributes])
        codes = np.empty((len(attributes), len(self.shares)), dtype=np.int64)
        for row, name in enumerate(attributes):
            codes[row] = self.codes[name] + offsets[row]
        return Design.of_codes(codes, int(offsets[-1]))


def training_sql(has_picture: bool) -> str:
    """Which rows training can draw; without a picture: could draw, had the pictures come."""
    return f"split = '{Split.TRAIN}' AND {PACKABLE_SQL if has_picture else LABELLED_SQL}"


def collapse(
    connection: duckdb.DuckDBPyConnection, attributes: list[str], *, sql: Mapping[str, str] | None = None
) -> Cells:
    """Cells of equal dataset and equal levels of ``attributes``, sorted by them.

    sql: what stands for the level of an attribute whose rows have several. Makes the view ``training`` of every row
    that training can draw, each attribute's level as ``level_<name>``. A corpus of which no picture has come yet is
    weighed as if all had. No training rows give no cells.
    """
    for has_picture in (True, False):
        cells = _collapse(connection, attributes, sql or {}, has_picture=has_picture)
        if cells.num_rows:
            break
    return cells


def _collapse(
    connection: duckdb.DuckDBPyConnection, attributes: list[str], sql: Mapping[str, str], *, has_picture: bool
) -> Cells:
    names = ["dataset", *(name for name in attributes if name != "dataset")]
    columns = ", ".join(f'{sql.get(name) or level_sql(name)} AS "level_{name}"' for name in names)
    connection.execute(
        f"CREATE OR REPLACE TEMP VIEW training AS SELECT *, {columns} FROM samples WHERE {training_sql(has_picture)}"
    )
    keys = ", ".join(f'"level_{name}"' for name in names)
    grouped = fetch(connection, f"SELECT {keys}, count(*) AS num_rows FROM training GROUP BY {keys}")
    levels, codes = {}, {}
    for name in names:
        levels[name], codes[name] = _encoded(grouped[f"level_{name}"])
    order = np.lexsort([codes[name] for name in reversed(names)])
    counts = grouped["num_rows"].to_numpy()[order].astype(np.float64)
    codes = {name: code[order] for name, code in codes.items()}
    uncapped = np.full(len(counts), np.inf)
    num_rows = int(counts.sum())
    return Cells(counts / max(num_rows, 1), levels, codes, uncapped, num_rows=num_rows, has_pictures=has_picture)


def _encoded(column: pa.ChunkedArray) -> tuple[list[str], NDArray[np.int64]]:
    """The sorted words of a column, and each row's index into them."""
    encoded = column.combine_chunks().dictionary_encode()
    words = encoded.dictionary.to_pylist()
    order = sorted(range(len(words)), key=words.__getitem__)
    rank = np.empty(len(words), dtype=np.int64)
    rank[order] = np.arange(len(words))
    return [words[place] for place in order], rank[encoded.indices.to_numpy()]


def spread(connection: duckdb.DuckDBPyConnection, cells: Cells, ratios: Vector) -> None:
    """Make the view ``weighed``: ``training`` with each row's ``cell`` and ``weight`` (mean 1)."""
    names = [name for name in cells.codes if name not in cells.presences]
    columns = {
        f"level_{name}": pa.DictionaryArray.from_arrays(
            pa.array(cells.codes[name], pa.int32()), pa.array(cells.levels[name])
        )
        for name in names
    }
    weights = ratios / (cells.shares @ ratios)
    connection.register("cells", pa.table({**columns, "cell": np.arange(len(weights)), "weight": weights}))
    keys = ", ".join(f'"level_{name}"' for name in names)
    connection.execute(f"CREATE OR REPLACE TEMP VIEW weighed AS SELECT * FROM training JOIN cells USING ({keys})")


def effective_share(shares: Vector, ratios: Vector) -> float:
    """Kish's effective sample size over the number of rows, in (0, 1] (Kish 1965)."""
    return float((shares @ ratios) ** 2 / (shares @ ratios**2))
