"""The optimizers, activations and losses: the same ones everywhere, found where the reference lists them."""

import inspect

import numpy as np
import pytest

import fastmlp
from fastmlp import cli, jit, reference
from fastmlp.engine import activations, losses, optimizers
from fastmlp.engine.plan import averaged
from fastmlp.reference.activations import ACTIVATIONS
from fastmlp.reference.losses import LOSSES
from fastmlp.reference.optimizers import OPTIMIZERS


def test_the_engine_has_a_kernel_for_each():
    assert optimizers.STEPS.keys() == {*OPTIMIZERS, *map(averaged, OPTIMIZERS), "add_gradient", "keep_gradient"}
    assert activations.ACTIVATIONS.keys() == ACTIVATIONS.keys()
    assert losses.HEADS.keys() == LOSSES.keys()


@pytest.mark.parametrize("functions", [reference, jit], ids=["reference", "jit"])
def test_both_function_sets_have_each(functions):
    for name, activation in ACTIVATIONS.items():
        assert activation.function is getattr(reference, name)
        assert callable(getattr(functions, name))
    for name, optimizer in OPTIMIZERS.items():
        assert optimizer.step is getattr(reference, name)
        assert set(optimizer.settings) <= inspect.signature(getattr(functions, name)).parameters.keys()


NEW = {"optimizer": ("adamw", "rmsprop"), "activation": ("leaky_relu", "elu", "silu", "gelu"), "loss": ("huber",)}


@pytest.mark.parametrize(("option", "choice"), [(option, choice) for option in NEW for choice in NEW[option]])
def test_a_user_finds_each(option, choice, blobs, tmp_path, capsys):
    X, y = blobs
    y = X[:, 0] * 3 + 7 if option == "loss" else y
    options = {option: choice, "hidden": (7, 5), "num_epochs": 3, "seed": 1, "dtype": "float64", "verbose": False}
    model, other = (fastmlp.train(X, y, backend=backend, **options) for backend in ("jit", "reference"))
    np.testing.assert_allclose(model.params, other.params, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(model.history.loss, other.history.loss, rtol=1e-9)
    assert model.history.loss[-1] < model.history.loss[0]
    model.save(tmp_path / "model.npz")
    np.testing.assert_array_equal(fastmlp.MLP.load(tmp_path / "model.npz").predict(X), model.predict(X))
    assert f'"{choice}"' in fastmlp.train.__doc__
    cli.main(["train", "--help"])
    assert choice in capsys.readouterr().out


def test_huber_in_the_units_of_y(blobs):
    """Half the squared error up to one standard deviation of the targets, column by column."""
    X, _ = blobs
    Y = np.column_stack([X[:, 0] * 100 + 5, X[:, 1] ** 3])
    model = fastmlp.train(X, Y, loss="huber", hidden=(5,), num_epochs=2, seed=0, verbose=False, dtype="float64")
    std = Y.std(axis=0)
    errors = (model.predict(X) - Y) / std
    inside = np.abs(errors) <= 1
    assert 0.1 < np.mean(inside) < 0.9
    wanted = np.mean(std**2 * np.where(inside, errors**2 / 2, np.abs(errors) - 0.5))
    assert model.loss(X, Y) == pytest.approx(wanted, rel=1e-9)
