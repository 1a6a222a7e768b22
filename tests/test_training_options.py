"""Label smoothing: formulas by hand, and the compiled path against the reference."""

from dataclasses import replace

import numpy as np
import pytest
from support.engine_cases import Case, check, make_problem, same_bits, train
from support.networks import CODES, X

import fastmlp
from fastmlp.engine.trainer import Engine
from fastmlp.reference.losses import smooth_labels

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


def test_what_is_trained_is_compared(capsys):
    """By `compare`, by the gradients that are tracked, and from the command line."""
    options = {"label_smoothing": 0.2, "hidden": (5,), "dtype": "float64", "seed": 0}
    assert fastmlp.compare(X, CODES, steps=(1, 5), num_epochs=1, batch_size=16, **options).ok
    tracked = fit(**options, track_gradients=True)
    assert fit(**options).params.tobytes() == tracked.params.tobytes()
    first = fit(**options | {"num_epochs": 1, "batch_size": 50, "lr": 1.0, "optimizer": "sgd"}, track_gradients=True)
    step = fit(**options | {"num_epochs": 1, "batch_size": 50, "lr": 2.0, "optimizer": "sgd"}).params - first.params
    W = fastmlp.reference.parameters.layer_views(step, (X.shape[1], 5, 3))
    for magnitude, (dW, _) in zip(first.history.gradient_magnitude[0], W, strict=True):
        assert magnitude == pytest.approx(np.mean(np.abs(dW)), rel=1e-6)
