"""The one table of cases that tests and benchmarks share: shapes, dtypes, memory layouts, and seeded data for them."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastmlp.reference import activations, losses, optimizers
from fastmlp.reference.parameters import flatten, initialize, layer_views

DTYPES = (np.float32, np.float64)
ACTIVATIONS, LOSSES, OPTIMIZERS = (
    tuple(names) for names in (activations.ACTIVATIONS, losses.LOSSES, optimizers.OPTIMIZERS)
)

MIXED = (("gelu", "relu", "silu", "tanh"), ("relu", "elu", "identity", "gelu"))
"""An activation for each of four hidden layers."""


@dataclass(frozen=True)
class Case:
    """n rows through a network of these widths (d, h1, ..., k)."""

    n: int
    widths: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.n}x" + "-".join(map(str, self.widths))


CASES = (
    Case(1, (1, 2)),  # one row, no hidden layer
    Case(1, (3, 1, 2)),
    Case(5, (17, 3)),
    Case(3, (2, 4, 3, 2)),
    Case(64, (17, 130, 17, 10)),  # one more than vectors of 16 or 64 + 64 elements
    Case(7, (130, 3, 1, 17)),
    Case(33, (3, 17, 17, 17, 17, 3)),
    Case(16, (10, 9, 8, 7, 6, 5, 4, 3)),  # six hidden layers
)
"""Rows and widths below, at and above the lengths at which vector loops change their path."""

TINY = Case(3, (2, 4, 3, 2))
SEED = 27
"""One at which no ReLU of these cases is 0 for every row, so that every gradient has something in it."""


LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {}


def _layout(function: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    LAYOUTS[function.__name__] = function
    return function


@_layout
def c_ordered(array: np.ndarray) -> np.ndarray:
    return np.array(array, order="C")


@_layout
def f_ordered(array: np.ndarray) -> np.ndarray:
    return np.array(array, order="F")


@_layout
def strided(array: np.ndarray) -> np.ndarray:
    """The same values, with gaps of other numbers between them along every axis."""
    wide = np.full([2 * size for size in array.shape], 77, array.dtype)
    view = wide[tuple(slice(None, None, 2) for _ in array.shape)]
    view[...] = array
    return view


@_layout
def reversed_rows(array: np.ndarray) -> np.ndarray:
    """The same values behind negative strides."""
    return np.array(array[::-1], order="C")[::-1]


@_layout
def read_only(array: np.ndarray) -> np.ndarray:
    array = np.array(array, order="C")
    array.flags.writeable = False
    return array


def arrange(value: Any, layout: str) -> Any:
    """Return nested tuples and lists with every array in a memory layout."""
    if isinstance(value, np.ndarray):
        return LAYOUTS[layout](value) if value.ndim else value
    if isinstance(value, tuple | list):
        return type(value)(arrange(part, layout) for part in value)
    return value


def features(rng: np.random.Generator, case: Case, dtype: Any) -> np.ndarray:
    """X (n, d), standard normal."""
    return rng.standard_normal((case.n, case.widths[0])).astype(dtype)


def targets(rng: np.random.Generator, case: Case, dtype: Any, loss: str = "cross_entropy") -> np.ndarray:
    """y (n, k): one-hot rows, 0/1 labels with several ones a row, or numbers."""
    n, k = case.n, case.widths[-1]
    kind = losses.LOSSES[loss].targets
    if kind == "classes":
        return np.eye(k, dtype=dtype)[rng.integers(k, size=n)]
    if kind == "binary":
        return rng.integers(2, size=(n, k)).astype(dtype)
    if kind == "counts":
        return rng.poisson(2, (n, k)).astype(dtype)
    return rng.standard_normal((n, k)).astype(dtype)


def parameters(
    rng: np.random.Generator, case: Case, dtype: Any, flat_bias: bool = True
) -> list[tuple[np.ndarray, np.ndarray]]:
    """[(W, b), ...] with weights by "xavier" and biases that are not 0, as (width,) or (1, width)."""
    flat = initialize(case.widths, "xavier", rng)
    flat += 0.1 * rng.standard_normal(len(flat))
    layers = layer_views(flat.astype(dtype), case.widths)
    return layers if flat_bias else [(W, b[None, :]) for W, b in layers]


def probabilities(rng: np.random.Generator, case: Case, dtype: Any) -> np.ndarray:
    """A (n, k), rows that sum to 1."""
    E = rng.random((case.n, case.widths[-1])) + 0.01
    return (E / E.sum(axis=1, keepdims=True)).astype(dtype)


def network(
    seed: int, case: Case, dtype: Any, loss: str = "cross_entropy", flat_bias: bool = True
) -> tuple[np.ndarray, np.ndarray, list[tuple[np.ndarray, np.ndarray]]]:
    """Return (X, y, params)."""
    rng = np.random.default_rng(seed)
    return features(rng, case, dtype), targets(rng, case, dtype, loss), parameters(rng, case, dtype, flat_bias)


def optimizer_arguments(
    rng: np.random.Generator, case: Case, dtype: Any, name: str
) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, ...]]:
    """Return (params, grads, state) in the middle of a training."""
    params = flatten(parameters(rng, case, dtype))
    grads = rng.standard_normal(len(params)).astype(dtype)
    state: tuple[np.ndarray, ...] = tuple(
        np.abs(0.1 * rng.standard_normal(len(params))).astype(dtype) for _ in range(optimizers.OPTIMIZERS[name].arrays)
    )
    return params, grads, (*state, np.array([3])) if optimizers.OPTIMIZERS[name].counts_steps else state


def arguments(name: str, case: Case, dtype: Any, seed: int = SEED) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return positional and keyword arguments with which to call a function of the set."""
    rng = np.random.default_rng(seed)
    X, y = features(rng, case, dtype), targets(rng, case, dtype)
    n, d, k = case.n, case.widths[0], case.widths[-1]
    h1, h2 = 17, 5

    if name in OPTIMIZERS:
        return optimizer_arguments(rng, case, dtype, name), {"lr": 0.1, "weight_decay": 0.01}
    if name in ("normalize", "softmax", *ACTIVATIONS):
        return (3 * X + 1,), {}
    if name.endswith("_loss"):
        return (rng.standard_normal((n, k)).astype(dtype), y), {}
    if name == "dropout_masks":
        return (n, list(case.widths[1:-1]), [0.5] * (len(case.widths) - 2), seed, 3), {}
    if name in ("binary_cross_entropy", "cross_entropy"):
        return (probabilities(rng, case, dtype), y), {}
    if name == "matrix_multiply":
        return (X, parameters(rng, case, dtype)[0][0]), {}
    if name == "forward_perceptron":
        return (X, *parameters(rng, Case(n, (d, 1)), dtype, flat_bias=False)[0]), {}

    if name in ("forward", "backward", "loss_and_gradients"):
        params = parameters(rng, case, dtype, flat_bias=case.n % 2 == 0)
        if name == "forward":
            return (X, params), {}
        if name == "loss_and_gradients":
            return (X, y, params), {}
        hidden = [relu_like(rng, (n, w), dtype) for w in case.widths[1:-1]]
        return (X, [*hidden, probabilities(rng, case, dtype)], y, params), {}

    widths = (d, h1, k) if name in ("forward_mlp", "backward_mlp") else (d, h1, h2, k)
    params = parameters(rng, Case(n, widths), dtype, flat_bias=False)
    if name.startswith("forward"):
        return (X, *(array for layer in params for array in layer)), {}
    Z = [rng.standard_normal((n, w)).astype(dtype) for w in widths[1:-1]]
    A = [np.maximum(z, 0) + dtype(0.5) for z in Z]  # never 0: the mask has to come from Z
    return (X, *A, probabilities(rng, case, dtype), y, *(W for W, _ in params), *Z), {}


def relu_like(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Half zeros, half positive numbers."""
    return np.maximum(rng.standard_normal(shape), 0).astype(dtype)


class HandComputed:
    """Two rows through 2 → 4 → 3 → 2, worked out on paper. L is ln 3, which makes the probabilities fractions."""

    L = math.log(3)
    X = np.array([[1.0, 2], [2, -1]])
    y = np.array([[1.0, 0], [1, 0]])
    W1, b1 = np.array([[1.0, -1, 0, 2], [0, 1, 1, -1]]), np.array([[0.0, 0, -1, 1]])
    W2, b2 = np.array([[1.0, 0, -1], [0, 1, 0], [0, 0, 1], [0, -1, 1]]), np.array([[0.0, 1, 0]])
    W3, b3 = np.array([[1, 1 + 3 * L], [1, 1 + L], [2, 2 - 2 * L]]), np.array([[-1.0, -1]])

    Z1 = np.array([[1.0, 1, 1, 1], [2, -3, -2, 6]])
    A1 = np.array([[1.0, 1, 1, 1], [2, 0, 0, 6]])
    Z2 = np.array([[1.0, 1, 1], [2, -5, 4]])
    A2 = np.array([[1.0, 1, 1], [2, 0, 4]])
    A3 = np.array([[1, 9], [9, 1]]) / 10
    loss = (math.log(10) + math.log(10 / 9)) / 2

    params = ((W1, b1), (W2, b2), (W3, b3))
    gradients = (
        (np.array([[55, 9, -18, -31], [85, 18, -36, -52]]) * L / 20, np.array([[50, 9, -18, -29]]) * L / 20),
        (
            np.array([[33, 9, -22], [27, 9, -18], [27, 9, -18], [45, 9, -30]]) * L / 20,
            np.array([[30, 9, -20]]) * L / 20,
        ),
        (np.array([[-22, 22], [-18, 18], [-26, 26]]) / 40, np.array([[-20, 20]]) / 40),
    )
