import numpy as np
import pytest

from ingest.census.guard import Guard
from ingest.census.protocol import protocol, rank_eta2
from ingest.census.provenance import provenance


def scans(dataset, number, **fields):
    return [{"dataset": dataset, "patient_id": f"{dataset}{n}", "protocol": fields} for n in range(number)]


def test_rank_eta2_of_apart_and_of_equal_groups():
    assert rank_eta2([np.arange(10.0), np.arange(100.0, 110.0)]) == pytest.approx(0.75, abs=0.01)
    assert rank_eta2([np.arange(10.0), np.arange(10.0)]) == 0
    assert rank_eta2([np.arange(10.0)]) is None and rank_eta2([np.ones(3), np.ones(4)]) is None


def test_numbers_are_described_and_words_are_counted(connected):
    rows = scans("a", 12, kvp="120", kernel="B30f") + scans("b", 12, kvp="80", kernel="B70f")
    tables, notes = protocol(connected(rows))
    lines = {row["dataset"]: row for row in tables["protocol"].to_pylist()}
    assert lines["a"]["median"] == 120 and lines["a"]["eta2"] == pytest.approx(1)
    (pair,) = tables["protocol_pairs"].to_pylist()
    assert pair["ks"] == 1 and pair["q_value"] < 0.001
    assert [(row["value"], row["num_persons"]) for row in tables["protocol_values"].to_pylist()] == [
        ("B30f", 12),
        ("B70f", 12),
    ]
    assert notes == []


def test_few_persons_against_few_prove_nothing(connected):
    rows = [row for name, number, kvp in (("a", 2, "80"), ("b", 2, "120"), ("c", 1, "100"))
            for row in scans(name, number, kvp=kvp)]  # fmt: skip
    tables, _ = protocol(connected(rows))
    pairs = {(row["dataset_a"], row["dataset_b"]): row for row in tables["protocol_pairs"].to_pylist()}
    # Of the 6 ways to deal two and two, 2 are this far apart; of the 3 ways to deal two and one, 2.
    assert pairs["a", "b"]["p_value"] == pytest.approx(1 / 3)
    assert pairs["a", "c"]["p_value"] == pytest.approx(2 / 3)
    assert all(row["q_value"] == pytest.approx(2 / 3) for row in (pairs["a", "c"], pairs["b", "c"]))


def test_few_persons_are_hidden_and_text_is_not_listed(connected):
    rows = [row | {"protocol": {"kvp": "120", "note": f"text {n}", "kernel": "B30f"}}
            for n, row in enumerate(scans("a", 60))] + scans("b", 3, kvp="90", kernel="B70f")  # fmt: skip
    tables, notes = protocol(connected(rows), guard=Guard(datasets=frozenset({"b"}), below=11))
    assert [row["median"] for row in tables["protocol"].to_pylist()] == [120, None]
    values = tables["protocol_values"].to_pylist()
    assert [(row["dataset"], row["value"], row["suppressed"]) for row in values] == [
        ("a", "B30f", False),
        ("b", None, True),
    ]
    assert notes == ["protocol: note has more than 50 values and is not listed"]


def test_no_protocol_at_all(connected):
    tables, _ = protocol(connected([{"patient_id": "p"}]))
    assert [table.num_rows for table in tables.values()] == [0, 0, 0]


def test_sources_of_an_attribute(connected, coded_corpus, guard_of):
    rows = [
        {"patient_id": f"p{n}", "modality_source": "rule" if n < 30 else "metadata", "sex": "female" if n < 8 else None}
        for n in range(40)
    ]
    table = provenance(connected(rows), ["modality", "sex"]).to_pylist()
    whole = {(row["attribute"], row["source"]): row["share"] for row in table if row["dataset"] == "__all__"}
    assert whole == {
        ("modality", "rule"): 0.75, ("modality", "metadata"): 0.25,
        ("sex", "metadata"): 0.2, ("sex", "__missing__"): 0.8,
    }  # fmt: skip
    guard = guard_of(coded_corpus(rows, ["modality", "sex"]), ["modality", "sex"])
    guarded = provenance(connected(rows), ["modality", "sex"], guard=guard).to_pylist()
    assert all(row["suppressed"] and row["share"] is None for row in guarded)
