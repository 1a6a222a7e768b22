"""Compiled passes over the rows of a layer: bias and activation, loss and δ, δ back through an activation.

Every kernel reads and writes its array once and leaves the matrix products between them to BLAS. Letters: n rows,
w columns of a hidden layer, k outputs. Arrays have the layout of `fastmlp.jit.layout`; kernels check nothing.

Exponentials are arithmetic here, which LLVM runs in all lanes of a vector; math.exp would call the C library for each
element. A sigmoid takes 0.6 ns an element so, 2.3 with math.exp, and 1.5 (float32) or 8 (float64) in NumPy's passes.
Exponentials and losses are evaluated in float64 for either dtype.
"""

import math

import numpy as np

from fastmlp.jit.compilation import compiled

IDENTITY, RELU, SIGMOID, TANH, SOFTMAX = range(5)
CROSS_ENTROPY, BINARY_CROSS_ENTROPY, MEAN_SQUARED_ERROR = range(3)

_LOG2_E = 1 / math.log(2)
_LN2_HIGH, _LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10  # high: 21 zero bits at the end
_ROUND = 1.5 * 2.0**52  # x + _ROUND has no bits left for a fraction: the last ones hold the integer nearest to x
# (so "reassoc" must never reach `_split_exp`: it would cancel the two roundings)
_LOWEST = -708.0  # e^x is a normal number from here on


@compiled(inline=True)
def _quartic(x, a, b, c, d, e):
    """Return a + bx + cx² + dx³ + ex⁴. Written out, because LLVM leaves a loop over many coefficients in memory."""
    return a + x * (b + x * (c + x * (d + x * e)))


@compiled(inline=True)
def _split_exp(x):
    """Return (s, q) with e^x = s + s·q for x ≤ 0: s = 2^i, i the integer nearest to x / ln 2, and q = e^r - 1.

    |r| ≤ ln 2 / 2, where 13 terms of the power series reach float64's precision. Below `_LOWEST` x counts as `_LOWEST`.
    """
    x = np.float64(x)
    x = _LOWEST if x < _LOWEST else x
    shifted = x * _LOG2_E + _ROUND
    i = shifted - _ROUND
    r = (x - i * _LN2_HIGH) - i * _LN2_LOW
    q = _quartic(r, 1 / 362880, 1 / 3628800, 1 / 39916800, 1 / 479001600, 1 / 6227020800)
    q = _quartic(r, 1 / 120, 1 / 720, 1 / 5040, 1 / 40320, q)
    q = r * _quartic(r, 1.0, 1 / 2, 1 / 6, 1 / 24, q)
    exponent = np.float64(shifted).view(np.int64) + np.int64(1023)
    return np.int64(exponent << np.int64(52)).view(np.float64), q


@compiled(inline=True)
def _exp(x):
    """Return e^x for x ≤ 0."""
    scale, q = _split_exp(x)
    return scale + scale * q


@compiled(inline=True)
def _log1p(e):
    """Return ln(1 + e) for 0 ≤ e ≤ 1, as 2 atanh(e / (2 + e)) by its power series in a number up to 1/3: 17 terms."""
    t = e / (2 + e)
    s = t * t
    series = _quartic(s, 1 / 25, 1 / 27, 1 / 29, 1 / 31, 1 / 33)
    series = _quartic(s, 1 / 17, 1 / 19, 1 / 21, 1 / 23, series)
    series = _quartic(s, 1 / 9, 1 / 11, 1 / 13, 1 / 15, series)
    return 2 * t * _quartic(s, 1.0, 1 / 3, 1 / 5, 1 / 7, series)


@compiled(inline=True)
def _sigmoid(z):
    """Return 1 / (1 + e^-z), the exponential only ever seeing -|z|."""
    e = _exp(-abs(z))
    return (1.0 if z >= 0 else e) / (1 + e)


@compiled
def apply_sigmoid(Z, out):
    """Write sigmoid(Z) to `out`, both vectors."""
    for i in range(Z.size):
        out[i] = _sigmoid(Z[i])


@compiled(fastmath={"contract", "reassoc"})
def _softmax(Z, i):
    """Turn row i of the logits Z (n, k) into probabilities in place; return its maximum and Σ e^(z - maximum)."""
    k = Z.shape[1]
    top = Z[i, 0]
    for j in range(1, k):
        top = Z[i, j] if Z[i, j] > top else top
    total = 0.0
    for j in range(k):
        e = _exp(np.float64(Z[i, j]) - top)
        Z[i, j] = e
        total += e
    for j in range(k):
        Z[i, j] /= total
    return top, total


@compiled
def finish_layer(Z, b, kind):
    """Turn products Z (n, w) into activation(Z + b) in place, with b (w,); of TANH only Z + b, see the caller."""
    n, w = Z.shape
    for i in range(n):
        if kind == RELU:
            for j in range(w):
                z = Z[i, j] + b[j]
                Z[i, j] = 0 if z < 0 else z
        elif kind == SIGMOID:
            for j in range(w):
                Z[i, j] = _sigmoid(Z[i, j] + b[j])
        else:
            for j in range(w):
                Z[i, j] += b[j]
        if kind == SOFTMAX:
            _softmax(Z, i)


@compiled(inline=True)
def _logistic(z, y):
    """Return ln(1 + e^z) - y z, and its derivative sigmoid(z) - y."""
    z, y = np.float64(z), np.float64(y)
    e = _exp(-abs(z))
    positive = z >= 0
    return (z if positive else 0.0) - y * z + _log1p(e), (1.0 if positive else e) / (1 + e) - y


@compiled(inline=True)
def _squared(z, y):
    """Return ½ (z - y)², and its derivative z - y."""
    error = np.float64(z) - y
    return 0.5 * error * error, error


@compiled(fastmath={"contract", "reassoc"})
def finish_output(Z, b, y, scale, kind, grad_b):
    """Turn the last products Z (n, k) into δ = (output(Z + b) - y) · scale in place; return the loss.

    b (k,); y (n, k); scale (n,), what each row counts; grad_b (k,) receives Σ δ over the rows on top of what it holds.
    The loss is Σ scale · f, where f is the function of a row's logits whose gradient is output - y: ln Σ e^z - Σ y z,
    Σ ln(1 + e^z) - y z, or ½ Σ (z - y)². No probability is ever formed before its logarithm is taken.
    """
    n, k = Z.shape
    loss = 0.0
    for i in range(n):
        value = 0.0
        if kind == CROSS_ENTROPY:
            for j in range(k):
                Z[i, j] += b[j]
                value -= np.float64(y[i, j]) * Z[i, j]
            top, total = _softmax(Z, i)
            value += top + math.log(total)
            for j in range(k):
                Z[i, j] = (Z[i, j] - y[i, j]) * scale[i]
                grad_b[j] += Z[i, j]
        elif kind == BINARY_CROSS_ENTROPY:
            for j in range(k):
                f, slope = _logistic(Z[i, j] + b[j], y[i, j])
                value += f
                Z[i, j] = slope * scale[i]
                grad_b[j] += Z[i, j]
        else:
            for j in range(k):
                f, slope = _squared(Z[i, j] + b[j], y[i, j])
                value += f
                Z[i, j] = slope * scale[i]
                grad_b[j] += Z[i, j]
        loss += scale[i] * value
    return loss


@compiled
def scale_rows(delta, scale, grad_b):
    """Multiply each row of δ (n, k) by its scale (n,) in place and add it to grad_b (k,)."""
    n, k = delta.shape
    for i in range(n):
        for j in range(k):
            delta[i, j] *= scale[i]
            grad_b[j] += delta[i, j]


@compiled
def pull_back(delta, A, kind, grad_b):
    """Multiply δ (n, w) by activation'(A) in place, the derivative as a function of the output; add its rows to grad_b.

    A factor of 0 multiplies like any other, so that an infinite δ becomes the NaN it has to be.
    """
    n, w = delta.shape
    one = delta.dtype.type(1)
    for i in range(n):
        if kind == RELU:
            for j in range(w):
                delta[i, j] *= delta.dtype.type(A[i, j] > 0)
        elif kind == SIGMOID:
            for j in range(w):
                delta[i, j] *= A[i, j] * (one - A[i, j])
        elif kind == TANH:
            for j in range(w):
                delta[i, j] *= one - A[i, j] * A[i, j]
        for j in range(w):
            grad_b[j] += delta[i, j]
