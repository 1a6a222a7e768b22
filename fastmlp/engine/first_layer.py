"""The first layer: samples as they lie in memory become lists of non-zeros or dense panels; its product and gradient.

Every feature j is read as x = (v - base[j]) scale[j], and the network sees x + shift[j]: `base` is the value that the
column takes most often, so x is mostly 0 where the data are sparse or were sparse before somebody standardised them.
The product then is Σ x W[j] + h, with h = b + Σ shift[j] W[j] made anew while the weights are updated, and the gradient
of row j is Σ x D[k] + shift[j] Σ D[k]: exact in real arithmetic, for any optimizer, in the work of the non-zeros.
"""

from fastmlp.engine.processor import COMPRESS, lanes
from fastmlp.engine.simd import (
    convert,
    inline,
    iota,
    keep,
    kernel,
    low_bits,
    number,
    pointer,
    popcount,
    setbits,
    splat,
    to_bits,
    transpose_bits,
)

WORD = 64
words = pointer("i64", 64)


def make_list_nonzeros(kind, raw_kind):
    """Return the kernel that lists a sample's non-zeros, for the numbers it computes with and those it reads."""
    r = lanes(kind)
    some, places = pointer(kind, r), pointer("u16", r)
    raw_some, any_some = pointer(raw_kind, r, aligned=False), pointer(kind, r, aligned=False)

    @inline
    def put(bits, j, x, index, value):
        """The numbers of x at these bits, and where they stand from j on, to the front of value and index."""
        if COMPRESS:
            any_some(value)[0] = keep(bits, x)
            places(index)[0] = keep(bits, iota(places(index), j))
        else:
            any_some(value)[0] = x
            p = 0
            for i in setbits(bits):
                value[p] = value[i]  # p ≤ i: what is read was not overwritten before
                index[p] = j + i
                p += 1  # noqa: SIM113

    @kernel
    def list_nonzeros(k, d, block, raw, base, scale, index, value, position, cut, nonzero):
        """List sample k's non-zeros from `position` on: index[p], value[p]; nonzero[g, k] as bits. Returns their end.

        cut[q] is where feature block q begins, and one more where the last ends. Writes a register past the end.
        """
        blocks = 0
        for g in range((d + WORD - 1) // WORD):
            if g % block == 0:
                cut[blocks] = position
                blocks += 1
            word = 0
            real = low_bits(d - WORD * g)
            for j in range(0, WORD, r):
                i = (WORD * g + j) // r
                v = convert(base, raw_some(raw)[i])
                bits = to_bits(v != some(base)[i]) & (real >> j)
                word |= bits << j
                put(bits, WORD * g + j, (v - some(base)[i]) * some(scale)[i], index + position, value + position)
                position += popcount(bits)
            nonzero[g, k] = word
        cut[blocks] = position
        return position

    return list_nonzeros


@kernel
def feature_masks(first, last, nonzero, mask):
    """mask[j] = the bits of the samples in which feature j is not zero, for words first ≤ g < last of features."""
    for g in range(first, last):
        words(mask)[g] = transpose_bits(words(nonzero)[g])


@kernel
def sparse_product(count, blocks, cut, index, value, W0, W1, start0, start1, A0, A1):
    """A[k] = start[0] + Σ value[p] W[index[p]] for two panels that share the lists.

    A block of features at a time, so that its weights stay in L1.
    """
    for q in range(blocks):
        for k in range(count):
            z0 = A0[k] if q else start0[0]
            z1 = A1[k] if q else start1[0]
            c = k * (blocks + 1) + q
            for p in range(cut[c], cut[c + 1]):
                i, x = index[p], value[p]
                z0 += x * W0[i]
                z1 += x * W1[i]
            A0[k] = z0
            A1[k] = z1


@kernel
def sparse_gradient(
    j0, j1, mask, address, raw, base, scale, D0, D1, W0, W1, sum0, sum1, first, last, G, lazy, shift, h0, h1,
    step, state, rate, decay,
):  # fmt: skip
    """The gradients of features j0 ≤ j < j1 in two panels, from one tile; at the last tile their weights take a step.

    G[j] = scale[j] Σ_k (v - base[j]) D[k] over the bits k of mask[j]; the step's gradient is G[j] + shift[j] Σ D.
    Features go two at a time; j1 is made even. G holds the sums over tiles, of both panels in turn.
    Returns h + Σ shift[j] W[j] of the new weights, for both panels.
    lazy: a feature that is 0 in the whole batch stays as it is, and h is not needed.
    """
    for j in range(j0, j1, 2):
        m0, m1 = mask[j], mask[j + 1]
        if lazy and first and last and not m0 | m1:
            continue
        g00, g01, g10, g11 = splat(D0, 0), splat(D0, 0), splat(D0, 0), splat(D0, 0)
        for k in setbits(m0 & m1):
            x = raw(address[k])
            x0, x1 = number(D0, x[j]) - base[j], number(D0, x[j + 1]) - base[j + 1]
            d0, d1 = D0[k], D1[k]
            g00 += x0 * d0
            g01 += x0 * d1
            g10 += x1 * d0
            g11 += x1 * d1
        for k in setbits(m0 & ~m1):
            x0 = number(D0, raw(address[k])[j]) - base[j]
            g00 += x0 * D0[k]
            g01 += x0 * D1[k]
        for k in setbits(m1 & ~m0):
            x1 = number(D0, raw(address[k])[j + 1]) - base[j + 1]
            g10 += x1 * D0[k]
            g11 += x1 * D1[k]
        g00, g01, g10, g11 = scale[j] * g00, scale[j] * g01, scale[j + 1] * g10, scale[j + 1] * g11
        i = 2 * (j - j0)
        if not first:
            g00, g01, g10, g11 = g00 + G[i], g01 + G[i + 1], g10 + G[i + 2], g11 + G[i + 3]
        if last:
            step(W0, j, g00 + shift[j] * sum0, state, rate, decay)
            step(W0, j + 1, g10 + shift[j + 1] * sum0, state, rate, decay)
            if not lazy:
                h0 = h0 + shift[j] * W0[j]
                h0 = h0 + shift[j + 1] * W0[j + 1]
            step(W1, j, g01 + shift[j] * sum1, state, rate, decay)
            step(W1, j + 1, g11 + shift[j + 1] * sum1, state, rate, decay)
            if not lazy:
                h1 = h1 + shift[j] * W1[j]
                h1 = h1 + shift[j + 1] * W1[j + 1]
        else:
            G[i], G[i + 1], G[i + 2], G[i + 3] = g00, g01, g10, g11
    return h0, h1


@kernel
def csr_product(count, begin, end, indices, data, scale, W0, W1, start0, start1, A0, A1):
    """A[k] = start[0] + scale Σ data[p] W[indices[p]], begin[k] ≤ p < end[k], for two panels."""
    for k in range(count):
        z0, z1 = start0[0], start1[0]
        for p in range(begin[k], end[k]):
            i, x = indices[p], number(A0, data[p]) * scale
            z0 += x * W0[i]
            z1 += x * W1[i]
        A0[k] = z0
        A1[k] = z1


@kernel
def csr_gradient(count, begin, end, indices, data, scale, D0, D1, G0, G1):
    """G[indices[p]] += scale data[p] D[k], begin[k] ≤ p < end[k], for two panels."""
    for k in range(count):
        d0, d1 = D0[k], D1[k]
        for p in range(begin[k], end[k]):
            i, x = indices[p], number(D0, data[p]) * scale
            G0[i] += x * d0
            G1[i] += x * d1


@kernel
def csr_update(d, G0, G1, W0, W1, step, state, rate, decay):
    """W takes its step with the gradients G, which are 0 again afterwards, for two panels."""
    for j in range(d):
        step(W0, j, G0[j], state, rate, decay)
        step(W1, j, G1[j], state, rate, decay)
        G0[j] = splat(G0, 0)
        G1[j] = splat(G1, 0)


@kernel
def copy_dense(k, d, lanes, stride, raw, base, scale, X):
    """Sample k's features, normalised, into row k of the panels X, `stride` rows from panel to panel."""
    for q in range((d + lanes - 1) // lanes):
        (X + q * stride)[k] = (convert(base, raw[q]) - base[q]) * scale[q]
