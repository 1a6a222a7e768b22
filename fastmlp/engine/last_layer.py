"""A last layer of few outputs, all of them in one register's width: products and gradients without padding.

Its logits and deltas are rows of one output, whose lanes are samples: Z and D (K, S), a number of sample k at c S + k.
Its weights are rows of one output, too, whose lanes are units below: WT (K, R_in) for each panel below.
"""

from fastmlp.engine.simd import add_across, iota, kernel, lanes_of, number, reduce_sum, splat, where
from fastmlp.engine.tables import S


@kernel
def output_product(begin, end, K, panels, A, stride, WT, height, b, sums, Z, row):
    """Z[c, k] = b[c] + Σ_q A[q·stride + k] · WT[q·height + c], begin ≤ k < end made a multiple of `row`, Z's lanes.

    `begin` is one, too. `sums` has room for `row` rows of A.
    """
    for k in range(begin, end, row):
        for c in range(K):
            for a in range(0, row, 4):
                z0 = splat(A, 0)
                z1, z2, z3 = z0, z0, z0
                for q in range(panels):
                    w, x = WT[q * height + c], A + (q * stride + k + a)
                    z0 += x[0] * w
                    z1 += x[1] * w
                    z2 += x[2] * w
                    z3 += x[3] * w
                sums[a], sums[a + 1], sums[a + 2], sums[a + 3] = z0, z1, z2, z3
            z = c * (S // row) + k // row
            for a in range(0, row, lanes_of(sums)):
                add_across(sums, a, Z, z, a)
            Z[z] = Z[z] + b[c]


@kernel
def output_backward(begin, end, K, D, WT, out):
    """out[k] = Σ_c D[c, k] WT[c], begin ≤ k < end made a multiple of four."""
    for k in range(begin, end, 4):
        z0 = splat(out, 0)
        z1, z2, z3 = z0, z0, z0
        for c in range(K):
            w, d = WT[c], D + (c * S + k)
            z0 += d[0] * w
            z1 += d[1] * w
            z2 += d[2] * w
            z3 += d[3] * w
        out[k], out[k + 1], out[k + 2], out[k + 3] = z0, z1, z2, z3


@kernel
def output_gradient(begin, end, K, D, A, G, is_first):
    """G[c] = Σ_k D[c, k] A[k], begin ≤ k < end, plus G[c] unless is_first, for c < K made a multiple of four."""
    for c in range(0, K, 4):
        if is_first:
            g0 = splat(A, 0)
            g1, g2, g3 = g0, g0, g0
        else:
            g0, g1, g2, g3 = G[c], G[c + 1], G[c + 2], G[c + 3]
        d = D + c * S
        for k in range(begin, end):
            a = A[k]
            g0 += d[k] * a
            g1 += d[S + k] * a
            g2 += d[2 * S + k] * a
            g3 += d[3 * S + k] * a
        G[c], G[c + 1], G[c + 2], G[c + 3] = g0, g1, g2, g3


@kernel
def output_sum(begin, end, D, c, row):
    """Σ_k D[c, k], begin ≤ k < end, from rows of `row` samples; `begin` is a multiple of it."""
    g = splat(D, 0)
    for k in range(begin, end, row):
        g = g + where(iota(D, number(D, k)) < number(D, end), D[c * (S // row) + k // row], 0)
    return reduce_sum(g)
