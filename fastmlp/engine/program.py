"""One epoch as one thread runs it: the order of the kernels, and where the threads meet.

Every batch has three phases, with a barrier after the first two:

1. Each thread computes the first layer for the units it owns, all samples.
2. Each thread takes some samples through the other layers, the loss and back to the first layer's deltas, and prepares
   the same number of samples of the next batch.
3. Each thread finishes the gradient rows of the weights it owns and updates them, then goes on with phase 1.

So the first layer's weights never leave their owner's cache, every sum is made by one thread in one fixed order, and
the result is the same to the bit for any number of threads.

Letters: S = 64 samples in a tile, T tiles in a full batch, R units in a panel, P panels of a layer.
"""

from fastmlp.engine import first_layer
from fastmlp.engine.head import make_head
from fastmlp.engine.hidden import ACTIVATIONS, activate, add_rows, chain, gradient, product
from fastmlp.engine.optimizers import STEPS, Rate
from fastmlp.engine.simd import (
    atomic_add,
    atomic_load,
    inline,
    kernel,
    least,
    low_bits,
    number,
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
def tile_size(B, i):
    """Samples in tile i of a batch of B."""
    return least(S, B - S * i)


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
def forward(i, first, count, T, lanes, into, layer, function, active):
    """Samples first ≤ k < first + count of tile i through one layer; `function` None for the last."""
    for p in range(layer.panels):
        out = layer.A + ((p * T + i) * S + first)
        for q in range(layer.in_panels):
            a = (q * T + i) * S + first
            W = layer.W + (p * layer.in_rows + q * lanes)
            product(count, into.M + a, into.A + a, W, layer.b + p, out, q == 0)
        if function is not None:
            units = low_bits(least(lanes, layer.units - p * lanes))
            activate(count, units, out, layer.M + ((p * T + i) * S + first), function, active)


@kernel
def backward(i, first, count, T, lanes, layer, zero, below, slope):
    """The deltas of some samples of tile i from a layer to the one below it."""
    for q in range(below.panels):
        d = below.D + ((q * T + i) * S + first)
        for p in range(layer.panels):
            a = (p * T + i) * S + first
            product(count, layer.M + a, layer.D + a, layer.WT + (q * layer.panels + p) * lanes, zero, d, p == 0)
        chain(count, below.A + ((q * T + i) * S + first), d, slope)


@kernel
def update_biases(B, tiles, T, layer, thread, threads, step, rate):
    """b takes its step, for the panels that this thread owns."""
    for p in range(share_of(layer.panels, thread, threads), share_of(layer.panels, thread + 1, threads)):
        g = splat(layer.D, 0)
        for i in range(tiles):
            g = add_rows(tile_size(B, i), layer.D + (p * T + i) * S, g)
        step(layer.b, p, g, layer.state, rate, 0.0)


@kernel
def update_weights(B, tiles, T, lanes_in, lanes, into, layer, G, thread, threads, step, rate, decay):
    """W takes its step and WT follows, for the units below that this thread owns."""
    for q in range(share_of(layer.in_panels, thread, threads), share_of(layer.in_panels, thread + 1, threads)):
        sample_masks(B, tiles, into.M + q * T * S, into.C + q * T * S)
        units = least(lanes_in, (layer.in_units - q * lanes_in + 1) & ~1)
        for p in range(layer.panels):
            W = layer.W + (p * layer.in_rows + q * lanes_in)
            for i in range(tiles):
                a, d = (q * T + i) * S, (p * T + i) * S
                gradient(
                    units,
                    into.C + a,
                    into.A + a,
                    layer.D + d,
                    W,
                    G,
                    i == 0,
                    i == tiles - 1,
                    step,
                    layer.state,
                    rate,
                    decay,
                )
            transpose(W, lanes_in, layer.WT + (q * layer.panels + p) * lanes, lanes)


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
                ahead = bytes_(t.X + t.order[s + B + k] * t.stride)
                for byte in range(0, t.row_bytes, 64):
                    prefetch(ahead + byte)
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
        end = share_of(layer.panels, t.thread + 1, t.threads)
        if sparse or csr:
            for p in range(share_of(layer.panels, t.thread, t.threads), end, 2):
                other = p + 1 if p + 1 < end else layer.panels
                W0, W1, h0, h1 = layer.W + p * layer.in_rows, layer.W + other * layer.in_rows, t.h + p, t.h + other
                for i in range(tiles):
                    A0, A1 = layer.A + (p * T + i) * S, layer.A + (other * T + i) * S
                    if csr:
                        a = (turn * T + i) * S
                        first_layer.csr_product(
                            tile_size(B, i), t.address + a, t.end + a, t.indices, raw(t.X), t.scale[0],
                            W0, W1, h0, h1, A0, A1,
                        )  # fmt: skip
                        continue
                    first_layer.sparse_product(
                        tile_size(B, i), blocks, t.cut + i * S * (blocks + 1), t.index, t.value, W0, W1, h0, h1, A0, A1
                    )
        else:
            for p in range(share_of(layer.panels, t.thread, t.threads), end):
                for i in range(tiles):
                    for q in range(layer.in_panels):
                        X = t.panels + ((turn * layer.in_panels + q) * T + i) * S
                        W, A = layer.W + (p * layer.in_rows + q * row), layer.A + (p * T + i) * S
                        product(tile_size(B, i), t.features + q * S, X, W, layer.b + p, A, q == 0)
        if t.hidden:
            for p in range(share_of(layer.panels, t.thread, t.threads), end):
                for i in range(tiles):
                    a = (p * T + i) * S
                    units = low_bits(least(row, layer.units - p * row))
                    activate(tile_size(B, i), units, layer.A + a, layer.M + a, function, active)
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
                forward(i, first, count, T, row, t.layers + (level - 1), t.layers + level, function, active)
            if t.hidden:
                forward(i, first, count, T, row, t.layers + (t.hidden - 1), t.last, None, None)
            A, D = t.last.A + i * S, t.last.D + i * S
            if not t.learn:
                K = t.last.units
                for k in range(first, first + count):
                    for c in range(K):
                        t.scores[(s + i * S + k) * K + c] = (A + c // out * T * S)[k, c % out]
                continue
            code, share = t.code + (turn * T + i) * S, t.share + (s + i * S)
            head(first, first + count, t.last.units, t.last.panels, T * S, A, D, code, share, t.loss + i * S)
            if t.hidden:
                backward(i, first, count, T, out, t.last, t.zero, t.layers + (t.hidden - 1), slope)
            for level in range(t.hidden - 1, 0, -1):
                backward(i, first, count, T, row, t.layers + level, t.zero, t.layers + (level - 1), slope)

    @kernel
    def dense_update(t, p, q, tiles, turn, rate):
        """The weights from the features of panel q to the units of panel p."""
        T, layer = t.tiles, t.layers
        W = layer.W + (p * layer.in_rows + q * row)
        WT = layer.WT + (q * layer.panels + p) * row
        for i in range(tiles):
            d = (p * T + i) * S
            D, X = layer.D + d, t.panels + ((turn * layer.in_panels + q) * T + i) * S
            if by_unit:
                samples = layer.C + d if t.hidden else t.valid + i * S
                gradient(row, samples, D, X, WT, t.G, i == 0, i == tiles - 1, step, layer.state, rate, t.decay)
            else:
                features = least(row, (layer.in_units - q * row + 1) & ~1)
                gradient(
                    features, t.valid + i * S, X, D, W, t.G, i == 0, i == tiles - 1, step, layer.state, rate, t.decay
                )
        if by_unit:
            transpose(WT, row, W, row)

    @kernel
    def csr_update_panels(t, B, tiles, turn, rate, p, other):
        """The weights of two panels from CSR features."""
        T, layer = t.tiles, t.layers
        W0, W1 = layer.W + p * layer.in_rows, layer.W + other * layer.in_rows
        # Plain SGD adds -lr·g straight to the weights; others first need the whole gradient.
        scale = -t.lr * t.scale[0] if t.lazy else t.scale[0] * 1.0
        G0, G1 = (W0, W1) if t.lazy else (t.whole, t.whole + layer.in_rows)
        for i in range(tiles):
            a = (turn * T + i) * S
            D0, D1 = layer.D + (p * T + i) * S, layer.D + (other * T + i) * S
            first_layer.csr_gradient(
                tile_size(B, i), t.address + a, t.end + a, t.indices, raw(t.X), number(t.G, scale), D0, D1, G0, G1
            )
        if not t.lazy:
            first_layer.csr_update(t.d, G0, G1, W0, W1, step, layer.state, rate, t.decay)
        t.h[p], t.h[other] = layer.b[p], layer.b[other]

    @kernel
    def first_update(t, B, tiles, turn, rate):
        """The first layer's part of phase 3."""
        T, layer = t.tiles, t.layers
        update_biases(B, tiles, T, layer, t.thread, t.threads, step, rate)
        end = share_of(layer.panels, t.thread + 1, t.threads)
        if csr:
            for p in range(share_of(layer.panels, t.thread, t.threads), end, 2):
                csr_update_panels(t, B, tiles, turn, rate, p, p + 1 if p + 1 < end else layer.panels)
        elif sparse:
            for p in range(share_of(layer.panels, t.thread, t.threads), end, 2):
                # Two panels share the walk along the masks. A panel without a partner is paired with the spare one.
                other = p + 1 if p + 1 < end else layer.panels
                sum0, sum1 = splat(layer.D, 0), splat(layer.D, 0)
                for i in range(tiles):
                    sum0 = add_rows(tile_size(B, i), layer.D + (p * T + i) * S, sum0)
                    sum1 = add_rows(tile_size(B, i), layer.D + (other * T + i) * S, sum1)
                h0, h1 = layer.b[p], layer.b[other]
                for j in range(0, t.d, CHUNK):
                    for i in range(tiles):
                        a = (turn * T + i) * S
                        h0, h1 = first_layer.sparse_gradient(
                            j, least(j + CHUNK, t.d), t.mask + a * t.words, t.address + a, raw, t.base, t.scale,
                            layer.D + (p * T + i) * S, layer.D + (other * T + i) * S,
                            layer.W + p * layer.in_rows, layer.W + other * layer.in_rows, sum0, sum1,
                            i == 0, i == tiles - 1, t.G, t.lazy, t.shift, h0, h1, step, layer.state, rate, t.decay,
                        )  # fmt: skip
                t.h[p], t.h[other] = h0, h1
        else:
            for p in range(share_of(layer.panels, t.thread, t.threads), end):
                for q in range(layer.in_panels):
                    dense_update(t, p, q, tiles, turn, rate)

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
        if t.hidden:
            into = t.layers + (t.hidden - 1)
            update_weights(B, tiles, T, row, out, into, t.last, outs(t.G), t.thread, t.threads, step, rate, t.decay)
            update_biases(B, tiles, T, t.last, t.thread, t.threads, step, rate)
        for level in range(t.hidden - 1, 0, -1):
            into, layer = t.layers + (level - 1), t.layers + level
            update_weights(B, tiles, T, row, row, into, layer, t.G, t.thread, t.threads, step, rate, t.decay)
            update_biases(B, tiles, T, layer, t.thread, t.threads, step, rate)
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
