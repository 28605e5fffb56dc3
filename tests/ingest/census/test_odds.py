import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.census.odds import (
    Ratio,
    _expected,
    homogeneity_p,
    is_explained,
    is_reversed,
    mantel_haenszel,
    num_contrasts,
    odds_ratio,
    z_of_chosen,
)

TWO_ALIKE = np.array([[[20.0, 10.0], [10.0, 20.0]], [[40.0, 20.0], [20.0, 40.0]]])


def test_odds_ratio_by_hand():
    found = odds_ratio(TWO_ALIKE[0])
    assert found.estimate == 4
    assert found.low == pytest.approx(4 / np.exp(1.959964 * (2 / 20 + 2 / 10) ** 0.5), rel=1e-6)


def test_strata_that_agree_give_their_common_ratio():
    found = mantel_haenszel(TWO_ALIKE)
    assert found.estimate == pytest.approx(4)
    assert found.excludes_one
    assert homogeneity_p(TWO_ALIKE, found.estimate) == pytest.approx(1)


def test_strata_that_disagree_are_told():
    opposite = np.array([[[40.0, 10.0], [10.0, 40.0]], [[10.0, 40.0], [40.0, 10.0]]])
    assert homogeneity_p(opposite, mantel_haenszel(opposite).estimate) < 1e-6
    assert homogeneity_p(TWO_ALIKE[:1], 4.0) is None


def test_one_stratum_is_the_plain_ratio_with_the_plain_variance():
    plain, adjusted = odds_ratio(TWO_ALIKE[0]), mantel_haenszel(TWO_ALIKE[:1])
    assert (adjusted.estimate, adjusted.low) == (pytest.approx(plain.estimate), pytest.approx(plain.low))


def test_an_empty_margin_has_no_ratio():
    assert np.isnan(odds_ratio(np.array([[0.0, 0.0], [3.0, 4.0]])).estimate)
    assert np.isnan(mantel_haenszel(np.zeros((1, 2, 2))).estimate)


def test_explained_and_reversed():
    marginal = Ratio(3.0, 2.0, 4.5)
    assert is_explained(marginal, Ratio(1.1, 0.8, 1.5))
    assert not is_explained(marginal, Ratio(2.5, 0.9, 6.9))  # still there, only less sure
    assert not is_explained(Ratio(1.1, 0.9, 1.3), Ratio(1.0, 0.8, 1.2))
    assert is_reversed(marginal, Ratio(0.4, 0.3, 0.6))
    assert not is_reversed(marginal, Ratio(0.9, 0.6, 1.4))


@given(*[st.floats(1, 100)] * 3, st.floats(0.05, 20))
def test_the_expected_cell_has_the_odds_ratio(first, second, column, ratio):
    column = min(column, (first + second) * 0.9)
    a = float(_expected(np.array(first), np.array(second), np.array(column), ratio))
    b, c = first - a, column - a
    d = second - c
    assert min(a, b, c, d) >= -1e-6
    assert a * d == pytest.approx(ratio * b * c, rel=1e-3, abs=1e-4)


def test_the_interval_of_the_most_extreme_cell_holds_for_all_it_was_chosen_from():
    assert (num_contrasts(2, 2), num_contrasts(2, 8), num_contrasts(5, 6)) == (1, 8, 30)
    assert z_of_chosen(1) == pytest.approx(1.96, abs=1e-3) and z_of_chosen(5) == pytest.approx(2.576, abs=1e-3)
    generator, misses = np.random.default_rng(1), 0
    for _ in range(200):
        table = generator.multinomial(3000, np.full(30, 1 / 30)).reshape(5, 6).astype(float)
        ratios = [
            odds_ratio(np.array([[table[r, c], table[r].sum() - table[r, c]],
                                 [table[:, c].sum() - table[r, c],
                                  table.sum() - table[r].sum() - table[:, c].sum() + table[r, c]]]), z_of_chosen(30))
            for r in range(5) for c in range(6)
        ]  # fmt: skip
        misses += any(ratio.excludes_one for ratio in ratios)
    assert misses <= 20
