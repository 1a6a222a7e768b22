"""A layer above the first, or a part of it: products, activations, deltas and updates of some of its panels and tiles.

p counts the panels of a layer, q those of the layer below.
"""

from fastmlp.engine.division import (
    layer_panels,
    layer_samples,
    own_samples,
    own_shards,
    owned,
    share_of,
    tile_size,
    tiles_in,
    tiles_of,
    two,
    within,
)
from fastmlp.engine.hidden import (
    ACTIVATIONS,
    add_panels,
    add_rows,
    dense_gradient,
    dense_product,
    masked_gradient,
    masked_product,
)
from fastmlp.engine.hidden import activate as activate_tile
from fastmlp.engine.hidden import chain as chain_tile
from fastmlp.engine.optimizers import STEPS, rate_of
from fastmlp.engine.plan import is_wide
from fastmlp.engine.simd import kernel, least, low_bits, pair, pointer, splat, transpose, transpose_bits
from fastmlp.engine.tables import CHUNK, S
from fastmlp.engine.views import layer_table, run_table

integers, words = pointer("i64"), pointer("i64", 64)


def make_product(kind, below_row, row):
    """Return the stage A = b + A_below W for this thread's samples."""
    rows, inputs = pointer(kind, row), pointer(kind, below_row)
    multiply = masked_product if is_wide(row, kind) else dense_product

    def product(run, address):
        t, layer = run_table(run), layer_table(address)
        below = layer_table(layer.below)
        T, P = t.tiles, layer.panels
        begin, end = own_samples(t.size, t)
        i0, i1 = tiles_of(begin, end)
        for i in range(i0, i1):
            first, count = within(i, begin, end)
            k = i * S + first
            for p in range(0, P, 2):
                out, b = two(rows(layer.A) + k, p, P, T * S), two(rows(layer.b), p, P, 1)
                for q in range(layer.in_panels):
                    a = q * T * S + k
                    W, units = two(rows(layer.W) + q * below_row, p, P, layer.in_rows), layer.in_units - q * below_row
                    multiply(
                        count, least(below_row, units), integers(below.M) + a, inputs(below.A) + a, W, b, out, q == 0
                    )

    return product


def make_activate(kind, row, activation):
    """Return the stage that takes this thread's samples, or units, through the activation and marks the active ones."""
    rows = pointer(kind, row)
    function, active, _ = ACTIVATIONS[activation]

    def activate(run, address):
        t, layer = run_table(run), layer_table(address)
        begin, end = layer_samples(layer, t)
        p0, p1 = layer_panels(layer, t)
        i0, i1 = tiles_of(begin, end)
        for i in range(i0, i1):
            first, count = within(i, begin, end)
            for p in range(p0, p1):
                a = (p * t.tiles + i) * S + first
                units = least(row, layer.units - p * row)
                activate_tile(count, units, rows(layer.A) + a, integers(layer.M) + a, function, active)

    return activate


def make_spread(kind, below_row, row):
    """Return the stage that adds this thread's shards of the first layer's units to the layer above, all samples."""
    rows, inputs = pointer(kind, row), pointer(kind, below_row)
    multiply = masked_product if is_wide(row, kind) else dense_product

    def spread(run, address):
        t, layer = run_table(run), layer_table(address)
        below, zero = layer_table(layer.below), pair(rows(t.zero), 0)
        T, P, size = t.tiles, layer.panels, t.size
        begin, end = own_shards(t)
        for r in range(begin, end):
            q0, q1 = share_of(layer.in_panels, r, t.shards), share_of(layer.in_panels, r + 1, t.shards)
            for p in range(0, P, 2):
                for i in range(tiles_in(size)):
                    out = two(rows(layer.Z) + (r * P * T + i) * S, p, P, T * S)
                    for q in range(q0, q1):
                        a, units = (q * T + i) * S, least(below_row, layer.in_units - q * below_row)
                        W = two(rows(layer.W) + q * below_row, p, P, layer.in_rows)
                        multiply(
                            tile_size(size, i), units, integers(below.M) + a, inputs(below.A) + a, W, zero, out, q == q0
                        )

    return spread


def make_gather(kind, row):
    """Return the stage that sums what the shards added to a layer, and its biases, for this thread's samples."""
    rows = pointer(kind, row)

    def gather(run, address):
        t, layer = run_table(run), layer_table(address)
        T, P = t.tiles, layer.panels
        begin, end = own_samples(t.size, t)
        i0, i1 = tiles_of(begin, end)
        for i in range(i0, i1):
            first, count = within(i, begin, end)
            for p in range(P):
                k = (p * T + i) * S + first
                add_panels(count, t.shards, P * T * S, rows(layer.Z) + k, rows(layer.b) + p, rows(layer.A) + k)

    return gather


def make_backward(kind, below_row, row):
    """Return the stage that takes the deltas of a layer to the activations of the one below it."""
    rows, outputs = pointer(kind, row), pointer(kind, below_row)
    multiply = masked_product if is_wide(below_row, kind) else dense_product

    def backward(run, address):
        t, layer = run_table(run), layer_table(address)
        below, zero = layer_table(layer.below), pair(outputs(t.zero), 0)
        T = t.tiles
        begin, end = layer_samples(below, t)
        q0, q1 = layer_panels(below, t)
        i0, i1 = tiles_of(begin, end)
        for i in range(i0, i1):
            first, count = within(i, begin, end)
            k = i * S + first
            for q in range(q0, q1, 2):
                out = two(outputs(below.D) + k, q, q1, T * S)
                for p in range(layer.panels):
                    a = p * T * S + k
                    WT = two(outputs(layer.WT) + p * row, q, q1, layer.panels * row)
                    units = least(row, layer.units - p * row)
                    multiply(count, units, integers(layer.M) + a, rows(layer.D) + a, WT, zero, out, p == 0)

    return backward


def make_chain(kind, row, activation):
    """Return the stage D = D · activation'(A) for this thread's samples, or units."""
    rows = pointer(kind, row)
    _, _, slope = ACTIVATIONS[activation]

    def chain(run, address):
        t, layer = run_table(run), layer_table(address)
        begin, end = layer_samples(layer, t)
        p0, p1 = layer_panels(layer, t)
        i0, i1 = tiles_of(begin, end)
        for i in range(i0, i1):
            first, count = within(i, begin, end)
            for p in range(p0, p1):
                a = (p * t.tiles + i) * S + first
                chain_tile(count, rows(layer.A) + a, rows(layer.D) + a, slope)

    return chain


@kernel
def sample_masks(size, tiles, M, C):
    """C[i, u] = the bits of the samples of tile i in which unit u is active, from M, the bits of the units."""
    for i in range(tiles):
        words(C)[i] = transpose_bits(words(M)[i]) & low_bits(tile_size(size, i))


def make_update(kind, below_row, row, optimizer):
    """Return the stage that updates the weights from the units below that this thread owns; WT follows."""
    rows, inputs = pointer(kind, row), pointer(kind, below_row)
    step = STEPS[optimizer]
    gradient = masked_gradient if is_wide(row, kind) else dense_gradient

    def update(run, address):
        t, layer = run_table(run), layer_table(address)
        below = layer_table(layer.below)
        T, size, P, rate = t.tiles, t.size, layer.panels, rate_of(t)
        tiles, G = tiles_in(size), two(rows(t.G), 0, 2, CHUNK)
        begin, end = owned(below.panels, t)
        for q in range(begin, end):
            samples = integers(below.C) + q * T * S
            sample_masks(size, tiles, integers(below.M) + q * T * S, samples)
            units = least(below_row, layer.in_units - q * below_row)
            for p in range(0, P, 2):
                W = two(rows(layer.W) + q * below_row, p, P, layer.in_rows)
                for i in range(tiles):
                    gradient(
                        units, tile_size(size, i), samples + i * S, inputs(below.A) + (q * T + i) * S,
                        two(rows(layer.D) + i * S, p, P, T * S), W, G, i == 0, i == tiles - 1, step, layer.state,
                        rate, t.decay,
                    )  # fmt: skip
            for p in range(P):
                W, WT = rows(layer.W) + (p * layer.in_rows + q * below_row), inputs(layer.WT) + (q * P + p) * row
                transpose(W, below_row, WT, row)

    return update


def make_update_biases(kind, row, optimizer):
    """Return the stage that updates the biases of the panels that this thread owns."""
    rows, step = pointer(kind, row), STEPS[optimizer]

    def update_biases(run, address):
        t, layer = run_table(run), layer_table(address)
        rate, deltas = rate_of(t), rows(layer.D)
        begin, end = owned(layer.panels, t)
        for p in range(begin, end):
            g = splat(deltas, 0)
            for i in range(tiles_in(t.size)):
                g = add_rows(tile_size(t.size, i), deltas + (p * t.tiles + i) * S, g)
            step(rows(layer.b), p, g, layer.state, rate, 0.0)

    return update_biases
