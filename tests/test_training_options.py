"""Label smoothing and clipping: formulas by hand, and the compiled path against the reference."""

from dataclasses import replace

import numpy as np
import pytest
from support.engine_cases import Case, check, make_problem, same_bits, train
from support.networks import CODES, X

import fastmlp
from fastmlp.engine.trainer import Engine
from fastmlp.reference.losses import smooth_labels
from fastmlp.reference.optimizers import clip

SMALL = {"hidden": (5,), "num_epochs": 3, "batch_size": 16, "seed": 3, "verbose": False, "dtype": "float64"}


def fit(y=CODES, **options):
    return fastmlp.train(X, y, **(SMALL | options))


def check_bits(case):
    """Assert that the engine is the reference on a case, to the same bits on any number of threads."""
    problem, start, orders = make_problem(case)
    one = train(Engine(replace(problem, num_threads=1), start), orders)
    check(case, *one)
    for threads in (2, 3):
        same_bits(train(Engine(replace(problem, num_threads=threads), start), orders), one)


# ---- label smoothing

SMOOTHED = [
    Case(hidden=(130, 17), k=37, d=30, n=150, batch=70),
    Case(k=3, batch=1, n=9),
    Case("float32", "uint8", "sparse", hidden=(130, 64), k=130, d=70, n=201, batch=100, normalize="unit"),
    Case(hidden=(), k=2, d=1, labels="last", weighted=True),
    Case(loss="binary_cross_entropy", k=5, optimizer="adam"),
]


@pytest.mark.parametrize("case", SMOOTHED, ids=str)
def test_smoothed_labels(case):
    check_bits(case._replace(smoothing=0.3))


def test_smoothed_targets_by_hand():
    np.testing.assert_allclose(
        smooth_labels(np.eye(4)[[2]], 0.2, "cross_entropy"), [[0.05, 0.05, 0.85, 0.05]], rtol=1e-15
    )
    np.testing.assert_allclose(smooth_labels(np.array([[0.0, 1.0]]), 0.2, "binary_cross_entropy"), [[0.1, 0.9]])


@pytest.mark.parametrize(("loss", "y"), [("cross_entropy", CODES), ("binary_cross_entropy", CODES > 0)])
def test_the_training_loss_is_the_smoothed_one(loss, y, backend):
    """Before the first step, which is of all rows; that of validation is not."""
    s, options = 0.25, {"loss": loss, "batch_size": 50, "num_epochs": 1, "lr": 1e-300, "validation_data": (X, y)}
    plain = fit(y, backend=backend, **options)
    p = plain.predict_proba(X)
    K = p.shape[1]
    wanted = -np.mean(np.sum(((1 - s) * np.eye(K)[y.astype(int)] + s / K) * np.log(p), axis=1))
    assert abs(wanted - plain.history.loss[0]) > 1e-3
    for epoch_loss in ("running", "full"):
        model = fit(y, backend=backend, label_smoothing=s, epoch_loss=epoch_loss, **options)
        assert model.history.loss[0] == pytest.approx(wanted, rel=1e-9)
        assert model.history.val_loss == plain.history.val_loss
        assert model.history.val_loss[0] == pytest.approx(plain.history.loss[0], rel=1e-9)


def test_held_out_labels_are_not_smoothed(backend):
    model = fit(CODES > 0, loss="binary_cross_entropy", validation_split=0.3, label_smoothing=0.5, backend=backend)
    assert 0 < model.history.val_accuracy[-1] <= 1


def test_smoothing_needs_labels():
    with pytest.raises(ValueError, match=r"label_smoothing must be 0 for loss=.mean_squared_error., got 0\.1"):
        fit(X[:, 0], label_smoothing=0.1)
    with pytest.raises(ValueError, match="label_smoothing must be a finite number at least 0 and below 1, got 1"):
        fit(label_smoothing=1)


# ---- clipping by the norm

CLIPPED = [
    Case(optimizer="adam", hidden=(130, 17), k=37, d=30, n=150, batch=70),
    Case(
        "float32", "float32", optimizer="momentum", hidden=(250, 100), k=37, d=70, n=210, batch=100, lr=1.0
    ),  # kept by unit
    Case(
        "float32",
        "uint8",
        "sparse",
        hidden=(130, 64),
        k=10,
        d=70,
        n=210,
        batch=100,
        normalize="zscore",
        decay=0.02,
        lr=1.0,
    ),
    Case("float64", "float64", "csr", "tanh", "mean_squared_error", "nesterov", hidden=(20, 9), d=40, decay=0.02),
    Case("float32", "uint8", "csr", hidden=(), k=130, d=70, normalize="unit"),
    Case("float64", "uint8", "sparse", optimizer="rmsprop", hidden=(8, 3), d=400),  # divided by feature
    Case("float64", "float32", "dense", hidden=(), k=5, d=400, optimizer="adamw", decay=0.1),
    Case(batch=1, n=9, weighted=True),  # with batches of no weight, whose gradient is 0
]


@pytest.mark.parametrize("most", [0.02, 0.3, 1e6])
@pytest.mark.parametrize("case", CLIPPED, ids=str)
def test_clipped_gradients(case, most):
    check_bits(case._replace(clip=most))


@pytest.mark.parametrize("case", CLIPPED, ids=str)
def test_nothing_is_clipped_that_was_written_before(case):
    """Scratch memory may hold anything between two epochs."""
    problem, start, orders = make_problem(case._replace(clip=0.3, threads=2))
    clean, engine, losses = train(Engine(problem, start), orders), Engine(problem, start), []
    for order in orders:
        for array in engine._workspace.scratch():
            array.view(np.uint8)[...] = 0xFF
        losses.append(engine.run_epoch(order))
    same_bits((engine.params, np.array(losses)), clean)


def test_a_clipped_step_by_hand(backend):
    """One step of SGD is as long as the norm allows, and goes where the whole gradient points to."""
    options = {"num_epochs": 1, "batch_size": 50, "lr": 0.5, "backend": backend}
    start = fit(**options | {"lr": 1e-300}).params
    whole, clipped, short = (fit(**options, clip_norm=most).params - start for most in (None, 0.1, 1e-3))
    norm = np.linalg.norm(whole) / 0.5
    assert norm > 0.2
    for step, most in ((clipped, 0.1), (short, 1e-3)):
        np.testing.assert_allclose(step, whole * (most / norm), rtol=1e-9, atol=1e-15)
        assert np.linalg.norm(step) == pytest.approx(0.5 * most, rel=1e-9)
    above = fit(**options, clip_norm=1.001 * norm).params - start
    np.testing.assert_allclose(above, whole, rtol=1e-12, atol=1e-15)


def test_the_penalty_is_not_clipped(backend):
    options = {"num_epochs": 1, "batch_size": 50, "lr": 0.5, "backend": backend, "clip_norm": 0.1}
    start = fit(**options | {"lr": 1e-300})
    plain, decayed = fit(**options), fit(**options, weight_decay=0.2)
    for (W, b), (V, c), (U, _) in zip(plain.layers, decayed.layers, start.layers, strict=True):
        np.testing.assert_allclose(V, W - 0.5 * 0.2 * U, rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(c, b, rtol=1e-12)


def test_squares_that_the_type_cannot_hold(backend):
    """In float32, gradients of 1e25 are clipped like others; in float64, a norm beyond its largest is a divergence."""
    y, options = CODES > 0, {"hidden": (), "normalize": None, "num_epochs": 1, "batch_size": 50, "lr": 1.0}
    options |= {"backend": backend, "params": [(np.zeros((X.shape[1], 2)), np.zeros(2))]}
    model = fastmlp.train(1e25 * X, y, **SMALL | options | {"dtype": "float32", "clip_norm": 0.5})
    assert np.linalg.norm(model.params) == pytest.approx(0.5, rel=1e-5)
    with pytest.warns(RuntimeWarning, match="training diverged in epoch 1"):
        fastmlp.train(1e200 * X, y, **SMALL | options | {"clip_norm": 0.5})


def test_what_the_clipped_gradient_is_without_a_norm():
    np.testing.assert_array_equal(clip(np.zeros(3), 0.1), np.zeros(3))
    for bad in (np.nan, np.inf, -np.inf):
        assert np.all(np.isnan(clip(np.array([bad, 1.0, 0.0]), 0.1)))


@pytest.mark.parametrize("most", [0, -1.0, np.nan, np.inf])
def test_a_norm_to_clip_to_is_above_0(most):
    with pytest.raises(ValueError, match="clip_norm must be a finite number greater than 0, got "):
        fit(clip_norm=most)


def test_what_is_trained_is_compared(capsys):
    """By `compare`, by the gradients that are tracked, and from the command line."""
    options = {"label_smoothing": 0.2, "clip_norm": 0.3, "hidden": (5,), "dtype": "float64", "seed": 0}
    assert fastmlp.compare(X, CODES, steps=(1, 5), num_epochs=1, batch_size=16, **options).ok
    tracked = fit(**options, track_gradients=True)
    assert fit(**options).params.tobytes() == tracked.params.tobytes()
    del options["clip_norm"]  # what is tracked is not clipped
    first = fit(**options | {"num_epochs": 1, "batch_size": 50, "lr": 1.0, "optimizer": "sgd"}, track_gradients=True)
    step = fit(**options | {"num_epochs": 1, "batch_size": 50, "lr": 2.0, "optimizer": "sgd"}).params - first.params
    W = fastmlp.reference.parameters.layer_views(step, (X.shape[1], 5, 3))
    for magnitude, (dW, _) in zip(first.history.gradient_magnitude[0], W, strict=True):
        assert magnitude == pytest.approx(np.mean(np.abs(dW)), rel=1e-6)
