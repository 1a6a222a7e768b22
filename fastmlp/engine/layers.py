"""A layer above the first, or a part of it: the products, deltas and updates of all its panels and tiles.

Letters: S = 64 samples in a tile, T tiles in a full batch, B samples in this one, R units in a panel, P panels of a
layer; p counts the panels of a layer, q those of the layer below.
"""

from fastmlp.engine.division import share_of, tile_size, two
from fastmlp.engine.hidden import activate, add_panels, add_rows, chain
from fastmlp.engine.simd import kernel, least, low_bits, pair, pointer, splat, transpose, transpose_bits
from fastmlp.engine.spec import S

words = pointer("i64", 64)


@kernel
def sample_masks(B, tiles, M, C):
    """C[i, u] = the bits of the samples of tile i in which unit u is active, from M, the bits of the units."""
    for i in range(tiles):
        words(C)[i] = transpose_bits(words(M)[i]) & low_bits(tile_size(B, i))


@kernel
def activate_panels(i, first, count, T, lanes, layer, p0, p1, function, active):
    """Samples first ≤ k < first + count of tile i through the activation of panels p0 ≤ p < p1."""
    for p in range(p0, p1):
        a = (p * T + i) * S + first
        units = least(lanes, layer.units - p * lanes)
        activate(count, units, layer.A + a, layer.M + a, function, active)


@kernel
def forward(i, first, count, T, lanes, into, layer, product):
    """Samples first ≤ k < first + count of tile i through the products of one layer."""
    P, k = layer.panels, i * S + first
    for p in range(0, P, 2):
        out, b = two(layer.A + k, p, P, T * S), two(layer.b, p, P, 1)
        for q in range(layer.in_panels):
            a = q * T * S + k
            W = two(layer.W + q * lanes, p, P, layer.in_rows)
            product(count, least(lanes, layer.in_units - q * lanes), into.M + a, into.A + a, W, b, out, q == 0)


@kernel
def forward_shards(B, tiles, T, lanes, into, layer, zero, shards, begin, end, product):
    """What the shards begin ≤ r < end of the first layer's units add to the layer above, all samples, into Z[r]."""
    P = layer.panels
    for r in range(begin, end):
        q0, q1 = share_of(layer.in_panels, r, shards), share_of(layer.in_panels, r + 1, shards)
        for p in range(0, P, 2):
            for i in range(tiles):
                out = two(layer.Z + (r * P * T + i) * S, p, P, T * S)
                for q in range(q0, q1):
                    a, units = (q * T + i) * S, least(lanes, layer.in_units - q * lanes)
                    W = two(layer.W + q * lanes, p, P, layer.in_rows)
                    product(tile_size(B, i), units, into.M + a, into.A + a, W, pair(zero, 0), out, q == q0)


@kernel
def add_shards(i, first, count, T, layer, shards):
    """The sums of Z over the shards, and the biases, for some samples of tile i."""
    P, k = layer.panels, i * S + first
    for p in range(P):
        add_panels(count, shards, P * T * S, layer.Z + (p * T * S + k), layer.b + p, layer.A + (p * T * S + k))


@kernel
def backward(i, first, count, T, lanes, layer, zero, below, begin, end, slope, product):
    """The deltas of some samples of tile i from a layer to panels begin ≤ q < end of the one below it."""
    k = i * S + first
    for q in range(begin, end, 2):
        out = two(below.D + k, q, end, T * S)
        for p in range(layer.panels):
            a = p * T * S + k
            WT = two(layer.WT + p * lanes, q, end, layer.panels * lanes)
            units = least(lanes, layer.units - p * lanes)
            product(count, units, layer.M + a, layer.D + a, WT, pair(zero, 0), out, p == 0)
    for q in range(begin, end):
        chain(count, below.A + (q * T * S + k), below.D + (q * T * S + k), slope)


@kernel
def update_biases(B, tiles, T, layer, begin, end, step, rate):
    """b takes its step, for panels begin ≤ p < end."""
    for p in range(begin, end):
        g = splat(layer.D, 0)
        for i in range(tiles):
            g = add_rows(tile_size(B, i), layer.D + (p * T + i) * S, g)
        step(layer.b, p, g, layer.state, rate, 0.0)


@kernel
def update_weights(B, tiles, T, lanes_in, lanes, into, layer, G, begin, end, gradient, step, rate, decay):
    """W takes its step and WT follows, for the units of panels begin ≤ q < end below."""
    for q in range(begin, end):
        sample_masks(B, tiles, into.M + q * T * S, into.C + q * T * S)
        units = least(lanes_in, layer.in_units - q * lanes_in)
        for p in range(0, layer.panels, 2):
            W = two(layer.W + q * lanes_in, p, layer.panels, layer.in_rows)
            for i in range(tiles):
                a, D = (q * T + i) * S, two(layer.D + i * S, p, layer.panels, T * S)
                gradient(
                    units, tile_size(B, i), into.C + a, into.A + a, D, W, G, i == 0, i == tiles - 1, step, layer.state,
                    rate, decay,
                )  # fmt: skip
        for p in range(layer.panels):
            W, WT = layer.W + (p * layer.in_rows + q * lanes_in), layer.WT + (q * layer.panels + p) * lanes
            transpose(W, lanes_in, WT, lanes)
