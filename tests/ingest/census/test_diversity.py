import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.census.counts import COUNTS_SCHEMA
from ingest.census.diversity import diversity, summarise


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


def row(level, num, *, suppressed=False):
    number = None if suppressed else num
    return {
        "attribute": "sex", "level": level, "dataset": "a", "num_rows": number, "num_images": number,
        "num_studies": number, "num_persons": number, "suppressed": suppressed,
    }  # fmt: skip


def test_missing_is_no_level_and_declared_levels_without_rows_are_listed():
    counts = pa.Table.from_pylist([row("female", 30), row("__missing__", 70)], schema=COUNTS_SCHEMA)
    (by_row, *_) = summarise(counts).to_pylist()
    assert by_row["num_units"] == 30 and by_row["num_levels"] == 1
    assert by_row["empty_levels"] == ["male"] and by_row["evenness"] == 0


def test_an_attribute_that_all_rows_miss_has_no_figures_but_a_line():
    (by_row, *_) = summarise(pa.Table.from_pylist([row("__missing__", 70)], schema=COUNTS_SCHEMA)).to_pylist()
    assert by_row["num_levels"] == 0 and by_row["entropy"] is None and not by_row["suppressed"]


def test_a_hidden_level_hides_its_summary():
    counts = pa.Table.from_pylist([row("female", 30), row("male", 3, suppressed=True)], schema=COUNTS_SCHEMA)
    assert all(one["suppressed"] and one["entropy"] is None for one in summarise(counts).to_pylist())
