"""SIMD vectors as ordinary Numba values: kernels read like their formula and compile to vector instructions.

    rows = pointer("f32", 64)  # addresses of rows of 64 float32

    @kernel
    def product(n, a, W, out):  # out[0] = a W: the row a has n numbers, W n rows
        acc = splat(out, 0)
        for i in range(n):
            acc += a[0, i] * W[i]
        out[0] = acc

    @njit
    def run(n, a, W, out):
        product(n, rows(a), rows(W), rows(out))

    run(64, a.ctypes.data, W.ctypes.data, out.ctypes.data)

Addresses: `pointer(kind, n)` makes an address (an int) that of rows of n numbers; n is 1, 2, 4, … or 64, and kinds are
f32, f64, i64, i32, u16, u8. Rows of floats start at multiples of min(64, their bytes), or else the pointer is made with
aligned=False; rows of integers start at any multiple of one. Nothing is checked.

    W[i]       row i as one vector; a plain number where n is 1 (integers as int64)
    W[i] = x   stores a vector, or one number in all lanes
    A[k, i]    number i of row k, to read and to write
    W + i      the address of row i
    pair(W, r) rows of twice the length: W[i] and W[r + i] side by side, to read and to write

Vectors: + - * / (floats), & | ^ ~ (comparisons and integers), >> (i64 and i32, whose sign stays), unary -, > < >= <= ==
!= work lane by lane, also with one number, which is converted to the vector's kind and spread over the lanes. A product
that is only added becomes one fma. LLVM cuts a vector that is wider than the machine's into registers, so one source
serves every instruction set; four registers (4*LANES float32) use most machines well. A comparison is a vector of bits
for `where`, `to_bits`, & | ~, and `from_bits` makes one.

All functions take plain numbers as well, as vectors with n = 1. But operators between plain numbers are Numba's own: a
float32 times 0.5 is a float64 (write number(x, 0.5) in code for any n), and ~ of a boolean is an integer.

Tables: `struct` makes an address a table of 8-byte slots, its attributes, for everything a kernel works on.
`call` runs compiled code that stands at an address.

Nothing calls, allocates or counts references: all code is emitted into the caller. A `kernel` is called from compiled
code only; test it through a small @njit. With NUMBA_DISABLE_JIT=1 the same kernels run as plain Python functions on the
twins in python.py, which can check every address. FASTMLP_LANES=4, 8 or 16 overrides LANES.
"""

from fastmlp.engine.processor import LANES, TARGET, lanes
from fastmlp.engine.simd.compiler import inline, kernel
from fastmlp.engine.simd.math import exp, inverse_of_root, log, low_bits, sigmoid, tanh, transpose
from fastmlp.engine.simd.primitives import (
    absolute,
    add_across,
    atomic_load,
    atomic_store,
    by_kind,
    call,
    convert,
    copysign,
    floor,
    flush_subnormals,
    from_bits,
    inverse,
    inverse_root,
    iota,
    keep,
    lanes_of,
    least,
    maximum,
    minimum,
    number,
    pair,
    pointer,
    polynomial,
    popcount,
    prefetch,
    reduce_max,
    reduce_product,
    reduce_sum,
    restore_arithmetic,
    rint,
    setbits,
    spin,
    splat,
    sqrt,
    struct,
    ticks,
    to_bits,
    transpose_bits,
    transpose_block,
    where,
)

__all__ = [
    "LANES",
    "TARGET",
    "absolute",
    "add_across",
    "atomic_load",
    "atomic_store",
    "by_kind",
    "call",
    "convert",
    "copysign",
    "exp",
    "floor",
    "flush_subnormals",
    "from_bits",
    "inline",
    "inverse",
    "inverse_of_root",
    "inverse_root",
    "iota",
    "keep",
    "kernel",
    "lanes",
    "lanes_of",
    "least",
    "log",
    "low_bits",
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
    "sigmoid",
    "spin",
    "splat",
    "sqrt",
    "struct",
    "tanh",
    "ticks",
    "to_bits",
    "transpose",
    "transpose_bits",
    "transpose_block",
    "where",
]
