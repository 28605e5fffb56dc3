"""What cannot be known is told apart from what is not known, by one table, everywhere."""

import duckdb
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.rows import level_column
from ingest.applicability import ATTRIBUTE_APPLIES, MISSING, NOT_APPLICABLE
from ingest.attributes import level_sql
from ingest.census.counts import count_levels
from ingest.census.disclosure import suppress
from ingest.census.guard import Guard
from ingest.census.intersections import intersections
from ingest.census.missingness import missing_tests, missingness
from ingest.census.protocol import protocol
from ingest.census.provenance import provenance
from ingest.modality import Modality
from ingest.sample import Task
from shards.cells import collapse
from shards.targets import Target, goal_of


def people(number, start=0, **fields):
    return [{"patient_id": f"{start + n}"} | fields for n in range(number)]


# 60 x-rays, which have no skin type; 40 dermoscopies, 10 of them without one; 20 pictures of nobody knows what.
ROWS = (
    people(60, modality="x_ray")
    + people(20, 100, modality="dermoscopy", skin_type=1)
    + people(10, 200, modality="dermoscopy", skin_type=2)
    + people(10, 300, modality="dermoscopy")
    + people(20, 400, modality="unknown")
)


def test_a_row_that_cannot_have_it_is_not_missing_it(coded_corpus):
    counts = count_levels(coded_corpus(ROWS, ["skin_type"]), ["skin_type"], num_resamples=100).to_pylist()
    whole = {row["level"]: (row["num_rows"], row["share"]) for row in counts if row["dataset"] == "__all__"}
    assert whole == {"1": (20, 20 / 120), "2": (10, 10 / 120), MISSING: (30, 0.25), NOT_APPLICABLE: (60, 0.5)}


def test_the_missing_share_is_of_the_rows_it_applies_to(coded_corpus):
    coded = coded_corpus(ROWS, ["skin_type"])
    counts = count_levels(coded, ["skin_type"], num_resamples=100)
    row = next(row for row in missingness(coded, counts).to_pylist() if row["dataset"] == "__all__")
    assert (row["num_rows"], row["num_applicable"], row["num_missing"], row["share"]) == (120, 60, 30, 0.5)
    assert row["low"] == pytest.approx(0.5 - 0.1225, abs=0.01)  # Wilson's interval of 30 of 60


def test_where_it_applies_to_nothing_no_share_is_told(coded_corpus):
    coded = coded_corpus(people(20, modality="x_ray"), ["skin_type"])
    (row, _) = missingness(coded, count_levels(coded, ["skin_type"], num_resamples=100)).to_pylist()
    assert (row["num_applicable"], row["share"], row["suppressed"]) == (0, None, False)
    assert missing_tests(coded, ["skin_type"]).num_rows == 0


def test_missing_goes_with_a_source_only_among_rows_it_applies_to(coded_corpus):
    """X-rays all lack a skin type; were they taken for missing, modality would go with it perfectly."""
    rows = people(60, modality="x_ray") + [
        row | {"dataset": name, "skin_type": 1 if n % 2 else None}
        for name, start in (("a", 100), ("b", 200)) for n, row in enumerate(people(40, start, modality="dermoscopy"))
    ]  # fmt: skip
    found = {row["against"]: row for row in missing_tests(coded_corpus(rows, ["skin_type"]), ["skin_type"]).to_pylist()}
    assert set(found) == {"dataset"} and found["dataset"]["cramers_v"] == 0


def test_a_value_that_stands_counts_whatever_the_modality(coded_corpus):
    coded = coded_corpus(people(3, modality="x_ray", skin_type=4), ["skin_type"])
    assert coded.occurrences["skin_type"].levels == ["4"]


def test_independence_is_of_the_rows_both_apply_to(coded_corpus):
    """Half of either sex have a skin type in 400 photographs; 4,000 x-rays beside them change no lift."""
    photographs = [
        row | {"modality": "digital_photography", "skin_type": 1 + n % 2, "sex": "female" if n % 4 < 2 else "male",
               "view": None}
        for n, row in enumerate(people(400, modality="x_ray"))
    ]  # fmt: skip
    x_rays = [
        row | {"sex": "female" if n % 4 else "male"} for n, row in enumerate(people(4000, 1000, modality="x_ray"))
    ]

    def lifts(rows):
        table = intersections(coded_corpus(rows, ["skin_type", "sex", "modality"]), ["skin_type", "sex"], order=2)
        return {
            (row["level_1"], row["level_2"]): (row["expected"], row["lift"], row["low"]) for row in table.to_pylist()
        }

    alone, beside = lifts(photographs), lifts(photographs + x_rays)
    assert beside == alone and alone["1", "female"][:2] == (100, 1)


def test_pairs_within_a_triple_are_of_its_rows(coded_corpus):
    """The interval of order 3 is that of the photographs alone, though sex and age are known for all."""
    skin_type, woman, young = np.random.default_rng(5).integers(0, 2, (3, 400))
    photographs = [
        row | {"modality": "digital_photography", "skin_type": 1 + int(a), "sex": "female" if b else "male",
               "age_years": 30.0 if c else 70.0}
        for row, a, b, c in zip(people(400), skin_type, woman, young, strict=True)
    ]  # fmt: skip
    x_rays = people(900, 1000, modality="x_ray", sex="male", age_years=70.0)
    names = ["skin_type", "sex", "age_band"]

    def triples(rows):
        table = intersections(coded_corpus(rows, names), names, order=3).to_pylist()
        return [(row["lift"], row["low"], row["high"]) for row in table if row["order"] == 3]

    assert triples(photographs + x_rays) == triples(photographs) and len(triples(photographs)) == 8


def test_the_source_of_a_value_that_cannot_be_is_not_missing(connected):
    table = provenance(connected(ROWS), ["skin_type"]).to_pylist()
    whole = {row["source"]: row["share"] for row in table if row["dataset"] == "__all__"}
    assert whole == {"metadata": 0.25, MISSING: 0.25, NOT_APPLICABLE: 0.5}


def test_a_setting_is_known_among_the_modalities_that_have_it(connected):
    rows = (
        people(30, modality="x_ray", protocol={"kVp": "120"})
        + people(10, 100, modality="x_ray")
        + people(50, 200, modality="ultrasound")
    )
    (line,) = protocol(connected(rows))[0]["protocol"].to_pylist()
    assert (line["num_rows"], line["num_applicable"], line["num_persons"]) == (30, 40, 30)
    (hidden,) = protocol(connected(rows), guard=Guard(datasets=frozenset({"a"}), below=11))[0]["protocol"].to_pylist()
    assert hidden["suppressed"] and hidden["num_applicable"] is None  # 10 persons without it would be told


def test_few_persons_whom_it_does_not_apply_to_are_hidden_with_the_share(coded_corpus):
    coded = coded_corpus(ROWS[60:100] + people(5, modality="x_ray"), ["skin_type"])
    counts = suppress(
        count_levels(coded, ["skin_type"], num_resamples=100), coded, below=11, identifiable={"a"},
    )  # fmt: skip
    assert all(row["suppressed"] for row in missingness(coded, counts).to_pylist())


def test_weights_leave_it_where_it_is(connected):
    rows = [row | {"split": "train", "task": "classification", "image_status": "present", "labels": ["x"],
                   "image_uris": ["a.png"]} for row in ROWS]  # fmt: skip
    cells = collapse(connected(rows), ["skin_type"])
    assert cells.levels["skin_type"] == ["1", "2", MISSING, NOT_APPLICABLE]
    present = cells.margin("skin_type", cells.ones)
    goal = goal_of("skin_type", Target(toward="uniform"), cells.levels["skin_type"], present)
    assert goal is not None and goal.shares.tolist() == [0.5, 0.5, 0, 0]
    assert goal.removed == ["3", "4", "5", "6"]


@given(
    st.sampled_from(sorted(ATTRIBUTE_APPLIES)), st.sampled_from([*Modality]), st.sampled_from([*Task]),
    st.booleans(),
)  # fmt: skip
def test_rows_in_memory_and_rows_in_sql_agree(attribute, modality, task, has_value):
    value = (3 if attribute == "skin_type" else "word") if has_value else None
    row = {attribute: value, "modality": str(modality), "task": str(task)}
    (in_memory,) = level_column({name: [one] for name, one in row.items()}, attribute)
    selected = ", ".join(f"{'NULL' if one is None else repr(one)} AS {name}" for name, one in row.items())
    ((in_sql,),) = duckdb.sql(f"SELECT {level_sql(attribute)} FROM (SELECT {selected})").fetchall()
    assert in_memory == in_sql
