import datetime

import numpy as np
import pytest
import scipy.sparse

from ingest.census.config import Reference
from ingest.census.distance import distance, null_distances
from ingest.census.intervals import wilson
from ingest.census.reference import compare

POPULATION = Reference(
    name="planted", version="1", date=datetime.date(2026, 1, 1), shares={"sex": {"female": 0.5, "male": 0.5}}
)


def people(women, men, rows_each=1):
    return [
        {"patient_id": f"{sex}{n}", "sex": sex}
        for sex, number in (("female", women), ("male", men)) for n in range(number) for _ in range(rows_each)
    ]  # fmt: skip


def compared(coded, hidden=frozenset()):
    rows = compare(coded, POPULATION, hidden=set(hidden)).to_pylist()
    return {row["level"]: row for row in rows if row["dataset"] == "__all__"}


def test_distance_by_hand():
    assert distance(np.array([1.0, 0.0]), np.array([0.0, 1.0])) == pytest.approx(1)
    assert distance(np.array([3, 3]), np.array([0.5, 0.5])) == 0


def test_a_corpus_of_the_population_is_within_its_null(coded_corpus):
    row = compared(coded_corpus(people(52, 48), ["sex"]))["female"]
    assert row["d"] < row["null_95"] and row["p_value"] > 0.05
    assert row["low"] < 1 < row["high"] and row["ratio"] == pytest.approx(1.04)
    assert (row["reference"], row["date"]) == ("planted", "2026-01-01")


def test_a_planted_departure_is_found(coded_corpus):
    row = compared(coded_corpus(people(80, 20), ["sex"]))["male"]
    assert row["d"] > row["null_95"] and row["p_value"] < 0.01 and row["high"] < 1


def test_many_rows_of_few_persons_are_no_more_certain(coded_corpus):
    one, many = (compared(coded_corpus(people(30, 20, rows_each), ["sex"]))["female"] for rows_each in (1, 40))
    assert many["null_95"] == pytest.approx(one["null_95"]) and many["low"] == pytest.approx(one["low"])


def test_rows_of_one_person_prove_nothing(coded_corpus):
    rows = [{"patient_id": "p", "sex": "female" if n < 90 else "male"} for n in range(100)]
    row = compared(coded_corpus(rows, ["sex"]))["male"]
    assert row["p_value"] > 0.4 and row["low"] < 0.1 and row["high"] > 1.2


def test_each_level_has_its_own_persons(coded_corpus):
    """90 women of one row, 30 men of three: the men's share of half the rows is worth few, as is the distance."""
    row = compared(coded_corpus(people(90, 0) + people(0, 30, 3), ["sex"]))["male"]
    # sum (h - p n)^2 = 90 / 4 + 30 * 9 / 4 over 180^2: worth 90 rows.
    low, high = wilson(0.5, 0.25 * 180**2 / 90)
    assert (row["low"], row["high"]) == (pytest.approx(2 * low), pytest.approx(2 * high))


def test_the_null_of_persons_with_a_row_each_is_the_multinomial():
    generator = np.random.default_rng(0)
    q = np.array([0.5, 0.3, 0.2])
    expected = np.quantile(distance(generator.multinomial(1000, q, 20_000), q), 0.95)
    for num_persons in (1000, 400):
        persons = scipy.sparse.csr_array(np.eye(3)[generator.choice(3, num_persons, p=[0.6, 0.3, 0.1])])
        null_95 = np.quantile(null_distances(persons, q, generator), 0.95)
        assert null_95 == pytest.approx(expected * (1000 / num_persons) ** 0.5, rel=0.05)


def test_a_level_nobody_has_is_there_with_ratio_zero(coded_corpus):
    row = compared(coded_corpus(people(40, 0), ["sex"]))["male"]
    assert row["observed"] == 0 and row["ratio"] == 0 and row["high"] < 0.2


def test_hidden_cells_hide_the_comparison(coded_corpus):
    row = compared(coded_corpus(people(40, 5), ["sex"]), {("sex", "__all__")})["male"]
    assert row["suppressed"] and row["ratio"] is None and row["d"] is None and row["expected"] == 0.5


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ({"sex": {"female": 0.5, "male": 0.4}}, "sum to 1, got 0.9"),
        ({"sex": {"female": 0.5, "women": 0.5}}, "expected levels of female"),
        ({"colour": {"red": 1.0}}, "one level per row, got 'colour'"),
        ({"sex": {"female": 1.2, "male": -0.2}}, "share above 0"),
        ({}, "got none"),
    ],
)
def test_bad_references_are_refused(shares, message):
    with pytest.raises(ValueError, match=message):
        Reference(name="x", version="1", date=datetime.date(2026, 1, 1), shares=shares)
