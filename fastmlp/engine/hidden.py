"""Products and gradients of dense layers, with and without skipping the zeros of activations.

Letters: a tile holds S = 64 samples k; a panel holds R units, one row of registers. A (S, R) and D (S, R) are a tile's
activations and deltas in one panel, W (R_in, R) the weights between two panels. Masks are integers: bit i of mask[k]
says whether A[k, i] takes part; where it does not, A[k, i] is 0.

Wide panels have registers enough to skip zeros: two rows are walked along their masks, and share a load where the bits
of both are set. In narrow panels an addition would wait for the one before it: four rows go together and skip nothing.
"""

from fastmlp.engine.simd import iota, kernel, low_bits, reduce_sum, setbits, splat, where


@kernel
def masked_product(count, units, mask, A, W, start, out, is_first):
    """out[k] = Σ_i A[k, i] W[i] over the bits i of mask[k], plus start[0] if is_first, else plus out[k]; k < count.

    An odd count also writes row `count`.
    """
    for k in range(0, count, 2):
        if is_first:
            z0 = start[0]
            z1 = z0
        else:
            z0, z1 = out[k], out[k + 1]
        m0, m1 = mask[k], mask[k + 1]
        for i in setbits(m0 & m1):
            w = W[i]
            z0 += A[k, i] * w
            z1 += A[k + 1, i] * w
        for i in setbits(m0 & ~m1):
            z0 += A[k, i] * W[i]
        for i in setbits(m1 & ~m0):
            z1 += A[k + 1, i] * W[i]
        out[k], out[k + 1] = z0, z1


@kernel
def dense_product(count, units, mask, A, W, start, out, is_first):
    """The same from all i < units; the count is made a multiple of four."""
    for k in range(0, count, 4):
        if is_first:
            z0 = start[0]
            z1, z2, z3 = z0, z0, z0
        else:
            z0, z1, z2, z3 = out[k], out[k + 1], out[k + 2], out[k + 3]
        for i in range(units):
            w = W[i]
            z0 += A[k, i] * w
            z1 += A[k + 1, i] * w
            z2 += A[k + 2, i] * w
            z3 += A[k + 3, i] * w
        out[k], out[k + 1], out[k + 2], out[k + 3] = z0, z1, z2, z3


@kernel
def whole_product(count, units, mask, A, W, start, out, is_first):
    """The same of samples whose masks have all units: one or two of them without two others, in the same order."""
    if count > 2:
        dense_product(count, units, mask, A, W, start, out, is_first)
    else:
        masked_product(count, units, mask, A, W, start, out, is_first)


@kernel
def sum_squares(W, count):
    """Σ W[i]² over i < count, a multiple of four, and all lanes."""
    s0 = splat(W, 0)
    s1, s2, s3 = s0, s0, s0
    for i in range(0, count, 4):
        w0, w1, w2, w3 = W[i], W[i + 1], W[i + 2], W[i + 3]
        s0 += w0 * w0
        s1 += w1 * w1
        s2 += w2 * w2
        s3 += w3 * w3
    return reduce_sum((s0 + s1) + (s2 + s3))


@kernel
def single_product(count, units, A, W, start, out, is_first):
    """`dense_product` of a panel without another beside it; the count is made a multiple of eight."""
    for k in range(0, count, 8):
        if is_first:
            z0 = start[0]
            z1, z2, z3, z4, z5, z6, z7 = z0, z0, z0, z0, z0, z0, z0
        else:
            z0, z1, z2, z3 = out[k], out[k + 1], out[k + 2], out[k + 3]
            z4, z5, z6, z7 = out[k + 4], out[k + 5], out[k + 6], out[k + 7]
        for i in range(units):
            w = W[i]
            z0 += A[k, i] * w
            z1 += A[k + 1, i] * w
            z2 += A[k + 2, i] * w
            z3 += A[k + 3, i] * w
            z4 += A[k + 4, i] * w
            z5 += A[k + 5, i] * w
            z6 += A[k + 6, i] * w
            z7 += A[k + 7, i] * w
        out[k], out[k + 1], out[k + 2], out[k + 3] = z0, z1, z2, z3
        out[k + 4], out[k + 5], out[k + 6], out[k + 7] = z4, z5, z6, z7


@kernel
def masked_gradient(count, units, mask, A, D, W, G, is_first, is_last, step, state, rate, decay):
    """G[i] = Σ_k A[k, i] D[k] over the bits k of mask[i], i < units (made even); at the last tile W takes its step.

    A batch of several tiles adds them up in G; of one tile, the sum never leaves the registers.
    """
    for i in range(0, units, 2):
        if is_first:
            g0, g1 = splat(D, 0), splat(D, 0)
        else:
            g0, g1 = G[i], G[i + 1]
        m0, m1 = mask[i], mask[i + 1]
        for k in setbits(m0 & m1):
            d = D[k]
            g0 += A[k, i] * d
            g1 += A[k, i + 1] * d
        for k in setbits(m0 & ~m1):
            g0 += A[k, i] * D[k]
        for k in setbits(m1 & ~m0):
            g1 += A[k, i + 1] * D[k]
        if is_last:
            step(W, i, g0, state, rate, decay)
            step(W, i + 1, g1, state, rate, decay)
        else:
            G[i], G[i + 1] = g0, g1


@kernel
def dense_gradient(count, units, mask, A, D, W, G, is_first, is_last, step, state, rate, decay):
    """The same from all k < count; the units are made a multiple of four."""
    for i in range(0, units, 4):
        if is_first:
            g0, g1, g2, g3 = splat(D, 0), splat(D, 0), splat(D, 0), splat(D, 0)
        else:
            g0, g1, g2, g3 = G[i], G[i + 1], G[i + 2], G[i + 3]
        for k in range(count):
            d = D[k]
            g0 += A[k, i] * d
            g1 += A[k, i + 1] * d
            g2 += A[k, i + 2] * d
            g3 += A[k, i + 3] * d
        if is_last:
            step(W, i, g0, state, rate, decay)
            step(W, i + 1, g1, state, rate, decay)
            step(W, i + 2, g2, state, rate, decay)
            step(W, i + 3, g3, state, rate, decay)
        else:
            G[i], G[i + 1], G[i + 2], G[i + 3] = g0, g1, g2, g3


@kernel
def single_gradient(count, units, A, D, W, G, is_first, is_last, step, state, rate, decay):
    """`dense_gradient` of a panel without another beside it; the units are made a multiple of eight."""
    for i in range(0, units, 8):
        if is_first:
            g0 = splat(D, 0)
            g1, g2, g3, g4, g5, g6, g7 = g0, g0, g0, g0, g0, g0, g0
        else:
            g0, g1, g2, g3 = G[i], G[i + 1], G[i + 2], G[i + 3]
            g4, g5, g6, g7 = G[i + 4], G[i + 5], G[i + 6], G[i + 7]
        for k in range(count):
            d = D[k]
            g0 += A[k, i] * d
            g1 += A[k, i + 1] * d
            g2 += A[k, i + 2] * d
            g3 += A[k, i + 3] * d
            g4 += A[k, i + 4] * d
            g5 += A[k, i + 5] * d
            g6 += A[k, i + 6] * d
            g7 += A[k, i + 7] * d
        if is_last:
            step(W, i, g0, state, rate, decay)
            step(W, i + 1, g1, state, rate, decay)
            step(W, i + 2, g2, state, rate, decay)
            step(W, i + 3, g3, state, rate, decay)
            step(W, i + 4, g4, state, rate, decay)
            step(W, i + 5, g5, state, rate, decay)
            step(W, i + 6, g6, state, rate, decay)
            step(W, i + 7, g7, state, rate, decay)
        else:
            G[i], G[i + 1], G[i + 2], G[i + 3] = g0, g1, g2, g3
            G[i + 4], G[i + 5], G[i + 6], G[i + 7] = g4, g5, g6, g7


@kernel
def activate(count, units, A, mask, function, active):
    """A[k] = function(A[k]), 0 from the number of units (≤ R) on; mask[k] = the bits of those that are active."""
    for k in range(count):
        z = A[k]
        mask[k] = active(z) & low_bits(units)
        A[k] = where(iota(A, 0) < units, function(z), 0)


@kernel
def chain(count, A, D, slope):
    """D[k] = D[k] · activation'(A[k]), which turns ∂loss/∂A into ∂loss/∂Z."""
    for k in range(count):
        D[k] = slope(A[k], D[k])


@kernel
def add_panels(count, panels, stride, Z, start, out):
    """out[k] = start[0] + Σ_q Z[q·stride + k] over the panels q; k < count."""
    for k in range(count):
        z = start[0]
        for q in range(panels):
            z = z + Z[q * stride + k]
        out[k] = z


@kernel
def add_halves(count, lower, upper, stride, Z, Z_upper, start, out):
    """out[k] = start[0] + Σ_q Z[q·stride + k] + Σ_q Z_upper[q·stride + k], q < lower and q < upper; k < count.

    Each sum is made before it is added.
    """
    for k in range(count):
        z0, z1 = splat(Z, 0), splat(Z, 0)
        for q in range(lower):
            z0 = z0 + Z[q * stride + k]
        for q in range(upper):
            z1 = z1 + Z_upper[q * stride + k]
        out[k] = start[0] + z0 + z1


@kernel
def add_rows(count, D, g):
    """Return g + Σ_k D[k], k < count."""
    for k in range(count):
        g = g + D[k]
    return g
