"""From what a user passes to a problem and its start: the same for training and for comparing the two paths."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from fastmlp.forks import held_off
from fastmlp.normalization import check_normalization, learn_normalization
from fastmlp.problem import Architecture, Optimizer, Problem, Trainer
from fastmlp.reference.activations import ACTIVATIONS
from fastmlp.reference.parameters import flatten, initialize
from fastmlp.targets import Coding, learn_coding
from fastmlp.validation import (
    check_choice,
    check_dtype,
    check_features,
    check_flag,
    check_hidden,
    check_init,
    check_integer,
    check_number,
    check_params,
    check_sample_weight,
)

BACKENDS = ("jit", "reference")

SGD_LR = {"cross_entropy": 0.1, "binary_cross_entropy": 0.1, "mean_squared_error": 0.015}
ADAM_LR = 0.001
BATCHES, LARGEST_BATCH = 32, 64
SMALLEST_BATCH = {"cross_entropy": 8, "binary_cross_entropy": 8, "mean_squared_error": 16}
"""Small tables need many small batches to be learned in as few epochs as large ones; the squared error of few rows is
too noisy for steps of its rate."""


class Preparation(NamedTuple):
    """A problem, ready for either backend."""

    problem: Problem
    coding: Coding
    start: NDArray[Any]
    """The flat parameter vector to start from."""
    orders: np.random.Generator
    """Of the rows' permutations."""


def prepare(
    X: ArrayLike,
    y: ArrayLike,
    *,
    hidden: int | Sequence[int],
    activation: str,
    loss: str,
    init: str | float,
    optimizer: str,
    lr: float | None,
    momentum: float,
    nesterov: bool,
    weight_decay: float,
    batch_size: int | None,
    normalize: str | None,
    normalize_targets: bool,
    sample_weight: ArrayLike | None,
    dtype: DTypeLike,
    num_threads: int | None,
    seed: int | None,
    params: Sequence[tuple[ArrayLike, ArrayLike]] | None,
) -> Preparation:
    """Check the arguments that `fastmlp.train` explains, and return what they mean.

    Raises
    ------
    ValueError, TypeError
        If an argument is unfit; the message names it.
    """
    features = check_features(X)
    n, d = features.shape
    coding = learn_coding(y, n, loss, check_flag("normalize_targets", normalize_targets))
    architecture = Architecture(
        (d, *check_hidden(hidden), coding.outputs), check_choice("activation", activation, ACTIVATIONS), coding.loss
    )
    normalization = learn_normalization(normalize, features)
    if batch_size is None:
        batch_size = default_batch_size(n, coding.loss)
    problem = Problem(
        X=features,
        codes=coding.encode(y, n),
        sample_weight=check_sample_weight(sample_weight, n),
        normalization=normalization,
        architecture=architecture,
        optimizer=_check_optimizer(
            optimizer, lr, momentum, nesterov, weight_decay, coding.loss, lambda: normalization.squared_length(features)
        ),
        batch_size=check_integer("batch_size", batch_size),
        dtype=check_dtype("dtype", dtype),
        num_threads=None if num_threads is None else check_integer("num_threads", num_threads),
        target_scale=coding.scaling.scale,
    )
    check_normalization(problem.normalization, features, problem.dtype)
    if problem.codes.ndim == 2:
        _check_size("y must hold numbers", problem.codes, problem.dtype)
    init_seed, order_seed, _ = seed_sequences(seed)
    scale = check_init(init)
    if params is None:
        start = initialize(architecture.widths, scale, np.random.default_rng(init_seed))
    else:
        start = flatten(check_params(params, architecture.widths))
    _check_size("init must give weights" if params is None else "params must hold numbers", start, problem.dtype)
    return Preparation(problem, coding, start, np.random.default_rng(order_seed))


def make_trainer(
    problem: Problem, params: NDArray[Any], backend: str, before_compiling: Callable[[], None] = lambda: None
) -> Trainer:
    """Return the trainer of a backend of BACKENDS, which is imported only here; tell before something is compiled."""
    if backend == "reference":
        from fastmlp import reference
        from fastmlp.descent import Descent

        return Descent(problem, params, reference)
    with held_off():
        from fastmlp.engine.trainer import Engine

    return Engine(problem, params, before_compiling)


def default_batch_size(n: int, loss: str) -> int:
    """Return the power of two nearest to n / BATCHES, from SMALLEST_BATCH of the loss to LARGEST_BATCH."""
    return int(np.clip(2 ** round(math.log2(n / BATCHES)), SMALLEST_BATCH[loss], LARGEST_BATCH))


def default_lr(optimizer: str, loss: str, momentum: float, squared_length: Callable[[], float]) -> float:
    """Return the learning rate that suits an optimizer, "sgd" or "adam", a loss, and rows of this mean squared length.

    Momentum makes each step 1 / (1 - momentum) times as long in the end. The squared error curves as much as rows are
    long: where many columns say the same, SGD diverges at a larger rate than 1 / squared_length.
    """
    if optimizer == "adam":
        return ADAM_LR
    lr = SGD_LR[loss]
    if loss == "mean_squared_error":
        lr = min(lr, 1 / max(1, squared_length()))
    return lr * (1 - momentum)


def _check_optimizer(
    name: str,
    lr: float | None,
    momentum: float,
    nesterov: bool,
    weight_decay: float,
    loss: str,
    squared_length: Callable[[], float],
) -> Optimizer:
    check_choice("optimizer", name, ("sgd", "adam"))
    momentum = check_number("momentum", momentum, 0.0, 1.0)
    check_flag("nesterov", nesterov)
    if name == "adam" and (momentum or nesterov):
        raise ValueError(f"momentum and nesterov belong to optimizer='sgd', got momentum={momentum:g} with 'adam'")
    if nesterov and not momentum:
        raise ValueError("nesterov=True needs a momentum above 0, got 0")
    lr = default_lr(name, loss, momentum, squared_length) if lr is None else check_number("lr", lr, 0.0, low_open=True)
    if momentum:
        name = "nesterov" if nesterov else "momentum"
    return Optimizer(name, lr, momentum, check_number("weight_decay", weight_decay, 0.0))


def seed_sequences(seed: int | None) -> list[np.random.SeedSequence]:
    """Return the seeds of the initial parameters, the permutations and the choice of validation rows.

    Starting from given parameters, or holding rows out, leaves the others as they were.
    """
    return np.random.SeedSequence(None if seed is None else check_integer("seed", seed, minimum=0)).spawn(3)


def _check_size(wanted: str, values: NDArray[Any], dtype: np.dtype[Any]) -> None:
    if np.max(largest := np.abs(values)) > np.finfo(dtype).max:
        raise ValueError(f"{wanted} that {dtype} can hold, got {values.flat[np.argmax(largest)]:g}")
