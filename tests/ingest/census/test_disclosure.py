import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ingest.census.counts import COUNTS_SCHEMA, count_levels, count_persons
from ingest.census.disclosure import (
    Part,
    _exposed,
    close,
    close_levels,
    hidden_in_part,
    is_small,
    round_totals,
    suppress,
)
from ingest.errors import GateRefused

BELOW = 11


def closed(persons, *, rows_open=None, columns_open=None):
    persons = np.array(persons)
    rows = np.zeros(persons.shape[0], bool) if rows_open is None else np.array(rows_open)
    columns = np.ones(persons.shape[1], bool) if columns_open is None else np.array(columns_open)
    return close(persons, is_small(persons, BELOW), rows_open=rows, columns_open=columns, below=BELOW)


def test_one_small_cell_takes_the_smallest_open_one_with_it():
    assert closed([[3], [40], [20]]).ravel().tolist() == [True, False, True]


def test_two_small_cells_of_few_persons_take_a_third():
    assert closed([[3], [4], [40], [20]]).ravel().tolist() == [True, True, False, True]
    assert closed([[6], [7], [40], [20]]).ravel().tolist() == [True, True, False, False]


def test_a_total_of_few_persons_cannot_be_shown_at_all():
    with pytest.raises(GateRefused, match="within reach"):
        closed([[3], [0]])


def test_in_a_table_both_margins_are_protected():
    hidden = closed([[3, 40, 50], [60, 70, 80], [90, 20, 30]], rows_open=[True] * 3)
    assert hidden[0].sum() >= 2 and hidden[:, 0].sum() >= 2


def test_a_linear_program_sees_what_the_rule_does_not():
    # Each line has two hidden cells and enough persons, yet the upper left is 3..12 by its margins: nine apart.
    persons = np.array([[3, 9], [100, 12]])
    hidden = np.ones((2, 2), bool)
    exposed = _exposed(persons, hidden, np.ones(2, bool), np.ones(2, bool), 13)
    assert (0, 0) in exposed


tables = arrays(np.int64, st.tuples(st.integers(1, 4), st.integers(1, 4)), elements=st.integers(0, 40))


@settings(max_examples=60)
@given(tables)
def test_what_is_hidden_cannot_be_computed_back(persons):
    """Totals are shown only where they are no small cells themselves; a table beyond help is refused, not shown."""
    rows, columns = persons.sum(1) >= BELOW, persons.sum(0) >= BELOW
    try:
        hidden = closed(persons, rows_open=rows, columns_open=columns)
    except GateRefused:
        return
    assert np.all(hidden[is_small(persons, BELOW)])
    assert _exposed(persons, hidden, rows, columns, BELOW) == []


@settings(max_examples=60)
@given(tables)
def test_one_attribute_can_always_be_protected(persons):
    hidden = closed(persons, columns_open=persons.sum(0) >= BELOW)
    for column in np.flatnonzero(persons.sum(0) >= BELOW):
        mask = hidden[:, column]
        assert not mask.any() or (mask.sum() > 1 and persons[mask, column].sum() >= BELOW)


def part_of(persons, dataset="a"):
    levels = {(name, dataset): number for name, number in persons.items()}
    return Part(levels, {dataset: sum(persons.values())})


def test_a_level_is_hidden_in_a_part_for_its_few_persons_there_and_for_the_few_left_outside():
    whole = part_of({"female": 100, "male": 200, "other": 60, "unknown": 40})
    train = part_of({"female": 80, "male": 150, "other": 55, "unknown": 30})
    # Of "other" 5 are elsewhere: it is hidden, and with it the next smallest, or the total would give it back.
    hidden = hidden_in_part(train, whole, adds_up=True, below=BELOW)
    assert hidden == {("other", "a"), ("unknown", "a")}
    assert hidden_in_part(whole, whole, adds_up=True, below=BELOW) == set()


def test_a_part_hides_what_the_census_hides_and_a_tiny_data_set_whole():
    whole = part_of({"female": 5, "male": 200, "other": 60})
    train = part_of({"male": 150, "other": 40})
    assert hidden_in_part(train, whole, adds_up=True, below=BELOW) == {("female", "a"), ("other", "a")}
    tiny = part_of({"female": 5, "male": 5})
    assert hidden_in_part(tiny, tiny, adds_up=True, below=BELOW) == {("female", "a"), ("male", "a")}


def test_of_labels_the_persons_without_one_are_its_complement():
    persons = np.array([97, 60, 4])
    assert close_levels(persons, 100, adds_up=False, below=BELOW).tolist() == [True, False, True]
    # Of the 90 in training 85 have it: five have not. Outside nobody lacks the other one.
    whole, part = (
        Part({("x", "a"): 140, ("y", "a"): 100}, {"a": 200}),
        Part({("x", "a"): 85, ("y", "a"): 50}, {"a": 90}),
    )
    assert hidden_in_part(part, whole, adds_up=False, below=BELOW) == {("x", "a")}


@settings(max_examples=80)
@given(arrays(np.int64, st.tuples(st.integers(1, 5), st.just(2)), elements=st.integers(0, 40)))
def test_what_a_part_hides_cannot_be_computed_back_from_the_whole(sides):
    names = [f"level {n}" for n in range(len(sides))]
    part, whole = (part_of(dict(zip(names, column.tolist(), strict=True))) for column in (sides[:, 0], sides.sum(1)))
    hidden = np.array([(name, "a") in hidden_in_part(part, whole, adds_up=True, below=BELOW) for name in names])
    totals = sides.sum(0)
    assert np.all(hidden[is_small(sides, BELOW).any(1)])
    if is_small(totals, BELOW).any() or is_small(totals.sum(), BELOW):
        return  # the totals are not shown either
    census = close_levels(sides.sum(1), totals.sum(), adds_up=True, below=BELOW)
    assert _exposed(sides, np.repeat(hidden[:, None], 2, 1), ~census, totals >= BELOW, BELOW) == []


def people(dataset, **levels):
    return [
        {"dataset": dataset, "patient_id": f"{dataset}{sex}{n}", "sex": sex}
        for sex, number in levels.items() for n in range(number)
    ]  # fmt: skip


def hidden_counts(coded, identifiable):
    counts = count_levels(coded, ["sex"], num_resamples=100)
    return suppress(counts, coded, below=BELOW, identifiable=identifiable), counts


def test_a_small_level_is_hidden_in_its_data_set_and_in_the_whole(coded_corpus):
    rows = people("a", female=3, male=40, other=20) + people("b", female=1, male=30)
    hidden, counts = hidden_counts(coded_corpus(rows, ["sex"]), {"a"})
    shown = {(row["dataset"], row["level"]): row for row in hidden.to_pylist()}
    for key in (("a", "female"), ("a", "other"), ("__all__", "female"), ("__all__", "other")):
        assert shown[key]["suppressed"]
        assert all(shown[key][name] is None for name in ("num_rows", "num_persons", "share", "low", "high"))
    assert shown["a", "male"]["num_persons"] == 40
    assert shown["b", "female"]["num_persons"] == 1  # public data
    unchanged, _ = hidden_counts(coded_corpus(rows, ["sex"]), set())
    assert unchanged.equals(counts)


def test_no_subtraction_brings_back_a_small_cell(coded_corpus):
    """Whole corpus less the public set, and totals less the open levels, both leave at least two unknowns."""
    rows = people("a", female=3, male=40, other=20) + people("b", female=50, male=30, other=9)
    hidden, _ = hidden_counts(coded_corpus(rows, ["sex"]), {"a"})
    by = {}
    for row in hidden.to_pylist():
        by.setdefault(row["dataset"], []).append(row["suppressed"])
    assert sum(by["a"]) == 2 and sum(by["__all__"]) == 2 and sum(by["b"]) == 0


def test_a_tiny_data_set_is_hidden_whole_and_so_is_the_sum(coded_corpus, connected):
    rows = people("a", female=4, male=3) + people("b", female=50, male=30)
    coded = coded_corpus(rows, ["sex"])
    hidden, _ = hidden_counts(coded, {"a"})
    assert all(row["suppressed"] for row in hidden.to_pylist() if row["dataset"] in ("a", "__all__"))
    assert not any(row["suppressed"] for row in hidden.to_pylist() if row["dataset"] == "b")
    totals = round_totals(count_persons(connected(rows)), hidden, below=BELOW, identifiable={"a"}).to_pylist()
    assert [(row["dataset"], row["num_persons"]) for row in totals] == [("a", None), ("b", 80)]


def test_totals_beside_hidden_cells_are_rounded():
    counts = pa.Table.from_pylist(
        [{"attribute": "sex", "level": "female", "dataset": "a", "suppressed": True}], schema=COUNTS_SCHEMA
    )
    persons = pa.table({"dataset": ["a"], "person_column": ["patient_id"], "num_rows": [123], "num_persons": [61]})
    (row,) = round_totals(persons, counts, below=BELOW, identifiable={"a"}).to_pylist()
    assert (row["num_rows"], row["num_persons"]) == (125, 60)


@pytest.mark.parametrize("num_persons", [1, 10])
def test_one_to_ten_are_small(num_persons):
    assert is_small(num_persons, BELOW) and not is_small(0, BELOW) and not is_small(11, BELOW)
