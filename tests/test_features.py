"""How samples lie in memory: what is read in place and what is copied, and the row that leaves most features 0."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.sparse import csr_array

from fastmlp.engine.features import (
    MOST_SPARSE_FEATURES,
    SAMPLED_ROWS,
    find_base,
    most_frequent,
    read_entries,
    read_rows,
    readable,
    split_features,
)
from fastmlp.normalization import IDENTITY, Normalization, learn_normalization

FLOAT = np.dtype(np.float32)
BELOW = 0.4
MATRIX = np.arange(1.0, 61).reshape(12, 5)
PACKED = np.zeros(12, [("flag", "u1"), ("x", "f8", (5,))])
PACKED["x"] = MATRIX

IN_PLACE = {
    "float64": MATRIX,
    "float32": MATRIX.astype(np.float32),
    "uint8": MATRIX.astype(np.uint8),
    "every other row": MATRIX[::2],
    "some columns": MATRIX[:, 1:4],
    "one column of several": MATRIX[:, 2:3],
    "one row": MATRIX[3:4],
}
COPIED = {
    "Fortran order": np.asfortranarray(MATRIX),
    "rows backwards": MATRIX[::-1],
    "columns backwards": MATRIX[:, ::-1],
    "every other column": MATRIX[:, ::2],
    "the same row again and again": np.broadcast_to(MATRIX[0], (7, 5)),
    "a vector as one row": MATRIX[0][None, :],
    "one row of many backwards": MATRIX[::-1][:1],
    "a strided vector as one column": MATRIX[:, 1][:, None],
    "unaligned numbers": PACKED["x"],
}
CONVERTED = {
    "float16": MATRIX.astype(np.float16),
    "int64": MATRIX.astype(np.int64),
    "bool": MATRIX > 20,
    "float32 in the other byte order": MATRIX.astype(np.dtype(np.float32).newbyteorder()),
    "float64 in the other byte order": MATRIX.astype(MATRIX.dtype.newbyteorder()),
}


def row_from(rows, o):
    """The features of sample o where compiled code looks for them, in whole words of 64, all in memory that is ours."""
    matrix, safe, tail = rows
    stride, reach = matrix.strides[0], -(-matrix.shape[1] // 64) * 64 * matrix.itemsize
    if o >= safe:
        start = (o - safe) * stride
        assert start + reach <= tail.size
        return tail[start : start + reach].view(matrix.dtype)[: matrix.shape[1]]
    assert o * stride + reach <= (len(matrix) - 1) * stride + matrix.shape[1] * matrix.itemsize
    return matrix[o]


# ---- readable


@pytest.mark.parametrize("name", IN_PLACE)
def test_what_compiled_code_can_read_is_not_copied(name):
    X = IN_PLACE[name]
    assert readable(X, FLOAT) is X


@pytest.mark.parametrize("name", COPIED)
def test_other_layouts_are_copied(name):
    X = COPIED[name]
    copy = readable(X, FLOAT)
    assert not np.shares_memory(copy, X)
    assert copy.dtype == X.dtype
    assert copy.strides == (X.shape[1] * X.itemsize, X.itemsize)
    assert copy.flags.aligned
    np.testing.assert_array_equal(copy, X)


@pytest.mark.parametrize("name", CONVERTED)
def test_other_types_are_converted(name):
    X = CONVERTED[name]
    copy = readable(X, FLOAT)
    assert copy.dtype == (np.float64 if name.startswith("float64") else FLOAT)
    assert copy.dtype.isnative
    np.testing.assert_array_equal(copy, X.astype(copy.dtype))


@pytest.mark.parametrize("name", ["int32", "int64", "uint32", "uint64", "longdouble"])
def test_no_digits_are_lost(name):
    values = np.array([[0, 1_700_000_001], [1, 1_700_000_002]], name)
    assert readable(values, FLOAT).dtype == np.float64
    np.testing.assert_array_equal(readable(values, FLOAT), values.astype(np.float64))
    entries = read_entries(csr_array(values), FLOAT)
    np.testing.assert_array_equal(entries.data, values[values != 0].astype(np.float64))


def test_entries_in_the_other_byte_order():
    X = csr_array(MATRIX.astype(np.float32))
    other = csr_array((X.data.astype(">f4"), X.indices, X.indptr), X.shape)
    assert not other.data.dtype.isnative
    entries = read_entries(other, FLOAT)
    assert entries.data.dtype == np.float32
    assert entries.data.dtype.isnative
    np.testing.assert_array_equal(entries.data, X.data)


def test_a_read_only_matrix_stays_where_it_is():
    X = MATRIX.copy()
    X.flags.writeable = False
    assert readable(X, FLOAT) is X


# ---- read_rows


@pytest.mark.parametrize("d", [1, 2, 63, 64, 65, 127, 128, 200])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("gap", [0, 1, 70])
def test_whole_words_of_each_row_lie_in_the_matrix_or_in_the_tail(d, dtype, gap):
    n = 150
    X = (np.arange(n * (d + gap)) % 251 + 1).reshape(n, d + gap)[:, :d].astype(dtype)
    padded = np.zeros((n, d + gap), dtype)
    padded[:, :d] = X
    rows = read_rows(padded[:, :d])
    assert 0 <= rows.safe <= n
    for o in range(n):
        np.testing.assert_array_equal(row_from(rows, o), X[o])


@pytest.mark.parametrize("name", IN_PLACE)
def test_rows_in_place(name):
    X = IN_PLACE[name]
    rows = read_rows(X)
    assert rows.matrix is X
    for o in range(len(X)):
        np.testing.assert_array_equal(row_from(rows, o), X[o])


def test_rows_of_whole_words_need_no_tail():
    rows = read_rows(np.ones((10, 128), np.float32))
    assert rows.safe == 10


def test_only_the_last_rows_are_copied():
    rows = read_rows(np.ones((1000, 784), np.uint8))
    assert 990 <= rows.safe < 1000
    assert rows.tail.size < 10 * 784


def test_narrow_rows_reach_over_many():
    assert read_rows(np.ones((1000, 1), np.uint8)).safe == 1000 - 1 - 63
    assert read_rows(np.ones((40, 1), np.uint8)).safe == 0


# ---- read_entries


@pytest.mark.parametrize("index", [np.int32, np.int64])
def test_positions_of_entries_have_64_bits(index):
    """As many entries as nobody makes in a test: nothing is read here."""
    last = np.iinfo(index).max
    indptr, data = np.array([0, last], index), np.ones(3, np.float32)
    entries = read_entries(SimpleNamespace(data=data, indices=np.arange(3, dtype=index), indptr=indptr), FLOAT)
    assert entries.indptr.tolist() == [0, last]
    assert (entries.indptr.dtype, entries.indices.dtype) == (np.int64, np.int32)
    assert entries.indices.tolist() == [0, 1, 2]
    assert entries.data is data


# ---- most_frequent, find_base


def naive_most_frequent(column):
    """The largest count, with 0 preferred."""
    _, counts = np.unique(column, return_counts=True)
    zeros = np.count_nonzero(column == 0)
    return (0, zeros) if zeros == np.max(counts) else (None, np.max(counts))


def test_most_frequent_by_hand():
    rows = np.array([[0, 3, 1, 7, -1], [0, 3, 2, 0, -1], [5, 3, 3, 7, 0], [6, 4, 3, 0, 0]])
    value, often = most_frequent(rows)
    np.testing.assert_array_equal(value, [0, 3, 3, 0, 0])
    np.testing.assert_array_equal(often, [2, 3, 2, 2, 2])


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("n", [2, 3, 50])
def test_most_frequent_by_counting(n, dtype):
    rows = np.random.default_rng(n).integers(0, 4, (n, 40)).astype(dtype)
    value, often = most_frequent(rows)
    assert value.dtype == dtype
    for column, v, count in zip(rows.T, value, often, strict=True):
        wanted, largest = naive_most_frequent(column)
        assert count == largest
        assert count == np.count_nonzero(column == v)
        assert wanted is None or v == wanted


def sparse_matrix(n=300, d=40, density=0.2, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.integers(1, 200, (n, d)) * (rng.random((n, d)) < density)).astype(dtype)


def test_the_base_of_sparse_data_is_zero():
    base, density = find_base(sparse_matrix(), FLOAT, BELOW)
    assert base.dtype == np.float64  # of the wider type, in which features are normalised
    assert not np.any(base)
    assert 0.15 < density < 0.25


def test_the_base_of_standardised_sparse_data_is_what_zero_became():
    X = sparse_matrix()
    mean, std = X.mean(0), X.std(0)
    base, density = find_base((X - mean) / std, np.dtype(np.float64), BELOW)
    np.testing.assert_array_equal(base, (0 - mean) / std)
    assert 0.15 < density < 0.25


def test_the_base_of_bright_images_is_their_white():
    base, density = find_base(255 - sparse_matrix(dtype=np.uint8), FLOAT, BELOW)
    np.testing.assert_array_equal(base, 255)
    assert density < 0.25


def test_the_base_of_constant_columns_is_their_value():
    base, density = find_base(np.tile(np.arange(8.0), (20, 1)), FLOAT, BELOW)
    np.testing.assert_array_equal(base, np.arange(8))
    assert density == 0


def test_dense_data_have_no_base():
    base, density = find_base(np.random.default_rng(0).random((300, 40)), FLOAT, BELOW)
    assert base is None
    assert density > 0.9


def test_only_features_below_a_density_have_a_base():
    X = sparse_matrix(density=0.47)
    assert find_base(X, FLOAT, 0.4)[0] is None
    assert find_base(X, FLOAT, 0.55)[0] is not None


def test_too_many_features_have_no_base():
    assert find_base(np.zeros((2, MOST_SPARSE_FEATURES + 1), np.uint8), FLOAT, BELOW)[0] is None
    assert find_base(np.zeros((2, MOST_SPARSE_FEATURES), np.uint8), FLOAT, BELOW)[0] is not None


def test_the_base_is_judged_from_rows_all_over_the_matrix():
    X = np.random.default_rng(0).random((4 * SAMPLED_ROWS, 3))
    X[SAMPLED_ROWS:] = 0
    base, density = find_base(X, FLOAT, BELOW)
    np.testing.assert_array_equal(base, 0)
    assert density == pytest.approx(0.25, abs=0.01)


# ---- split_features


@pytest.mark.parametrize("kind", [None, "unit", "zscore"])
@pytest.mark.parametrize("with_base", [False, True])
def test_split_features_add_up_to_the_normalised_ones(kind, with_base):
    X = 255 - sparse_matrix(dtype=np.uint8)
    normalization = learn_normalization(kind, X)
    base = find_base(X, np.dtype(np.float64), BELOW)[0] if with_base else None
    split = split_features(base, normalization, X.shape[1])
    assert all(part.shape == (X.shape[1],) for part in split)
    x = (X - split.base) * split.scale
    np.testing.assert_allclose(x + split.shift, normalization.apply(X, np.float64), rtol=1e-12, atol=1e-12)
    if with_base:
        assert np.mean(x == 0) > 0.75
        assert np.any(split.shift)
    else:
        assert not np.any(split.shift)


def test_split_of_zeros_needs_no_shift():
    assert not np.any(split_features(np.zeros(3), IDENTITY, 3).shift)
    assert not np.any(split_features(np.zeros(3), Normalization(np.zeros(()), np.full((), 255.0)), 3).shift)
