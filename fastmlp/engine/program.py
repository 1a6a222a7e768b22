"""One epoch as one thread runs it: the order of the kernels, and where the threads meet.

Every batch has three phases, with a barrier after the first two:

1. Each thread computes the first layer for the units it owns, all samples.
2. Each thread takes some samples through the other layers and the loss, back to the second layer's deltas, and
   prepares the same number of samples of the next batch.
3. Each thread finishes the deltas and the gradient rows of the units it owns, updates their weights, and goes on with
   phase 1.

Phase 1 ends with what the owned units add to the second layer, and phase 3 begins with what comes back to them: the
weights on both sides of the first layer's units, their activations and their deltas never leave their owner's cache.
Every sum is made in one fixed order, and the result is the same to the bit for any number of threads.

Letters: S = 64 samples in a tile, T tiles in a full batch, R units in a panel, P panels of a layer.
"""

from fastmlp.engine import first_layer
from fastmlp.engine.head import make_head
from fastmlp.engine.hidden import ACTIVATIONS, activate, add_panels, add_rows, chain, gradient, product
from fastmlp.engine.optimizers import STEPS, Rate
from fastmlp.engine.simd import (
    atomic_add,
    atomic_load,
    inline,
    kernel,
    least,
    low_bits,
    number,
    pair,
    pointer,
    prefetch,
    spin,
    splat,
    struct,
    transpose,
    transpose_bits,
)
from fastmlp.engine.spec import BETA1, BETA2, CHUNK, LAYER, RUN, S

words, bytes_ = pointer("i64", 64), pointer("u8")


def tables(spec):
    """Return the types of the tables of fastmlp.engine.spec: of the run, of a hidden layer, of the last layer."""
    row, out = pointer(spec.kind, spec.row), pointer(spec.kind, spec.out)
    there = {kind: pointer(kind) for kind in ("i64", "i32", "u16", "f64")}
    there |= {"int": "int", "float": "float", "row": row, "number": pointer(spec.kind)}
    hidden = struct("hidden", {name: (there | {"panel": row})[what] for name, what in LAYER.items()})
    last = struct("last", {name: (there | {"panel": out})[what] for name, what in LAYER.items()})
    run = struct("run", {name: (there | {"hidden": hidden, "last": last})[what] for name, what in RUN.items()})
    return run, hidden, last


@inline
def share_of(total, thread, threads):
    """Where the part of a thread begins when `total` things are divided."""
    return total * thread // threads


@inline
def owned(panels, t):
    """(begin, end) of the panels that this thread owns, whole shards."""
    begin, end = share_of(t.shards, t.thread, t.threads), share_of(t.shards, t.thread + 1, t.threads)
    return share_of(panels, begin, t.shards), share_of(panels, end, t.shards)


@inline
def tile_size(B, i):
    """Samples in tile i of a batch of B."""
    return least(S, B - S * i)


@inline
def two(rows, p, end, distance):
    """Panels p and p + 1, `distance` rows apart, as one panel of twice the width; panel p twice where p is the last."""
    return pair(rows + p * distance, distance if p + 1 < end else 0)


@kernel
def meet(t, goal):
    """Wait until all threads have come here `goal` times in sum."""
    atomic_add(t.arrived, 1)
    spins = 0
    while atomic_load(t.arrived) < goal:
        spins += 1
        spin(spins)


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
        activate(count, low_bits(least(lanes, layer.units - p * lanes)), layer.A + a, layer.M + a, function, active)


@kernel
def forward(i, first, count, T, lanes, into, layer):
    """Samples first ≤ k < first + count of tile i through the products of one layer."""
    P, k = layer.panels, i * S + first
    for p in range(0, P, 2):
        out, b = two(layer.A + k, p, P, T * S), two(layer.b, p, P, 1)
        for q in range(layer.in_panels):
            a = q * T * S + k
            W = two(layer.W + q * lanes, p, P, layer.in_rows)
            product(count, into.M + a, into.A + a, W, b, out, q == 0)


@kernel
def forward_shards(B, tiles, T, lanes, into, layer, zero, shards, begin, end):
    """What the shards begin ≤ r < end of the first layer's units add to the layer above, all samples, into Z[r]."""
    P = layer.panels
    for r in range(begin, end):
        q0, q1 = share_of(layer.in_panels, r, shards), share_of(layer.in_panels, r + 1, shards)
        for p in range(0, P, 2):
            for i in range(tiles):
                out = two(layer.Z + (r * P * T + i) * S, p, P, T * S)
                for q in range(q0, q1):
                    a = (q * T + i) * S
                    W = two(layer.W + q * lanes, p, P, layer.in_rows)
                    product(tile_size(B, i), into.M + a, into.A + a, W, pair(zero, 0), out, q == q0)


@kernel
def add_shards(i, first, count, T, layer, shards):
    """The sums of Z over the shards, and the biases, for some samples of tile i."""
    P, k = layer.panels, i * S + first
    for p in range(P):
        add_panels(count, shards, P * T * S, layer.Z + (p * T * S + k), layer.b + p, layer.A + (p * T * S + k))


@kernel
def backward(i, first, count, T, lanes, layer, zero, below, begin, end, slope):
    """The deltas of some samples of tile i from a layer to panels begin ≤ q < end of the one below it."""
    k = i * S + first
    for q in range(begin, end, 2):
        out = two(below.D + k, q, end, T * S)
        for p in range(layer.panels):
            a = p * T * S + k
            WT = two(layer.WT + p * lanes, q, end, layer.panels * lanes)
            product(count, layer.M + a, layer.D + a, WT, pair(zero, 0), out, p == 0)
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
def update_weights(B, tiles, T, lanes_in, lanes, into, layer, G, begin, end, step, rate, decay):
    """W takes its step and WT follows, for the units of panels begin ≤ q < end below."""
    for q in range(begin, end):
        sample_masks(B, tiles, into.M + q * T * S, into.C + q * T * S)
        units = least(lanes_in, (layer.in_units - q * lanes_in + 1) & ~1)
        for p in range(0, layer.panels, 2):
            W = two(layer.W + q * lanes_in, p, layer.panels, layer.in_rows)
            for i in range(tiles):
                a, D = (q * T + i) * S, two(layer.D + i * S, p, layer.panels, T * S)
                gradient(units, into.C + a, into.A + a, D, W, G, i == 0, i == tiles - 1, step, layer.state, rate, decay)
        for p in range(layer.panels):
            W, WT = layer.W + (p * layer.in_rows + q * lanes_in), layer.WT + (q * layer.panels + p) * lanes
            transpose(W, lanes_in, WT, lanes)


def make_program(spec):
    """Return the function run(address of a table) for Numba to compile: one epoch, or a prediction where learn is 0."""
    run_table, _, _ = tables(spec)
    outs = pointer(spec.kind, spec.out)
    raw = pointer(spec.raw)
    raw_panel, base_panel = pointer(spec.raw, spec.row, aligned=False), pointer(spec.kind, spec.row)
    row, out = spec.row, spec.out
    function, active, slope = ACTIVATIONS[spec.activation]
    step = STEPS[spec.optimizer]
    list_nonzeros = first_layer.make_list_nonzeros(spec.kind, spec.raw)
    head = make_head(spec.loss, spec.kind, spec.out)
    by_unit = spec.by_unit
    csr = spec.form == "csr"
    sparse, by_label = spec.form == "sparse", spec.loss == "cross_entropy"

    @kernel
    def prepare(t, s, B, turn):
        """Where this thread's samples of the batch that begins at s lie, and their features as they are needed."""
        T, words_ = t.tiles, t.words
        pairs = (B + 1) // 2
        k0, k1 = 2 * share_of(pairs, t.thread, t.threads), least(B, 2 * share_of(pairs, t.thread + 1, t.threads))
        blocks = (words_ + t.block - 1) // t.block
        address, code = t.address + turn * T * S, t.code + turn * T * S
        position = k0 * words_ * 64
        for k in range(k0, k1):
            o = t.order[s + k]
            if t.learn:
                code[k] = t.labels[o] if by_label else t.targets + o * t.targets_stride
            if csr:
                address[k], t.end[turn * T * S + k] = t.indptr[o], t.indptr[o + 1]
                continue
            place = t.X + o * t.stride if o < t.safe else t.tail + (o - t.safe) * t.stride
            address[k] = place
            if s + B + k < t.n:
                ahead = t.order[s + B + k]
                prefetch(bytes_(t.labels + ahead) if by_label else bytes_(t.targets + ahead * t.targets_stride))
                row_ahead = bytes_(t.X + ahead * t.stride)
                for byte in range(0, t.row_bytes, 64):
                    prefetch(row_ahead + byte)
            i = k // S
            if sparse:
                cut, nonzero = t.cut + k * (blocks + 1), words(t.nonzero) + i * words_
                position = list_nonzeros(
                    k % S, t.d, t.block, raw(place), t.base, t.scale, t.index, t.value, position, cut, nonzero
                )
            else:
                X = t.panels + (turn * t.layers.in_panels * T + i) * S
                first_layer.copy_dense(
                    k % S, t.d, row, T * S, raw_panel(place), base_panel(t.base), base_panel(t.scale), X
                )
        if sparse and t.thread == 0:
            for k in range(B, (B + S - 1) // S * S):
                for g in range(words_):
                    t.nonzero[(k // S * words_ + g) * 64 + k % S] = 0

    @kernel
    def first_forward(t, B, tiles, turn):
        """Phase 1: the first layer of all samples, for the panels that this thread owns."""
        T, layer = t.tiles, t.layers
        blocks = (t.words + t.block - 1) // t.block
        begin, end = owned(layer.panels, t)
        for p in range(begin, end, 2):
            W, b = two(layer.W, p, end, layer.in_rows), two(t.h if sparse or csr else layer.b, p, end, 1)
            for i in range(tiles):
                count, A = tile_size(B, i), two(layer.A + i * S, p, end, T * S)
                if sparse:
                    cut = t.cut + i * S * (blocks + 1)
                    first_layer.sparse_product(count, blocks, cut, t.index, t.value, W, b, A)
                elif csr:
                    a = (turn * T + i) * S
                    first_layer.csr_product(count, t.address + a, t.end + a, t.indices, raw(t.X), t.scale[0], W, b, A)
                else:
                    for q in range(layer.in_panels):
                        X = t.panels + ((turn * layer.in_panels + q) * T + i) * S
                        product(count, t.features + q * S, X, W + q * row, b, A, q == 0)
        if t.hidden:
            for i in range(tiles):
                activate_panels(i, 0, tile_size(B, i), T, row, layer, begin, end, function, active)
            r0, r1 = share_of(t.shards, t.thread, t.threads), share_of(t.shards, t.thread + 1, t.threads)
            if t.hidden == 1:
                forward_shards(B, tiles, T, row, layer, t.last, outs(t.zero), t.shards, r0, r1)
            else:
                forward_shards(B, tiles, T, row, layer, t.layers + 1, t.zero, t.shards, r0, r1)
        if sparse:
            for i in range(tiles):
                w = (turn * T + i) * t.words * 64
                first_layer.feature_masks(
                    share_of(t.words, t.thread, t.threads), share_of(t.words, t.thread + 1, t.threads),
                    t.nonzero + i * t.words * 64, t.mask + w,
                )  # fmt: skip

    @kernel
    def through(t, s, B, turn):
        """Phase 2: this thread's samples from the second layer to the loss and back."""
        T = t.tiles
        pairs = (B + 1) // 2
        k0, k1 = 2 * share_of(pairs, t.thread, t.threads), least(B, 2 * share_of(pairs, t.thread + 1, t.threads))
        for i in range(k0 // S, (k1 + S - 1) // S):
            first = k0 - S * i if k0 > S * i else 0
            count = least(S, k1 - S * i) - first
            for level in range(1, t.hidden):
                layer = t.layers + level
                if level == 1:
                    add_shards(i, first, count, T, layer, t.shards)
                else:
                    forward(i, first, count, T, row, t.layers + (level - 1), layer)
                activate_panels(i, first, count, T, row, layer, 0, layer.panels, function, active)
            if t.hidden == 1:
                add_shards(i, first, count, T, t.last, t.shards)
            elif t.hidden:
                forward(i, first, count, T, row, t.layers + (t.hidden - 1), t.last)
            A, D = t.last.A + i * S, t.last.D + i * S
            if not t.learn:
                K = t.last.units
                for k in range(first, first + count):
                    for c in range(K):
                        t.scores[(s + i * S + k) * K + c] = (A + c // out * T * S)[k, c % out]
                continue
            code, share = t.code + (turn * T + i) * S, t.share + (s + i * S)
            head(first, first + count, t.last.units, t.last.panels, T * S, A, D, code, share, t.loss + i * S)
            below = t.layers + (t.hidden - 1)
            if t.hidden > 1:
                backward(i, first, count, T, out, t.last, t.zero, below, 0, below.panels, slope)
            for level in range(t.hidden - 1, 1, -1):
                below = t.layers + (level - 1)
                backward(i, first, count, T, row, t.layers + level, t.zero, below, 0, below.panels, slope)

    @kernel
    def dense_update(t, tiles, turn, rate, begin, end):
        """The weights from dense features to the units of panels begin ≤ p < end."""
        T, layer = t.tiles, t.layers
        Q, P = layer.in_panels, layer.panels
        X = t.panels + turn * Q * T * S
        if by_unit:
            for p in range(begin, end):
                for q in range(0, Q, 2):
                    WT = two(layer.WT + p * row, q, Q, P * row)
                    for i in range(tiles):
                        d = (p * T + i) * S
                        samples = layer.C + d if t.hidden else t.valid + i * S
                        gradient(
                            row, samples, layer.D + d, two(X + i * S, q, Q, T * S), WT, two(t.G, 0, 2, CHUNK),
                            i == 0, i == tiles - 1, step, layer.state, rate, t.decay,
                        )  # fmt: skip
                for q in range(Q):
                    transpose(layer.WT + (q * P + p) * row, row, layer.W + (p * layer.in_rows + q * row), row)
            return
        for p in range(begin, end, 2):
            for q in range(Q):
                W, features = two(layer.W + q * row, p, end, layer.in_rows), least(row, (t.d - q * row + 1) & ~1)
                for i in range(tiles):
                    gradient(
                        features, t.valid + i * S, X + (q * T + i) * S, two(layer.D + i * S, p, end, T * S), W,
                        two(t.G, 0, 2, CHUNK), i == 0, i == tiles - 1, step, layer.state, rate, t.decay,
                    )  # fmt: skip

    @kernel
    def csr_update(t, B, tiles, turn, rate, p, end):
        """The weights of two panels from CSR features."""
        T, layer = t.tiles, t.layers
        W, h = two(layer.W, p, end, layer.in_rows), two(t.h, p, end, 1)
        # Plain SGD adds -lr·g straight to the weights; others first need the whole gradient.
        scale = -t.lr * t.scale[0] if t.lazy else t.scale[0] * 1.0
        G = W if t.lazy else two(t.whole, 0, 2, layer.in_rows)
        for i in range(tiles):
            a = (turn * T + i) * S
            first_layer.csr_gradient(
                tile_size(B, i), t.address + a, t.end + a, t.indices, raw(t.X), number(t.G, scale),
                two(layer.D + i * S, p, end, T * S), G,
            )  # fmt: skip
        if not t.lazy:
            first_layer.csr_update(t.d, G, W, step, layer.state, rate, t.decay)
        h[0] = two(layer.b, p, end, 1)[0]

    @kernel
    def sparse_update(t, B, tiles, turn, rate, p, end):
        """The weights of two panels, which share the walk along the masks, from sparse features."""
        T, layer = t.tiles, t.layers
        W, G = two(layer.W, p, end, layer.in_rows), two(t.G, 0, 2, CHUNK)
        h = two(t.h, p, end, 1)
        h_new = two(layer.b, p, end, 1)[0]
        sum_D = splat(h, 0)
        for i in range(tiles):
            sum_D = add_rows(tile_size(B, i), two(layer.D + i * S, p, end, T * S), sum_D)
        for j in range(0, t.d, CHUNK):
            for i in range(tiles):
                a = (turn * T + i) * S
                h_new = first_layer.sparse_gradient(
                    j, least(j + CHUNK, t.d), t.mask + a * t.words, t.address + a, raw, t.base, t.scale,
                    two(layer.D + i * S, p, end, T * S), W, sum_D, i == 0, i == tiles - 1, G, t.lazy, t.shift,
                    h_new, step, layer.state, rate, t.decay,
                )  # fmt: skip
        h[0] = h_new

    update_panels = csr_update if csr else sparse_update

    @kernel
    def first_update(t, B, tiles, turn, rate):
        """The first layer's part of phase 3."""
        layer = t.layers
        begin, end = owned(layer.panels, t)
        update_biases(B, tiles, t.tiles, layer, begin, end, step, rate)
        if csr or sparse:
            for p in range(begin, end, 2):
                update_panels(t, B, tiles, turn, rate, p, end)
        else:
            dense_update(t, tiles, turn, rate, begin, end)

    @kernel
    def update(t, s, B, tiles, turn, rate):
        """Phase 3: the weights that this thread owns."""
        T = t.tiles
        if t.thread == 0:
            value = 0.0
            for k in range(B):
                value += t.share[s + k] * t.loss[k]
            t.batch_loss[s // t.batch] = value
        for k in range(tiles * S):
            t.valid[k] = low_bits(tile_size(B, k // S))
        begin, end = owned(t.layers.panels, t)
        for i in range(tiles):
            if t.hidden == 1:
                backward(i, 0, tile_size(B, i), T, out, t.last, t.zero, t.layers, begin, end, slope)
            elif t.hidden:
                backward(i, 0, tile_size(B, i), T, row, t.layers + 1, t.zero, t.layers, begin, end, slope)
        if t.hidden:
            into, G = t.layers + (t.hidden - 1), two(outs(t.G), 0, 2, CHUNK)
            q0, q1 = owned(into.panels, t)
            p0, p1 = owned(t.last.panels, t)
            update_weights(B, tiles, T, row, out, into, t.last, G, q0, q1, step, rate, t.decay)
            update_biases(B, tiles, T, t.last, p0, p1, step, rate)
        for level in range(t.hidden - 1, 0, -1):
            into, layer, G = t.layers + (level - 1), t.layers + level, two(t.G, 0, 2, CHUNK)
            q0, q1 = owned(into.panels, t)
            p0, p1 = owned(layer.panels, t)
            update_weights(B, tiles, T, row, row, into, layer, G, q0, q1, step, rate, t.decay)
            update_biases(B, tiles, T, layer, p0, p1, step, rate)
        first_update(t, B, tiles, turn, rate)

    def run(address):
        t = run_table(address)
        power1, power2 = t.power1, t.power2
        goal = t.threads
        turn = 0
        prepare(t, 0, least(t.batch, t.n), 0)
        meet(t, goal)
        for s in range(0, t.n, t.batch):
            B = least(t.batch, t.n - s)
            tiles = (B + S - 1) // S
            first_forward(t, B, tiles, turn)
            if t.thread == 0 and t.stop[0]:
                t.stop[1] = 1  # seen by all behind the barrier, so that all leave in the same batch
            goal += t.threads
            meet(t, goal)
            if t.stop[1]:
                break
            through(t, s, B, turn)
            if s + B < t.n:
                prepare(t, s + B, least(t.batch, t.n - s - B), 1 - turn)
            goal += t.threads
            meet(t, goal)
            if t.learn:
                power1 *= BETA1
                power2 *= BETA2
                rate = Rate(t.lr, t.momentum, t.lr / (1 - power1), 1 / (1 - power2))
                update(t, s, B, tiles, turn, rate)
            turn = 1 - turn

    return run
