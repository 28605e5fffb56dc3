import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.census.permutation import _normal, _permuted, _shuffled, benjamini_hochberg, phi2


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


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 1000))
def test_dealing_kinds_has_the_quantiles_of_shuffling_persons(seed):
    generator = np.random.default_rng(seed)
    a = np.eye(3)[generator.integers(0, 3, 60)] * generator.integers(1, 3, 60)[:, None]
    y = generator.integers(0, 3, (60, 2)) + np.array([1.0, 0.0])
    dealt, shuffled = _permuted(a, y, 3000, generator), _shuffled(a, y, 3000, generator)
    for level in (0.5, 0.9, 0.95):
        assert np.quantile(dealt, level) == pytest.approx(np.quantile(shuffled, level), rel=0.15)


@settings(max_examples=5, deadline=None)
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
