"""What one table of a census hides, no other gives back: the cases of the statistical review, with their numbers."""

import numpy as np
import pytest

from ingest.census.association import ASSOCIATIONS_SCHEMA


def persons(number, dataset="a", **fields):
    return [{"dataset": dataset, "patient_id": f"{dataset}{fields}{n}"} | fields for n in range(number)]


def shown(rows, *keys, **fixed):
    """Key -> number of persons, null where suppressed."""
    return {
        tuple(row[key] for key in keys) if len(keys) > 1 else row[keys[0]]: None if row["suppressed"] else
        row["num_persons"] for row in rows if all(row[name] == value for name, value in fixed.items())
    }  # fmt: skip


def figures(row, schema):
    names = set(schema.names[3:]) - {"family_size", "strata", "suppressed"}
    return {name: row[name] for name in names if row[name] is not None}


def test_no_odds_ratio_gives_a_hidden_sex_back(measured):
    """5 women, 100 men in a; 100 and 100 in b, which everybody knows: the odds ratio of 20 would tell the 5."""
    rows = persons(5, sex="female") + persons(100, sex="male")
    rows += persons(100, "b", sex="female") + persons(100, "b", sex="male")
    by_hand = (100 / 100) / (5 / 100)
    assert by_hand == 20
    public = measured(rows, ["sex"], identifiable=set())["associations"]
    assert public[0]["odds_ratio"] == pytest.approx(20) and not public[0]["suppressed"]
    tables = measured(rows, ["sex"])
    assert shown(tables["counts"], "level", dataset="a") == {"female": None, "male": None}
    (row,) = tables["associations"]
    assert row["suppressed"] and not figures(row, ASSOCIATIONS_SCHEMA) and row["family_size"] == 1


def skin(**more):
    labels = ["nv"] * 60 + ["mel"] * 35 + ["df"] * 5
    return [{"patient_id": f"p{n}", "sex": "female" if n % 2 else "male", "labels": [labels[n]]} | more
            for n in range(100)]  # fmt: skip


def test_labels_of_which_a_row_has_one_add_up(measured):
    """nv 60, mel 35, df 5: 100 less the two open ones would tell the 5; the next smallest goes with it."""
    tables = measured(skin(), ["sex", "label"])
    assert shown(tables["counts"], "level", attribute="label", dataset="a") == {"nv": 60, "mel": None, "df": None}
    assert {row["label"] for row in tables["prevalence"] if not row["suppressed"]} == {"nv"}
    hidden = {row["level_b"] for row in tables["associations"] if row["suppressed"]}
    assert hidden == {"mel", "df"}
    assert [row["suppressed"] for row in tables["associations"]] == [False, True, True]


def test_labels_of_which_a_row_has_several_are_hidden_alone(measured):
    rows = [row | {"labels": [*row["labels"], "benign"]} for row in skin()]
    counts = measured(rows, ["label"])["counts"]
    found = shown(counts, "level", attribute="label", dataset="a")
    assert found == {"nv": 60, "mel": 35, "df": None, "benign": 100}
    # 75 with the finding, 20 without any label: the 5 labelled otherwise would be what is left.
    rows = [{"patient_id": f"p{n}", "labels": ["x", "y"] if n < 40 else ["x"] if n < 75 else ["y"] if n < 80 else None}
            for n in range(100)]  # fmt: skip
    found = shown(measured(rows, ["label"])["counts"], "level", attribute="label", dataset="a")
    assert found["x"] is None and found["__missing__"] == 20


def test_no_strength_of_missingness_gives_few_back(measured):
    """5 of 100 miss it in a, 20 of 200 in b: V = 0.06278 has that one solution."""
    sexes = [None if n < 5 or n >= 280 else "female" if n % 2 else "male" for n in range(300)]
    rows = [{"dataset": "a" if n < 100 else "b", "patient_id": f"p{n}", "sex": sex} for n, sex in enumerate(sexes)]
    public = {row["against"]: row for row in measured(rows, ["sex"], identifiable=set())["missing_tests"]}
    assert public["dataset"]["cramers_v"] == pytest.approx(0.06278, abs=1e-5)
    (row,) = measured(rows, ["sex"])["missing_tests"]
    assert row["suppressed"] and row["cramers_v"] is None and row["p_value"] is None


def test_no_expectation_gives_a_margin_back(measured):
    """Expected 34.426 of 305, 100 of them CT, says that 105 are women, 100 of them in b."""
    rows = persons(5, sex="female", modality="x_ray") + persons(100, sex="male", modality="x_ray")
    rows += [{"dataset": "b", "patient_id": f"b{n}", "sex": "female" if n % 2 else "male",
              "modality": "computed_tomography" if n % 4 < 2 else "x_ray"} for n in range(200)]  # fmt: skip
    assert pytest.approx(105, abs=1e-3) == 34.42623 * 305 / 100
    table = measured(rows, ["sex", "modality"], intersections=2)["intersections"]
    women = [row for row in table if "female" in (row["level_1"], row["level_2"])]
    assert len(women) == 2 and all(row["suppressed"] and row["expected"] is None for row in women)


def test_sources_hide_what_the_counts_hide(measured):
    """5 women, 100 men, 20 unknown: the counts hide women and unknown, so the sources cannot tell the 20."""
    rows = persons(5, sex="female") + persons(100, sex="male") + persons(20)
    tables = measured(rows, ["sex"])
    assert shown(tables["counts"], "level", dataset="a") == {"female": None, "male": 100, "__missing__": None}
    assert set(shown(tables["provenance"], "source", "dataset").values()) == {None}


def test_shares_with_a_label_hide_what_the_counts_hide(measured):
    """5 persons at A, 30 at B, 112 at C: of A and B neither is told, nor how many of B have the label."""
    sites = ["A"] * 5 + ["B"] * 30 + ["C"] * 112
    labels = ["x", "y", "y", "y", "y"] + ["x", "y"] * 15 + ["x"] * 12 + ["y"] * 100
    rows = [{"patient_id": f"p{n}", "manufacturer": site, "labels": [label]}
            for n, (site, label) in enumerate(zip(sites, labels, strict=True))]  # fmt: skip
    tables = measured(rows, ["manufacturer", "label"])
    found = shown(tables["counts"], "level", attribute="manufacturer", dataset="a")
    assert found == {"A": None, "B": None, "C": 112}
    assert shown(tables["prevalence"], "level", "label") == {
        (site, label): 112 if site == "C" else None for site in "ABC" for label in "xy"
    }


def test_few_without_any_label_are_not_told_by_the_labelled(measured):
    """95 of 100 persons are labelled; the rows of a in any table of shares would say so."""
    rows = [
        {
            "patient_id": f"p{n}",
            "sex": "female" if n % 2 else "male",
            "labels": None if n < 5 else ["x", "y"] if n % 3 else ["x"] if n % 4 else ["y"],
        }
        for n in range(100)
    ]
    rows += [row | {"dataset": "b", "patient_id": f"b{n}"} for n, row in enumerate(rows[5:])]  # fmt: skip
    tables = measured(rows, ["sex", "label"])
    assert shown(tables["counts"], "level", attribute="label", dataset="a")["__missing__"] is None
    assert tables["prevalence"] and all(row["suppressed"] for row in tables["prevalence"])


def test_an_open_cell_beside_rows_of_unknown_level_gives_none_of_them_back(measured):
    """60 women with and 40 without a label, 3 of unknown site among them: the margins less the cells are the 3."""
    rows = [{"patient_id": f"p{n}", "sex": "female" if n < 100 else "male",
             "manufacturer": None if n < 3 else "A" if n % 2 else "B"} for n in range(200)]  # fmt: skip
    rows += persons(40, "b", sex="female")
    table = measured(rows, ["sex", "manufacturer"], intersections=2)["intersections"]
    assert table and all(row["suppressed"] for row in table)


def test_what_does_not_apply_is_hidden_with_the_modalities_it_follows_from(measured):
    """5 by CT, 30 by MR, 100 X-rays: a view applies to X-rays alone, and 35 without one would tell CT and MR."""
    rows = persons(5, modality="computed_tomography") + persons(30, modality="magnetic_resonance")
    rows += [row | {"view": "AP" if n % 2 else "PA"} for n, row in enumerate(persons(100, modality="ultrasound"))]
    counts = measured(rows, ["modality", "view"])["counts"]
    assert shown(counts, "level", attribute="modality", dataset="a")["ultrasound"] == 100
    found = shown(counts, "level", attribute="view", dataset="a")
    assert found["__not_applicable__"] is None and sum(number is None for number in found.values()) == 2


def test_totals_by_person_column_are_no_small_group(measured):
    """100 persons by patient, 5 by sample alone; the sexes show 105: neither part is told."""
    rows = [{"patient_id": f"p{n}" if n < 100 else None, "sex": "female" if n % 2 else "male"} for n in range(105)]
    found = measured(rows, ["sex"])["persons"]
    assert {row["person_column"] for row in found} == {"patient_id", "sample_id"}
    assert {row["num_persons"] for row in found} == {row["num_rows"] for row in found} == {None}


def test_a_setting_that_few_persons_lack_is_hidden_as_a_whole(measured):
    """70 and 30 of 105 persons have one value or the other: 5 have none."""
    values = ["soft"] * 70 + ["sharp"] * 30 + [None] * 5
    rows = [{"patient_id": f"p{n}", "protocol": {"kernel": value} if value else {}}
            for n, value in enumerate(values)]  # fmt: skip
    assert shown(measured(rows, ["sex"])["protocol_values"], "value") == {None: None}


def test_no_distance_between_settings_is_told_of_few_persons(measured):
    settings = {"a": np.arange(80, 82), "b": np.arange(80, 140), "c": np.arange(90, 150)}
    rows = [{"dataset": name, "patient_id": f"{name}{n}", "protocol": {"kvp": str(value)}}
            for name, values in settings.items() for n, value in enumerate(values)]  # fmt: skip
    tables = measured(rows, ["sex"])
    pairs = {(row["dataset_a"], row["dataset_b"]): row for row in tables["protocol_pairs"]}
    assert pairs["a", "b"]["suppressed"] and pairs["a", "b"]["ks"] is None and pairs["b", "c"]["ks"] > 0
    assert all(row["eta2"] is None for row in tables["protocol"])  # ranks among all, those of a among them


def test_one_identifiable_data_set_does_not_cover_another(measured):
    """55 women by CT, 50 of them in c, where there is nothing but CT: 5 are of a."""
    rows = [row for sex, scans, films in (("female", 5, 95), ("male", 60, 40))
            for modality, number in (("computed_tomography", scans), ("x_ray", films))
            for row in persons(number, sex=sex, modality=modality)]  # fmt: skip
    rows += [row for sex in ("female", "male") for row in persons(50, "c", sex=sex, modality="computed_tomography")]
    tables = measured(rows, ["sex", "modality"], identifiable={"a", "c"}, intersections=2)
    assert shown(tables["counts"], "level", dataset="c", attribute="sex") == {"female": 50, "male": 50}
    assert tables["intersections"] and all(row["suppressed"] for row in tables["intersections"])
