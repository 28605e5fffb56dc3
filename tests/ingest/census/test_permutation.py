import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.census.pairs import Pair, Variable
from ingest.census.permutation import _normal, _permuted, _shuffled, benjamini_hochberg, permutation_p, phi2


def test_benjamini_hochberg_by_hand():
    # p(i) n / i = .04, .04, .04, .04 x 5 / 5 .. 0.5
    assert benjamini_hochberg(np.array([0.01, 0.5, 0.02, 0.03])) == pytest.approx([0.04, 0.5, 0.04, 0.04])
    assert len(benjamini_hochberg(np.zeros(0))) == 0


@given(st.lists(st.floats(0.0001, 1), min_size=1, max_size=40))
def test_q_is_never_below_p_and_keeps_the_order(p_values):
    p = np.array(p_values)
    q = benjamini_hochberg(p)
    assert np.all(q >= p - 1e-12) and np.all(q <= 1)
    assert np.all(np.diff(q[np.argsort(p, kind="stable")]) >= -1e-12)


def test_two_of_four_women_among_two_sick_of_four_by_hand():
    # Of the C(4, 2) = 6 deals one makes both women sick and one neither (phi2 = 1), four split them (phi2 = 0).
    a = np.eye(2)[[0, 0, 1, 1]]
    drawn = _permuted(a, a, 6000, np.random.default_rng(3))
    assert set(np.round(drawn, 9)) == {0.0, 1.0}
    assert drawn.mean() == pytest.approx(1 / 3, abs=0.03)


@settings(max_examples=5)
@given(st.integers(0, 1000))
def test_dealing_kinds_has_the_quantiles_of_shuffling_persons(seed):
    generator = np.random.default_rng(seed)
    a = np.eye(3)[generator.integers(0, 3, 60)] * generator.integers(1, 3, 60)[:, None]
    y = generator.integers(0, 3, (60, 2)) + np.array([1.0, 0.0])
    dealt, shuffled = _permuted(a, y, 3000, generator), _shuffled(a, y, 3000, generator)
    for level in (0.5, 0.9, 0.95):
        assert np.quantile(dealt, level) == pytest.approx(np.quantile(shuffled, level), rel=0.15)


@settings(max_examples=5)
@given(st.integers(0, 1000))
def test_the_normal_law_has_the_quantiles_of_permuted_persons(seed):
    generator = np.random.default_rng(seed)
    a = np.eye(3)[generator.integers(0, 3, 400)]
    y = np.stack([generator.integers(0, 4, 400), generator.integers(1, 3, 400)], axis=1).astype(float)
    exact, normal = _permuted(a, y, 2000, generator), _normal(a, y, 2000, generator)
    for level in (0.5, 0.9, 0.95):
        assert np.quantile(exact, level) == pytest.approx(np.quantile(normal, level), rel=0.2)


def test_phi2_of_a_table_and_of_its_stack():
    table = np.array([[10.0, 0.0], [0.0, 10.0]])
    assert phi2(table) == pytest.approx(1)
    assert phi2(np.stack([table, np.full((2, 2), 5.0)])) == pytest.approx([1, 0])


def pair_of(a, b, persons):
    """A pair of coded columns whose rows stand person after person."""
    a, b = np.asarray(a), np.asarray(b)
    variables = [
        Variable(name, [str(n) for n in range(codes.max() + 1)], codes) for name, codes in (("a", a), ("b", b))
    ]
    return Pair(*variables, np.arange(len(a)), a, b, np.asarray(persons))


def p_of(pair, seed=0):
    return permutation_p(pair, np.random.default_rng(seed))


def people(sick_women, women, sick_men, men, rows_of_women=1, rows_of_men=1):
    """So many women and men with their rows each; the sick ones have the label on every row."""
    sex = np.repeat([0, 1], [women, men])
    sick = np.concatenate([np.arange(women) < sick_women, np.arange(men) < sick_men]).astype(int)
    rows = np.repeat([rows_of_women, rows_of_men], [women, men])
    return pair_of(np.repeat(sex, rows), np.repeat(sick, rows), np.repeat(np.arange(women + men), rows))


def test_how_many_pictures_a_person_has_is_no_evidence():
    # 60 of 200 women and 100 of 200 men: Fisher's p is 7e-5, however many pictures the men have.
    assert p_of(people(60, 200, 100, 200)) < 1e-3
    assert p_of(people(60, 200, 100, 200, rows_of_men=20)) < 1e-3
    assert p_of(people(80, 200, 80, 200, rows_of_men=20)) > 0.9
    assert p_of(people(1, 1, 0, 50, rows_of_women=50)) == pytest.approx(1 / 51, abs=0.01)  # one of 51 is sick


@pytest.mark.parametrize("persons", [60, 700, 2500])
def test_persons_who_are_all_alike_are_no_evidence(persons):
    modality, vendor = np.repeat([0, 1, 2], 2), np.tile([0, 1], 3)  # everybody once by each machine
    rows = pair_of(np.tile(modality, persons), np.tile(vendor, persons), np.repeat(np.arange(persons), 6))
    assert p_of(rows) == 1


@pytest.mark.parametrize(("women", "sick", "both"), [(100, 5, 1), (50, 10, 1), (2500, 4, 4)])
def test_rare_cells_have_fishers_p_among_thousands_too(women, sick, both):
    rare = people(both, women, sick - both, 5000 - women)
    fisher = scipy.stats.fisher_exact([[both, women - both], [sick - both, 5000 - women - sick + both]]).pvalue
    assert p_of(rare) == pytest.approx(fisher, rel=0.25)
