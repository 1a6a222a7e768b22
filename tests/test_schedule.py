"""Schedules as data: what they hold for every network, and two of them word for word."""

import ast
import itertools
import os

import numpy as np
import pytest
from support.networks import CODES, fit
from support.processes import PACKAGE, TESTS, run_python

from fastmlp.engine.plan import make_plan
from fastmlp.engine.schedule import describe, make_schedule, stages_of
from fastmlp.engine.tables import HEAD, LAYER, OWN, READER, RUN, SHARED
from fastmlp.problem import Architecture

BENCH = TESTS.parent / "bench"
WIDTHS = [(784, 256, 128, 10), (784, 256, 10), (784, 10), (784, 8, 16, 10), (20, 64, 32, 16, 8, 3), (20, 3), (800, 5)]
EVERY = [
    make_plan(Architecture(widths, "relu", "cross_entropy"), form, "uint8", np.dtype(dtype), optimizer, batch)
    for widths, form, dtype, (optimizer, batch) in itertools.product(
        WIDTHS, ("sparse", "dense", "csr"), ("float32", "float64"), (("adam", 1), ("adam", 200), ("", 1))
    )
]


def plan_of(widths, form="dense", optimizer="sgd"):
    return make_plan(Architecture(widths, "tanh", "cross_entropy"), form, "float32", np.dtype("f4"), optimizer)


def steps(schedule, name, phase=None):
    """The layers on which stages of this name work, in order."""
    phases = schedule if phase is None else [schedule[phase]]
    return [step.layer for steps in phases for step in steps if step.stage.name == name]


@pytest.mark.parametrize("plan", [plan for plan in EVERY if plan.by_sample], ids=str)
def test_what_a_schedule_divided_by_sample_does(plan):
    schedule = make_schedule(plan)
    assert len(schedule) == 3  # gradients are written before the barrier, and read after it
    layers, last = list(range(plan.depth + 1)), plan.depth
    few = [last] if plan.has_few_outputs else []
    assert steps(schedule, "dense_product", 1) == [0]
    assert steps(schedule, "product", 1) + steps(schedule, "output_product", 1) == layers[1:]
    assert steps(schedule, "output_product", 1) == steps(schedule, "output_gradient", 1) == few
    assert steps(schedule, "activate", 1) == steps(schedule, "chain", 1)[::-1] == layers[:-1]
    assert steps(schedule, "loss_of_samples" if few else "loss", 1) == [last]
    assert steps(schedule, "output_gradient", 1) + steps(schedule, "gradient", 1) == layers[:0:-1]
    first = "transposed_gradient" if plan.transposed else "first_gradient"
    assert steps(schedule, first, 1) == [0]
    assert schedule[1][-len(schedule[0]) :] == schedule[0]  # the next batch is read
    assert schedule[2][0].stage.name == "total"
    assert steps(schedule, "transposed_shard_step", 2) == [0][: plan.transposed] + few
    assert sorted(steps(schedule, "transposed_shard_step", 2) + steps(schedule, "shard_step", 2)) == layers


@pytest.mark.parametrize("plan", [plan for plan in EVERY if not plan.by_sample], ids=str)
def test_what_every_other_schedule_does(plan):
    schedule = make_schedule(plan)
    assert len(schedule) == 4  # a barrier after each but the last
    layers = list(range(plan.depth + 1))
    assert [steps(schedule, f"{plan.form}_product", phase) for phase in range(4)] == [[], [0], [], []]
    # Every layer is entered once, and every hidden one activated once.
    entered = steps(schedule, f"{plan.form}_product") + steps(schedule, "spread") + steps(schedule, "product")
    assert sorted(entered) == layers
    assert sorted(steps(schedule, "activate")) == layers[:-1]
    # The batch that comes is read before the first one, and during each in the phase between its two others.
    reads = [steps(schedule, "locate_entries" if plan.form == "csr" else "locate_rows", phase) for phase in range(4)]
    assert reads == [[0], [], [0], []]
    sorts = bool(steps(schedule, "sort_entries", 0))
    assert sorts == (plan.form == "csr" and bool(plan.optimizer))
    assert schedule[2][-len(schedule[0][sorts:]) :] == schedule[0][sorts:]
    if not plan.optimizer:
        assert steps(schedule, "write_scores", 2) == [plan.depth]
        assert not schedule[3]
        assert not {"loss", "backward", "chain", "update", "update_biases", "mask_features"} & {
            stage.name for stage in stages_of(schedule)
        }
        return
    assert steps(schedule, "loss", 2) == [plan.depth]
    assert steps(schedule, "backward") == steps(schedule, "update", 3) == layers[:0:-1]
    assert steps(schedule, "chain") == [layer - 1 for layer in layers[:0:-1]]
    assert steps(schedule, "update_biases", 3) == layers[::-1]
    firsts = {"sparse_update", "csr_update", "dense_update", "transposed_update"}
    assert [step.layer for step in schedule[3] if step.stage.name in firsts] == [0]
    assert schedule[3][-1].stage.name in firsts


def test_what_crosses_between_threads_waits_at_a_barrier():
    by_unit, by_feature = make_schedule(plan_of((784, 256, 128, 10))), make_schedule(plan_of((784, 8, 16, 10)))
    assert (steps(by_unit, "spread", 1), steps(by_unit, "gather", 2)) == ([1], [1])
    assert (steps(by_feature, "spread"), steps(by_feature, "gather", 2)) == ([], [0])
    assert (steps(by_unit, "backward", 2), steps(by_unit, "backward", 3)) == ([2], [1])
    assert (steps(by_feature, "backward", 2), steps(by_feature, "backward", 3)) == ([2, 1], [])


@pytest.mark.parametrize("plan", [plan for plan in EVERY if not plan.by_sample and plan.optimizer], ids=str)
def test_a_replicated_schedule_has_one_barrier_and_the_same_steps(plan):
    schedule, replicated = make_schedule(plan), make_schedule(plan, replicated=True)
    assert replicated == [*schedule[:2], schedule[2] + schedule[3]]


def test_each_layer_has_the_stages_of_its_activation():
    names = ("gelu", "relu", "silu", "tanh")
    architecture = Architecture((20, 64, 64, 64, 64, 3), names, "cross_entropy")
    schedule = make_schedule(make_plan(architecture, "dense", "float32", np.dtype("f4"), "sgd"))
    assert steps(schedule, "keep_inputs") == [0, 2]
    for stage in ("activate", "chain"):
        found = {step.layer: step.stage.options[-1] for phase in schedule for step in phase if step.stage.name == stage}
        assert found == dict(enumerate(names))


def test_depth_compiles_nothing():
    three, nine = (stages_of(make_schedule(plan_of((20, *[64] * depth, 3)))) for depth in (3, 9))
    assert three == nine


PRINTED = """\
before the first batch:
    sort_entries-f32-f32, layer 1
    locate_entries, layer 1
phase 1:
    csr_product-f32-f32-{row}, layer 1
phase 2:
    loss-f32-{row}-cross_entropy, layer 1
    locate_entries, layer 1
phase 3:
    total, layer 1
    update_biases-f32-{row}-sgd, layer 1
    csr_update-f32-f32-{row}-sgd, layer 1"""


def test_a_printed_schedule():
    plan = plan_of((4, 3), "csr")
    assert describe(make_schedule(plan)) == PRINTED.format(row=plan.out)


@pytest.mark.parametrize("backend", ["jit", "reference"])
def test_a_training_prints_its_schedule_on_request(capsys, backend):
    fit(CODES, backend=backend, verbose=2)
    detailed = capsys.readouterr().out
    fit(CODES, backend=backend, verbose=True)
    assert ("phase 2:" in detailed) == (backend == "jit")
    assert "phase" not in capsys.readouterr().out
    with pytest.raises(TypeError, match="verbose must be True, False or 2, got 3"):
        fit(CODES, verbose=3)


@pytest.mark.parametrize("plan", [plan for plan in EVERY if plan.optimizer and not plan.by_sample], ids=str)
def test_a_clipped_gradient_is_whole_before_any_step(plan):
    clipped, layers = plan._replace(is_clipped=True), list(range(plan.depth + 1))
    plain, schedule = make_schedule(plan._replace(optimizer="keep_gradient")), make_schedule(clipped)
    assert schedule[:3] == plain[:3]
    assert schedule[3][: len(plain[3])] == plain[3]
    squares = steps(schedule, "gradient_squares", 3) + steps(schedule, "transposed_squares", 3)
    assert sorted(squares) == layers
    assert len(schedule[3]) == len(plain[3]) + len(layers)
    assert (len(schedule), steps(schedule, "clip", 4), schedule[4][0].stage.name) == (5, [0], "clip")
    assert sorted(steps(schedule, "clipped_step", 4) + steps(schedule, "transposed_step", 4)) == layers
    assert sorted(steps(schedule, "transpose_weights", 4)) == layers[1:]
    assert make_schedule(clipped, replicated=True) == [*schedule[:2], schedule[2] + schedule[3], schedule[4]]


def test_labels_are_smoothed_between_the_loss_and_the_way_back():
    schedule = make_schedule(plan_of((20, 9, 7, 3))._replace(is_smoothed=True))
    names = [step.stage.name for step in schedule[2]]
    assert names[names.index("loss") :][:3] == ["loss", "smooth", "backward"]
    assert steps(schedule, "smooth", 2) == [2]


@pytest.mark.parametrize("form", ["sparse", "dense", "csr"])
def test_squares_of_every_layer_are_told_of(form):
    """By updates that pass by all weights, where there are such, else by a pass of its own."""
    schedule = make_schedule(plan_of((800, 256, 10), form)._replace(is_penalized=True))
    assert sorted(steps(schedule, "penalty", 3) + steps(schedule, "csr_penalty", 3)) == [0, 1]
    assert steps(schedule, "csr_penalty") == [0] * (form == "csr")


# ---- tables

USES = ("learn", "predict", "sparse", "dense", "csr", "rows", "samples", "penalty", "dropout", "clip")
TWO = ("csr learn", "csr penalty")
"""Two uses at once."""


@pytest.mark.parametrize("fields", [LAYER, RUN])
def test_fields_are_numbers_or_arrays(fields):
    for name, field in fields.items():
        assert field.kind in ("int", "float", "number", "wide", "i64", "i32", "u16", "f64", "layer"), name
        assert field.only in ("", *USES, *TWO), name
        assert not (field.shape and field.later), name


def test_no_field_is_declared_twice():
    assert len(RUN) == len(SHARED) + len(READER) + len(HEAD) + len(OWN)


@pytest.mark.parametrize(("hidden", "sums"), [((20, 9), "layer 1: Z"), ((150, 9), "layer 2: Z")])
def test_only_sums_cross_between_replicated_threads(hidden, sums):
    """Of what one thread writes in a batch another one reads the sums of shards, and little else: counted in Python."""
    code = f"import crossings; print(crossings.count_crossings({hidden}, 17, 2))"
    crossed = ast.literal_eval(run_python(code, PYTHONPATH=os.pathsep.join(map(str, (PACKAGE.parent, BENCH)))))
    assert crossed.pop(sums) >= 17
    assert crossed.keys() <= {"arrived"}
    assert sum(crossed.values()) < 4
