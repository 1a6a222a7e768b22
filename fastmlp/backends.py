"""The backends, each imported only where it is asked for: what trains a problem, and what differentiates its loss."""

from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

from fastmlp.forks import held_off
from fastmlp.problem import Problem, Trainer

BACKENDS = ("jit", "reference")


def make_trainer(
    problem: Problem, params: NDArray[Any], backend: str, before_compiling: Callable[[], None] = lambda: None
) -> Trainer:
    """Return the trainer of a backend of BACKENDS that starts from a flat vector; tell before something is compiled."""
    if backend == "reference":
        from fastmlp import reference
        from fastmlp.descent import Descent

        return Descent(problem, params, reference)
    with held_off():
        from fastmlp.engine.trainer import Engine

    return Engine(problem, params, before_compiling)


def make_objective(problem: Problem, backend: str) -> Callable[[NDArray[Any]], tuple[float, NDArray[Any]]]:
    """Return the function from a flat vector to the mean loss of all samples and its flat gradient, on a backend.

    Both include the penalty λ/2 Σ w², divided by the weight of all samples if the problem is penalized.
    """
    if backend == "reference":
        from fastmlp import reference
        from fastmlp.descent import Objective as Reference

        return Reference(problem, reference)
    with held_off():
        from fastmlp.engine.objective import Objective

    return Objective(problem)
