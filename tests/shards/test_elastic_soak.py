"""Real loaders and worker processes, stopped and gone on with in many ways. Minutes: `make soak`."""

import pytest


@pytest.mark.soak
@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_two_hundred_stops_lose_and_repeat_nothing(tmp_path):
    from benchmarks._elastic import run_cases

    results = run_cases(tmp_path, 200)
    assert results["draws_exactly_once_in_order_with_their_chance"] == results["cases"] >= 190
    assert results["kept_global_batch_equal"] == results["kept_global_batch_cases"]
