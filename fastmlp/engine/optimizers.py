"""One finished row of a gradient becomes one update: the optimizers as kernels on a row of weights.

Each step reads and writes row i of W, and of its state, while the gradient g is still in registers. The arrays of the
state are laid out as the weights are, `state` rows further on each; `rate` holds the numbers of the present step.
"""

from typing import NamedTuple

from fastmlp.engine.simd import inline, sqrt
from fastmlp.engine.tables import BETA1, BETA2, EPSILON

RHO = 0.9
"""RMSprop's constant."""


class Rate(NamedTuple):
    """The numbers of one step, equal for all weights."""

    lr: float
    momentum: float
    correct1: float
    """Adam: lr / (1 - β1^t)."""
    correct2: float
    """Adam: 1 / (1 - β2^t)."""


@inline
def rate_of(t):
    """The numbers of the present step, from a thread's table."""
    return Rate(t.lr, t.momentum, t.correct1, t.correct2)


@inline
def sgd(W, i, g, state, rate, decay):
    """w ← w - lr (g + λw)."""
    w = W[i]
    W[i] = w - rate.lr * (g + decay * w)


@inline
def momentum(W, i, g, state, rate, decay):
    """v ← μv - lr (g + λw); w ← w + v."""
    V = W + state
    w = W[i]
    v = rate.momentum * V[i] - rate.lr * (g + decay * w)
    V[i] = v
    W[i] = w + v


@inline
def nesterov(W, i, g, state, rate, decay):
    """v ← μv - s; w ← w + μv - s, where s = lr (g + λw)."""
    V = W + state
    w = W[i]
    s = rate.lr * (g + decay * w)
    v = rate.momentum * V[i] - s
    V[i] = v
    W[i] = w + rate.momentum * v - s


@inline
def adam(W, i, g, state, rate, decay):
    """m ← β1 m + (1 - β1) g; v ← β2 v + (1 - β2) g²; w ← w - lr m̂ / (sqrt(v̂) + ε)."""
    M = W + state
    V = M + state
    w = W[i]
    g = g + decay * w
    m = BETA1 * M[i] + (1 - BETA1) * g
    v = BETA2 * V[i] + (1 - BETA2) * g * g
    M[i] = m
    V[i] = v
    W[i] = w - rate.correct1 * m / (sqrt(v * rate.correct2) + EPSILON)


@inline
def adamw(W, i, g, state, rate, decay):
    """Adam's means of g alone; w ← w - lr (m̂ / (sqrt(v̂) + ε) + λw)."""
    w = W[i]
    adam(W, i, g, state, rate, 0.0)
    W[i] = W[i] - rate.lr * decay * w


@inline
def rmsprop(W, i, g, state, rate, decay):
    """v ← ρv + (1 - ρ) g²; w ← w - lr g / (sqrt(v) + ε)."""
    V = W + state
    w = W[i]
    g = g + decay * w
    v = RHO * V[i] + (1 - RHO) * g * g
    V[i] = v
    W[i] = w - rate.lr * g / (sqrt(v) + EPSILON)


STEPS = {"sgd": sgd, "momentum": momentum, "nesterov": nesterov, "adam": adam, "adamw": adamw, "rmsprop": rmsprop}
