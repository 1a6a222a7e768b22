"""The optimizers, activations and losses: the same ones everywhere, found where the reference lists them."""

import inspect

import pytest

from fastmlp import jit, reference
from fastmlp.engine import activations, losses, optimizers
from fastmlp.reference.activations import ACTIVATIONS
from fastmlp.reference.losses import LOSSES
from fastmlp.reference.optimizers import OPTIMIZERS


def test_the_engine_has_a_kernel_for_each():
    assert optimizers.STEPS.keys() == OPTIMIZERS.keys()
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
