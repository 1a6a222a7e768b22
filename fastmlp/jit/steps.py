"""Optimizers, each one compiled pass over parameters, gradients and state.

Same arguments and results as `fastmlp.reference.optimizers`: new arrays come out, none that went in is changed.
"""

import math
from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from fastmlp.jit.compilation import compiled
from fastmlp.jit.documentation import documented
from fastmlp.jit.layout import float_type, shaped
from fastmlp.reference.activations import Array
from fastmlp.reference.optimizers import State


def _at(value: Any, i: int) -> Any:
    """Return the element i of a vector, or a number itself."""
    return value[i] if np.ndim(value) else value


@overload(_at)
def _compiled_at(value, i):
    return (lambda value, i: value[i]) if isinstance(value, types.Array) else (lambda value, i: value)


@compiled
def _step_sgd(params, grads, decay, lr):
    new = np.empty_like(params)
    for i in range(params.size):
        new[i] = params[i] - lr * (grads[i] + _at(decay, i) * params[i])
    return (new,)


@compiled
def _step_momentum(params, grads, decay, velocity, lr, momentum):
    new, new_velocity = np.empty_like(params), np.empty_like(params)
    for i in range(params.size):
        v = momentum * velocity[i] - lr * (grads[i] + _at(decay, i) * params[i])
        new[i], new_velocity[i] = params[i] + v, v
    return new, new_velocity


@compiled
def _step_nesterov(params, grads, decay, velocity, lr, momentum):
    new, new_velocity = np.empty_like(params), np.empty_like(params)
    for i in range(params.size):
        step = lr * (grads[i] + _at(decay, i) * params[i])
        v = momentum * velocity[i] - step
        new[i], new_velocity[i] = params[i] + momentum * v - step, v
    return new, new_velocity


@compiled
def _step_adam(params, grads, decay, m, v, lr, beta1, beta2, rest1, rest2, correction1, correction2, epsilon):
    """One step of Adam; `rest` is 1 - beta, `correction` 1 - beta^t, both rounded only once, by the caller."""
    new, new_m, new_v = np.empty_like(params), np.empty_like(params), np.empty_like(params)
    for i in range(params.size):
        g = grads[i] + _at(decay, i) * params[i]
        m_i = beta1 * m[i] + rest1 * g
        v_i = beta2 * v[i] + rest2 * g * g
        new[i] = params[i] - lr * (m_i / correction1) / (np.sqrt(v_i / correction2) + epsilon)
        new_m[i], new_v[i] = m_i, v_i
    return new, new_m, new_v


def _step(kernel: Any, weight_decay: float | Array, arrays: tuple[Array, ...], *numbers: float) -> list[Array]:
    """Run a kernel on parameters, gradients and state; return its arrays in the shape of the parameters.

    Arrays meet in the type in which NumPy would let them meet; a number takes that type.
    """
    vectors = [weight_decay] if np.ndim(weight_decay) else []
    shape, dtype = np.shape(arrays[0]), float_type(*arrays, *vectors)
    decay: Any = shaped(weight_decay, shape, dtype).ravel() if vectors else dtype(weight_decay)
    params, grads, *state = (shaped(array, shape, dtype).ravel() for array in arrays)
    return [array.reshape(shape) for array in kernel(params, grads, decay, *state, *map(dtype, numbers))]


@documented
def sgd(
    params: Array, grads: Array, state: State = (), *, lr: float, weight_decay: float | Array = 0.0
) -> tuple[Array, State]:
    """One pass over all arrays."""
    (params,) = _step(_step_sgd, weight_decay, (params, grads), lr)
    return params, state


@documented
def momentum(
    params: Array, grads: Array, state: State, *, lr: float, momentum: float = 0.9, weight_decay: float | Array = 0.0
) -> tuple[Array, State]:
    """One pass over all arrays."""
    params, velocity = _step(_step_momentum, weight_decay, (params, grads, *state), lr, momentum)
    return params, (velocity,)


@documented
def nesterov(
    params: Array, grads: Array, state: State, *, lr: float, momentum: float = 0.9, weight_decay: float | Array = 0.0
) -> tuple[Array, State]:
    """One pass over all arrays."""
    params, velocity = _step(_step_nesterov, weight_decay, (params, grads, *state), lr, momentum)
    return params, (velocity,)


@documented
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
    """One pass over all arrays."""
    m, v, steps = state
    steps = steps + 1
    t = int(steps[0])
    if epsilon_hat:
        epsilon /= math.sqrt(1 - beta2**t)
    numbers = (lr, beta1, beta2, 1 - beta1, 1 - beta2, 1 - beta1**t, 1 - beta2**t, epsilon)
    params, m, v = _step(_step_adam, weight_decay, (params, grads, m, v), *numbers)
    return params, (m, v, steps)
