"""That the comparison of the compiled path with the reference can fail: on results wrong in one way each."""

import numpy as np
import pytest
from support.engine_cases import TOLERANCE, Case, check, make_problem, train

from fastmlp import reference
from fastmlp.descent import Descent
from fastmlp.reference.parameters import layer_views

CASES = [
    Case(dtype, "float32", hidden=(5, 4), optimizer=optimizer, epochs=5)
    for dtype in ("float32", "float64")
    for optimizer in ("sgd", "adam")
]


def everything_nan(layers, losses, case):
    for W, b in layers:
        W[...], b[...] = np.nan, np.nan


def one_nan_weight(layers, losses, case):
    layers[-1][0][-1, -1] = np.nan


def one_nan_bias(layers, losses, case):
    layers[0][1][0] = np.nan


def one_infinite_weight(layers, losses, case):
    layers[1][0][0, 0] = np.inf


def one_wrong_bias(layers, losses, case):
    b = layers[1][1]
    b[np.argmin(np.abs(b))] += 50 * TOLERANCE[case.dtype] * np.max(np.abs(b))


def one_wrong_layer(layers, losses, case):
    layers[1][0][...] *= 1 + 50 * TOLERANCE[case.dtype]


def the_start(layers, losses, case):
    _, start, _ = make_problem(case)
    for layer, begun in zip(layers, layer_views(start, (case.d, *case.hidden, case.k)), strict=True):
        for mine, first in zip(layer, begun, strict=True):
            mine[...] = first


def one_nan_loss(layers, losses, case):
    losses[-1] = np.nan


def one_wrong_loss(layers, losses, case):
    losses[0] *= 1 + 5 * TOLERANCE[case.dtype]


FAULTS = (
    everything_nan, one_nan_weight, one_nan_bias, one_infinite_weight, one_wrong_bias, one_wrong_layer, the_start,
    one_nan_loss, one_wrong_loss,
)  # fmt: skip


def reference_result(case):
    problem, start, orders = make_problem(case)
    return train(Descent(problem, start, reference), orders)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.dtype} {case.optimizer}")
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_wrong_result_is_seen(case, fault):
    params, losses = reference_result(case)
    check(case, params, losses)
    fault(layer_views(params, (case.d, *case.hidden, case.k)), losses, case)
    with pytest.raises(AssertionError):
        check(case, params, losses)


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "nesterov", "adam"])
def test_a_rate_wrong_by_a_hundredth_is_seen(optimizer):
    for dtype in TOLERANCE:
        case = Case(dtype, "float32", optimizer=optimizer, lr=0.01)
        with pytest.raises(AssertionError, match="differ"):
            check(case, *reference_result(case._replace(lr=0.0101)))


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_a_result_of_the_other_type_is_seen(dtype):
    case = Case(dtype, "float32")
    params, losses = reference_result(case)
    with pytest.raises(AssertionError):
        check(case, params.astype({"float32": "float64", "float64": "float32"}[dtype]), losses)


def test_two_nan_are_no_agreement(monkeypatch):
    case = Case()
    monkeypatch.setattr(
        "support.engine_cases.train", lambda trainer, orders: (np.full_like(trainer.params, np.nan), [np.nan])
    )
    with pytest.raises(AssertionError):
        check(case, np.full_like(make_problem(case)[1], np.nan), [np.nan])
