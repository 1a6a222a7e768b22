"""What every argument of `train` means, on both backends."""

import dataclasses
import functools
import linecache
import re
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from support.networks import as_they_are
from support.traces import interrupted_by

import fastmlp
from fastmlp.backends import BACKENDS
from fastmlp.engine.features import most_frequent
from fastmlp.inference import Inference
from fastmlp.normalization import IDENTITY
from fastmlp.problem import Architecture
from fastmlp.progress import Progress
from fastmlp.targets import Coding, learn_coding

TOLERANCES = {"float64": 1e-9, "float32": 1e-4}
"""How far the backends' parameters may be apart, relative to the largest of the layer."""


def fit(X, y, **options):
    """Train a small network quietly; `options` override the defaults here."""
    defaults = {"hidden": (6,), "num_epochs": 3, "batch_size": 16, "dtype": "float64", "seed": 5, "verbose": False}
    return fastmlp.train(X, y, **(as_they_are(X) | defaults | options))


def assert_same_network(first, second, tolerance=1e-9):
    """Compare layer by layer, relative to the largest parameter of each, and see that neither side is trivial."""
    assert first.widths == second.widths
    for layer, other in zip(first.layers, second.layers, strict=True):
        for array, other_array in zip(layer, other, strict=True):
            largest = max(np.max(np.abs(layer[0])), np.max(np.abs(layer[1])))
            assert largest > 0
            assert np.max(np.abs(array - other_array)) <= tolerance * largest


def initial_layers(X, y, **options):
    """Return the layers that a training starts from: a learning rate of 1e-300 changes nothing but zeros."""
    model = fit(X, y, **({"backend": "reference"} | options | {"num_epochs": 1, "lr": 1e-300}))
    assert all(np.all(np.abs(b) <= 1e-290) for _, b in model.layers)
    return [(W.copy(), np.zeros_like(b)) for W, b in model.layers]


# --- targets


LABELS = {
    "int64": (lambda y: y, [0, 1, 2]),
    "uint8": (lambda y: y.astype(np.uint8), [0, 1, 2]),
    "negative": (lambda y: 10 * y - 10, [-10, 0, 10]),
    "list": (lambda y: y.tolist(), [0, 1, 2]),
    "column": (lambda y: y[:, None], [0, 1, 2]),
    "strings": (lambda y: np.array(["ant", "bee", "cat"])[y], ["ant", "bee", "cat"]),
    "string list": (lambda y: np.array(["ant", "bee", "cat"])[y].tolist(), ["ant", "bee", "cat"]),
    "object strings": (lambda y: np.array(["ant", "bee", "cat"], object)[y], ["ant", "bee", "cat"]),
    "object integers": (lambda y: y.astype(object), [0, 1, 2]),
    "object NumPy integers": (lambda y: np.array(list(y.astype(np.uint8)), object), [0, 1, 2]),
    "object strings column": (lambda y: np.array(["ant", "bee", "cat"], object)[y][:, None], ["ant", "bee", "cat"]),
    "string column": (lambda y: np.array(["ant", "bee", "cat"])[y][:, None], ["ant", "bee", "cat"]),
    "bytes": (lambda y: np.array([b"ant", b"bee", b"cat"])[y], [b"ant", b"bee", b"cat"]),
    "one-hot int": (lambda y: np.eye(3, dtype=int)[y], [0, 1, 2]),
    "one-hot uint8": (lambda y: np.eye(3, dtype=np.uint8)[y], [0, 1, 2]),
    "one-hot bool": (lambda y: np.eye(3, dtype=bool)[y], [0, 1, 2]),
    "one-hot float32": (lambda y: np.eye(3, dtype=np.float32)[y], [0, 1, 2]),
    "one-hot float64": (lambda y: np.eye(3)[y], [0, 1, 2]),
    "one-hot list": (lambda y: np.eye(3)[y].tolist(), [0, 1, 2]),
}


@pytest.mark.parametrize("kind", LABELS)
def test_every_kind_of_label_trains_the_same_network(kind, blobs, backend):
    X, y = blobs
    labels_of, classes = LABELS[kind]
    labels = labels_of(y)
    model = fit(X, labels, validation_data=(X, labels), backend=backend)
    assert model.classes_.tolist() == classes
    assert_array_equal(model.params, fit(X, y, backend=backend).params)
    assert set(model.predict(X)) == set(classes)
    assert model.history.val_accuracy[-1] == model.score(X, labels) > 0.9


def test_two_bool_classes(blobs, backend):
    X, y = blobs
    model = fit(X, y == 1, backend=backend, lr=0.5)
    assert model.classes_.tolist() == [False, True]
    assert model.widths[-1] == 2
    assert model.predict(X).dtype == bool
    assert model.score(X, y == 1) > 0.9


def test_whole_floats_are_labels_when_the_loss_says_so(blobs, backend):
    X, y = blobs
    model = fit(X, y.astype(np.float32), loss="cross_entropy", backend=backend)
    assert model.classes_.tolist() == [0, 1, 2]
    assert_array_equal(model.params, fit(X, y, backend=backend).params)


def test_validation_labels_may_be_of_another_kind(blobs, backend):
    X, y = blobs
    histories = [
        fit(X, y, validation_data=(X, labels), backend=backend).history.val_loss
        for labels in (y, y.astype(float), np.eye(3)[y], y[:, None])
    ]
    assert histories == [histories[0]] * 4


@pytest.mark.parametrize("shape", [(60,), (60, 1), (60, 2)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_regression(shape, dtype, blobs, backend):
    X, _ = blobs
    y = (X @ np.arange(8.0).reshape(4, 2) / 8).astype(dtype)[:, : int(np.prod(shape[1:]))].reshape(shape)
    model = fit(X, y, validation_data=(X, y), num_epochs=20, lr=0.02, backend=backend)
    assert not hasattr(model, "classes_")
    assert model.widths[-1] == (2 if shape == (60, 2) else 1)
    assert model.predict(X).shape == shape
    assert model.score(X, y) > 0.9
    assert model.history.val_accuracy == []
    assert_allclose(model.history.val_loss[-1], np.mean((model.predict(X) - y) ** 2), rtol=1e-12)
    assert model.history.val_loss[-1] < model.history.val_loss[0]


def test_integers_are_numbers_when_the_loss_says_so(blobs, backend):
    X, y = blobs
    model = fit(X, y, loss="mean_squared_error", lr=0.02, backend=backend)
    assert_array_equal(model.params, fit(X, y + 0.0, loss=model._coding.loss, lr=0.02, backend=backend).params)
    assert model.predict(X).dtype == np.float64


@pytest.mark.parametrize("labels", [[0, 1], [False, True], ["no", "yes"], [-1, 1]])
def test_binary_cross_entropy_of_two_classes(labels, blobs, backend):
    X, y = blobs
    y = np.array(labels)[(y == 1).astype(int)]
    model = fit(X, y, loss="binary_cross_entropy", validation_data=(X, y), num_epochs=10, lr=0.5, backend=backend)
    assert model.widths == (4, 6, 1)
    assert model.classes_.tolist() == labels
    assert set(model.predict(X)) == set(labels)
    assert model.score(X, y) == model.history.val_accuracy[-1] > 0.9
    probabilities = model.predict_proba(X)
    assert probabilities.shape == (60, 2)
    assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-14)
    assert_array_equal(model.classes_[np.argmax(probabilities, axis=1)], model.predict(X))


@pytest.mark.parametrize("dtype", [bool, int, np.float32])
def test_binary_cross_entropy_of_several_labels(dtype, blobs, backend):
    X, _ = blobs
    y = (X[:, :3] > 2).astype(dtype)
    assert set(y.sum(axis=1)) >= {0, 1, 2}
    model = fit(X, y, loss="binary_cross_entropy", validation_data=(X, y), num_epochs=40, lr=1.0, backend=backend)
    assert model.classes_.tolist() == [0, 1, 2]
    predictions = model.predict(X)
    assert predictions.shape == (60, 3)
    assert set(predictions.ravel()) == {0, 1}
    assert_array_equal(predictions, model.predict_proba(X) > 0.5)
    assert model.score(X, y) == np.mean(np.all(predictions == y, axis=1)) == model.history.val_accuracy[-1] > 0.7


@pytest.mark.parametrize(
    ("values", "rows"), [(10, 12), (20, 20), (26, 130), (100, 1000), (100, 800)], ids=lambda number: str(number)
)
def test_whole_numbers_with_enough_rows_are_labels(values, rows):
    y = np.arange(rows) % values
    for labels in (y, y[:, None], y.astype(np.uint8), 7 * y):
        coding = learn_coding(labels, "auto")
        assert coding.loss == "cross_entropy"
        assert len(coding.classes) == values


@pytest.mark.parametrize(("values", "rows"), [(214, 442), (21, 104), (50, 50), (1000, 4999)])
def test_whole_numbers_that_may_be_quantities_are_refused(values, rows, backend):
    y = 3 * (np.arange(rows) % values)
    X = np.random.default_rng(0).normal(size=(rows, 2))
    message = (
        f"^y must be clearly labels or quantities for loss='auto', got {values} different whole numbers as "
        rf"u?int\d+ in {rows} rows; pass loss='cross_entropy' to classify them or loss='mean_squared_error' for "
        "regression$"
    )
    for numbers in (y, y[:, None], y.astype(np.uint16)):
        with pytest.raises(ValueError, match=message):
            fit(X, numbers, backend=backend)
    for loss, classes in (("cross_entropy", values), ("mean_squared_error", 0)):
        coding = learn_coding(y, loss)
        assert len(() if coding.classes is None else coding.classes) == classes
    for told in (y.astype(float), y.astype(str), np.eye(values, dtype=int)[y // 3]):
        learn_coding(told, "auto")


def test_the_loss_of_many_classes_takes_little_memory():
    k = 45_000
    coding = Coding("cross_entropy", k, np.arange(k), flat=False)
    params = np.random.default_rng(0).normal(size=3 * k)
    inference = Inference(Architecture((2, k), "relu", "cross_entropy"), IDENTITY)
    model = fastmlp.MLP(params, inference, coding, fastmlp.History())
    X, y = np.random.default_rng(1).normal(size=(3, 2)), [0, 7, k - 1]
    Z = X @ params[: 2 * k].reshape(2, k) + params[2 * k :]
    wanted = np.mean(np.log(np.sum(np.exp(Z), axis=1)) - Z[np.arange(3), y])
    tracemalloc.start()
    try:
        loss, accuracy = model.loss(X, y), model.score(X, y)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert_allclose(loss, wanted, rtol=1e-12)
    assert accuracy == np.mean(np.argmax(Z, axis=1) == y)
    assert peak < 50e6


# --- shapes


@pytest.mark.parametrize("hidden", [(), (1,), (3,), (17,), (130,), (3, 1), (17, 130, 3), (4,) * 6, 5, [5, 2]])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_depths_and_widths(hidden, dtype, blobs, backend):
    X, y = blobs
    model = fit(X, y, hidden=hidden, dtype=dtype, backend=backend)
    widths = (hidden,) if isinstance(hidden, int) else tuple(hidden)
    assert model.widths == (4, *widths, 3)
    assert [W.shape for W, _ in model.layers] == list(zip(model.widths[:-1], model.widths[1:], strict=True))
    assert model.params.dtype == dtype
    reference = fit(X, y, hidden=hidden, dtype=dtype, backend="reference")
    assert_same_network(reference, model, TOLERANCES[dtype])


@pytest.mark.parametrize("d", [1, 3, 17, 130])
@pytest.mark.parametrize("k", [2, 3, 17, 130])
def test_numbers_of_features_and_classes(d, k, backend):
    rng = np.random.default_rng(d * k)
    X, y = rng.normal(size=(2 * k, d)), np.arange(2 * k) % k
    model = fit(X, y, loss="cross_entropy", backend=backend)
    assert model.widths == (d, 6, k)
    assert_same_network(fit(X, y, loss="cross_entropy", backend="reference"), model)


@pytest.mark.parametrize("batch_size", [1, 7, 59, 60, 61, 10_000])
def test_batch_sizes(batch_size, blobs, backend):
    X, y = blobs
    model = fit(X, y, batch_size=batch_size, backend=backend)
    assert_same_network(fit(X, y, batch_size=batch_size, backend="reference"), model)
    if batch_size >= 60:
        assert_same_network(fit(X, y, batch_size=60, shuffle=False, backend=backend), model)


@pytest.mark.parametrize(
    "y", [[2.5], [[1.0, -2.0]], [[0, 1]], [[True, False]]], ids=["number", "numbers", "one-hot", "bool one-hot"]
)
def test_one_sample(y, backend):
    X = [[1.0, -2.0, 0.5]]
    model = fit(X, y, num_epochs=30, activation="tanh", validation_data=(X, y), backend=backend)
    assert len(model.history) == 30
    assert model.history.loss[-1] < 0.5 * model.history.loss[0]
    assert model.history.val_loss[-1] < model.history.loss[-1]


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh", "identity"])
@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy", "mean_squared_error"])
def test_activations_and_losses(activation, loss, blobs, backend):
    X, y = blobs
    options = {"activation": activation, "loss": loss, "hidden": (7, 5), "lr": 0.02, "num_epochs": 4}
    model = fit(X, np.eye(3)[y], backend=backend, **options)
    assert model.history.loss[-1] < model.history.loss[0]
    assert_same_network(fit(X, np.eye(3)[y], backend="reference", **options), model)


# --- features


def test_auto_divides_uint8_by_255(blobs, backend):
    pixels = np.random.default_rng(2).integers(0, 256, (60, 9), np.uint8)
    y = blobs[1]
    automatic = fit(pixels, y, backend=backend)
    assert_same_network(automatic, fit(pixels / 255, y, normalize=None, backend=backend), 1e-12)
    assert_array_equal(automatic.params, fit(pixels, y, normalize="unit", backend=backend).params)
    assert_allclose(automatic.logits(pixels), fit(pixels / 255, y, backend=backend).logits(pixels / 255), rtol=1e-9)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int32, np.uint16, bool])
def test_auto_leaves_other_types_alone(dtype, blobs, backend):
    X = (blobs[0] + 3).astype(dtype)
    model = fit(X, blobs[1], backend=backend)
    plain = fit(X.astype(np.float64), blobs[1], normalize=None, backend=backend)
    assert_array_equal(model.params, plain.params)
    assert_array_equal(model.predict_proba(X), plain.predict_proba(X.astype(np.float64)))


def test_zscore_is_learned_from_the_training_rows_and_applied_again(blobs, backend):
    X = blobs[0] * [1, 10, 0.1, 5] + [0, 100, -3, 7]
    train, test = X[:40], X[40:]
    model = fit(train, blobs[1][:40], normalize="zscore", validation_data=(test, blobs[1][40:]), backend=backend)
    shift, scale = train.mean(axis=0), train.std(axis=0)
    by_hand = fit((train - shift) / scale, blobs[1][:40], normalize=None, backend=backend)
    assert_same_network(by_hand, model)
    assert_allclose(model.logits(test), by_hand.logits((test - shift) / scale), rtol=1e-9)
    assert_allclose(model.history.val_loss[-1], by_hand.loss((test - shift) / scale, blobs[1][40:]), rtol=1e-9)
    assert_allclose(by_hand.logits((train - shift) / scale), by_hand.logits(fastmlp.reference.normalize(train)))


def test_zscore_only_centres_a_constant_column(backend):
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=3000), np.full(3000, 0.1)])
    assert np.std(X[:, 1]) > 0  # rounding errors, which must not be blown up
    y = (X[:, 0] > 0).astype(int)
    model = fit(X, y, normalize="zscore", num_epochs=1, backend=backend)
    moved = X.copy()
    moved[:, 1] += 1e-9
    assert_allclose(model.logits(moved), model.logits(X), atol=1e-6)
    assert_allclose(fastmlp.reference.normalize(X)[:, 1], 0, atol=1e-9)


def test_uint8_zscore_does_not_wrap_around(blobs, backend):
    pixels = np.random.default_rng(2).integers(0, 256, (60, 9), np.uint8)
    model = fit(pixels, blobs[1], normalize="zscore", backend=backend)
    plain = fit(pixels.astype(np.float64), blobs[1], normalize="zscore", backend=backend)
    assert_same_network(plain, model, 1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("raw", [np.float64, np.int64])
def test_columns_far_from_zero_keep_their_differences(dtype, raw, backend):
    rng = np.random.default_rng(0)
    X = rng.integers(0, 101, (400, 2)).astype(raw)
    y = (X[:, 0] > X[:, 1]).astype(int)
    options = {"normalize": "zscore", "dtype": dtype, "num_epochs": 30, "lr": 0.5, "backend": backend}
    near, far = fit(X, y, **options), fit(X + 1_700_000_000, y, **options)
    assert far.score(X + 1_700_000_000, y) > 0.95
    assert_same_network(near, far, {"float32": 1e-4, "float64": 1e-6}[dtype])  # the mean of large numbers is rounded
    assert_allclose(far.logits(X + 1_700_000_000), near.logits(X), rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize(("raw", "dtype"), [("float32", "float32"), ("float64", "float64"), ("float64", "float32")])
@pytest.mark.parametrize("zeros", [0.0, 0.3, 0.7, 1.0])
def test_one_row_standardised_is_nothing_but_zeros(zeros, raw, dtype, backend):
    rng = np.random.default_rng(3)
    for _ in range(5):
        X = (rng.normal(size=(1, 20)) * (rng.random((1, 20)) >= zeros)).astype(raw)
        options = {"dtype": dtype, "lr": 0.1, "hidden": (5,), "num_epochs": 2}
        model = fit(X, [[0, 1, 0]], normalize="zscore", backend=backend, **options)
        wanted = fit(np.zeros((1, 20)), [[0, 1, 0]], normalize=None, backend="reference", **options)
        assert_array_equal(model.layers[0][0], wanted.layers[0][0])  # no feature, no gradient
        assert_allclose(model.params, wanted.params, rtol=1e-6, atol=1e-8)


def test_the_most_frequent_value_of_a_single_row_is_the_row():
    row = np.array([[3.0, 0.0, -2.0]])
    value, often = most_frequent(row)
    assert_array_equal(value, row[0])
    assert_array_equal(often, 1)


@pytest.mark.parametrize(
    ("column", "dtype", "message"),
    [
        (
            [0, 1e200, -1e200],
            "float64",
            r"standard deviation of inf",
        ),
        ([0, 1e-200, 2e-200], "float64", r"standard deviation of 0"),
        (
            [0, 1e-60, 2e-60],
            "float32",
            r"standard deviation of 8\.16\d+e-61",
        ),
        (
            [-1e60, 0, 1e60],
            "float32",
            r"standard deviation of 8\.16\d+e\+59",
        ),
        ([1e60, 1e60, 1e60], "float32", r"mean of 1e\+60"),
        ([1.5e308] * 3, "float64", r"mean of inf"),
    ],
)
def test_a_column_that_cannot_be_scaled_is_named(column, dtype, message, backend):
    X = np.column_stack([[1.0, 2, 3], column])
    with pytest.raises(ValueError, match=f"^X must .* can be standardised in {dtype}, got a {message} in column 1$"):
        fit(X, [0, 1, 0], normalize="zscore", dtype=dtype, backend=backend)


@pytest.mark.parametrize("container", [np.array, scipy.sparse.csr_array])
def test_numbers_that_the_dtype_cannot_hold_are_refused(container, backend):
    X = np.array([[1.0, 2], [0, -1e39], [5, 6]])
    y, weights = np.array([0.5, 1, 2]), [(np.array([[1.0], [1e39]]), np.zeros(1))]
    options = {"dtype": "float32", "hidden": (), "backend": backend}
    with pytest.raises(ValueError, match=r"^X must hold numbers that float32 can hold, got 1e\+39 in column 1$"):
        fit(container(X), y, **options)
    with pytest.raises(ValueError, match=r"^X must have columns that can be standardised in float32, .* column 1$"):
        fit(container(X), y, normalize="auto", **options)
    with pytest.raises(ValueError, match=r"^y must hold numbers that float32 can hold, got 1e\+39$"):
        fit(container(X * 0), np.array([0.5, 1e39, 2]), **options)
    with pytest.raises(ValueError, match=r"^params must hold numbers that float32 can hold, got 1e\+39$"):
        fit(container(X * 0), y, params=weights, **options)
    with pytest.raises(ValueError, match=r"^init must give weights that float32 can hold, got -?\d.*e\+"):
        fit(container(X * 0), y, init=1e40, **options)
    fit(container(X / 1e38), y, **options)


def as_memmap(X, folder):
    np.save(folder / "X.npy", X)
    return np.load(folder / "X.npy", mmap_mode="r")


CONTAINERS = {
    "list": lambda X, folder: X.tolist(),
    "Fortran order": lambda X, folder: np.asfortranarray(X),
    "strided": lambda X, folder: np.repeat(np.repeat(X, 2, axis=0), 3, axis=1)[::2, ::3],
    "reversed": lambda X, folder: X[::-1].copy()[::-1],
    "big-endian": lambda X, folder: X.astype(X.dtype.newbyteorder(">")),
    "memmap": as_memmap,
    "CSR array": lambda X, folder: scipy.sparse.csr_array(X),
    "CSR matrix": lambda X, folder: scipy.sparse.csr_matrix(X),
    "CSC array": lambda X, folder: scipy.sparse.csc_array(X),
    "COO array": lambda X, folder: scipy.sparse.coo_array(X),
}


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_every_container_of_the_same_numbers_trains_the_same_network(container, dtype, blobs, tmp_path, backend):
    X = (blobs[0] * 9).clip(0, 255).astype(dtype)
    assert 0.2 < np.mean(X == 0) < 0.8
    normalize = "unit" if dtype == np.uint8 else None
    expected = fit(X, blobs[1], normalize=normalize, lr=0.01, backend=backend)
    contained = CONTAINERS[container](X, tmp_path)
    if container not in ("list", "memmap"):
        assert contained.dtype == X.dtype.newbyteorder(">" if container == "big-endian" else "=")
    validation = (contained, blobs[1])
    model = fit(*validation, normalize=normalize, lr=0.01, validation_data=validation, backend=backend)
    assert_same_network(expected, model, 1e-12)
    assert_allclose(model.logits(contained), expected.logits(X), rtol=1e-9, atol=1e-12)
    assert_array_equal(model.predict(contained), expected.predict(X))
    assert_allclose(model.history.val_loss[-1], expected.loss(X, blobs[1]), rtol=1e-9)


def test_unsorted_csr_with_duplicates(blobs, backend):
    X, y = blobs
    rows, columns = np.divmod(np.arange(X.size), X.shape[1])
    halves = np.concatenate([X.ravel() / 2, X.ravel() / 2])
    order = np.random.default_rng(0).permutation(2 * X.size)
    order = order[np.argsort(np.tile(rows, 2)[order], kind="stable")]
    indptr = np.arange(len(X) + 1) * 2 * X.shape[1]
    matrix = scipy.sparse.csr_array((halves[order], np.tile(columns, 2)[order], indptr), shape=X.shape)
    before = matrix.data.copy(), matrix.indices.copy(), matrix.indptr.copy()
    assert_same_network(fit(X, y, backend=backend), fit(matrix, y, backend=backend), 1e-12)
    for array, old in zip((matrix.data, matrix.indices, matrix.indptr), before, strict=True):
        assert_array_equal(array, old)


def test_nothing_that_is_passed_in_changes(blobs, backend):
    X, y = (array.copy() for array in blobs)  # writable, unlike the fixture's
    weights, start = np.ones(60), [(W, b[None]) for W, b in initial_layers(X, y)]
    validation = (X[:20].copy(), y[:20].copy())
    passed = [X, y, weights, *validation, *(array for layer in start for array in layer)]
    before = [array.copy() for array in passed]
    model = fit(
        X, y, sample_weight=weights, params=start, validation_data=validation, normalize="zscore", momentum=0.9,
        weight_decay=0.1, track_gradients=True, epoch_loss="full", backend=backend,
    )  # fmt: skip
    model.predict(X), model.score(X, y), model.loss(X, y)
    for array, old in zip(passed, before, strict=True):
        assert_array_equal(array, old)
    assert np.any(model.layers[0][0] != start[0][0])


def test_read_only_input(blobs, backend):
    X, y = blobs
    assert not X.flags.writeable
    start = initial_layers(X, y)
    weights = np.ones(60)
    for array in (weights, *(array for layer in start for array in layer)):
        array.flags.writeable = False
    model = fit(X, y, sample_weight=weights, params=start, validation_data=(X, y), backend=backend)
    assert_same_network(fit(X, y, backend=backend), model, 1e-12)


# --- sample weights


def test_integer_weights_are_repeated_rows(blobs, backend):
    X, y = blobs
    weights = np.arange(60) % 4
    repeated = np.repeat(np.arange(60), weights)
    options = {"batch_size": 1000, "num_epochs": 5, "epoch_loss": "full", "backend": backend}
    weighted = fit(X, y, sample_weight=weights, **options)
    assert_same_network(fit(X[repeated], y[repeated], **options), weighted)
    assert_allclose(weighted.history.loss, fit(X[repeated], y[repeated], **options).history.loss, rtol=1e-9)
    assert_allclose(weighted.loss(X, y, weights), weighted.loss(X[repeated], y[repeated]), rtol=1e-12)
    unweighted = fit(X, y, **options)
    assert np.max(np.abs(unweighted.params - weighted.params)) > 1e-3


def test_weights_matter_only_relative_to_each_other(blobs, backend):
    X, y = blobs
    weights = np.random.default_rng(0).uniform(size=60)
    assert_same_network(
        fit(X, y, sample_weight=weights, backend=backend), fit(X, y, sample_weight=7 * weights, backend=backend), 1e-9
    )


def test_rows_of_weight_zero_are_ignored(blobs, backend):
    X, y = blobs
    kept = y != 2
    changed = X.copy()
    changed[~kept] = 1e3
    options = {"batch_size": 60, "shuffle": False, "backend": backend}
    model = fit(X, y, sample_weight=kept, **options)
    assert_same_network(model, fit(changed, y, sample_weight=kept.astype(np.float32), **options), 1e-12)
    assert model.widths[-1] == 3


def test_a_batch_without_any_weight_changes_nothing(blobs, backend):
    X, y = blobs
    weights = np.r_[np.ones(20), np.zeros(40)]
    options = {"batch_size": 20, "num_epochs": 2, "shuffle": False, "backend": backend}
    model = fit(X, y, sample_weight=weights, **options)
    start = initial_layers(X, y)
    alone = fit(X[:20], y[:20], params=start, **options)
    assert_same_network(alone, model)
    assert_allclose(model.history.loss, alone.history.loss, rtol=1e-9)


def test_the_running_loss_weights_every_batch_by_its_rows(blobs, backend):
    X, y = blobs
    start = initial_layers(X, y)
    options = {"lr": 1e-300, "num_epochs": 1, "params": start, "backend": backend}
    weights = np.random.default_rng(0).uniform(size=60)
    for sample_weight in (None, weights):
        model = fit(X, y, batch_size=17, sample_weight=sample_weight, **options)  # batches of 17, 17, 17 and 9
        assert_allclose(model.history.loss, [model.loss(X, y, sample_weight)], rtol=1e-12)


# --- starting points, seeds, permutations


def test_params_are_the_start_and_are_copied(blobs, backend):
    X, y = blobs
    start = initial_layers(X, y, backend=backend)
    expected = fit(X, y, backend=backend)
    for form in (start, [(W, b[None]) for W, b in start], [(W.tolist(), b.tolist()) for W, b in start], tuple(start)):
        assert_array_equal(fit(X, y, params=form, backend=backend).params, expected.params)
    still = fit(X, y, params=start, lr=1e-300, num_epochs=1, seed=99, backend=backend)
    assert_allclose(still.params, np.concatenate([array.ravel() for layer in start for array in layer]), 0, 1e-290)
    assert not any(np.shares_memory(still.params, array) for layer in start for array in layer)


def test_a_training_can_be_continued(blobs, backend):
    X, y = blobs
    options = {"shuffle": False, "backend": backend}
    half = fit(X, y, num_epochs=2, **options)
    continued = fit(X, y, num_epochs=2, params=half.layers, **options)
    assert_same_network(fit(X, y, num_epochs=4, **options), continued, 1e-12)


@pytest.mark.parametrize(
    ("init", "deviations"),
    [
        ("he", [np.sqrt(2 / 100), np.sqrt(2 / 300)]),
        ("xavier", [np.sqrt(2 / 400), np.sqrt(2 / 350)]),
        (0.01, [0.01, 0.01]),
        (2, [2.0, 2.0]),
    ],
)
def test_init(init, deviations, backend):
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(50, 100)), np.arange(50)
    layers = initial_layers(X, y, loss="cross_entropy", hidden=(300,), init=init, backend=backend)
    for (W, _), deviation in zip(layers, deviations, strict=True):
        assert abs(np.mean(W)) < 4 * deviation / np.sqrt(W.size)
        assert_allclose(np.std(W), deviation, rtol=0.03)
        assert abs(np.mean(np.abs(W) < deviation) - 0.6827) < 0.02  # as of a normal distribution


def test_a_seed_makes_a_training_reproducible(blobs, backend):
    X, y = blobs
    first, second, other = (fit(X, y, seed=seed, backend=backend) for seed in (1, 1, 2))
    assert_array_equal(first.params, second.params)
    assert first.history.loss == second.history.loss
    assert np.all(first.layers[0][0] != other.layers[0][0])
    unseeded = [fit(X, y, seed=None, backend=backend).params for _ in range(2)]
    assert np.any(unseeded[0] != unseeded[1])


def test_the_global_random_state_is_neither_used_nor_moved(blobs, backend):
    X, y = blobs
    np.random.seed(0)  # noqa: NPY002
    first = fit(X, y, backend=backend)
    after = np.random.random()  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    assert after == np.random.random()  # noqa: NPY002
    assert_array_equal(first.params, fit(X, y, backend=backend).params)


def test_a_seed_gives_every_backend_and_dtype_the_same_start(blobs):
    X, y = blobs
    reference = initial_layers(X, y, backend="reference", dtype="float64")
    for backend in BACKENDS:
        for dtype in ("float32", "float64"):
            layers = initial_layers(X, y, backend=backend, dtype=dtype)
            for (W, _), (expected, _) in zip(layers, reference, strict=True):
                assert W.dtype == dtype
                assert_array_equal(W, expected.astype(dtype))


def test_num_threads_does_not_change_the_seeds_meaning(mnist, backend):
    X, y = mnist[0][:500], mnist[1][:500]
    one, two, default = (
        fit(X, y, hidden=(32,), num_epochs=2, num_threads=threads, backend=backend) for threads in (1, 2, None)
    )
    assert_same_network(one, two)
    assert_same_network(one, default)


def visited_orders(**options):
    """Return the order in which each epoch of a training visited its n rows, as an (epochs, n) array.

    A linear model of X = identity learns at batch size 1 in such a way that row i's weight tells how the shared bias
    stood when i was visited: w_i changes by -2·lr·(w_i + b - y_i), and b by as much.
    """
    n, lr = 12, 0.05
    y = np.random.default_rng(8).normal(size=n)
    layers = []
    fit(
        np.eye(n), y, hidden=(), batch_size=1, lr=lr,
        callbacks=[lambda model, history: layers.append([array.astype(float) for array in model.layers[0]])],
        **({"num_epochs": 4, "params": [(np.zeros((n, 1)), np.zeros(1))]} | options),
    )  # fmt: skip
    orders = []
    weights, bias = np.zeros(n), 0.0
    for W, b in layers:
        changes = W[:, 0] - weights
        bias_when_visited = y - weights - changes / (2 * lr)
        order = []
        while len(order) < n:
            distance = np.abs(bias_when_visited - bias)
            distance[order] = np.inf
            order.append(int(np.argmin(distance)))
            assert distance[order[-1]] < 1e-4
            bias += changes[order[-1]]
        assert_allclose(bias, b[0], atol=1e-5)
        weights, bias = W[:, 0], b[0]
        orders.append(order)
    return np.array(orders)


def test_each_epoch_visits_every_row_once_in_a_fresh_order(backend):
    orders = visited_orders(backend=backend)
    assert_array_equal(np.sort(orders, axis=1), np.tile(np.arange(12), (4, 1)))
    assert len({tuple(order) for order in orders}) == 4
    assert not np.array_equal(orders, visited_orders(backend=backend, seed=6))


def test_without_shuffle_the_rows_stay_in_order(backend):
    assert_array_equal(visited_orders(backend=backend, shuffle=False), np.tile(np.arange(12), (4, 1)))


@pytest.mark.parametrize("options", [{"dtype": "float32"}, {"num_threads": 1}, {"momentum": 0.0, "init": 0.5}])
def test_a_seed_gives_every_backend_and_dtype_the_same_permutations(options, backend):
    assert_array_equal(visited_orders(backend=backend, **options), visited_orders(backend="reference"))


def test_permutations_do_not_depend_on_how_the_weights_began(blobs, backend):
    X, y = blobs
    start = initial_layers(X, y, backend=backend)
    assert_array_equal(fit(X, y, backend=backend).params, fit(X, y, params=start, init=3.0, backend=backend).params)


# --- updates, against a loop of a few lines


def linear_gradient(W, b, X, y):
    """Mean squared error of X W + b for one output, differentiated by hand."""
    error = X @ W + b - y
    return 2 * X.T @ error / len(X), np.array([2 * np.mean(error)])


def descend(rule, X, y, w, lr, epochs, batch_size, decay=0.0):
    """Run `rule(w, g, memory, t, lr)` over batches in order; w holds the weights and, last, the bias."""
    memory, t = {}, 0
    for _ in range(epochs):
        for start in range(0, len(X), batch_size):
            rows = slice(start, start + batch_size)
            dW, db = linear_gradient(w[:-1], w[-1:], X[rows], y[rows])
            t += 1
            w = rule(w, np.r_[dW + decay * w[:-1], db], memory, t, lr)
    return w


def plain(w, g, memory, t, lr):
    return w - lr * g


def heavy_ball(w, g, memory, t, lr):
    memory["step"] = 0.8 * memory.get("step", 0.0) + g
    return w - lr * memory["step"]


def look_ahead(w, g, memory, t, lr):
    memory["step"] = 0.8 * memory.get("step", 0.0) + g
    return w - lr * (g + 0.8 * memory["step"])


def adam(w, g, memory, t, lr):
    memory["m"] = 0.9 * memory.get("m", 0.0) + 0.1 * g
    memory["v"] = 0.999 * memory.get("v", 0.0) + 0.001 * g**2
    return w - lr * (memory["m"] / (1 - 0.9**t)) / (np.sqrt(memory["v"] / (1 - 0.999**t)) + 1e-8)


UPDATES = {
    "sgd": (plain, {}, 0.02),
    "momentum": (heavy_ball, {"momentum": 0.8}, 0.01),
    "nesterov": (look_ahead, {"momentum": 0.8, "nesterov": True}, 0.01),
    "adam": (adam, {"optimizer": "adam"}, 0.05),
}


@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize("name", UPDATES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_updates_follow_their_definition(name, decay, dtype, blobs, backend):
    rule, options, lr = UPDATES[name]
    X = blobs[0]
    y = X @ [1.0, -2.0, 0.5, 0.0] + 3
    start = np.array([0.3, -0.1, 0.2, 0.5, 0.7])
    model = fit(
        X, y, hidden=(), lr=lr, weight_decay=decay, params=[(start[:4, None], start[4:])], shuffle=False, batch_size=13,
        num_epochs=6, dtype=dtype, backend=backend, **options,
    )  # fmt: skip
    expected = descend(rule, X, y, start, lr, 6, 13, decay)
    assert np.max(np.abs(expected - start)) > 0.3
    assert_allclose(model.params, expected, rtol=1e-4 if dtype == "float32" else 1e-10, atol=0)


def test_weight_decay_pulls_weights_and_leaves_biases(backend):
    X, y = np.zeros((4, 2)), np.zeros(4)
    start = [(np.full((2, 1), 2.0), np.zeros(1))]
    model = fit(X, y, hidden=(), params=start, weight_decay=0.5, lr=0.1, num_epochs=3, batch_size=4, backend=backend)
    assert_allclose(model.layers[0][0], 2 * (1 - 0.1 * 0.5) ** 3, rtol=1e-12)
    assert_array_equal(model.layers[0][1], 0)
    shifted = fit(X, y + 1, hidden=(), params=[(start[0][0], np.ones(1))], weight_decay=0.5, lr=0.1, backend=backend)
    assert_array_equal(shifted.layers[0][1], 1)


# --- history


def test_history_has_one_entry_an_epoch(blobs, backend):
    X, y = blobs
    plain_history = fit(X, y, backend=backend).history
    assert plain_history.val_loss == plain_history.val_accuracy == plain_history.gradient_magnitude == []
    history = fit(X, y, validation_data=(X, y), track_gradients=True, hidden=(6, 5), backend=backend).history
    assert len(history) == 3
    for name in ("loss", "val_loss", "val_accuracy", "seconds"):
        values = getattr(history, name)
        assert len(values) == 3
        assert all(type(value) is float and value > 0 for value in values)
    assert np.shape(history.gradient_magnitude) == (3, 3)
    assert type(history.compile_seconds) is float
    assert 0 <= history.compile_seconds < 600


def test_history_to_dict_is_a_copy(blobs):
    history = fit(*blobs, backend="reference", track_gradients=True).history
    record = history.to_dict()
    assert list(record) == [field.name for field in dataclasses.fields(history)]
    assert {"loss", "val_loss", "val_accuracy", "seconds", "gradient_magnitude", "compile_seconds"} <= set(record)
    assert record["loss"] == history.loss
    record["loss"].clear()
    record["gradient_magnitude"][0].clear()
    assert len(history.loss) == 3
    assert len(history.gradient_magnitude[0]) == 2


def test_full_loss_is_of_the_whole_set_after_the_epoch(blobs, backend):
    X, y = blobs
    models = []
    options = {"sample_weight": np.arange(60.0), "backend": backend}
    history = fit(X, y, epoch_loss="full", callbacks=[lambda m, h: models.append(m)], **options).history
    assert_allclose(history.loss, [model.loss(X, y, np.arange(60.0)) for model in models], rtol=1e-12)
    running = fit(X, y, epoch_loss="running", **options).history
    assert running.loss[0] > history.loss[0]  # measured before each update, not after


def test_validation_is_measured_after_the_epoch(blobs, backend):
    X, y = blobs
    models = []
    history = fit(X[:40], y[:40], validation_data=(X[40:], y[40:]), callbacks=[lambda m, h: models.append(m)],
                  backend=backend).history  # fmt: skip
    assert history.val_loss == [model.loss(X[40:], y[40:]) for model in models]
    assert history.val_accuracy == [model.score(X[40:], y[40:]) for model in models]
    assert len(set(history.val_loss)) == 3


def test_validating_does_not_change_the_training(blobs, backend):
    X, y = blobs
    watched = fit(X, y, validation_data=(X[:7], y[:7]), track_gradients=True, epoch_loss="full", backend=backend)
    assert_array_equal(watched.params, fit(X, y, backend=backend).params)


def test_tracked_gradients_are_those_of_the_first_batch(blobs, backend):
    X, y = blobs
    batch, Y = X[:16], np.eye(3)[y[:16]]
    models = []
    history = fit(
        X, y, shuffle=False, track_gradients=True, num_epochs=2, activation="tanh",
        callbacks=[lambda m, h: models.append(m)], backend=backend,
    ).history  # fmt: skip
    starts = [initial_layers(X, y), models[0].layers]
    for ((W1, b1), (W2, b2)), found in zip(starts, history.gradient_magnitude, strict=True):
        A = np.tanh(batch @ W1 + b1)
        E = np.exp(A @ W2 + b2)
        delta2 = (E / E.sum(axis=1, keepdims=True) - Y) / 16
        delta1 = delta2 @ W2.T * (1 - A**2)
        assert_allclose(found, [np.mean(np.abs(batch.T @ delta1)), np.mean(np.abs(A.T @ delta2))], rtol=1e-9)


# --- callbacks and early ends


def test_callbacks_see_every_epoch_in_order(blobs, backend):
    calls = []
    callbacks = [
        lambda model, history: calls.append(("first", model, len(history))),
        lambda model, history: calls.append(("second", model, len(history))),
    ]
    model = fit(*blobs, callbacks=iter(callbacks), backend=backend)
    assert [(name, epochs) for name, _, epochs in calls] == [
        (name, epoch) for epoch in (1, 2, 3) for name in ("first", "second")
    ]
    networks = [network for name, network, _ in calls if name == "first"]
    assert_array_equal(networks[-1].params, model.params)
    assert np.any(networks[0].params != networks[1].params)  # each keeps its own parameters
    assert_array_equal(networks[0].params, fit(*blobs, num_epochs=1, backend=backend).params)


def test_a_callback_that_returns_true_stops_the_training(blobs, backend):
    called = []
    stop, other = (lambda m, h: len(h) == 2), (lambda m, h: called.append(len(h)))
    model = fit(*blobs, num_epochs=50, callbacks=[stop, other], backend=backend)
    assert len(model.history) == 2
    assert called == [1, 2]
    assert_array_equal(model.params, fit(*blobs, num_epochs=2, backend=backend).params)


@pytest.mark.parametrize("value", [True, np.True_, np.float64(3) > 2])
def test_true_of_python_and_of_numpy_stop_the_training(value, blobs, backend):
    assert len(fit(*blobs, callbacks=[lambda m, h: value], backend=backend).history) == 1


@pytest.mark.parametrize("value", [None, False, np.False_, 1, "yes", np.array([True])])
def test_only_true_stops_the_training(value, blobs, backend):
    assert len(fit(*blobs, callbacks=[lambda m, h: value], backend=backend).history) == 3


def test_an_error_in_a_callback_is_the_users(blobs, backend):
    def fail(model, history):
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        fit(*blobs, callbacks=[fail], backend=backend)


def test_an_interrupt_returns_the_last_whole_network(blobs, backend, capsys):
    def interrupt(model, history):
        if len(history) == 2:
            raise KeyboardInterrupt

    model = fit(*blobs, num_epochs=50, callbacks=[interrupt], verbose=True, backend=backend)
    assert len(model.history) == 2
    assert_array_equal(model.params, fit(*blobs, num_epochs=2, backend=backend).params)
    assert "interrupted: the network after 2 whole epochs is kept" in capsys.readouterr().out


def test_an_interrupt_names_the_epoch_whose_network_is_kept(blobs, backend, capsys):
    models = []

    def steer(model, history):
        models.append(model)
        history.loss[-1] = [3.0, 1.0, 2.0, 2.0][len(history) - 1]

    def interrupt(model, history):
        if len(history) == 4:
            raise KeyboardInterrupt

    stop = fastmlp.callbacks.EarlyStopping("loss", patience=9)
    model = fit(*blobs, num_epochs=50, callbacks=[steer, stop, interrupt], verbose=True, backend=backend)
    assert capsys.readouterr().out.splitlines()[-1] == "interrupted: the network after 2 whole epochs is kept"
    assert model is models[1]
    assert len(model.history) == 4


INTERRUPTED = [
    str(Path(fastmlp.__file__).with_name(f"{name}.py"))
    for name in ("training", "epochs", "tracking", "history", "callbacks", "steering", "progress", "descent")
]
"""Modules whose every line is interrupted once."""


@functools.cache
def looks_for_signals(path, line):
    """The interpreter looks for signals where something is called and where a loop goes round, not here."""
    return linecache.getline(path, line).strip() not in ("try:", "while True:")


def interrupted_at(number, blobs, epochs, **options):
    """Train with an interrupt before the given line that runs; return the network, or None if it got through.

    Return the count of lines besides, and whether an epoch had begun.
    """
    count, begun = 0, False

    def trace(frame, event, argument):
        nonlocal count, begun
        path = frame.f_code.co_filename
        if path not in INTERRUPTED:
            return None
        begun = begun or frame.f_code.co_name == "run_epoch"
        if event == "line" and looks_for_signals(path, frame.f_lineno):
            count += 1
            if count == number:
                raise KeyboardInterrupt
        return trace

    model = None
    with interrupted_by(trace):
        model = fit(*blobs, num_epochs=epochs, batch_size=30, hidden=(2,), backend="reference", **options)
    return model, count, begun


@pytest.mark.parametrize("early", [False, True])
def test_an_interrupt_before_any_line_leaves_whole_epochs_and_their_history(early, blobs, capsys):
    epochs, models = 2, []

    def options():
        stop = [fastmlp.callbacks.EarlyStopping("loss")] if early else []
        return {"validation_data": blobs, "track_gradients": "first_epoch", "verbose": True, "callbacks": stop}

    whole = fit(*blobs, num_epochs=epochs, batch_size=30, hidden=(2,), backend="reference",
                **(options() | {"callbacks": [lambda m, h: models.append(m)]}))  # fmt: skip
    assert whole.history.loss[1] < whole.history.loss[0]  # so that early stopping keeps each
    start = fit(*blobs, num_epochs=1, batch_size=30, hidden=(2,), backend="reference", lr=1e-300)
    params = [start.params, *(model.params for model in models)]
    _, lines, _ = interrupted_at(0, blobs, epochs, **options())
    assert lines > 100
    seen = set()
    for number in range(1, lines + 1):
        model, _, begun = interrupted_at(number, blobs, epochs, **options())
        if model is None:
            assert not begun, number
            continue
        history = model.history
        done = len(history)
        seen.add(done)
        lengths = {entry.name: len(getattr(history, entry.name)) for entry in dataclasses.fields(history)[:-1]}
        assert lengths.pop("first_epoch_gradients") == (2 if done else 0), number
        assert set(lengths.values()) == {done}, (number, lengths)
        for name in ("loss", "val_loss", "val_accuracy", "lr", "dead_units"):
            assert getattr(history, name) == getattr(whole.history, name)[:done], (number, name)
        kept = [
            epoch for epoch in range(epochs + 1) if np.allclose(model.params, params[epoch], rtol=1e-12, atol=1e-200)
        ]
        assert kept == [done] or (early and kept == [max(0, done - 1)]), number
    assert seen == set(range(epochs + 1))
    capsys.readouterr()


def test_an_interrupt_while_an_epoch_is_printed_does_not_lose_it(blobs, monkeypatch, backend):
    def interrupt(self, history):
        if len(history) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(Progress, "epoch", interrupt)
    model = fit(*blobs, num_epochs=9, backend=backend)
    monkeypatch.undo()
    assert len(model.history) == 2
    assert_array_equal(model.params, fit(*blobs, num_epochs=2, backend=backend).params)


@pytest.mark.parametrize("again", ["Progress.interrupted", "Progress._close", "History._cut"])
def test_a_second_interrupt_changes_nothing(again, blobs, monkeypatch, backend):
    owner, name = again.split(".")
    owner = {"Progress": Progress, "History": fastmlp.History}[owner]
    original, calls = getattr(owner, name), []

    def interrupt(self, *arguments):
        calls.append(name)
        if len(calls) < 3:
            raise KeyboardInterrupt
        return original(self, *arguments)

    def first(model, history):
        if len(history) == 2:
            monkeypatch.setattr(owner, name, interrupt)
            raise KeyboardInterrupt

    try:
        model = fit(*blobs, num_epochs=9, callbacks=[first], verbose=True, backend=backend)
    except KeyboardInterrupt:
        pytest.fail("the network is lost")
    assert calls
    assert len(model.history) == len(model.history.seconds) == 2
    assert_array_equal(model.params, fit(*blobs, num_epochs=2, backend=backend).params)


def test_an_interrupt_while_stages_are_made_is_the_users(blobs, monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("fastmlp.epochs.make_trainer", interrupt)
    with pytest.raises(KeyboardInterrupt):
        fit(*blobs)


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        ({"X": 1e300}, r"features as large as \d.*e\+300 are the likely cause; a smaller scale may help"),
        ({"y": 1e200}, r"targets as large as 2e\+200 are the likely cause; a smaller scale may help"),
        ({"params": 1e308}, r"initial weights as large as 1e\+308 are the likely cause; a smaller scale may help"),
        ({"lr": 1e300}, r"a smaller lr than 1e\+300 may help"),
        ({"X": 1e5, "lr": 1e200}, r"a smaller lr than 1e\+200 may help"),
        ({"lr": 50}, r"a smaller lr than 50 may help"),
    ],
    ids=["features", "targets", "weights", "lr", "lr rather than features", "moderate lr"],
)
def test_a_divergence_names_its_likely_cause(options, cause, blobs, backend):
    X, y = blobs
    X, y = X * options.get("X", 1.0), y * options.get("y", 1.0)
    size, lr = options.get("params", 1.0), options.get("lr", 0.1)
    params = [(np.full((4, 6), size), np.zeros(6)), (np.full((6, 1), size), np.zeros(1))]
    with pytest.warns(
        RuntimeWarning, match=r"^training diverged in epoch \d+; the network of epoch \d+ is kept "
    ) as caught:
        fit(X, y, params=params, lr=lr, num_epochs=50, backend=backend, loss="mean_squared_error")
    assert re.search(rf" is kept \({cause}\)$", str(caught[0].message))


def test_a_divergence_on_sparse_features_names_them(blobs, backend):
    X = scipy.sparse.csr_array(blobs[0] * 1e200)
    with pytest.warns(RuntimeWarning, match=r"features as large as \d.*e\+200 are the likely cause"):
        fit(X, blobs[1] * 1.0, backend=backend, loss="mean_squared_error")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("epoch_loss", ["running", "full"])
@pytest.mark.parametrize("loss", ["mean_squared_error", "cross_entropy"])
def test_divergence_returns_the_last_finite_network(loss, epoch_loss, dtype, blobs, backend):
    X, y = blobs
    options = {"loss": loss, "lr": 1e30, "validation_data": (X, y), "dtype": dtype, "epoch_loss": epoch_loss}
    with pytest.warns(
        RuntimeWarning, match=r"^training diverged in epoch \d+; the network of epoch \d+ is kept .* lr "
    ):
        model = fit(X, y * 1.0, num_epochs=300, backend=backend, **options)
    assert len(model.history) < 300
    assert np.all(np.isfinite(model.params))
    assert np.all(np.isfinite(model.history.loss))
    assert len(model.history.val_loss) == len(model.history)


def test_divergence_in_the_first_epoch_returns_the_start(blobs, backend):
    X, y = blobs
    start = initial_layers(X, y)
    with pytest.warns(RuntimeWarning, match="diverged in epoch 1; the network of epoch 0 is kept"):
        model = fit(X, y, lr=1e308, params=start, batch_size=1, num_epochs=2, backend=backend)
    assert_array_equal(model.params, np.concatenate([array.ravel() for layer in start for array in layer]))
    assert len(model.history) == 0


def test_parameters_that_overflow_in_an_epochs_last_step(blobs, backend):
    X, y = blobs
    start = initial_layers(X, y, dtype="float32")
    with pytest.warns(RuntimeWarning, match="diverged in epoch 1; the network of epoch 0 is kept"):
        model = fit(X, y, lr=1e39, params=start, batch_size=60, num_epochs=2, dtype="float32", backend=backend)
    assert_array_equal(model.params, np.concatenate([array.ravel() for layer in start for array in layer]))
    assert model.history.loss == []


def test_divergence_in_a_later_epoch_keeps_the_one_before(blobs, backend):
    X, y = blobs[0], blobs[0] @ np.ones(4)
    lr = 0.5  # grows steadily, so that several epochs stay finite
    options = {"hidden": (), "lr": lr, "batch_size": 60, "dtype": "float32", "backend": backend}
    with pytest.warns(RuntimeWarning, match="training diverged") as caught:
        model = fit(X, y, num_epochs=1000, **options)
    epochs = len(model.history)
    assert 3 < epochs < 1000
    (message,) = [str(warning.message) for warning in caught]
    assert message.startswith(f"training diverged in epoch {epochs + 1}; the network of epoch {epochs} is kept")
    assert caught[0].filename == __file__
    assert_array_equal(model.params, fit(X, y, num_epochs=epochs, **options).params)


# --- what is printed


def test_silence(blobs, backend, capfd):
    fit(*blobs, validation_data=blobs, verbose=False, backend=backend)
    assert capfd.readouterr() == ("", "")


def test_printed_lines(blobs, backend, capsys):
    history = fit(*blobs, num_epochs=10, validation_data=blobs, verbose=True, backend=backend).history
    lines = capsys.readouterr().out.splitlines()
    first, *epochs = [line for line in lines if not line.startswith("compiling")]
    assert re.match(r"training 4-6-3, relu, cross_entropy on 60 samples: .*\w", first)
    assert (backend in first) or backend == "jit"
    assert len(epochs) == 10
    for number, line in enumerate(epochs, 1):
        values = re.fullmatch(
            r"epoch +(\d+)/10  loss (\d+\.\d{4})  val loss (\d+\.\d{4})  val accuracy (\d+\.\d{4})  \d+\.\d{3} s", line
        )
        assert values, line
        assert int(values[1]) == number
        expected = (history.loss, history.val_loss, history.val_accuracy)
        assert [float(value) for value in values.groups()[1:]] == [round(values[number - 1], 4) for values in expected]


def test_printed_lines_without_validation(blobs, backend, capsys):
    fit(*blobs, num_epochs=1, verbose=True, backend=backend)
    assert re.fullmatch(r"epoch 1/1  loss \d+\.\d{4}  \d+\.\d{3} s", capsys.readouterr().out.splitlines()[-1])


# --- both backends


@pytest.mark.parametrize(
    ("optimizer", "dtype"),
    [({"lr": 0.1}, "float64"), ({"lr": 0.1}, "float32"), ({"lr": 1e-3, "optimizer": "adam"}, "float64")],
    ids=["sgd-float64", "sgd-float32", "adam-float64"],
)
def test_backends_agree_after_100_steps_on_mnist(dtype, optimizer, mnist):
    tolerance = TOLERANCES[dtype]
    X, y = mnist[0][:3200], mnist[1][:3200]
    options = {"hidden": (256, 128), "num_epochs": 2, "batch_size": 64, "dtype": dtype, **optimizer}
    reference, compiled = (fit(X, y, backend=backend, **options) for backend in BACKENDS)
    assert reference.score(X, y) > 0.5
    assert_same_network(reference, compiled, tolerance)
    assert_allclose(compiled.history.loss, reference.history.loss, rtol=10 * tolerance)


def test_whole_training_on_mnist(mnist, backend):
    X, y = mnist
    model = fit(
        X[:4000], y[:4000], hidden=(64, 32), num_epochs=6, batch_size=32, lr=0.05, dtype="float32", seed=0,
        validation_data=(X[4000:], y[4000:]), backend=backend,
    )  # fmt: skip
    assert model.history.val_accuracy[-1] >= 0.9
    assert model.history.loss[-1] < 0.3 < 0.6 < model.history.loss[0]


@st.composite
def trainings(draw):
    """A random architecture, random data for it and random options."""
    d, hidden = draw(st.integers(1, 20)), draw(st.lists(st.integers(1, 20), max_size=4))
    n, k = draw(st.integers(2, 40)), draw(st.integers(1, 12))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    X = rng.normal(size=(n, d)) * (rng.uniform(size=(n, d)) < draw(st.sampled_from([0.1, 1.0])))
    y = np.eye(k + 1)[rng.integers(0, k + 1, n)]
    options = {
        "hidden": hidden,
        "batch_size": draw(st.integers(1, 45)),
        "normalize": draw(st.sampled_from([None, "zscore"])),
        "sample_weight": draw(st.sampled_from([None, rng.uniform(0.1, 2, n)])),
        "weight_decay": draw(st.sampled_from([0.0, 0.01])),
        "init": draw(st.sampled_from(["he", "xavier", 0.1])),
        "seed": draw(st.integers(0, 1000)),
        "lr": 0.01,
        "num_epochs": 2,
    }
    return X, y, options


@given(trainings())
@settings(max_examples=25, deadline=None, derandomize=True)
def test_backends_agree_on_random_architectures(training):
    X, y, options = training
    reference, compiled = (fit(X, y, backend=backend, **options) for backend in BACKENDS)
    assert_same_network(reference, compiled)
    assert_allclose(compiled.history.loss, reference.history.loss, rtol=1e-9)
    assert_allclose(compiled.logits(X), reference.logits(X), rtol=1e-7, atol=1e-9)
