"""The leakage guard: what stands on both sides of the split, and what is done about it. Nothing in silence.

One ledger row per finding. Exact findings (the same image, patient or study) take the row of the side
nearer to training out of the corpus; near-duplicates by perceptual hash only warn.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ingest.attributes import fetch
from ingest.errors import GateRefused
from ingest.sample import Split, Task
from ingest.split import RANK, Move

NEAR_DUPLICATE_BITS = 6
"""Hamming distance of 64-bit difference hashes up to which two pictures count as near-duplicates."""


class Kind(StrEnum):
    SAME_IMAGE = "same_image"
    SAME_PATIENT = "same_patient"
    SAME_STUDY = "same_study"
    NEAR_DUPLICATE = "near_duplicate"


class Policy(StrEnum):
    DROP_FROM_TRAIN = "drop_from_train"
    REFUSE = "refuse"
    WARN = "warn"


class Action(StrEnum):
    MOVED_TO_TEST = "moved_to_test"
    MOVED_TO_VALIDATION = "moved_to_validation"
    DROPPED_FROM_TRAIN = "dropped_from_train"
    DROPPED_FROM_VALIDATION = "dropped_from_validation"
    WARNED = "warned"


LEDGER_SCHEMA = pa.schema(
    [
        ("kind", pa.string()),
        ("sample_id", pa.string()),
        ("split", pa.string()),
        ("other_sample_id", pa.string()),
        ("other_split", pa.string()),
        ("distance_bits", pa.int64()),
        ("action", pa.string()),
    ]
)

# What must not stand on both sides. Keys of persons are scoped by dataset, pictures are compared across all.
_KEYS_SQL = {
    Kind.SAME_IMAGE: "SELECT sample_id, split, unnest(image_sha256) AS key FROM samples",
    Kind.SAME_PATIENT: "SELECT sample_id, split, dataset || ':' || patient_id AS key FROM samples",
    Kind.SAME_STUDY: "SELECT sample_id, split, dataset || ':' || study_id AS key FROM samples",
}
_RANK_SQL = "CASE split " + " ".join(f"WHEN '{split}' THEN {rank}" for split, rank in RANK.items()) + " END"


@dataclass(frozen=True)
class GatesConfig:
    """The ``[gates]`` table: one policy for every exact kind, or a policy by kind."""

    leakage: Policy | dict[Kind, Policy] = Policy.DROP_FROM_TRAIN

    def policy(self, kind: Kind) -> Policy:
        """Kinds not named are dropped from training; near-duplicates warn unless named themselves."""
        if isinstance(self.leakage, Mapping):
            default = Policy.WARN if kind == Kind.NEAR_DUPLICATE else Policy.DROP_FROM_TRAIN
            return self.leakage.get(kind, default)
        return Policy.WARN if kind == Kind.NEAR_DUPLICATE else self.leakage


def guard(samples: pa.Table, moves: list[Move], gates: GatesConfig) -> pa.Table:
    """The ledger of ``samples`` (staged columns, splits assigned) under the policies of ``gates``.

    Returns: LEDGER_SCHEMA, sorted. Rows whose action says dropped must leave the corpus.
    Raises: GateRefused when a kind under ``refuse`` has findings.
    """
    findings = [_finding(Kind(move.kind), vars(move), Action(f"moved_to_{move.other_split}")) for move in moves]
    for kind in _KEYS_SQL:
        action_of = _drop if gates.policy(kind) == Policy.DROP_FROM_TRAIN else _warn
        findings += [_finding(kind, row, action_of(row)) for row in exact_conflicts(samples, kind)]
    exact = {finding["sample_id"] for finding in findings}
    near_action = _drop if gates.policy(Kind.NEAR_DUPLICATE) == Policy.DROP_FROM_TRAIN else _warn
    findings += [
        _finding(Kind.NEAR_DUPLICATE, row, near_action(row))
        for row in near_conflicts(samples)
        if row["sample_id"] not in exact
    ]
    _refuse(findings, gates)
    findings.sort(key=lambda finding: (finding["kind"], finding["sample_id"]))
    return pa.Table.from_pylist(findings, schema=LEDGER_SCHEMA)


def _finding(kind: Kind, row: Mapping[str, Any], action: Action) -> dict[str, Any]:
    distance = row.get("distance_bits", 0 if kind == Kind.SAME_IMAGE else None)
    columns = ("sample_id", "split", "other_sample_id", "other_split")
    return {"kind": kind, **{c: row[c] for c in columns}, "distance_bits": distance, "action": action}


def _drop(row: Mapping[str, Any]) -> Action:
    return Action.DROPPED_FROM_TRAIN if row["split"] == Split.TRAIN else Action.DROPPED_FROM_VALIDATION


def _warn(row: Mapping[str, Any]) -> Action:
    return Action.WARNED


def _refuse(findings: list[dict[str, Any]], gates: GatesConfig) -> None:
    refused = [finding for finding in findings if gates.policy(finding["kind"]) == Policy.REFUSE]
    if refused:
        kinds = sorted({str(finding["kind"]) for finding in refused})
        counts = ", ".join(f"{sum(f['kind'] == kind for f in refused)} rows {kind}" for kind in kinds)
        raise GateRefused(f"gates.leakage = refuse: expected nothing on both sides of the split, got {counts}")


def exact_conflicts(samples: pa.Table, kind: Kind) -> list[dict[str, Any]]:
    """One row per sample whose key also stands in a split further from training."""
    connection = duckdb.connect()
    connection.register("samples", samples)
    found = fetch(
        connection,
        f"WITH keys AS (SELECT DISTINCT *, {_RANK_SQL} AS rank FROM ({_KEYS_SQL[kind]}) WHERE key IS NOT NULL), "
        "highest AS (SELECT key, max(rank) AS rank, arg_max(sample_id, rank) AS other_sample_id, "
        "arg_max(split, rank) AS other_split FROM keys GROUP BY key HAVING min(rank) < max(rank)) "
        "SELECT sample_id, any_value(split) AS split, min(other_sample_id) AS other_sample_id, "
        "any_value(other_split) AS other_split FROM keys JOIN highest USING (key) "
        "WHERE keys.rank < highest.rank GROUP BY sample_id ORDER BY sample_id",
    )
    return list(found.to_pylist())


def near_conflicts(samples: pa.Table) -> list[dict[str, Any]]:
    """One row per labelled sample with a near-duplicate picture in a split further from training: its nearest."""
    splits, hashes, ids = _pictures(samples)
    found: list[dict[str, Any]] = []
    for split in (Split.TRAIN, Split.VALIDATION):
        near = np.flatnonzero(splits == RANK[split])
        far = np.flatnonzero(splits > RANK[split])
        if not near.size or not far.size:
            continue
        far_values, far_first = np.unique(hashes[far], return_index=True)
        near_values, inverse = np.unique(hashes[near], return_inverse=True)
        distance, nearest = nearest_hashes(near_values, far_values)
        for number in np.flatnonzero(distance[inverse] <= NEAR_DUPLICATE_BITS):
            other = far[far_first[nearest[inverse[number]]]]
            found.append(
                {
                    "sample_id": ids[near[number]],
                    "split": split,
                    "other_sample_id": ids[other],
                    "other_split": list(RANK)[splits[other]],
                    "distance_bits": int(distance[inverse[number]]),
                }
            )
    return list({row["sample_id"]: row for row in found}.values())


def _pictures(samples: pa.Table) -> tuple[NDArray[np.int64], NDArray[np.uint64], list[str]]:
    """Split rank, perceptual hash and sample id of every picture of a labelled sample."""
    columns = ("sample_id", "split", "task", "perceptual_hashes")
    triples = [
        (RANK[Split(split)], value, sample_id)
        for sample_id, split, task, values in zip(*(samples[c].to_pylist() for c in columns), strict=True)
        if task != Task.UNLABELLED
        for value in values or ()
    ]
    ranks = np.array([rank for rank, _, _ in triples], dtype=np.int64)
    hashes = np.array([value for _, value, _ in triples], dtype=np.uint64)
    return ranks, hashes, [sample_id for _, _, sample_id in triples]


def nearest_hashes(
    wanted: NDArray[np.uint64], others: NDArray[np.uint64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Hamming distance (bits) and position of the nearest of ``others`` for each of ``wanted``."""
    distance, nearest = np.empty(len(wanted), np.int64), np.empty(len(wanted), np.int64)
    block = max(1, 2**24 // len(others))  # 16 M comparisons at a time keep memory flat
    for start in range(0, len(wanted), block):
        bits = np.bitwise_count(wanted[start : start + block, None] ^ others[None, :])
        nearest[start : start + block] = bits.argmin(axis=1)
        distance[start : start + block] = bits.min(axis=1)
    return distance, nearest
