import duckdb
import pyarrow as pa
import pytest

from ingest.errors import GateRefused
from ingest.leakage import GatesConfig, Kind, Policy, guard
from ingest.split import RANK

FAR = 2**64 - 1
MOVES = pa.schema(
    [(name, pa.string()) for name in ("kind", "sample_id", "split", "other_sample_id", "other_split", "dataset")]
)


def row(sample_id, split, *, dataset="d", sha=None, phash=None, task="vqa", labels=(), **columns):
    fields = dict.fromkeys(("patient_id", "study_id", "figure_id")) | {"native_id": sample_id} | columns
    return fields | {
        "sample_id": sample_id, "dataset": dataset, "split": split, "rank": RANK[split], "task": task,
        "image_sha256": [sha] if sha else None, "labels": list(labels),
        "perceptual_hashes": None if phash is None else [phash],
    }  # fmt: skip


TYPES = {
    "rank": pa.int8(), "image_sha256": pa.list_(pa.string()), "labels": pa.list_(pa.string()),
    "perceptual_hashes": pa.list_(pa.uint64()),
}  # fmt: skip
SCHEMA = pa.schema([(name, TYPES.get(name, pa.string())) for name in row("", "train")] + [("pos", pa.int64())])


def ledger_of(rows, gates=None, moves=(), forced=()):
    connection = duckdb.connect()
    table = pa.Table.from_pylist([each | {"pos": number} for number, each in enumerate(rows)], schema=SCHEMA)
    connection.register("rows", table)
    moved = pa.Table.from_pylist(list(moves), schema=MOVES)
    return guard(connection, moved, gates or GatesConfig(), forced=forced).to_pylist()


def found(rows, *arguments, **named):
    ledger = ledger_of(rows, *arguments, **named)
    return {(each["kind"], each["sample_id"], each["other_sample_id"], each["action"]) for each in ledger}


def test_the_same_picture_leaves_the_side_nearer_to_training():
    rows = [row("a", "train", sha="x"), row("b", "test", sha="x"), row("c", "validation", sha="x")]
    assert found(rows) == {
        ("same_image", "a", "b", "dropped_from_train"),
        ("same_image", "c", "b", "dropped_from_validation"),
    }


def test_the_same_patient_is_found_even_with_other_pictures():
    rows = [row("a", "train", sha="x", patient_id="p"), row("b", "test", sha="y", patient_id="p")]
    assert found(rows) == {("same_patient", "a", "b", "dropped_from_train")}


def test_identifiers_count_within_their_namespace_only():
    mimic = [
        row("a", "train", dataset="mimic_cxr", patient_id="p", study_id="s"),
        row("b", "test", dataset="cxr_lt_2024", patient_id="p", study_id="s"),
    ]
    assert {kind for kind, *_ in found(mimic)} == {"same_patient", "same_study"}
    strangers = [row("a", "train", dataset="slake", study_id="1"), row("b", "test", dataset="kvasir_vqa", study_id="1")]
    assert found(strangers) == set()


def test_a_figure_and_its_article_are_found_across_corpora_with_both_sides():
    rows = [
        row("a", "train", dataset="pubmedvision", figure_id="PMC1064097_F1"),
        row("b", "train", dataset="pubmedvision", figure_id="PMC1064097_F2"),
        row("c", "train", dataset="pubmedvision", figure_id="pmc_1064097"),
        row("d", "test", dataset="pmc_vqa", figure_id="PMC1064097_F1.jpg"),
    ]
    assert found(rows) == {
        ("same_figure", "a", "d", "dropped_from_train"),
        ("same_article", "a", "d", "dropped_from_train"),
        ("same_article", "b", "d", "dropped_from_train"),
    }
    first = ledger_of(rows)[0]
    assert (first["dataset"], first["other_dataset"], first["split"], first["other_split"]) == (
        "pubmedvision", "pmc_vqa", "train", "test",
    )  # fmt: skip


def test_a_report_in_training_tells_the_labels_of_its_study_in_test():
    rows = [
        row("a", "train", dataset="mimic_cxr", task="report", study_id="s"),
        row("b", "train", dataset="mimic_cxr", task="classification", study_id="t", labels=["Edema"]),
        row("c", "test", dataset="cxr_lt_2024", task="classification", study_id="s", labels=["Edema"]),
    ]
    gates = GatesConfig(leakage={Kind.SAME_STUDY: Policy.WARN})
    assert found(rows, gates) == {
        ("report_derived_labels", "a", "c", "dropped_from_train"), ("same_study", "a", "c", "warned"),
    }  # fmt: skip


def test_a_test_id_of_another_corpus_in_training_is_found():
    rows = [
        row("a", "train", dataset="isic2019", native_id="ISIC_1"),
        row("b", "test", dataset="isic2018", native_id="ISIC_1"),
    ]
    assert found(rows) == {("test_id_in_training", "a", "b", "dropped_from_train")}


def test_near_duplicates_only_warn_unless_named():
    rows = [row("a", "train", phash=0), row("b", "test", phash=0b111111), row("c", "train", phash=FAR)]
    assert found(rows, GatesConfig(leakage=Policy.REFUSE)) == {("near_duplicate", "a", "b", "warned")}
    named = GatesConfig(leakage={Kind.NEAR_DUPLICATE: Policy.DROP_FROM_TRAIN})
    assert found(rows, named) == {("near_duplicate", "a", "b", "dropped_from_train")}
    assert ledger_of(rows)[0]["distance_bits"] == 6
    assert found([row("a", "train", phash=0), row("b", "test", phash=0b1111111)]) == set()
    assert found([row("a", "train", phash=0, task="unlabelled"), row("b", "test", phash=0)]) == set()


def test_what_was_found_exactly_is_not_found_again_as_near():
    rows = [row("a", "train", sha="x", phash=0), row("b", "test", sha="x", phash=0)]
    assert found(rows) == {("same_image", "a", "b", "dropped_from_train")}


def test_refuse_refuses_and_one_kind_can_be_let_through():
    rows = [row("a", "train", sha="x"), row("b", "test", sha="x")]
    with pytest.raises(GateRefused, match="1 rows same_image"):
        ledger_of(rows, GatesConfig(leakage=Policy.REFUSE))
    assert found(rows, GatesConfig(leakage={Kind.SAME_IMAGE: Policy.WARN})) == {("same_image", "a", "b", "warned")}


def test_a_published_split_that_leaks_needs_a_policy_by_name():
    rows = [row("a", "train", sha="x"), row("b", "test", sha="x")]
    with pytest.raises(GateRefused, match=r"dataset d.*1 rows same_image"):
        ledger_of(rows, forced={"d"})
    named = GatesConfig(leakage={Kind.SAME_IMAGE: Policy.WARN})
    assert found(rows, named, forced={"d"}) == {("same_image", "a", "b", "warned")}
    across = [row("a", "train", sha="x", dataset="e"), row("b", "test", sha="x")]
    assert found(across, forced={"d"}) == {("same_image", "a", "b", "dropped_from_train")}


def test_what_grouping_moved_is_in_the_ledger_and_refused_on_request():
    rows = [row("a", "test", patient_id="p"), row("b", "test", patient_id="p")]
    move = dict(zip(MOVES.names, ("same_patient", "a", "train", "b", "test", "d"), strict=True))
    assert found(rows, moves=[move]) == {("same_patient", "a", "b", "moved_to_test")}
    with pytest.raises(GateRefused, match="same_patient"):
        ledger_of(rows, GatesConfig(leakage=Policy.REFUSE), moves=[move])


def test_a_clean_corpus_has_an_empty_ledger():
    assert found([row("a", "train", sha="x", patient_id="p"), row("b", "test", sha="y", patient_id="q")]) == set()
