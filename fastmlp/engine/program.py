"""One epoch as one thread runs it: the order of the kernels, and where the threads meet.

Every batch has three phases, with a barrier after the first two:

1. Each thread computes its shard of the first layer, all samples.
2. Each thread takes some samples through the other layers and the loss and back, and prepares its part of the next
   batch.
3. Each thread computes the gradients of the weights it owns, updates them, and goes on with phase 1.

A thread's shard is some of the first layer's units. Phase 1 ends with what they add to the second layer, and phase 3
begins with what comes back to them: the weights on both sides of the first layer's units, their activations and their
deltas never leave their owner's cache. Where a narrow layer reads many features, a shard is some of the features
instead. Phase 1 then ends with what they add to all units, and phase 2 with the deltas of these: the features and
their weights never leave their owner's cache.

Every sum is made in one fixed order, and the result is the same to the bit for any number of threads.

Letters: S = 64 samples in a tile, T tiles in a full batch, R units in a panel, P panels of a layer.
"""

from fastmlp.engine import first_layer
from fastmlp.engine.batch import fetch_tile, is_cached, make_prepare
from fastmlp.engine.division import make_division, meet, own_shards, owned, share_of, share_of_samples, tile_size, two
from fastmlp.engine.head import make_head
from fastmlp.engine.hidden import (
    ACTIVATIONS,
    add_rows,
    dense_gradient,
    dense_product,
    masked_gradient,
    masked_product,
)
from fastmlp.engine.layers import (
    activate_panels,
    add_shards,
    backward,
    forward,
    forward_shards,
    update_biases,
    update_weights,
)
from fastmlp.engine.optimizers import STEPS, Rate
from fastmlp.engine.plan import is_wide, wider
from fastmlp.engine.simd import kernel, least, low_bits, number, pointer, splat, struct, transpose
from fastmlp.engine.spec import BETA1, BETA2, CHUNK, LAYER, RUN, S


def tables(spec):
    """Return the types of the tables of fastmlp.engine.spec: of the run, of a hidden layer, of the last layer."""
    row, out = pointer(spec.kind, spec.row), pointer(spec.kind, spec.out)
    there = {kind: pointer(kind) for kind in ("i64", "i32", "u16", "f64")}
    there |= {"int": "int", "float": "float", "row": row, "number": pointer(spec.kind)}
    there["wide"] = pointer(wider(spec.kind, spec.raw))
    hidden = struct("hidden", {name: (there | {"panel": row})[what] for name, what in LAYER.items()})
    last = struct("last", {name: (there | {"panel": out})[what] for name, what in LAYER.items()})
    run = struct("run", {name: (there | {"hidden": hidden, "last": last})[what] for name, what in RUN.items()})
    return run, hidden, last


def make_program(spec):
    """Return the function run(address of a table) for Numba to compile: one epoch, or a prediction where learn is 0."""
    run_table, _, _ = tables(spec)
    outs = pointer(spec.kind, spec.out)
    raw = pointer(spec.raw)
    row, out = spec.row, spec.out
    function, active, slope = ACTIVATIONS[spec.activation]
    step = STEPS[spec.optimizer]
    prepare = make_prepare(spec)
    parts, part, features, units = make_division(spec)
    head = make_head(spec.loss, spec.kind, spec.out)
    by_unit = spec.by_unit
    masked, narrow = (masked_product, masked_gradient), (dense_product, dense_gradient)
    product, gradient = masked if is_wide(row, spec.kind) else narrow
    last_product, last_gradient = masked if is_wide(out, spec.kind) else narrow
    depth, by_feature = spec.depth, spec.by_feature
    linear, one_hidden = depth == 0, depth == 1
    summed = 0 if by_feature else 1  # the layer to which every shard adds
    sparse, csr = spec.form == "sparse", spec.form == "csr"
    size = 64 if sparse else row

    @kernel
    def first_forward(t, B, tiles, turn):
        """Phase 1: this thread's part of the first layer, all samples, and what that adds to the layer above."""
        T, layer = t.tiles, t.layers
        P = layer.panels
        p0, p1 = units(t)
        r0, r1 = parts(t)
        for r in range(r0, r1):
            f0, f1 = part(t, r)
            blocks = (f1 - f0 + t.block - 1) // t.block
            start = t.h + r * P if by_feature or sparse or csr else layer.b
            out_panels = layer.Z + r * P * T * S if by_feature else layer.A
            for p in range(p0, p1, 2):
                W, h = two(layer.W + f0 * size, p, p1, layer.in_rows), two(start, p, p1, 1)
                for i in range(tiles):
                    count, Z = tile_size(B, i), two(out_panels + i * S, p, p1, T * S)
                    if sparse:
                        cut = t.cut + r * T * S * t.cuts + i * S * (blocks + 1)
                        first_layer.sparse_product(count, blocks, cut, t.index, t.value, W, h, Z)
                    elif csr:
                        a = (turn * T + i) * S
                        first_layer.csr_product(count, t.address + a, t.end + a, t.indices, raw(t.X), t.scale, W, h, Z)
                    else:
                        for q in range(f0, f1):
                            X = t.panels + ((turn * layer.in_panels + q) * T + i) * S
                            some = least(row, t.d - q * row)
                            product(count, some, t.features + q * S, X, W + (q - f0) * row, h, Z, q == f0)
        if not (linear or by_feature):
            for i in range(tiles):
                activate_panels(i, 0, tile_size(B, i), T, row, layer, p0, p1, function, active)
            r0, r1 = own_shards(t)
            if one_hidden:
                forward_shards(B, tiles, T, row, layer, t.last, outs(t.zero), t.shards, r0, r1, last_product)
            else:
                forward_shards(B, tiles, T, row, layer, t.layers + 1, t.zero, t.shards, r0, r1, product)
        if sparse:
            g0, g1 = features(t)
            if not by_feature:
                g0, g1 = share_of(t.words, t.thread, t.threads), share_of(t.words, t.thread + 1, t.threads)
            for i in range(tiles):
                first_layer.feature_masks(g0, g1, t.nonzero + i * t.words * 64, t.mask + (turn * T + i) * t.words * 64)

    @kernel
    def through(t, s, B, turn):
        """Phase 2: this thread's samples from the sum of the shards to the loss and back."""
        T = t.tiles
        k0, k1 = share_of_samples(B, t)
        for i in range(k0 // S, (k1 + S - 1) // S):
            first = k0 - S * i if k0 > S * i else 0
            count = least(S, k1 - S * i) - first
            if depth == summed:
                add_shards(i, first, count, T, t.last, t.shards)
            elif depth > summed:
                layer = t.layers + summed
                add_shards(i, first, count, T, layer, t.shards)
                activate_panels(i, first, count, T, row, layer, 0, layer.panels, function, active)
                if depth > summed + 1:
                    for level in range(summed + 1, t.hidden):
                        layer = t.layers + level
                        forward(i, first, count, T, row, t.layers + (level - 1), layer, product)
                        activate_panels(i, first, count, T, row, layer, 0, layer.panels, function, active)
                forward(i, first, count, T, row, t.layers + (t.hidden - 1), t.last, last_product)
            A, D = t.last.A + i * S, t.last.D + i * S
            if not t.learn:
                K = t.last.units
                for k in range(first, first + count):
                    for c in range(K):
                        t.scores[(s + i * S + k) * K + c] = (A + c // out * T * S)[k, c % out]
                continue
            code, share, units = t.code + (turn * T + i) * S, t.share + (s + i * S), outs(t.target_units)
            head(first, first + count, t.last.units, t.last.panels, T * S, A, D, code, share, units, t.loss + i * S)
            if depth > summed:
                below = t.layers + (t.hidden - 1)
                backward(i, first, count, T, out, t.last, t.zero, below, 0, below.panels, slope, product)
                if depth > summed + 1:
                    for level in range(t.hidden - 1, summed, -1):
                        layer, below = t.layers + level, t.layers + (level - 1)
                        backward(i, first, count, T, row, layer, t.zero, below, 0, below.panels, slope, product)

    @kernel
    def dense_update(t, B, tiles, turn, rate, begin, end):
        """The weights from dense features to the units of panels begin ≤ p < end."""
        T, layer = t.tiles, t.layers
        Q, P = layer.in_panels, layer.panels
        X, G = t.panels + turn * Q * T * S, two(t.G, 0, 2, CHUNK)
        if by_unit:
            for p in range(begin, end):
                for q in range(0, Q, 2):
                    WT = two(layer.WT + p * row, q, Q, P * row)
                    for i in range(tiles):
                        d, inputs = (p * T + i) * S, two(X + i * S, q, Q, T * S)
                        samples = t.valid + i * S if linear else layer.C + d
                        gradient(
                            row, tile_size(B, i), samples, layer.D + d, inputs, WT, G,
                            i == 0, i == tiles - 1, step, layer.state, rate, t.decay,
                        )  # fmt: skip
                for q in range(Q):
                    transpose(layer.WT + (q * P + p) * row, row, layer.W + (p * layer.in_rows + q * row), row)
            return
        q0, q1 = features(t)
        for p in range(begin, end, 2):
            for q in range(q0, q1):
                W, some = two(layer.W + q * row, p, end, layer.in_rows), least(row, t.d - q * row)
                for i in range(tiles):
                    D, valid = two(layer.D + i * S, p, end, T * S), t.valid + i * S
                    gradient(
                        some, tile_size(B, i), valid, X + (q * T + i) * S, D, W, G,
                        i == 0, i == tiles - 1, step, layer.state, rate, t.decay,
                    )  # fmt: skip

    @kernel
    def csr_update(t, B, tiles, turn, rate, p, end):
        """The weights of two panels from CSR features."""
        T, layer = t.tiles, t.layers
        W, h = two(layer.W, p, end, layer.in_rows), two(t.h, p, end, 1)
        # Plain SGD adds -lr·g straight to the weights; others first need the whole gradient.
        factor = -t.lr if t.lazy else 1.0
        G = W if t.lazy else two(t.whole, 0, 2, layer.in_rows)
        for i in range(tiles):
            a = (turn * T + i) * S
            first_layer.csr_gradient(
                tile_size(B, i), t.address + a, t.end + a, t.indices, raw(t.X), t.scale,
                number(t.G, factor), two(layer.D + i * S, p, end, T * S), G,
            )  # fmt: skip
        if not t.lazy:
            first_layer.csr_update(t.d, G, W, step, layer.state, rate, t.decay)
        h[0] = two(layer.b, p, end, 1)[0]

    @kernel
    def sparse_update(t, B, tiles, turn, rate, p, end):
        """The weights of two panels, which share the walk along the masks, from sparse features."""
        T, layer = t.tiles, t.layers
        W, G = two(layer.W, p, end, layer.in_rows), two(t.G, 0, 2, CHUNK)
        sum_D = splat(G, 0)
        for i in range(tiles):
            sum_D = add_rows(tile_size(B, i), two(layer.D + i * S, p, end, T * S), sum_D)
        r0, r1 = parts(t)
        for r in range(r0, r1):
            f0, f1 = part(t, r)
            d = least(f1 * size, t.d)
            h = two(t.h + r * layer.panels, p, end, 1)
            h_new = splat(G, 0) if by_feature else two(layer.b, p, end, 1)[0]
            for j in range(f0 * size, d, CHUNK):
                for i in range(tiles):
                    a = (turn * T + i) * S
                    if not is_cached(B, t):
                        ahead, j_ahead = (i + 1, j) if i + 1 < tiles else (0, j + CHUNK)
                        first = (turn * T + ahead) * S
                        fetch_tile(t, first, tile_size(B, ahead), j_ahead, least(j_ahead + CHUNK, d))
                    h_new = first_layer.sparse_gradient(
                        j, least(j + CHUNK, d), t.mask + a * t.words, t.address + a, raw, t.base, t.scale,
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
        begin, end = units(t)
        if csr or sparse:
            for p in range(begin, end, 2):
                update_panels(t, B, tiles, turn, rate, p, end)
        else:
            dense_update(t, B, tiles, turn, rate, begin, end)

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
        if not (linear or by_feature):
            begin, end = owned(t.layers.panels, t)
            for i in range(tiles):
                if one_hidden:
                    backward(i, 0, tile_size(B, i), T, out, t.last, t.zero, t.layers, begin, end, slope, product)
                else:
                    backward(i, 0, tile_size(B, i), T, row, t.layers + 1, t.zero, t.layers, begin, end, slope, product)
        if not linear:
            into, G = t.layers + (t.hidden - 1), two(outs(t.G), 0, 2, CHUNK)
            q0, q1 = owned(into.panels, t)
            p0, p1 = owned(t.last.panels, t)
            update_weights(B, tiles, T, row, out, into, t.last, G, q0, q1, last_gradient, step, rate, t.decay)
            update_biases(B, tiles, T, t.last, p0, p1, step, rate)
        if depth > 1:
            for level in range(t.hidden - 1, 0, -1):
                into, layer, G = t.layers + (level - 1), t.layers + level, two(t.G, 0, 2, CHUNK)
                q0, q1 = owned(into.panels, t)
                p0, p1 = owned(layer.panels, t)
                update_weights(B, tiles, T, row, row, into, layer, G, q0, q1, gradient, step, rate, t.decay)
                update_biases(B, tiles, T, layer, p0, p1, step, rate)
        first_update(t, B, tiles, turn, rate)

    def run(address):
        t = run_table(address)
        power1, power2 = t.powers[0], t.powers[1]
        goal = t.threads
        turn = 0
        prepare(t, t.begin, least(t.batch, t.n - t.begin), 0)
        meet(t, goal)
        for s in range(t.begin, t.n, t.batch):
            B = least(t.batch, t.n - s)
            tiles = (B + S - 1) // S
            first_forward(t, B, tiles, turn)
            goal += t.threads
            meet(t, goal)
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
        if t.thread == 0:
            t.powers[0], t.powers[1] = power1, power2

    return run
