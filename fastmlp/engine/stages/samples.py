"""Batches divided by sample: gradients of shards of samples, and the step that adds them up.

Each thread takes its shards through its own copy of the network, and leaves their gradients where all threads read
them. After a barrier each thread adds up the gradients of all shards, in their order: all copies take the same step.

p counts the panels of a layer, q those of the layer below.
"""

from fastmlp.engine.division import (
    PANELS,
    own_sample_shards,
    shard_gradients,
    shard_of_samples,
    shards_in,
    tiles_of,
    two,
    whole_samples,
    within,
)
from fastmlp.engine.hidden import add_rows, dense_gradient, masked_gradient
from fastmlp.engine.last_layer import output_backward as backward_tile
from fastmlp.engine.last_layer import output_gradient as gradient_tile
from fastmlp.engine.last_layer import output_product as product_tile
from fastmlp.engine.last_layer import output_sum
from fastmlp.engine.optimizers import STEPS, rate_of, store
from fastmlp.engine.plan import panels_at_once
from fastmlp.engine.simd import kernel, least, low_bits, pointer, splat, transpose, transpose_bits
from fastmlp.engine.stages.upper import gradient_of
from fastmlp.engine.tables import S
from fastmlp.engine.views import layer_table, run_table

integers, words = pointer("i64"), pointer("i64", 64)


@kernel
def masks_between(M, C, k0, count):
    """C[u] = the bits of those of samples k0 ≤ k < k0 + count of a tile in which unit u is active, from M."""
    words(C)[0] = transpose_bits(words(M)[0]) & (low_bits(k0 + count) & ~low_bits(k0))


def over_shards(gradient, bias_gradient):
    """Return the stage that calls two kernels(t, layer, r, begin, end) for each shard r that this thread owns."""

    def gradients(run, address):
        t, layer = run_table(run), layer_table(address)
        r0, r1 = own_sample_shards(t.size, t)
        for r in range(r0, r1):
            begin, end = shard_of_samples(t.size, t, r)
            gradient(t, layer, r, begin, end)
            bias_gradient(t, layer, r, begin, end)

    return gradients


def make_bias_gradient(kind, row):
    """Return the kernel that leaves the gradient of a layer's biases from the samples of shard r."""
    rows = pointer(kind, row)

    @kernel
    def bias_gradient(t, layer, r, begin, end):
        G = rows(layer.bias_gradient) + shard_gradients(t, layer, r, layer.panels)
        for p in range(layer.panels):
            G[p] = add_rows(end - begin, rows(layer.D) + (p * t.tiles * S + begin), splat(G, 0))

    return bias_gradient


def make_first_gradient(kind, row):
    """Return the stage that leaves the gradients of the first layer from panels of features."""
    rows, bias_gradient = pointer(kind, row), make_bias_gradient(kind, row)
    at_once = panels_at_once(row, kind, skips=False)
    some = PANELS[at_once]

    @kernel
    def gradient(t, layer, r, begin, end):
        T, P, Q = t.tiles, layer.panels, layer.in_panels
        X, D = rows(t.copied) + t.turn * Q * T * S, rows(layer.D)
        G = rows(layer.gradient) + shard_gradients(t, layer, r, P * layer.in_rows)
        i0, i1 = tiles_of(begin, end)
        for p in range(0, P, at_once):
            for q in range(Q):
                g, units = some(G + q * row, p, P, layer.in_rows), least(row, t.d - q * row)
                for i in range(i0, i1):
                    k0, count = within(i, begin, end)
                    k = i * S + k0
                    dense_gradient(
                        count, units, 0, X + (q * T * S + k), some(D + k, p, P, T * S), g, g, i == i0,
                        i == i1 - 1, store, 0, 0, 0.0,
                    )  # fmt: skip

    return over_shards(gradient, bias_gradient)


def make_transposed_gradient(kind, row):
    """Return the stage that leaves the gradients of a first layer kept by unit: inactive units cost nothing."""
    rows, bias_gradient = pointer(kind, row), make_bias_gradient(kind, row)

    @kernel
    def gradient(t, layer, r, begin, end):
        T, P, Q = t.tiles, layer.panels, layer.in_panels
        X = rows(t.copied) + t.turn * Q * T * S
        G = rows(layer.gradient) + shard_gradients(t, layer, r, P * layer.in_rows)
        i0, i1 = tiles_of(begin, end)
        for p in range(P):
            for i in range(i0, i1):
                k0, count = within(i, begin, end)
                d = (p * T + i) * S
                masks_between(integers(layer.M) + d, integers(layer.C) + d, k0, count)
            for q in range(0, Q, 2):
                g = two(G + p * row, q, Q, P * row)
                for i in range(i0, i1):
                    d, units = (p * T + i) * S, least(row, layer.units - p * row)
                    masked_gradient(
                        S, units, integers(layer.C) + d, rows(layer.D) + d, two(X + i * S, q, Q, T * S), g, g,
                        i == i0, i == i1 - 1, store, 0, 0, 0.0,
                    )  # fmt: skip

    return over_shards(gradient, bias_gradient)


def make_gradient(kind, below_row, row, skips):
    """Return the stage that leaves the gradients of a layer above the first."""
    rows, inputs, bias_gradient = pointer(kind, row), pointer(kind, below_row), make_bias_gradient(kind, row)
    multiply, at_once, some = gradient_of(row, kind, skips)
    by_mask = multiply is masked_gradient

    @kernel
    def gradient(t, layer, r, begin, end):
        below = layer_table(layer.below)
        T, P, D = t.tiles, layer.panels, rows(layer.D)
        G = rows(layer.gradient) + shard_gradients(t, layer, r, P * layer.in_rows)
        i0, i1 = tiles_of(begin, end)
        for q in range(layer.in_panels):
            units, samples = least(below_row, layer.in_units - q * below_row), integers(below.C) + q * T * S
            if by_mask:
                for i in range(i0, i1):
                    k0, count = within(i, begin, end)
                    masks_between(integers(below.M) + (q * T + i) * S, samples + i * S, k0, count)
            for p in range(0, P, at_once):
                g = some(G + q * below_row, p, P, layer.in_rows)
                for i in range(i0, i1):
                    k0, count = within(i, begin, end)
                    k = i * S if by_mask else i * S + k0  # masks tell which samples of the tile count
                    multiply(
                        count, units, samples + i * S, inputs(below.A) + (q * T * S + k),
                        some(D + k, p, P, T * S), g, g, i == i0, i == i1 - 1, store, 0, 0, 0.0,
                    )  # fmt: skip

    return over_shards(gradient, bias_gradient)


def make_output_product(kind, below_row, row):
    """Return the stage Z = b + A_below W of few outputs, for this thread's samples."""
    rows, inputs, numbers = pointer(kind, row), pointer(kind, below_row), pointer(kind)

    def output_product(run, address):
        t, layer = run_table(run), layer_table(address)
        below, T = layer_table(layer.below), t.tiles
        begin, end = whole_samples(layer, t)
        i0, i1 = tiles_of(begin, end)
        for i in range(i0, i1):
            k0, count = within(i, begin, end)
            product_tile(
                k0, k0 + count, layer.units, layer.in_panels, inputs(below.A) + i * S, T * S, inputs(layer.WT), row,
                numbers(layer.b), inputs(t.G), rows(layer.A) + i * S, row,
            )  # fmt: skip

    return output_product


def make_output_backward(kind, below_row, row):
    """Return the stage that takes the deltas of few outputs to the activations below, for this thread's samples."""
    outputs, numbers = pointer(kind, below_row), pointer(kind)

    def output_backward(run, address):
        t, layer = run_table(run), layer_table(address)
        below, T = layer_table(layer.below), t.tiles
        begin, end = whole_samples(layer, t)
        i0, i1 = tiles_of(begin, end)
        for i in range(i0, i1):
            k0, count = within(i, begin, end)
            for q in range(0, layer.in_panels, 2):
                backward_tile(
                    k0, k0 + count, layer.units, numbers(layer.D) + i * S * row,
                    two(outputs(layer.WT), q, layer.in_panels, row),
                    two(outputs(below.D) + i * S, q, layer.in_panels, T * S),
                )  # fmt: skip

    return output_backward


def make_output_gradient(kind, below_row, row):
    """Return the stage that leaves the gradients of a layer of few outputs."""
    rows, inputs, numbers = pointer(kind, row), pointer(kind, below_row), pointer(kind)
    at_once = panels_at_once(below_row, kind, skips=False)
    some = PANELS[at_once]

    @kernel
    def gradient(t, layer, r, begin, end):
        below, T, Q = layer_table(layer.below), t.tiles, layer.in_panels
        G = inputs(layer.gradient) + shard_gradients(t, layer, r, Q * row)
        i0, i1 = tiles_of(begin, end)
        for q in range(0, Q, at_once):
            for i in range(i0, i1):
                k0, count = within(i, begin, end)
                gradient_tile(
                    k0, k0 + count, layer.units, numbers(layer.D) + i * S * row,
                    some(inputs(below.A) + i * S, q, Q, T * S), some(G, q, Q, row), i == i0,
                )  # fmt: skip

    @kernel
    def bias_gradient(t, layer, r, begin, end):
        G = numbers(rows(layer.bias_gradient) + shard_gradients(t, layer, r, 1))
        i0, i1 = tiles_of(begin, end)
        for c in range(layer.units):
            g = 0.0
            for i in range(i0, i1):
                k0, count = within(i, begin, end)
                g += output_sum(k0, k0 + count, rows(layer.D) + i * S, c, row)
            G[c] = g

    return over_shards(gradient, bias_gradient)


def make_add_shards(kind, row, optimizer):
    """Return the kernel that takes rows of weights a step, with the sum of the gradients of all shards."""
    rows, step = pointer(kind, row), STEPS[optimizer]

    @kernel
    def add_shards(t, layer, W, gradient, begin, end, size, state, decay):
        """Rows begin ≤ i < end of W, of which a shard has `size`."""
        G, shards, rate = rows(gradient) + shard_gradients(t, layer, 0, size), shards_in(t.size, t), rate_of(t)
        for i in range(begin, end):
            g = G[i]
            for r in range(1, shards):
                g = g + G[r * size + i]
            step(rows(W), i, g, state, rate, decay)

    return add_shards


def make_shard_step(kind, below_row, row, optimizer):
    """Return the stage that takes this thread's copy of a layer a step, with all shards' gradients; WT follows."""
    rows, inputs, add_shards = pointer(kind, row), pointer(kind, below_row), make_add_shards(kind, row, optimizer)

    def shard_step(run, address):
        t, layer = run_table(run), layer_table(address)
        P, Q, height, rate = layer.panels, layer.in_panels, layer.in_rows, rate_of(t)
        for p in range(P):
            begin = p * height
            add_shards(
                t, layer, layer.W, layer.gradient, begin, begin + layer.in_units, P * height, layer.state, rate.decay
            )
        add_shards(t, layer, layer.b, layer.bias_gradient, 0, P, P, layer.state, 0.0)
        if layer.WT:
            for q in range(Q):
                for p in range(P):
                    W, WT = rows(layer.W) + (p * height + q * below_row), inputs(layer.WT) + (q * P + p) * row
                    transpose(W, below_row, WT, row)

    return shard_step


def make_transposed_shard_step(kind, below_row, row, optimizer):
    """Return the stage that does so for a layer that is kept by unit, where W follows, or by output, where none is."""
    inputs, rows = pointer(kind, below_row), pointer(kind, row)
    add_shards, add_biases = make_add_shards(kind, below_row, optimizer), make_add_shards(kind, row, optimizer)

    def transposed_shard_step(run, address):
        t, layer = run_table(run), layer_table(address)
        P, Q, rate = layer.panels, layer.in_panels, rate_of(t)
        state = layer.state * row // below_row
        for q in range(Q):
            begin = q * P * row
            add_shards(t, layer, layer.WT, layer.gradient, begin, begin + layer.units, Q * P * row, state, rate.decay)
        add_biases(t, layer, layer.b, layer.bias_gradient, 0, P, P, layer.state, 0.0)
        if layer.W:
            for q in range(Q):
                for p in range(P):
                    W, WT = rows(layer.W) + (p * layer.in_rows + q * below_row), inputs(layer.WT) + (q * P + p) * row
                    transpose(WT, row, W, below_row)

    return transposed_shard_step
