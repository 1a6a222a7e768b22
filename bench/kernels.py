"""The one table of compiled kernels that are checked against their formula in NumPy and timed beside it.

Each case goes through a whole layer as an epoch does, on one tile of S = 64 samples, in float32: all panels of R
units, two at a time, and narrow ones of a single register.
Letters: m units or features below, p units above, P panels of those above, Q of those below.
"""

from collections import namedtuple
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
from race import Case, Entrant
from support import kernel_twins as twins
from support.aligned_arrays import aligned
from support.kernel_calls import pointer, prepare_call
from support.tolerances import assert_close

from fastmlp.engine import activations, first_layer, hidden, optimizers
from fastmlp.engine.losses import make_head
from fastmlp.engine.simd import kernel as compile_kernel
from fastmlp.engine.simd import lanes, pair
from fastmlp.engine.tables import CHUNK, Rate, S
from fastmlp.engine.workspace import BLOCK_BYTES

F = np.float32
R, NARROW = 4 * lanes("f32"), lanes("f32")
LR = 2.0**-10
RATE = Rate(LR, 0.0, 0.0, 0.9, 0.1, 0.999, 0.001, 1e-8, LR, 1.0)
rows, numbers, raws = pointer("f32", R), pointer("f32"), pointer("u8")
ints, int32s, uint16s, doubles = (pointer(kind) for kind in ("i64", "i32", "u16", "f64"))


@dataclass(frozen=True)
class Kernel:
    """A kernel on its data, and its formula on the same."""

    call: Callable[[], Any]
    twin: Callable[[], Any]
    """In float32, as fast as NumPy does it."""
    result: Callable[[], Any]
    """What the last call wrote, as the twin returns it."""
    work: float
    """What it takes: floating-point operations on what is not zero, or bytes read and written."""
    unit: str = "GFLOP/s"

    def check(self) -> None:
        """Assert that the kernel's first call gives what its formula gives; either may change its data."""
        wanted = self.twin()
        self.call()
        assert_close(self.result(), wanted, F, factor=4)


# What a body of calls gets: pointers to the arrays of one thing.
Hidden = namedtuple("Hidden", "mask A W given out")
"""A hidden layer: active units below as bits, their activations; weights; biases or deltas above; what is written."""
Features = namedtuple("Features", "raw base scale")
"""Raw features, what is taken away from them, and what the rest is multiplied by."""
Lists = namedtuple("Lists", "index value cut nonzero")
"""The non-zeros of a batch, row by row; where the blocks of each row begin; the non-zeros as bits."""
Samples = namedtuple("Samples", "mask address")
"""Bits of the samples that have each feature, and where the raw features of each sample lie."""
First = namedtuple("First", "W b A")
FirstGradient = namedtuple("FirstGradient", "D W sums G shift h")
Head = namedtuple("Head", "A D units")
Labels = namedtuple("Labels", "target share losses")


def prepare(body, *arguments):
    """Return a function without arguments that runs a body, which calls kernels.

    arguments: numbers, and named tuples of (pointer, array) pairs, of which the body gets pointers. Python passes all
    addresses one by one, so that a call costs nanoseconds.
    """
    sizes = tuple((type(a), len(a)) if isinstance(a, tuple) else (None, 1) for a in arguments)
    flat = [value for a in arguments for value in (a if isinstance(a, tuple) else (a,))]
    return prepare_call(_flatten(body, sizes), *flat)


@cache
def _flatten(body, sizes):
    """A body of numbers and named tuples, as a function of all their fields."""
    scope, given, passed = {"body": compile_kernel(body)}, [], []
    for i, (kind, size) in enumerate(sizes):
        fields = [f"x{i}_{k}" for k in range(size)]
        given += fields
        passed.append(f"T{i}({', '.join(fields)})" if kind else fields[0])
        scope[f"T{i}"] = kind
    exec(f"def flat({', '.join(given)}): return body({', '.join(passed)})", scope)
    return scope["flat"]


def to_panels(X, width=R):
    """(n, units) → (panels, n, width)."""
    n, units = X.shape
    return aligned((units // width, n, width), F, X.reshape(n, units // width, width).transpose(1, 0, 2))


def from_panels(packed):
    """The reverse."""
    panels, n, width = packed.shape
    return packed.transpose(1, 0, 2).reshape(n, panels * width)


def half_active(rng, m):
    """Activations (S, m) of which ReLU left about a half."""
    return np.maximum(rng.standard_normal((S, m), F), 0)


def bits(mask):
    """Booleans (n, units) as integers (panels, n)."""
    wide = twins.to_bits(mask.reshape(len(mask), -1, R)).T
    return aligned(wide.shape, np.int64, wide)


def product(kernel, width, rng, m, p):
    """A hidden layer forward: out = A W + b, in panels of this width."""

    def run(P, Q, t):
        m = Q * R
        for p in range(0, P, 2):
            for q in range(Q):
                kernel(
                    S, R, t.mask + q * S, t.A + q * S, pair(t.W + (p * m + q * R), m), pair(t.given + p, 1),
                    pair(t.out + p * S, S), q == 0,
                )  # fmt: skip

    A, W, b = half_active(rng, m), rng.standard_normal((m, p), F), rng.standard_normal((1, p), F)
    above = to_panels(W, width), to_panels(b, width), aligned((p // width, S, width), F)
    panels = [(pointer("f32", width), array) for array in above]
    call = prepare(run, p // width, m // R, Hidden((ints, bits(A > 0)), (rows, to_panels(A)), *panels))
    return Kernel(call, lambda: A @ W + b, lambda: from_panels(above[-1]), 2 * np.count_nonzero(A) * p)


def gradient(kernel, width, rng, m, p):
    """A hidden layer's weights: W ← W - lr Aᵀ D, in panels of this width."""

    def run(P, Q, t):
        m = Q * R
        for q in range(Q):
            for p in range(0, P, 2):
                kernel(
                    S, R, t.mask + q * R, t.A + q * S, pair(t.given + p * S, S), pair(t.W + (p * m + q * R), m),
                    pair(t.out, R), True, True, optimizers.sgd, 0, RATE, 0.0,
                )  # fmt: skip

    A, D, W = half_active(rng, m), rng.standard_normal((S, p), F), rng.standard_normal((m, p), F)
    by_unit = aligned(m, np.int64, twins.to_bits((A > 0).T))
    above = to_panels(W, width), to_panels(D, width), aligned((2 * CHUNK, width), F)
    panels = [(pointer("f32", width), array) for array in above]
    call = prepare(run, p // width, m // R, Hidden((ints, by_unit), (rows, to_panels(A)), *panels))
    return Kernel(call, lambda: W - F(LR) * (A.T @ D), lambda: from_panels(above[0]), 2 * np.count_nonzero(A) * p)


def pixels(rng, d):
    """uint8 (S, d), a fifth of them not 0."""
    return np.where(rng.random((S, d)) < 0.2, rng.integers(1, 256, (S, d)), 0).astype(np.uint8)


def run_list_nonzeros(d, block, blocks, x, t):
    for k in range(S):
        list_nonzeros(
            k, d, block, x.raw + k * d, x.base, x.scale, t.index, t.value, k * d, t.cut + k * (blocks + 1), t.nonzero
        )


list_nonzeros = first_layer.make_list_nonzeros("f32", "u8")


def listing(rng, d, _):
    """The lists of a batch's non-zeros."""
    X = pixels(rng, d)
    words, block = d // 64, BLOCK_BYTES // (64 * R * 4)
    blocks = -(-words // block)
    base, scale = aligned(d + 64, F), aligned(d + 64, F, 1 / 255)
    index, value = aligned(S * d + 64, np.uint16), aligned(S * d + 64, F)
    raw, cut, nonzero = aligned(X.shape, np.uint8, X), aligned((S, blocks + 1), np.int64), aligned((words, S), np.int64)
    features = Features((raws, raw), (numbers, base), (numbers, scale))
    lists = Lists((uint16s, index), (numbers, value), (ints, cut), (pointer("i64", 64), nonzero))
    call = prepare(run_list_nonzeros, d, block, blocks, features, lists)

    def result():
        ends = [slice(k * d, cut[k, -1]) for k in range(S)]
        return np.concatenate([index[e] for e in ends]), np.concatenate([value[e] for e in ends])

    def twin():
        _, j = np.nonzero(X)
        return j, X[X != 0] * F(1 / 255)

    work = X.nbytes + 6 * np.count_nonzero(X)
    return Kernel(call, twin, result, work, "GB/s")


def run_sparse_product(P, d, blocks, x, t):
    for p in range(0, P, 2):
        first_layer.sparse_product(
            S, blocks, x.cut, x.index, x.value, pair(t.W + p * d, d), pair(t.b + p, 1), pair(t.A + p * S, S)
        )


def sparse_product(rng, d, p):
    """The sparse first layer forward: A = X W + b."""
    X = pixels(rng, d) / F(255)
    W, b = rng.standard_normal((d, p), F), rng.standard_normal((1, p), F)
    k, j = np.nonzero(X)
    index, value = aligned(len(j) + 64, np.uint16), aligned(len(j) + 64, F)
    index[: len(j)], value[: len(j)] = j, X[k, j]
    width = BLOCK_BYTES // (R * 4)
    edges = np.minimum(np.arange(-(-d // width) + 1) * width, d)
    cut = np.searchsorted(k * d + j, np.arange(S)[:, None] * d + edges)
    cut, out = aligned(cut.shape, np.int64, cut), aligned((p // R, S, R), F)
    lists = Lists((uint16s, index), (numbers, value), (ints, cut), 0)
    layer = First((rows, to_panels(W)), (rows, to_panels(b)), (rows, out))
    call = prepare(run_sparse_product, p // R, d, len(edges) - 1, lists, layer)
    return Kernel(call, lambda: X @ W + b, lambda: from_panels(out), 2 * len(j) * p)


def run_sparse_gradient(P, d, x, samples, t):
    for p in range(0, P, 2):
        both = pair(t.h + p, 1)
        for j in range(0, d, CHUNK):
            both[0] = first_layer.sparse_gradient(
                j, min(j + CHUNK, d), samples.mask, samples.address, raws, x.base, x.scale, first_layer.APART,
                pair(t.D + p * S, S), pair(t.W + p * d, d), pair(t.sums + p, 1)[0], True, True, pair(t.G, CHUNK), 1,
                t.shift, both[0], optimizers.sgd, 0, RATE, 0.0,
            )  # fmt: skip


def sparse_gradient(rng, d, p):
    """The sparse first layer's weights: W ← W - lr Xᵀ D."""
    X, D, W = pixels(rng, d), rng.standard_normal((S, p), F), rng.standard_normal((d, p), F)
    raw, unit = aligned(X.shape, np.uint8, X), X / F(255)
    mask = aligned(d, np.int64, twins.to_bits((X != 0).T))
    address = aligned(S, np.int64, [row.ctypes.data for row in raw])
    base, scale, shift = aligned(d, F), aligned(d, F, 1 / 255), aligned(d, F)
    panels = to_panels(D), to_panels(W), aligned((p // R, R), F, D.sum(axis=0).reshape(-1, R))
    G, h = aligned((2 * CHUNK, R), F), aligned((p // R, R), F)
    call = prepare(
        run_sparse_gradient, p // R, d, Features((raws, raw), (numbers, base), (numbers, scale)),
        Samples((ints, mask), (ints, address)),
        FirstGradient(*[(rows, array) for array in (*panels, G)], (numbers, shift), (rows, h)),
    )  # fmt: skip
    work = 2 * np.count_nonzero(X) * p
    return Kernel(call, lambda: W - F(LR) * (unit.T @ D), lambda: from_panels(panels[1]), work)


def run_activate(P, Z, mask):
    for p in range(P):
        hidden.activate(S, R, Z + p * S, mask + p * S, activations.relu, activations.positive)


def activate(rng, _, p):
    """ReLU and its masks."""
    Z = rng.standard_normal((S, p), F)
    A, mask = to_panels(Z), aligned((p // R, S), np.int64)
    call = prepare_call(run_activate, p // R, (rows, A), (ints, mask))

    def result():
        return from_panels(A), twins.from_bits(mask, R).transpose(1, 0, 2).reshape(S, p)

    return Kernel(call, lambda: (np.maximum(Z, 0), Z > 0), result, 2 * Z.nbytes, "GB/s")


cross_entropy = make_head("cross_entropy", "f32", R)


def run_head(K, P, t, labels):
    cross_entropy(0, S, K, P, S, t.A, t.D, labels.target, labels.share, t.units, t.units, labels.losses)


def head(rng, _, k):
    """Softmax, cross-entropy and the deltas of k outputs."""
    P = -(-k // R)
    Z, labels, share = rng.standard_normal((S, k), F), rng.integers(0, k, S), np.full(S, 1 / S)
    A, D = to_panels(np.pad(Z, ((0, 0), (0, P * R - k)))), aligned((P, S, R), F)
    target = aligned(S, np.int64, labels.ctypes.data + labels.itemsize * np.arange(S))
    parts, losses = aligned(S, np.float64, share), aligned(S, np.float64)
    units = aligned((P, R), F)
    panels = Head((rows, A), (rows, D), (rows, units))
    call = prepare(run_head, k, P, panels, Labels((ints, target), (doubles, parts), (doubles, losses)))
    targets = np.eye(k, dtype=F)[labels]

    def twin(kept=labels):  # to which `target` points
        return twins.head(Z, targets, "cross_entropy", share.astype(F))

    return Kernel(call, twin, lambda: (losses, from_panels(D)[:, :k]), 2 * Z.nbytes, "GB/s")


def run_adam(n, W, G):
    for i in range(n):
        optimizers.adam(W, i, G[i], n, RATE, 0.0)


def adam(rng, m, p):
    """A step of Adam on (m, p) weights."""
    n = m * p // R
    memory, G = aligned((3, n, R), F, np.abs(rng.standard_normal((3, n, R)))), aligned((n, R), F)
    G[...] = rng.standard_normal((n, R))
    call = prepare_call(run_adam, n, (rows, memory), (rows, G))

    steps = np.array([10**6])  # Adam's corrections are 1 by then, as in RATE

    def twin():
        W, *moments = memory
        return twins.step("adam", W, G, (*moments, steps), lr=F(LR))[:3]

    return Kernel(call, twin, lambda: tuple(memory), 7 * G.nbytes, "GB/s")


KERNELS = {
    "sparse lists": (listing, (832, 0), (4096, 0)),
    "sparse product": (sparse_product, (784, 256), (4096, 2048)),
    "sparse gradient": (sparse_gradient, (784, 256), (4096, 2048)),
    "product": (partial(product, hidden.masked_product, R), (256, 128), (2048, 2048)),
    "gradient": (partial(gradient, hidden.masked_gradient, R), (256, 128), (2048, 2048)),
    "narrow product": (partial(product, hidden.dense_product, NARROW), (128, 32), (2048, 32)),
    "narrow gradient": (partial(gradient, hidden.dense_gradient, NARROW), (128, 32), (2048, 32)),
    "ReLU": (activate, (0, 256), (0, 2048)),
    "cross-entropy": (head, (0, 10), (0, 1000)),
    "Adam": (adam, (256, 128), (2048, 2048)),
}
"""A name: how it is built, and the units below and above at the recipe's shapes and in one large layer."""


def describe(name: str, shape: tuple[int, int]) -> str:
    """The kernel and its layer in a few words."""
    below, above = shape
    return f"{name}, 64 × " + " → ".join(str(units) for units in (below, above) if units)


def build(name: str, shape: tuple[int, int]) -> Kernel:
    """A kernel on random data of this shape."""
    return KERNELS[name][0](np.random.default_rng(0), *shape)


def make_case(name: str, shape: tuple[int, int]) -> Case:
    """A kernel and its twin."""

    def enter(names: Collection[str]) -> dict[str, Entrant]:
        kernel = build(name, shape)
        product = kernel.unit == "GFLOP/s"
        check = cache(kernel.check)  # only the first call of both sees the same data
        both = partial(Entrant, check=check, repeats=4, short=True, flops=kernel.work if product else None,
                       facts={"work": float(kernel.work), "unit": kernel.unit})  # fmt: skip
        entrants = {"fastmlp": both(kernel.call), "NumPy": both(kernel.twin, ours=False, blas=product)}
        return {who: entrants[who] for who in names}

    return Case("{}-{}-{}".format(name, *shape), f"kernels: {describe(name, shape)}", ("fastmlp", "NumPy"), enter)
