import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from shards.design import Design
from shards.weights import solve


def one_hot(codes, num_levels):
    return (np.arange(num_levels)[:, None] == np.asarray(codes)[None, :]).astype(float)


@st.composite
def problems(draw, max_cells=30):
    """Shares, a design of one to three attributes, and targets between present shares and random ones."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    num_cells = draw(st.integers(2, max_cells))
    counts = rng.dirichlet(np.ones(num_cells))
    sizes = draw(st.lists(st.integers(2, 4), min_size=1, max_size=3))
    blocks = [one_hot(rng.integers(0, size, num_cells), size) for size in sizes]
    tau = draw(st.sampled_from([0.1, 0.4]))
    targets = np.concatenate([(1 - tau) * b @ counts + tau * rng.dirichlet(np.ones(len(b)) * 5) for b in blocks])
    return counts, np.vstack(blocks), targets


def test_two_equal_cells_are_moved_to_the_target_exactly():
    solution = solve([0.8, 0.2], [[1, 0], [0, 1]], [0.5, 0.5])
    assert solution.ratios == pytest.approx([0.625, 2.5], abs=1e-5)
    assert solution.feasible and solution.converged


def test_multipliers_explain_the_weights():
    solution = solve([0.8, 0.2], [[1, 0], [0, 1]], [0.5, 0.5])
    odds = np.log(solution.ratios[1] / solution.ratios[0])
    assert solution.multipliers[1] - solution.multipliers[0] == pytest.approx(odds, abs=1e-5)


@settings(max_examples=40)
@given(problems())
def test_without_bounds_it_equals_raking(problem):
    counts, design, targets = problem
    present = design @ counts
    targets = np.where(present > 0, targets, 0)
    solution = solve(counts, design, targets, lower=0.0, upper=np.inf)
    if not solution.feasible:
        return
    weights = counts.copy()
    for _ in range(3000):
        for row, target in zip(design > 0, targets, strict=True):
            total = weights[row].sum()
            if total > 0:
                weights[row] *= target / total
        if np.abs(design @ weights - targets).max() < 1e-10:
            break
    if np.abs(design @ weights - targets).max() < 1e-9:  # raking itself has met the margins
        assert counts * solution.ratios == pytest.approx(weights, abs=1e-5)


@settings(max_examples=40)
@given(
    problems(max_cells=8),
    st.sampled_from([(0.05, 20.0), (0.5, 1.5)]),
    st.sampled_from(["kl", "chi2"]),
    st.sampled_from([1e-1, 1e-3]),
)
def test_it_equals_a_general_convex_solver(clarabel_value, problem, bounds, objective, softness):
    counts, design, targets = problem
    solution = solve(counts, design, targets, lower=bounds[0], upper=bounds[1], softness=softness, objective=objective)
    value, status = clarabel_value(counts, design, targets, *bounds, softness, objective)
    if solution.softness == softness and status == "Solved":
        assert solution.primal == pytest.approx(value, abs=1e-6)


@settings(max_examples=40)
@given(problems(), st.integers(0, 2**32 - 1))
def test_permuting_and_splitting_cells_changes_nothing(problem, seed):
    counts, design, targets = problem
    plain = solve(counts, design, targets)
    order = np.random.default_rng(seed).permutation(len(counts))
    permuted = solve(counts[order], design[:, order], targets)
    assert permuted.ratios == pytest.approx(plain.ratios[order], abs=1e-5)
    split = solve(np.append(counts, counts[0] / 3) - np.eye(len(counts) + 1)[0] * counts[0] / 3,
                  np.hstack([design, design[:, :1]]), targets)  # fmt: skip
    assert split.ratios[:-1] == pytest.approx(plain.ratios, abs=1e-5)
    assert split.ratios[-1] == pytest.approx(split.ratios[0], abs=1e-9)


@settings(max_examples=60)
@given(problems(), st.sampled_from([(0.05, 20.0), (0.3, 3.0), (0.8, 1.2)]), st.sampled_from(["kl", "chi2"]))
def test_the_gap_closes_the_bounds_hold_and_the_total_stays(problem, bounds, objective):
    counts, design, targets = problem
    solution = solve(counts, design, targets, lower=bounds[0], upper=bounds[1], objective=objective)
    assert solution.converged
    assert solution.ratios.min() >= bounds[0] and solution.ratios.max() <= bounds[1]
    assert counts @ solution.ratios == pytest.approx(1, abs=1e-4)
    assert solution.residuals == pytest.approx(design @ (counts * solution.ratios) - targets, abs=1e-12)
    if solution.feasible:
        assert np.abs(solution.residuals).max() < 1e-5


@settings(max_examples=30)
@given(problems())
def test_wider_bounds_never_cost_more(problem):
    counts, design, targets = problem
    tight, wide = (solve(counts, design, targets, lower=1 / b, upper=b, softness=1e-3) for b in (1.5, 4.0))
    if tight.softness == wide.softness:
        assert wide.primal <= tight.primal + 1e-8


def test_an_unreachable_target_is_reported_and_the_rest_still_solved():
    solution = solve([0.9, 0.1], np.eye(2), [0.2, 0.8], upper=2.0)
    assert not solution.feasible
    assert solution.reachable[1] == pytest.approx([0.005, 0.2])
    assert solution.ratios.max() <= 2.0


def test_targets_that_contradict_each_other_are_reported():
    # Two attributes with the same levels cannot have different shares.
    design = np.vstack([np.eye(2), np.eye(2)])
    solution = solve([0.5, 0.5], design, [0.4, 0.6, 0.6, 0.4])
    assert not solution.feasible
    assert solution.residuals == pytest.approx([0.1, -0.1, -0.1, 0.1], abs=1e-3)


def test_several_labels_per_cell_and_sparse_designs_work():
    design = scipy.sparse.csr_array(np.array([[1, 1, 0], [0, 1, 1]]))
    solution = solve([0.5, 0.3, 0.2], design, [0.7, 0.6])
    assert design @ (np.array([0.5, 0.3, 0.2]) * solution.ratios) == pytest.approx([0.7, 0.6], abs=1e-5)


@settings(max_examples=30)
@given(problems(), st.sampled_from([1, 9, 100_000]))
def test_counted_and_sparse_products_agree(problem, largest_table):
    counts, levels, targets = problem
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("shards.design.LARGEST_TABLE", largest_table)
        fast = Design.of(levels)
        slow = Design(scipy.sparse.csr_array(np.vstack([levels, np.ones(len(counts))])), None, len(levels))
        margins = np.append(targets, 0.7)
        assert fast.codes is not None
        assert fast.times(counts) == pytest.approx(slow.times(counts))
        assert fast.transpose_times(margins) == pytest.approx(slow.transpose_times(margins))
        assert fast.gram(counts) == pytest.approx(slow.gram(counts))
        assert (fast.members(1) == slow.members(1)).all()


def test_cells_of_equally_many_labels_are_counted_right():
    # Two labels per cell, but the first label of one cell is the second of another.
    levels = np.array([[1, 1, 0], [1, 0, 1], [0, 1, 1]])
    fast = Design.of(levels)
    x = np.array([0.5, 0.3, 0.2])
    full = np.vstack([levels, np.ones(3)])
    assert fast.codes is not None
    assert fast.gram(x) == pytest.approx(full * x @ full.T)
    assert fast.times(x) == pytest.approx(full @ x)


@pytest.mark.parametrize(
    ("counts", "design", "targets", "bounds", "message"),
    [
        ([0.5, 0.5], np.eye(2), [1.0], {}, "targets"),
        ([0.5, 0.6], np.eye(2), [0.5, 0.5], {}, "summing to 1"),
        ([0.5, 0.5], np.eye(2), [0.5, np.nan], {}, "finite"),
        ([0.5, 0.5], np.eye(2), [0.5, 0.5], {"lower": 1.5, "upper": 2}, "bounds"),
        ([0.5, 0.5], np.eye(2), [0.5, 0.5], {"objective": "l1"}, "objective"),
        ([0.5, 0.5], np.ones((2, 3)), [0.5, 0.5], {}, "counts"),
    ],
)
def test_what_does_not_fit_together_is_refused(counts, design, targets, bounds, message):
    with pytest.raises(ValueError, match=message):
        solve(counts, design, targets, **bounds)
