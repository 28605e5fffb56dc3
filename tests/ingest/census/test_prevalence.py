import pytest
import scipy.stats

from ingest.census.prevalence import prevalence


def people(sex, sick, well, rows_each=1):
    return [
        {"patient_id": f"{sex}{n}", "sex": sex, "labels": ["mass"] if n < sick else ["clear"]}
        for n in range(sick + well) for _ in range(rows_each)
    ]  # fmt: skip


def of_women(coded, **options):
    rows = prevalence(coded, ["sex"], **options).to_pylist()
    return next(row for row in rows if (row["attribute"], row["level"], row["label"]) == ("sex", "female", "mass"))


def test_prevalence_difference_and_ratio_by_hand(coded_corpus):
    row = of_women(coded_corpus(people("female", 30, 70) + people("male", 20, 80), ["sex"]))
    assert (row["num_rows"], row["num_persons"], row["num_positive"]) == (100, 100, 30)
    assert row["prevalence"] == 0.3 and row["difference"] == pytest.approx(0.1) and row["ratio"] == pytest.approx(1.5)
    low, high = scipy.stats.beta.ppf([0.025, 0.975], 30.5, 70.5)
    assert (row["low"], row["high"]) == (pytest.approx(low), pytest.approx(high))
    assert row["difference_low"] == pytest.approx(-0.0205, abs=1e-3)  # Newcombe 1998, method 10
    assert row["difference_high"] == pytest.approx(0.2170, abs=1e-3)


def test_rows_of_one_person_are_one_witness(coded_corpus):
    once = of_women(coded_corpus(people("female", 30, 70) + people("male", 20, 80), ["sex"]))
    often = of_women(coded_corpus(people("female", 30, 70, 9) + people("male", 20, 80, 9), ["sex"]))
    for name in ("low", "high", "difference_low", "ratio_high"):
        assert often[name] == pytest.approx(once[name])
    assert often["num_rows"] == 900 and often["num_persons"] == 100


def test_few_persons_with_a_label_are_hidden(coded_corpus, guard_of):
    coded = coded_corpus(people("female", 5, 70) + people("male", 40, 80), ["sex"])
    row = of_women(coded, guard=guard_of(coded, ["sex"]))
    assert row["suppressed"] and row["prevalence"] is None
    assert not of_women(coded, guard=guard_of(coded, ["sex"], identifiable=frozenset()))["suppressed"]
