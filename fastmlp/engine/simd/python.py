"""Plain Python twins of the compiled vector operations, for NUMBA_DISABLE_JIT=1: the same names, the same results.

Only a product that is added differs, where compiled code rounds once (fma). python_memory.py tells how `memory`
finds index errors that compiled code hides.
"""

import numpy as np

from fastmlp.engine.processor import lanes
from fastmlp.engine.simd.python_memory import (
    atomic_load,
    atomic_store,
    call,
    flush_subnormals,
    pair,
    pointer,
    prefetch,
    restore_arithmetic,
    spin,
    struct,
    ticks,
)
from fastmlp.engine.simd.python_vectors import DTYPES, WORD, Vec, meet, shape, signed, silent, spread, value

__all__ = [
    "absolute",
    "add_across",
    "atomic_load",
    "atomic_store",
    "by_kind",
    "call",
    "convert",
    "copysign",
    "exponent",
    "floor",
    "flush_subnormals",
    "from_bits",
    "inverse",
    "inverse_root",
    "iota",
    "keep",
    "lanes_of",
    "least",
    "mantissa",
    "maximum",
    "minimum",
    "number",
    "pair",
    "pointer",
    "polynomial",
    "popcount",
    "prefetch",
    "reduce_max",
    "reduce_product",
    "reduce_sum",
    "restore_arithmetic",
    "rint",
    "setbits",
    "spin",
    "splat",
    "sqrt",
    "struct",
    "ticks",
    "to_bits",
    "transpose_bits",
    "transpose_block",
    "two_to",
    "where",
]


def _function(f):
    """A twin that maps the arrays of its arguments, brought to their common kind, to an array."""

    def twin(*args):
        kind, _ = meet(*args)
        with silent():
            return value(np.asarray(f(*[spread(kind, a) for a in args])))

    return twin


absolute, sqrt, floor, rint = _function(np.abs), _function(np.sqrt), _function(np.floor), _function(np.rint)
copysign = _function(np.copysign)
inverse = _function(lambda x: (1 / x).astype(x.dtype))
inverse_root = _function(lambda x: (1 / np.sqrt(x)).astype(x.dtype))
maximum = _function(lambda x, y: np.where(y > x, y, x))
minimum = _function(lambda x, y: np.where(y < x, y, x))


def where(mask, x, y):
    kind, n = meet(x, y)
    if shape(mask) != ("b1", n):
        raise TypeError(f"where({mask}, {x}, {y}): the mask must be a comparison of as many lanes")
    return value(np.where(spread("b1", mask), spread(kind, x), spread(kind, y)))


def splat(like, x):
    kind, n = shape(like)
    return value(np.broadcast_to(spread(kind, x), n if n > 1 else ()))


def number(like, x):
    return value(spread(shape(like)[0], x))


def iota(like, first):
    kind, n = shape(like)
    return value((spread(kind, first) + np.arange(n)).astype(DTYPES[kind]) if n > 1 else spread(kind, first))


def convert(like, x):
    kind, _ = shape(like)
    with silent():
        return Vec(x.lanes.astype(DTYPES[kind])) if isinstance(x, Vec) else number(like, x)


def by_kind(f32, f64):
    return lambda like: splat(like, {"f32": f32, "f64": f64}[shape(like)[0]])


def polynomial(f32, f64):
    def evaluate(x):
        kind, _ = shape(x)
        *others, p = [number(x, c) for c in {"f32": f32, "f64": f64}[kind]]
        for c in reversed(others):
            p = p * x + c
        return p

    return evaluate


def two_to(t):
    kind, _ = shape(t)
    integer, mantissa = {"f32": (np.int32, 23), "f64": (np.int64, 52)}[kind]
    return value((spread(kind, t).view(integer) << integer(mantissa)).view(DTYPES[kind]))


def _split(x):
    """(m, e) of x = m 2**e, m in [√½, √2)."""
    kind, _ = shape(x)
    m, e = np.frexp(spread(kind, x))
    is_low = m < np.sqrt(0.5)
    return np.where(is_low, 2 * m, m).astype(DTYPES[kind]), (e - is_low).astype(DTYPES[kind])


def mantissa(x):
    return value(_split(x)[0])


def exponent(x):
    return value(_split(x)[1])


def least(x, y):
    return min(x, y)


# ---- all lanes to one number


def _halve(x, combine):
    with silent():
        while len(x) > 1:
            x = combine(x[: len(x) // 2], x[len(x) // 2 :])
    return value(x[0])


def _wide(x):
    kind, _ = shape(x)
    return np.atleast_1d(spread(kind, x)).astype(np.float64 if kind in ("f32", "f64") else np.int64)


def reduce_sum(x):
    return _halve(_wide(x), np.add)


def reduce_product(x):
    return _halve(_wide(x), np.multiply)


def reduce_max(x):
    return _halve(np.atleast_1d(spread(shape(x)[0], x)), lambda x, y: np.where(y > x, y, x))


# ---- masks as integers, permutations


def to_bits(mask):
    return signed(sum(1 << i for i, bit in enumerate(np.atleast_1d(spread("b1", mask))) if bit))


def from_bits(like, bits):
    _, n = shape(like)
    return Vec(np.array([int(bits) >> i & 1 for i in range(n)], np.bool_))


def popcount(mask):
    return (int(mask) % WORD).bit_count()


def setbits(mask):
    mask = int(mask) % WORD
    while mask:
        yield (mask & -mask).bit_length() - 1
        mask &= mask - 1


def keep(mask, x):
    kept = [x.lanes[i] for i in setbits(int(mask) % (1 << x.n))]
    return Vec(np.array(kept + [0] * (x.n - len(kept)), x.lanes.dtype))


def transpose_bits(x):
    bits = np.unpackbits(x.lanes.view(np.uint8).reshape(64, 8), axis=1, bitorder="little")
    return Vec(np.packbits(np.ascontiguousarray(bits.T), axis=1, bitorder="little").view(np.int64)[:, 0])


def lanes_of(like):
    return lanes(shape(like)[0])


def transpose_block(source, i, target, j):
    n = lanes_of(source)
    block = [[source[i + a, j + b] for b in range(n)] for a in range(n)]
    for a in range(n):
        for b in range(n):
            target[j + b, i + a] = block[a][b]


def add_across(source, i, target, j, lane):
    for a in range(lanes_of(source)):
        folded = source[i + a].lanes.reshape(-1, lanes_of(source)).sum(axis=0)
        while len(folded) > 1:
            folded = folded[: len(folded) // 2] + folded[len(folded) // 2 :]
        target[j, lane + a] = folded[0]
