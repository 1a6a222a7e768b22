"""The first layer: the product of its features and its weights, and their gradient and step, for each form of input.

Threads divide its units among them, or where a narrow layer reads many features these. A thread's weights then never
leave its cache; a shard of features adds its part to all units.
"""

from fastmlp.engine import first_layer
from fastmlp.engine.division import (
    feature_shards,
    first_units,
    own_features,
    shard_of_features,
    shard_sums,
    tile_size,
    tiles_in,
    two,
)
from fastmlp.engine.hidden import add_rows, dense_gradient, dense_product, masked_gradient, masked_product
from fastmlp.engine.optimizers import STEPS, rate_of
from fastmlp.engine.plan import is_wide, wider
from fastmlp.engine.simd import kernel, least, low_bits, number, pointer, splat, transpose
from fastmlp.engine.stages.reading import fetch_tile, is_cached
from fastmlp.engine.tables import CHUNK, S
from fastmlp.engine.views import layer_table, run_table

integers, places = pointer("i64"), pointer("u16")


def make_sparse_product(kind, row):
    """Return the stage A = h + Σ x W over the listed features."""
    rows, values = pointer(kind, row), pointer(kind)

    @kernel
    def product(t, layer, size, r):
        """Shard r of the features, or all."""
        T, P = t.tiles, layer.panels
        begin, end = shard_of_features(t, r)
        blocks = (end - begin + t.block - 1) // t.block
        start = rows(t.h) + r * P
        out = shard_sums(t, layer, rows(layer.Z), r) if t.by_feature else rows(layer.A)
        p0, p1 = first_units(t, P)
        for p in range(p0, p1, 2):
            W, h = two(rows(layer.W) + begin * 64, p, p1, layer.in_rows), two(start, p, p1, 1)
            for i in range(tiles_in(size)):
                cut = integers(t.cut) + (r * T * S * t.cuts + i * S * (blocks + 1))
                first_layer.sparse_product(
                    tile_size(size, i), blocks, cut, places(t.index), values(t.value), W, h,
                    two(out + i * S, p, p1, T * S),
                )  # fmt: skip

    def sparse_product(run, address):
        t, layer = run_table(run), layer_table(address)
        begin, end = feature_shards(t)
        for r in range(begin, end):
            product(t, layer, t.size, r)

    return sparse_product


def make_csr_product(kind, raw_kind, row):
    """Return the stage A = h + Σ x W over the entries of a CSR matrix."""
    rows, raw, wide, positions = pointer(kind, row), pointer(raw_kind), pointer(wider(kind, raw_kind)), pointer("i32")

    def csr_product(run, address):
        t, layer = run_table(run), layer_table(address)
        T, size = t.tiles, t.size
        entry, after = integers(t.address) + t.turn * T * S, integers(t.end) + t.turn * T * S
        p0, p1 = first_units(t, layer.panels)
        for p in range(p0, p1, 2):
            W, h = two(rows(layer.W), p, p1, layer.in_rows), two(rows(t.h), p, p1, 1)
            for i in range(tiles_in(size)):
                first_layer.csr_product(
                    tile_size(size, i), entry + i * S, after + i * S, positions(t.indices), raw(t.X), wide(t.scale),
                    W, h, two(rows(layer.A) + i * S, p, p1, T * S),
                )  # fmt: skip

    return csr_product


def make_dense_product(kind, row):
    """Return the stage A = b + X W from panels of features."""
    rows = pointer(kind, row)
    multiply = masked_product if is_wide(row, kind) else dense_product

    @kernel
    def product(t, layer, size, r):
        """Shard r of the features, or all."""
        T, P = t.tiles, layer.panels
        begin, end = shard_of_features(t, r)
        start = rows(t.h) + r * P if t.by_feature else rows(layer.b)
        out = shard_sums(t, layer, rows(layer.Z), r) if t.by_feature else rows(layer.A)
        panels = rows(t.panels) + t.turn * layer.in_panels * T * S
        p0, p1 = first_units(t, P)
        for p in range(p0, p1, 2):
            W, h = two(rows(layer.W), p, p1, layer.in_rows), two(start, p, p1, 1)
            for i in range(tiles_in(size)):
                Z = two(out + i * S, p, p1, T * S)
                for q in range(begin, end):
                    multiply(
                        tile_size(size, i), least(row, t.d - q * row), integers(t.features) + q * S,
                        panels + (q * T + i) * S, W + q * row, h, Z, q == begin,
                    )  # fmt: skip

    def dense_product_(run, address):
        t, layer = run_table(run), layer_table(address)
        begin, end = feature_shards(t)
        for r in range(begin, end):
            product(t, layer, t.size, r)

    return dense_product_


def make_sparse_update(kind, raw_kind, row, optimizer):
    """Return the stage that updates the weights from features whose bits are in masks, and makes h anew.

    Two panels share the walk along the masks.
    """
    rows, raw, values = pointer(kind, row), pointer(raw_kind), pointer(kind)
    wide, step = pointer(wider(kind, raw_kind)), STEPS[optimizer]

    @kernel
    def update(t, layer, size, p, end, rate):
        T, tiles, deltas = t.tiles, tiles_in(size), rows(layer.D)
        W, G = two(rows(layer.W), p, end, layer.in_rows), two(rows(t.G), 0, 2, CHUNK)
        base, scale, shift = wide(t.base), wide(t.scale), values(t.shift)
        sum_D = splat(G, 0)
        for i in range(tiles):
            sum_D = add_rows(tile_size(size, i), two(deltas + i * S, p, end, T * S), sum_D)
        r0, r1 = feature_shards(t)
        for r in range(r0, r1):
            f0, f1 = shard_of_features(t, r)
            d = least(f1 * 64, t.d)
            h = two(rows(t.h) + r * layer.panels, p, end, 1)
            h_new = splat(G, 0) if t.by_feature else two(rows(layer.b), p, end, 1)[0]
            for j in range(f0 * 64, d, CHUNK):
                for i in range(tiles):
                    a = (t.turn * T + i) * S
                    if not is_cached(t, size):
                        ahead, j_ahead = (i + 1, j) if i + 1 < tiles else (0, j + CHUNK)
                        first = (t.turn * T + ahead) * S
                        fetch_tile(t, first, tile_size(size, ahead), j_ahead, least(j_ahead + CHUNK, d))
                    h_new = first_layer.sparse_gradient(
                        j, least(j + CHUNK, d), integers(t.mask) + a * t.words, integers(t.address) + a, raw,
                        base, scale, two(deltas + i * S, p, end, T * S), W, sum_D, i == 0, i == tiles - 1, G,
                        t.lazy, shift, h_new, step, layer.state, rate, t.decay,
                    )  # fmt: skip
            h[0] = h_new

    def sparse_update(run, address):
        t, layer = run_table(run), layer_table(address)
        rate = rate_of(t)
        begin, end = first_units(t, layer.panels)
        for p in range(begin, end, 2):
            update(t, layer, t.size, p, end, rate)

    return sparse_update


def make_csr_update(kind, raw_kind, row, optimizer):
    """Return the stage that updates the weights from the entries of a CSR matrix, two panels at a time."""
    rows, raw, positions = pointer(kind, row), pointer(raw_kind), pointer("i32")
    wide, step = pointer(wider(kind, raw_kind)), STEPS[optimizer]

    @kernel
    def update(t, layer, size, p, end, rate):
        T = t.tiles
        entry, after = integers(t.address) + t.turn * T * S, integers(t.end) + t.turn * T * S
        W, h = two(rows(layer.W), p, end, layer.in_rows), two(rows(t.h), p, end, 1)
        # Plain SGD adds -lr·g straight to the weights; others first need the whole gradient.
        factor = -t.lr if t.lazy else 1.0
        G = W if t.lazy else two(rows(t.whole), 0, 2, layer.in_rows)
        for i in range(tiles_in(size)):
            first_layer.csr_gradient(
                tile_size(size, i), entry + i * S, after + i * S, positions(t.indices), raw(t.X), wide(t.scale),
                number(rows(t.G), factor), two(rows(layer.D) + i * S, p, end, T * S), G,
            )  # fmt: skip
        if not t.lazy:
            first_layer.csr_update(t.d, G, W, step, layer.state, rate, t.decay)
        h[0] = two(rows(layer.b), p, end, 1)[0]

    def csr_update(run, address):
        t, layer = run_table(run), layer_table(address)
        rate = rate_of(t)
        begin, end = first_units(t, layer.panels)
        for p in range(begin, end, 2):
            update(t, layer, t.size, p, end, rate)

    return csr_update


def make_dense_update(kind, row, optimizer):
    """Return the stage that updates the weights from panels of features, two panels of units at a time."""
    rows, step = pointer(kind, row), STEPS[optimizer]
    gradient = masked_gradient if is_wide(row, kind) else dense_gradient

    def dense_update(run, address):
        t, layer = run_table(run), layer_table(address)
        T, size, rate = t.tiles, t.size, rate_of(t)
        tiles, valid, deltas = tiles_in(size), integers(t.valid), rows(layer.D)
        X, G = rows(t.panels) + t.turn * layer.in_panels * T * S, two(rows(t.G), 0, 2, CHUNK)
        for k in range(tiles * S):
            valid[k] = low_bits(tile_size(size, k // S))
        begin, end = first_units(t, layer.panels)
        q0, q1 = own_features(t)
        for p in range(begin, end, 2):
            for q in range(q0, q1):
                W = two(rows(layer.W) + q * row, p, end, layer.in_rows)
                for i in range(tiles):
                    gradient(
                        least(row, t.d - q * row), tile_size(size, i), valid + i * S, X + (q * T + i) * S,
                        two(deltas + i * S, p, end, T * S), W, G, i == 0, i == tiles - 1, step, layer.state, rate,
                        t.decay,
                    )  # fmt: skip

    return dense_update


def make_transposed_update(kind, row, optimizer):
    """Return the stage that updates weights kept by unit, so that inactive units cost no gradient; and W follows."""
    rows, step = pointer(kind, row), STEPS[optimizer]

    def transposed_update(run, address):
        t, layer = run_table(run), layer_table(address)
        T, size, rate = t.tiles, t.size, rate_of(t)
        tiles, Q, P = tiles_in(size), layer.in_panels, layer.panels
        X, G = rows(t.panels) + t.turn * Q * T * S, two(rows(t.G), 0, 2, CHUNK)
        begin, end = first_units(t, P)
        for p in range(begin, end):
            for q in range(0, Q, 2):
                WT = two(rows(layer.WT) + p * row, q, Q, P * row)
                for i in range(tiles):
                    d, inputs = (p * T + i) * S, two(X + i * S, q, Q, T * S)
                    masked_gradient(
                        row, tile_size(size, i), integers(layer.C) + d, rows(layer.D) + d, inputs, WT, G,
                        i == 0, i == tiles - 1, step, layer.state, rate, t.decay,
                    )  # fmt: skip
            for q in range(Q):
                transpose(rows(layer.WT) + (q * P + p) * row, row, rows(layer.W) + (p * layer.in_rows + q * row), row)

    return transposed_update
