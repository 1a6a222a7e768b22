"""The first layer: samples as they lie in memory become lists of non-zeros or dense panels; its product and gradient.

Every feature j is read as x = (v - base[j]) scale[j], and the network sees x + shift[j]. That is computed in the wider
of the types of v and of the network, and then rounded to the network's. `base` is the value that the column takes most
often, so x is mostly 0 where the data are sparse or were sparse before somebody standardised them.
The product then is Σ x W[j] + h, with h = b + Σ shift[j] W[j] made anew while the weights are updated, and the gradient
of row j is Σ x D[k] + shift[j] Σ D[k]: exact in real arithmetic, for any optimizer, in the work of the non-zeros.
"""

from fastmlp.engine.optimizers import rate_at
from fastmlp.engine.plan import wider
from fastmlp.engine.processor import TARGET, lanes
from fastmlp.engine.simd import (
    convert,
    inline,
    iota,
    keep,
    kernel,
    least,
    low_bits,
    number,
    pointer,
    popcount,
    prefetch,
    setbits,
    splat,
    to_bits,
    transpose_bits,
)

WORD = 64
APART = 8
"""Fewest samples with one of two features, for which walks of their own cost less than products with 0."""
NEAR = 4
"""Rows whose weights are asked for ahead of their steps."""
words, places = pointer("i64", WORD), pointer("i32", WORD)


def make_list_nonzeros(kind, raw_kind):
    """Return the kernel that lists a sample's non-zeros, for the numbers it computes with and those it reads."""
    r = lanes(kind)
    wide, places = pointer(wider(kind, raw_kind), r), pointer("u16", r)
    raw_some, any_some = pointer(raw_kind, r, aligned=False), pointer(kind, r, aligned=False)

    @inline
    def put(bits, j, x, index, value):
        """The numbers of x at these bits, and where they stand from j on, to the front of value and index."""
        if TARGET.compress:
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
                v, b = convert(base, raw_some(raw)[i]), wide(base)[i]
                bits = to_bits(v != b) & (real >> j)
                word |= bits << j
                x = convert(value, (v - b) * wide(scale)[i])
                put(bits, WORD * g + j, x, index + position, value + position)
                position += popcount(bits)
            nonzero[g, k] = word
        cut[blocks] = position
        return position

    return list_nonzeros


@kernel
def feature_masks(begin, end, nonzero, mask):
    """mask[j] = the bits of the samples in which feature j is not zero, for words begin ≤ g < end of features."""
    for g in range(begin, end):
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
def pair_gradient(m0, m1, j, n, address, raw, base, apart, D):
    """Σ_k (v - base) D[k] over the bits k of m0 for feature j, and over those of m1 for the next one, read at n.

    One walk along the bits of both multiplies zeros, too. If at least `apart` bits differ, those have their own walks.
    """
    g0, g1 = splat(D, 0), splat(D, 0)
    if popcount(m0 ^ m1) < apart:
        both, only0, only1 = m0 | m1, 0, 0
    else:
        both, only0, only1 = m0 & m1, m0 & ~m1, m1 & ~m0
    for k in setbits(both):
        v, d = raw(address[k]), D[k]
        g0 += number(D, number(base, v[j]) - base[j]) * d
        g1 += number(D, number(base, v[n]) - base[j + 1]) * d
    for k in setbits(only0):
        g0 += number(D, number(base, raw(address[k])[j]) - base[j]) * D[k]
    for k in setbits(only1):
        g1 += number(D, number(base, raw(address[k])[n]) - base[j + 1]) * D[k]
    return g0, g1


@kernel
def sparse_gradient(
    j0, j1, mask, address, raw, base, scale, apart, D, W, sum_D, is_first, is_last, G, lazy, shift, h, step, state,
    rate, decay,
):  # fmt: skip
    """The gradients of features j0 ≤ j < j1 from one tile; at the last tile their weights take a step.

    G[j] = scale[j] Σ_k (v - base[j]) D[k] over the bits k of mask[j]; the step's gradient is G[j] + shift[j] Σ D.
    Features go in pairs; an odd last one is paired with a padding feature of scale 0, whose mask is 0.
    G holds the sums over tiles. Returns h + Σ shift[j] W[j] of the new W.
    lazy (plain SGD, no decay, no shift): rows with zero gradient are skipped and h is not recomputed.
    """
    for j in range(j0, j1, 2):
        m0, m1 = mask[j], mask[j + 1]
        if lazy and is_first and is_last and not m0 | m1:
            continue
        g0, g1 = pair_gradient(m0, m1, j, least(j + 1, j1 - 1), address, raw, base, apart, D)
        g0, g1 = number(D, scale[j]) * g0, number(D, scale[j + 1]) * g1
        if not is_first:
            g0, g1 = g0 + G[j - j0], g1 + G[j + 1 - j0]
        if is_last:
            step(W, j, g0 + shift[j] * sum_D, state, rate, decay)
            step(W, j + 1, g1 + shift[j + 1] * sum_D, state, rate, decay)
            if not lazy:
                h = h + shift[j] * W[j]
                h = h + shift[j + 1] * W[j + 1]
        else:
            G[j - j0], G[j + 1 - j0] = g0, g1
    return h


@kernel
def csr_product(count, begin, end, indices, data, scale, W, start, A):
    """A[k] = start[0] + Σ data[p] scale[i] W[i], i = indices[p], begin[k] ≤ p < end[k]."""
    for k in range(count):
        z = start[0]
        for p in range(begin[k], end[k]):
            i = indices[p]
            z += number(A, number(scale, data[p]) * scale[i]) * W[i]
        A[k] = z


@inline
def add_square(W, j, squares, b):
    """squares[b] += W[j]², lane by lane."""
    w = W[j]
    squares[b] = squares[b] + w * w


@kernel
def sort_entries(begin, end, order, indptr, indices, data, scale, j0, j1, stop, first, place, value):
    """Sort the entries of samples begin ≤ s < end of the order by feature, for features j0 ≤ j < j1.

    Feature j's are at e = first[j], first[j] + 1, …: x is value[e], s is place[e], ascending, and after the last one
    place[e] = stop.
    """
    at = j0
    for j in range(j0, j1):
        first[j] = 0
    for s in range(begin, end):
        for p in range(indptr[order[s]], indptr[order[s] + 1]):
            j = indices[p]
            if j < j0:
                at += 1
            elif j < j1:
                first[j] += 1
    for j in range(j0, j1):
        at += first[j]
        first[j] = at
        place[at] = stop
        at += 1
    for s in range(end - 1, begin - 1, -1):
        for p in range(indptr[order[s]], indptr[order[s] + 1]):
            j = indices[p]
            if j0 <= j < j1:
                e = first[j] - 1
                first[j], place[e] = e, s
                value[e] = number(value, number(scale, data[p]) * scale[j])


@kernel
def csr_gradient(count, begin, end, indices, data, scale, factor, D, G):
    """G[i] += data[p] scale[i] factor D[k], i = indices[p], begin[k] ≤ p < end[k]."""
    for k in range(count):
        d = factor * D[k]
        for p in range(begin[k], end[k]):
            i = indices[p]
            G[i] += number(D, number(scale, data[p]) * scale[i]) * d


@kernel
def csr_update(d, G, W, step, state, rate, is_penalized, squares):
    """Rows j < d take their step with the gradients G, which are 0 again afterwards.

    If they are penalized, squares[0] gains the squares of the weights before.
    """
    for j in range(d):
        if is_penalized:
            add_square(W, j, squares, 0)
        step(W, j, G[j], state, rate, rate.decay)
        G[j] = splat(G, 0)


@kernel
def list_due(d, end, due, listed):
    """List the features j for which due[j] < end, in whole words; return their number."""
    count = 0
    for g in range((d + WORD - 1) // WORD):
        for i in setbits(to_bits(places(due)[g] < end)):
            listed[count] = WORD * g + i
            count += 1
    return count


@kernel
def csr_roll(
    count, listed, at, end, batch, place, value, D, due, entry, is_last, W, step, arrays, state, rates, is_penalized,
    squares,
):  # fmt: skip
    """The listed rows take the step of this batch, samples at ≤ s < end, and those of the next ones that lack them.

    Row j's entries are at e ≥ entry[j]: the one of sample s = place[e] is value[e]. Steps without a sample have a
    gradient of 0. If they are penalized, squares[b] gains the squares of the weights before the step of batch b. If
    this is_last, due[j] becomes the place of the row's next sample, and entry[j] the entry.
    """
    for c in range(count):
        ahead = listed[least(c + NEAR, count - 1)]
        prefetch(place + entry[ahead])
        prefetch(value + entry[ahead])
        for a in range(arrays + 1):
            prefetch(W + (ahead + a * state))
        j = listed[c]
        e, g = entry[j], splat(D, 0)
        s = place[e]
        while s < end:
            g += value[e] * D[s - at]
            e += 1
            s = place[e]
        for b in range(at // batch, s // batch):
            if is_penalized:
                add_square(W, j, squares, b)
            rate = rate_at(rates, b)
            step(W, j, g, state, rate, rate.decay)
            g = splat(D, 0)
        if is_last:
            due[j], entry[j] = s, e


@kernel
def copy_dense(k, d, row, stride, raw0, raw1, raw2, raw3, base, scale, X):
    """The features of four samples, normalised, into rows k to k + 3 of the panels X, `stride` rows apart."""
    for q in range((d + row - 1) // row):
        panel, b, c = X + q * stride, base[q], scale[q]
        panel[k] = convert(X, (convert(base, raw0[q]) - b) * c)
        panel[k + 1] = convert(X, (convert(base, raw1[q]) - b) * c)
        panel[k + 2] = convert(X, (convert(base, raw2[q]) - b) * c)
        panel[k + 3] = convert(X, (convert(base, raw3[q]) - b) * c)
