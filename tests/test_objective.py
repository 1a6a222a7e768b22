"""The loss of all samples and its gradient: the compiled path against the reference, and that against differences."""

from dataclasses import replace

import numpy as np
import pytest
from support.engine_cases import TOLERANCE, Case, make_problem, step_ahead

from fastmlp.backends import make_objective
from fastmlp.engine import workspace

CASES = [
    Case("float64", "float64", "dense", "tanh", "log_loss", hidden=(70, 5), n=700, weighted=True),
    Case("float64", "float64", "sparse", "sigmoid", "binary_log_loss", hidden=(9,), d=400, n=600),
    Case("float64", "float64", "csr", "identity", "poisson", hidden=(), n=50, weighted=True),
    Case("float32", "uint8", "sparse", "tanh", "mean_squared_error", hidden=(130, 60), normalize="zscore", n=530),
    Case("float64", "float32", "dense", "silu", "huber", hidden=(4, 3), n=513),
]


def problem_of(case, decay, penalized):
    problem, params, _ = make_problem(case._replace(decay=decay))
    return replace(problem, is_penalized=penalized), params


@pytest.mark.parametrize("penalized", [False, True])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_compiled_one_is_the_references(case, penalized):
    problem, params = problem_of(case, 0.7, penalized)
    mine, wanted = make_objective(problem, "jit"), make_objective(problem, "reference")
    for _ in range(2):  # the second call starts from zero again
        for a, b in zip(mine(params), wanted(params), strict=True):
            np.testing.assert_allclose(a, b, rtol=TOLERANCE[case.dtype], atol=TOLERANCE[case.dtype])
        params = params * 1.5


def test_steps_ahead_add_up_the_same_gradient(monkeypatch):
    """To the bit; the penalty's squares are added in another order."""
    problem, params = problem_of(CASES[2]._replace(n=1200), 0.7, True)
    loss, gradient = make_objective(problem, "jit")(params)
    monkeypatch.setattr(workspace, "divide_calls", step_ahead)
    mine, again = make_objective(problem, "jit")(params)
    assert abs(mine - loss) < 1e-14 * loss
    np.testing.assert_array_equal(again, gradient)


@pytest.mark.parametrize("penalized", [False, True])
@pytest.mark.parametrize("case", [case for case in CASES if case.dtype == "float64"], ids=str)
def test_the_gradient_is_the_slope_of_the_loss(case, penalized):
    problem, params = problem_of(case, 0.7, penalized)
    objective = make_objective(problem, "reference")
    _, gradient = objective(params)
    direction = np.random.default_rng(0).standard_normal(params.size)
    h = 1e-6 / np.linalg.norm(direction)
    slope = (objective(params + h * direction)[0] - objective(params - h * direction)[0]) / (2 * h)
    assert abs(gradient @ direction - slope) < 1e-6 * abs(slope)


def test_bits_do_not_depend_on_threads():
    problem, params = problem_of(CASES[0], 0.7, True)
    results = [make_objective(replace(problem, num_threads=threads), "jit")(params) for threads in (1, 2, 3)]
    assert len({(loss, gradient.tobytes()) for loss, gradient in results}) == 1
