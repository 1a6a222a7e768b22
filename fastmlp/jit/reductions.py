"""Compiled passes over whole data sets: losses of predictions, and columns brought to mean 0 and deviation 1."""

import math

import numpy as np

from fastmlp.jit.compilation import compiled

EPSILON = 1e-15


@compiled(fastmath={"contract", "reassoc"})
def squared_error(predictions, y):
    """Return Σ (ŷ - y)² of two vectors, summed in float64."""
    total = 0.0
    for i in range(y.size):
        error = np.float64(predictions[i]) - y[i]
        total += error * error
    return total


@compiled
def _entropy(probability, y):
    """Return -y ln(p + ε), without the logarithm where y is 0 and p is a probability."""
    if y == 0 and 0 <= probability <= 1:
        return 0.0
    return -y * math.log(probability + EPSILON)


@compiled
def entropy(A, y):
    """Return -Σ y ln(A + ε) of two vectors, summed in float64."""
    total = 0.0
    for i in range(y.size):
        total += _entropy(np.float64(A[i]), np.float64(y[i]))
    return total


@compiled
def binary_entropy(A, y):
    """Return -Σ y ln(A + ε) + (1 - y) ln(1 - A + ε) of two vectors, summed in float64."""
    total = 0.0
    for i in range(y.size):
        a, y_i = np.float64(A[i]), np.float64(y[i])
        total += _entropy(a, y_i) + _entropy(1 - a, 1 - y_i)
    return total


@compiled
def standardize(X, out):
    """Write (X - mean) / std of each column of X (n, d) to `out`; a column that never varies becomes 0.

    Sums are float64 and start from the first row, so that a constant column has a deviation of exactly 0.
    """
    n, d = X.shape
    mean, deviation = np.zeros(d), np.zeros(d)
    for i in range(n):
        for j in range(d):
            mean[j] += np.float64(X[i, j]) - X[0, j]
    for j in range(d):
        mean[j] /= n
    for i in range(n):
        for j in range(d):
            difference = (np.float64(X[i, j]) - X[0, j]) - mean[j]
            deviation[j] += difference * difference
    for j in range(d):
        deviation[j] = math.sqrt(deviation[j] / n) if deviation[j] > 0 else 1.0
    for i in range(n):
        for j in range(d):
            out[i, j] = ((np.float64(X[i, j]) - X[0, j]) - mean[j]) / deviation[j]
