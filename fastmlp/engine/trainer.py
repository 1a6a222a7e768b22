"""The trainer that runs epochs as one compiled call on each thread."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastmlp.engine.arena import Array
from fastmlp.engine.plan import arrays_of
from fastmlp.engine.runner import Runner
from fastmlp.engine.tables import Rate
from fastmlp.problem import Problem, State
from fastmlp.reference.backpropagation import row_shares


class Engine(Runner):
    """A trainer on the compiled kernels.

    Parameters
    ----------
    problem : Problem
    params : (size,) array
        Where to start; copied.
    before_compiling : callable, optional
        Called without arguments when stages have to be compiled first.
    """

    def __init__(self, problem: Problem, params: Array, before_compiling: Callable[[], object] | None = None) -> None:
        super().__init__(problem, before_compiling)
        average = [] if problem.optimizer.ema_decay is None else [params]
        arrays = [np.zeros_like(params) for _ in range(arrays_of(self._plan.optimizer) - len(average))]
        self._workspace.load(params, (*arrays, *average))
        self._steps = 0
        self.lr = problem.optimizer.lr

    @property
    def result(self) -> Array:
        """A copy of the running average, or of the parameters without one."""
        return self.params if self._problem.optimizer.ema_decay is None else self._workspace.array(-1)

    @property
    def state(self) -> State:
        """A copy of all that was learned."""
        arrays = self._workspace.arrays
        if self._problem.optimizer.ema_decay is None:
            return State(self.params, arrays, self._steps)
        return State(self.params, arrays[:-1], self._steps, arrays[-1])

    @state.setter
    def state(self, state: State) -> None:
        self._workspace.load(state.params, (*state.arrays, *([] if state.average is None else [state.average])))
        self._steps = state.steps

    @property
    def steps(self) -> int:
        """The number of batches so far."""
        return self._steps

    def run_epoch(self, order: NDArray[np.int64]) -> float:
        """Train on the rows in this order; return the weighted mean of the batches' losses."""
        problem, order = self._problem, np.ascontiguousarray(order, np.int64)
        starts, counts = self._divide(len(order))
        if problem.sample_weight is None:
            sums: NDArray[Any] = counts
            share = 1 / np.repeat(counts, counts)
        else:
            ordered = problem.sample_weight[order]
            sums = np.add.reduceat(ordered, starts)
            share = ordered / np.repeat(np.where(sums == 0, 1, sums), counts)
        self._workspace.set(steps=self._steps)
        loss = self._run(order, share, self._rates(problem.decays(sums)))
        self._steps += len(counts)
        weights = np.asarray(counts if problem.is_penalized else sums, np.float64)
        return float(row_shares(len(counts), weights) @ loss) * self._unit**2

    def _rates(self, decays: NDArray[np.float64]) -> Array:
        """Return the `Rate` of each batch (batches, numbers), whose decays these are."""
        _, _, momentum, _, beta1, beta2, epsilon, epsilon_hat, clip_norm, schedule, ema_decay = self._problem.optimizer
        steps = self._steps + np.arange(1, len(decays) + 1)
        lr = self.lr * np.array([schedule(step) for step in (steps - 1).tolist()])
        correct1, correct2 = lr / (1 - beta1**steps), 1 / (1 - beta2**steps)
        epsilons = epsilon * np.sqrt(correct2) if epsilon_hat else epsilon
        columns = (
            lr, decays, momentum, beta1, 1 - beta1, beta2, 1 - beta2, epsilons, correct1, correct2,
            1 - (ema_decay or 0.0), clip_norm or 0.0, self._problem.label_smoothing,
        )  # fmt: skip
        rates = np.empty((len(decays), len(Rate._fields)))
        for i, column in enumerate(columns):
            rates[:, i] = column
        return rates
