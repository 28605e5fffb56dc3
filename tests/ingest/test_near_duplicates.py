import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.near_duplicates import nearest_within


def brute_force(wanted, others, radius_bits):
    answers = []
    for one in wanted.tolist():
        distances = [(one ^ other).bit_count() for other in others.tolist()]
        nearest = min(distances, default=65)
        answers.append((nearest, distances.index(nearest)) if nearest <= radius_bits else (-1, -1))
    return answers


def search(wanted, others, radius_bits):
    distances, positions = nearest_within(wanted, others, radius_bits)
    return list(zip(distances.tolist(), positions.tolist(), strict=True))


@given(st.integers(0, 2**32), st.integers(0, 40), st.integers(0, 40), st.integers(0, 7), st.integers(1, 8))
def test_it_finds_what_brute_force_finds(seed, num_wanted, num_others, radius_bits, num_centres):
    rng = np.random.default_rng(seed)
    centres = rng.integers(0, 2**64, num_centres, dtype=np.uint64)

    def cloud(number):  # hashes a few turned bits away from a few centres: near pairs at every distance
        hashes = rng.choice(centres, number)
        for bit in rng.integers(0, 64, (rng.integers(0, 6), number)).astype(np.uint64):
            hashes = hashes ^ (np.uint64(1) << bit)
        return hashes

    wanted, others = cloud(num_wanted), cloud(num_others)
    assert search(wanted, others, radius_bits) == brute_force(wanted, others, radius_bits)


def test_six_bits_are_near_and_seven_are_not():
    wanted = np.array([0, 0], np.uint64)
    assert search(wanted[:1], np.array([2**64 - 1, 0b111111 << 29], np.uint64), 6) == [(6, 1)]
    assert search(wanted[:1], np.array([0b1111111 << 29], np.uint64), 6) == [(-1, -1)]
    assert search(wanted, np.array([], np.uint64), 6) == [(-1, -1)] * 2


def test_a_radius_it_cannot_search_is_refused():
    with pytest.raises(ValueError, match="expected 0 to 7, got 8"):
        nearest_within(np.zeros(1, np.uint64), np.zeros(1, np.uint64), 8)
