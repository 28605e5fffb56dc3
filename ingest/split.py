"""Train, validation or test for every person: the official split where it holds, a stable hash elsewhere.

Rows that share a patient, a study, a figure or a picture are one group. A group on both sides of an official split
goes whole to the later side (test before validation before train) and is written down. Persons no official split
claims are spread by a salted hash, which does not change when data are added.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from ingest.sample import PERSON_COLUMNS, Split

SPLIT_SALT = "biascarevl split v1"
VALIDATION_SHARE = 0.1
TEST_SHARE = 0.15
RANK: dict[str, int] = {Split.TRAIN: 0, Split.VALIDATION: 1, Split.TEST: 2}
"""Which side wins a conflict: the one further from training."""

SPLIT_COLUMNS = ("sample_id", "dataset", "split", *PERSON_COLUMNS)
MOVES_SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("kind", "sample_id", "split", "other_sample_id", "other_split")]
)
"""A row that its official split put elsewhere than the rest of its group, and one that stands where it went."""

_KINDS = {
    "patient_id": "same_patient", "study_id": "same_study", "figure_id": "same_figure", "image_sha256": "same_image",
}  # fmt: skip
_WINDOWS = {Split.TEST: (VALIDATION_SHARE, VALIDATION_SHARE + TEST_SHARE), Split.VALIDATION: (0.0, VALIDATION_SHARE)}
_SPLITS = np.array(list(RANK), dtype=object)
_NONE = -1

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class _Links:
    """Which rows carry which key of one column: pairs of row number and key number (0 .. num_keys - 1)."""

    rows: Ints
    keys: Ints
    num_keys: int


def assign_splits(table: pa.Table, *, grouped: bool) -> tuple[pa.Array, pa.Table]:
    """The split of each row of one dataset, and the rows moved (MOVES_SCHEMA).

    Args:
        table: SPLIT_COLUMNS, ``split`` the official one or null.
        grouped: whether a group on both sides goes whole to the later one.
    """
    official = _ranks(table["split"])
    links = {column: _links(table[column]) for column in PERSON_COLUMNS}
    persons, names = _persons(table)
    groups = _groups(links, table.num_rows) if grouped and _has_two_sides(official) else persons
    highest = _highest(groups, official)[groups]
    ranks = official.copy()
    ranks[official == _NONE] = highest[official == _NONE]
    moved = np.flatnonzero((official != _NONE) & (official != highest)) if grouped else np.empty(0, np.int64)
    ranks[moved] = highest[moved]
    _spread(persons, names, ranks, official)
    assert (ranks != _NONE).all(), "every person has been spread"
    return pa.array(_SPLITS[ranks], pa.string()), _moves(table, links, groups, official, highest, moved)


def _ranks(split: pa.ChunkedArray) -> Ints:
    positions = pc.index_in(split, value_set=pa.array(list(RANK), pa.string()))
    ranks: Ints = pc.fill_null(positions, _NONE).to_numpy().astype(np.int64)
    return ranks


def _has_two_sides(official: Ints) -> bool:
    return bool(np.unique(official[official != _NONE]).size > 1)


def _links(column: pa.ChunkedArray) -> _Links:
    """Empty texts identify nobody, like nulls."""
    values = column.combine_chunks()
    rows = np.arange(len(values))
    if pa.types.is_list(values.type):
        rows, values = pc.list_parent_indices(values).to_numpy(zero_copy_only=False), pc.list_flatten(values)
    named = pc.fill_null(pc.not_equal(values, ""), False)
    encoded = values.filter(named).dictionary_encode()
    keys = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return _Links(rows[named.to_numpy(zero_copy_only=False)].astype(np.int64), keys, len(encoded.dictionary))


def _persons(table: pa.Table) -> tuple[Ints, list[str]]:
    """The number of each row's person, and the persons' keys as ``person_key_of`` names them."""
    dataset = pc.cast(table["dataset"], pa.string())
    candidates = []
    for column in (*PERSON_COLUMNS, "sample_id"):
        values = table[column]
        if pa.types.is_list(values.type):
            known = pc.greater(pc.fill_null(pc.list_value_length(values), 0), 0)
            values = pc.list_element(pc.if_else(known, values, pa.scalar([None], values.type)), 0)
        values = pc.if_else(pc.equal(values, ""), pa.scalar(None, pa.string()), values)
        candidates.append(pc.binary_join_element_wise(dataset, pa.scalar(column), values, ":"))
    encoded = pc.coalesce(*candidates).combine_chunks().dictionary_encode()
    return encoded.indices.to_numpy().astype(np.int64), encoded.dictionary.to_pylist()


def _groups(links: dict[str, _Links], num_rows: int) -> Ints:
    """Connected components of rows over the keys they share."""
    starts = num_rows + np.cumsum([0, *(each.num_keys for each in links.values())])
    rows = np.concatenate([each.rows for each in links.values()])
    keys = np.concatenate([each.keys + start for each, start in zip(links.values(), starts, strict=False)])
    graph = coo_matrix((np.ones(len(rows), np.int8), (rows, keys)), shape=(starts[-1], starts[-1]))
    components: Ints = connected_components(graph, directed=False)[1][:num_rows].astype(np.int64)
    return components


def _highest(members: Ints, ranks: Ints) -> Ints:
    """The highest rank in each group; _NONE where nobody has one."""
    highest = np.full(int(members.max(initial=_NONE)) + 1, _NONE)
    np.maximum.at(highest, members, ranks)
    return highest


def _spread(persons: Ints, names: list[str], ranks: Ints, official: Ints) -> None:
    """Give persons without a split one by hash, and fill a split that nobody is in. Changes ``ranks``."""
    has_test = bool((official == RANK[Split.TEST]).any())
    free = np.unique(persons[ranks == _NONE])
    by_hash = np.full(len(names), _NONE)
    by_hash[free] = [RANK[_by_hash(names[person], has_test=has_test)] for person in free]
    open_rows = ranks == _NONE
    ranks[open_rows] = by_hash[persons[open_rows]]
    for wanted in (Split.TEST, Split.VALIDATION):
        if not (ranks == RANK[wanted]).any():
            _carve(persons, names, ranks, wanted)


def _by_hash(name: str, *, has_test: bool) -> Split:
    position = hash_of(name)
    return next(
        (split for split, (low, high) in _WINDOWS.items()
         if low <= position < high and not (split is Split.TEST and has_test)),
        Split.TRAIN,
    )  # fmt: skip


def _carve(persons: Ints, names: list[str], ranks: Ints, wanted: Split) -> None:
    """Move training persons of ``wanted``'s window of the hash there: at least one, where three persons exist."""
    training = np.flatnonzero(_highest(persons, ranks) == RANK[Split.TRAIN]).tolist()
    if len(names) < 3 or len(training) < 2:
        return
    ordered = sorted(training, key=lambda person: hash_of(names[person]))
    low, high = _WINDOWS[wanted]
    chosen = [person for person in ordered if low <= hash_of(names[person]) < high] or ordered[:1]
    ranks[np.isin(persons, chosen[: len(training) - 1])] = RANK[wanted]


def hash_of(person_key: str) -> float:
    """Where a person falls in [0, 1): salted, stable, independent of everybody else."""
    digest = hashlib.blake2b(f"{SPLIT_SALT}\x1f{person_key}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def _moves(
    table: pa.Table, links: dict[str, _Links], groups: Ints, official: Ints, highest: Ints, moved: Ints
) -> pa.Table:
    """Why each moved row moved: the most trusted key it shares with a row that stands where it went, and that row."""
    if not moved.size:
        return MOVES_SCHEMA.empty_table()
    num_rows = table.num_rows
    partner, kind = np.full(num_rows, num_rows), np.full(num_rows, "", dtype=object)
    for column, each in links.items():
        stands = official[each.rows] == highest[each.rows]
        first = np.full(each.num_keys, num_rows)
        np.minimum.at(first, each.keys[stands], each.rows[stands])
        open_links = (first[each.keys] < num_rows) & (kind[each.rows] == "")
        np.minimum.at(partner, each.rows[open_links], first[each.keys[open_links]])
        kind[each.rows[open_links]] = _KINDS[column]
    # Rows tied to the other side only through a third one: any row of the group that stands there.
    first_of_group = np.full(int(groups.max()) + 1, num_rows)
    standing = np.flatnonzero(official == highest)
    np.minimum.at(first_of_group, groups[standing], standing)
    indirect = partner[moved] == num_rows
    partner[moved[indirect]] = first_of_group[groups[moved[indirect]]]
    kind[moved[indirect]] = _own_kinds(links, num_rows)[moved[indirect]]
    ids = table["sample_id"]
    columns = [
        pa.array(kind[moved], pa.string()), ids.take(moved).combine_chunks(),
        pa.array(_SPLITS[official[moved]], pa.string()), ids.take(partner[moved]).combine_chunks(),
        pa.array(_SPLITS[highest[moved]], pa.string()),
    ]  # fmt: skip
    return pa.Table.from_arrays(columns, schema=MOVES_SCHEMA)


def _own_kinds(links: dict[str, _Links], num_rows: int) -> NDArray[np.object_]:
    """The kind of the most trusted key each row has at all."""
    kinds = np.full(num_rows, _KINDS["image_sha256"], dtype=object)
    for column, each in reversed(links.items()):
        kinds[each.rows] = _KINDS[column]
    return kinds
