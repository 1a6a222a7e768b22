"""Products and gradients of dense layers that skip the zeros of the activations, and the activation functions.

Letters: a tile holds S = 64 samples k; a panel holds R units, one row of registers. A (S, R) and D (S, R) are a tile's
activations and deltas in one panel, W (R_in, R) the weights between two panels. Masks are integers: bit i of mask[k]
says whether A[k, i] takes part. Two rows are walked at a time; where the bits of both are set they share a load.
"""

from fastmlp.engine.simd import (
    inline,
    kernel,
    maximum,
    setbits,
    sigmoid,
    splat,
    tanh,
    to_bits,
    where,
)


@kernel
def product(count, mask, A, W, start, out, first):
    """out[k] = Σ_i A[k, i] W[i] over the bits i of mask[k], plus start[0] if first, else plus out[k]; k < count.

    An odd count also writes row `count`.
    """
    for k in range(0, count, 2):
        if first:
            z0 = start[0]
            z1 = z0
        else:
            z0, z1 = out[k], out[k + 1]
        m0, m1 = mask[k], mask[k + 1]
        for i in setbits(m0 & m1):
            w = W[i]
            z0 += A[k, i] * w
            z1 += A[k + 1, i] * w
        for i in setbits(m0 & ~m1):
            z0 += A[k, i] * W[i]
        for i in setbits(m1 & ~m0):
            z1 += A[k + 1, i] * W[i]
        out[k], out[k + 1] = z0, z1


@kernel
def gradient(units, mask, A, D, W, G, first, last, step, state, rate, decay):
    """G[i] = Σ_k A[k, i] D[k] over the bits k of mask[i], i < units (made even); at the last tile W takes its step.

    A batch of several tiles adds them up in G; of one tile, the sum never leaves the registers.
    """
    for i in range(0, units, 2):
        if first:
            g0, g1 = splat(D, 0), splat(D, 0)
        else:
            g0, g1 = G[i], G[i + 1]
        m0, m1 = mask[i], mask[i + 1]
        for k in setbits(m0 & m1):
            d = D[k]
            g0 += A[k, i] * d
            g1 += A[k, i + 1] * d
        for k in setbits(m0 & ~m1):
            g0 += A[k, i] * D[k]
        for k in setbits(m1 & ~m0):
            g1 += A[k, i + 1] * D[k]
        if last:
            step(W, i, g0, state, rate, decay)
            step(W, i + 1, g1, state, rate, decay)
        else:
            G[i], G[i + 1] = g0, g1


@kernel
def activate(count, units, A, mask, function, active):
    """A[k] = function(A[k]); mask[k] = the bits of `units` where it is active."""
    for k in range(count):
        z = A[k]
        mask[k] = active(z) & units
        A[k] = function(z)


@kernel
def chain(count, A, D, slope):
    """D[k] = D[k] · activation'(A[k]), which turns ∂loss/∂A into ∂loss/∂Z."""
    for k in range(count):
        D[k] = slope(A[k], D[k])


@kernel
def add_panels(count, panels, stride, Z, start, out):
    """out[k] = start[0] + Σ_q Z[q·stride + k] over the panels q; k < count."""
    for k in range(count):
        z = start[0]
        for q in range(panels):
            z = z + Z[q * stride + k]
        out[k] = z


@kernel
def add_rows(count, D, g):
    """Return g + Σ_k D[k], k < count."""
    for k in range(count):
        g = g + D[k]
    return g


# ---- activations: the function, the lanes that matter afterwards, and the derivative applied to d


@inline
def relu(z):
    return maximum(z, 0)


@inline
def positive(z):
    return to_bits(~(z <= 0))  # NaN counts, so that it reaches the loss


@inline
def relu_slope(a, d):
    return where(a > 0, d, 0)


@inline
def all_lanes(z):
    return ~(to_bits(z > 0) & 0)


@inline
def sigmoid_slope(a, d):
    return d * (a - a * a)


@inline
def tanh_slope(a, d):
    return d * (1 - a * a)


@inline
def identity(z):
    return z


@inline
def identity_slope(a, d):
    return d


ACTIVATIONS = {
    "relu": (relu, positive, relu_slope),
    "sigmoid": (sigmoid, all_lanes, sigmoid_slope),
    "tanh": (tanh, all_lanes, tanh_slope),
    "identity": (identity, all_lanes, identity_slope),
}
