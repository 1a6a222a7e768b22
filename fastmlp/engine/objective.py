"""The loss of all samples and its gradient as a function of the parameters."""

from dataclasses import replace

import numpy as np

from fastmlp.engine.arena import Array
from fastmlp.engine.runner import DECAY, Runner
from fastmlp.engine.tables import Rate
from fastmlp.problem import Optimizer, Problem
from fastmlp.reference.backpropagation import row_shares

ROWS_AT_ONCE = 512


class Objective(Runner):
    """The (weighted) mean loss of a problem's samples and its gradient; called with a flat vector, it returns both.

    No unit is dropped. Gradients add up over batches, in which no step is taken.

    Parameters
    ----------
    problem : Problem
        Its penalty is included, divided by the weight of all samples if the problem is penalized. Its optimizer and
        batch size do not matter.
    """

    def __init__(self, problem: Problem) -> None:
        decay = float(problem.decays(problem.total_weight))
        optimizer = Optimizer("add_gradient", 0.0, weight_decay=decay)
        super().__init__(replace(problem, optimizer=optimizer, batch_size=ROWS_AT_ONCE, is_penalized=True, dropout=()))
        n = problem.X.shape[0]
        starts, _ = self._divide(n)
        self._order = np.arange(n)
        self._share = row_shares(n, problem.sample_weight)
        self._rates = np.zeros((len(starts), len(Rate._fields)))
        self._rates[0, DECAY] = decay  # the penalty counts once

    def __call__(self, params: Array) -> tuple[float, Array]:
        self._workspace.load(params, (np.zeros_like(params),))
        loss = self._run(self._order, self._share, self._rates)
        (gradient,) = self._workspace.arrays
        return float(np.sum(loss)) * self._unit**2, gradient
