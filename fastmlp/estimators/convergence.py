"""scikit-learn's rules of convergence, as a callback of a training: what it records, and when it ends."""

import math
from typing import Any

from fastmlp.estimators.judgement import Judge
from fastmlp.history import History
from fastmlp.network import MLP
from fastmlp.steering import Training

SMALLEST_LR = 1e-6
"""The "adaptive" learning rate is lowered until it is at most this."""
NOT_FINITE = (
    "Solver produced non-finite parameter weights. The input data may contain large values and need to be preprocessed."
)


def begin_record(estimator: Any, is_new: bool, *, is_scored: bool = False, has_others: bool = False) -> None:
    """Let an estimator's record begin, or with old weights go on; whatever is missing begins."""
    record = {
        "loss_curve_": [],
        "_no_improvement_count": 0,
        "best_loss_": None if estimator.early_stopping else math.inf,
        "validation_scores_": [] if is_scored else None,
        "best_validation_score_": -math.inf if is_scored else None,
    }
    if has_others:
        record["validation_loss_curve_"] = []
    for name, start in record.items():
        if is_new or getattr(estimator, name, None) is None:
            setattr(estimator, name, start)


class Convergence:
    """Writes down an epoch in an estimator's fitted attributes, and ends the training when there is no improvement.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
    n : int
        The samples of an epoch.
    judge : Judge, optional
        Of the samples that are held out.
    records_loss : bool
        Whether to write down the loss of these, too.

    Attributes
    ----------
    stopped : bool
        Whether it has ended the training.
    """

    def __init__(self, estimator: Any, n: int, judge: Judge | None = None, records_loss: bool = False) -> None:
        self.stopped = False
        self._estimator = estimator
        self._n = n
        self._judge = judge
        self._records_loss = records_loss
        self._watches_score = judge is not None and estimator.early_stopping

    def begin(self, training: Training) -> None:
        """Begin to count the epochs of a training."""
        self._training = training
        self._estimator.n_iter_ = 0

    def __call__(self, model: MLP, history: History) -> bool:
        return self.record(history.loss[-1], model)

    def record(self, loss: float, model: MLP | None = None) -> bool:
        """Write down an epoch, judge its network if there is a judge, and return whether the training ends."""
        estimator, training = self._estimator, self._training
        estimator.n_iter_ += 1
        estimator.loss_ = loss
        estimator.t_ += self._n
        estimator.loss_curve_.append(loss)
        if estimator.verbose:
            print(f"Iteration {estimator.n_iter_}, loss = {loss:.8f}")
        improves_score = model is not None and self._judge is not None and self._improves_score(model, self._judge)
        improves = improves_score if self._watches_score else self._improves_loss(loss)
        estimator._no_improvement_count = 0 if improves else estimator._no_improvement_count + 1
        if estimator.solver == "sgd" and estimator.learning_rate == "invscaling":
            training.lr = estimator._optimizer.settings.lr / (estimator.t_ + 1) ** estimator.power_t
        if estimator._no_improvement_count > estimator.n_iter_no_change:
            self.stopped = self._stops()
            if not self.stopped:
                estimator._no_improvement_count = 0
        return self.stopped

    def _improves_loss(self, loss: float) -> bool:
        estimator = self._estimator
        best = estimator.best_loss_
        estimator.best_loss_ = min(loss, best)
        return not loss > best - estimator.tol

    def _improves_score(self, model: MLP, judge: Judge) -> bool:
        """Judge a network; keep the best if that is wanted."""
        estimator = self._estimator
        loss, score = judge(model.params)
        if self._records_loss:
            estimator.validation_loss_curve_.append(loss)
        estimator.validation_scores_.append(score)
        if estimator.verbose:
            print(f"Validation score: {score:f}")
        best = estimator.best_validation_score_
        if score > best:
            estimator.best_validation_score_ = score
            if self._watches_score:
                self._training.keep(model)
        return not score < best + estimator.tol

    def _stops(self) -> bool:
        """Lower the learning rate if that may be, else end the training, and say so."""
        estimator, training = self._estimator, self._training
        what = "Validation score" if self._watches_score else "Training loss"
        told = (
            f"{what} did not improve more than tol={estimator.tol:f} for {estimator.n_iter_no_change} consecutive "
            "epochs."
        )
        is_adaptive = estimator.solver == "sgd" and estimator.learning_rate == "adaptive"
        stops = not is_adaptive or training.lr <= SMALLEST_LR
        if not stops:
            training.lr /= 5
            told += f" Setting learning rate to {training.lr:f}"
        else:
            told += " Learning rate too small. Stopping." if is_adaptive else " Stopping."
        if estimator.verbose:
            print(told)
        return stops
