"""What a census meets in the wild: an attribute nobody knows, a person who is half the corpus, ten thousand levels."""

import pytest

from ingest.census import CensusConfig
from ingest.census.pairs import label_variables
from ingest.census.take import measure


def measured(connection, attributes, *, identifiable=(), **settings):
    return measure(
        connection, CensusConfig(attributes=attributes, num_resamples=100, **settings), identifiable=set(identifiable),
        progress=lambda name: None,
    )  # fmt: skip


def whole_corpus(tables, attribute):
    rows = tables["counts"].to_pylist()
    return [row for row in rows if (row["attribute"], row["dataset"]) == (attribute, "__all__")]


def test_an_attribute_that_all_rows_miss_is_counted_and_noted(connected):
    rows = [{"patient_id": f"p{n}", "sex": "female" if n % 2 else "male"} for n in range(40)]
    tables, notes = measured(connected(rows), ("sex", "race"))
    (whole,) = [
        row for row in tables["counts"].to_pylist() if (row["attribute"], row["dataset"]) == ("race", "__all__")
    ]
    assert (whole["level"], whole["num_rows"], whole["share"]) == ("__missing__", 40, 1.0)
    assert "race: missing on every row; counted, not tested" in notes


def test_one_patient_with_half_the_rows_makes_every_share_unsure(connected):
    rows = [{"patient_id": f"p{n}", "sex": "female" if n % 2 else "male"} for n in range(100)]
    even, quiet = measured(connected(rows), ("sex",))
    rows += [{"patient_id": "p1", "sex": "female"}] * 100
    heavy, notes = measured(connected(rows), ("sex",))
    said = "a: one person holds 50.5\N{NO-BREAK SPACE}% of the rows; the shares lean on that person"
    assert any(line.startswith(said) for line in notes) and not any("one person" in line for line in quiet)
    _, guarded = measured(connected(rows), ("sex",), identifiable={"a"})
    assert any(line.startswith("a: one person holds half or more of the rows") for line in guarded)
    counted = [row["num_rows"] for row in heavy["counts"].to_pylist() if row["dataset"] == "__all__"]
    assert sum(counted) == 200  # nothing is dropped
    width = {}
    for name, tables in (("even", even), ("heavy", heavy)):
        row = next(row for row in tables["counts"].to_pylist()
                   if (row["level"], row["dataset"]) == ("female", "__all__"))  # fmt: skip
        width[name] = row["high"] - row["low"]
    assert width["even"] == pytest.approx(0.19, abs=0.03)
    assert width["heavy"] > 2.5 * width["even"]


def test_ten_thousand_levels_are_all_counted(connected):
    rows = [{"patient_id": f"p{n}", "race": f"r{n % 10_000}", "sex": "female" if n % 2 else "male"}
            for n in range(12_000)]  # fmt: skip
    tables, notes = measured(connected(rows), ("race", "sex"), intersections=0)
    counted = whole_corpus(tables, "race")
    assert len(counted) == 10_000 and sum(row["num_rows"] for row in counted) == 12_000
    assert "race: the rarest 9,800 of 10,000 levels are counted but pooled in tests" in notes


def test_labels_beyond_those_tested_are_noted(connected):
    rows = [{"patient_id": f"p{n}", "labels": [f"l{n % 203}"] if n % 2 else []} for n in range(406)]
    _, notes = measured(connected(rows), ("modality",), intersections=0)
    assert "label: the rarest 3 levels are counted but not tested" in notes


def test_as_many_labels_are_tested_as_the_note_says(coded_corpus):
    for absent in ([], [{"patient_id": "none"}]):
        rows = [{"patient_id": f"p{n}", "labels": [f"l{n % 203}"]} for n in range(406)] + absent
        assert len(list(label_variables(coded_corpus(rows, []), "label"))) == 200


def test_the_first_pooled_level_is_noted(connected):
    rows = [{"patient_id": f"p{n}", "race": f"r{n % 201}"} for n in range(402)]
    _, notes = measured(connected(rows), ("race",), intersections=0)
    assert "race: the rarest 1 of 201 levels are counted but pooled in tests" in notes
    _, notes = measured(connected([row | {"race": None if row["race"] == "r0" else row["race"]} for row in rows]),
                        ("race",), intersections=0)  # fmt: skip
    assert not any("pooled" in note for note in notes)
