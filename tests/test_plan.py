"""Panels: how weights are packed, how wide a panel is, how many threads a batch is worth."""

import os
from itertools import pairwise

import numpy as np
import pytest
from support.processes import run_python

from fastmlp.engine import runner
from fastmlp.engine.packing import pack_biases, pack_weights, unpack_weights
from fastmlp.engine.plan import (
    MANY_FEATURES,
    is_divided_by_feature,
    is_wide,
    make_plan,
    panel_widths,
    plan_layers,
    registers,
    rows_of_panels,
    shards_of_features,
    shards_of_units,
    sparse_below,
)
from fastmlp.engine.processor import TARGET, usable_cores
from fastmlp.engine.runner import default_threads
from fastmlp.problem import Architecture

NETWORKS = [(784, 256, 128, 10), (1, 1), (5, 3), (70, 130), (17, 3, 1, 130, 2), (64, 64, 64), (2, 1000, 2), (3, 33, 5)]
FORMS = ("dense", "sparse", "csr")
F4 = np.dtype("f4")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ["f32", "f64"])
@pytest.mark.parametrize("widths", NETWORKS)
def test_panels_are_some_registers_wide(widths, kind, form):
    row, out = panel_widths(widths, kind, form)
    register, most = registers(kind)
    assert register % 4 == 0
    for width in (row, out):
        assert width in [n * register for n in (1, 2, 4) if n <= most]
    assert out >= min(widths[-1], most * register)
    if len(widths) == 2:
        assert row == out
    assert is_wide(most * register, kind)
    assert not is_wide(register, kind)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ["f32", "f64"])
def test_narrow_layers_have_narrow_panels(kind, form):
    register, most = registers(kind)
    assert panel_widths((50, 2 * register, 2), kind, "dense") == (register, register)
    assert panel_widths((50, 4 * register, register + 1), kind, form)[1] == 2 * register
    assert panel_widths((50, 40 * register, 40 * register), kind, form) == (most * register, most * register)


@pytest.mark.parametrize("row", [8, 32])
@pytest.mark.parametrize("out", [8, 16])
@pytest.mark.parametrize("widths", NETWORKS)
def test_weights_and_biases_come_back_from_their_panels(widths, row, out):
    plans = plan_layers(widths, row, out)
    assert len(plans) == len(widths) - 1
    for i, (plan, (m, p)) in enumerate(zip(plans, pairwise(widths), strict=True)):
        W, b = np.arange(1.0, m * p + 1).reshape(m, p), np.arange(1.0, p + 1)
        packed, biases = pack_weights(W, plan), pack_biases(b, plan)
        lanes_of_layer = out if i == len(plans) - 1 else row
        assert packed.shape == (plan.panels, plan.in_rows, lanes_of_layer)
        assert biases.shape == (plan.panels, lanes_of_layer)
        np.testing.assert_array_equal(unpack_weights(packed, plan), W)
        np.testing.assert_array_equal(biases.ravel()[:p], b)
        # Each number stands in its place once, and all others are 0.
        assert packed[(p - 1) // lanes_of_layer, m - 1, (p - 1) % lanes_of_layer] == W[-1, -1]
        assert np.sum(packed) == np.sum(W)
        assert np.sum(biases) == np.sum(b)


@pytest.mark.parametrize("widths", NETWORKS)
def test_the_rows_of_a_layer_fill_the_panels_below(widths):
    for below, plan in pairwise(plan_layers(widths, 16, 32)):
        assert (plan.in_units, plan.in_row, plan.in_panels) == (below.units, below.row, below.panels)
        assert plan.in_rows == below.panels * below.row


@pytest.mark.parametrize(("first", "second"), [("relu", "gelu"), ("gelu", "relu"), ("relu", "relu"), ("silu", "gelu")])
def test_each_layer_is_planned_by_its_own_activation(first, second):
    architecture = Architecture((200, 256, 128, 10), (first, second), "cross_entropy")
    plan = make_plan(architecture, "dense", "float32", np.dtype("f4"), "sgd", batch=64)
    assert plan.transposed == (first == "relu")
    assert [plan.keeps_inputs(layer) for layer in range(3)] == [first != "relu", second != "relu", False]
    predicting = plan._replace(optimizer="")
    assert not any(predicting.keeps_inputs(layer) for layer in range(3))


@pytest.mark.parametrize("compress", [False, True])
def test_the_wider_a_layer_the_denser_the_features_that_it_lists(compress, monkeypatch):
    monkeypatch.setattr("fastmlp.engine.plan.TARGET", TARGET._replace(compress=compress))
    limits = [sparse_below(width, "f32") for width in (1, 32, 48, 64, 128, 4096)]
    assert limits == sorted(limits)
    assert limits[0] == limits[1] < limits[2]
    assert limits[-1] == (0.55 if compress else 0.4)
    assert sparse_below(20, "f64") == sparse_below(40, "f32")


def test_a_tiny_network_runs_on_one_thread():
    assert default_threads((4, 32, 16, 4), 32, 60_000, 1.0, 4, 8) == 1
    assert default_threads((1, 1), 1, 60_000, 0.0, 0, 8) == 1


@pytest.mark.parametrize("cores", [1, 2, 16, 64])
def test_a_large_network_uses_every_core(cores, monkeypatch):
    monkeypatch.setattr(runner, "usable_cores", lambda: cores)
    assert default_threads((784, 2048, 2048, 10), 512, 60_000, 1.0, 784, 16) == cores


def test_cores_are_those_that_the_process_may_use():
    assert usable_cores() == int(run_python("from fastmlp.engine.processor import usable_cores; print(usable_cores())"))
    for limit in ("1", "2,1", "-1", ""):
        code = "from fastmlp.engine.processor import usable_cores; print(usable_cores())"
        assert int(run_python(code, OMP_NUM_THREADS=limit)) == (1 if limit == "1" else usable_cores())
    if hasattr(os, "sched_setaffinity"):
        code = """
import os

from fastmlp.engine.processor import usable_cores

os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
print(usable_cores())
"""
        assert run_python(code) == "1"


@pytest.mark.parametrize(
    ("units", "panels", "shards"),
    [(30, 1, 1), (130, 3, 3), (256, 4, 4), (256, 16, 4), (511, 8, 7), (512, 8, 8), (1024, 16, 8), (2048, 32, 16),
     (2048, 128, 16), (8192, 128, 64), (60_000, 1000, 64)],
)  # fmt: skip
def test_shards_depend_on_the_units_alone(units, panels, shards):
    assert shards_of_units(units, panels) == shards


@pytest.mark.parametrize(
    ("features", "portions", "shards"),
    [(384, 6, 4), (400, 3, 3), (784, 13, 4), (1600, 25, 6), (16_384, 256, 64), (60_000, 4000, 64)],
)
def test_shards_depend_on_the_features_alone(features, portions, shards):
    assert shards_of_features(features, portions) == shards


def test_threads_grow_with_the_batch_the_density_and_the_features_read(monkeypatch):
    monkeypatch.setattr(runner, "usable_cores", lambda: 8)
    widths, most = (784, 256, 128, 10), 8
    assert default_threads(widths, 1, 60_000, 1.0, 784, most) < default_threads(widths, 8, 60_000, 1.0, 784, most)
    assert default_threads(widths, 8, 60_000, 0.0, 784, most) < default_threads(widths, 8, 60_000, 1.0, 784, most)
    read_little, read_much = (default_threads((784, 10), 64, 60_000, 0.01, read, most) for read in (8, 784))
    assert read_little < read_much
    assert default_threads(widths, 64, 64, 1.0, 784, most) < default_threads(widths, 64, 6_400, 1.0, 784, most)


def test_the_first_layer_bounds_the_threads_where_it_is_most_of_the_work(monkeypatch):
    monkeypatch.setattr(runner, "usable_cores", lambda: 8)
    assert default_threads((784, 256, 128, 10), 512, 60_000, 1.0, 784, 2) == 2
    assert default_threads((784, 256, 128, 10), 512, 60_000, 1.0, 784, 8) == 8
    assert default_threads((784, 30, 10), 512, 60_000, 1.0, 784, 1) == 1
    assert default_threads((784, 30, 2000, 10), 512, 60_000, 1.0, 784, 1) == 8


@pytest.mark.parametrize("kind", ["f32", "f64"])
def test_narrow_layers_on_many_features_are_divided_by_feature(kind):
    register, most = registers(kind)
    widest = most * register
    for form in ("dense", "sparse"):
        assert is_divided_by_feature((MANY_FEATURES, widest, 10), kind, form)
        assert is_divided_by_feature((5000, 3), kind, form)
        assert not is_divided_by_feature((MANY_FEATURES - 1, widest, 10), kind, form)
    assert not is_divided_by_feature((5000, widest + 1, 10), kind, "dense")
    assert is_divided_by_feature((5000, 2 * widest, 10), kind, "sparse")
    assert not is_divided_by_feature((5000, 2 * widest + 1, 10), kind, "sparse")
    assert not is_divided_by_feature((5000, 1, 10), kind, "csr")
    # Every thread works on all units, so that one pair of panels is enough for both.
    assert panel_widths((5000, 2 * register, 10), kind, "sparse")[0] == register


def test_weights_of_few_features_are_not_kept_by_unit():
    few, many = (
        make_plan(Architecture((d, 512, 512, 10), "relu", "cross_entropy"), "dense", "float32", F4, "sgd", batch=64)
        for d in (1, 500)
    )
    assert (few.transposed, many.transposed) == (False, True)


@pytest.mark.parametrize(
    ("widths", "form", "batch", "expected"),
    [
        ((30, 128, 128, 1), "dense", 256, True),
        ((30, 128, 128, 1), "dense", 64, False),  # its gradients would cross for few samples
        ((30, 128, 128, 1), "sparse", 256, False),
        ((4, 16, 3), "dense", 47, False),
        ((4, 3), "dense", 256, False),
        ((784, 256, 128, 10), "dense", 4096, False),  # its weights don't fit beside their gradients
    ],
)
def test_small_networks_are_divided_by_sample(widths, form, batch, expected):
    architecture = Architecture(widths, "relu", "cross_entropy")
    plan = make_plan(architecture, form, "float32", F4, "adam", batch)
    assert plan.by_sample == expected
    assert not plan.by_sample or not (plan.by_feature or plan.by_unit)
    for changed in ({"is_clipped": True}, {"is_smoothed": True}):
        assert not make_plan(architecture, form, "float32", F4, "adam", batch, **changed).by_sample
    assert not make_plan(architecture, form, "float32", F4, batch=batch).by_sample


def test_whole_layers_have_wide_panels_where_they_pad_little():
    row = rows_of_panels("f32")[0]
    assert panel_widths((50, row, 3), "f32", "dense", by_sample=True)[0] == row
    assert panel_widths((50, row // 2, 3), "f32", "dense", by_sample=True)[0] < row
