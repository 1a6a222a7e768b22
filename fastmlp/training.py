"""`train`: check what the user passes, prepare the problem, run the epochs, return the network."""

import time
import warnings
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from fastmlp.callbacks import Callback, Training
from fastmlp.history import History
from fastmlp.holdout import hold_out
from fastmlp.names import answers_by_name
from fastmlp.network import MLP
from fastmlp.preparation import BACKENDS, make_trainer, prepare, seed_sequences
from fastmlp.problem import Problem
from fastmlp.progress import Progress
from fastmlp.targets import Coding
from fastmlp.tracking import FIRST_EPOCH, Tracker
from fastmlp.validation import (
    Features,
    check_choice,
    check_features,
    check_flag,
    check_integer,
    check_verbose,
    get_feature_names,
)

LARGE = 1e4
"""Features, targets or weights of this size are taken for the cause of a divergence before the learning rate is."""


@answers_by_name
def train(
    X: ArrayLike,
    y: ArrayLike,
    *,
    hidden: int | Sequence[int] = (256, 128),
    activation: str = "relu",
    loss: str = "auto",
    init: str | float = "he",
    optimizer: str = "sgd",
    lr: float | None = None,
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
    num_epochs: int = 20,
    batch_size: int | None = None,
    shuffle: bool = True,
    normalize: str | None = "auto",
    normalize_targets: bool = True,
    validation_data: tuple[ArrayLike, ArrayLike] | None = None,
    validation_split: float | None = None,
    sample_weight: ArrayLike | None = None,
    backend: str = "jit",
    dtype: DTypeLike = "float32",
    num_threads: int | None = None,
    seed: int | None = None,
    params: Sequence[tuple[ArrayLike, ArrayLike]] | None = None,
    epoch_loss: str = "running",
    track_gradients: bool | str = False,
    callbacks: Iterable[Callback] = (),
    verbose: bool | int = True,
) -> MLP:
    """Train a multilayer perceptron and return it.

    Nothing that is passed in gets modified. Ctrl-C ends the training and returns the network as it was after the last
    whole epoch, with the history of whole epochs, whenever it comes once the first has begun; a loss that stops being
    finite does the same, with a RuntimeWarning that names the likely cause.

    Parameters
    ----------
    X : (n, d) array, CSR matrix or data frame
        Features of any real dtype. A data frame's columns may be Booleans and nullable numbers without gaps; if all
        their names are strings, the network keeps and later compares them. Masked arrays are refused.
    y : (n,) or (n, k) array
        Integer, string or one-hot labels (any dtype) for classification; other floats for regression; rows of 0 and 1
        for multilabel targets with ``loss="binary_cross_entropy"``. See `loss` for whole numbers that could be both.
    hidden : sequence of int
        Widths of the hidden layers; empty for a linear model.
    activation : {"relu", "sigmoid", "tanh", "identity"}
        Of the hidden layers.
    loss : {"auto", "cross_entropy", "binary_cross_entropy", "mean_squared_error"}
        "auto" picks the (softmax) cross-entropy for labels and the mean squared error for numbers. Integers are labels
        and floats are numbers, but two kinds could be either and have to be told by another loss: more than 20
        different integers with fewer than 5 rows each on average, and floats that are all whole and have at most 20
        values with at least 5 rows each on average.
    init : {"he", "xavier"} or float
        Initial weights are normal with standard deviation sqrt(2/in), sqrt(2/(in + out)), or this number. Biases are 0.
    optimizer : {"sgd", "adam"}
    lr : float, optional
        Learning rate; by default 0.001 for Adam, and for SGD 0.1, of a regression 0.015 but at most 1 / the mean
        squared length of the normalised rows, which of standardised columns is their number, times (1 - momentum).
    momentum : float
        Of SGD, in [0, 1).
    nesterov : bool
        Whether the momentum is Nesterov's.
    weight_decay : float
        Factor λ of an L2 penalty λ/2 Σ w² over the weights; biases don't decay.
    num_epochs : int
    batch_size : int, optional
        The last batch of an epoch has the rows that are left. By default the power of two nearest to n / 32, from 8,
        of a regression 16, to 64, so that small tables get enough steps an epoch.
    shuffle : bool
        Whether each epoch visits the rows in a fresh order.
    normalize : {"auto", "unit", "zscore"} or None
        "unit" divides by 255; "zscore" subtracts each column's mean and divides by its standard deviation, learned from
        X and kept in the model; None changes nothing. "auto" is "unit" for pixels, nothing for features that are on a
        unit scale already, and else "zscore", in CSR the division of each column by the root mean square of its numbers
        other than 0. Pixels are uint8 or whole numbers up to 255, above 127 somewhere (uint8) or in most columns. A
        unit scale is a largest size from 1/2 to 1, or a mean within ±1 and a standard deviation from 1/2 (in nine of
        ten columns) to 2. Columns whose standard deviations are within a factor of 5 keep their proportions: all are
        divided by the root mean square of these.
    normalize_targets : bool
        Whether the network of a regression is trained on targets less their mean, divided by their standard deviation,
        column by column. Predictions, losses and history are in the units of y either way.
    validation_data : (X, y), optional
        Evaluated after every epoch.
    validation_split : float, optional
        Hold out this share of the rows, chosen by the seed and evenly from all classes, in place of `validation_data`.
        `sample_weight` is split with them and weighs their loss.
    sample_weight : (n,) array, optional
        The loss of a batch is then Σ w_i loss_i / Σ w_i.
    backend : {"jit", "reference"}
        The compiled path, or plain NumPy with the same numbers to rounding.
    dtype : {"float32", "float64"} or dtype
        Of parameters and arithmetic.
    num_threads : int, optional
        At most this many threads; by default as many as pay.
    seed : int, optional
        Fixes initial parameters and every permutation, the same for both backends and any number of threads.
    params : list of (W, b), optional
        Start from these instead of random ones; copied. They are what `MLP.layers` shows: those of a regression belong
        to its standardised targets.
    epoch_loss : {"running", "full"}
        History's training loss: the weighted mean of the minibatch losses, or the loss of the whole training set after
        the epoch.
    track_gradients : bool or "first_epoch"
        Record gradients, updates and activations of every layer, see `History`: on the first batch of each epoch, or
        on every batch of the first epoch and the first one of the others.
    callbacks : iterable of callable
        Each is called as ``callback(model, history)`` after every epoch; a return value of True stops the training.
        See `fastmlp.callbacks` for early stopping, checkpoints and learning-rate schedules.
    verbose : bool or 2
        Whether to print the path taken and, on a terminal or in a notebook, a progress bar; elsewhere a line an epoch.
        With 2, also what each thread does in a batch: the stages of the compiled path, phase by phase.

    Returns
    -------
    MLP

    Raises
    ------
    ValueError, TypeError
        If an argument is unfit or unknown; the message names it. Nothing has been started then.

    Examples
    --------
    >>> import fastmlp
    >>> X, y = fastmlp.datasets.load_mnist(1000)
    >>> model = fastmlp.train(X[:800], y[:800], num_epochs=5, seed=0, verbose=False)
    >>> model
    MLP(784-256-128-10, relu, cross_entropy, 235,146 parameters, float32)
    >>> model.score(X[800:], y[800:]) > 0.75
    True
    """
    feature_names = get_feature_names(X)
    held = None
    if validation_split is not None:
        if validation_data is not None:
            raise ValueError("validation_split must be None where validation_data is given, got both")
        rng = np.random.default_rng(seed_sequences(seed)[2])
        (X, y, sample_weight), held = hold_out(validation_split, X, y, sample_weight, loss, rng)
    problem, coding, start, orders = prepare(
        X, y, hidden=hidden, activation=activation, loss=loss, init=init, optimizer=optimizer, lr=lr,
        momentum=momentum, nesterov=nesterov, weight_decay=weight_decay, batch_size=batch_size, normalize=normalize,
        normalize_targets=normalize_targets, sample_weight=sample_weight, dtype=dtype, num_threads=num_threads,
        seed=seed, params=params,
    )  # fmt: skip
    architecture, features = problem.architecture, problem.X
    n, d = features.shape
    num_epochs = check_integer("num_epochs", num_epochs)
    check_choice("backend", backend, BACKENDS)
    check_choice("epoch_loss", epoch_loss, ("running", "full"))
    check_flag("shuffle", shuffle)
    _check_tracking(track_gradients)
    check_verbose(verbose)
    callbacks = _check_callbacks(callbacks)
    validation: _Validation | None = None
    if held is not None:
        validation = _Validation(held.X, held.y, coding.encode(held.y, len(held.y)), held.sample_weight)
    elif validation_data is not None:
        validation = _check_validation(validation_data, d, feature_names, coding)

    training = Training(num_epochs, problem.optimizer.lr, _monitors(validation is not None, coding))
    for callback in callbacks:
        if hasattr(callback, "begin"):
            callback.begin(training)
    tracker = Tracker(problem, track_gradients == FIRST_EPOCH) if track_gradients else None

    # The network of the last whole epoch and the number of that epoch, in one name: a tuple is bound in one go, and
    # an interrupt may come between any two calls. What else an unfinished epoch left behind is cut off at the end.
    whole: tuple[MLP, int] | None = None
    try:
        with Progress(num_epochs, verbose) as progress:
            trainer = make_trainer(problem, start, backend, progress.compiling)
            history = History(compile_seconds=trainer.compile_seconds)
            progress.begin(architecture, n, trainer, _notes(problem, coding))

            def network(params: NDArray[Any]) -> MLP:
                return MLP(
                    params,
                    architecture,
                    problem.normalization,
                    coding,
                    history,
                    trainer.predictor,
                    feature_names=feature_names,
                )

            whole = network(trainer.params), 0
            diverged = False
            try:
                for epoch in range(num_epochs):
                    order = orders.permutation(n) if shuffle else np.arange(n)
                    rate = trainer.lr = training.lr
                    started = time.perf_counter()
                    if tracker is None:
                        value = trainer.run_epoch(order)
                    else:
                        value = tracker.run_epoch(trainer, order, epoch, whole[0].params)
                    seconds = time.perf_counter() - started
                    model = network(trainer.params)
                    if epoch_loss == "full" and np.isfinite(value):
                        value = _loss(model, features, problem)
                    diverged = not (np.isfinite(value) and bool(np.all(np.isfinite(model.params))))
                    if diverged:
                        break
                    results = () if validation is None else _evaluate(model, validation)
                    history.loss.append(value)
                    history.seconds.append(seconds)
                    history.lr.append(rate)
                    if tracker is not None:
                        tracker.record(history)
                    if results:
                        history.val_loss.append(results[0])
                        history.val_accuracy.extend(results[1:])
                    whole = model, epoch + 1
                    progress.epoch(history)
                    stops = [_is_true(callback(model, history)) for callback in callbacks]
                    if any(stops):
                        progress.stopped(len(history), training.kept_epoch or len(history))
                        break
            except KeyboardInterrupt:
                training.interrupted = True
                progress.interrupted(training.kept_epoch or whole[1])
        if diverged:
            warnings.warn(
                f"training diverged in epoch {whole[1] + 1}; the network of epoch "
                f"{training.kept_epoch or whole[1]} is kept ({_cause(problem, start, rate)})",
                RuntimeWarning,
                stacklevel=3,  # of who called the decorated function
            )
    except KeyboardInterrupt:  # a second one, or one while the bar was closed
        if whole is None:
            raise
        training.interrupted = True
    while True:
        try:
            history._cut(whole[1])
            return training.kept or whole[0]
        except KeyboardInterrupt:  # what is left to do takes no time
            continue


def _notes(problem: Problem, coding: Coding) -> list[str]:
    """Say what is done to features and targets, where anything was to be decided."""
    return [note for note in (problem.normalization.description, coding.scaling.description) if note]


def _is_true(value: object) -> bool:
    return isinstance(value, (bool, np.bool_)) and bool(value)


def _cause(problem: Problem, start: NDArray[Any], lr: float) -> str:
    """Say what most likely made a training diverge: the largest numbers it began with, or else its learning rate."""
    targets = problem.codes if problem.codes.ndim == 2 else np.zeros(1)
    sizes = {
        "features": np.max(problem.normalization.largest(problem.X)),
        "targets": np.max(np.abs(targets)),
        "initial weights": np.max(np.abs(start)),
    }
    largest = max(sizes, key=lambda name: sizes[name])
    if sizes[largest] > max(LARGE, lr):
        return f"{largest} as large as {sizes[largest]:.3g} are the likely cause; a smaller scale may help"
    return f"a smaller lr than {lr:g} may help"


def _monitors(validates: bool, coding: Coding) -> tuple[str, ...]:
    """Return by which figures of an epoch this training can be judged."""
    if not validates:
        return ("loss",)
    return ("loss", "val_loss") if coding.loss == "mean_squared_error" else ("loss", "val_loss", "val_accuracy")


def _loss(model: MLP, features: Features, problem: Problem) -> float:
    with np.errstate(over="ignore", invalid="ignore"):
        return model._loss(model._logits(features), problem.codes, problem.sample_weight)


class _Validation(NamedTuple):
    """Rows by which every epoch is judged, checked and encoded."""

    X: Features
    y: ArrayLike
    codes: NDArray[Any]
    sample_weight: NDArray[np.float64] | None = None


def _evaluate(model: MLP, rows: _Validation) -> tuple[float, ...]:
    """Return the loss and, for classification, the accuracy."""
    with np.errstate(over="ignore", invalid="ignore"):
        Z = model._logits(rows.X)
        loss = model._loss(Z, rows.codes, rows.sample_weight)
    if model._coding.loss == "mean_squared_error":
        return (loss,)
    return loss, model._score(Z, rows.y, rows.codes)


def _check_tracking(track_gradients: bool | str) -> None:
    if not isinstance(track_gradients, str):
        check_flag("track_gradients", track_gradients)
    elif track_gradients != FIRST_EPOCH:
        raise ValueError(f"track_gradients must be True, False or {FIRST_EPOCH!r}, got {track_gradients!r}")


def _check_callbacks(callbacks: Iterable[Callback]) -> list[Callback]:
    if not isinstance(callbacks, Iterable):
        raise TypeError(f"callbacks must be a list of callables, got {callbacks!r}")
    listed = list(callbacks)
    for i, callback in enumerate(listed):
        if not callable(callback):
            raise TypeError(f"callbacks[{i}] must be callable as callback(model, history), got {callback!r}")
    return listed


def _check_validation(
    validation_data: tuple[ArrayLike, ArrayLike], d: int, feature_names: NDArray[Any] | None, coding: Coding
) -> _Validation:
    try:
        X, y = validation_data
    except (TypeError, ValueError):
        raise TypeError("validation_data must be a pair (X, y)") from None
    features = check_features(X, "validation_data: X", d, feature_names)
    return _Validation(features, y, coding.encode(y, features.shape[0], "validation_data: y"))
