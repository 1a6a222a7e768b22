"""Each compiled kernel against its formula in NumPy, on counts below, at and above the bits of a mask."""

import functools
import itertools
from types import SimpleNamespace

import numpy as np
import pytest
from support import kernel_twins as twins
from support.aligned_arrays import aligned
from support.kernel_calls import call, pointer
from support.tolerances import ROUNDINGS, assert_close

from fastmlp.engine import activations, first_layer, hidden, last_layer, optimizers
from fastmlp.engine.losses import make_head
from fastmlp.engine.plan import wider
from fastmlp.engine.simd import inline, lanes, pair
from fastmlp.engine.simd.compiler import COMPILED
from fastmlp.engine.stages.upper import sample_masks
from fastmlp.engine.tables import READER, Rate, S
from fastmlp.reference.activations import ACTIVATIONS as FORMULAS
from fastmlp.reference.losses import LOSSES
from fastmlp.reference.optimizers import ADD_GRADIENT, OPTIMIZERS

pytestmark = pytest.mark.skipif(not COMPILED, reason="compares compiled code with its twins")

DTYPES = {"f32": np.float32, "f64": np.float64, "u8": np.uint8, "i64": np.int64, "i32": np.int32, "u16": np.uint16}
PANELS = [("f32", 1), ("f32", 4), ("f64", 2)]
"""A kind of numbers, and the registers in a panel."""
COUNTS = (1, 2, 7, 63, 64)
"""Samples in a tile."""
RAW = {"f32": ("u8", "f64"), "f64": ("f32",)}
"""The features' types in memory with each kind; float64 is normalised in float64 for float32 too."""
FAR = 1.7e9
"""A base beside which float32 loses the features."""
UNTOUCHED = 99
ints, int32s, uint16s, doubles = (pointer(kind) for kind in ("i64", "i32", "u16", "f64"))


@pytest.fixture(params=PANELS, ids=[f"{kind}x{registers}" for kind, registers in PANELS])
def panel(request):
    """A kind of numbers, its dtype, the units in a panel, and pointers to rows and to numbers."""
    kind, registers = request.param
    width = registers * lanes(kind)
    return SimpleNamespace(kind=kind, dtype=DTYPES[kind], R=width, row=pointer(kind, width), number=pointer(kind))


@pytest.fixture
def rng():
    return np.random.default_rng(11)


def random(rng, shape, dtype):
    return aligned(shape, dtype, rng.standard_normal(shape))


def masks(rng, shape):
    """Booleans of which no row is like another: none, all, one, or half of them set."""
    chosen = rng.random(shape) < rng.choice([0, 0.02, 0.5, 1], size=(shape[0], 1))
    chosen[0] = rng.random(shape[1]) < 0.5
    return chosen


def integers(mask):
    bits = twins.to_bits(mask)
    return aligned(bits.shape, np.int64, bits)


def even(count):
    return count + count % 2


# ---- hidden layers


@inline
def two(rows, distance, panels):
    """Panels `distance` rows apart as the kernels take them."""
    return pair(rows, distance * (panels - 1))


def run_masked_product(count, units, mask, A, W, start, out, first, R, panels):
    hidden.masked_product(count, units, mask, A, two(W, R, panels), two(start, 1, panels), two(out, S, panels), first)


def run_dense_product(count, units, mask, A, W, start, out, first, R, panels):
    hidden.dense_product(count, units, mask, A, two(W, R, panels), two(start, 1, panels), two(out, S, panels), first)


def run_single_product(count, units, mask, A, W, start, out, first, R, panels):
    hidden.single_product(count, units, A, W, start, out, first)


def up_to(multiple, count):
    return -(-count // multiple) * multiple


@pytest.mark.parametrize(
    ("body", "panels", "rows_at_once"),
    [
        (run_masked_product, 2, 2),
        (run_masked_product, 1, 2),
        (run_dense_product, 2, 4),
        (run_dense_product, 1, 4),
        (run_single_product, 1, 8),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_product(panel, rng, first, body, panels, rows_at_once):
    A, W, start = (random(rng, shape, panel.dtype) for shape in ((S, panel.R), (2, panel.R, panel.R), (2, panel.R)))
    mask, rows = masks(rng, (S, panel.R)), panel.row
    for count, units in zip(COUNTS, np.resize([panel.R, 1, panel.R - 1], len(COUNTS)).tolist(), strict=True):
        used = mask & (np.arange(panel.R) < units)
        active = aligned(A.shape, panel.dtype, np.where(used, A, 0))
        out = random(rng, (2, S, panel.R), panel.dtype)
        before = out.copy()
        call(
            body, count, units, (ints, integers(used)), (rows, active), (rows, W), (rows, start), (rows, out), first,
            panel.R, panels,
        )  # fmt: skip
        for p in range(panels):
            wanted = twins.product(
                A[:count], used[:count], W[p].astype(float), start[p] if first else before[p, :count]
            )
            assert_close(out[p, :count], wanted, panel.dtype)
            assert np.any(out[p, :count] != before[p, :count]) or not np.any(used[:count])
        written = up_to(rows_at_once, count)
        np.testing.assert_array_equal(out[:, written:], before[:, written:])
        np.testing.assert_array_equal(out[panels:], before[panels:])


def run_masked_gradient(units, count, mask, A, D, W, G, first, last, state, rate, decay, R, panels):
    hidden.masked_gradient(
        count, units, mask, A, two(D, S, panels), two(W, R, panels), two(G, 64, 2), first, last, optimizers.sgd, state,
        rate, decay,
    )  # fmt: skip


def run_dense_gradient(units, count, mask, A, D, W, G, first, last, state, rate, decay, R, panels):
    hidden.dense_gradient(
        count, units, mask, A, two(D, S, panels), two(W, R, panels), two(G, 64, 2), first, last, optimizers.sgd, state,
        rate, decay,
    )  # fmt: skip


def run_single_gradient(units, count, mask, A, D, W, G, first, last, state, rate, decay, R, panels):
    hidden.single_gradient(count, units, A, D, W, G, first, last, optimizers.sgd, state, rate, decay)


GRADIENTS = pytest.mark.parametrize(
    ("body", "panels", "units_at_once"),
    [
        (run_masked_gradient, 2, 2),
        (run_masked_gradient, 1, 2),
        (run_dense_gradient, 2, 4),
        (run_dense_gradient, 1, 4),
        (run_single_gradient, 1, 8),
    ],
)


@GRADIENTS
def test_gradient_of_one_tile_goes_straight_to_the_weights(panel, rng, body, panels, units_at_once):
    if units_at_once > panel.R:
        pytest.skip("a panel of fewer units")
    A, D = random(rng, (S, panel.R), panel.dtype), random(rng, (2, S, panel.R), panel.dtype)
    A[:, panel.R - 1] = 0  # not a unit
    for units, count in ((1, 64), (2, 7), (panel.R - 1, 64), (panel.R, 1)):
        mask = masks(rng, (panel.R, S)).T & (np.arange(S) < count)[:, None]
        active = aligned(A.shape, panel.dtype, np.where(mask, A, 0))
        W, G = random(rng, (2, panel.R, panel.R), panel.dtype), aligned((128, panel.R), panel.dtype, UNTOUCHED)
        before, rows = W.copy(), panel.row
        call(
            body, units, count, (ints, integers(mask.T)), (rows, active), (rows, D), (rows, W), (rows, G), True, True,
            0, plain_rate(0.5), 0.25, panel.R, panels,
        )  # fmt: skip
        n = up_to(units_at_once, units)
        for p in range(panels):
            g = twins.gradient(A.astype(float), mask, D[p].astype(float))[:n]
            wanted = twins.step("sgd", before[p, :n].astype(float), g, (), lr=0.5, weight_decay=0.25)[0]
            assert_close(W[p, :n], wanted, panel.dtype)
        np.testing.assert_array_equal(W[:, n:], before[:, n:])
        np.testing.assert_array_equal(W[panels:], before[panels:])
        assert np.all(G == UNTOUCHED)


@GRADIENTS
def test_gradient_adds_tiles_up(panel, rng, body, panels, units_at_once):
    if units_at_once > panel.R:
        pytest.skip("a panel of fewer units")
    assert panel.R % units_at_once == 0
    tiles = [(random(rng, (S, panel.R), panel.dtype), random(rng, (2, S, panel.R), panel.dtype)) for _ in range(3)]
    mask, rows = masks(rng, (panel.R, S)).T, panel.row
    W, G = random(rng, (2, panel.R, panel.R), panel.dtype), aligned((128, panel.R), panel.dtype, UNTOUCHED)
    before = W.copy()
    for i, (A, D) in enumerate(tiles):
        np.testing.assert_array_equal(W, before)
        active = aligned(A.shape, panel.dtype, np.where(mask, A, 0))
        call(
            body, panel.R, S, (ints, integers(mask.T)), (rows, active), (rows, D), (rows, W), (rows, G), i == 0, i == 2,
            0, plain_rate(0.5), 0.0, panel.R, panels,
        )  # fmt: skip
    for p in range(panels):
        g = sum(twins.gradient(A.astype(float), mask, D[p].astype(float)) for A, D in tiles)
        assert_close(W[p], before[p] - 0.5 * g, panel.dtype, factor=2)


NAMES = tuple(activations.ACTIVATIONS)
OF_OUTPUT = tuple(name for name in NAMES if not FORMULAS[name].of_input)


@functools.cache
def run_activate(name):
    function, active, _ = activations.ACTIVATIONS[name]

    def run(count, units, Z, mask):
        hidden.activate(count, units, Z, mask, function, active)

    return run


@functools.cache
def run_chain(name):
    _, _, slope = activations.ACTIVATIONS[name]

    def run(count, A, D):
        hidden.chain(count, A, D, slope)

    return run


@pytest.mark.parametrize("name", NAMES)
def test_activate(panel, rng, name):
    Z = random(rng, (S, panel.R), panel.dtype)
    Z[:, 0] = np.resize([0.0, -0.0, np.nan, np.inf, -np.inf, 1e-30, -1e-30], S)
    for count in COUNTS:
        units = panel.R - 1 if count % 2 else panel.R
        mine, bits = aligned((S, panel.R), panel.dtype, Z), aligned(S, np.int64, UNTOUCHED)
        call(run_activate(name), count, units, (panel.row, mine), (ints, bits))
        with np.errstate(invalid="ignore"):
            wanted = np.where(np.arange(panel.R) < units, twins.activate(Z[:count].astype(float), name), 0)
        finite = np.isfinite(wanted)
        assert_close(np.where(finite, mine[:count], 0), np.where(finite, wanted, 0), panel.dtype)
        np.testing.assert_array_equal(np.isnan(mine[:count]), np.isnan(wanted))
        np.testing.assert_array_equal(mine[count:], Z[count:])
        active = twins.active(Z[:count], name) & (np.arange(panel.R) < units)
        np.testing.assert_array_equal(twins.from_bits(bits[:count], panel.R), active)
        np.testing.assert_array_equal(bits[:count], twins.to_bits(active))
        assert np.all(bits[count:] == UNTOUCHED)


@pytest.mark.parametrize("name", NAMES)
def test_chain(panel, rng, name):
    at, D = random(rng, (S, panel.R), panel.dtype), random(rng, (S, panel.R), panel.dtype)
    if name in OF_OUTPUT:
        at = aligned(at.shape, panel.dtype, twins.activate(at.astype(float), name))
    for count in COUNTS:
        mine = aligned(D.shape, panel.dtype, D)
        call(run_chain(name), count, (panel.row, at), (panel.row, mine))
        assert_close(mine[:count], twins.chain(at[:count].astype(float), D[:count], name), panel.dtype)
        np.testing.assert_array_equal(mine[count:], D[count:])
        assert name == "identity" or np.any(mine[:count] != D[:count])


def run_add_rows(count, D, g):
    g[0] = hidden.add_rows(count, D, g[0])


def test_add_rows(panel, rng):
    D = random(rng, (S, panel.R), panel.dtype)
    for count in (0, *COUNTS):
        g = random(rng, (1, panel.R), panel.dtype)
        wanted = twins.add_rows(D[:count].astype(float), g[0])
        call(run_add_rows, count, (panel.row, D), (panel.row, g))
        assert_close(g[0], wanted, panel.dtype)


def run_add_panels(count, panels, stride, Z, start, out):
    hidden.add_panels(count, panels, stride, Z, start, out)


def test_add_panels(panel, rng):
    Z, start = random(rng, (3, 2, S, panel.R), panel.dtype), random(rng, (1, panel.R), panel.dtype)
    rows = panel.row
    for count in COUNTS:
        for panels in (1, 3):
            out = aligned((S, panel.R), panel.dtype, UNTOUCHED)
            call(run_add_panels, count, panels, 2 * S, (rows, Z), (rows, start), (rows, out))
            assert_close(out[:count], twins.add_panels(Z[:panels, 0, :count].astype(float), start), panel.dtype)
            assert np.all(out[count:] == UNTOUCHED)


def run_add_halves(count, lower, upper, stride, Z, Z_upper, start, out):
    hidden.add_halves(count, lower, upper, stride, Z, Z_upper, start, out)


def test_add_halves(panel, rng):
    Z, start = random(rng, (5, 2, S, panel.R), panel.dtype), random(rng, (1, panel.R), panel.dtype)
    rows = panel.row
    for count in COUNTS:
        for lower, upper in ((0, 1), (1, 1), (2, 3)):
            out = aligned((S, panel.R), panel.dtype, UNTOUCHED)
            call(run_add_halves, count, lower, upper, 2 * S, (rows, Z), (rows, Z[2:]), (rows, start), (rows, out))
            halves = Z[:lower, 0, :count], Z[2 : 2 + upper, 0, :count]
            assert_close(out[:count], twins.add_halves(*(half.astype(float) for half in halves), start), panel.dtype)
            assert np.all(out[count:] == UNTOUCHED)


def run_sample_masks(B, tiles, M, C):
    sample_masks(B, tiles, M, C)


def test_sample_masks(rng):
    M = rng.random((3, S, 64)) < 0.4
    for B, tiles in ((1, 1), (64, 1), (65, 2), (190, 3), (192, 3)):
        C = aligned((3, 64), np.int64, UNTOUCHED)
        call(run_sample_masks, B, tiles, (ints, integers(M.reshape(-1, 64))), (ints, C))
        for i in range(tiles):
            wanted = twins.sample_masks(M[i], B - S * i)
            np.testing.assert_array_equal(twins.from_bits(C[i], S), wanted)
            assert np.any(wanted)
        assert np.all(C[tiles:] == UNTOUCHED)


# ---- the first layer


WIDTHS = (1, 2, 9, 63, 64, 65, 130)
"""Features."""


def raw_rows(rng, n, d, kind, raw_kind):
    """Features in memory (n, d) with a base that most of them take, and (base, scale, shift) in whole words."""
    wide, raw = DTYPES[wider(kind, raw_kind)], DTYPES[raw_kind]
    words = -(-d // 64) * 64
    base, scale, shift = aligned(words + 64, wide), aligned(words + 64, wide), aligned(words + 64, DTYPES[kind])
    base[:d] = rng.integers(0, 3, d) + (FAR if raw_kind == "f64" else 0)
    scale[:d], shift[:d] = rng.random(d) + 0.5, rng.standard_normal(d)
    values = np.where(rng.random((n, d)) < 0.3, base[:d] + rng.integers(0, 7, (n, d)), base[:d])
    values[0] = base[:d]  # a sample without a non-zero
    values[-1] = base[:d] + 10  # and one without a zero
    # Beyond the features stands what has to be ignored.
    rows = aligned((n, words), raw, UNTOUCHED)
    rows[:, :d] = values
    return rows, base, scale, shift


FEATURES = [(kind, raw_kind) for kind in RAW for raw_kind in RAW[kind]]


@functools.cache
def run_list_nonzeros(kind, raw_kind):
    list_nonzeros = first_layer.make_list_nonzeros(kind, raw_kind)

    def run(k, d, block, raw, base, scale, index, value, position, cut, nonzero):
        return list_nonzeros(k, d, block, raw, base, scale, index, value, position, cut, nonzero)

    return run


BEYOND = 2**31 + 8
"""A position in the lists of a large batch, which 32 bits don't hold."""
POSITIONS = DTYPES[READER["cut"].kind]


def further_on(array, position):
    """What `call` takes for an array whose first number is to stand at a position."""
    assert np.iinfo(POSITIONS).max >= position
    return SimpleNamespace(ctypes=SimpleNamespace(data=array.ctypes.data - position * array.itemsize), kept=array)


@pytest.mark.parametrize(("kind", "raw_kind"), FEATURES)
@pytest.mark.parametrize("begin", [0, BEYOND])
def test_list_nonzeros(kind, raw_kind, begin, rng):
    dtype, words_of, wide = DTYPES[kind], pointer("i64", 64), pointer(wider(kind, raw_kind))
    for d in WIDTHS:
        rows, base, scale, _ = raw_rows(rng, 5, d, kind, raw_kind)
        groups = -(-d // 64)
        for block in (1, 2):
            blocks = -(-groups // block)
            index, value = aligned(64 * groups * 6, np.uint16, UNTOUCHED), aligned(64 * groups * 6, dtype, UNTOUCHED)
            nonzero, cut = aligned((groups, 64), np.int64, UNTOUCHED), aligned(blocks + 1, POSITIONS)
            position = begin + 3
            for k, row in enumerate(rows):
                start = position
                position = call(
                    run_list_nonzeros(kind, raw_kind), k, d, block, (pointer(raw_kind), row), (wide, base),
                    (wide, scale), (uint16s, further_on(index, begin)), (pointer(kind), further_on(value, begin)),
                    start, (pointer(READER["cut"].kind), cut), (words_of, nonzero),
                )  # fmt: skip
                wanted, numbers = twins.list_nonzeros(row[:d], base[:d], scale[:d])
                np.testing.assert_array_equal(index[start - begin : position - begin], wanted)
                assert_close(value[start - begin : position - begin], numbers, dtype)
                bits = np.zeros(64 * groups, bool)
                bits[wanted] = True
                np.testing.assert_array_equal(nonzero[:, k], twins.to_bits(bits.reshape(groups, 64)))
                ends = [np.count_nonzero(wanted < 64 * block * q) for q in range(blocks + 1)]
                np.testing.assert_array_equal(cut - start, ends)
            assert position > begin + 3 + d
            assert np.all(nonzero[:, 5:] == UNTOUCHED)


def run_feature_masks(first, last, nonzero, mask):
    first_layer.feature_masks(first, last, nonzero, mask)


def test_feature_masks(rng):
    nonzero = rng.random((64, 4, 64)) < 0.3  # (k, word, bit)
    bits, mask = integers(nonzero.transpose(1, 0, 2)), aligned((4, 64), np.int64, UNTOUCHED)
    call(run_feature_masks, 1, 3, (ints, bits), (ints, mask))
    wanted = twins.feature_masks(nonzero.reshape(64, 256)).reshape(4, 64, 64)
    np.testing.assert_array_equal(twins.from_bits(mask[1:3], 64), wanted[1:3])
    assert np.all(mask[[0, 3]] == UNTOUCHED)


def run_sparse_product(count, blocks, cut, index, value, W, start, A, d):
    first_layer.sparse_product(count, blocks, cut, index, value, pair(W, d), pair(start, 1), pair(A, S))


@pytest.mark.parametrize("begin", [0, BEYOND])
def test_sparse_product(panel, rng, begin):
    d, groups = 130, 3
    X = np.where(rng.random((S, d)) < 0.3, rng.standard_normal((S, d)), 0).astype(panel.dtype)
    X[5] = 0
    X[:, 64:128] *= rng.random((S, 1)) < 0.5
    k, j = np.nonzero(X)
    index, value = aligned(len(j) + 64, np.uint16), aligned(len(j) + 64, panel.dtype)
    index[: len(j)], value[: len(j)] = j, X[k, j]
    ends = [[np.count_nonzero((k < row) | ((k == row) & (j < 64 * q))) for q in range(groups + 1)] for row in range(S)]
    cut = aligned((S, groups + 1), POSITIONS, begin + np.array(ends))
    W, start, rows = random(rng, (2, d, panel.R), panel.dtype), random(rng, (2, 1, panel.R), panel.dtype), panel.row
    for count in COUNTS:
        A = aligned((2, S, panel.R), panel.dtype, UNTOUCHED)
        call(
            run_sparse_product, count, groups, (pointer(READER["cut"].kind), cut), (uint16s, further_on(index, begin)),
            (panel.number, further_on(value, begin)), (rows, W), (rows, start), (rows, A), W.shape[1],
        )  # fmt: skip
        for p in range(2):
            wanted = twins.sparse_product(X[:count].astype(float), W[p].astype(float), start[p])
            assert_close(A[p, :count], wanted, panel.dtype)
            assert np.all(A[p, count:] == UNTOUCHED)


@functools.cache
def run_sparse_gradient(raw_kind):
    raw = pointer(raw_kind)

    def run(
        j0, j1, mask, address, base, scale, apart, D, to_next, W, d, sums, first, last, G, lazy, shift, h, state, rate,
        decay,
    ):  # fmt: skip
        both = pair(h, 1)
        both[0] = first_layer.sparse_gradient(
            j0, j1, mask, address, raw, base, scale, apart, pair(D, to_next), pair(W, d), pair(sums, 1)[0], first, last,
            pair(G, 128), lazy, shift, both[0], optimizers.sgd, state, rate, decay,
        )  # fmt: skip

    return run


@pytest.mark.parametrize("tiles", [1, 3])
@pytest.mark.parametrize("lazy", [0, 1])
@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("apart", [0, 28, S + 1])
def test_sparse_gradient(panel, rng, lazy, tiles, place, apart):
    raw_kind = RAW[panel.kind][place % len(RAW[panel.kind])]
    wide, dtype, rows = pointer(wider(panel.kind, raw_kind)), panel.dtype, panel.row
    for d in (1, 2, 64, 65, 127):
        raw, base, scale, shift = raw_rows(rng, S * tiles, d, panel.kind, raw_kind)
        if lazy:
            shift[...] = 0
            raw[:, 0] = base[0]  # a feature that is 0 in the whole batch
        decay = 0.0 if lazy else 0.125
        nonzero = np.zeros((S * tiles, even(d)), bool)
        nonzero[:, :d] = raw[:, :d] != base[:d]
        D = random(rng, (2, S * tiles, panel.R), dtype)
        W = random(rng, (2, even(d), panel.R), dtype)
        W[:, d:] = 0
        before = W.astype(float)
        sums = aligned((2, panel.R), dtype, D.sum(axis=1))
        b = random(rng, (2, panel.R), dtype)
        h, G = aligned(b.shape, dtype, b), aligned((256, panel.R), dtype, UNTOUCHED)
        address = aligned(S * tiles, np.int64, [row.ctypes.data for row in raw])
        for i in range(tiles):
            here = slice(S * i, S * (i + 1))
            call(
                run_sparse_gradient(raw_kind), 0, d, (ints, integers(nonzero[here].T)), (ints, address[here]),
                (wide, base), (wide, scale), apart, (rows, D[0, here]), D.shape[1],
                (rows, W), W.shape[1], (rows, sums), i == 0, i == tiles - 1, (rows, G), lazy,
                (panel.number, shift), (rows, h), 0, plain_rate(0.25), decay,
            )  # fmt: skip
        X = twins.features(raw[:, :d], base[:d], scale[:d])
        for p in range(2):
            g = twins.sparse_gradient(X, shift[:d], D[p].astype(float))
            wanted = twins.step("sgd", before[p, :d], g, (), lr=0.25, weight_decay=decay)[0]
            assert_close(W[p, :d], wanted, dtype, factor=2)
            assert not np.any(W[p, d:])
            if not lazy:
                constant = twins.constant_part(b[p].astype(float), shift[:d].astype(float), wanted)
                assert_close(h[p], constant, dtype, factor=8)
            else:
                np.testing.assert_array_equal(W[p, 0], before[p, 0])


@functools.cache
def run_copy_dense(kind, raw_kind, width):
    raw, row = pointer(raw_kind, width, aligned=False), pointer(wider(kind, raw_kind), width)

    def run(k, d, width, stride, r0, r1, r2, r3, base, scale, X):
        r0, r1, r2, r3 = raw(r0), raw(r1), raw(r2), raw(r3)
        first_layer.copy_dense(k, d, width, stride, r0, r1, r2, r3, row(base), row(scale), X)

    return run


@pytest.mark.parametrize("place", [0, 1])
def test_copy_dense(panel, rng, place):
    raw_kind = RAW[panel.kind][place % len(RAW[panel.kind])]
    wide = pointer(wider(panel.kind, raw_kind))
    for d in WIDTHS:
        raw, base, scale, _ = raw_rows(rng, 4, d, panel.kind, raw_kind)
        count, rows = -(-d // panel.R), [(pointer(raw_kind), row) for row in raw]
        X = aligned((count + 1, 12, panel.R), panel.dtype, UNTOUCHED)
        call(
            run_copy_dense(panel.kind, raw_kind, panel.R), 4, d, panel.R, 12, *rows,
            (wide, base), (wide, scale), (panel.row, X),
        )  # fmt: skip
        copied = X.transpose(1, 0, 2).reshape(12, -1)
        assert_close(copied[4:8, :d], twins.features(raw[:, :d], base[:d], scale[:d]), panel.dtype)
        assert not np.any(copied[4:8, d : count * panel.R])
        assert np.all(copied[[0, 1, 2, 3, 8, 9, 10, 11]] == UNTOUCHED)
        assert np.all(X[count] == UNTOUCHED)


def run_csr_product(count, begin, end, indices, data, scale, W, d, start, A):
    first_layer.csr_product(count, begin, end, indices, data, scale, pair(W, d), pair(start, 1), pair(A, S))


def run_csr_gradient(count, begin, end, indices, data, scale, factor, D, G, d):
    first_layer.csr_gradient(count, begin, end, indices, data, scale, factor, pair(D, S), pair(G, d))


def run_csr_update(d, G, W, state, rate, is_penalized, squares):
    first_layer.csr_update(d, pair(G, d), pair(W, d), optimizers.sgd, state, rate, is_penalized, pair(squares, 1))


@pytest.mark.parametrize("place", [0, 1])
def test_csr(panel, rng, place):
    d, rows = 37, panel.row
    raw_kind = RAW[panel.kind][place % len(RAW[panel.kind])]
    wide = DTYPES[wider(panel.kind, raw_kind)]
    X = rng.integers(1, 9, (S, d)) * (rng.random((S, d)) < 0.3)
    X[3] = 0
    k, j = np.nonzero(X)
    ends = np.concatenate([[0], np.cumsum(np.count_nonzero(X, axis=1))])
    begin, end = aligned(S, np.int64, ends[:-1]), aligned(S, np.int64, ends[1:])
    indices, data = aligned(len(j), np.int32, j), aligned(len(j), DTYPES[raw_kind], X[k, j])
    scale = aligned(d, wide, rng.random(d) + 0.5)
    entries = (
        (ints, begin), (ints, end), (int32s, indices), (pointer(raw_kind), data),
        (pointer(wider(panel.kind, raw_kind)), scale),
    )  # fmt: skip
    X = X * scale
    W, start = random(rng, (2, d, panel.R), panel.dtype), random(rng, (2, 1, panel.R), panel.dtype)
    D = random(rng, (2, S, panel.R), panel.dtype)
    for count in COUNTS:
        A, G = aligned((2, S, panel.R), panel.dtype, UNTOUCHED), aligned((2, d, panel.R), panel.dtype, 1)
        call(run_csr_product, count, *entries, (rows, W), d, (rows, start), (rows, A))
        call(run_csr_gradient, count, *entries, panel.dtype(-0.5), (rows, D), (rows, G), d)
        new = aligned(W.shape, panel.dtype, W)
        whole = aligned(G.shape, panel.dtype, G)
        squares = aligned((2, panel.R), panel.dtype, 1)
        rate = plain_rate(0.5)._replace(decay=0.125)
        call(run_csr_update, d, (rows, whole), (rows, new), 0, rate, count > 1, (rows, squares))
        assert not np.any(whole)
        assert_close(squares, 1 + (count > 1) * np.sum(W.astype(float) ** 2, axis=1), panel.dtype)
        for p in range(2):
            before = W[p].astype(float)
            assert_close(A[p, :count], twins.sparse_product(X[:count], before, start[p]), panel.dtype)
            assert np.all(A[p, count:] == UNTOUCHED)
            g = 1 - twins.sparse_gradient(X[:count], 0, D[p, :count].astype(float)) / 2
            assert_close(G[p], g, panel.dtype, factor=2)
            assert_close(new[p], twins.step("sgd", before, g, (), lr=0.5, weight_decay=0.125)[0], panel.dtype, factor=2)


def run_sort_entries(begin, end, order, indptr, indices, data, scale, j0, j1, stop, first, place, value):
    first_layer.sort_entries(begin, end, order, indptr, indices, data, scale, j0, j1, stop, first, place, value)


def run_list_due(d, end, due, listed, count):
    count[0] = first_layer.list_due(d, end, due, listed)


def run_csr_roll(
    count, listed, at, end, batch, place, value, D, due, entry, is_last, W, d, state, rates, is_penalized, squares, most
):
    first_layer.csr_roll(
        count, listed, at, end, batch, place, value, pair(D, S), due, entry, is_last, pair(W, d),
        optimizers.momentum, 1, state, rates, is_penalized, pair(squares, most),
    )  # fmt: skip


def sparse_rows(rng, n, d, kind):
    """A matrix (n, d) of small integers, a column and a row of them 0, and its CSR form (indptr, indices, data)."""
    X = rng.integers(1, 9, (n, d)) * (rng.random((n, d)) < 0.1)
    X[n // 2], X[:, d // 2] = 0, 0
    k, j = np.nonzero(X)
    indptr = aligned(n + 1, np.int64, np.append(0, np.cumsum(np.count_nonzero(X, axis=1))))
    return X, (indptr, aligned(len(j), np.int32, j), aligned(len(j), DTYPES[kind], X[k, j]))


@pytest.mark.parametrize(("n", "begin", "end"), [(50, 0, 50), (50, 21, 40), (1, 0, 1)])
@pytest.mark.parametrize("place", [0, 1])
def test_sort_entries(panel, rng, place, n, begin, end):
    """Whoever sorts which features, all lists together lie side by side."""
    raw_kind = RAW[panel.kind][place % len(RAW[panel.kind])]
    wide = wider(panel.kind, raw_kind)
    for d in (1, 5, 131):
        X, (indptr, indices, data) = sparse_rows(rng, n, d, raw_kind)
        order, scale = aligned(n, np.int64, rng.permutation(n)), aligned(d, DTYPES[wide], rng.random(d) + 0.5)
        wanted = [twins.column(X[order] * scale, j, begin, end) for j in range(d)]
        size = sum(len(s) for s, _ in wanted) + d
        for cuts in ([0, d], [0, d // 3, d // 3, d]):
            first, places = aligned(d, np.int64, UNTOUCHED), aligned(size + 1, np.int32, UNTOUCHED)
            values = aligned(size + 1, panel.dtype, UNTOUCHED)
            for j0, j1 in itertools.pairwise(cuts):
                call(
                    run_sort_entries, begin, end, (ints, order), (ints, indptr), (int32s, indices),
                    (pointer(raw_kind), data), (pointer(wide), scale), j0, j1, 60, (ints, first), (int32s, places),
                    (panel.number, values),
                )  # fmt: skip
            assert places[size] == values[size] == UNTOUCHED
            e = 0
            for j, (samples, x) in enumerate(wanted):
                assert first[j] == e
                e += len(samples) + 1
                np.testing.assert_array_equal(places[first[j] : e], [*samples, 60])
                assert_close(values[first[j] : e - 1], x, panel.dtype)


@pytest.mark.parametrize("d", [1, 63, 64, 65, 200])
def test_list_due(rng, d):
    due = aligned(up_to(64, d), np.int32, rng.integers(-3, 4, up_to(64, d)))
    due[d:] = 3
    for end in (-3, 0, 1, 3):
        listed, count = aligned(d + 1, np.int32, UNTOUCHED), aligned(1, np.int64)
        call(run_list_due, d, end, (int32s, due), (int32s, listed), (ints, count))
        (wanted,) = np.nonzero(due < end)
        np.testing.assert_array_equal(listed[: count[0]], wanted)
        assert np.all(listed[len(wanted) :] == UNTOUCHED)


@pytest.mark.parametrize("is_penalized", [0, 1])
def test_csr_roll(panel, rng, is_penalized):
    """Batch by batch the listed rows are as far as the twin, which takes every step with every row."""
    d, n, batch, begin = 37, 58, 10, 20
    batches, rows = range(begin // batch, -(-n // batch)), panel.row
    X, (indptr, indices, data) = sparse_rows(rng, n, d, panel.kind)
    first, size = aligned(d, np.int64), np.count_nonzero(X[begin:]) + d
    places, values = aligned(size, np.int32), aligned(size, panel.dtype)
    order, scale = aligned(n, np.int64, np.arange(n)), aligned(d, panel.dtype, 1)
    call(
        run_sort_entries, begin, n, (ints, order), (ints, indptr), (int32s, indices), (panel.number, data),
        (panel.number, scale), 0, d, 60, (ints, first), (int32s, places), (panel.number, values),
    )  # fmt: skip
    W = random(rng, (2, 2, d + 3, panel.R), panel.dtype)  # and its velocity; each with three rows that nobody may touch
    before, wanted = W.copy(), W.astype(float)
    rates = aligned((6, len(Rate._fields)), np.float64, rng.random((6, len(Rate._fields))) / 4)
    due, entry = aligned(d, np.int32, begin), aligned(d, np.int64, first)
    squares, sums = aligned((2, 6, panel.R), panel.dtype), np.zeros((2, 6, panel.R))
    for b in batches:
        at, end = b * batch, min(n, (b + 1) * batch)
        D = random(rng, (2, S, panel.R), panel.dtype)
        (listed,) = np.nonzero(due < end)
        if b > batches[0]:
            np.testing.assert_array_equal(listed, np.flatnonzero(np.any(X[at:end], axis=0)))
            assert_close(W[:, 0, listed], wanted[:, 0, listed], panel.dtype, factor=4)
        for is_last in (False, True):
            mine = aligned(W.shape, panel.dtype, W)
            told = aligned(squares.shape, panel.dtype, squares)
            kept = due.copy(), entry.copy()
            call(
                run_csr_roll, len(listed), (int32s, aligned(len(listed), np.int32, listed)), at, end, batch,
                (int32s, places), (panel.number, values), (rows, D), (int32s, due), (ints, entry), is_last,
                (rows, mine), 2 * (d + 3), d + 3, (doubles, rates), is_penalized, (rows, told), 6,
            )  # fmt: skip
            assert is_last or all(np.array_equal(a, b) for a, b in zip((due, entry), kept, strict=True))
        W, squares = mine, told
        rate, g = (
            Rate(*rates[b]),
            np.array([twins.sparse_gradient(X[at:end], 0, D[p, : end - at].astype(float)) for p in (0, 1)]),
        )
        sums[:, b] = is_penalized * np.sum(wanted[:, 0, :d] ** 2, axis=1)
        settings = {"lr": rate.lr, "weight_decay": rate.decay, "momentum": rate.momentum}
        wanted[:, 0, :d], wanted[:, 1, :d] = twins.step(
            "momentum", wanted[:, 0, :d], g, (wanted[:, 1, :d],), **settings
        )
    assert np.all(due == 60)
    assert_close(W, wanted, panel.dtype, factor=4)
    assert_close(squares, sums, panel.dtype, factor=4)
    np.testing.assert_array_equal(W[:, :, d:], before[:, :, d:])


# ---- a last layer of few outputs


def run_output_product(begin, end, K, panels, A, WT, b, sums, Z, L):
    last_layer.output_product(begin, end, K, panels, A, S, WT, L, b, sums, Z, L)


def run_output_backward(begin, end, K, D, WT, out, L, panels):
    last_layer.output_backward(begin, end, K, D, two(WT, L, panels), two(out, S, panels))


def run_output_gradient(begin, end, K, D, A, G, is_first, L, panels):
    last_layer.output_gradient(begin, end, K, D, two(A, S, panels), two(G, L, panels), is_first)


def run_output_sum(begin, end, D, c, out, L):
    out[0] = last_layer.output_sum(begin, end, D, c, L)


@pytest.mark.parametrize("panels", [1, 2])
def test_layer_of_few_outputs(panel, rng, panels):
    """Its product, deltas below and gradients, on some samples of a tile; what lies beside them stays as it was."""
    R, L, dtype = panel.R, max(4, lanes(panel.kind)), panel.dtype
    rows, outputs, number = panel.row, pointer(panel.kind, L), panel.number
    for K, (begin, end) in zip((1, 2, 3, L, L - 1), ((0, 64), (16, 17), (0, 1), (32, 63), (48, 48)), strict=True):
        A, b = random(rng, (panels, S, R), dtype), random(rng, L, dtype)
        WT = aligned((panels, L, R), dtype)
        WT[:, :K] = rng.standard_normal((panels, K, R))
        units, W = A.transpose(1, 0, 2).reshape(S, -1).astype(float), WT[:, :K].transpose(0, 2, 1).reshape(-1, K)
        here, whole = slice(begin, end), slice(begin, begin + up_to(L, end - begin))
        Z = aligned((L, S), dtype, UNTOUCHED)
        call(
            run_output_product, begin, end, K, panels, (rows, A), (rows, WT), (number, b),
            (rows, aligned((L, R), dtype)), (outputs, Z), L,
        )  # fmt: skip
        assert_close(Z[:K, here], twins.output_product(units[here], W, b[:K]), dtype, factor=4)
        assert np.all(Z[K:] == UNTOUCHED)
        assert np.all(np.delete(Z, np.r_[whole], axis=1) == UNTOUCHED)

        D = random(rng, (L, S), dtype)
        out = aligned(A.shape, dtype, UNTOUCHED)
        call(run_output_backward, begin, end, K, (number, D), (rows, WT), (rows, out), L, panels)
        mine = out.transpose(1, 0, 2).reshape(S, -1)
        assert_close(mine[here], twins.output_backward(D[:K, here].astype(float), W), dtype)
        assert np.all(np.delete(mine, np.r_[begin : begin + up_to(4, end - begin)], axis=0) == UNTOUCHED)

        for is_first in (True, False):
            G = random(rng, (panels, L, R), dtype)
            before = G.copy()
            call(run_output_gradient, begin, end, K, (number, D), (rows, A), (rows, G), is_first, L, panels)
            g = twins.output_gradient(units[here], D[:K, here].astype(float)).reshape(K, panels, R).transpose(1, 0, 2)
            assert_close(G[:, :K], g if is_first else before[:, :K] + g, dtype, factor=2)
            np.testing.assert_array_equal(G[:, up_to(4, K) :], before[:, up_to(4, K) :])
        for c in range(K):
            total = aligned(1, np.float64)
            call(run_output_sum, begin, end, (outputs, D), c, (doubles, total), L)
            assert_close(total[0], twins.output_sum(D[:, here].astype(float))[c], dtype, factor=4)


# ---- losses


@functools.cache
def run_head(loss, kind, width, lanes_are_samples=False):
    head = make_head(loss, kind, width, lanes_are_samples)

    def run(first, last, K, panels, stride, A, D, target, share, units, spare, losses):
        head(first, last, K, panels, stride, A, D, target, share, units, spare, losses)

    return run


def make_targets(rng, loss, K, dtype):
    """S samples' targets (S, K), and rows of which each is what its address stands for."""
    if LOSSES[loss].targets == "classes":
        labels = aligned(S, np.int64, np.append(np.full(9, K - 1), rng.integers(0, K, S - 9)))
        return np.eye(K)[labels], labels
    most = 4 if LOSSES[loss].targets == "counts" else 1
    targets = rng.integers(0, most, (S, K), endpoint=True).astype(dtype)
    return targets, targets


def assert_deltas(mine, delta, share, dtype):
    """An output is exact to its rounding, of which much may be left when it is near its target."""
    sizes = np.maximum(np.max(np.abs(delta), axis=1), share)
    assert np.all(np.abs(mine - delta) <= 2 * ROUNDINGS * np.finfo(dtype).eps * sizes[:, None])


@pytest.mark.parametrize("loss", LOSSES)
def test_head(panel, rng, loss):
    R, tiles = panel.R, 2
    for K in {1, 2, R - 1, R, R + 1, 3 * R - 1}:
        panels = -(-K // R)
        wide = 4 * rng.standard_normal((S, panels * R))
        wide[3], wide[4] = 40, -40  # sigmoids of 1 and 0, as far as rounding shows
        targets, rows = make_targets(rng, loss, K, panel.dtype)
        target = aligned(S, np.int64, rows.ctypes.data + rows.strides[0] * np.arange(S))
        share = aligned(S, np.float64, rng.random(S) / S)
        share[5] = 0
        units = aligned((panels, R), panel.dtype, rng.uniform(0.1, 1, (panels, R)))
        A = aligned((panels, tiles * S, R), panel.dtype)
        A[:, :S] = wide.reshape(S, panels, R).transpose(1, 0, 2)
        spare = aligned((2, R), panel.dtype)
        for first, last in ((0, 1), (0, 64), (6, 63), (8, 8)):
            D, losses = aligned(A.shape, panel.dtype, UNTOUCHED), aligned(S, np.float64, UNTOUCHED)
            call(
                run_head(loss, panel.kind, R), first, last, K, panels, tiles * S, (panel.row, A), (panel.row, D),
                (ints, target), (doubles, share), (panel.row, units), (panel.row, spare), (doubles, losses),
            )  # fmt: skip
            here = slice(first, last)
            Z = A[:, :S].transpose(1, 0, 2).reshape(S, -1)[:, :K].astype(float)
            value, delta = twins.head(
                Z[here], targets[here].astype(float), loss, share[here], units.ravel()[:K], np.finfo(panel.dtype).eps
            )
            assert_close(losses[here], value, panel.dtype)
            mine = D[:, :S].transpose(1, 0, 2).reshape(S, -1)
            assert_deltas(mine[here, :K], delta, share[here], panel.dtype)
            assert not np.any(mine[here, K:])
            rest = np.r_[0:first, last:S]
            assert np.all(losses[rest] == UNTOUCHED)
            assert np.all(mine[rest] == UNTOUCHED)
            assert np.all(D[:, S:] == UNTOUCHED)


@pytest.mark.parametrize("kind", ["f32", "f64"])
@pytest.mark.parametrize("loss", LOSSES)
def test_head_of_samples(kind, rng, loss):
    """Rows of one output, whose lanes are samples."""
    dtype, L = DTYPES[kind], max(4, lanes(kind))
    row = pointer(kind, L)
    for K in {1, 2, L - 1, L}:
        Z = 4 * rng.standard_normal((S, K))
        Z[3], Z[4] = 40, -40
        targets, rows = make_targets(rng, loss, K, dtype)
        target = aligned(S, np.int64, rows.ctypes.data + rows.strides[0] * np.arange(S))
        share = aligned(S, np.float64, rng.random(S) / S)
        share[5] = 0
        units, spare = aligned(L, dtype, rng.uniform(0.1, 1, L)), aligned((2, L), dtype)
        A = aligned((L, S), dtype)
        A[:K] = Z.T
        for begin, end in ((0, 1), (0, 64), (16, 63), (48, 48)):
            D, losses = aligned((L, S), dtype, UNTOUCHED), aligned(S, np.float64, UNTOUCHED)
            call(
                run_head(loss, kind, L, True), begin, end, K, K, S // L, (row, A), (row, D), (ints, target),
                (doubles, share), (row, units), (row, spare), (doubles, losses),
            )  # fmt: skip
            here, whole = slice(begin, end), np.r_[begin : begin + up_to(L, end - begin)]
            value, delta = twins.head(
                A[:K, here].T.astype(float), targets[here].astype(float), loss, share[here], units[:K],
                np.finfo(dtype).eps,
            )  # fmt: skip
            assert_close(losses[here], value, dtype)
            assert_deltas(D[:K, here].T, delta, share[here], dtype)
            assert np.all(D[K:] == UNTOUCHED)
            assert np.all(np.delete(D, whole, axis=1) == UNTOUCHED)
            assert np.all(np.delete(losses, whole) == UNTOUCHED)


# ---- optimizers


def plain_rate(lr):
    """The numbers of a step of plain SGD."""
    return Rate(lr, *[0.0] * (len(Rate._fields) - 1))


@functools.cache
def run_step(name):
    step = optimizers.STEPS[name]

    def run(W, i, g, state, rate, decay):
        step(W, i, g[0], state, rate, decay)

    return run


@pytest.mark.parametrize("name", [*OPTIMIZERS, "add_gradient"])
def test_step(panel, rng, name):
    facts = ({"add_gradient": ADD_GRADIENT} | OPTIMIZERS)[name]
    memory = random(rng, (1 + facts.arrays + 1, 4, panel.R), panel.dtype)  # weights, their states, and one more
    memory[1:] = np.abs(memory[1:])
    g = random(rng, (1, panel.R), panel.dtype)
    beta1, beta2, epsilon = 0.875, 0.75, 0.25
    numbers = {"momentum": 0.75, "beta1": beta1, "beta2": beta2, "epsilon": epsilon, "epsilon_hat": False}
    settings = {"lr": 0.125, "weight_decay": 0.25} | {setting: numbers[setting] for setting in facts.settings}
    for t, i in ((1, 0), (2, 1), (1000, 3)):
        correct1, correct2 = 0.125 / (1 - beta1**t), 1 / (1 - beta2**t)
        rate = Rate(0.125, 0.25, 0.75, beta1, 1 - beta1, beta2, 1 - beta2, epsilon, correct1, correct2)
        mine, before = aligned(memory.shape, panel.dtype, memory), memory.astype(float)
        call(run_step(name), (panel.row, mine), i, (panel.row, g), 4, rate, 0.25)
        state = (*before[1:-1, i], *([np.array([t - 1])] if facts.counts_steps else []))
        wanted = twins.step(name, before[0, i], g[0].astype(float), state, **settings)
        for place, result in enumerate(wanted[: 1 + facts.arrays]):
            assert_close(mine[place, i], result, panel.dtype)
            assert name == "add_gradient" or np.all(mine[place, i] != memory[place, i])
        np.testing.assert_array_equal(mine[-1], memory[-1])
        others = np.arange(4) != i
        np.testing.assert_array_equal(mine[:, others], memory[:, others])
