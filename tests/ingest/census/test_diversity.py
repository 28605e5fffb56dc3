import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.census.counts import COUNTS_SCHEMA, count_levels
from ingest.census.diversity import diversity, known_persons, summarise


def test_two_equal_levels_are_as_even_as_can_be():
    found = diversity(np.array([50, 50]), num_effective=100, num_reference=2)
    assert found["entropy"] == pytest.approx(math.log(2) + 1 / 200)
    assert found["evenness"] == 1
    assert found["hill2"] == pytest.approx(2)
    assert found["imbalance_ratio"] == 1 and found["gini"] == pytest.approx(0)


def test_three_to_one_by_hand():
    found = diversity(np.array([75, 25]), num_effective=1e12, num_reference=4)
    assert found["entropy"] == pytest.approx(-0.75 * math.log(0.75) - 0.25 * math.log(0.25))
    assert found["evenness"] == pytest.approx(found["entropy"] / math.log(4))
    assert found["hill2"] == pytest.approx(1 / (0.75**2 + 0.25**2))
    assert found["imbalance_ratio"] == pytest.approx(3)
    assert found["gini"] == pytest.approx(0.25)  # (-1 * .25 + 1 * .75) / 2


@given(st.lists(st.integers(1, 10_000), min_size=1, max_size=30))
def test_evenness_and_gini_stay_in_range(counts):
    found = diversity(np.array(counts), num_effective=sum(counts), num_reference=len(counts))
    assert 0 <= found["evenness"] <= 1
    assert -1e-12 <= found["gini"] <= 1 - 1 / len(counts) + 1e-12
    assert found["hill2"] <= len(counts) + 1e-9


PERSONS = {("sex", "a"): 30}


def row(level, num, *, suppressed=False):
    number = None if suppressed else num
    return {
        "attribute": "sex", "level": level, "dataset": "a", "num_rows": number, "num_images": number,
        "num_studies": number, "num_persons": number, "suppressed": suppressed,
    }  # fmt: skip


def test_missing_is_no_level_and_declared_levels_without_rows_are_listed():
    counts = pa.Table.from_pylist([row("female", 30), row("__missing__", 70)], schema=COUNTS_SCHEMA)
    (by_row, *_) = summarise(counts, PERSONS).to_pylist()
    assert by_row["num_units"] == 30 and by_row["num_levels"] == 1
    assert by_row["empty_levels"] == ["male"] and by_row["evenness"] == 0


def test_an_attribute_that_all_rows_miss_has_no_figures_but_a_line():
    (by_row, *_) = summarise(pa.Table.from_pylist([row("__missing__", 70)], schema=COUNTS_SCHEMA), PERSONS).to_pylist()
    assert by_row["num_levels"] == 0 and by_row["entropy"] is None and not by_row["suppressed"]


def test_a_hidden_level_hides_its_summary():
    counts = pa.Table.from_pylist([row("female", 30), row("male", 3, suppressed=True)], schema=COUNTS_SCHEMA)
    assert all(one["suppressed"] and one["entropy"] is None for one in summarise(counts, PERSONS).to_pylist())


def summary(coded, attribute):
    counts = count_levels(coded, [attribute], num_resamples=0)
    rows = summarise(counts, known_persons(coded, [attribute])).to_pylist()
    return next(row for row in rows if (row["dataset"], row["unit"]) == ("__all__", "row"))


def test_a_person_with_several_levels_is_one_person(coded_corpus):
    """10 persons with 5 labels each: H = ln 5 + (5 - 1) / (2 * 10), not over 50; e^H is clipped to 5 levels."""
    people = [{"patient_id": f"p{n}", "labels": list("ABCDE")} for n in range(10)] + [{"patient_id": "none"}]
    found = summary(coded_corpus(people, ["label"]), "label")
    assert found["entropy"] == pytest.approx(math.log(5) + 0.2)
    assert found["hill1"] == 5 and found["evenness"] == 1


def test_other_is_a_level_where_somebody_has_it(coded_corpus):
    people = [{"patient_id": f"p{n}", "sex": ("female", "male", "other")[n % 3]} for n in range(30)]
    found = summary(coded_corpus(people, ["sex"]), "sex")
    assert (found["num_levels"], found["num_declared"], found["num_units"]) == (3, 3, 30)
    assert found["hill2"] == pytest.approx(3)
    two = summary(coded_corpus([person for person in people if person["sex"] != "other"], ["sex"]), "sex")
    assert (two["num_levels"], two["num_declared"], two["evenness"], two["empty_levels"]) == (2, 2, 1, [])
