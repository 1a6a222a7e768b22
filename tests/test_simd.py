"""Every vector operation compiled, against its plain Python twin; the functions of a float against NumPy in float64."""

import functools
import os
import pathlib
import subprocess
import sys
import threading

import numpy as np
import pytest
from numba import njit
from numba.core.errors import TypingError
from support.aligned_arrays import aligned
from support.kernel_calls import call, pointer
from support.processes import run_python
from support.simd_twins import in_python, twin_of, twins

from fastmlp.engine.simd import (
    LANES,
    TARGET,
    absolute,
    add_across,
    atomic_load,
    atomic_store,
    by_kind,
    convert,
    copysign,
    exp,
    floor,
    flush_subnormals,
    from_bits,
    inline,
    inverse,
    inverse_of_root,
    inverse_root,
    iota,
    keep,
    kernel,
    lanes,
    least,
    log,
    maximum,
    minimum,
    number,
    pair,
    polynomial,
    popcount,
    prefetch,
    python_memory,
    reduce_max,
    reduce_product,
    reduce_sum,
    restore_arithmetic,
    rint,
    setbits,
    sigmoid,
    spin,
    splat,
    sqrt,
    struct,
    tanh,
    to_bits,
    transpose,
    transpose_bits,
    transpose_block,
    where,
)
from fastmlp.engine.simd.compiler import COMPILED

pytestmark = pytest.mark.skipif(not COMPILED, reason="compares compiled code with its twins")

DTYPES = {"f32": np.float32, "f64": np.float64, "i64": np.int64, "i32": np.int32, "u16": np.uint16, "u8": np.uint8}
FLOATS = [(kind, n) for kind in ("f32", "f64") for n in (LANES, 4 * LANES)]
ints, words_of_eight, doubles = pointer("i64"), pointer("i64", 8), pointer("f64")
THIRDS, CURVES = {"f32": 1 / 3, "f64": 2 / 3}, {"f32": (1, 0.5), "f64": (1, 0.5, 0.25, -3)}
third, curve = by_kind(**THIRDS), polynomial(**CURVES)
OTHER_TWINS = {"third": twins.by_kind(**THIRDS), "curve": twins.polynomial(**CURVES)}


def call_twin(body, *arguments):
    """What `call` does, in plain Python."""
    function = in_python(getattr(body, "py_func", body), **OTHER_TWINS)
    return function(*[twin_of(a[0])(a[1].ctypes.data) if isinstance(a, tuple) else a for a in arguments])


def both(body, kind, n, rows, words=64, seed=0):
    """out and bits after body(x, y, out, bits), compiled and in plain Python.

    x, y: 4 rows of n numbers of the kind, out: `rows` rows of them, bits: `words` int64.
    """
    rng = np.random.default_rng(seed)
    x, y = (aligned((4, n), DTYPES[kind], rng.standard_normal((4, n)) * 3) for _ in range(2))
    row, results = pointer(kind, n), []
    for caller in (call, call_twin):
        out, bits = aligned((rows, n), DTYPES[kind], 99), aligned(words, np.int64, 99)
        caller(body, (row, x), (row, y), (row, out), (ints, bits))
        results += [out, bits]
    assert not np.all(results[0] == 99) or not np.all(results[1] == 99)
    return results


def tolerance(kind):
    return 16 * np.finfo(DTYPES[kind]).eps


# ---- operators and functions, lane by lane


def arithmetic(x, y, out, bits):
    out[0] = x[0] + y[0]
    out[1] = x[0] - y[0] * x[1]
    out[2] = x[0] / y[0]
    out[3] = 2 * x[0] + 1
    out[4] = 1.5 - x[0] / 4
    out[5] = 1 / y[1] - x[0, 3]
    acc = x[0]
    acc += x[1] * y[0]
    acc -= x[2, 1]
    acc *= y[1]
    acc /= x[3]
    out[6] = acc
    out[7] = -acc
    out[8] = 0.5
    out[9, 1] = x[1, 2] + y[3, 0]


def comparisons(x, y, out, bits):
    a, b = x[0], y[0]
    for i in range(4):
        out[i] = x[i]
    out[0, 0] = y[0, 0]
    out[0, 1] = np.nan
    a = out[0]
    bits[0] = to_bits(a > b)
    bits[1] = to_bits(a < b)
    bits[2] = to_bits(a >= b)
    bits[3] = to_bits(a <= b)
    bits[4] = to_bits(a == b)
    bits[5] = to_bits(a != b)
    bits[6] = to_bits(a > 0)
    bits[7] = to_bits(a < 0)
    bits[8] = to_bits((a > 0) & (b > 0))
    bits[9] = to_bits((a > 0) | (b > 0))
    bits[10] = to_bits(~(a > 0))
    mask = a > 0
    mask &= b > 0
    mask |= b < -2
    bits[11] = to_bits(mask)
    bits[12] = popcount(bits[11])
    bits[13] = to_bits((a > 0) == (b > 0))


def bit_operations(x, y, out, bits):
    eight = words_of_eight(bits)
    a = splat(eight, (1 << 62) + 12345) + iota(eight, -5) * 987654321987654321
    eight[0] = a >> 7
    eight[1] = a ^ (a >> 1)
    a ^= 5
    a >>= 62
    eight[2] = a
    bits[24] = to_bits((x[0] > 0) ^ (y[0] > 0))
    bits[25] = to_bits(from_bits(x, 0b0110))
    out[0] = where(from_bits(x[0], -6), x[0], 7)
    bits[26] = to_bits(from_bits(x, to_bits(x[0] > y[0])) ^ (x[0] > y[0]))


def choices(x, y, out, bits):
    out[0] = where(x[0] > y[0], x[0], y[1])
    out[1] = where(x[0] > 0, x[0], 0)
    out[2] = where(x[0] > 0, 1.5, x[1])
    out[3] = maximum(x[0], y[0])
    out[4] = maximum(x[0], 0)
    out[5] = minimum(0.5, x[0])
    out[6] = minimum(x[0], y[0])
    out[7] = copysign(x[0], y[0])
    out[8] = absolute(x[0])
    out[9] = sqrt(absolute(x[0]))
    out[10] = floor(x[0])
    out[11] = rint(x[0])
    nan = splat(x, np.nan)
    out[12] = maximum(nan, x[0])
    out[13] = maximum(x[0], nan)
    out[14] = rint(splat(out, 2.5)) + rint(splat(out, -0.5))


def buildings(x, y, out, bits):
    out[0] = splat(x, 3)
    out[1] = splat(x[0], x[0, 1])
    out[2] = iota(x, 5)
    out[3] = iota(x[0], 0.5)
    out[4] = convert(x, x[0] > y[0])
    out[5, 0] = number(x, 7)
    out[5, 1] = convert(x, 0.1)
    half = number(x, 0.5)
    out[5, 2] = where(half > 0, half, 0)
    out[5, 3] = maximum(0, half) + minimum(half, 3) + sqrt(half) + absolute(-half)
    bits[0] = number(bits, 7.9)
    bits[1] = least(bits[0], 3)
    bits[2] = least(-5, 3)
    bits[3] = to_bits(half > 0)
    bits[4] = splat(bits, 6) + iota(bits, 8)


def reductions(x, y, out, bits):
    out[0, 0] = reduce_max(x[0])
    out[0, 1] = reduce_max(-x[0])
    out[0, 2] = reduce_max(number(x, 3)) + reduce_sum(number(x, 4))
    bits[0] = popcount(to_bits(x[0] > 0))
    doubles(bits)[1] = reduce_sum(x[0])
    doubles(bits)[2] = reduce_product(x[0] / 3)


def functions(x, y, out, bits):
    for i in range(4):
        out[i] = exp(x[i] * 10)
        out[4 + i] = tanh(x[i])
        out[8 + i] = sigmoid(x[i] * 10)
    out[12, 0] = exp(x[0, 0])
    out[12, 1] = tanh(x[0, 1])
    out[12, 2] = sigmoid(x[0, 2])
    out[12, 3] = log(2.0)


def chosen_by_kind(x, y, out, bits):
    out[0] = third(x) * x[0]
    out[1] = curve(x[0])
    out[2, 0] = curve(third(x[0, 0]))


@pytest.mark.parametrize(("kind", "n"), FLOATS)
@pytest.mark.parametrize(("body", "rows"), [(arithmetic, 10), (buildings, 6), (functions, 13), (chosen_by_kind, 3)])
def test_operation_equals_its_twin(body, rows, kind, n):
    out, bits, out_twin, bits_twin = both(body, kind, n, rows)
    np.testing.assert_allclose(out, out_twin, rtol=tolerance(kind), atol=tolerance(kind))
    np.testing.assert_array_equal(bits, bits_twin)


@pytest.mark.parametrize(("kind", "n"), FLOATS)
@pytest.mark.parametrize(("body", "rows"), [(comparisons, 4), (choices, 15), (bit_operations, 1)])
def test_operation_without_rounding_is_its_twin(body, rows, kind, n):
    out, bits, out_twin, bits_twin = both(body, kind, n, rows)
    np.testing.assert_array_equal(out, out_twin)
    np.testing.assert_array_equal(bits, bits_twin)


def test_comparisons_and_choices_by_hand():
    _, bits, _, _ = both(comparisons, "f32", 4, 4)
    greater, less, _, _, equal, unequal = bits[:6]
    assert equal & 0b11 == 0b01  # lane 0 is equal, lane 1 NaN
    assert (greater | less | equal) == 0b1101
    assert unequal == 0b1110
    out, bits, _, _ = both(bit_operations, "f32", 4, 1)
    assert np.all(bits[:8] == (((1 << 62) + 12345 + (np.arange(8) - 5) * 987654321987654321) >> 7))
    assert np.any(bits[:8] < 0)  # the sign stays
    assert np.all(np.isin(bits[16:24], (-2, -1, 0, 1)))
    assert bits[25] == 0b0110
    assert bits[26] == 0
    assert (out[0, [0, 2]] == 7).all()  # -6 is ...1010
    out, *_ = both(choices, "f64", 4, 15)
    assert np.all(np.isnan(out[12]))  # a NaN in the first argument stays,
    assert not np.any(np.isnan(out[13]))  # one in the second is dropped
    np.testing.assert_array_equal(out[14], 2)  # ties round to even


@pytest.mark.parametrize(("kind", "n"), FLOATS)
def test_reductions_have_one_order(kind, n):
    """The sum of a row is the same to the last bit compiled and in plain Python, and a float64 sum."""
    out, bits, out_twin, bits_twin = both(reductions, kind, n, 1)
    np.testing.assert_array_equal(out, out_twin)
    np.testing.assert_array_equal(bits, bits_twin)
    x = np.random.default_rng(0).standard_normal((4, n)) * 3
    assert bits.view(np.float64)[1] == pytest.approx(x.astype(DTYPES[kind])[0].astype(np.float64).sum(), rel=1e-13)


# ---- accuracy


@functools.cache
def row_by_row(function):
    def body(source, target, rows):
        for i in range(rows):
            target[i] = function(source[i])

    return body


def apply(function, x):
    """function(x) for an array of floats, 4*LANES at a time."""
    n, kind = 4 * LANES, "f32" if x.dtype == np.float32 else "f64"
    rows = -(-x.size // n)
    source, target = aligned(rows * n, x.dtype), aligned(rows * n, x.dtype)
    source[: x.size] = x
    call(row_by_row(function), (pointer(kind, n), source), (pointer(kind, n), target), rows)
    return target[: x.size]


def magnitudes(dtype, lowest, highest, count=20_000):
    """Numbers of both signs, evenly spread in their logarithm and in themselves."""
    rng = np.random.default_rng(1)
    x = np.concatenate([10 ** rng.uniform(np.log10(lowest), np.log10(highest), count), rng.uniform(0, highest, count)])
    return (x * rng.choice([-1, 1], x.size)).astype(dtype)


def relative_error(got, expected):
    return np.max(np.abs(got.astype(np.longdouble) / expected - 1)) / np.finfo(got.dtype).eps


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_accuracy_of_exp(dtype):
    x = magnitudes(dtype, 1e-20, {np.float32: 88.7, np.float64: 709.7}[dtype])
    x = x[x > {np.float32: -86.9, np.float64: -708}[dtype]]
    assert relative_error(apply(exp, x), np.exp(x.astype(np.longdouble))) < 1.5

    limit = np.log(np.finfo(dtype).max)  # in this dtype, rounded
    special = np.array(
        [0, -0.0, 2 * limit, np.finfo(dtype).max, np.inf, -2 * limit, np.finfo(dtype).min, -np.inf], dtype
    )
    np.testing.assert_array_equal(apply(exp, special), [1, 1, np.inf, np.inf, np.inf, 0, 0, 0])
    assert np.isnan(apply(exp, np.array([np.nan], dtype))[0])
    small = apply(exp, np.linspace(-2 * limit, -0.97 * limit, 5000, dtype=dtype))
    assert np.all((small >= 0) & (small < 1e-36) & (np.diff(small, prepend=0) >= 0))


@kernel
def halve(x, out, i):
    out[i] = x[0] * 0.5


def halve_flushed(x, out):
    before = flush_subnormals()
    halve(x, out, 1)
    restore_arithmetic(before)
    halve(x, out, 2)


@inline
def inverse_of_shifted_root(x):
    return inverse_of_root(x, 1e-8)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_accuracy_of_inverses(dtype):
    x = np.abs(magnitudes(dtype, *{np.float32: (1e-36, 1e36), np.float64: (1e-300, 1e300)}[dtype]))
    exact = x.astype(np.longdouble)
    assert relative_error(apply(inverse, x), 1 / exact) < 2
    assert relative_error(apply(inverse_root, x), 1 / np.sqrt(exact)) < 2
    shift = np.longdouble(dtype(1e-8))
    assert relative_error(apply(inverse_of_shifted_root, x), 1 / (np.sqrt(exact) + shift)) < 4
    special = apply(inverse_of_shifted_root, np.array([0, np.inf, np.nan, np.finfo(dtype).tiny / 4], dtype))
    assert special[1] == 0
    assert np.isnan(special[2])
    assert relative_error(special[[0, 3]], 1 / shift) < 4


WITHOUT_APPROXIMATIONS = """
import numpy as np
from numba import njit
from support.aligned_arrays import aligned
from fastmlp.engine.simd import TARGET, inverse_of_root, kernel, pointer

rows = pointer("f32", 16)

@kernel
def invert(x, out):
    out[0] = inverse_of_root(x[0], 1e-8)

@njit
def run(x, out):
    invert(rows(x), rows(out))

x, out = aligned(16, np.float32, np.linspace(0, 3, 16)), aligned(16, np.float32)
run(x.ctypes.data, out.ctypes.data)
assert not TARGET.has_approximations
np.testing.assert_allclose(out, 1 / (np.sqrt(x.astype(float)) + 1e-8), rtol=1e-6)
"""


def test_inverses_of_other_processors():
    run_python(WITHOUT_APPROXIMATIONS, FASTMLP_LANES="8")


def test_subnormal_numbers_count_as_nothing_for_a_while():
    tiny = aligned(16, np.float32, 1e-39)
    out = aligned((3, 16), np.float32)
    call(halve_flushed, (pointer("f32", 16), tiny), (pointer("f32", 16), out))
    flushed = TARGET.family != ""
    np.testing.assert_array_equal(out[1], np.zeros(16) if flushed else tiny / 2)
    np.testing.assert_array_equal(out[2], tiny / 2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_accuracy_of_log(dtype):
    x = np.abs(magnitudes(dtype, *{np.float32: (1e-37, 1e38), np.float64: (1e-307, 1e308)}[dtype]))
    x = np.concatenate([x, 1 + x[x < 1][:1000], np.linspace(0.5, 2, 999, dtype=dtype)])
    got, wanted = apply(log, x), np.log(x.astype(np.longdouble))
    apart = wanted != 0
    assert relative_error(got[apart], wanted[apart]) < 3
    assert np.all(got[~apart] == 0)
    assert apply(log, np.array([np.inf], dtype))[0] == np.inf
    assert np.isnan(apply(log, np.array([np.nan], dtype))[0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_accuracy_of_tanh(dtype):
    x = magnitudes(dtype, {np.float32: 1e-30, np.float64: 1e-200}[dtype], 25)
    got = apply(tanh, x)
    assert relative_error(got, np.tanh(x.astype(np.longdouble))) < 4
    np.testing.assert_array_equal(apply(tanh, -x), -got)
    assert np.max(np.abs(got)) == 1
    special = np.array([0, 1e30, -1e30, np.inf, -np.inf], dtype)
    np.testing.assert_array_equal(apply(tanh, special), [0, 1, -1, 1, -1])
    assert np.signbit(apply(tanh, np.array([-0.0], dtype))[0])
    assert np.isnan(apply(tanh, np.array([np.nan], dtype))[0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_accuracy_of_sigmoid(dtype):
    x = magnitudes(dtype, 1e-20, {np.float32: 86.9, np.float64: 708}[dtype])
    assert relative_error(apply(sigmoid, x), 1 / (1 + np.exp(-x.astype(np.longdouble)))) < 3
    special = np.array([0, np.finfo(dtype).max, np.finfo(dtype).min, np.inf, -np.inf], dtype)
    np.testing.assert_array_equal(apply(sigmoid, special), [0.5, 1, 0, 1, 0])
    assert np.isnan(apply(sigmoid, np.array([np.nan], dtype))[0])


# ---- integers, masks, permutations


def bytes_and_words(x, out, wide, floats):
    a, b = x[0], x[1]
    out[0] = a + b
    out[1] = a - 1
    out[2] = a * b
    out[3] = where(a > b, a, 0)
    out[4] = maximum(a, b)
    out[5] = (a & 15) | b
    out[6] = ~a
    out[7] = iota(x, 250)
    out[8] = -a
    wide[0] = convert(wide, a)
    wide[1] = convert(wide, a) + 1000
    wide[2, 0] = reduce_sum(a)
    wide[2, 1] = reduce_max(a)
    wide[2, 2] = x[1, 3]
    wide[3] = convert(wide, convert(floats, a) * 0.9)
    floats[0] = convert(floats, a) / 2
    floats[1] = convert(floats, wide[1])
    out[9] = convert(out, wide[1])


@pytest.mark.parametrize("wide", ["u16", "i32", "i64"])
@pytest.mark.parametrize("floats", ["f32", "f64"])
def test_integers_equal_their_twins(wide, floats):
    n, results = 32, []
    x = np.random.default_rng(2).integers(0, 256, (2, n), np.uint8)
    x[0, 0] = x[1, 0]
    for caller in (call, call_twin):
        out, w, f = np.zeros((10, n), np.uint8), aligned((4, n), DTYPES[wide]), aligned((2, n), DTYPES[floats])
        bytes_ = pointer("u8", n)
        caller(bytes_and_words, (bytes_, x), (bytes_, out), (pointer(wide, n), w), (pointer(floats, n), f))
        results.append((out, w, f))
    for compiled, twin in zip(*results, strict=True):
        np.testing.assert_array_equal(compiled, twin)
    out, w, f = results[0]
    np.testing.assert_array_equal(out[7], np.arange(250, 250 + n).astype(np.uint8))
    np.testing.assert_array_equal(out[4], x.max(0))  # as unsigned numbers
    np.testing.assert_array_equal(f[0], x[0] / 2)
    np.testing.assert_array_equal(w[1] - 1000, x[0])
    assert w[2, 0] == x[0].sum()


def test_integers_have_signs():
    def body(x, floats, wide):
        floats[0] = convert(floats, x[0])
        wide[0] = convert(wide, x[0])
        wide[1] = convert(wide, floats[0] * 1.5)
        wide[2] = where(x[0] < 0, wide[0], 0)
        wide[3, 0] = reduce_sum(x[0])
        wide[3, 1] = reduce_max(x[0])
        wide[3, 2] = x[0, 0]

    x = np.array([-3, 2, -100_000, 7], np.int32)
    for caller in (call, call_twin):
        floats, wide = aligned((1, 4), np.float32), aligned((4, 4), np.int64)
        caller(body, (pointer("i32", 4), x), (pointer("f32", 4), floats), (pointer("i64", 4), wide))
        np.testing.assert_array_equal(floats[0], x)
        np.testing.assert_array_equal(wide[:3], [x, [-4, 3, -150_000, 10], [-3, 0, -100_000, 0]])
        np.testing.assert_array_equal(wide[3, :3], [x.sum(), 7, -3])


def list_bits(mask, out):
    k = 0
    for i in setbits(mask):
        out[k] = i
        k += 1
    return k


@pytest.mark.parametrize("mask", [0, 1, -1, -(2**63), 0x123456789ABCDEF, 0b1010])
def test_setbits_are_the_positions_of_ones_lowest_first(mask):
    expected = [i for i in range(64) if mask >> i & 1]
    for caller in (call, call_twin):
        out = np.zeros(64, np.int64)
        count = caller(list_bits, mask, (ints, out))
        assert out[:count].tolist() == expected
        assert caller(lambda mask: popcount(mask), mask) == len(expected)


@pytest.mark.parametrize(("kind", "n"), [("u8", 64), ("u8", 16), ("u16", 32), ("u16", 64)])
def test_keep_compresses(kind, n):
    def body(mask, x, out):
        out[0] = keep(mask, x[0])

    x = np.arange(100, 100 + n, dtype=DTYPES[kind])
    for mask in (0, -1, 0x123456789ABCDEF, -0x123456789ABCDEF):
        kept = [x[i] for i in range(n) if mask >> i & 1]
        for caller in (call, call_twin):
            out = np.full(n, 9, DTYPES[kind])
            caller(body, mask, (pointer(kind, n), x), (pointer(kind, n), out))
            np.testing.assert_array_equal(out, kept + [0] * (n - len(kept)))


def turn_block(source, i, target, j):
    transpose_block(source, i, target, j)


def add_rows(source, i, target, j, lane):
    add_across(source, i, target, j, lane)


@pytest.mark.parametrize("kind", ["f32", "f64"])
@pytest.mark.parametrize("registers", [1, 2, 4])
def test_add_across(kind, registers):
    n = lanes(kind)
    rng, dtype = np.random.default_rng(3), DTYPES[kind]
    x = aligned((n + 3, registers * n), dtype, rng.standard_normal((n + 3, registers * n)))
    wanted = np.sum(x[2 : n + 2], axis=1, dtype=np.longdouble)
    results = []
    for caller in (call, call_twin):
        out = aligned((3, 2 * n), dtype, 9)
        caller(add_rows, (pointer(kind, registers * n), x), 2, (pointer(kind, 2 * n), out), 1, n)
        assert np.all(np.abs(out[1, n:] - wanted) < 64 * np.finfo(dtype).eps)
        assert np.all(out[[0, 2]] == 9)
        assert np.all(out[1, :n] == 9)
        results.append(out)
    np.testing.assert_array_equal(*results)


def turn_bits(x, out):
    out[0] = transpose_bits(x[0])


def test_transpose_bits():
    words = aligned(64, np.int64, np.random.default_rng(3).integers(-(2**63), 2**63, 64))
    bits = np.unpackbits(words.view(np.uint8).reshape(64, 8), axis=1, bitorder="little")
    for caller in (call, call_twin):
        out = aligned(64, np.int64)
        caller(turn_bits, (pointer("i64", 64), words), (pointer("i64", 64), out))
        np.testing.assert_array_equal(
            np.unpackbits(out.view(np.uint8).reshape(64, 8), axis=1, bitorder="little"), bits.T
        )


@pytest.mark.parametrize("kind", ["f32", "f64"])
def test_transpose(kind):
    n, width = lanes(kind), 64
    x = aligned((2 * n, width), DTYPES[kind], np.random.default_rng(4).standard_normal((2 * n, width)))
    row, turned_row = pointer(kind, width), pointer(kind, 4 * n)
    for caller in (call, call_twin):
        out = aligned((width, 4 * n), DTYPES[kind])
        caller(transpose if caller is call else twins.transpose, (row, x), 2 * n, (turned_row, out), width)
        np.testing.assert_array_equal(out[:, : 2 * n], x.T)
        assert not out[:, 2 * n :].any()
        out[...] = 0
        caller(turn_block, (row, x), n, (turned_row, out), 3)
        np.testing.assert_array_equal(out[3 : 3 + n, n : 2 * n], x[n:, 3 : 3 + n].T)
        assert np.count_nonzero(out) == n * n


# ---- memory


def copy_rows(x, out):
    out[0] = x[2]
    y = x + 1
    out[1] = y[0]
    y += 2
    y -= 1
    out[2] = (y - 2)[3]
    out[3, 1] = x[1, 3]
    prefetch(x + 1000)


@pytest.mark.parametrize(("kind", "n"), [*FLOATS, ("f32", 2), ("i64", 8), ("i32", 64), ("u16", 4), ("u8", 64)])
@pytest.mark.parametrize("offset", [0, 1])
def test_rows_at_addresses(kind, n, offset):
    """Rows are found by their size; offset 1: rows of floats that are not aligned, and of integers, which may be so."""
    x = aligned((4, n), DTYPES[kind], np.arange(4 * n).reshape(4, n), offset)
    row = pointer(kind, n, aligned=not offset)
    for caller in (call, call_twin):
        out = aligned((4, n), DTYPES[kind], 0, offset)
        caller(copy_rows, (row, x), (row, out))
        np.testing.assert_array_equal(out[:3], x[[2, 1, 3]])
        assert out[3, 1] == x[1 + 3 // n, 3 % n]
        assert np.count_nonzero(out[3]) == (out[3, 1] != 0)


def pairs(x, y, out, bits):
    two = pair(x, 2)
    prefetch(two + 1000)
    both = pair(out, 3)
    both[0] = two[0] * two[1] + splat(two, 2)
    (both + 1)[0] = (two + 1)[0]
    both[2] = 7
    same = pair(out + 6, 0)
    same[0] = pair(x, 0)[3]


@pytest.mark.parametrize(("kind", "n"), FLOATS)
def test_pairs_of_rows(kind, n):
    out, _, twin, _ = both(pairs, kind, n, 7)
    x = aligned((4, n), DTYPES[kind], np.random.default_rng(0).standard_normal((4, n)) * 3)
    np.testing.assert_allclose(out, twin, rtol=tolerance(kind))
    np.testing.assert_allclose(out[[0, 3]], x[[0, 2]] * x[[1, 3]] + 2, rtol=tolerance(kind))
    np.testing.assert_array_equal(out[[1, 4]], x[[1, 3]])
    np.testing.assert_array_equal(out[[2, 5]], 7)
    np.testing.assert_array_equal(out[6], x[3])


def test_casts_keep_the_address():
    pairs, unaligned = pointer("f32", 2), pointer("f64", 2, aligned=False)

    def body(x):
        return pairs(x + 2)[1, 1] + ints(x)[0] + unaligned(x)[0, 0]

    x = aligned(8, np.float64)
    x.view(np.float32)[7] = 5
    x.view(np.int64)[0] = 3
    assert call(body, (doubles, x)) == 8
    assert pointer("f32", 2).t == pairs.t != pointer("f32", 2, aligned=False).t


def test_numbers_in_memory_are_numbers():
    """Rows of one number: float32 stays float32, integers of any size become int64."""

    def body(f, b, w, out):
        out[0] = f[1] + f[0, 1]
        out[1] = b[1] + 1
        out[2] = w[1] - 1
        b[0] = 300
        w[0] = -7
        f[0] = 0.1

    f, b, w = np.array([0, 1.5], np.float32), np.array([0, 255], np.uint8), np.array([0, -(2**31)], np.int32)
    for caller in (call, call_twin):
        out = np.zeros(3)
        caller(body, (pointer("f32"), f), (pointer("u8"), b), (pointer("i32"), w), (doubles, out))
        np.testing.assert_array_equal(out, [3, 256, -(2**31) - 1])
        assert (f[0], b[0], w[0]) == (np.float32(0.1), 300 - 256, -7)


layer = struct("layer", ["address", "width", "visits"])
network = struct("network", ["layers", "first", "count"])
eights = pointer("f32", 8)


def sum_of_layers(t, out):
    net = network(t)
    layers = layer(net.layers)
    for i in range(net.count):
        here = layers + i
        out[0, i] = eights(here.address)[1, 2] + here.width
        here.visits = here.visits + i
    out[0, 4] = layers[1].width
    out[0, 5] = (layers + 2 - 1).width
    out[0, 6] = layer(net.first).width
    out[0, 7] = (network(t) + 1).count


def test_struct_arrays():
    weights = aligned((3, 2, 8), np.float32, np.arange(48).reshape(3, 2, 8))
    layers, networks = np.zeros((3, 3), np.int64), np.zeros((2, 3), np.int64)
    for i in range(3):
        layers[i] = weights[i].ctypes.data, 100 * i, 7
    networks[0] = layers.ctypes.data, layers[2].ctypes.data, 3
    networks[1, 2] = 11
    for calls, caller in enumerate((call, call_twin), 1):
        out = aligned(8, np.float32)
        caller(sum_of_layers, networks.ctypes.data, (eights, out))
        np.testing.assert_array_equal(out, [10, 126, 242, 0, 100, 100, 200, 11])
        np.testing.assert_array_equal(layers[:, 2], [7, 7 + calls, 7 + 2 * calls])


def test_structs_of_the_same_name_differ():
    assert struct("layer", ["width"]).t != layer.t
    assert struct("layer", ["address", "width", "visits"]).t == layer.t


def exchange(flags, numbers, thread, turns, seen):
    """Tell the other thread a number in each turn, and add up what it tells."""
    for i in range(1, turns + 1):
        numbers[2 * thread + i % 2] = i
        atomic_store(flags + thread, i)
        while atomic_load(flags + (1 - thread)) < i:
            spin(i % 2)
        seen[thread] += numbers[2 * (1 - thread) + i % 2]


def test_what_was_written_before_a_flag_is_read_after_it():
    turns, flags, numbers, seen = 20_000, np.zeros((2, 8), np.int64), np.zeros(4, np.int64), np.zeros(2, np.int64)
    body, lines = kernel(exchange), pointer("i64", 8)

    @njit(nogil=True)
    def run(flags, numbers, thread, turns, seen):
        body(lines(flags), ints(numbers), thread, turns, ints(seen))

    run.compile("void(int64, int64, int64, int64, int64)")
    addresses = [array.ctypes.data for array in (flags, numbers, seen)]
    others = [threading.Thread(target=run, args=(*addresses[:2], i, turns, addresses[2])) for i in range(2)]
    for other in others:
        other.start()
    for other in others:
        other.join()
    np.testing.assert_array_equal(seen, turns * (turns + 1) // 2)
    np.testing.assert_array_equal(flags[:, 0], turns)
    assert not np.any(flags[:, 1:])
    flags[1, 0] = 5  # what the other thread would have said
    numbers[2:], seen[:] = (4, 5), 0
    call_twin(exchange, (lines, flags), (ints, numbers), 0, 5, (ints, seen))
    assert (flags[0, 0], seen[0]) == (5, 5 + 4 + 5 + 4 + 5)


# ---- what is refused


@pytest.mark.parametrize(
    "body",
    [
        lambda x, y: x[0] + y[0],
        lambda x, y: y[0] * 0.5,
        lambda x, y: x[0] & 1,
        lambda x, y: y[0] / 2,
        lambda x, y: maximum(x[0], y[0]),
        lambda x, y: where(x[0] > 0, y[0], 0),
        lambda x, y: atomic_load(x),
        lambda x, y: where(1, x[0], 0),
    ],
)
def test_what_does_not_fit_is_a_typing_error(body):
    x, y = aligned(8, np.float32), aligned(16, np.int64)
    with pytest.raises(TypingError):
        call(body, (pointer("f32", 8), x), (pointer("i64", 16), y))


@pytest.mark.parametrize("simd_pointer", [pointer, twins.pointer])
def test_rows_have_a_power_of_two_of_numbers(simd_pointer):
    for n in (0, 3, 128):
        with pytest.raises(ValueError, match=f"not {n}"):
            simd_pointer("f32", n)
    with pytest.raises(ValueError, match="kind 'b1'"):
        simd_pointer("b1", 8)


def test_twins_check_addresses():
    memory = python_memory.memory
    x, row = aligned((4, 8), np.float32, 1), twins.pointer("f32", 8)
    rows = row(x.ctypes.data)
    try:
        memory.add_array(x[:3])
        memory.add(x[3].ctypes.data, 4)
        assert rows[2, 7] == rows[3, 0] == 1
        with pytest.raises(IndexError, match=f"32 bytes at {x[3].ctypes.data:#x} are outside"):
            rows[3]
        with pytest.raises(IndexError, match="outside"):
            rows[-1]
        with pytest.raises(IndexError, match="outside"):
            rows[3, 1] = 0
    finally:
        memory.clear()
    assert np.all(x == 1)
    with pytest.raises(ValueError, match="no multiple of 32"):
        row(x.ctypes.data + 4)[0]
    with pytest.raises(TypeError, match="neither true nor false"):
        bool(rows[0] > 0)


# ---- the other forms, in processes of their own


def start_program(**environment):
    clean = {key: x for key, x in os.environ.items() if not key.startswith(("FASTMLP_", "NUMBA_"))}
    tests = pathlib.Path(__file__).parent
    path = os.pathsep.join([str(tests.parent), str(tests), clean.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "support.simd_program"],
        env=clean | {"PYTHONPATH": path} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def run_program(**environment):
    """What simd_program.py prints: name → the rest of the line."""
    done = start_program(**environment)
    assert done.returncode == 0, done.stderr
    return dict(line.split(" ", 1) for line in done.stdout.splitlines())


@pytest.fixture(scope="module")
def compiled_results():
    return run_program()


def test_program_in_plain_python(compiled_results):
    python = run_program(NUMBA_DISABLE_JIT="1")
    assert python["compiled"] == "False"
    assert compiled_results["compiled"] == "True"
    assert python["names"] == compiled_results["names"]
    for name, eps in (("f32", 1e-6), ("f64", 1e-14)):
        assert python[f"masks_{name}"] == compiled_results[f"masks_{name}"]
        assert python[f"bits_{name}"] == compiled_results[f"bits_{name}"]
        x, y = (np.array(r[name].split(), float) for r in (python, compiled_results))
        assert np.count_nonzero(x) > x.size / 4
        np.testing.assert_allclose(x, y, rtol=10 * eps, atol=eps)


@pytest.mark.parametrize("count", ["4", "8"])
def test_program_with_other_registers(compiled_results, count):
    """The same bits with registers of any size: each lane is computed alike, and sums have one order."""
    other = run_program(FASTMLP_LANES=count)
    assert (other.pop("LANES"), other.pop("compress")) == (count, "False")
    assert other == {key: x for key, x in compiled_results.items() if key not in ("LANES", "compress")}


def test_lanes_must_be_known():
    program = "import fastmlp.engine.simd"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"FASTMLP_LANES": "5"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "4, 8 or 16, got '5'" in done.stderr


def test_lanes():
    assert lanes("f32") == LANES == 2 * lanes("f64")
    assert LANES in (4, 8, 16)
    assert LANES == 16 or not TARGET.compress
