import numpy as np
import pytest

from ingest.census.intersections import intersections


def crossed(coded, **options):
    return {
        (row["level_1"], row["level_2"], row["level_3"]): row
        for row in intersections(coded, ["sex", "dataset", "modality"], **({"order": 2} | options)).to_pylist()
    }


def people(number, **fields):
    return [{"patient_id": f"{fields}{n}"} | fields for n in range(number)]


ROWS = (
    people(40, sex="female", dataset="a")
    + people(10, sex="male", dataset="a")
    + people(10, sex="female", dataset="b")
    + people(40, sex="male", dataset="b")
)


def test_lift_by_hand(coded_corpus):
    cell = crossed(coded_corpus(ROWS, ["sex"]))["female", "a", None]
    assert (cell["num_rows"], cell["num_persons"], cell["expected"]) == (40, 40, 25)
    assert cell["lift"] == 1.6
    # 1/p - 1/p_1 - 1/p_2 + 2 lift - 1 over n, from the multinomial covariances
    half = 1.959964 * ((1 / 0.4 - 2 - 2 + 2 * 1.6 - 1) / 100) ** 0.5
    assert cell["low"] == pytest.approx(1.6 / np.exp(half), rel=1e-6)


def test_the_interval_holds_the_lift_of_other_draws():
    generator = np.random.default_rng(1)
    lifts = []
    for _ in range(400):
        cells = generator.multinomial(100, [0.4, 0.1, 0.1, 0.4]).reshape(2, 2)
        lifts.append(cells[0, 0] * 100 / cells[0].sum() / cells[:, 0].sum())
    assert np.std(np.log(lifts)) == pytest.approx(((1 / 0.4 - 4 + 3.2 - 1) / 100) ** 0.5, rel=0.15)


def test_cells_that_could_not_be_expected_are_left_out(coded_corpus):
    assert ("female", "c", None) not in crossed(coded_corpus(ROWS + people(3, sex="female", dataset="c"), ["sex"]))


def test_an_empty_cell_that_was_expected_is_there(coded_corpus):
    rows = people(50, sex="female", dataset="a") + people(50, sex="male", dataset="b")
    cell = crossed(coded_corpus(rows, ["sex"]))["male", "a", None]
    assert cell["lift"] == 0 and cell["low"] == 0 < cell["high"] < 0.3


def test_three_attributes(coded_corpus):
    rows = [row | {"modality": "x_ray" if n % 2 else "ultrasound"} for n, row in enumerate(ROWS)]
    cell = crossed(coded_corpus(rows, ["sex"]), order=3)["female", "a", "x_ray"]
    assert cell["order"] == 3 and cell["num_rows"] == 20 and cell["lift"] == pytest.approx(20 / 12.5)


def test_small_cells_of_identifiable_data_are_hidden_with_a_rectangle(coded_corpus, guard_of):
    coded = coded_corpus(ROWS, ["sex"])
    cells = crossed(coded, guard=guard_of(coded, ["sex"], identifiable={"a", "b"}))
    assert all(cell["suppressed"] and cell["lift"] is None for cell in cells.values())
    public = crossed(coded, guard=guard_of(coded, ["sex"], identifiable=set()))
    assert not any(cell["suppressed"] for cell in public.values())


def test_at_order_three_one_small_cell_hides_all(coded_corpus, guard_of):
    rows = [row | {"dataset": "a", "modality": "x_ray" if n % 20 else "ultrasound"} for n, row in enumerate(ROWS * 3)]
    rows = [row | {"patient_id": str(n), "view": "AP" if n % 2 else "PA"} for n, row in enumerate(rows)]
    names = ["sex", "modality", "view"]
    coded = coded_corpus(rows, names)
    table = intersections(coded, names, order=3, guard=guard_of(coded, names)).to_pylist()
    assert all(row["suppressed"] for row in table if row["order"] == 3)
    shown = {(row["attribute_1"], row["attribute_2"]) for row in table if not row["suppressed"]}
    assert ("sex", "view") in shown and ("sex", "modality") not in shown


def test_attributes_known_of_the_same_half_do_not_meet_more_often_for_it(coded_corpus):
    generator = np.random.default_rng(0)
    rows = [
        {"patient_id": f"a{n}", "sex": ["female", "male"][generator.integers(2)],
         "manufacturer": ["one", "two"][generator.integers(2)]}
        for n in range(800)
    ] + [{"patient_id": f"b{n}", "dataset": "b"} for n in range(800)]  # fmt: skip
    table = intersections(coded_corpus(rows, ["sex", "manufacturer"]), ["sex", "manufacturer"], order=2).to_pylist()
    assert len(table) == 4
    for cell in table:
        assert cell["lift"] == pytest.approx(1, abs=0.15) and cell["low"] < 1 < cell["high"]
        assert cell["share"] == cell["num_rows"] / 1600
