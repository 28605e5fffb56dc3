import pyarrow as pa
import pyarrow.csv
import pytest

from ingest.census.corrected import correct_shares
from ingest.errors import BadInput

ROWS = [{"patient_id": f"p{n}", "modality": "x_ray" if n < 60 else "ultrasound"} for n in range(100)]


def corrected(connected, coded_corpus, audit, rows=ROWS, **options):
    settings = {"declared_error": {}, "hidden": set(), "num_resamples": 400} | options
    table, notes = correct_shares(connected(rows), coded_corpus(rows, ["modality"]), audit=audit, **settings)
    return {row["level"]: row for row in table.to_pylist() if row["dataset"] == "__all__"}, notes


def audit_of(folder, rows, names=("sample_id", "attribute", "truth")):
    columns = list(zip(*rows, strict=True))
    pyarrow.csv.write_csv(
        pa.table({name: list(column) for name, column in zip(names, columns, strict=True)}), folder / "audit.csv"
    )
    return folder / "audit.csv"


def test_errors_that_an_audit_finds_are_taken_back(connected, coded_corpus, tmp_path):
    """20 tagged x-ray were looked at, 5 were fluoroscopy; 10 ultrasound, all right: 45, 15, 40 %."""
    audit = audit_of(tmp_path, [(str(n), "modality", "x_ray" if n < 15 else "fluoroscopy") for n in range(20)]
                     + [(str(60 + n), "modality", "ultrasound") for n in range(10)])  # fmt: skip
    found, notes = corrected(connected, coded_corpus, audit)
    assert found["x_ray"]["tagged"] == 0.6 and found["x_ray"]["corrected"] == pytest.approx(0.45)
    assert found["fluoroscopy"]["tagged"] == 0 and found["fluoroscopy"]["corrected"] == pytest.approx(0.15)
    assert found["fluoroscopy"]["low"] > 0.02 and found["fluoroscopy"]["high"] < 0.35
    assert found["ultrasound"]["low"] < 0.4 < found["ultrasound"]["high"]  # no error among ten is no proof
    assert notes == [] and {row["status"] for row in found.values()} == {"audited"}


def test_a_data_set_is_corrected_by_its_own_audit(connected, coded_corpus, tmp_path):
    """P(true | tagged) depends on how common a level is. a: of 60 tagged x-ray all are; b: of 20 so tagged 5 are."""
    rows = [{"dataset": dataset, "patient_id": f"{dataset}{n}", "modality": "x_ray" if n < number else "ultrasound"}
            for dataset, number in (("a", 60), ("b", 20)) for n in range(100)]  # fmt: skip
    looked_at = [(n, "x_ray") for n in range(20)] + [(100 + n, "x_ray" if n < 5 else "ultrasound") for n in range(20)]
    looked_at += [(at + n, "ultrasound") for at in (60, 120) for n in range(10)]
    audit = audit_of(tmp_path, [(str(n), "modality", truth) for n, truth in looked_at])
    table, _ = correct_shares(connected(rows), coded_corpus(rows, ["modality"]), audit=audit, declared_error={},
                              hidden=set(), num_resamples=100)  # fmt: skip
    found = {row["dataset"]: row["corrected"] for row in table.to_pylist() if row["level"] == "x_ray"}
    # In all: 60 tagged rows of a stand behind 20 audited ones, 20 of b behind 20.
    assert found == {"a": pytest.approx(0.6), "b": pytest.approx(0.05), "__all__": pytest.approx(65 / 200)}


def test_one_person_with_half_the_rows_is_one_witness(connected, coded_corpus, tmp_path):
    rows = [{"patient_id": "p", "modality": "x_ray"}] * 100 + [
        {"patient_id": f"q{n}", "modality": "x_ray" if n % 2 else "ultrasound"} for n in range(100)
    ]
    audit = audit_of(tmp_path, [(str(n), "modality", rows[n]["modality"]) for n in range(200)])
    found, _ = corrected(connected, coded_corpus, audit, rows)
    # 200^2 / (100^2 + 100): worth 4 persons.
    assert found["x_ray"]["corrected"] == pytest.approx(0.75)
    assert found["x_ray"]["low"] < 0.5 and found["x_ray"]["high"] > 0.9


def test_a_level_nobody_looked_at_is_unverified(connected, coded_corpus, tmp_path):
    found, notes = corrected(
        connected, coded_corpus, audit_of(tmp_path, [(str(n), "modality", "x_ray") for n in range(20)])
    )
    assert found["ultrasound"]["status"] == "unverified" and found["ultrasound"]["low"] == 0
    assert found["x_ray"]["high"] == pytest.approx(1, abs=0.1)
    assert notes == ["modality: no audited row was tagged ultrasound in a: taken as tagged"]


def test_without_an_audit_the_declared_error_is_the_interval(connected, coded_corpus):
    found, _ = corrected(connected, coded_corpus, None, declared_error={"modality": 0.1})
    assert (found["x_ray"]["low"], found["x_ray"]["high"]) == (pytest.approx(0.5), pytest.approx(0.7))
    assert found["x_ray"]["status"] == "unverified"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("nobody", "modality", "x_ray"), "got 1 that are not in it"),
        (("1", "modality", "x-rays"), "got 'x-rays'"),
        (("1", "colour", "red"), "got 'colour'"),
    ],
)
def test_an_audit_that_does_not_fit_is_refused(connected, coded_corpus, tmp_path, row, message):
    with pytest.raises(BadInput, match=message):
        corrected(connected, coded_corpus, audit_of(tmp_path, [row]))


def test_an_audit_without_its_columns_is_refused(connected, coded_corpus, tmp_path):
    with pytest.raises(BadInput, match="expected the columns sample_id, attribute, truth, got id"):
        corrected(connected, coded_corpus, audit_of(tmp_path, [("1",)], names=("id",)))
