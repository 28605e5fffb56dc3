import pytest
from deltalake import write_deltalake

from ingest.drift import drift_between
from ingest.errors import BadInput
from ingest.sample import Sample, to_table


def rows_of(people):
    """Samples from (id, patient, sex) and, where they are of interest, labels."""
    return to_table(
        Sample(sample_id=one, dataset="a", native_id=one, patient_id=patient, sex=sex, labels=[*labels] or ["mass"])
        for one, patient, sex, *labels in people
    )


def drifted(folder, *versions, **options):
    for version in versions:
        write_deltalake(folder / "samples", rows_of(version), mode="overwrite")
    settings = {"attributes": ["sex", "label"], "below": 11, "identifiable": set()} | options
    return drift_between(folder / "samples", 0, len(versions) - 1, **settings)


def women(table):
    return next(
        row for row in table.to_pylist() if (row["attribute"], row["level"], row["dataset"]) == ("sex", "female", "a")
    )


PEOPLE = [(f"s{n}", f"p{n}", "female" if n < 40 else "male") for n in range(100)]


def test_what_came_went_and_moved(tmp_path):
    later = [*PEOPLE[1:99], ("new1", "q1", "female"), ("new2", "q1", "female")]
    later[50] = (later[50][0], later[50][1], "female")
    tables = drifted(tmp_path, PEOPLE, later)
    row = women(tables["drift"])
    assert (row["rows_before"], row["rows_after"]) == (40, 42)
    assert (row["rows_came"], row["rows_went"], row["rows_moved_in"], row["rows_moved_out"]) == (2, 1, 1, 0)
    (total, whole) = sorted(tables["drift_totals"].to_pylist(), key=lambda one: one["dataset"], reverse=True)
    assert [total[name] for name in ("came", "went", "moved", "same")] == [2, 2, 1, 97]
    assert whole["rows_after"] == 100


def test_the_same_version_twice_has_no_drift(tmp_path):
    row = women(drifted(tmp_path, PEOPLE, PEOPLE)["drift"])
    assert row["change"] == 0 and row["p_value"] == 1 and row["low"] == row["high"] == 0


def test_two_unrelated_corpora_have_the_interval_of_a_difference(tmp_path):
    """Nobody in common: Agresti and Caffo's interval of 41 of 102 against 61 of 102."""
    other = [(f"t{n}", f"r{n}", "female" if n < 60 else "male") for n in range(100)]
    row = women(drifted(tmp_path, PEOPLE, other)["drift"])
    assert row["change"] == pytest.approx(0.2)
    half = 1.959964 * (2 * 41 * 61 / 102**3) ** 0.5
    assert (row["low"], row["high"]) == (pytest.approx(20 / 102 - half), pytest.approx(20 / 102 + half))
    assert row["q_value"] < 0.05


def test_few_persons_are_no_proof_of_drift(tmp_path):
    three = [(f"s{n}", f"p{n}", "male") for n in range(3)]
    row = women(drifted(tmp_path / "3", three, [(f"t{n}", f"q{n}", "female") for n in range(3)])["drift"])
    assert row["change"] == 1 and row["low"] == pytest.approx(0.6 - 1.959964 * (2 * 0.16 / 5) ** 0.5)
    assert row["p_value"] is None and row["q_value"] is None
    # 0 of 30 against 3 of 30: p = .24 by Fisher's exact test.
    men = [(f"s{n}", f"p{n}", "male") for n in range(30)]
    later = [(f"t{n}", f"q{n}", "female" if n < 3 else "male") for n in range(30)]
    row = women(drifted(tmp_path / "30", men, later)["drift"])
    assert row["low"] < 0 and 0.1 < row["p_value"] < 0.25


def test_those_who_stay_add_no_uncertainty(tmp_path):
    """99 of 100 stay: the change is known far better than two shares of 100 would be."""
    row = women(drifted(tmp_path, PEOPLE, [*PEOPLE[:-1], ("new", "q", "female")])["drift"])
    assert row["change"] == pytest.approx(0.01) and row["high"] - row["low"] < 0.05


def test_labels_are_compared_by_share_alone(tmp_path):
    (row, _) = [one for one in drifted(tmp_path, PEOPLE, PEOPLE[:50])["drift"].to_pylist() if one["level"] == "mass"]
    assert row["share_after"] == 1 and row["rows_came"] is None


def test_a_change_of_few_persons_of_identifiable_data_is_hidden(tmp_path):
    tables = drifted(tmp_path, PEOPLE, PEOPLE[:-4], identifiable={"a"})
    assert all(row["suppressed"] and row["rows_after"] is None for row in tables["drift"].to_pylist())
    assert all(row["suppressed"] and row["went"] is None for row in tables["drift_totals"].to_pylist())


def test_a_version_that_does_not_exist_is_refused(tmp_path):
    drifted(tmp_path, PEOPLE)
    with pytest.raises(BadInput, match="expected a version from 0 to 0, got 7"):
        drift_between(tmp_path / "samples", 0, 7, attributes=["sex"], below=11, identifiable=set())


def test_moves_that_cancel_are_told_of_few_persons_no_more_than_others(tmp_path):
    """3 persons go one way and 3 the other, the counts stay: 3 moved in is as telling as 3 fewer."""
    before, after = (
        [(f"s{n}", f"p{n}", "female" if n in women else "male") for n in range(100)]
        for women in (range(50), range(3, 53))
    )
    tables = drifted(tmp_path, before, after, identifiable={"a"}, attributes=["sex"])
    assert all(row["suppressed"] and row["rows_moved_in"] is None for row in tables["drift"].to_pylist())
    assert all(row["suppressed"] and row["moved"] is None for row in tables["drift_totals"].to_pylist())


def test_new_rows_of_few_who_were_there_are_hidden(tmp_path):
    later = [*PEOPLE, ("new0", "p0", "female"), ("new1", "p1", "female")]
    tables = drifted(tmp_path, PEOPLE, later, identifiable={"a"})
    assert all(row["suppressed"] and row["rows_came"] is None for row in tables["drift"].to_pylist())
    assert all(row["suppressed"] and row["came"] is None for row in tables["drift_totals"].to_pylist())


def test_of_a_label_the_few_without_it_are_hidden(tmp_path):
    """95 of 100 persons have it; the sexes tell the 100."""
    labels = [["x", "z"]] * 50 + [["x"]] * 45 + [["z"]] * 5
    rows = [(*one, *has) for one, has in zip(PEOPLE, labels, strict=True)]
    found = drifted(tmp_path, rows, rows, identifiable={"a"})["drift"].to_pylist()
    assert {row["attribute"]: row["suppressed"] for row in found} == {"label": True, "sex": False}
