"""Optimizers: pure functions from a flat parameter vector, its gradient and a state to new ones.

Each takes ``(params, grads, state, lr=..., weight_decay=...)`` and returns ``(params, state)``; ``state`` is a tuple of
arrays that starts as zeros (`initial_state`). ``weight_decay`` is the factor λ of an L2 penalty λ/2 Σ w² and enters
the gradient as λ w; it may be a number, or a vector that is 0 where a parameter (a bias) shall not decay.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastmlp.reference.activations import Array

State = tuple[NDArray[Any], ...]


def sgd(
    params: Array, grads: Array, state: State = (), *, lr: float, weight_decay: float | Array = 0.0
) -> tuple[Array, State]:
    """Plain gradient descent: w ← w - lr·g."""
    return params - lr * (grads + weight_decay * params), state


def momentum(
    params: Array, grads: Array, state: State, *, lr: float, momentum: float = 0.9, weight_decay: float | Array = 0.0
) -> tuple[Array, State]:
    """Gradient descent with momentum μ: v ← μv - lr·g, w ← w + v.

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
    """Nesterov's momentum: v ← μv - lr·g, w ← w + μv - lr·g, the gradient being that of the point looked ahead to.

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
    weight_decay: float | Array = 0.0,
) -> tuple[Array, State]:
    """Adam: running means m of g and v of g², both corrected for their start at 0; w ← w - lr·m̂ / (sqrt(v̂) + ε).

    References
    ----------
    Kingma and Ba, "Adam: A Method for Stochastic Optimization", 2015, algorithm 1.
    """
    m, v, steps = state
    g = grads + weight_decay * params
    steps = steps + 1
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    t = int(steps[0])
    m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
    return params - lr * m_hat / (np.sqrt(v_hat) + epsilon), (m, v, steps)


def initial_state(name: str, params: Array) -> State:
    """Return the state with which optimizer `name` starts on `params`."""
    zeros = np.zeros_like(params)
    return {
        "sgd": (),
        "momentum": (zeros,),
        "nesterov": (zeros,),
        "adam": (zeros, zeros, np.zeros(1, np.int64)),
    }[name]


OPTIMIZERS = {"sgd": sgd, "momentum": momentum, "nesterov": nesterov, "adam": adam}
