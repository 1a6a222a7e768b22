"""The loss of all samples and its gradient as a function of the parameters."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from fastmlp.descent import batch_decays
from fastmlp.engine.arena import Array
from fastmlp.engine.runner import Runner
from fastmlp.engine.tables import Rate
from fastmlp.problem import Optimizer, Problem
from fastmlp.reference.backpropagation import row_shares

ROWS_AT_ONCE = 512


class Objective(Runner):
    """The (weighted) mean loss of a problem's samples and its gradient; called with a flat vector, it returns both.

    Gradients add up over batches, in which no step is taken.

    Parameters
    ----------
    problem : Problem
        Its penalty is included, divided by the weight of all samples if the problem is penalized. Its optimizer and
        batch size do not matter.
    before_compiling : callable, optional
        Called without arguments when stages have to be compiled first.
    """

    def __init__(self, problem: Problem, before_compiling: Callable[[], object] | None = None) -> None:
        n, weights = problem.X.shape[0], problem.sample_weight
        (decay,) = batch_decays(problem, np.array([n if weights is None else np.sum(weights)]))
        optimizer = Optimizer("add_gradient", 0.0, weight_decay=decay)
        super().__init__(
            replace(problem, optimizer=optimizer, batch_size=ROWS_AT_ONCE, is_penalized=True), before_compiling
        )
        batches = len(self._divide(n)[0])
        self._order = np.arange(n)
        self._share = row_shares(n, weights)
        self._rates = np.zeros((batches, len(Rate._fields)))
        self._rates[0] = Rate(0.0, decay, *[0.0] * (len(Rate._fields) - 2))  # the penalty counts once

    def __call__(self, params: Array) -> tuple[float, Array]:
        self._workspace.load(params, (np.zeros_like(params),))
        loss = self._run(self._order, self._share, self._rates)
        (gradient,) = self._workspace.arrays
        return float(np.sum(loss)) * self._unit**2, gradient
