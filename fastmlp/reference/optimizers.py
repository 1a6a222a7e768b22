"""Optimizers: pure functions from a flat parameter vector, its gradient and a state to new ones.

Each takes ``(params, grads, state, lr=..., weight_decay=...)`` and returns ``(params, state)``; ``state`` is a tuple of
arrays that starts as zeros (`initial_state`). ``weight_decay`` is the factor λ of an L2 penalty λ/2 Σ w² and enters
the gradient as λ w; it may be a number, or a vector that is 0 where a parameter (a bias) shall not decay.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastmlp.reference.activations import Array

__all__ = ["adam", "adamw", "momentum", "nesterov", "rmsprop", "sgd"]

State = tuple[NDArray[Any], ...]


def sgd(
    params: Array, grads: Array, state: State = (), *, lr: float, weight_decay: float | Array = 0.0
) -> tuple[Array, State]:
    """Plain gradient descent: w ← w - lr·(g + λw).

    Parameters
    ----------
    params : array of any shape
        The parameters w.
    grads : array of the shape of params
        The gradient g of the loss.
    state : tuple of no arrays
        Plain descent remembers nothing.
    lr : float
        Learning rate.
    weight_decay : float or array of the shape of params
        λ of a penalty λ/2 Σ w²: λ w is added to g.

    Returns
    -------
    params : array of the shape of params
    state : tuple of no arrays

    References
    ----------
    Robbins and Monro, "A Stochastic Approximation Method", 1951.
    Krogh and Hertz, "A Simple Weight Decay Can Improve Generalization", 1992, on λ.
    """
    return params - lr * (grads + weight_decay * params), state


def momentum(
    params: Array, grads: Array, state: State, *, lr: float, momentum: float = 0.9, weight_decay: float | Array = 0.0
) -> tuple[Array, State]:
    """Gradient descent with momentum μ: v ← μv - lr·(g + λw), w ← w + v.

    Parameters
    ----------
    params : array of any shape
        The parameters w.
    grads : array of the shape of params
        The gradient g of the loss.
    state : tuple of one array
        (v,), the velocity, of the shape of params; zeros in the beginning.
    lr : float
        Learning rate.
    momentum : float
        μ, in [0, 1).
    weight_decay : float or array of the shape of params
        λ of a penalty λ/2 Σ w²: λ w is added to g.

    Returns
    -------
    params : array of the shape of params
    state : tuple of one array
        (v,), the new velocity.

    References
    ----------
    Polyak, "Some methods of speeding up the convergence of iteration methods", 1964.
    """
    (velocity,) = state
    velocity = momentum * velocity - lr * (grads + weight_decay * params)
    return params + velocity, (velocity,)


def nesterov(
    params: Array, grads: Array, state: State, *, lr: float, momentum: float = 0.9, weight_decay: float | Array = 0.0
) -> tuple[Array, State]:
    """Nesterov's momentum: v ← μv - lr·(g + λw), w ← w + μv - lr·(g + λw), g being that of the point looked ahead to.

    Parameters
    ----------
    params : array of any shape
        The parameters w.
    grads : array of the shape of params
        The gradient g of the loss.
    state : tuple of one array
        (v,), the velocity, of the shape of params; zeros in the beginning.
    lr : float
        Learning rate.
    momentum : float
        μ, in [0, 1).
    weight_decay : float or array of the shape of params
        λ of a penalty λ/2 Σ w²: λ w is added to g.

    Returns
    -------
    params : array of the shape of params
    state : tuple of one array
        (v,), the new velocity.

    References
    ----------
    Sutskever et al., "On the importance of initialization and momentum in deep learning", 2013, equations 3 and 4.
    """
    (velocity,) = state
    step = lr * (grads + weight_decay * params)
    velocity = momentum * velocity - step
    return params + momentum * velocity - step, (velocity,)


def adam(
    params: Array,
    grads: Array,
    state: State,
    *,
    lr: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    epsilon_hat: bool = False,
    weight_decay: float | Array = 0.0,
) -> tuple[Array, State]:
    """Adam: running means of g and g², corrected for their start at 0; w ← w - lr·m̂ / (√v̂ + ε).

    In step t, with λw in g: m ← β₁m + (1 - β₁)g, v ← β₂v + (1 - β₂)g², m̂ = m / (1 - β₁ᵗ), v̂ = v / (1 - β₂ᵗ). With
    ``epsilon_hat``, ε is added to √v instead, before the correction: w ← w - lr·m̂·√(1 - β₂ᵗ) / (√v + ε).

    Parameters
    ----------
    params : array of any shape
        The parameters w.
    grads : array of the shape of params
        The gradient g of the loss.
    state : tuple of three arrays
        (m, v, steps): both means, of the shape of params, and the number of steps so far, (1,); zeros in the beginning.
    lr : float
        Learning rate.
    beta1, beta2 : float
        β₁ and β₂, how much of either mean is kept.
    epsilon : float
        ε.
    epsilon_hat : bool
        Whether ε stands beside the uncorrected √v, as in scikit-learn and TensorFlow.
    weight_decay : float or array of the shape of params
        λ of a penalty λ/2 Σ w²: λ w is added to g.

    Returns
    -------
    params : array of the shape of params
    state : tuple of three arrays
        (m, v, steps), the new ones.

    References
    ----------
    Kingma and Ba, "Adam: A Method for Stochastic Optimization", 2015, algorithm 1; section 2 has the other form, ε̂.
    """
    m, v, steps = state
    g = grads + weight_decay * params
    steps = steps + 1
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    t = int(steps[0])
    m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
    if epsilon_hat:
        epsilon /= math.sqrt(1 - beta2**t)
    return params - lr * m_hat / (np.sqrt(v_hat) + epsilon), (m, v, steps)


def adamw(
    params: Array,
    grads: Array,
    state: State,
    *,
    lr: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    weight_decay: float | Array = 0.0,
) -> tuple[Array, State]:
    """Adam with decoupled decay: w ← w - lr·(m̂ / (√v̂ + ε) + λw), where λw does not enter the means.

    Parameters
    ----------
    params : array of any shape
        The parameters w.
    grads : array of the shape of params
        The gradient g of the loss.
    state : tuple of three arrays
        (m, v, steps), as in `adam`.
    lr : float
        Learning rate.
    beta1, beta2 : float
        β₁ and β₂, how much of either mean is kept.
    epsilon : float
        ε.
    weight_decay : float or array of the shape of params
        λ: each step takes lr·λ of w away.

    Returns
    -------
    params : array of the shape of params
    state : tuple of three arrays
        (m, v, steps), the new ones.

    References
    ----------
    Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019, algorithm 2.
    """
    moved, state = adam(params, grads, state, lr=lr, beta1=beta1, beta2=beta2, epsilon=epsilon)
    return moved - lr * weight_decay * params, state


def rmsprop(
    params: Array,
    grads: Array,
    state: State,
    *,
    lr: float,
    rho: float = 0.9,
    epsilon: float = 1e-8,
    weight_decay: float | Array = 0.0,
) -> tuple[Array, State]:
    """RMSprop: steps in units of a running root mean square of g; w ← w - lr·g / (√v + ε).

    With λw in g: v ← ρv + (1 - ρ)g².

    Parameters
    ----------
    params : array of any shape
        The parameters w.
    grads : array of the shape of params
        The gradient g of the loss.
    state : tuple of one array
        (v,), the running mean of g², of the shape of params; zeros in the beginning.
    lr : float
        Learning rate.
    rho : float
        ρ, how much of the mean is kept.
    epsilon : float
        ε.
    weight_decay : float or array of the shape of params
        λ of a penalty λ/2 Σ w²: λ w is added to g.

    Returns
    -------
    params : array of the shape of params
    state : tuple of one array
        (v,), the new mean.

    References
    ----------
    Tieleman and Hinton, "Lecture 6.5, RMSProp: Divide the gradient by a running average of its recent magnitude", 2012.
    """
    (v,) = state
    g = grads + weight_decay * params
    v = rho * v + (1 - rho) * g * g
    return params - lr * g / (np.sqrt(v) + epsilon), (v,)


def add_gradient(
    params: Array, grads: Array, state: State, *, lr: float = 0.0, weight_decay: float | Array = 0.0
) -> tuple[Array, State]:
    """Take no step, but add the gradient up: G ← G + g + λw."""
    (total,) = state
    return params, (total + grads + weight_decay * params,)


def clip(grads: Array, most: float) -> Array:
    """Return the gradient scaled to the norm `most` if its norm |g| is larger: g · min(1, most / |g|).

    Numbers that are not finite, or whose squares add up to more than float64 can hold, make all of it NaN.

    References
    ----------
    Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks", 2013, algorithm 1.
    """
    norm = float(np.sqrt(np.sum(np.square(grads, dtype=np.float64))))
    if not math.isfinite(norm):
        return np.full_like(grads, np.nan)
    return grads if norm <= most else grads * (most / norm)


def average(averaged: Array, params: Array, decay: float) -> Array:
    """Return the running average of parameters after one more step: w̄ ← d w̄ + (1 - d) w, as w̄ + (1 - d) (w - w̄).

    References
    ----------
    Polyak and Juditsky, "Acceleration of stochastic approximation by averaging", 1992; with a decay as in Tarvainen and
    Valpola, "Mean teachers are better role models", 2017.
    """
    return averaged + (1 - decay) * (params - averaged)


class Optimizer(NamedTuple):
    """An optimizer and what everybody has to know of it."""

    step: Callable[..., tuple[Array, State]]
    arrays: int
    """Arrays of the shape of the parameters in its state."""
    counts_steps: bool = False
    """Whether its state ends with the number of steps."""
    settings: tuple[str, ...] = ()
    """What `step` is told besides the learning rate and the decay."""
    lr: float | None = None
    """The learning rate that suits most problems; None if it depends on the problem."""


ADD_GRADIENT = Optimizer(add_gradient, 1)
"""What stands in an optimizer's place where gradients are wanted and no steps."""
OPTIMIZERS = {
    "sgd": Optimizer(sgd, 0),
    "momentum": Optimizer(momentum, 1, settings=("momentum",)),
    "nesterov": Optimizer(nesterov, 1, settings=("momentum",)),
    "adam": Optimizer(adam, 2, counts_steps=True, settings=("beta1", "beta2", "epsilon", "epsilon_hat"), lr=0.001),
    "adamw": Optimizer(adamw, 2, counts_steps=True, settings=("beta1", "beta2", "epsilon"), lr=0.001),
    "rmsprop": Optimizer(rmsprop, 1, settings=("epsilon",), lr=0.001),
}


def initial_state(name: str, params: Array) -> State:
    """Return the state with which optimizer `name` starts on `params`."""
    optimizer = OPTIMIZERS[name]
    arrays = tuple(np.zeros_like(params) for _ in range(optimizer.arrays))
    return (*arrays, np.zeros(1, np.int64)) if optimizer.counts_steps else arrays
