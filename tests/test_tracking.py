"""What `track_gradients` records, against plain NumPy, and that watching changes nothing."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from support.networks import as_they_are

import fastmlp

LISTS = ("gradient_magnitude", "gradient_rms", "update_ratio", "delta_magnitude", "dead_units", "zero_activations")


def fit(X, y, **options):
    defaults = {"hidden": (6, 5), "num_epochs": 3, "batch_size": 16, "dtype": "float64", "seed": 5, "verbose": False}
    return fastmlp.train(X, y, **(as_they_are(X) | defaults | options))


def layers_before_and_after_a_batch(X, y, **options):
    """Return the layers at the start and after one step on the first 16 rows."""
    once = {"num_epochs": 1, "shuffle": False} | options
    start = fit(X, y, **(once | {"lr": 1e-300})).layers
    return start, fit(X[:16], y[:16], params=start, **once).layers


@pytest.mark.parametrize("optimizer", [{"lr": 0.1}, {"lr": 0.1, "momentum": 0.9}, {"lr": 0.01, "optimizer": "adam"}])
@pytest.mark.parametrize("mode", [True, "first_epoch"])
@pytest.mark.parametrize("weighted", [False, True])
def test_watching_changes_no_bit(mode, optimizer, weighted, blobs, backend):
    options = {"backend": backend, "sample_weight": np.arange(60) % 5 if weighted else None, **optimizer}
    plain, watched = (fit(*blobs, track_gradients=tracking, **options) for tracking in (False, mode))
    assert_array_equal(watched.params, plain.params)
    assert_allclose(watched.history.loss, plain.history.loss, rtol=1e-13)


def test_watching_changes_no_bit_of_an_engine_on_pixels(mnist):
    X, y = mnist[0][:700], mnist[1][:700]
    options = {"hidden": (32,), "dtype": "float32", "batch_size": 64}
    plain, watched = (fit(X, y, track_gradients=tracking, **options) for tracking in (False, "first_epoch"))
    assert_array_equal(watched.params, plain.params)
    assert len(watched.history.first_epoch_gradients) == 11


def test_each_figure_by_hand(blobs, backend):
    X, y = blobs
    start, moved = layers_before_and_after_a_batch(X, y, backend=backend)
    history = fit(X, y, num_epochs=1, shuffle=False, track_gradients=True, backend=backend).history
    batch, Y = X[:16], np.eye(3)[y[:16]]
    (W1, b1), (W2, b2), (W3, b3) = start
    A1 = np.maximum(batch @ W1 + b1, 0)
    A2 = np.maximum(A1 @ W2 + b2, 0)
    E = np.exp(A2 @ W3 + b3)
    delta3 = E / E.sum(axis=1, keepdims=True) - Y
    delta2 = delta3 @ W3.T * (A2 > 0)
    delta1 = delta2 @ W2.T * (A1 > 0)
    deltas = (delta1, delta2, delta3)
    gradients = [A.T @ delta / 16 for A, delta in zip((batch, A1, A2), deltas, strict=True)]
    norm = np.linalg.norm
    expected = {
        "gradient_magnitude": [np.mean(np.abs(gradient)) for gradient in gradients],
        "gradient_rms": [np.sqrt(np.mean(gradient**2)) for gradient in gradients],
        "update_ratio": [norm(V - W) / norm(W) for (V, _), (W, _) in zip(moved, start, strict=True)],
        "delta_magnitude": [np.mean(np.abs(delta)) for delta in deltas],
        "zero_activations": [np.mean(A == 0) for A in (A1, A2)],
        "dead_units": [np.mean(np.all(A == 0, axis=0)) for A in (A1, A2)],
    }
    assert 0 < expected["zero_activations"][0] < 1
    for name, values in expected.items():
        (found,) = getattr(history, name)
        assert_allclose(found, values, rtol=1e-9, err_msg=name)
        assert all(type(value) is float for value in found)


def test_both_backends_tell_the_same(mnist):
    X, y = mnist[0][:320], mnist[1][:320]
    first, second = (
        fit(X, y, hidden=(32,), batch_size=64, track_gradients=True, backend=backend).history
        for backend in ("reference", "jit")
    )
    for name in LISTS:
        assert np.any(np.array(getattr(first, name)) > 0) or name == "dead_units"
        assert_allclose(getattr(second, name), getattr(first, name), rtol=1e-6, err_msg=name)


def test_every_batch_of_the_first_epoch(blobs):
    options = {"backend": "reference", "shuffle": False, "lr": 1e-300}
    every = fit(*blobs, track_gradients="first_epoch", **options).history
    assert np.shape(every.first_epoch_gradients) == (4, 3)  # batches of 16, 16, 16 and 12
    assert_allclose(every.gradient_magnitude[0], np.mean(every.first_epoch_gradients, axis=0), rtol=1e-12)
    first = fit(*blobs, track_gradients=True, **options).history
    assert first.first_epoch_gradients == []
    assert every.first_epoch_gradients[0] == first.gradient_magnitude[0]
    assert every.gradient_magnitude[1:] == first.gradient_magnitude[1:]


def test_every_batch_of_the_first_epoch_by_hand(blobs, backend):
    X, y = blobs
    options = {"shuffle": False, "num_epochs": 1, "lr": 0.3, "backend": backend}
    history = fit(X, y, track_gradients="first_epoch", **options).history
    layers = layers_before_and_after_a_batch(X, y, backend=backend)[0]
    ratios, sizes = [], []
    for rows in (slice(0, 16), slice(16, 32), slice(32, 48), slice(48, 60)):
        batch, Y = X[rows], np.eye(3)[y[rows]]
        A1 = np.maximum(batch @ layers[0][0] + layers[0][1], 0)
        A2 = np.maximum(A1 @ layers[1][0] + layers[1][1], 0)
        E = np.exp(A2 @ layers[2][0] + layers[2][1])
        delta3 = E / E.sum(axis=1, keepdims=True) - Y
        delta2 = delta3 @ layers[2][0].T * (A2 > 0)
        delta1 = delta2 @ layers[1][0].T * (A1 > 0)
        sizes.append([np.mean(np.abs(delta)) for delta in (delta1, delta2, delta3)])
        moved = fit(batch, Y, params=layers, **options).layers
        ratios.append([np.linalg.norm(V - W) / np.linalg.norm(W) for (V, _), (W, _) in zip(moved, layers, strict=True)])
        layers = moved
    assert np.min(np.ptp(ratios, axis=0) / np.mean(ratios, axis=0)) > 0.1  # the batches differ
    assert_allclose(history.update_ratio, [np.sqrt(np.mean(np.square(ratios), axis=0))], rtol=1e-9)
    assert_allclose(history.delta_magnitude, [np.mean(sizes, axis=0)], rtol=1e-9)


def test_a_unit_that_sleeps_through_one_batch_is_not_dead(blobs):
    X = np.sort(blobs[0], axis=0)
    awake = 24  # in the second of four batches
    W1 = np.zeros((4, 2))
    W1[0] = [1, -1]
    b1 = np.array([-X[awake, 0], X[awake, 0]])  # one is on in later batches only, the other in the first two only
    params = [(W1, b1), (np.ones((2, 3)), np.zeros(3))]
    options = {"hidden": (2,), "params": params, "lr": 1e-300, "num_epochs": 1, "shuffle": False}
    history = fit(X, blobs[1], track_gradients="first_epoch", backend="reference", **options).history
    assert np.all(X[:16, 0] < X[awake, 0])
    assert np.all(X[32:, 0] > X[awake, 0])
    assert history.dead_units == [[0.0]]


def test_a_unit_is_dead_when_no_watched_sample_wakes_it(blobs):
    X, y = blobs
    W1 = np.zeros((4, 3))
    b1 = np.array([-1.0, 1.0, 0.0])
    W1[0, 2] = 1  # on for some samples only
    params = [(W1, b1), (np.ones((3, 3)), np.zeros(3))]
    options = {"hidden": (3,), "params": params, "lr": 1e-300, "num_epochs": 1, "backend": "reference"}
    history = fit(X, y, track_gradients="first_epoch", **options).history
    assert history.dead_units == [[1 / 3]]
    assert_allclose(history.zero_activations, [[(1 + np.mean(X[:, 0] <= 0)) / 3]], atol=0.01)


def test_tiny_gradients_and_weights_of_zero_have_figures(blobs):
    X, y = blobs
    zeros = [(np.zeros((4, 6)), np.zeros(6)), (np.zeros((6, 3)), np.zeros(3))]
    history = fit(
        X, y, hidden=(6,), params=zeros, num_epochs=1, track_gradients=True, activation="tanh", backend="reference"
    ).history
    assert np.all(np.isnan(history.update_ratio[0]))
    assert history.gradient_magnitude[0] == history.gradient_rms[0] == [0.0, 0.0]
    deep = fit(
        X, y, hidden=(6,) * 12, init=0.001, activation="sigmoid", dtype="float32", num_epochs=1, track_gradients=True,
        backend="reference",
    ).history  # fmt: skip
    assert 0 < deep.gradient_magnitude[0][3] < 1e-22
    assert deep.gradient_rms[0][3] >= deep.gradient_magnitude[0][3]


def test_a_diverged_epoch_leaves_no_figures(blobs, backend):
    with pytest.warns(RuntimeWarning, match="diverged"):
        history = fit(*blobs, lr=1e300, track_gradients="first_epoch", num_epochs=9, backend=backend).history
    assert [len(getattr(history, name)) for name in LISTS] == [len(history)] * len(LISTS)


@pytest.mark.parametrize(("value", "error"), [("all", ValueError), (1, TypeError), (None, TypeError)])
def test_other_modes_are_refused(value, error, blobs):
    with pytest.raises(error, match=r"^track_gradients must be True.* False.*, got "):
        fit(*blobs, track_gradients=value)
