"""The losses: logits of some samples to the loss of each and to D = ∂(batch loss)/∂logits.

A and D are tiles of S samples of K outputs, in rows `stride` rows apart: either rows of one sample, whose lanes are a
panel of its outputs, or, where a register holds all outputs of a sample, rows of one output, whose lanes are samples.
An `Axis` tells the two apart, and a loss is one formula for both. A sample k has the share share[k] of the batch's mean
loss. Its class number, or a row of K numbers, stands at target[k]. Of numbers the loss counts each output c in
units[c], with 1 for the largest; D does not know them.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from fastmlp.engine.simd import (
    absolute,
    by_kind,
    convert,
    exp,
    inline,
    iota,
    kernel,
    least,
    log,
    maximum,
    number,
    pointer,
    reduce_max,
    reduce_sum,
    sigmoid,
    splat,
    where,
)

LOWEST = -math.inf


class Axis(NamedTuple):
    """What the lanes of a row are, in functions of row p of the outputs: all for compiled code."""

    samples: int
    """Samples in a row."""
    only: Callable[..., Any]
    """only(A, p, K, x, other): x where a lane stands for an output, else `other`."""
    outputs: Callable[..., Any]
    """outputs(A, p): the output of each lane."""
    total: Callable[..., Any]
    """total(x): the sum over the outputs in a row."""
    highest: Callable[..., Any]
    """highest(x): the largest of the outputs in a row."""
    spread: Callable[..., Any]
    """spread(A, x): what a sample has, for its lanes."""
    unit: Callable[..., Any]
    """unit(units, p): of the outputs in a row."""
    weights: Callable[..., Any]
    """weights(k, end, share, spare): the shares of samples k, k + 1, … before `end`; `spare` has room for two rows."""
    labels: Callable[..., Any]
    """labels(k, end, target, spare): their class numbers."""
    put_targets: Callable[..., Any]
    """put_targets(k, end, K, stride, D, target): their rows of numbers into D, where they are read as vectors."""
    put: Callable[..., Any]
    """put(loss, k, x): their losses, as float64."""


def make_head(loss, kind, row, lanes_are_samples=False):
    """Return the kernel head(begin, end, K, rows, stride, A, D, target, share, units, spare, loss): begin ≤ k < end.

    target[k] is the address of the class number, or of a row of K numbers. There are `rows` rows of outputs. If lanes
    are samples, begin is a multiple of a row's samples, and what comes after `end` in the last row may be overwritten.
    """
    return HEADS[loss](kind, (make_sample_axis if lanes_are_samples else make_output_axis)(kind, row))


def make_output_axis(kind, row):
    """Return the axis of rows of one sample, whose lanes are outputs."""
    labels_at, numbers = pointer("i64"), pointer(kind)

    @inline
    def only(A, p, K, x, other):
        return where(outputs(A, p) < number(A, K), x, other)

    @inline
    def outputs(A, p):
        return iota(A, number(A, p * row))

    @inline
    def spread(A, x):
        return number(A, x)

    @inline
    def unit(units, p):
        return units[p]

    @inline
    def weights(k, end, share, spare):
        return share[k]

    @inline
    def labels(k, end, target, spare):
        return labels_at(target[k])[0]

    @inline
    def put_targets(k, end, K, stride, D, target):
        y = numbers(target[k])
        for c in range(K):
            (D + c // row * stride)[k, c % row] = y[c]

    @inline
    def put(loss, k, x):
        loss[k] = x

    return Axis(1, only, outputs, reduce_sum, reduce_max, spread, unit, weights, labels, put_targets, put)


def make_sample_axis(kind, row):
    """Return the axis of rows of one output, whose lanes are samples."""
    labels_at, numbers, wide = pointer("i64"), pointer(kind), pointer("f64", row)

    @inline
    def only(A, p, K, x, other):
        return x

    @inline
    def outputs(A, p):
        return splat(A, number(A, p))

    @inline
    def itself(x):
        return x

    @inline
    def spread(A, x):
        return x

    @inline
    def unit(units, p):
        return units[p // row, p % row]

    @inline
    def weights(k, end, share, spare):
        for a in range(row):
            spare[0, a] = number(spare, share[k + a] if k + a < end else 0.0)
        return spare[0]

    @inline
    def labels(k, end, target, spare):
        for a in range(row):
            spare[1, a] = number(spare, labels_at(target[least(k + a, end - 1)])[0])
        return spare[1]

    @inline
    def put_targets(k, end, K, stride, D, target):
        for a in range(row):
            y = numbers(target[least(k + a, end - 1)])
            for c in range(K):
                (D + c * stride)[k // row, a] = y[c]

    @inline
    def put(loss, k, x):
        out = wide(loss + k)
        out[0] = convert(out, x)

    return Axis(row, only, outputs, itself, itself, spread, unit, weights, labels, put_targets, put)


def make_clip(kind):
    """Return clip(-ln p), which keeps p within [ε, 1 - ε], ε being the distance from 1 to the next number."""
    epsilon = {"f32": 2.0**-23, "f64": 2.0**-52}[kind]
    low, high = -math.log1p(-epsilon), -math.log(epsilon)
    lowest, highest = by_kind(f32=low, f64=low), by_kind(f32=high, f64=high)

    @inline
    def clip(loss):
        return where(loss < lowest(loss), lowest(loss), where(loss > highest(loss), highest(loss), loss))

    return clip


def make_no_limit(kind):
    @inline
    def no_limit(loss):
        return loss

    return no_limit


def make_softmax_loss(make_limit):
    """Return the maker of a head whose loss is -ln p of the class, p the softmax, within limits."""

    def make(kind, axis):
        limited, step = make_limit(kind), axis.samples
        only, outputs, total, highest, spread = axis.only, axis.outputs, axis.total, axis.highest, axis.spread
        weights, labels, put = axis.weights, axis.labels, axis.put

        @kernel
        def softmax_loss(begin, end, K, rows, stride, A, D, target, share, units, spare, loss):
            for k in range(begin, end, step):
                i, weight, label = k // step, weights(k, end, share, spare), labels(k, end, target, spare)
                top = splat(A, LOWEST)
                for p in range(rows):
                    top = maximum(top, only(A, p, K, (A + p * stride)[i], LOWEST))
                most = highest(top)
                e_sum = splat(A, 0)
                for p in range(rows):
                    e = only(A, p, K, exp((A + p * stride)[i] - most), 0)
                    (D + p * stride)[i] = e
                    e_sum += e
                e_total = total(e_sum)
                scale, own, z = spread(A, weight / e_total), spread(A, weight), splat(A, 0)
                for p in range(rows):
                    is_class = outputs(A, p) == label
                    (D + p * stride)[i] = (D + p * stride)[i] * scale - where(is_class, own, splat(A, 0))
                    z += where(is_class, (A + p * stride)[i], 0)
                put(loss, k, limited(log(e_total) + most - total(z)))

        return softmax_loss

    return make


def make_sum_of_outputs(make_loss, slope_of, is_mean=False, is_mean_slope=False):
    """Return the maker of a head with the sum over outputs of make_loss(kind)(z, y, u), and with D = slope_of(z, y).

    u is the output's unit. With is_mean the loss is the mean over outputs, with is_mean_slope D that of a mean.
    """

    def make(kind, axis):
        loss_of, step = make_loss(kind), axis.samples
        only, total, spread, weights, put = axis.only, axis.total, axis.spread, axis.weights, axis.put
        put_targets, unit = axis.put_targets, axis.unit

        @kernel
        def sum_of_outputs(begin, end, K, rows, stride, A, D, target, share, units, spare, loss):
            for k in range(begin, end, step):
                put_targets(k, end, K, stride, D, target)
                i, weight = k // step, weights(k, end, share, spare)
                own = spread(A, weight / number(weight, K) if is_mean_slope else weight)
                value = splat(A, 0)
                for p in range(rows):
                    z, y = (A + p * stride)[i], (D + p * stride)[i]
                    value += only(A, p, K, loss_of(z, y, unit(units, p)), 0)
                    (D + p * stride)[i] = only(A, p, K, slope_of(z, y) * own, 0)
                loss_sum = total(value)
                put(loss, k, loss_sum / number(loss_sum, K) if is_mean else loss_sum)

        return sum_of_outputs

    return make


def make_binary_log_loss(kind):
    clip = make_clip(kind)

    @inline
    def binary_log_loss(z, y, u):
        return clip(cross_entropy(z, y, u))

    return binary_log_loss


@inline
def cross_entropy(z, y, u):
    return maximum(z, 0) - z * y + log(1 + exp(-absolute(z)))


@inline
def sigmoid_slope(z, y):
    return sigmoid(z) - y


@inline
def poisson(z, y, u):
    return exp(z) - y - y * z + where(y > 0, y * log(where(y > 0, y, 1)), 0)


@inline
def poisson_slope(z, y):
    return exp(z) - y


@inline
def squared(z, y, u):
    r = (z - y) * u
    return r * r


@inline
def squared_slope(z, y):
    return 2 * (z - y)


@inline
def half_squared(z, y, u):
    r = (z - y) * u
    return 0.5 * (r * r)


@inline
def half_squared_slope(z, y):
    return z - y


@inline
def huber(z, y, u):
    r = z - y
    inside = huber_slope(z, y)
    return inside * (r - 0.5 * inside) * (u * u)


@inline
def huber_slope(z, y):
    r = z - y
    return where(r > 1, 1, where(r < -1, -1, r))


def _sum(loss, slope, **means):
    return make_sum_of_outputs(lambda kind: loss, slope, **means)


HEADS = {
    "cross_entropy": make_softmax_loss(make_no_limit),
    "binary_cross_entropy": _sum(cross_entropy, sigmoid_slope, is_mean=True, is_mean_slope=True),
    "mean_squared_error": _sum(squared, squared_slope, is_mean=True, is_mean_slope=True),
    "half_squared_error": _sum(half_squared, half_squared_slope, is_mean=True),
    "poisson": _sum(poisson, poisson_slope),
    "log_loss": make_softmax_loss(make_clip),
    "binary_log_loss": make_sum_of_outputs(make_binary_log_loss, sigmoid_slope),
    "huber": _sum(huber, huber_slope, is_mean=True, is_mean_slope=True),
}
"""For each loss, the function of (kind, axis) that makes its kernel."""
