"""The optimizer of an estimator, which `partial_fit` goes on with."""

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastmlp.backends import make_trainer
from fastmlp.problem import Optimizer, Problem, State, Trainer


class Learner:
    """An optimizer's settings, its learning rate, and what it has learned so far.

    Parameters
    ----------
    settings : Optimizer
    learned : State, optional
        From which to go on, but for its parameters.
    """

    def __init__(self, settings: Optimizer, learned: State | None = None) -> None:
        self.settings = settings
        self.learning_rate = settings.lr
        self.mask_seed: int | None = None
        """What fixes the dropped units, once some were."""
        self._learned = learned
        self._trainer: Trainer | None = None
        self._terms: tuple[Any, ...] = ()
        self._params: NDArray[Any] | None = None

    def resume(self, problem: Problem, params: NDArray[Any], backend: str) -> Trainer:
        """Return a trainer of a problem that goes on from these parameters: the last one, if it can."""
        terms = _terms(problem, backend)
        trainer = self._trainer
        if trainer is None or self._terms != terms or not trainer.exchange(problem):
            learned = self.learned
            trainer = make_trainer(problem, params, backend)
            if learned is not None:
                trainer.state = learned._replace(params=params)
            self._trainer, self._terms = trainer, terms
        elif self._params is None or np.any(params != self._params):
            trainer.state = trainer.state._replace(params=params)
        self._params = None
        return trainer

    def came_to(self, params: NDArray[Any], learning_rate: float) -> None:
        """Go on with a learning rate; these are the trainer's parameters."""
        self._params, self.learning_rate = params.copy(), learning_rate

    def release(self, learning_rate: float) -> None:
        """Go on with a learning rate and what the trainer has learned, without it, as it holds the training data."""
        self.learning_rate = learning_rate
        self._learned, self._trainer = self.learned, None

    @property
    def learned(self) -> State | None:
        """What was learned; None before the first training."""
        return self._learned if self._trainer is None else self._trainer.state

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the trainer, which is made anew where the training goes on."""
        return self.__dict__ | {"_learned": self.learned, "_trainer": None, "_terms": (), "_params": None}


def _terms(problem: Problem, backend: str) -> tuple[Any, ...]:
    """What a trainer can't exchange, of another process least of all."""
    same = problem.architecture, problem.optimizer, problem.dtype, problem.num_threads
    return *same, problem.dropout, problem.mask_seed, backend, os.getpid()
