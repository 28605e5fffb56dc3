import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.census.intervals import Strata, effective_persons, effective_rows, rows_worth, sizes_of, wilson


@given(st.floats(0, 1), st.floats(0.5, 10_000))
def test_wilson_holds_the_share_and_stays_in_range(share, num_effective):
    low, high = wilson(share, num_effective)
    assert 0 <= low <= share <= high <= 1


def test_nothing_counted_is_no_knowledge():
    assert wilson(0.0, 0) == (0.0, 1.0)


def test_one_person_with_half_the_rows_leaves_few_witnesses():
    assert effective_persons(np.array([1] * 100)) == pytest.approx(100)
    assert effective_persons(np.array([100] + [1] * 100)) == pytest.approx(200**2 / (100**2 + 100))


def test_pooled_draws_have_the_moments_of_persons_drawn_one_by_one():
    generator = np.random.default_rng(3)
    sizes = generator.integers(1, 6, 300)
    hits = np.where(generator.random(300) < 0.4, generator.integers(0, sizes + 1), 0)
    has = hits > 0
    strata = Strata.of(hits[has], sizes[has], *sizes_of(sizes))
    hit_B, size_B = strata.draw(20_000, generator)
    assert size_B.mean() == pytest.approx(sizes.sum(), rel=0.01)
    assert hit_B.mean() == pytest.approx(hits.sum(), rel=0.01)
    # Poisson(1) weights: variance of a weighted sum is the sum of squares, covariance the sum of products.
    assert hit_B.var() == pytest.approx((hits**2).sum(), rel=0.05)
    assert np.cov(hit_B, size_B)[0, 1] == pytest.approx((hits * sizes).sum(), rel=0.05)


def test_a_share_of_all_rows_falls_back_on_persons():
    assert effective_rows(np.array([5.0, 7.0]), np.array([5.0, 7.0]), 1.0, num_rows=12, fallback=42.0) == 42.0


def test_sums_that_do_not_cancel_are_no_information():
    """1 of 3 rows of everybody: drawn shares differ by rounding alone."""
    size_B = np.array([300.0, 297.0, 306.0])
    share_B = size_B * np.array([1 / 3, 1 / 3 + 1e-16, 1 / 3 - 1e-16])
    assert effective_rows(share_B, size_B, 1 / 3, num_rows=300, fallback=100.0) == 100.0
    # A variance of 1e-6 would be worth 222,222 rows; there are 300.
    assert effective_rows(share_B + size_B * np.array([0, 1e-3, -1e-3]), size_B, 1 / 3, num_rows=300, fallback=1) == 300


def test_rows_worth_by_hand():
    """One person of 8 rows has the level, 12 of one row do not: p = .4, sum (h - p n)^2 = 4.8^2 + 12 * .4^2."""
    everybody = {"num_rows": 20, "num_effective": effective_persons(np.array([8] + [1] * 12)), "num_levels": 1}
    (worth,) = rows_worth(np.array([0]), np.array([8]), np.array([8]), **everybody)
    assert worth == pytest.approx(0.24 * 400 / (4.8**2 + 12 * 0.16))
    everybody = {"num_rows": 300, "num_effective": 100, "num_levels": 1}
    assert np.isinf(rows_worth(np.zeros(100, int), np.ones(100, int), np.full(100, 3), **everybody)[0])
