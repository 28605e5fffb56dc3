import numpy as np
import pytest

from ingest.census.association import associations, cramers_v, effective_rows_of, mutual_information
from ingest.census.pairs import Pair, label_variables, variable


def found(table, a, b, level_b=None):
    return next(
        row for row in table.to_pylist() if (row["attribute_a"], row["attribute_b"], row["level_b"]) == (a, b, level_b)
    )


def test_cramers_v_of_a_perfect_and_of_no_association():
    assert cramers_v(np.array([[500.0, 0.0], [0.0, 500.0]]))[0] == pytest.approx(1, abs=1e-3)
    assert cramers_v(np.array([[250.0, 250.0], [250.0, 250.0]])) == (0.0, 1000)


def test_mutual_information_by_hand():
    assert mutual_information(np.array([[5.0, 0.0], [0.0, 5.0]])) == (pytest.approx(np.log(2)), pytest.approx(1))
    assert mutual_information(np.array([[5.0, 5.0], [5.0, 5.0]]))[0] == 0
    assert mutual_information(np.array([[5.0, 5.0]])) == (0, 0)


def planted(num_persons, *, strength, rows_each=1, seed=0):
    """Women have "mass" with probability 0.5 + strength, men with 0.5 - strength; ages are chance."""
    generator = np.random.default_rng(seed)
    rows = []
    for person in range(num_persons):
        woman = generator.random() < 0.5
        age = float(generator.integers(20, 90))
        sick = generator.random() < (0.5 + strength if woman else 0.5 - strength)
        rows += [
            {"patient_id": f"p{person}", "sex": "female" if woman else "male", "age_years": age,
             "labels": ["mass"] if sick else ["clear"]}
        ] * rows_each  # fmt: skip
    return rows


def test_a_planted_association_is_flagged_and_chance_is_not(coded_corpus):
    table = associations(coded_corpus(planted(300, strength=0.2), ["sex", "age_band"]), ["sex", "age_band"])
    mass = found(table, "sex", "label", "mass")
    assert mass["q_value"] < 0.05 and mass["low"] > 0 and mass["odds_low"] > 1
    assert {mass["strongest_a"], mass["strongest_b"]} == {"female", "mass"}
    assert found(table, "age_band", "label", "mass")["q_value"] > 0.05
    assert mass["family_size"] == table.num_rows


def test_repeating_every_row_is_no_further_evidence(coded_corpus):
    once = coded_corpus(planted(120, strength=0.1), ["sex"])
    often = coded_corpus(planted(120, strength=0.1, rows_each=20), ["sex"])
    pairs = [Pair.of(coded, variable(coded, "sex"), next(label_variables(coded, "label"))) for coded in (once, often)]
    assert effective_rows_of(pairs[1], pairs[1].table()) == pytest.approx(120, rel=1e-9)
    p = [found(associations(coded, ["sex"]), "sex", "label", "mass")["p_value"] for coded in (once, often)]
    assert p[0] == pytest.approx(p[1], abs=0.03)


def test_a_data_set_that_never_gives_a_label_says_nothing_about_it(coded_corpus):
    chest = planted(200, strength=0.0)
    skin = [
        {"patient_id": f"s{n}", "dataset": "skin", "sex": "female", "age_years": 5.0, "labels": ["mole"]}
        for n in range(100)
    ]
    both = associations(coded_corpus(chest + skin, ["sex"]), ["sex"])
    alone = associations(coded_corpus(chest, ["sex"]), ["sex"])
    assert found(both, "sex", "label", "mass")["num_rows"] == 200
    assert found(both, "sex", "label", "mass")["cramers_v"] == found(alone, "sex", "label", "mass")["cramers_v"]


def test_associations_need_both_levels_known(coded_corpus):
    rows = [{"patient_id": f"p{n}", "sex": "female" if n % 2 else "male"} for n in range(60)]
    rows += [{"patient_id": f"q{n}", "dataset": "b"} for n in range(60)]
    assert associations(coded_corpus(rows, ["sex"]), ["sex"]).num_rows == 0


def test_ten_thousand_levels_are_pooled_not_dropped(coded_corpus):
    rows = [
        {"patient_id": f"p{n}", "race": f"r{n % 3000}", "sex": "female" if n % 2 else "male"} for n in range(6000)
    ]  # fmt: skip
    coded = coded_corpus(rows, ["race", "sex"])
    race = variable(coded, "race")
    assert len(race.levels) == 201 and (race.codes >= 0).all()
    assert found(associations(coded, ["race", "sex"]), "race", "sex")["num_rows"] == 6000


def test_an_attribute_that_explains_is_named(coded_corpus):
    """Sex goes with the label only because one site sees women and sick people, the other neither."""
    generator = np.random.default_rng(5)
    rows = []
    for n in range(800):
        site = "a" if n % 2 else "b"
        woman = generator.random() < (0.85 if site == "a" else 0.15)
        sick = generator.random() < (0.85 if site == "a" else 0.15)
        rows.append({"patient_id": f"p{n}", "dataset": site, "sex": "female" if woman else "male",
                     "labels": ["mass"] if sick else ["clear"]})  # fmt: skip
    mass = found(associations(coded_corpus(rows, ["sex"]), ["sex"]), "sex", "label", "mass")
    assert mass["strata"] == ["dataset"]
    assert mass["explained"] and not mass["reversal"]
    assert mass["odds_low"] > 1 and mass["mh_low"] < 1 < mass["mh_high"]


def test_a_last_stratum_that_holds_one_cell_alone_is_still_a_stratum(coded_corpus):
    rows = planted(60, strength=0.4)
    rows += [{**rows[0], "patient_id": f"q{n}", "dataset": "z", "sex": "female", "labels": ["mass"]} for n in range(9)]
    mass = found(associations(coded_corpus(rows, ["sex"]), ["sex"]), "sex", "label", "mass")
    assert mass["strata"] == ["dataset"] and mass["mh_ratio"] is not None


def test_modality_stands_in_for_devices_that_are_not_known(coded_corpus):
    """Women are mostly in ultrasound, where a mass is frequent; within a modality sex says nothing."""
    rows = []
    for modality, women, sick in (("ultrasound", 0.8, 0.7), ("x_ray", 0.2, 0.2)):
        for n in range(200):
            person = {
                "patient_id": f"{modality}{n}",
                "modality": modality,
                "sex": "female" if n < 200 * women else "male",
            }
            rows.append(person | {"labels": ["mass" if (7 * n) % 10 < 10 * sick else "clear"]})
    names = ["sex", "modality", "manufacturer"]
    mass = found(associations(coded_corpus(rows, names), names), "sex", "label", "mass")
    assert mass["strata"] == ["modality"] and mass["odds_ratio"] > 2
    assert mass["explained"] and mass["mh_low"] < 1 < mass["mh_high"]
