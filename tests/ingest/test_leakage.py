import numpy as np
import pyarrow as pa
import pytest

from ingest.errors import GateRefused
from ingest.leakage import GatesConfig, Kind, Policy, guard, nearest_hashes
from ingest.split import Move


def samples(*rows):
    """Rows of (sample_id, split, sha256, patient, perceptual hash)."""
    columns = list(zip(*rows, strict=True))
    return pa.table(
        {
            "sample_id": pa.array(columns[0]),
            "dataset": pa.array(["d"] * len(rows)),
            "split": pa.array(columns[1]),
            "task": pa.array(["vqa"] * len(rows)),
            "image_sha256": pa.array([[sha] for sha in columns[2]]),
            "patient_id": pa.array(columns[3], pa.string()),
            "study_id": pa.array([None] * len(rows), pa.string()),
            "perceptual_hashes": pa.array([[value] for value in columns[4]], pa.list_(pa.uint64())),
        }
    )


FAR = 2**64 - 1


def found(table, gates=None, moves=()):
    ledger = guard(table, list(moves), gates or GatesConfig())
    return {(row["kind"], row["sample_id"], row["other_sample_id"], row["action"]) for row in ledger.to_pylist()}


def test_the_same_picture_leaves_the_side_nearer_to_training():
    table = samples(("a", "train", "x", "p", 0), ("b", "test", "x", "q", 0), ("c", "validation", "x", "r", 0))
    assert found(table) == {
        ("same_image", "a", "b", "dropped_from_train"),
        ("same_image", "c", "b", "dropped_from_validation"),
    }


def test_the_same_patient_is_found_even_with_other_pictures():
    table = samples(("a", "train", "x", "p", 0), ("b", "test", "y", "p", FAR))
    assert found(table) == {("same_patient", "a", "b", "dropped_from_train")}


def test_near_duplicates_only_warn():
    table = samples(("a", "train", "x", "p", 0), ("b", "test", "y", "q", 0b111111), ("c", "train", "z", "r", FAR))
    assert found(table, GatesConfig(leakage=Policy.REFUSE)) == {("near_duplicate", "a", "b", "warned")}
    assert found(samples(("a", "train", "x", "p", 0), ("b", "test", "y", "q", 0b1111111))) == set()


def test_refuse_refuses_and_one_kind_can_be_let_through():
    table = samples(("a", "train", "x", "p", 0), ("b", "test", "x", "q", 0))
    with pytest.raises(GateRefused, match="1 rows same_image"):
        guard(table, [], GatesConfig(leakage=Policy.REFUSE))
    assert found(table, GatesConfig(leakage={Kind.SAME_IMAGE: Policy.WARN})) == {("same_image", "a", "b", "warned")}


def test_what_grouping_moved_is_in_the_ledger_and_refused_on_request():
    table = samples(("a", "test", "x", "p", 0), ("b", "test", "y", "p", FAR))
    moves = [Move("same_patient", "a", "train", "b", "test")]
    assert found(table, moves=moves) == {("same_patient", "a", "b", "moved_to_test")}
    with pytest.raises(GateRefused, match="same_patient"):
        guard(table, moves, GatesConfig(leakage=Policy.REFUSE))


def test_a_clean_corpus_has_an_empty_ledger():
    assert found(samples(("a", "train", "x", "p", 0), ("b", "test", "y", "q", FAR))) == set()


def test_nearest_hashes_are_found_by_brute_force_too():
    rng = np.random.default_rng(0)
    wanted, others = (rng.integers(0, 2**63, size, dtype=np.uint64) for size in (20, 30))
    distance, nearest = nearest_hashes(wanted, others)
    brute = [[bin(int(a) ^ int(b)).count("1") for b in others] for a in wanted]
    assert distance.tolist() == [min(row) for row in brute]
    assert [row[n] for row, n in zip(brute, nearest, strict=True)] == distance.tolist()
