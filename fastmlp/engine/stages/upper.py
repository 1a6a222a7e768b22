"""A layer above the first, or a part of it: products, activations, deltas and updates of some of its panels and tiles.

p counts the panels of a layer, q those of the layer below.
"""

from fastmlp.engine.activations import ACTIVATIONS
from fastmlp.engine.division import (
    PANELS,
    half_of_shards,
    has_halves,
    layer_panels,
    layer_samples,
    own_features,
    own_shards,
    owned,
    shard_sums,
    share_of,
    tile_size,
    tiles_in,
    tiles_of,
    updated_panels,
    whole_samples,
    within,
)
from fastmlp.engine.hidden import activate as activate_tile
from fastmlp.engine.hidden import (
    add_halves,
    add_panels,
    add_rows,
    dense_gradient,
    dense_product,
    masked_gradient,
    masked_product,
    single_gradient,
    single_product,
    sum_squares,
    whole_product,
)
from fastmlp.engine.hidden import chain as chain_tile
from fastmlp.engine.optimizers import STEPS, rate_of
from fastmlp.engine.plan import is_narrow, is_wide, panels_at_once
from fastmlp.engine.simd import kernel, least, low_bits, pointer, splat, transpose, transpose_bits
from fastmlp.engine.tables import CHUNK, S
from fastmlp.engine.views import layer_table, run_table
from fastmlp.reference.activations import ACTIVATIONS as FORMULAS

floats, integers, words = pointer("f64"), pointer("i64"), pointer("i64", 64)


def product_of(row, kind, skips, is_whole):
    """(the kernel of a product, how many panels of `row` units it takes at once, and how).

    `is_whole` says whether all that is multiplied is active where nothing is skipped.
    """
    at_once = panels_at_once(row, kind, skips)
    other = whole_product if is_whole else dense_product
    return masked_product if skips and is_wide(row, kind) else other, at_once, PANELS[at_once]


def gradient_of(row, kind, skips):
    """The same of a gradient."""
    at_once = panels_at_once(row, kind, skips)
    return masked_gradient if skips and is_wide(row, kind) else dense_gradient, at_once, PANELS[at_once]


def make_product(kind, below_row, row, skips):
    """Return the stage A = b + A_below W for this thread's samples, which may skip inactive units below."""
    rows, inputs = pointer(kind, row), pointer(kind, below_row)
    multiply, at_once, some = product_of(row, kind, skips, is_wide(below_row, kind))
    narrow = is_narrow(row, kind)

    def product(run, address):
        t, layer = run_table(run), layer_table(address)
        below = layer_table(layer.below)
        T, P = t.tiles, layer.panels
        begin, end = whole_samples(layer, t)
        i0, i1 = tiles_of(begin, end)
        for i in range(i0, i1):
            k0, count = within(i, begin, end)
            k = i * S + k0
            for p in range(0, P, at_once):
                out, b = some(rows(layer.A) + k, p, P, T * S), some(rows(layer.b), p, P, 1)
                for q in range(layer.in_panels):
                    a, units = q * T * S + k, least(below_row, layer.in_units - q * below_row)
                    M, A, W = integers(below.M) + a, inputs(below.A) + a, rows(layer.W) + q * below_row
                    if narrow and P == 1:
                        single_product(count, units, A, W, rows(layer.b), rows(layer.A) + k, q == 0)
                    else:
                        multiply(count, units, M, A, some(W, p, P, layer.in_rows), b, out, q == 0)

    return product


def make_keep_inputs(kind, row):
    """Return the stage that keeps Z, of which the activation's derivative is a function, before A takes its place."""
    rows = pointer(kind, row)

    def keep_inputs(run, address):
        t, layer = run_table(run), layer_table(address)
        begin, end = layer_samples(layer, t)
        p0, p1 = layer_panels(layer, t)
        for p in range(p0, p1):
            Z, kept = rows(layer.A) + p * t.tiles * S, rows(layer.kept) + p * t.tiles * S
            for k in range(begin, end):
                kept[k] = Z[k]

    return keep_inputs


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
            k0, count = within(i, begin, end)
            for p in range(p0, p1):
                a = (p * t.tiles + i) * S + k0
                units = least(row, layer.units - p * row)
                activate_tile(count, units, rows(layer.A) + a, integers(layer.M) + a, function, active)

    return activate


def make_spread(kind, below_row, row, skips):
    """Return the stage that adds this thread's shards of the first layer's units to the layer above, all samples."""
    rows, inputs = pointer(kind, row), pointer(kind, below_row)
    multiply, at_once, some = product_of(row, kind, skips, is_wide(below_row, kind))

    def spread(run, address):
        t, layer = run_table(run), layer_table(address)
        below, zero = layer_table(layer.below), some(rows(t.zero), 0, 1, 0)
        T, P, size = t.tiles, layer.panels, t.size
        begin, end = own_shards(t)
        for r in range(begin, end):
            q0, q1 = share_of(layer.in_panels, r, t.shards), share_of(layer.in_panels, r + 1, t.shards)
            for p in range(0, P, at_once):
                for i in range(tiles_in(size)):
                    out = some(shard_sums(t, layer, rows(layer.Z), r) + i * S, p, P, T * S)
                    for q in range(q0, q1):
                        a, units = (q * T + i) * S, least(below_row, layer.in_units - q * below_row)
                        W = some(rows(layer.W) + q * below_row, p, P, layer.in_rows)
                        multiply(
                            tile_size(size, i), units, integers(below.M) + a, inputs(below.A) + a, W, zero, out, q == q0
                        )

    return spread


def make_sum_shards(kind, row):
    """Return the stage that sums this thread's shards before they cross to another, where it owns whole halves."""
    rows = pointer(kind, row)

    def sum_shards(run, address):
        t, layer = run_table(run), layer_table(address)
        T, P = t.tiles, layer.panels
        if has_halves(t):
            for half in range(share_of(2, t.thread, t.threads), share_of(2, t.thread + 1, t.threads)):
                begin, end = half_of_shards(t, half)
                Z = shard_sums(t, layer, rows(layer.Z), begin)
                if end - begin > 1:
                    for p in range(P):
                        for i in range(tiles_in(t.size)):
                            z = Z + (p * T + i) * S
                            add_panels(tile_size(t.size, i), end - begin, P * T * S, z, rows(t.zero), z)

    return sum_shards


def make_gather(kind, row):
    """Return the stage that sums what the shards added to a layer, and its biases, for this thread's samples."""
    rows = pointer(kind, row)

    def gather(run, address):
        t, layer = run_table(run), layer_table(address)
        T, P = t.tiles, layer.panels
        (r0, r1), (r2, r3) = half_of_shards(t, 0), half_of_shards(t, 1)
        most = 1 if has_halves(t) else t.shards
        Z0, Z1 = shard_sums(t, layer, rows(layer.Z), r0), shard_sums(t, layer, rows(layer.Z), r2)
        begin, end = whole_samples(layer, t)
        i0, i1 = tiles_of(begin, end)
        for i in range(i0, i1):
            k0, count = within(i, begin, end)
            for p in range(P):
                k = (p * T + i) * S + k0
                add_halves(
                    count, least(r1 - r0, most), least(r3 - r2, most), P * T * S, Z0 + k, Z1 + k, rows(layer.b) + p,
                    rows(layer.A) + k,
                )  # fmt: skip

    return gather


def make_backward(kind, below_row, row, skips):
    """Return the stage that takes the deltas of a layer, of which some may be skipped, to the activations below."""
    rows, outputs = pointer(kind, row), pointer(kind, below_row)
    multiply, at_once, some = product_of(below_row, kind, skips, is_wide(below_row, kind))

    def backward(run, address):
        t, layer = run_table(run), layer_table(address)
        below, zero = layer_table(layer.below), some(outputs(t.zero), 0, 1, 0)
        T = t.tiles
        begin, end = layer_samples(below, t)
        q0, q1 = layer_panels(below, t)
        i0, i1 = tiles_of(begin, end)
        for i in range(i0, i1):
            k0, count = within(i, begin, end)
            k = i * S + k0
            for q in range(q0, q1, at_once):
                out = some(outputs(below.D) + k, q, q1, T * S)
                for p in range(layer.panels):
                    a = p * T * S + k
                    WT = some(outputs(layer.WT) + p * row, q, q1, layer.panels * row)
                    units = least(row, layer.units - p * row)
                    multiply(count, units, integers(layer.M) + a, rows(layer.D) + a, WT, zero, out, p == 0)

    return backward


def make_chain(kind, row, activation):
    """Return the stage D = D · activation'(Z), from A or the Z that was kept, for this thread's samples, or units."""
    rows, of_input = pointer(kind, row), FORMULAS[activation].of_input
    _, _, slope = ACTIVATIONS[activation]

    def chain(run, address):
        t, layer = run_table(run), layer_table(address)
        begin, end = layer_samples(layer, t)
        p0, p1 = layer_panels(layer, t)
        i0, i1 = tiles_of(begin, end)
        for i in range(i0, i1):
            k0, count = within(i, begin, end)
            for p in range(p0, p1):
                a = (p * t.tiles + i) * S + k0
                chain_tile(count, rows(layer.kept if of_input else layer.A) + a, rows(layer.D) + a, slope)

    return chain


def make_sum_parts(sum_rows):
    """Return the kernel sum_parts(t, layer, W, sums): sum_rows(W, count) of each part of a layer that a thread owns."""

    @kernel
    def sum_parts(t, layer, W, sums):
        P, height = layer.panels, layer.in_rows
        if layer.by_unit:
            begin, end = owned(P, t)
            for p in range(begin, end):
                sums[p] = sum_rows(W + p * height, height)
            return
        begin, end = own_features(t)
        part = t.portion
        if layer.below:
            below = layer_table(layer.below)
            begin, end = updated_panels(below, t)
            part = height // layer.in_panels
            if below.replicated and t.thread > 0:
                return
        for q in range(begin, end):
            sums[q] = 0.0
            for p in range(P):
                sums[q] = sums[q] + sum_rows(W + (p * height + q * part), least(part, height - q * part))

    return sum_parts


def make_penalty(kind, row):
    """Return the stage that sums the squares of the weights that this thread owns, panel by panel of its part."""
    rows, sum_parts = pointer(kind, row), make_sum_parts(sum_squares)

    def penalty(run, address):
        t, layer = run_table(run), layer_table(address)
        squares = floats(t.squares) + (t.at // t.batch * t.square_parts + layer.first_square)
        if not (t.sample_shards and t.thread > 0):
            sum_parts(t, layer, rows(layer.W if layer.W else layer.WT), squares)

    return penalty


@kernel
def sample_masks(size, tiles, M, C):
    """C[i, u] = the bits of the samples of tile i in which unit u is active, from M, the bits of the units."""
    for i in range(tiles):
        words(C)[i] = transpose_bits(words(M)[i]) & low_bits(tile_size(size, i))


def make_update(kind, below_row, row, skips, optimizer):
    """Return the stage that updates the weights from the units below that this thread owns; WT follows."""
    rows, inputs = pointer(kind, row), pointer(kind, below_row)
    step = STEPS[optimizer]
    gradient, at_once, some = gradient_of(row, kind, skips)
    narrow = is_narrow(row, kind) and below_row >= 8  # eight units of one panel

    def update(run, address):
        t, layer = run_table(run), layer_table(address)
        below = layer_table(layer.below)
        T, size, P, rate = t.tiles, t.size, layer.panels, rate_of(t)
        tiles, G = tiles_in(size), some(rows(t.G), 0, 2, CHUNK)
        begin, end = updated_panels(below, t)
        for q in range(begin, end):
            samples = integers(below.C) + q * T * S
            if skips:
                sample_masks(size, tiles, integers(below.M) + q * T * S, samples)
            units, A = least(below_row, layer.in_units - q * below_row), inputs(below.A) + q * T * S
            W, D = rows(layer.W) + q * below_row, rows(layer.D)
            if narrow and P == 1:
                for i in range(tiles):
                    single_gradient(
                        tile_size(size, i), units, A + i * S, D + i * S, W, rows(t.G), i == 0, i == tiles - 1, step,
                        layer.state, rate, rate.decay,
                    )  # fmt: skip
            else:
                for p in range(0, P, at_once):
                    for i in range(tiles):
                        gradient(
                            tile_size(size, i), units, samples + i * S, A + i * S, some(D + i * S, p, P, T * S),
                            some(W, p, P, layer.in_rows), G, i == 0, i == tiles - 1, step, layer.state, rate,
                            rate.decay,
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
        begin, end = updated_panels(layer, t)
        for p in range(begin, end):
            g = splat(deltas, 0)
            for i in range(tiles_in(t.size)):
                g = add_rows(tile_size(t.size, i), deltas + (p * t.tiles + i) * S, g)
            step(rows(layer.b), p, g, layer.state, rate, 0.0)

    return update_biases
