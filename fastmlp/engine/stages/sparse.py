"""The first layer on dense rows that are read for what differs from a constant row: lists, product, update.

Threads divide the layer's units among them, or where a narrow layer reads many features these. A thread's weights then
never leave its cache; a shard of features adds its part to all units.
"""

from fastmlp.engine import first_layer
from fastmlp.engine.division import (
    feature_shards,
    first_units,
    own_features,
    read_samples,
    shard_of_features,
    shard_sums,
    share_of,
    tile_size,
    tiles_in,
    two,
)
from fastmlp.engine.hidden import add_rows
from fastmlp.engine.optimizers import STEPS, rate_of
from fastmlp.engine.plan import registers, wider
from fastmlp.engine.simd import kernel, least, pointer, splat
from fastmlp.engine.stages.reading import NEAR, fetch_samples, fetch_tile, is_cached, place_of
from fastmlp.engine.tables import CHUNK, S
from fastmlp.engine.views import layer_table, run_table

integers, words, places = pointer("i64"), pointer("i64", 64), pointer("u16")


def make_list_features(kind, raw_kind):
    """Return the stage that lists what is not zero in this thread's samples, or in its features of all samples."""
    raw, wide, values = pointer(raw_kind), pointer(wider(kind, raw_kind)), pointer(kind)
    list_nonzeros = first_layer.make_list_nonzeros(kind, raw_kind)

    @kernel
    def read(t, size, r):
        """Shard r of the features; what later batches have there is asked for."""
        T, at, order = t.tiles, t.next_at, integers(t.order)
        k0, k1 = (0, size) if t.by_feature else read_samples(size, t)
        begin, end = shard_of_features(t, r)
        j0, j1 = begin * 64, least(end * 64, t.d)
        base, scale, index, value = wide(t.base) + j0, wide(t.scale) + j0, places(t.index), values(t.value)
        ahead = at + (size if is_cached(t, size) else NEAR)
        # Every thread reads the samples that others list again, for its gradients.
        every = is_cached(t, size) and not t.by_feature
        blocks = (end - begin + t.block - 1) // t.block
        cuts, position = integers(t.cut) + r * T * S * t.cuts, T * S * j0 + k0 * (end - begin) * 64
        for k in range(k0, k1):
            if every:
                p0, p1 = share_of(size, k - k0, k1 - k0), share_of(size, k + 1 - k0, k1 - k0)
                fetch_samples(t, at + size + p0, at + size + p1, j0, j1)
            else:
                fetch_samples(t, ahead + k, ahead + k + 1, j0, j1)
            cut, nonzero = cuts + k * (blocks + 1), words(t.nonzero) + (k // S * t.words + begin)
            features = raw(place_of(t, order[at + k])) + j0
            position = list_nonzeros(
                k % S, j1 - j0, t.block, features, base, scale, index, value, position, cut, nonzero
            )
        if t.by_feature or t.all_read or t.thread == 0:
            nonzero = words(t.nonzero)
            for k in range(size, (size + S - 1) // S * S):
                for g in range(begin, end):
                    nonzero[k // S * t.words + g, k % S] = 0

    def list_features(run, layer):
        t = run_table(run)
        begin, end = feature_shards(t)
        for r in range(begin, end):
            read(t, t.next_size, r)

    return list_features


def make_mask_features():
    """Return the stage that turns the listed bits over: for each feature, the samples in which it is not zero."""

    def mask_features(run, layer):
        t = run_table(run)
        begin, end = own_features(t)
        if not (t.by_feature or t.all_read):
            begin, end = share_of(t.words, t.thread, t.threads), share_of(t.words, t.thread + 1, t.threads)
        nonzero, mask = integers(t.nonzero), integers(t.mask) + t.turn * t.tiles * t.words * 64
        for i in range(tiles_in(t.size)):
            first_layer.feature_masks(begin, end, nonzero + i * t.words * 64, mask + i * t.words * 64)

    return mask_features


def make_start(kind, row):
    """Return the stage that makes h = b + Σ shift W, what the product of this thread's part starts with.

    A training calls it once: later, each update makes h anew, in the same order.
    """
    rows, values = pointer(kind, row), pointer(kind)

    def start(run, address):
        t, layer = run_table(run), layer_table(address)
        shift = values(t.shift)
        r0, r1 = feature_shards(t)
        begin, end = first_units(t, layer.panels)
        for p in range(begin, end):
            W, b = rows(layer.W) + p * layer.in_rows, rows(layer.b)
            for r in range(r0, r1):
                f0, f1 = shard_of_features(t, r)
                h = splat(b, 0) if t.by_feature else b[p]
                for j in range(f0 * 64, least(f1 * 64, t.d)):
                    h = h + shift[j] * W[j]
                rows(t.h)[r * layer.panels + p] = h

    return start


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


def make_sparse_update(kind, raw_kind, row, optimizer):
    """Return the stage that updates the weights from features whose bits are in masks, and makes h anew.

    Two panels share the walk along the masks. Fewer than four registers each have less to save than more walks cost.
    """
    rows, raw, values = pointer(kind, row), pointer(raw_kind), pointer(kind)
    wide, step = pointer(wider(kind, raw_kind)), STEPS[optimizer]
    apart = first_layer.APART if row == 4 * registers(kind)[0] else S + 1

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
                        begin = (t.turn * T + ahead) * S
                        fetch_tile(t, begin, tile_size(size, ahead), j_ahead, least(j_ahead + CHUNK, d))
                    h_new = first_layer.sparse_gradient(
                        j, least(j + CHUNK, d), integers(t.mask) + a * t.words, integers(t.address) + a, raw,
                        base, scale, apart, two(deltas + i * S, p, end, T * S), W, sum_D, i == 0, i == tiles - 1,
                        G, t.lazy, shift, h_new, step, layer.state, rate, rate.decay,
                    )  # fmt: skip
            h[0] = h_new

    def sparse_update(run, address):
        t, layer = run_table(run), layer_table(address)
        rate = rate_of(t)
        begin, end = first_units(t, layer.panels)
        for p in range(begin, end, 2):
            update(t, layer, t.size, p, end, rate)

    return sparse_update
