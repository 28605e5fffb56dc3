import pyarrow.parquet as pq
import pytest

from ingest.attributes import connect_table
from ingest.census import (
    CensusConfig,
    count_levels,
    count_persons,
    encode,
)
from ingest.sample import Sample, to_table


def corpus(rows):
    """A connection over rows of (dataset, patient, sex, labels)."""
    return connect_table(
        to_table(
            Sample(sample_id=str(n), dataset=dataset, native_id=str(n), patient_id=patient, sex=sex, labels=labels,
                   image_uris=[f"{patient}.png"])
            for n, (dataset, patient, sex, labels) in enumerate(rows)
        )
    )  # fmt: skip


ROWS = [
    ("a", "p1", "female", ["mass"]),
    ("a", "p1", "female", ["mass", "cyst"]),
    ("a", "p2", "male", []),
    ("b", "p1", None, None),
]


def counted(attribute, dataset="__all__", **changes):
    table = count_levels(encode(corpus(ROWS), [attribute]), [attribute])
    rows = {row["level"]: row for row in table.to_pylist() if row["dataset"] == dataset}
    return {level: row["num_rows"] for level, row in rows.items()}, rows


def test_rows_and_persons_are_counted_apart_and_missing_is_a_level():
    counts, rows = counted("sex")
    assert counts == {"female": 2, "male": 1, "__missing__": 1}
    assert rows["female"]["num_persons"] == 1 and rows["female"]["num_images"] == 1
    assert rows["female"]["share"] == 0.5
    assert counted("sex", "b")[0] == {"__missing__": 1}


def test_a_row_with_two_labels_counts_under_each():
    assert counted("label")[0] == {"mass": 2, "cyst": 1, "__missing__": 2}


def test_the_same_patient_number_in_two_datasets_is_two_persons():
    persons = count_persons(corpus(ROWS)).to_pylist()
    assert [(row["dataset"], row["person_column"], row["num_persons"]) for row in persons] == [
        ("a", "patient_id", 2),
        ("b", "patient_id", 1),
    ]


def test_the_demo_census_equals_what_was_planted(refreshed, simulated):
    import json

    planted = json.loads((simulated / "raw" / "planted.json").read_text())["datasets"]["isic2018"]
    counts = pq.read_table(refreshed.workspace.census / "counts.parquet").to_pylist()
    seen = {
        row["level"]: row["num_rows"] for row in counts if row["dataset"] == "isic2018" and row["attribute"] == "sex"
    }
    dropped = sum(planted["counts"]["sex"].values()) - sum(seen.values())
    assert 0 <= dropped <= 4  # planted duplicates that the leakage guard took out of training
    assert all(planted["counts"]["sex"][level] - count <= dropped for level, count in seen.items())


def test_unknown_attributes_are_refused():
    with pytest.raises(ValueError, match="expected some of modality"):
        CensusConfig(attributes=("colour",))
    with pytest.raises(ValueError, match="suppress_below"):
        CensusConfig(suppress_below=0)
