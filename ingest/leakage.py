"""The leakage guard: what stands on both sides of the split, and what is done about it. Nothing in silence.

One ledger row per finding, with both sides. By policy the row of the side nearer to training leaves the corpus, the
refresh is refused, or the finding is only written down; near-duplicates by perceptual hash only warn unless named.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingest.attributes import fetch
from ingest.errors import GateRefused
from ingest.namespaces import ARTICLE_SQL, FIGURE_SQL, NAMESPACE_SQL, NAMESPACES
from ingest.near_duplicates import nearest_within
from ingest.sample import Split, Task
from ingest.split import RANK

NEAR_DUPLICATE_BITS = 6
"""Hamming distance of 64-bit difference hashes up to which two pictures count as near-duplicates."""

REPORT_LABELLED = ("mimic_cxr", "cxr_lt_2024")
"""Data sets whose labels were taken from the reports of their studies: a model that read the report knows them."""


class Kind(StrEnum):
    SAME_IMAGE = "same_image"
    SAME_PATIENT = "same_patient"
    SAME_STUDY = "same_study"
    SAME_FIGURE = "same_figure"
    SAME_ARTICLE = "same_article"
    REPORT_DERIVED_LABELS = "report_derived_labels"
    TEST_ID_IN_TRAINING = "test_id_in_training"
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


DROPPED = (Action.DROPPED_FROM_TRAIN, Action.DROPPED_FROM_VALIDATION)

LEDGER_SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("kind", "dataset", "sample_id", "split")]
    + [(name, pa.string()) for name in ("other_dataset", "other_sample_id", "other_split")]
    + [("distance_bits", pa.int64()), ("action", pa.string())]
)


@dataclass(frozen=True)
class _Key:
    """What must not stand on both sides: SQL of the key over ``rows``; which rows may leave, and which they meet."""

    sql: str
    leaves: str = "true"
    meets: str = "true"


_SHARED = ", ".join(f"'{dataset}'" for dataset in NAMESPACES)
_REPORTED = ", ".join(f"'{dataset}'" for dataset in REPORT_LABELLED)
_STUDY = f"{NAMESPACE_SQL} || ':' || study_id"
KEYS: dict[Kind, _Key] = {
    Kind.SAME_IMAGE: _Key("unnest(image_sha256)"),
    Kind.SAME_PATIENT: _Key(f"{NAMESPACE_SQL} || ':' || patient_id"),
    Kind.SAME_STUDY: _Key(_STUDY),
    Kind.SAME_FIGURE: _Key(f"{NAMESPACE_SQL} || ':' || {FIGURE_SQL}"),
    Kind.SAME_ARTICLE: _Key(ARTICLE_SQL),
    Kind.REPORT_DERIVED_LABELS: _Key(
        f"CASE WHEN dataset IN ({_REPORTED}) THEN {_STUDY} END",
        leaves=f"task = '{Task.REPORT}'",
        meets=f"task <> '{Task.REPORT}' AND len(labels) > 0",
    ),
    Kind.TEST_ID_IN_TRAINING: _Key(f"CASE WHEN dataset IN ({_SHARED}) THEN {NAMESPACE_SQL} || ':' || native_id END"),
}
"""Exact kinds. A null key says nothing."""


@dataclass(frozen=True)
class GatesConfig:
    """The ``[gates]`` table: one policy for every exact kind, or a policy by kind."""

    leakage: Policy | dict[Kind, Policy] = Policy.DROP_FROM_TRAIN

    def policy(self, kind: Kind) -> Policy:
        """Kinds not named are dropped from training; near-duplicates warn unless named themselves."""
        default = Policy.WARN if kind == Kind.NEAR_DUPLICATE else Policy.DROP_FROM_TRAIN
        if isinstance(self.leakage, Mapping):
            return self.leakage.get(kind, default)
        return default if kind == Kind.NEAR_DUPLICATE else self.leakage

    def names(self, kind: Kind) -> bool:
        """Whether the configuration decides about this very kind."""
        return isinstance(self.leakage, Mapping) and kind in self.leakage


def guard(
    connection: duckdb.DuckDBPyConnection, moves: pa.Table, gates: GatesConfig, *, forced: Collection[str] = ()
) -> pa.Table:
    """The ledger of the corpus under the policies of ``gates``.

    Args:
        connection: with the view ``rows`` of ``ingest.staging.connect_staged``.
        moves: MOVES_SCHEMA, of all datasets.
        forced: datasets whose official split is taken as published.
    Returns: LEDGER_SCHEMA, sorted. Rows whose action says dropped must leave the corpus.
    Raises: GateRefused when a kind under ``refuse`` has findings, or a forced split has findings of a kind that
        the configuration does not name.
    """
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE findings (kind VARCHAR, pos BIGINT, other_pos BIGINT, distance_bits BIGINT)"
    )
    for kind in KEYS:
        _find_exact(connection, kind)
    _find_near(connection)
    ledger = _ledger(connection, moves, gates)
    _refuse(ledger, gates)
    _refuse_forced(ledger, gates, forced)
    return ledger


def _find_exact(connection: duckdb.DuckDBPyConnection, kind: Kind) -> None:
    """One finding per row whose key also stands in a split further from training: the furthest, then the first."""
    key = KEYS[kind]
    distance = 0 if kind == Kind.SAME_IMAGE else "NULL"
    connection.execute(
        f"INSERT INTO findings WITH keys AS (SELECT pos, rank, {key.sql} AS key, {key.leaves} AS leaves, "
        f"{key.meets} AS meets FROM rows), "
        "met AS (SELECT key, max(rank) AS rank, min(((2 - rank)::BIGINT << 56) + pos) AS other FROM keys "
        "WHERE meets AND rank > 0 AND key IS NOT NULL GROUP BY key) "
        f"SELECT '{kind}', keys.pos, min(met.other) & ((1::BIGINT << 56) - 1), {distance} "
        "FROM keys JOIN met USING (key) WHERE keys.leaves AND keys.rank < met.rank GROUP BY keys.pos"
    )


def _find_near(connection: duckdb.DuckDBPyConnection) -> None:
    """One finding per labelled row with a near-duplicate picture further from training, unless it was found already."""
    pictures = connection.execute(
        "SELECT pos, rank, unnest(perceptual_hashes) AS hash FROM rows "
        f"WHERE task <> '{Task.UNLABELLED}' AND len(perceptual_hashes) > 0 ORDER BY pos"
    ).fetchnumpy()
    positions, ranks = (np.asarray(pictures[name], np.int64) for name in ("pos", "rank"))
    hashes = np.asarray(pictures["hash"], np.uint64)
    for split in (Split.TRAIN, Split.VALIDATION):
        near, far = np.flatnonzero(ranks == RANK[split]), np.flatnonzero(ranks > RANK[split])
        near_values, inverse = np.unique(hashes[near], return_inverse=True)
        far_values, far_first = np.unique(hashes[far], return_index=True)
        distance, nearest = nearest_within(near_values, far_values, NEAR_DUPLICATE_BITS)
        hit = np.flatnonzero(distance[inverse] >= 0)
        others = positions[far[far_first[nearest[inverse[hit]]]]]
        found = pa.table({"pos": positions[near[hit]], "other_pos": others, "bits": distance[inverse[hit]]})
        connection.register("near", found)
        connection.execute(
            f"INSERT INTO findings SELECT '{Kind.NEAR_DUPLICATE}', pos, arg_min(other_pos, bits), min(bits) FROM near "
            "WHERE pos NOT IN (SELECT pos FROM findings) GROUP BY pos"
        )
        connection.unregister("near")


def _ledger(connection: duckdb.DuckDBPyConnection, moves: pa.Table, gates: GatesConfig) -> pa.Table:
    """Findings and moves with both sides and what is done."""
    dropped = [kind for kind in Kind if gates.policy(kind) == Policy.DROP_FROM_TRAIN]
    listed = ", ".join(f"'{kind}'" for kind in dropped) or "NULL"
    connection.register("moves", moves)
    ledger = fetch(
        connection,
        "SELECT kind, found.dataset, found.sample_id, found.split, other.dataset AS other_dataset, "
        "other.sample_id AS other_sample_id, other.split AS other_split, distance_bits, "
        f"CASE WHEN kind IN ({listed}) THEN 'dropped_from_' || found.split ELSE '{Action.WARNED}' END AS action "
        "FROM findings JOIN rows AS found ON findings.pos = found.pos JOIN rows AS other ON other_pos = other.pos "
        "UNION ALL SELECT kind, dataset, sample_id, split, dataset, other_sample_id, other_split, NULL, "
        "'moved_to_' || other_split FROM moves ORDER BY kind, sample_id, other_sample_id",
    )
    connection.unregister("moves")
    return ledger.cast(LEDGER_SCHEMA)


def _refuse(ledger: pa.Table, gates: GatesConfig) -> None:
    counts = _counts_of(ledger, [kind for kind in Kind if gates.policy(kind) == Policy.REFUSE])
    if counts:
        raise GateRefused(f"gates.leakage = refuse: expected nothing on both sides of the split, got {counts}")


def _refuse_forced(ledger: pa.Table, gates: GatesConfig, forced: Collection[str]) -> None:
    """A published split that leaks is only taken as it is when the configuration says so kind by kind."""
    unnamed = [kind for kind in KEYS if not gates.names(kind)]
    for dataset in sorted(forced):
        own = ledger.filter(
            (pc.field("dataset") == dataset) & (pc.field("other_dataset") == dataset)
        )  # fmt: skip
        if counts := _counts_of(own, unnamed):
            raise GateRefused(
                f'dataset {dataset}: split = "official" expects nothing on both sides, or a policy by kind in [gates] '
                f'such as leakage.same_image = "warn"; got {counts}'
            )


def _counts_of(ledger: pa.Table, kinds: Collection[Kind]) -> str:
    """How many findings of each of ``kinds`` there are, in words; empty where there are none."""
    counted = {str(entry["values"]): entry["counts"] for entry in ledger["kind"].value_counts().to_pylist()}
    return ", ".join(f"{counted[kind]} rows {kind}" for kind in sorted(kinds) if kind in counted)
