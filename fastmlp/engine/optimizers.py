"""One finished row of a gradient becomes one update: the optimizers as kernels on a row of weights.

Each step reads and writes row i of W, and of its state, while the gradient g is still in registers. The arrays of the
state are laid out as the weights are, `state` rows further on each; `rate` holds the numbers of the present step.
"""

from fastmlp.engine.plan import arrays_of, averaged
from fastmlp.engine.simd import inline, inverse_of_root, pointer
from fastmlp.engine.tables import Rate
from fastmlp.reference.optimizers import OPTIMIZERS

RHO = 0.9
"""RMSprop's constant."""
NUMBERS = len(Rate._fields)
floats = pointer("f64")


@inline
def rate_at(rates, b):
    """The numbers of batch b's step, from the address of a table."""
    r = floats(rates) + b * NUMBERS
    return Rate(r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7], r[8], r[9], r[10], r[11], r[12])


@inline
def rate_of(t):
    """The numbers of the present step, from a thread's table."""
    return rate_at(t.rate, 0)


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
    m = rate.beta1 * M[i] + rate.rest1 * g
    v = rate.beta2 * V[i] + rate.rest2 * g * g
    M[i] = m
    V[i] = v
    W[i] = w - rate.correct1 * m * inverse_of_root(v * rate.correct2, rate.epsilon)


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
    W[i] = w - rate.lr * g * inverse_of_root(v, rate.epsilon)


@inline
def store(W, i, g, state, rate, decay):
    """W ← g: no step, where gradients are to be added up before one."""
    W[i] = g


@inline
def add_gradient(W, i, g, state, rate, decay):
    """G ← G + g + λw."""
    G = W + state
    G[i] = G[i] + g + decay * W[i]


@inline
def keep_gradient(W, i, g, state, rate, decay):
    """Take no step, but keep the gradient in the array before the weights: G ← g."""
    G = W + -state
    G[i] = g


def make_averaged(step, arrays):
    """Return a step with the running average after it, in the array after the optimizer's: w̄ ← w̄ + (1 - d)(w - w̄)."""

    @inline
    def averaged_step(W, i, g, state, rate, decay):
        step(W, i, g, state, rate, decay)
        averages = W + (arrays + 1) * state
        average = averages[i]
        averages[i] = average + rate.fresh * (W[i] - average)

    return averaged_step


STEPS = {
    "sgd": sgd,
    "momentum": momentum,
    "nesterov": nesterov,
    "adam": adam,
    "adamw": adamw,
    "rmsprop": rmsprop,
    "add_gradient": add_gradient,
    "keep_gradient": keep_gradient,
}
STEPS |= {averaged(name): make_averaged(STEPS[name], arrays_of(name)) for name in OPTIMIZERS}
