"""The losses: logits of some samples to the loss of each and to D = ∂(batch loss)/∂logits.

A and D are tiles of S samples in panels of R outputs, `stride` rows from panel to panel; K outputs are real. A sample k
has the share share[k] of the batch's mean loss. Its class number, or a row of K numbers, stands at target[k]. Of
numbers the loss counts each output c in units[c], (P, R) with 1 for the largest; D does not know them.
"""

from fastmlp.engine.simd import (
    absolute,
    exp,
    inline,
    iota,
    kernel,
    log,
    maximum,
    number,
    pointer,
    reduce_max,
    reduce_product,
    reduce_sum,
    sigmoid,
    splat,
    where,
)

LOWEST = -1e30


def make_head(loss, kind, lanes):
    """Return the kernel head(first, last, K, panels, stride, A, D, target, share, units, loss): first ≤ k < last.

    target[k] is the address of the class number, or of a row of K numbers.
    """
    numbers, labels = pointer(kind), pointer("i64")

    @inline
    def is_output(A, p, K):
        return iota(A, number(A, p * lanes)) < number(A, K)

    @inline
    def put_targets(k, K, stride, D, y):
        """A sample's numbers into its row of D, from where they are read as vectors."""
        for c in range(K):
            (D + c // lanes * stride)[k, c % lanes] = y[c]

    @kernel
    def cross_entropy(first, last, K, panels, stride, A, D, target, share, units, loss):
        for k in range(first, last):
            top = splat(A, LOWEST)
            for p in range(panels):
                top = maximum(top, where(is_output(A, p, K), (A + p * stride)[k], LOWEST))
            highest = reduce_max(top)
            e_sum = splat(A, 0)
            for p in range(panels):
                e = where(is_output(A, p, K), exp((A + p * stride)[k] - highest), 0)
                (D + p * stride)[k] = e
                e_sum += e
            total = reduce_sum(e_sum)
            scale = number(A, share[k] / total)
            for p in range(panels):
                (D + p * stride)[k] = (D + p * stride)[k] * scale
            label = labels(target[k])[0]
            p, lane = label // lanes, label % lanes
            (D + p * stride)[k, lane] = (D + p * stride)[k, lane] - number(A, share[k])
            loss[k] = log(total) + highest - (A + p * stride)[k, lane]

    @kernel
    def binary_cross_entropy(first, last, K, panels, stride, A, D, target, share, units, loss):
        for k in range(first, last):
            put_targets(k, K, stride, D, numbers(target[k]))
            value = 0.0
            for p in range(panels):
                outputs = is_output(A, p, K)
                z, wanted = (A + p * stride)[k], (D + p * stride)[k]
                part = where(outputs, maximum(z, 0) - z * wanted, 0)
                e = where(outputs, exp(-absolute(z)), 0)
                value += reduce_sum(part) + log(reduce_product(1 + e))
                (D + p * stride)[k] = where(outputs, (sigmoid(z) - wanted) * number(A, share[k] / K), 0)
            loss[k] = value / K

    @kernel
    def mean_squared_error(first, last, K, panels, stride, A, D, target, share, units, loss):
        for k in range(first, last):
            put_targets(k, K, stride, D, numbers(target[k]))
            value = 0.0
            for p in range(panels):
                r = where(is_output(A, p, K), (A + p * stride)[k] - (D + p * stride)[k], 0)
                in_units = r * units[p]
                value += reduce_sum(in_units * in_units)
                (D + p * stride)[k] = r * number(A, 2 * share[k] / K)
            loss[k] = value / K

    return {
        "cross_entropy": cross_entropy,
        "binary_cross_entropy": binary_cross_entropy,
        "mean_squared_error": mean_squared_error,
    }[loss]
