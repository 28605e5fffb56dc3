"""The weights problem as an interior point method solves it: what our own solver is held against."""

import clarabel
import numpy as np
import pytest
import scipy.sparse


def least_value(counts, design, targets, lower, upper, mu, objective):
    """The least value of the weights problem by an interior point method over cones (Clarabel).

    Variables: ratios, scaled residuals z of every margin and the total (A (n r) - sqrt(mu) z = t), and for "kl"
    epigraphs e_c of r ln r, as (-e, r, 1) in the exponential cone.
    """
    num_cells, full = len(counts), np.vstack([design, np.ones(len(counts))])
    softness = np.append(np.full(len(targets), mu), 1e-9)
    num_e = num_cells if objective == "kl" else 0
    size = num_cells + len(softness) + num_e
    quadratic, linear = np.zeros(size), np.zeros(size)
    quadratic[num_cells : num_cells + len(softness)] = 1.0
    if objective == "kl":
        linear[:num_cells], linear[num_cells + len(softness) :] = -counts, counts
    else:
        quadratic[:num_cells], linear[:num_cells] = counts, -counts
    equal = np.zeros((len(softness), size))
    equal[:, :num_cells], equal[:, num_cells : num_cells + len(softness)] = full * counts, -np.diag(softness**0.5)
    ratio = np.eye(num_cells, size)
    rows, rhs = [equal, ratio, -ratio], [np.append(targets, 1.0), np.full(num_cells, upper), np.full(num_cells, -lower)]
    cones = [clarabel.ZeroConeT(len(softness)), clarabel.NonnegativeConeT(2 * num_cells)]
    for cell in range(num_e):
        cone = np.zeros((3, size))
        cone[0, num_cells + len(softness) + cell], cone[1, cell] = 1.0, -1.0
        rows.append(cone)
        rhs.append(np.array([0.0, 0.0, 1.0]))
        cones.append(clarabel.ExponentialConeT())
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    problem = (scipy.sparse.csc_matrix(np.diag(quadratic)), linear, scipy.sparse.csc_matrix(np.vstack(rows)))
    solved = clarabel.DefaultSolver(*problem, np.concatenate(rhs), cones, settings).solve()
    return solved.obj_val + (1.0 if objective == "kl" else 0.5), str(solved.status)


@pytest.fixture(scope="session")
def clarabel_value():
    return least_value
