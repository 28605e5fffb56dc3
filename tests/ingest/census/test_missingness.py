import pytest

from ingest.census.counts import count_levels
from ingest.census.missingness import missing_tests, missingness

ROWS = [{"patient_id": f"a{n}", "dataset": "a", "sex": "female" if n % 2 else "male"} for n in range(60)] + [
    {"patient_id": f"b{n}", "dataset": "b", "sex": "female" if n < 15 else None} for n in range(60)
]


def test_the_share_missing_by_source(coded_corpus):
    coded = coded_corpus(ROWS, ["sex"])
    table = missingness(coded, count_levels(coded, ["sex"], num_resamples=100)).to_pylist()
    shares = {row["dataset"]: (row["num_missing"], row["share"]) for row in table}
    assert shares == {"a": (0, 0.0), "b": (45, 0.75), "__all__": (45, 0.375)}


def test_unknown_is_missing_as_in_the_tests(coded_corpus):
    sexes = [None] * 10 + ["unknown"] * 50 + ["female"] * 40
    coded = coded_corpus([{"patient_id": f"p{n // 2}", "sex": sex} for n, sex in enumerate(sexes)], ["sex"])
    (whole, _) = missingness(coded, count_levels(coded, ["sex"], num_resamples=100)).to_pylist()
    assert (whole["num_missing"], whole["share"], whole["num_persons"]) == (60, 0.6, 30)
    assert 0.4 < whole["low"] < 0.5 < 0.7 < whole["high"] < 0.8  # 50 persons: Wilson .462 to .724


def test_missing_goes_with_the_source(coded_corpus):
    (row,) = missing_tests(coded_corpus(ROWS, ["sex"]), ["sex"]).to_pylist()
    assert (row["attribute"], row["against"]) == ("sex", "dataset")
    assert row["cramers_v"] == pytest.approx(0.77, abs=0.02) and row["q_value"] < 0.01


def test_an_attribute_all_rows_miss_is_told_not_tested(coded_corpus):
    coded = coded_corpus([row | {"sex": None} for row in ROWS], ["sex"])
    assert missing_tests(coded, ["sex"]).num_rows == 0
    counts = count_levels(coded, ["sex"], num_resamples=100)
    (whole,) = [row for row in counts.to_pylist() if row["dataset"] == "__all__"]
    assert whole["level"] == "__missing__" and whole["share"] == 1 and whole["low"] < 1 == whole["high"]
