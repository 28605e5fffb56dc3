"""Train, validation or test for every person: the official split where it holds, a stable hash elsewhere.

A person on both sides of an official split goes whole to the later side (test before validation before
train) and is written down. Persons no official split claims are spread by a salted hash, which does not
change when data are added.
"""

import hashlib
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from ingest.sample import Split, person_key_of

SPLIT_SALT = "biascarevl split v1"
VALIDATION_SHARE = 0.1
TEST_SHARE = 0.15
RANK: dict[str, int] = {Split.TRAIN: 0, Split.VALIDATION: 1, Split.TEST: 2}
"""Which side wins a conflict: the one further from training."""

_COLUMN_KINDS = {"patient_id": "same_patient", "study_id": "same_study"}


@dataclass(frozen=True)
class Move:
    """A row that its official split put elsewhere than the rest of its person."""

    kind: str
    sample_id: str
    split: str
    other_sample_id: str
    other_split: str


def assign_splits(rows: list[dict[str, Any]], *, grouped: bool) -> tuple[list[str], list[Move]]:
    """The split of each row of one dataset, and the rows moved.

    Args:
        rows: with ``split`` the official one or None, and the columns a person key is made of.
        grouped: whether a person on both sides goes whole to the later one.
    """
    persons: dict[str, list[int]] = defaultdict(list)
    columns: dict[str, str] = {}
    for number, row in enumerate(rows):
        column, key = person_key_of(row)
        persons[key].append(number)
        columns[key] = column
    splits: list[str | None] = [row["split"] for row in rows]
    moves: list[Move] = []
    for key, members in persons.items():
        official = {split: number for number in members if (split := splits[number]) is not None}
        if not official:
            continue
        highest = max(official, key=RANK.__getitem__)
        for number in members:
            present = splits[number]
            if present is None:
                splits[number] = highest
            elif grouped and present != highest:
                kind = _COLUMN_KINDS.get(columns[key], "same_image")
                other = rows[official[highest]]["sample_id"]
                moves.append(Move(kind, rows[number]["sample_id"], present, other, highest))
                splits[number] = highest
    _spread(persons, splits)
    assert all(splits), "every person has been spread"
    return [str(split) for split in splits], moves


def _spread(persons: dict[str, list[int]], splits: list[str | None]) -> None:
    """Give persons without a split one by hash, and fill a split that nobody is in."""
    taken = {split for split in splits if split}
    free = {key: members for key, members in persons.items() if splits[members[0]] is None}
    for key, members in free.items():
        _place(members, splits, _by_hash(key, has_test=Split.TEST in taken))
    for wanted, share in ((Split.TEST, TEST_SHARE), (Split.VALIDATION, VALIDATION_SHARE)):
        if wanted not in splits:
            _carve(persons, splits, wanted, share)


def _by_hash(key: str, *, has_test: bool) -> Split:
    position = hash_of(key)
    if position < VALIDATION_SHARE:
        return Split.VALIDATION
    if not has_test and position < VALIDATION_SHARE + TEST_SHARE:
        return Split.TEST
    return Split.TRAIN


def _carve(persons: dict[str, list[int]], splits: list[str | None], wanted: Split, share: float) -> None:
    """Move training persons of low hash to a split that nobody is in: at least one, where three persons exist."""
    training = sorted(
        (key for key, members in persons.items() if all(splits[number] == Split.TRAIN for number in members)),
        key=hash_of,
    )
    if len(persons) < 3 or len(training) < 2:
        return
    low = [key for key in training if hash_of(key) < share]
    for key in (low or training[:1])[: len(training) - 1]:
        _place(persons[key], splits, wanted)


def _place(members: list[int], splits: list[str | None], split: Split) -> None:
    for number in members:
        splits[number] = split


def hash_of(person_key: str) -> float:
    """Where a person falls in [0, 1): salted, stable, independent of everybody else."""
    digest = hashlib.blake2b(f"{SPLIT_SALT}\x1f{person_key}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
