"""The first layer on dense rows that are copied into panels: copy, product, and update by feature or by unit."""

from fastmlp.engine import first_layer
from fastmlp.engine.division import (
    PANELS,
    feature_shards,
    first_samples,
    first_units,
    own_features,
    read_samples,
    shard_of_features,
    shard_sums,
    tile_size,
    tiles_in,
    tiles_of,
    two,
    within,
)
from fastmlp.engine.hidden import dense_gradient, masked_gradient, masked_product, whole_product
from fastmlp.engine.optimizers import STEPS, rate_of
from fastmlp.engine.plan import panels_at_once, wider
from fastmlp.engine.simd import inline, kernel, least, pointer, transpose
from fastmlp.engine.stages.reading import NEAR, fetch_part, fetch_samples, is_cached, place_of
from fastmlp.engine.tables import CHUNK, S
from fastmlp.engine.views import layer_table, run_table

integers = pointer("i64")


def make_copy_features(kind, raw_kind, row):
    """Return the stage that copies this thread's samples, or its features of all samples, into panels."""
    raw = pointer(raw_kind)
    raw_panel, wide_panel = pointer(raw_kind, row, aligned=False), pointer(wider(kind, raw_kind), row)
    rows = pointer(kind, row)

    @inline
    def sample(t, p, j):
        """The features from j on of the sample at place p of the order."""
        return raw_panel(raw(place_of(t, integers(t.order)[p])) + j)

    @kernel
    def read(t, in_panels, size, r):
        T, at = t.tiles, t.next_at
        k0, k1 = (0, size) if t.by_feature else read_samples(size, t)
        begin, end = shard_of_features(t, r)
        j0, j1 = begin * row, least(end * row, t.d)
        base, scale = wide_panel(t.base) + begin, wide_panel(t.scale) + begin
        panels = rows(t.copied) + ((1 - t.turn) * in_panels + begin) * T * S
        last = at + k1 - 1
        for k in range(k0, k1, 4):
            p = at + k
            if not is_cached(t, size):  # or else the product has asked for them
                fetch_samples(t, p + NEAR, p + NEAR + 4, j0, j1)
            first_layer.copy_dense(
                k % S, j1 - j0, row, T * S, sample(t, p, j0), sample(t, least(p + 1, last), j0),
                sample(t, least(p + 2, last), j0), sample(t, least(p + 3, last), j0),
                base, scale, panels + k // S * S,
            )  # fmt: skip

    def copy_features(run, layer):
        t = run_table(run)
        begin, end = feature_shards(t)
        for r in range(begin, end):
            read(t, t.portions, t.next_size, r)

    return copy_features


def make_dense_product(kind, row):
    """Return the stage A = b + X W from panels of features.

    Four samples by a wide panel, or by two narrow ones, fit into the registers; one or two samples take two panels.
    The next batch is asked for meanwhile, a little at a time.
    """
    rows = pointer(kind, row)
    at_once = panels_at_once(row, kind, skips=False)

    def make_multiply(at_once, multiply):
        some = PANELS[at_once]

        @kernel
        def multiply_panels(t, layer, r, k0, k1):
            """Shard r of the features, or all, of samples k0 ≤ k < k1."""
            T, P = t.tiles, layer.panels
            begin, end = shard_of_features(t, r)
            start = rows(t.h) + r * P if t.by_feature else rows(layer.b)
            out = shard_sums(t, layer, rows(layer.Z), r) if t.by_feature else rows(layer.A)
            panels = rows(t.copied) + t.turn * layer.in_panels * T * S
            p0, p1 = first_units(t, P)
            i0, i1 = tiles_of(k0, k1)
            part, parts = 0, (p1 - p0 + at_once - 1) // at_once * (i1 - i0) * (end - begin)
            for p in range(p0, p1, at_once):
                W, h, sums = some(rows(layer.W), p, p1, layer.in_rows), some(start, p, p1, 1), some(out, p, p1, T * S)
                for i in range(i0, i1):
                    k, count = within(i, k0, k1)
                    k += i * S
                    for q in range(begin, end):
                        fetch_part(t, part, parts, begin * row, least(end * row, t.d))
                        part += 1
                        multiply(
                            count, least(row, t.d - q * row), integers(t.features) + q * S, panels + (q * T * S + k),
                            W + q * row, h, sums + k, q == begin,
                        )  # fmt: skip

        return multiply_panels

    multiply, multiply_two = make_multiply(at_once, whole_product), make_multiply(2, masked_product)

    def dense_product(run, address):
        t, layer = run_table(run), layer_table(address)
        k0, k1 = first_samples(t)
        begin, end = feature_shards(t)
        for r in range(begin, end):
            if k1 - k0 > 2:
                multiply(t, layer, r, k0, k1)
            else:
                multiply_two(t, layer, r, k0, k1)

    return dense_product


def make_dense_update(kind, row, optimizer):
    """Return the stage that updates the weights from panels of features, four features at once."""
    rows, step = pointer(kind, row), STEPS[optimizer]
    at_once = panels_at_once(row, kind, skips=False)
    some = PANELS[at_once]

    def dense_update(run, address):
        t, layer = run_table(run), layer_table(address)
        T, size, rate = t.tiles, t.size, rate_of(t)
        tiles, deltas = tiles_in(size), rows(layer.D)
        X, G = rows(t.copied) + t.turn * layer.in_panels * T * S, some(rows(t.G), 0, 2, CHUNK)
        begin, end = first_units(t, layer.panels)
        q0, q1 = own_features(t)
        for p in range(begin, end, at_once):
            for q in range(q0, q1):
                W = some(rows(layer.W) + q * row, p, end, layer.in_rows)
                for i in range(tiles):
                    dense_gradient(
                        tile_size(size, i), least(row, t.d - q * row), integers(t.features), X + (q * T + i) * S,
                        some(deltas + i * S, p, end, T * S), W, G, i == 0, i == tiles - 1, step, layer.state, rate,
                        rate.decay,
                    )  # fmt: skip

    return dense_update


def make_transposed_update(kind, row, optimizer):
    """Return the stage that updates weights kept by unit, so that inactive units cost no gradient; and W follows."""
    rows, step = pointer(kind, row), STEPS[optimizer]

    def transposed_update(run, address):
        t, layer = run_table(run), layer_table(address)
        T, size, rate = t.tiles, t.size, rate_of(t)
        tiles, Q, P = tiles_in(size), layer.in_panels, layer.panels
        X, G = rows(t.copied) + t.turn * Q * T * S, two(rows(t.G), 0, 2, CHUNK)
        begin, end = first_units(t, P)
        for p in range(begin, end):
            for q in range(0, Q, 2):
                WT = two(rows(layer.WT) + p * row, q, Q, P * row)
                for i in range(tiles):
                    d, inputs = (p * T + i) * S, two(X + i * S, q, Q, T * S)
                    masked_gradient(
                        tile_size(size, i), row, integers(layer.C) + d, rows(layer.D) + d, inputs, WT, G,
                        i == 0, i == tiles - 1, step, layer.state, rate, rate.decay,
                    )  # fmt: skip
            for q in range(Q):
                transpose(rows(layer.WT) + (q * P + p) * row, row, rows(layer.W) + (p * layer.in_rows + q * row), row)

    return transposed_update
