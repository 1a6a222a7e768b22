"""Turns what a user passes into a training problem and its start, for training and for comparing backends alike."""

import math
import secrets
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastmlp.checks import check_pair
from fastmlp.holdout import hold_out
from fastmlp.normalization import (
    Normalization,
    check_normalization,
    learn_normalization,
    standardize_targets,
)
from fastmlp.options import Options
from fastmlp.problem import Architecture, Optimizer, Problem, Samples, Schedule
from fastmlp.reference.dropout import layer_rates
from fastmlp.reference.losses import LOSSES
from fastmlp.reference.optimizers import OPTIMIZERS
from fastmlp.reference.parameters import flatten, initialize
from fastmlp.reference.schedules import CYCLE_WARMUP
from fastmlp.targets import Coding, learn_coding
from fastmlp.validation import (
    check_features,
    check_params,
    check_sample_weight,
    check_targets,
    get_feature_names,
)

BATCHES, LARGEST_BATCH = 32, 64
SMALLEST_BATCH = {"classes": 8, "binary": 8, "numbers": 16, "counts": 16}
"""Small tables need many small batches to be learned in as few epochs as large ones; the squared error of few rows is
too noisy for steps of its rate."""


class Orders:
    """The order of the rows in each epoch: a fresh permutation of all n, or always the same one without a generator."""

    def __init__(self, n: int, rng: np.random.Generator | None) -> None:
        self._n = n
        self._rng = rng

    @property
    def state(self) -> dict[str, Any] | None:
        """That of the generator, as JSON can hold it; None without one. It may be set between two epochs."""
        return None if self._rng is None else dict(self._rng.bit_generator.state)

    @state.setter
    def state(self, state: dict[str, Any] | None) -> None:
        if self._rng is not None and state is not None:
            self._rng.bit_generator.state = state

    def next(self) -> NDArray[np.int64]:
        """Return the order of the next epoch."""
        return np.arange(self._n) if self._rng is None else self._rng.permutation(self._n)


class Preparation(NamedTuple):
    """A problem, ready for either backend, and what `fastmlp.train` needs besides."""

    problem: Problem
    coding: Coding
    start: NDArray[Any]
    """The flat parameter vector to start from."""
    orders: Orders
    validation: Samples | None
    """The samples on which the loss and the score of every epoch are taken."""
    feature_names: NDArray[Any] | None
    seed: int
    """The seed of all that is random, one drawn from the system if the user gave none."""

    @property
    def monitors(self) -> tuple[str, ...]:
        """By which figures of an epoch this training can be judged."""
        if self.validation is None:
            return ("loss",)
        return ("loss", "val_loss") if self.coding.is_regression else ("loss", "val_loss", "val_accuracy")


def prepare(
    X: ArrayLike,
    y: ArrayLike,
    options: Options,
    *,
    sample_weight: ArrayLike | None = None,
    params: Sequence[tuple[ArrayLike, ArrayLike]] | None = None,
    validation_data: tuple[ArrayLike, ArrayLike] | None = None,
) -> Preparation:
    """Check the arrays that `fastmlp.train` explains, and return what they mean.

    Each is checked and encoded once; rows that are held out for validation are chosen among the codes.

    Raises
    ------
    ValueError, TypeError
        If an argument is unfit; the message names it.
    """
    seed = secrets.randbits(128) if options.seed is None else options.seed
    init_seed, order_seed, holdout_seed, mask_seed = np.random.SeedSequence(seed).spawn(4)
    names = get_feature_names(X)
    features = check_features(X)
    n, d = features.shape
    targets = check_targets(y, n)
    coding = learn_coding(targets, options.loss)
    samples = Samples(features, targets, coding.encode(targets), check_sample_weight(sample_weight, n))
    validation = None
    if options.validation_split is not None:
        if validation_data is not None:
            raise ValueError("validation_split must be None where validation_data is given, got both")
        rng = np.random.default_rng(holdout_seed)
        samples, validation = hold_out(options.validation_split, samples, coding.classes is not None, rng)
    elif validation_data is not None:
        validation = _read_validation(validation_data, d, names, coding)
    if LOSSES[coding.loss].targets == "numbers" and options.normalize_targets:
        coding = coding._replace(scaling=standardize_targets(samples.codes))
        samples = _scale_codes(samples, coding.scaling)
        validation = None if validation is None else _scale_codes(validation, coding.scaling)
    if options.label_smoothing and not LOSSES[coding.loss].can_be_smoothed:
        raise ValueError(f"label_smoothing must be 0 for loss={coding.loss!r}, got {options.label_smoothing:g}")
    problem = _make_problem(samples, coding, options, int(mask_seed.generate_state(1, np.uint64)[0]))
    if params is None:
        start = initialize(problem.architecture.widths, options.init, np.random.default_rng(init_seed))
    else:
        start = flatten(check_params(params, problem.architecture.widths))
    _check_size("init must give weights" if params is None else "params must hold numbers", start, problem.dtype)
    orders = Orders(problem.X.shape[0], np.random.default_rng(order_seed) if options.shuffle else None)
    return Preparation(problem, coding, start, orders, validation, names, seed)


def _read_validation(
    validation_data: tuple[ArrayLike, ArrayLike], d: int, feature_names: NDArray[Any] | None, coding: Coding
) -> Samples:
    X, y = check_pair("validation_data", validation_data)
    features = check_features(X, "validation_data: X", d, feature_names)
    name = "validation_data: y"
    targets = check_targets(y, features.shape[0], name)
    return Samples(features, targets, coding.encode(targets, name), None)


def _scale_codes(samples: Samples, scaling: Normalization) -> Samples:
    return samples._replace(codes=scaling.apply(samples.codes, np.float64))


def _make_problem(samples: Samples, coding: Coding, options: Options, mask_seed: int) -> Problem:
    """Return the problem of training on some samples, after a look at whether its dtype can hold their numbers."""
    features, codes, dtype = samples.X, samples.codes, options.dtype
    n, d = features.shape
    normalization = learn_normalization(options.normalize, features)
    check_normalization(normalization, features, dtype)
    if codes.ndim == 2:
        _check_size("y must hold numbers", codes, dtype)
    rule, lr = options.optimizer, options.lr
    if lr is None:
        lr = default_lr(rule, coding.loss, options.momentum, lambda: normalization.squared_length(features))
    batch_size = default_batch_size(n, coding.loss) if options.batch_size is None else options.batch_size
    if options.momentum:
        rule = "nesterov" if options.nesterov else "momentum"
    return Problem(
        X=features,
        codes=codes,
        sample_weight=samples.sample_weight,
        normalization=normalization,
        architecture=Architecture((d, *options.hidden, coding.outputs), options.activation, coding.loss),
        optimizer=Optimizer(
            rule,
            lr,
            options.momentum,
            options.weight_decay,
            clip_norm=options.clip_norm,
            schedule=_make_schedule(options, -(-n // batch_size)),
            ema_decay=options.ema_decay,
        ),
        batch_size=batch_size,
        dtype=dtype,
        num_threads=options.num_threads,
        label_smoothing=options.label_smoothing,
        target_scale=coding.scaling.scale,
        dropout=layer_rates(options.dropout, len(options.hidden)),
        mask_seed=mask_seed,
    )


def _make_schedule(options: Options, batches: int) -> Schedule:
    """Return the schedule of the learning rate in epochs of so many batches."""
    epochs = options.warmup_epochs
    if epochs is None:
        epochs = CYCLE_WARMUP * options.num_epochs if options.lr_schedule == "one_cycle" else 0.0
    return Schedule(options.lr_schedule, options.num_epochs * batches, round(epochs * batches))


def default_batch_size(n: int, loss: str) -> int:
    """Return the power of two nearest to n / BATCHES, from SMALLEST_BATCH of the loss's targets to LARGEST_BATCH."""
    return int(np.clip(2 ** round(math.log2(n / BATCHES)), SMALLEST_BATCH[LOSSES[loss].targets], LARGEST_BATCH))


def default_lr(optimizer: str, loss: str, momentum: float, squared_length: Callable[[], float]) -> float:
    """Return the learning rate that suits an optimizer of RULES, a loss, and rows of this mean squared length.

    Momentum makes each step 1 / (1 - momentum) times as long in the end. The squared error curves as much as rows are
    long: where many columns say the same, SGD diverges at a larger rate than 1 / squared_length.
    """
    known = OPTIMIZERS[optimizer].lr
    if known is not None:
        return known
    lr = LOSSES[loss].lr
    if LOSSES[loss].is_regression:
        lr = min(lr, 1 / max(1, squared_length()))
    return lr * (1 - momentum)


def _check_size(wanted: str, values: NDArray[Any], dtype: np.dtype[Any]) -> None:
    if np.max(largest := np.abs(values)) > np.finfo(dtype).max:
        raise ValueError(f"{wanted} that {dtype} can hold, got {values.flat[np.argmax(largest)]:g}")
