"""Kernels on top of the vector operations: exp, log, tanh, sigmoid of vectors or numbers, transposes of matrices."""

import math

from fastmlp.engine.simd.compiler import inline, kernel
from fastmlp.engine.simd.primitives import (
    absolute,
    by_kind,
    copysign,
    exponent,
    inverse,
    inverse_root,
    lanes_of,
    mantissa,
    maximum,
    minimum,
    number,
    polynomial,
    transpose_block,
    two_to,
    where,
)

LOG2_E = 1.4426950408889634
LN2_HIGH = 0.693145751953125  # 15 bits: its product with a whole number below 2**9 (f32) is exact, also without fma
LN2_LOW = 1.4286068203094173e-06

# e**x = 2**n e**r with n = rint(x/ln 2). SHIFT lifts x/ln 2 until its fraction is rounded away, and n + bias - 1
# stands in the last bits of the mantissa, where `two_to` finds it. (AVX2 cannot convert f64 to integers.)
SHIFT = by_kind(f32=1.5 * 2**23 + 126, f64=1.5 * 2**52 + 1022)
LOWEST = by_kind(f32=-87.3, f64=-708.2)  # n + bias - 1 is 0 here, and with it 2**(n - 1)
HIGHEST = by_kind(f32=88.8, f64=709.9)  # e**x is past the largest float here

# 2 (e**r - 1)/r for |r| ≤ ln(2)/2: the Chebyshev series, cut. Relative error of e**r: 1e-8 and 1e-17.
EXPM1 = polynomial(
    f32=(2.0, 1.0, 0.33333009813895675, 0.08333270446114104, 0.01673837375784006, 0.0027882326499770443),
    f64=(
        2.0,
        1.000000000000001,
        0.3333333333333336,
        0.08333333333314552,
        0.016666666666639088,
        0.0027777777865244336,
        0.0003968253978039179,
        4.960300835605644e-05,
        5.51144815193176e-06,
        5.525285482983187e-07,
        5.022019260806698e-08,
    ),
)


# 2 atanh(s)/s as a polynomial of s², |s| ≤ (√2 - 1)/(√2 + 1): the series, cut.
ATANH = polynomial(f32=[2 / (2 * k + 1) for k in range(5)], f64=[2 / (2 * k + 1) for k in range(11)])


@inline
def exp(x):
    """e**x to 1 ulp or two; 0 below 1.7e-38 (f32) and 3.2e-308 (f64), inf above the largest float, NaN for NaN."""
    x = minimum(maximum(x, LOWEST(x)), HIGHEST(x))
    t = x * number(x, LOG2_E) + SHIFT(x)
    n = t - SHIFT(x)
    r = x - n * number(x, LN2_HIGH) - n * number(x, LN2_LOW)
    return (EXPM1(r) * r + number(x, 2)) * two_to(t)


@inline
def log(x):
    """The natural logarithm of normal positive x to an ulp or two; inf and NaN for themselves."""
    e, m, one = exponent(x), mantissa(x), number(x, 1)
    s = (m - one) / (m + one)
    value = e * number(x, LN2_HIGH) + (e * number(x, LN2_LOW) + ATANH(s * s) * s)
    return where(x < number(x, math.inf), value, x)


SMALLEST = by_kind(f32=2.0**-126, f64=2.0**-1022)


@inline
def inverse_of_root(x, shift):
    """1/(sqrt(x) + shift) to a few ulp, of x ≥ 0 and a positive shift; 0 for x = inf, NaN for NaN."""
    root = x * inverse_root(maximum(x, SMALLEST(x)))
    return where(x == number(x, math.inf), number(x, 0), inverse(root + number(x, shift)))


@inline
def tanh(x):
    """tanh x to a few ulp, everywhere: m/(m + 2) with m = e**2|x| - 1 and x's sign; ±1 for large x."""
    one = number(x, 1)
    y = minimum(absolute(x), number(x, 20))
    y = y + y
    t = y * number(x, LOG2_E) + SHIFT(x)
    n = t - SHIFT(x)
    r = y - n * number(x, LN2_HIGH) - n * number(x, LN2_LOW)
    half = two_to(t)
    m = half * (EXPM1(r) * r) + (half + half - one)
    return copysign(m / (m + one + one), x)


@inline
def sigmoid(x):
    """1/(1 + e**-x), without overflow: e**-|x| is at most 1."""
    e = exp(-absolute(x))
    return where(x < number(x, 0), e, number(x, 1)) / (e + number(x, 1))


@kernel
def transpose(source, nrow, target, ncol):
    """target[j, i] = source[i, j] for i < nrow, j < ncol, multiples of the lanes (addresses of rows of f32 or f64)."""
    for i in range(0, nrow, lanes_of(source)):
        for j in range(0, ncol, lanes_of(source)):
            transpose_block(source, i, target, j)


@inline
def low_bits(n):
    """An int64 whose lowest n bits are 1: none for n ≤ 0, all for n ≥ 64."""
    return -1 if n >= 64 else (1 << n) - 1 if n > 0 else 0
