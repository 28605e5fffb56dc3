import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.census.intervals import Strata, effective_persons, effective_rows, sizes_of, wilson


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
    assert effective_rows(np.array([5.0, 7.0]), np.array([5.0, 7.0]), 1.0, 42.0) == 42.0
