"""Does the census find what was planted? Eight corpora here, two hundred in the soak."""

import pytest

from benchmarks._census_coverage import study


def test_planted_shares_and_the_planted_association_are_found():
    found = study(8)
    assert found["coverage"] >= 0.88  # of 88 intervals
    assert found["planted_flagged"] == 1
    assert found["false_flags"] <= 0.05


@pytest.mark.soak
def test_intervals_cover_and_flags_are_true_over_200_corpora():
    found = study(200)
    assert 0.92 <= found["coverage"] <= 0.98
    assert all(0.92 <= one <= 0.99 for one in found["coverage_by_level"].values())
    assert found["planted_flagged"] >= 0.98
    assert found["false_flags"] <= 0.05 and found["false_discoveries"] <= 0.05
