"""The first layer on the entries of a CSR matrix: where a sample's lie, product, update."""

from fastmlp.engine import first_layer
from fastmlp.engine.division import first_units, read_samples, tile_size, tiles_in, two
from fastmlp.engine.optimizers import STEPS, rate_of
from fastmlp.engine.plan import wider
from fastmlp.engine.simd import kernel, number, pointer, prefetch
from fastmlp.engine.tables import S
from fastmlp.engine.views import layer_table, run_table

integers, bytes_ = pointer("i64"), pointer("u8")


def make_locate_entries():
    """Return the stage that finds where the entries of this thread's samples begin and end, and their targets."""

    def locate_entries(run, layer):
        t = run_table(run)
        order, place = integers(t.order) + t.next_at, (1 - t.turn) * t.tiles * S
        indptr = integers(t.indptr)
        entry, after, target = integers(t.address) + place, integers(t.end) + place, integers(t.target) + place
        begin, end = read_samples(t.next_size, t)
        for k in range(begin, end):
            o = order[k]
            entry[k], after[k] = indptr[o], indptr[o + 1]
            target[k] = t.targets + o * t.targets_stride
            prefetch(bytes_(target[k]))

    return locate_entries


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
        factor = -rate.lr if t.lazy else 1.0
        G = W if t.lazy else two(rows(t.whole), 0, 2, layer.in_rows)
        for i in range(tiles_in(size)):
            first_layer.csr_gradient(
                tile_size(size, i), entry + i * S, after + i * S, positions(t.indices), raw(t.X), wide(t.scale),
                number(rows(t.G), factor), two(rows(layer.D) + i * S, p, end, T * S), G,
            )  # fmt: skip
        if not t.lazy:
            first_layer.csr_update(t.d, G, W, step, layer.state, rate, rate.decay)
        h[0] = two(rows(layer.b), p, end, 1)[0]

    def csr_update(run, address):
        t, layer = run_table(run), layer_table(address)
        rate = rate_of(t)
        begin, end = first_units(t, layer.panels)
        for p in range(begin, end, 2):
            update(t, layer, t.size, p, end, rate)

    return csr_update
