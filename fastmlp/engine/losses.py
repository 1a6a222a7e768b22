"""The losses: logits of some samples to the loss of each and to D = ∂(batch loss)/∂logits.

A and D are tiles of S samples in panels of R outputs, `stride` rows from panel to panel; K outputs are real. A sample k
has the share share[k] of the batch's mean loss. Its class number, or a row of K numbers, stands at target[k]. Of
numbers the loss counts each output c in units[c], (P, R) with 1 for the largest; D does not know them.
"""

import math

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

LOWEST = -math.inf


def make_head(loss, kind, row):
    """Return the kernel head(begin, end, K, panels, stride, A, D, target, share, units, loss): begin ≤ k < end.

    target[k] is the address of the class number, or of a row of K numbers.
    """
    return HEADS[loss](kind, row)


def make_is_output(row):
    """Return is_output(A, p, K): which lanes of panel p stand for an output."""

    @inline
    def is_output(A, p, K):
        return iota(A, number(A, p * row)) < number(A, K)

    return is_output


def make_put_targets(row):
    """Return put_targets(k, K, stride, D, y): a sample's numbers into its row of D, where they are read as vectors."""

    @inline
    def put_targets(k, K, stride, D, y):
        for c in range(K):
            (D + c // row * stride)[k, c % row] = y[c]

    return put_targets


def make_clip(kind):
    """Return clip(-ln p), which keeps p within [ε, 1 - ε], ε being the distance from 1 to the next number."""
    epsilon = {"f32": 2.0**-23, "f64": 2.0**-52}[kind]
    low, high = -math.log1p(-epsilon), -math.log(epsilon)

    @inline
    def clip(loss):
        return low if loss < low else high if loss > high else loss

    return clip


def make_no_limit(kind):
    @inline
    def no_limit(loss):
        return loss

    return no_limit


def make_softmax_loss(make_limit):
    """Return the maker of a head whose loss is -ln p of the class, p the softmax, within limits."""

    def make(kind, row):
        labels, is_output, limited = pointer("i64"), make_is_output(row), make_limit(kind)

        @kernel
        def softmax_loss(begin, end, K, panels, stride, A, D, target, share, units, loss):
            for k in range(begin, end):
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
                p, lane = label // row, label % row
                (D + p * stride)[k, lane] = (D + p * stride)[k, lane] - number(A, share[k])
                loss[k] = limited(log(total) + highest - (A + p * stride)[k, lane])

        return softmax_loss

    return make


def make_binary_cross_entropy(kind, row):
    numbers, is_output, put_targets = pointer(kind), make_is_output(row), make_put_targets(row)

    @kernel
    def binary_cross_entropy(begin, end, K, panels, stride, A, D, target, share, units, loss):
        for k in range(begin, end):
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

    return binary_cross_entropy


def make_sum_of_outputs(make_value, output):
    """Return the maker of a head whose loss is the sum of make_value(kind)(z, y) and whose D is output(z) - y."""

    def make(kind, row):
        numbers, is_output, put_targets = pointer(kind), make_is_output(row), make_put_targets(row)
        value_of = make_value(kind)

        @kernel
        def sum_of_outputs(begin, end, K, panels, stride, A, D, target, share, units, loss):
            for k in range(begin, end):
                wanted, value = numbers(target[k]), 0.0
                for c in range(K):
                    value += value_of((A + c // row * stride)[k, c % row], wanted[c])
                put_targets(k, K, stride, D, wanted)
                for p in range(panels):
                    error = output((A + p * stride)[k]) - (D + p * stride)[k]
                    (D + p * stride)[k] = where(is_output(A, p, K), error * number(A, share[k]), 0)
                loss[k] = value

        return sum_of_outputs

    return make


def make_binary_log_loss(kind):
    clip = make_clip(kind)

    @inline
    def binary_log_loss(z, y):
        return clip(maximum(z, 0) - z * y + log(1 + exp(-absolute(z))))

    return binary_log_loss


def make_poisson(kind):
    @inline
    def poisson(z, y):
        value = exp(z) - y - y * z
        return value + y * log(y) if y > 0 else value

    return poisson


def make_mean_of_errors(loss_of, slope_of, is_mean_slope=True):
    """Return the maker of a head whose loss is the mean of loss_of(output - target) and D the mean of slope_of.

    Without `is_mean_slope`, D is the sum.
    """

    def make(kind, row):
        numbers, is_output, put_targets = pointer(kind), make_is_output(row), make_put_targets(row)

        @kernel
        def mean_of_errors(begin, end, K, panels, stride, A, D, target, share, units, loss):
            for k in range(begin, end):
                put_targets(k, K, stride, D, numbers(target[k]))
                value = 0.0
                for p in range(panels):
                    error = where(is_output(A, p, K), (A + p * stride)[k] - (D + p * stride)[k], 0)
                    value += reduce_sum(loss_of(error) * (units[p] * units[p]))
                    (D + p * stride)[k] = slope_of(error) * number(A, share[k] / K if is_mean_slope else share[k])
                loss[k] = value / K

        return mean_of_errors

    return make


@inline
def squared(r):
    return r * r


@inline
def squared_slope(r):
    return 2 * r


@inline
def half_squared(r):
    return 0.5 * (r * r)


@inline
def half_squared_slope(r):
    return r


@inline
def huber(r):
    inside = huber_slope(r)
    return inside * (r - 0.5 * inside)


@inline
def huber_slope(r):
    return where(r > 1, 1, where(r < -1, -1, r))


HEADS = {
    "cross_entropy": make_softmax_loss(make_no_limit),
    "binary_cross_entropy": make_binary_cross_entropy,
    "mean_squared_error": make_mean_of_errors(squared, squared_slope),
    "half_squared_error": make_mean_of_errors(half_squared, half_squared_slope, is_mean_slope=False),
    "poisson": make_sum_of_outputs(make_poisson, exp),
    "log_loss": make_softmax_loss(make_clip),
    "binary_log_loss": make_sum_of_outputs(make_binary_log_loss, sigmoid),
    "huber": make_mean_of_errors(huber, huber_slope),
}
"""For each loss, the function of (kind, row) that makes its kernel."""
