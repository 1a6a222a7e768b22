"""The first layer: samples as they lie in memory become lists of non-zeros or dense panels; its product and gradient.

Every feature j is read as x = (v - base[j]) scale[j], and the network sees x + shift[j]: `base` is the value that the
column takes most often, so x is mostly 0 where the data are sparse or were sparse before somebody standardised them.
The product then is Σ x W[j] + h, with h = b + Σ shift[j] W[j] made anew while the weights are updated, and the gradient of
row j is Σ x D[k] + shift[j] Σ D[k]: exact in real arithmetic, for any optimizer, in the work of the non-zeros.
"""

from fastmlp.engine.simd import (
    convert,
    kernel,
    number,
    pointer,
    setbits,
    splat,
    to_bits,
    transpose_bits,
)

WORD = 64
words = pointer("i64", 64)


@kernel
def list_nonzeros(k, d, block, raw, base, scale, row, index, value, position, cut, nonzero):
    """List sample k's non-zeros from `position` on: index[p], value[p]; nonzero[g, k] as bits. Returns where they end.

    cut[q] is where feature block q begins, and one more where the last ends. raw: the sample's features, rows of 64.
    row: scratch for 64 numbers.
    """
    blocks = 0
    for g in range((d + WORD - 1) // WORD):
        if g % block == 0:
            cut[blocks] = position
            blocks += 1
        v = convert(base, raw[g])
        bits = to_bits(v != base[g])
        if d - WORD * g < WORD:
            bits &= (1 << (d - WORD * g)) - 1
        nonzero[g, k] = bits
        row[0] = (v - base[g]) * scale[g]
        for i in setbits(bits):
            index[position] = WORD * g + i
            value[position] = row[0, i]
            position += 1
    cut[blocks] = position
    return position


@kernel
def feature_masks(first, last, nonzero, mask):
    """mask[j] = the bits of the samples in which feature j is not zero, for words first ≤ g < last of features."""
    for g in range(first, last):
        words(mask)[g] = transpose_bits(words(nonzero)[g])


@kernel
def sparse_product(count, blocks, cut, index, value, W, start, A):
    """A[k] = start[0] + Σ value[p] W[index[p]], a block of features at a time, so that its weights stay in L1."""
    for q in range(blocks):
        for k in range(count):
            z = A[k] if q else start[0]
            c = k * (blocks + 1) + q
            for p in range(cut[c], cut[c + 1]):
                z += value[p] * W[index[p]]
            A[k] = z


@kernel
def sparse_gradient(
    j0, j1, mask, address, raw, base, scale, shift, D, d_sum, W, G, h, first, last, lazy, step, state, rate, decay
):
    """G[j] = scale[j] Σ_k (v - base[j]) D[k] over the bits k of mask[j] + shift[j] Σ D; at the last tile W takes its step.

    Features j0 ≤ j < j1, two at a time; j1 is made even. Returns h + Σ shift[j] W[j] of the new weights.
    lazy: a feature that is 0 in the whole batch stays as it is.
    """
    for j in range(j0, j1, 2):
        m0, m1 = mask[j], mask[j + 1]
        if lazy and first and last and not m0 | m1:
            continue
        g0, g1 = splat(D, 0), splat(D, 0)
        for k in setbits(m0 & m1):
            x = raw(address[k])
            d = D[k]
            g0 += (number(D, x[j]) - base[j]) * d
            g1 += (number(D, x[j + 1]) - base[j + 1]) * d
        for k in setbits(m0 & ~m1):
            g0 += (number(D, raw(address[k])[j]) - base[j]) * D[k]
        for k in setbits(m1 & ~m0):
            g1 += (number(D, raw(address[k])[j + 1]) - base[j + 1]) * D[k]
        g0, g1 = scale[j] * g0, scale[j + 1] * g1
        if not first:
            g0, g1 = g0 + G[j], g1 + G[j + 1]
        if last:
            step(W, j, g0 + shift[j] * d_sum, state, rate, decay)
            step(W, j + 1, g1 + shift[j + 1] * d_sum, state, rate, decay)
            if not lazy:
                h += shift[j] * W[j]
                h += shift[j + 1] * W[j + 1]
        else:
            G[j], G[j + 1] = g0, g1
    return h


@kernel
def copy_dense(k, d, lanes, stride, raw, base, scale, X):
    """Sample k's features, normalised, into row k of the panels X, `stride` rows from panel to panel."""
    for q in range((d + lanes - 1) // lanes):
        (X + q * stride)[k] = (convert(base, raw[q]) - base[q]) * scale[q]
