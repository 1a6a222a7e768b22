"""Training by L-BFGS: the loss of all samples at once, minimised by SciPy."""

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult, minimize
from sklearn.exceptions import ConvergenceWarning

from fastmlp.backends import make_objective
from fastmlp.estimators.convergence import NOT_FINITE
from fastmlp.problem import Optimizer, Samples

UNFINISHED = (1, 2)
"""SciPy's numbers of an end for want of iterations, and of a way down."""


def fit_at_once(estimator: Any, samples: Samples, after_iteration: Callable[[NDArray[Any]], bool]) -> None:
    """Minimise from an estimator's weights on; all arithmetic is in float64.

    `after_iteration` is called with the flat vector, and ends the training if it returns True.
    """
    objective = _make_objective(estimator, samples)
    iterations = 0

    def callback(intermediate_result: OptimizeResult) -> None:
        nonlocal iterations
        iterations += 1
        if estimator.verbose:
            print(f"Iteration {iterations}, loss = {intermediate_result.fun:.8f}")
        if after_iteration(intermediate_result.x):
            raise StopIteration

    result = minimize(
        objective,
        estimator._params.astype(np.float64),
        method="L-BFGS-B",
        jac=True,
        options={"maxfun": estimator.max_fun, "maxiter": estimator.max_iter, "gtol": estimator.tol},
        callback=callback,
    )
    if not np.all(np.isfinite(result.x)):
        raise ValueError(NOT_FINITE)
    estimator._take(result.x.astype(estimator._dtype))
    estimator.n_iter_ = min(result.nit, estimator.max_iter)
    estimator.loss_ = float(result.fun)
    if result.status in UNFINISHED:
        advice = f" Increase max_iter={estimator.max_iter}." * (estimator.n_iter_ == estimator.max_iter)
        warnings.warn(
            f"lbfgs failed to converge after {estimator.n_iter_} iteration(s) (status={result.status}): "
            f"{result.message}.{advice} You might also want to scale the data.",
            ConvergenceWarning,
            stacklevel=4,
        )


def _make_objective(estimator: Any, samples: Samples) -> Callable[[NDArray[Any]], tuple[float, NDArray[Any]]]:
    """Return the function from a flat vector to loss and gradient.

    Half of the squared error is taken from the whole, whose gradient is that of its value for any number of outputs.
    """
    architecture, alpha = estimator._architecture, float(estimator.alpha)
    is_half = architecture.loss == "half_squared_error"
    if is_half:
        architecture, alpha = architecture._replace(loss="mean_squared_error"), 2 * alpha
    optimizer = Optimizer("sgd", 0.0, weight_decay=alpha)
    problem = estimator._pose(samples, optimizer, batch_size=samples.X.shape[0])
    problem = replace(problem, architecture=architecture, dtype=np.dtype(np.float64))
    objective = make_objective(problem, estimator.backend)

    def half(params: NDArray[Any]) -> tuple[float, NDArray[Any]]:
        value, gradient = objective(params)
        return value / 2, gradient / 2

    return half if is_half else objective
