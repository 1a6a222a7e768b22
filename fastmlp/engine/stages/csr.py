"""The first layer on the entries of a CSR matrix: where a sample's lie, product, update."""

from fastmlp.engine import first_layer
from fastmlp.engine.division import first_units, read_samples, share_of, tile_size, tiles_in, two
from fastmlp.engine.optimizers import STEPS, rate_of
from fastmlp.engine.plan import arrays_of, wider
from fastmlp.engine.simd import inline, kernel, number, pointer, prefetch, reduce_sum, splat
from fastmlp.engine.tables import AHEAD, S
from fastmlp.engine.views import layer_table, run_table

WORD = 64
integers, positions, floats, bytes_ = pointer("i64"), pointer("i32"), pointer("f64"), pointer("u8")


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
    rows, raw, wide = pointer(kind, row), pointer(raw_kind), pointer(wider(kind, raw_kind))

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


def make_sort_entries(kind, raw_kind):
    """Return the stage that sorts the entries of this thread's features by feature, where rows take steps ahead."""
    wide, raw, values = pointer(wider(kind, raw_kind)), pointer(raw_kind), pointer(kind)

    def sort_entries(run, layer):
        t = run_table(run)
        if t.ahead:
            j0, j1 = share_of(t.d, t.thread, t.threads), share_of(t.d, t.thread + 1, t.threads)
            first_layer.sort_entries(
                t.begin, t.n, integers(t.order), integers(t.indptr), positions(t.indices), raw(t.X), wide(t.scale),
                j0, j1, closing_place(t), integers(t.first), positions(t.place), values(t.scaled),
            )  # fmt: skip

    return sort_entries


@inline
def closing_place(t):
    """Where the batch after this call would begin if the last one were whole."""
    return (t.n + t.batch - 1) // t.batch * t.batch


@kernel
def due_rows(t):
    """List the rows that take steps in this batch, which are all in the first one of a call; return their number."""
    due = positions(t.due)
    if t.at == t.begin:
        entry, first = integers(t.entry), integers(t.first)
        for j in range(t.d):
            due[j], entry[j] = t.at, first[j]
        for j in range(t.d, t.words * WORD):
            due[j] = closing_place(t)
    return first_layer.list_due(t.d, t.at + t.size, due, positions(t.listed))


def make_csr_update(kind, raw_kind, row, optimizer):
    """Return the stage that updates the weights from the entries of a CSR matrix, two panels at a time.

    Where rows take steps ahead, a row takes the step of a batch that has its feature, and at once those that follow
    until the next such batch or the end of the call. A call begins with a step of all rows: then every row is up to
    date when a batch needs it, and at the end of the call.
    """
    rows, raw, values = pointer(kind, row), pointer(raw_kind), pointer(kind)
    wide, step = pointer(wider(kind, raw_kind)), STEPS[optimizer]
    arrays = arrays_of(optimizer)

    @inline
    def sums_of(t, p, end):
        """Where the squares of the call's first batch are summed."""
        return two(rows(t.row_squares), p, end, AHEAD)

    @kernel
    def update(t, layer, p, end, rate):
        T = t.tiles
        entry, after = integers(t.address) + t.turn * T * S, integers(t.end) + t.turn * T * S
        W = two(rows(layer.W), p, end, layer.in_rows)
        # Plain SGD adds -lr·g straight to the weights; others first need the whole gradient.
        factor = -rate.lr if t.lazy else 1.0
        G = W if t.lazy else two(rows(t.whole), 0, 2, layer.in_rows)
        for i in range(tiles_in(t.size)):
            first_layer.csr_gradient(
                tile_size(t.size, i), entry + i * S, after + i * S, positions(t.indices), raw(t.X), wide(t.scale),
                number(rows(t.G), factor), two(rows(layer.D) + i * S, p, end, T * S), G,
            )  # fmt: skip
        if not t.lazy:
            b = (t.at - t.begin) // t.batch
            first_layer.csr_update(t.d, G, W, step, layer.state, rate, t.row_squares != 0, sums_of(t, p, end) + b)

    @kernel
    def roll(t, layer, p, end, count):
        first_layer.csr_roll(
            count, positions(t.listed), t.at, t.at + t.size, t.batch, positions(t.place), values(t.scaled),
            two(rows(layer.D), p, end, t.tiles * S), positions(t.due), integers(t.entry), p + 2 >= end,
            two(rows(layer.W), p, end, layer.in_rows), step, arrays, layer.state, t.rates, t.row_squares != 0,
            sums_of(t, p, end) + -(t.begin // t.batch),
        )  # fmt: skip

    def csr_update(run, address):
        t, layer = run_table(run), layer_table(address)
        rate = rate_of(t)
        begin, end = first_units(t, layer.panels)
        count = due_rows(t) if t.ahead else 0
        for p in range(begin, end, 2):
            if t.ahead:
                roll(t, layer, p, end, count)
            else:
                update(t, layer, p, end, rate)
        for p in range(begin, end):
            rows(t.h)[p] = rows(layer.b)[p]

    return csr_update


def make_csr_penalty(kind, row):
    """Return the stage that, at the end of a call, tells of the squares that updates have summed."""
    rows = pointer(kind, row)

    def csr_penalty(run, address):
        t, layer = run_table(run), layer_table(address)
        if t.next_size <= 0:
            begin, end = first_units(t, layer.panels)
            for p in range(begin, end):
                sums = rows(t.row_squares) + p * AHEAD
                squares = floats(t.squares) + (layer.first_square + p)
                for b in range(t.begin // t.batch, t.at // t.batch + 1):
                    squares[b * t.square_parts] = reduce_sum(sums[0])
                    sums[0] = splat(sums, 0)
                    sums = sums + 1

    return csr_penalty
