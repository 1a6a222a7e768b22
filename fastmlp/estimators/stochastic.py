"""Training by epochs, with SGD or Adam: a whole fit, or a few epochs more with the same optimizer."""

import math
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.random import RandomState
from sklearn.exceptions import ConvergenceWarning

from fastmlp.callbacks import Callback
from fastmlp.epochs import run_epochs
from fastmlp.estimators.convergence import NOT_FINITE, Convergence, begin_record
from fastmlp.estimators.judgement import Judge
from fastmlp.estimators.learner import Learner
from fastmlp.estimators.randomness import Shuffles, draw_mask_seed, split
from fastmlp.options import Options
from fastmlp.preparation import Preparation
from fastmlp.problem import Optimizer, Problem, Samples, Trainer
from fastmlp.steering import Training

AUTO_BATCH = 200


def fit_epochs(
    estimator: Any,
    samples: Samples,
    others: Samples | None,
    random_state: RandomState,
    hooks: Callback,
    is_new: bool,
) -> None:
    """Train until scikit-learn's rules or a callback end it.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
        With its initial weights.
    samples : Samples
    others : Samples or None
        The validation data.
    random_state : RandomState
    hooks : callable
        Called before the estimator's own callbacks.
    is_new : bool
        Whether the weights are new.
    """
    held = others
    if estimator.early_stopping and others is None:
        by_class = estimator.n_outputs_ == 1 and not estimator._coding.is_regression
        samples, held = split(samples, estimator.validation_fraction, by_class, random_state)
    begin_record(estimator, is_new, is_scored=held is not None, has_others=others is not None)
    estimator._optimizer = Learner(_optimizer(estimator))
    problem, trainer = _resume(estimator, samples, random_state)
    judge = None if held is None else Judge(estimator, held)
    convergence = Convergence(estimator, len(samples.codes), judge, others is not None)
    callbacks = [convergence, hooks, *estimator.callbacks]
    preparation = Preparation(
        problem,
        estimator._coding,
        trainer.params,
        Shuffles(len(samples.codes), random_state if estimator.shuffle else None),
        held if estimator.callbacks else None,
        getattr(estimator, "feature_names_in_", None),
        seed=0,  # the generator is the caller's
    )
    training = Training(estimator.max_iter, estimator._optimizer.learning_rate, preparation.monitors)
    for callback in callbacks:
        if hasattr(callback, "begin"):
            callback.begin(training)
    options = Options(num_epochs=estimator.max_iter, verbose=False)
    model = run_epochs(preparation, options, training, callbacks, trainer=trainer)
    nothing_kept = estimator.early_stopping and is_new and training.kept is None
    estimator._take((preparation.start if nothing_kept else model.params).copy(), problem.architecture.widths)
    if training.divergence is not None:
        _end_divergence(estimator)
    else:
        estimator._optimizer.release(training.lr)
        _warn_of_end(estimator, training.interrupted, convergence.stopped)


def go_on(estimator: Any, samples: Samples, num_epochs: int, random_state: RandomState | int, is_new: bool) -> None:
    """Train for some epochs, with the optimizer of the training before; `is_new` says whether the weights are new.

    What a fit has besides, callbacks above all, would take longer than an epoch of a few samples.
    """
    begin_record(estimator, is_new)
    if not hasattr(estimator, "_optimizer"):
        estimator._optimizer = Learner(_optimizer(estimator))
    learner = estimator._optimizer
    trainer = _resume(estimator, samples, random_state)[1]
    convergence = Convergence(estimator, len(samples.codes))
    training = Training(num_epochs, learner.learning_rate, ("loss",))
    convergence.begin(training)
    orders = Shuffles(len(samples.codes), random_state if estimator.shuffle else None)
    stops = False
    try:
        while not stops and estimator.n_iter_ < num_epochs:
            trainer.lr = training.lr
            loss, params = trainer.run_epoch(orders.next()), trainer.params
            if not (math.isfinite(loss) and np.all(np.isfinite(params))):
                _end_divergence(estimator)
            estimator._take(params)
            stops = convergence.record(loss)
            learner.came_to(params, training.lr)
    except KeyboardInterrupt:
        warnings.warn("Training interrupted by user.", stacklevel=4)


def _optimizer(estimator: Any) -> Optimizer:
    """Return the optimizer that an estimator's parameters describe."""
    lr = float(estimator.learning_rate_init)
    if estimator.solver == "adam":
        β1, β2 = estimator.beta_1, estimator.beta_2
        return Optimizer("adam", lr, beta1=β1, beta2=β2, epsilon=estimator.epsilon, epsilon_hat=True)
    if not estimator.momentum:
        return Optimizer("sgd", lr)
    return Optimizer("nesterov" if estimator.nesterovs_momentum else "momentum", lr, momentum=estimator.momentum)


def _resume(estimator: Any, samples: Samples, random_state: RandomState | int) -> tuple[Problem, Trainer]:
    """Return the problem of some samples, and a trainer that goes on from the estimator's weights."""
    learner = estimator._optimizer
    optimizer = learner.settings._replace(weight_decay=estimator.alpha)
    problem = estimator._pose(samples, optimizer, _batch_size(estimator.batch_size, samples.X.shape[0]))
    if problem.dropout:
        if learner.mask_seed is None:
            learner.mask_seed = draw_mask_seed(random_state, estimator.t_)
        problem = replace(problem, mask_seed=learner.mask_seed)
    trainer = learner.resume(problem, estimator._params, estimator.backend)
    estimator._use(problem.architecture, problem.dtype, trainer.predictor)
    return problem, trainer


def _batch_size(asked: int | str, n: int) -> int:
    if isinstance(asked, str):
        return min(AUTO_BATCH, n)
    if asked > n:
        warnings.warn(
            "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped", stacklevel=6
        )
    return int(np.clip(asked, 1, n))


def _end_divergence(estimator: Any) -> None:
    """Raise what is to be raised where weights are no numbers, or with early stopping write it down."""
    estimator._optimizer = Learner(estimator._optimizer.settings)
    if not estimator.early_stopping:
        raise ValueError(NOT_FINITE)
    estimator.n_iter_ += 1
    estimator.loss_ = math.nan
    estimator.loss_curve_.append(math.nan)
    estimator.validation_scores_.append(math.nan)
    warnings.warn(
        f"Stochastic Optimizer: the training diverged in epoch {estimator.n_iter_}; the weights of the best validation "
        "score are kept. A smaller learning_rate_init may help.",
        ConvergenceWarning,
        stacklevel=5,
    )


def _warn_of_end(estimator: Any, is_interrupted: bool, is_stopped: bool) -> None:
    """Tell of a training that ended too soon."""
    if is_interrupted:
        warnings.warn("Training interrupted by user.", stacklevel=5)
    elif not is_stopped and estimator.n_iter_ == estimator.max_iter:
        warnings.warn(
            f"Stochastic Optimizer: Maximum iterations ({estimator.max_iter}) reached and the optimization hasn't "
            "converged yet.",
            ConvergenceWarning,
            stacklevel=5,
        )
