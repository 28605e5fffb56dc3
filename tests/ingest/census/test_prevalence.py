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


def test_the_rest_counts_a_person_once(coded_corpus):
    """60 persons seen by x-ray, CT and ultrasound, all three ill or well: against x-ray, the rest is 60 persons."""
    rows = [
        {"patient_id": f"p{n}", "modality": modality, "labels": ["mass"] if n < 24 else ["clear"]}
        for n in range(60) for modality in ("x_ray", "computed_tomography", "ultrasound")
    ]  # fmt: skip
    table = prevalence(coded_corpus(rows, ["modality"]), []).to_pylist()
    row = next(row for row in table if (row["level"], row["label"]) == ("x_ray", "mass"))
    assert (row["num_rows"], row["num_persons"], row["difference"]) == (60, 60, 0)
    # Both shares are of the same 60 persons, who answer alike: they cannot differ.
    assert (row["difference_low"], row["difference_high"]) == (pytest.approx(0, abs=0.03), pytest.approx(0, abs=0.03))
    assert (row["ratio_low"], row["ratio_high"]) == (pytest.approx(1, abs=1e-6), pytest.approx(1, abs=1e-6))


def test_a_person_with_many_rows_is_seen_in_the_difference(coded_corpus):
    """100 women of one row; 100 men, of whom one ill man has 50: his side is worth far fewer than 149 rows."""
    men = [{"patient_id": f"m{n}", "sex": "male", "labels": ["mass"] if n % 10 == 0 else ["clear"]} for n in range(100)]
    coded = coded_corpus(people("female", 30, 70) + men + [men[0]] * 49, ["sex"])
    rows = prevalence(coded, ["sex"]).to_pylist()
    row = next(row for row in rows if (row["level"], row["label"]) == ("male", "mass"))
    # 59 of 149 rows; sum (y - p n)^2 = (50 - 50 p)^2 + 9 (1 - p)^2 + 90 p^2.
    p, n = 59 / 149, 149
    worth = p * (1 - p) * n**2 / (50**2 * (1 - p) ** 2 + 9 * (1 - p) ** 2 + 90 * p**2)
    assert row["high"] == pytest.approx(scipy.stats.beta.ppf(0.975, p * worth + 0.5, (1 - p) * worth + 0.5))


def test_few_persons_with_a_label_are_hidden(coded_corpus, guard_of):
    coded = coded_corpus(people("female", 5, 70) + people("male", 40, 80), ["sex"])
    row = of_women(coded, guard=guard_of(coded, ["sex"]))
    assert row["suppressed"] and row["prevalence"] is None
    assert not of_women(coded, guard=guard_of(coded, ["sex"], identifiable=frozenset()))["suppressed"]
