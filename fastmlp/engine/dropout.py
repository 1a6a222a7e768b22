"""Kernels of dropout: the bits of the units that are kept, and what becomes of activations and deltas.

`fastmlp.reference.dropout` says what the bits are; here eight samples go together, lane by lane.
"""

from fastmlp.engine.simd import from_bits, inline, iota, kernel, pointer, splat, to_bits, where
from fastmlp.reference.dropout import BUMPS, CALLS, DIGITS, LOW, MULTIPLIERS, ROUNDS

EIGHT = 8
(M0, M1), (W0, W1) = MULTIPLIERS, BUMPS
eights = pointer("i64", EIGHT)


@inline
def philox(c0, c1, c2, c3, k0, k1):
    """Philox-4x32-10 of counters in 64-bit lanes: four random 32-bit numbers for each lane."""
    for _ in range(ROUNDS):
        p0, p1 = c0 * M0, c2 * M1
        c0, c1, c2, c3 = (p1 >> 32 & LOW) ^ c1 ^ k0, p1 & LOW, (p0 >> 32 & LOW) ^ c3 ^ k1, p0 & LOW
        k0, k1 = k0 + W0 & LOW, k1 + W1 & LOW
    return c0, c1, c2, c3


@inline
def decide(kept, undecided, r, digit):
    """Return (kept, undecided) after a digit of q and its random words r.

    From the first digit on, a unit whose bit of r is not the digit is decided: kept if the digit is 1, else dropped.
    """
    return (kept | undecided & r, undecided & ~r) if digit else (kept, undecided & r)


@kernel
def keep_units(count, place, word, layer, step, key0, key1, parts, kept):
    """kept[k] = the bits of the units that the sample at place + k of the batch keeps; k < count, made a multiple of 8.

    A unit is kept with probability parts / 2^DIGITS. Later digits are not drawn once they decide nothing.
    """
    for k in range(0, count, EIGHT):
        none = splat(eights(kept), 0)
        places = iota(none, place + k)
        bits, undecided = none, ~none
        rest, call = parts, 0
        while rest != 0 and to_bits(undecided != 0) != 0:
            r0, r1, r2, r3 = philox(none + (word * CALLS + call), places, none + (step & LOW), none + layer, key0, key1)
            bits, undecided = decide(bits, undecided, r0 | r1 * (1 << 32), rest >> (DIGITS - 1) & 1)
            bits, undecided = decide(bits, undecided, r2 | r3 * (1 << 32), rest >> (DIGITS - 2) & 1)
            rest, call = rest << 2 & ((1 << DIGITS) - 1), call + 1
        eights(kept + k)[0] = bits


@kernel
def drop(count, kept, first, mask, A, scale):
    """A[k] = scale · A[k] of the units whose bits are set in mask[k], 0 of others; k < count.

    Of the mask, only bits that kept[k] has from bit `first` on stay.
    """
    for k in range(count):
        bits = mask[k] & kept[k] >> first
        mask[k] = bits
        A[k] = where(from_bits(A, bits), A[k] * scale, 0)


@kernel
def chain_kept(count, mask, A, D, slope, unscale, scale):
    """D[k] = scale · D[k] · activation'(Z[k]) of the units whose bits are set in mask[k], 0 of others.

    The derivative is a function of unscale · A[k].
    """
    for k in range(count):
        D[k] = where(from_bits(D, mask[k]), slope(A[k] * unscale, D[k] * scale), 0)
