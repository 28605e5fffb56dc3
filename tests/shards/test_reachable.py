"""How far one level can be moved, against a linear program."""

import numpy as np
import pytest
import scipy.optimize
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from shards.cells import Cells
from shards.margins import Limits, reachable_shares


def cells_of(shares):
    """One cell per level, as many as there are shares."""
    size = len(shares)
    return Cells(
        np.array(shares), {"dataset": ["a"], "sex": [str(n) for n in range(size)]},
        {"dataset": np.zeros(size, np.int64), "sex": np.arange(size)}, np.full(size, np.inf), num_rows=100,
        has_pictures=True,
    )  # fmt: skip


def test_a_frequent_level_cannot_fall_below_what_the_others_cannot_take_up():
    limits = Limits(lower=0.05, upper=2.0, min_effective_share=0.0)
    low, high = reachable_shares(cells_of([0.9, 0.1]), "sex", np.ones(2, bool), limits)
    assert low == pytest.approx([0.8, 0.005]) and high == pytest.approx([0.995, 0.2])


@settings(max_examples=100)
@given(
    st.lists(st.floats(0.01, 1), min_size=2, max_size=5), st.integers(1, 31),
    st.sampled_from([(0.05, 20.0), (0.05, 2.0), (0.5, 1.5), (0.9, 1.1)]),
)  # fmt: skip
def test_the_interval_is_what_a_linear_program_finds(raw, spoken, bounds):
    shares = np.array(raw) / np.sum(raw)
    speaks = np.array([bool(spoken >> n & 1) for n in range(len(shares))])
    assume(speaks.any())
    limits = Limits(lower=bounds[0], upper=bounds[1], min_effective_share=0.0)
    low, high = reachable_shares(cells_of(shares), "sex", speaks, limits)
    # Charnes and Cooper 1962: masses over the mass spoken of are y, and t one over it.
    lower, upper = shares * bounds[0], shares * bounds[1]
    size = len(shares)
    within = np.block([[np.eye(size), -upper[:, None]], [-np.eye(size), lower[:, None]]])
    equal = np.vstack([np.append(speaks.astype(float), 0.0), np.append(np.ones(size), -1.0)])
    for level in np.flatnonzero(speaks):
        for sign, found in ((1, low[level]), (-1, high[level])):
            goal = sign * np.eye(size + 1)[level]
            solved = scipy.optimize.linprog(goal, within, np.zeros(2 * size), equal, [1.0, 0.0])
            assert found == pytest.approx(sign * solved.fun, abs=1e-7)
