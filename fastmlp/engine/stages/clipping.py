"""Clipping by the norm: the squares of a whole gradient, and then the steps.

Update stages have left the gradient in the array before the weights. Its squares are summed in parts, each by the
thread that owns the weights; every thread adds the parts up in one order.
"""

import math

from fastmlp.engine.division import first_units, own_features, owned, updated_panels
from fastmlp.engine.optimizers import STEPS, rate_of
from fastmlp.engine.simd import convert, inline, kernel, least, number, pointer, reduce_sum, splat, sqrt, transpose
from fastmlp.engine.stages.upper import make_sum_parts
from fastmlp.engine.views import layer_table, run_table

floats = pointer("f64")


def make_sum_squares(row):
    """Return the kernel Σ G[i]² over i < count, an even number, and all lanes, in float64: squares may be large."""
    wide = pointer("f64", row)

    @kernel
    def sum_squares(G, count):
        s0 = splat(wide(0), 0)
        s1 = s0
        for i in range(0, count, 2):
            g0, g1 = convert(wide(0), G[i]), convert(wide(0), G[i + 1])
            s0 += g0 * g0
            s1 += g1 * g1
        return reduce_sum(s0 + s1)

    return sum_squares


def make_bias_squares(row):
    """Return the kernel that sums the squares of the gradient of the biases that this thread owns, panel by panel."""
    wide = pointer("f64", row)

    @kernel
    def bias_squares(t, layer, b):
        squares = floats(t.gradient_squares) + layer.bias_square
        begin, end = updated_panels(layer, t)
        if layer.replicated and t.thread > 0:
            return
        for p in range(begin, end):
            g = convert(wide(0), (b + -layer.state)[p])
            squares[p] = reduce_sum(g * g)

    return bias_squares


def make_gradient_squares(kind, row):
    """Return the stage that sums the squares of the gradient of a layer's weights and biases that this thread owns."""
    rows, sum_parts, bias_squares = pointer(kind, row), make_sum_parts(make_sum_squares(row)), make_bias_squares(row)

    def gradient_squares(run, address):
        t, layer = run_table(run), layer_table(address)
        squares = floats(t.gradient_squares) + layer.first_square
        sum_parts(t, layer, rows(layer.W) + -layer.state, squares)
        bias_squares(t, layer, rows(layer.b))

    return gradient_squares


def make_transposed_squares(kind, row):
    """Return the stage that does the same of a first layer that is kept by unit."""
    rows, sum_squares, bias_squares = pointer(kind, row), make_sum_squares(row), make_bias_squares(row)

    def transposed_squares(run, address):
        t, layer = run_table(run), layer_table(address)
        P, G, squares = layer.panels, rows(layer.WT) + -layer.state, floats(t.gradient_squares) + layer.first_square
        begin, end = owned(P, t)
        for p in range(begin, end):
            squares[p] = 0.0
            for q in range(layer.in_panels):
                squares[p] = squares[p] + sum_squares(G + (q * P + p) * row, row)
        bias_squares(t, layer, rows(layer.b))

    return transposed_squares


def make_clip():
    """Return the stage that finds what the gradient is multiplied by: min(1, the largest norm / its norm).

    A norm that is not finite makes NaN of it, which ends the training.
    """

    def clip(run, layer):
        t = run_table(run)
        squares, total = floats(t.gradient_squares), 0.0
        for i in range(t.gradient_parts):
            total += squares[i]
        norm, most = sqrt(total), rate_of(t).clip_norm
        shrunk = most / norm if norm < math.inf else math.nan
        floats(t.factor)[0] = 1.0 if norm <= most else shrunk

    return clip


@kernel
def step_rows(begin, end, W, factor, step, state, rate, decay):
    """Rows begin ≤ i < end take their step with factor · G[i]."""
    G = W + -state
    for i in range(begin, end):
        step(W, i, factor * G[i], state, rate, decay)


@inline
def own_rows(t, layer):
    """(begin, end) of the rows of W, in every panel, that this thread updates; see `own_panels`."""
    if layer.below:
        begin, end = updated_panels(layer_table(layer.below), t)
        part = layer.in_rows // layer.in_panels
    else:
        begin, end = own_features(t)
        part = t.portion
    return begin * part, least(end * part, layer.in_rows)


@inline
def own_panels(t, layer):
    """(begin, end) of the panels in which it does."""
    return (0, layer.panels) if layer.below else first_units(t, layer.panels)


def make_clipped_step(kind, row, optimizer):
    """Return the stage in which the weights and biases of a layer that this thread owns take their step."""
    rows, step = pointer(kind, row), STEPS[optimizer]

    def clipped_step(run, address):
        t, layer = run_table(run), layer_table(address)
        W, b, rate = rows(layer.W), rows(layer.b), rate_of(t)
        factor = number(W, floats(t.factor)[0])
        i0, i1 = own_rows(t, layer)
        p0, p1 = own_panels(t, layer)
        for p in range(p0, p1):
            step_rows(i0, i1, W + p * layer.in_rows, factor, step, layer.state, rate, rate.decay)
        begin, end = updated_panels(layer, t)
        step_rows(begin, end, b, factor, step, layer.state, rate, 0.0)

    return clipped_step


def make_transposed_step(kind, row, optimizer):
    """Return the stage that does the same of a first layer that is kept by unit; W follows."""
    rows, step = pointer(kind, row), STEPS[optimizer]

    def transposed_step(run, address):
        t, layer = run_table(run), layer_table(address)
        W, WT, b, P, rate = rows(layer.W), rows(layer.WT), rows(layer.b), layer.panels, rate_of(t)
        factor = number(W, floats(t.factor)[0])
        begin, end = owned(P, t)
        for p in range(begin, end):
            for q in range(layer.in_panels):
                i = (q * P + p) * row
                step_rows(i, i + row, WT, factor, step, layer.state, rate, rate.decay)
                transpose(WT + i, row, W + (p * layer.in_rows + q * row), row)
        step_rows(begin, end, b, factor, step, layer.state, rate, 0.0)

    return transposed_step


def make_transpose_weights(kind, below_row, row):
    """Return the stage that copies the weights that this thread updates to WT."""
    rows, inputs = pointer(kind, row), pointer(kind, below_row)

    def transpose_weights(run, address):
        t, layer = run_table(run), layer_table(address)
        P = layer.panels
        begin, end = updated_panels(layer_table(layer.below), t)
        for q in range(begin, end):
            for p in range(P):
                W, WT = rows(layer.W) + (p * layer.in_rows + q * below_row), inputs(layer.WT) + (q * P + p) * row
                transpose(W, below_row, WT, row)

    return transpose_weights


def make_copy_biases(kind, row):
    """Return the stage that makes the start of a CSR matrix's product anew, h = b."""
    rows = pointer(kind, row)

    def copy_biases(run, address):
        t, layer = run_table(run), layer_table(address)
        begin, end = owned(layer.panels, t)
        for p in range(begin, end):
            rows(t.h)[p] = rows(layer.b)[p]

    return copy_biases
