"""A small network on sparse bytes in kernels on fastmlp.engine.simd; prints its results (run by test_simd.py)."""

import numpy as np
from numba import njit

from fastmlp.engine import simd
from fastmlp.engine.simd import (
    LANES,
    TARGET,
    convert,
    exp,
    inline,
    iota,
    keep,
    kernel,
    maximum,
    number,
    pointer,
    popcount,
    reduce_sum,
    setbits,
    sigmoid,
    splat,
    struct,
    tanh,
    to_bits,
    transpose,
    transpose_bits,
    where,
)
from fastmlp.engine.simd.compiler import COMPILED
from support.aligned_arrays import aligned

D, B, H = 64, 64, 128  # features, samples, units
ROW = 4 * LANES
ints, words, bytes_, u16, u16s = (pointer(*t) for t in (("i64",), ("i64", 64), ("u8", 64), ("u16",), ("u16", 64)))
panel_table = struct("panel", ["masks", "bias", "W", "A", "T", "out"])
epoch_table = struct("epoch", ["b", "panels", "parts", "own", "x", "index", "nonzero", "turned"])


@kernel
def list_nonzeros(x, index, out):
    """index[:count]: where the bytes x[0] are not zero; returns count and writes the mask to out[0]."""
    mask = to_bits(x[0] != 0)
    out[0] = mask
    if TARGET.compress:
        u16s(index)[0] = convert(index, keep(mask, iota(x, 0)))
    else:
        here = index
        for i in setbits(mask):
            here[0] = i
            here += 1
    return popcount(mask)


@inline
def relu(x):
    return maximum(x, 0)


@kernel
def forward(b, x, index, nonzero, masks, bias, W, A):
    """A[k] = relu(x[k] W + bias) over the non-zeros of x, masks[k]: where A[k] > 0."""
    for k in range(b):
        acc = bias[0]
        for p in range(list_nonzeros(x + k, index, nonzero + k)):
            i = index[p]
            acc += x[k, i] * W[i]
        acc = relu(acc)
        A[k] = acc
        masks[k] = to_bits(acc > 0)


@kernel
def probabilities(b, A, T, out):
    """Softmax over the units, and a table of other functions: the rows of out."""
    transpose(A, b, T, ROW)
    top, total = splat(T, 0), splat(T, 0)
    for i in range(ROW):
        top = maximum(top, T[i])
    for i in range(ROW):
        total += exp(T[i] - top)
    for i in range(ROW):
        T[i] = exp(T[i] - top) / total
    out[0, 0] = reduce_sum(total)
    out[1, 0] = exp(number(out, -1.5))
    out[2, 0] = tanh(out[0, 0])


def make_epoch(kind):
    """Return epoch(table): panel after panel of ROW units."""
    row, columns, numbers = pointer(kind, ROW), pointer(kind, B), pointer(kind)

    @kernel
    def epoch(table):
        nonzero = ints(table.nonzero)
        for p in range(table.panels):
            here = panel_table(table.own) + p
            A, masks = row(here.A), ints(here.masks)
            forward(table.b, bytes_(table.x), u16(table.index), nonzero, masks, row(here.bias), row(here.W), A)
            probabilities(table.b, A, columns(here.T), numbers(here.out))
            for k in range(table.b):
                A[k] = tanh(A[k]) - where(A[k] > 1, sigmoid(A[k]), 1 / table.parts)
        words(table.turned)[0] = transpose_bits(words(table.nonzero)[0])

    return epoch


def show(kind, dtype, x, rng):
    """Run the network in one kind of floats and print the activations and masks."""
    epoch = make_epoch(kind)

    @njit
    def run(address):
        epoch(epoch_table(address))

    count = H // ROW
    W = aligned((count, D, ROW), dtype, rng.standard_normal((D, H)).reshape(D, count, ROW).transpose(1, 0, 2) / 1000)
    bias = aligned((count, ROW), dtype, 0.1)
    A, T = aligned((count, B, ROW), dtype), aligned((count, ROW, B), dtype)
    masks, out = aligned((count, B), np.int64), aligned((count, 3), dtype)
    index, nonzero, turned = aligned(128, np.uint16), aligned(B, np.int64), aligned(64, np.int64)
    slots = np.array([[a[p].ctypes.data for a in (masks, bias, W, A, T, out)] for p in range(count)])
    fields = np.array([B, count, 4, *(a.ctypes.data for a in (slots, x, index, nonzero, turned))])
    run(fields.ctypes.data)

    units = A.transpose(1, 0, 2).reshape(B, H)
    bits = np.unpackbits(masks.view(np.uint8).reshape(count, B, 8), axis=2, bitorder="little")[:, :, :ROW]
    print(kind, *(repr(float(a)) for a in units.ravel()))
    print(f"masks_{kind}", np.packbits(bits.transpose(1, 0, 2).reshape(B, H)).tobytes().hex())
    print(f"bits_{kind}", nonzero.tobytes().hex(), turned.tobytes().hex())
    assert abs(T.sum(1) - 1).max() < 1e-5


def main():
    rng = np.random.default_rng(0)
    x = aligned((B, D), np.uint8, rng.integers(1, 256, (B, D)) * (rng.random((B, D)) < 0.2))
    print("compiled", COMPILED)
    print("LANES", LANES)
    print("compress", TARGET.compress)
    print("names", " ".join(name for name in simd.__all__ if hasattr(simd, name)))
    show("f32", np.float32, x, rng)
    show("f64", np.float64, x, rng)


main()
