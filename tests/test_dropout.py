"""Dropout: its bits and their distribution, both paths on the same masks, and what users pass and get."""

import itertools
import pickle
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array
from support import kernel_twins as twins
from support.aligned_arrays import aligned
from support.engine_cases import Case, compare, make_problem, same_bits, train
from support.kernel_calls import call, pointer
from support.networks import CODES, X
from support.tolerances import assert_close

import fastmlp
from fastmlp import cli
from fastmlp.descent import Descent, batch_gradients, masks_of
from fastmlp.engine import activations, dropout
from fastmlp.engine.objective import Objective
from fastmlp.engine.plan import make_plan
from fastmlp.engine.prebuilt import every_stage
from fastmlp.engine.schedule import make_schedule, stages_of
from fastmlp.engine.simd import lanes
from fastmlp.engine.simd.compiler import COMPILED
from fastmlp.engine.tables import S
from fastmlp.engine.trainer import Engine
from fastmlp.problem import Architecture
from fastmlp.reference.activations import ACTIVATIONS
from fastmlp.reference.dropout import WHOLE, WORD, dropout_masks, keep_parts, keep_words, layer_rates, philox
from fastmlp.reference.optimizers import OPTIMIZERS

compiled = pytest.mark.skipif(not COMPILED, reason="compares compiled code with its twins")
ints, eights = pointer("i64"), pointer("i64", 8)
PARTS = (1, 2, 3, 1 << 15, 52429, 58982, WHOLE - 1)
"""Probabilities of one digit, of all 16, and between."""

# ---- the bits

KNOWN = {
    "zeros": ((0,) * 4, (0, 0), "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    "ones": ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    "digits of pi": (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        "d16cfe09 94fdcceb 5001e420 24126ea1",
    ),
}
"""A counter, a key and the four numbers that the authors' own code has for them."""


@pytest.mark.parametrize(("counter", "key", "wanted"), KNOWN.values(), ids=KNOWN)
def test_philox_is_that_of_its_authors(counter, key, wanted):
    numbers = philox([np.array([number], np.uint64) for number in counter], key)
    assert " ".join(f"{int(number[0]):08x}" for number in numbers) == wanted


def run_philox(counter, k0, k1, out):
    out[0], out[1], out[2], out[3] = dropout.philox(counter[0], counter[1], counter[2], counter[3], k0, k1)


@compiled
@pytest.mark.parametrize(("_", "key", "wanted"), KNOWN.values(), ids=KNOWN)
def test_philox_in_lanes(_, key, wanted):
    counters = aligned((4, 8), np.int64)
    counters[...] = np.random.default_rng(0).integers(0, 1 << 32, (4, 8))
    counters[:, :3] = np.array([counter for counter, _, _ in KNOWN.values()]).T
    out = aligned((4, 8), np.int64)
    call(run_philox, (eights, counters), *key, (eights, out))
    assert_array_equal(out, philox([row.astype(np.uint64) for row in counters], key))
    assert wanted in [" ".join(f"{number:08x}" for number in lane) for lane in out.T[:3].tolist()]


def run_keep_units(count, place, word, layer, step, key0, key1, parts, kept):
    dropout.keep_units(count, place, word, layer, step, key0, key1, parts, kept)


@compiled
@pytest.mark.parametrize("parts", PARTS)
def test_kept_units_are_the_reference(parts):
    for count, place, (word, layer, step), seed in itertools.product(
        (1, 8, 9, 63, 64), (0, 8, 200), ((0, 0, 0), (3, 2, 5), (1, 7, (1 << 32) + 9)), (0, 0xFEDCBA9876543210)
    ):
        kept = aligned(S, np.int64, 99)
        call(run_keep_units, count, place, word, layer, step, seed & 0xFFFFFFFF, seed >> 32, parts, (ints, kept))
        wanted = keep_words(place + count, WORD * (word + 1), parts, seed, step, layer)[place:, word]
        assert_array_equal(kept[:count], wanted.view(np.int64))
        assert np.all(kept[count + -count % 8 :] == 99)


def test_a_probability_has_sixteen_digits():
    assert [keep_parts(rate) for rate in (0.0, 0.5, 0.2, 1 - 2**-16, 0.9999999, 1e-9)] == [
        WHOLE, WHOLE // 2, 52429, 1, 1, WHOLE,
    ]  # fmt: skip
    assert layer_rates(0.0, 2) == layer_rates((0.0, 0.0), 2) == layer_rates(0.5, 0) == ()
    assert layer_rates(0.5, 2) == (0.5, 0.5)


def bits(rate, step=0, layer=0, seed=5, n=600, width=192):
    masks = dropout_masks(n, [width] * (layer + 1), [rate] * (layer + 1), seed, step)
    return masks[layer] > 0


@pytest.mark.parametrize("rate", [0.5, 0.25, 0.2, 0.9, 0.01])
def test_units_are_kept_as_often_as_they_should(rate):
    kept = bits(rate)
    q = keep_parts(rate) / WHOLE
    assert abs(q - (1 - rate)) <= 2**-17
    deviation = np.sqrt(q * (1 - q))
    assert abs(np.mean(kept) - q) < 4 * deviation / np.sqrt(kept.size)
    for axis in (0, 1):  # each unit, each sample
        errors = (np.mean(kept, axis=axis) - q) / (deviation / np.sqrt(kept.shape[axis]))
        assert np.max(np.abs(errors)) < 6
        assert 0.8 < np.std(errors) < 1.2
    (mask,) = dropout_masks(600, [192], [rate], 5, 0)
    assert_array_equal(np.unique(mask), [0, 1 / q])


def correlation(a, b):
    return np.corrcoef(a.ravel(), b.ravel())[0, 1] * np.sqrt(a.size)


@pytest.mark.parametrize("rate", [0.5, 0.2])
def test_bits_do_not_depend_on_each_other(rate):
    """Neither those of two units, samples, words, layers, steps and seeds: in units of the deviation of chance."""
    kept = bits(rate)
    pairs = {f"units {i} apart": (kept[:, :-i], kept[:, i:]) for i in (1, 2, 16, 32, 64, 65, 128)}
    pairs |= {f"samples {i} apart": (kept[:-i], kept[i:]) for i in (1, 2, 7, 8, 64, 256)}
    pairs |= {f"steps {i} apart": (kept, bits(rate, step=i)) for i in (1, 2, 64, 1 << 20)}
    pairs |= {f"layers {i} apart": (kept, bits(rate, layer=i)) for i in (1, 2)}
    pairs |= {f"seeds {i} apart": (kept, bits(rate, seed=5 + i)) for i in (1, 1 << 32)}
    found = {name: abs(correlation(*pair)) for name, pair in pairs.items()}
    assert max(found.values()) < 4, found


def test_a_mask_is_the_same_beside_others():
    """In a larger batch, a wider layer, and whether other layers drop units."""
    whole = dropout_masks(100, [130, 70], [0.3, 0.4], 1, 7)
    assert_array_equal(dropout_masks(9, [65, 70], [0.3, 0.0], 1, 7)[0], whole[0][:9, :65])
    none, second = dropout_masks(100, [130, 70], [0.0, 0.4], 1, 7)
    assert none is None
    assert_array_equal(second, whole[1])
    assert dropout_masks(9, [3, 4], [], 1, 7) == [None, None]


# ---- the reference's passes


@pytest.mark.parametrize("functions", [fastmlp.reference, fastmlp.jit], ids=["reference", "jit"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradients_are_those_of_the_masked_loss(activation, functions):
    """By central differences along a direction, with some layers masked."""
    problem, start, _ = make_problem(Case(activation=activation, hidden=(7, 6, 5), n=9, dropout=(0.5, 0.0, 0.3)))
    masks, rows = masks_of(problem, 9, 3), np.arange(9)
    direction = np.random.default_rng(0).standard_normal(len(start)) * 1e-6

    def loss(params):
        return batch_gradients(problem, params, rows, functions, masks)[0]

    gradient = np.concatenate([part.ravel() for layer in batch_gradients(problem, start, rows, functions, masks)[1]
                               for part in layer])  # fmt: skip
    slope = (loss(start + direction) - loss(start - direction)) / 2
    assert slope != 0
    assert abs(slope - gradient @ direction) < 1e-5 * abs(slope)
    assert abs(loss(start) - batch_gradients(problem, start, rows, functions)[0]) > 1e-3


@pytest.mark.parametrize("function", ["forward", "backward", "loss_and_gradients"])
@pytest.mark.parametrize("functions", [fastmlp.reference, fastmlp.jit], ids=["reference", "jit"])
def test_masks_of_other_networks_are_refused(function, functions):
    params = [(np.ones((3, 4)), np.ones(4)), (np.ones((4, 2)), np.ones(2))]
    features, y, A = np.ones((5, 3)), np.eye(2)[[0, 1, 0, 1, 0]], [np.ones((5, 4)), np.full((5, 2), 0.5)]
    given = {"forward": (features, params), "backward": (features, A, y, params),
             "loss_and_gradients": (features, y, params)}[function]  # fmt: skip
    getattr(functions, function)(*given, masks=[np.ones((5, 4))])
    with pytest.raises(ValueError, match=r"masks must have one, or None, for each hidden layer \(1\), got 2"):
        getattr(functions, function)(*given, masks=[None, None])


def test_the_mean_over_masks_is_the_network_without():
    """Of a linear network: over many steps, outputs have the mean that predictions have."""
    rng = np.random.default_rng(2)
    params = [(rng.standard_normal((3, 40)), rng.standard_normal(40)), (rng.standard_normal((40, 2)), np.zeros(2))]
    features = rng.standard_normal((4, 3))

    def outputs(masks=None):
        return fastmlp.reference.forward(features, params, "identity", "mean_squared_error", masks)[-1]

    drawn = np.array([outputs(dropout_masks(4, [40], [0.3], 1, step)) for step in range(2000)])
    error = np.std(drawn, axis=0) / np.sqrt(len(drawn))
    assert np.max(np.abs(np.mean(drawn, axis=0) - outputs()) / error) < 4
    assert np.min(np.std(drawn, axis=0)) > 0.5


# ---- kernels


@compiled
@pytest.mark.parametrize("kind", ["f32", "f64"])
@pytest.mark.parametrize("registers", [1, 4])
def test_drop(kind, registers):
    R = registers * lanes(kind)
    row, dtype, rng = pointer(kind, R), {"f32": np.float32, "f64": np.float64}[kind], np.random.default_rng(3)
    for count, first in itertools.product((1, 7, 64), (0, WORD - R)):
        A, mask = aligned((S, R), dtype, rng.standard_normal((S, R))), rng.random((S, R)) < 0.7
        A[0, :2], mask[0, :2] = np.inf, True
        kept = aligned(S, np.int64, rng.integers(-(1 << 63), (1 << 63) - 1, S))
        found, words = aligned(A.shape, dtype, A), aligned(S, np.int64, twins.to_bits(mask))

        def body(count, kept, first, mask, A, scale):
            dropout.drop(count, kept, first, mask, A, scale)

        call(body, count, (ints, kept), first, (ints, words), (row, found), dtype(1.25))
        wanted = mask & twins.from_bits(kept, WORD)[:, first : first + R]
        assert_array_equal(twins.from_bits(words[:count], R), wanted[:count])
        assert_array_equal(words[count:], twins.to_bits(mask)[count:])
        assert_array_equal(found[:count], np.where(wanted, A * dtype(1.25), 0)[:count])
        assert_array_equal(found[count:], A[count:])


@compiled
@pytest.mark.parametrize("kind", ["f32", "f64"])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_chain_kept(kind, name):
    R = 4 * lanes(kind)
    row, dtype, rng = pointer(kind, R), {"f32": np.float32, "f64": np.float64}[kind], np.random.default_rng(4)
    slope, of_input = activations.ACTIVATIONS[name][2], ACTIVATIONS[name].of_input
    Z, D, mask = rng.standard_normal((S, R)), rng.standard_normal((S, R)), rng.random((S, R)) < 0.6
    at = aligned((S, R), dtype, Z if of_input else np.where(mask, 1.25 * ACTIVATIONS[name].function(Z), 0))
    words = aligned(S, np.int64, twins.to_bits(mask))

    def body(count, mask, A, D, unscale, scale):
        dropout.chain_kept(count, mask, A, D, slope, unscale, scale)

    for count in (1, 7, 64):
        found = aligned(D.shape, dtype, D)
        unscale = dtype(1 if of_input else 0.8)
        call(body, count, (ints, words), (row, at), (row, found), unscale, dtype(1.25))
        wanted = np.where(mask, 1.25 * twins.chain(at.astype(float) * float(unscale), D, name), 0)
        assert_close(found[:count], wanted[:count], dtype)
        assert_array_equal(found[count:], D.astype(dtype)[count:])


# ---- both paths

BASE = Case(hidden=(130, 70), k=10, d=65, n=201, batch=100, epochs=2, dropout=(0.5, 0.2))
"""The last batch has one row; a word of 64 units is several panels, or the whole of one."""
FORMS = [("dense", "float32"), ("sparse", "uint8"), ("csr", "float64")]
CASES = [
    # Each activation, optimizer, type and form, and rates in all places.
    BASE._replace(
        activation=activation, optimizer=tuple(OPTIMIZERS)[i % len(OPTIMIZERS)], dtype=("float64", "float32")[i % 2],
        data=FORMS[i % 3][0], raw=FORMS[i % 3][1], dropout=((0.5, 0.2), (0.5, 0.0), (0.0, 0.1), (0.3, 0.5))[i % 4],
        seed=i, threads=1 + i % 3, normalize="unit" if FORMS[i % 3][1] == "uint8" else None,
    )
    for i, activation in enumerate([*ACTIVATIONS, "relu", "tanh", "gelu", "sigmoid"])
] + [
    BASE._replace(hidden=(3,), k=3, dropout=(0.5,), batch=7),
    BASE._replace(hidden=(3, 8), d=400, k=3, activation=("tanh", "gelu"), threads=3),  # divided by feature
    BASE._replace(hidden=(64, 8, 65), k=3, data="csr", activation="elu", dropout=(0.2, 0.2, 0.2), optimizer="adam"),
    BASE._replace(n=331, batch=200, weighted=True, loss="huber", k=2, decay=0.02),
    BASE._replace(n=70, loss="log_loss", penalized=True, decay=0.1, optimizer="adam", threads=2),
    BASE._replace(n=1, batch=1, hidden=(1, 1), k=2),
    BASE._replace(dtype="float32", raw="float32", hidden=(256, 128), batch=64, activation="tanh"),  # kept by unit
    BASE._replace(dtype="float32", raw="float32", hidden=(256, 128), batch=64, dropout=(0.2, 0.0)),
    BASE._replace(dtype="float32", raw="float32", hidden=(256, 128), batch=64, threads=2, activation=("gelu", "elu")),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.activation} {case.optimizer} {case.dtype} {case}")
def test_the_engine_is_the_reference(case):
    engine = compare(case)
    drops = {stage.name for stage in stages_of(make_schedule(engine._workspace.plan))}
    assert {"drop_units", "chain_kept"} <= drops
    problem, start, orders = make_problem(case)
    without = train(Engine(replace(problem, dropout=()), start), orders)[0]
    other = train(Engine(replace(problem, mask_seed=7), start), orders)[0]
    assert case.n == 1 or np.max(np.abs(without - engine.params)) > 1e-3
    assert case.n == 1 or np.max(np.abs(other - engine.params)) > 1e-3


@pytest.mark.parametrize("case", CASES[3:24:2], ids=lambda case: f"{case.activation} {case}")
def test_any_number_of_threads_gives_the_same_bits(case):
    problem, start, orders = make_problem(case)
    one = train(Engine(replace(problem, num_threads=1), start), orders)
    for threads in (2, 3, 5):
        same_bits(train(Engine(replace(problem, num_threads=threads), start), orders), one)


@pytest.mark.parametrize("case", [CASES[0], CASES[-1], CASES[12]], ids=str)
def test_it_goes_on_from_a_state(case):
    """To the bit, in pieces of an epoch too; without the number of steps, other units are dropped."""
    problem, start, orders = make_problem(case)
    whole, other, wrong = (Engine(problem, start) for _ in range(3))
    descent = Descent(problem, start, fastmlp.reference)
    whole.run_epoch(orders[0])
    for begin in range(0, len(orders[0]), case.batch):
        other.run_epoch(orders[0][begin : begin + case.batch])
    assert whole.params.tobytes() == other.params.tobytes()
    state = whole.state
    assert whole.steps == state.steps == -(-case.n // case.batch)
    other.state, wrong.state, descent.state = state, state._replace(steps=0), state
    assert descent.steps == other.steps == state.steps
    same_bits(train(other, orders[1:]), train(whole, orders[1:]))
    assert np.any(train(wrong, orders[1:])[0] != whole.params)


@pytest.mark.parametrize("case", [CASES[0], CASES[-1]], ids=str)
def test_nothing_is_read_from_scratch_memory_before_it_is_written(case):
    problem, start, orders = make_problem(case)
    clean = train(Engine(problem, start), orders)
    for poison in (0x00, 0xFF):
        engine, losses = Engine(problem, start), []
        for order in orders:
            for array in engine._workspace.scratch():
                array.view(np.uint8)[...] = poison
            losses.append(engine.run_epoch(order))
        same_bits((engine.params, np.array(losses)), clean)


def test_the_loss_of_all_samples_drops_nothing():
    problem, start, _ = make_problem(BASE)
    (loss, gradient), wanted = Objective(problem)(start), Objective(replace(problem, dropout=()))(start)
    assert loss == wanted[0]
    assert_array_equal(gradient, wanted[1])


# ---- the plan


def plan_of(activation, rates, form="dense", hidden=(256, 128), optimizer="sgd"):
    architecture = Architecture((200, *hidden, 10), activation, "cross_entropy")
    return make_plan(architecture, form, "float32", np.dtype("f4"), optimizer, batch=64, rates=rates)


def test_weights_are_kept_by_unit_where_few_units_take_part():
    assert plan_of("relu", ()).transposed
    assert plan_of("tanh", (0.5, 0.0)).transposed
    assert plan_of("relu", (0.1, 0.0)).transposed
    assert not plan_of("tanh", ()).transposed
    assert not plan_of("tanh", (0.0, 0.5)).transposed
    assert not plan_of("gelu", (0.2, 0.5)).transposed
    assert not plan_of("tanh", (0.5, 0.5), "sparse").transposed


def test_only_layers_with_a_rate_have_the_stages():
    def layers(plan, name):
        return [step.layer for phase in make_schedule(plan) for step in phase if step.stage.name == name]

    plan = plan_of("tanh", (0.0, 0.5, 0.1), hidden=(256, 128, 64))
    assert layers(plan, "drop_units") == [1, 2]
    assert layers(plan, "chain_kept") == [2, 1]
    assert layers(plan, "chain") == [0]
    assert layers(plan, "activate") == [0, 1, 2]
    for plan in (plan_of("tanh", ()), plan_of("tanh", (1e-9, 0.0))):
        assert not layers(plan, "drop_units") + layers(plan, "chain_kept")


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("hidden", [(256, 128), (3, 8)])
def test_wheels_have_every_stage(activation, hidden):
    stages = set(stages_of(make_schedule(plan_of(activation, (0.5, 0.2), hidden=hidden))))
    assert stages <= EVERY


EVERY = set(every_stage())

# ---- what users pass and get

SMALL = {"hidden": (70, 5), "num_epochs": 3, "batch_size": 16, "seed": 3, "verbose": False, "dtype": "float64"}


def fit(*callbacks, y=CODES, features=X, **options):
    return fastmlp.train(features, y, callbacks=callbacks, **(SMALL | {"dropout": 0.5} | options))


@pytest.mark.parametrize("form", [np.asarray, csr_array])
@pytest.mark.parametrize("rates", [0.5, (0.2, 0.0), [0.0, 0.9]])
def test_both_backends_train_the_same(rates, form):
    ours, wanted, without = (
        fit(features=form(X), backend=backend, dropout=dropout)
        for backend, dropout in (("jit", rates), ("reference", rates), ("reference", 0.0))
    )
    assert_allclose(ours.params, wanted.params, rtol=1e-9, atol=1e-12)
    assert_allclose(ours.history.loss, wanted.history.loss, rtol=1e-9)
    assert np.max(np.abs(ours.params - without.params)) > 1e-2
    assert_array_equal(ours.predict_proba(X), ours.predict_proba(X))  # nothing is dropped


def test_the_losses_after_an_epoch_drop_nothing(backend):
    model = fit(backend=backend, epoch_loss="full", validation_data=(X, CODES))
    assert_allclose(model.history.loss, model.history.val_loss, rtol=1e-12)
    assert model.loss(X, CODES) == pytest.approx(model.history.loss[-1], rel=1e-12)


def test_seeds_fix_what_is_dropped():
    assert_array_equal(fit().params, fit().params)
    start = fit(num_epochs=1, lr=1e-300).layers
    one, other = (fit(params=start, shuffle=False, seed=seed).params for seed in (1, 2))
    assert np.max(np.abs(one - other)) > 1e-3
    assert np.any(fit(seed=None).params != fit(seed=None).params)


class Save:
    """Write a checkpoint of the first epoch."""

    def __init__(self, path):
        self.path = path

    def begin(self, training):
        self.training = training

    def __call__(self, model, history):
        if len(history) == 1:
            self.training.save(self.path)


@pytest.mark.parametrize("seed", [3, None])
def test_a_resumed_training_is_the_whole_one(seed, backend, tmp_path):
    path = tmp_path / "checkpoint.npz"
    whole = fit(Save(path), backend=backend, seed=seed)
    again = fit(backend=backend, seed=seed, resume=path)
    assert again.params.tobytes() == whole.params.tobytes()
    assert again.history.loss == whole.history.loss
    for rates in (0.0, 0.4, (0.5, 0.0)):
        with pytest.raises(ValueError, match=r"same training: dropout was \[0.5, 0.5\], got"):
            fit(backend=backend, seed=seed, resume=path, dropout=rates)


WRONG = {
    "one": (1.0, ValueError, "dropout must be a finite number at least 0 and below 1, got 1.0"),
    "negative": ((0.5, -0.1), ValueError, r"dropout\[1\] must be a finite number at least 0 and below 1, got -0.1"),
    "nan": (np.nan, ValueError, "dropout must be a finite number"),
    "few": ((0.5,), ValueError, r"dropout must be one rate, or one for each hidden layer \(2\), got 1"),
    "text": ("half", TypeError, "dropout must be a number, got 'half'"),
    "flag": (True, TypeError, "dropout must be a number, got True"),
    "none": (None, TypeError, "dropout must be a number, got None"),
}


@pytest.mark.parametrize(("rates", "error", "message"), WRONG.values(), ids=WRONG)
def test_wrong_rates(rates, error, message):
    for function in (fit, lambda dropout: fastmlp.compare(X, CODES, hidden=(70, 5), dropout=dropout),
                     lambda dropout: fastmlp.warmup(hidden=(70, 5), dropout=dropout)):  # fmt: skip
        with pytest.raises(error, match=message):
            function(dropout=rates)


def test_other_names_are_answered():
    with pytest.raises(TypeError, match="here it is dropout"):
        fastmlp.train(X, CODES, drop_rate=0.5)


def test_compare_drops_the_same_units():
    report = fastmlp.compare(X, CODES, dropout=(0.5, 0.2), hidden=(70, 5), steps=(1, 9), num_epochs=2, dtype="float64")
    assert report.ok


def test_watching_sees_the_masks_of_its_step(backend):
    """On the first batch of each epoch; with all of the first epoch watched, on those of that."""
    options = {"backend": backend, "lr": 1e-300, "shuffle": False}
    for mode in (True, "first_epoch"):
        watched = fit(track_gradients=mode, **options)
        assert_array_equal(watched.params, fit(**options).params)
        zeros = []
        for step in (0, 4, 8):  # four batches an epoch
            problem_seed = np.random.SeedSequence(3).spawn(4)[3].generate_state(1, np.uint64)[0]
            masks = dropout_masks(16, [70, 5], [0.5, 0.5], int(problem_seed), step)
            A = fastmlp.reference.forward(_normalised(watched), watched.layers, "relu", "cross_entropy", masks)
            zeros.append([np.mean(layer == 0) for layer in A[:-1]])
        found = watched.history.zero_activations
        assert_allclose(found if mode is True else found[1:], zeros if mode is True else zeros[1:], rtol=1e-12)


def _normalised(model):
    return model._inference.normalization.apply(X[:16], np.dtype("f8"))


# ---- estimators

ESTIMATORS = {"classes": (fastmlp.MLPClassifier, CODES), "numbers": (fastmlp.MLPRegressor, X[:, 0] - X[:, 1])}


@pytest.mark.parametrize("solver", ["sgd", "adam"])
@pytest.mark.parametrize(("kind", "y"), ESTIMATORS.values(), ids=ESTIMATORS)
@pytest.mark.filterwarnings("ignore:.*converged yet:sklearn.exceptions.ConvergenceWarning")
def test_estimators(kind, y, solver):
    options = {"solver": solver, "max_iter": 4, "random_state": 1, "batch_size": 20}
    ours, wanted, without = (
        kind(hidden_layer_sizes=(70, 5), dropout=rates, backend=backend, **options).fit(X, y)
        for rates, backend in (([0.5, 0.1], "jit"), ([0.5, 0.1], "reference"), (0.0, "jit"))
    )
    assert_allclose(ours.loss_curve_, wanted.loss_curve_, rtol=1e-9)
    assert_allclose(ours.coefs_[0], wanted.coefs_[0], rtol=1e-7, atol=1e-10)
    assert np.max(np.abs(ours.coefs_[0] - without.coefs_[0])) > 1e-3
    assert ours.score(X, y) == ours.score(X, y)


@pytest.mark.parametrize("how", ["jit", "reference", "pickled", "other rows"])
def test_partial_fit_goes_on_with_the_steps(how):
    backend = "reference" if how == "reference" else "jit"

    def begin():
        estimator = fastmlp.MLPClassifier((70,), dropout=0.5, random_state=0, batch_size=20, backend=backend)
        return estimator.partial_fit(X, CODES, classes=[0, 1, 2])

    ours, wanted = begin(), begin().partial_fit(X, CODES)
    if how == "pickled":
        ours = pickle.loads(pickle.dumps(ours))
    ours.partial_fit(X, CODES)
    assert ours._optimizer.learned.steps == 6
    assert_array_equal(ours.coefs_[0], wanted.coefs_[0])
    anew = begin()
    anew._optimizer.mask_seed += 1
    anew.partial_fit(X, CODES)
    assert np.any(anew.coefs_[0] != ours.coefs_[0])


@pytest.mark.filterwarnings("ignore:.*converged yet:sklearn.exceptions.ConvergenceWarning")
def test_each_warm_start_drops_other_units():
    estimator = fastmlp.MLPClassifier((70,), dropout=0.5, random_state=0, max_iter=1, warm_start=True)
    seeds = []
    for _ in range(3):
        estimator.fit(X, CODES)
        seeds.append(estimator._optimizer.mask_seed)
    assert len(set(seeds)) == 3
    again = fastmlp.MLPClassifier((70,), dropout=0.5, random_state=0, max_iter=1).fit(X, CODES)
    assert again._optimizer.mask_seed == seeds[0]


def test_estimators_refuse():
    with pytest.raises(ValueError, match=r"dropout must be 0 with solver='lbfgs', of which no step drops units, got"):
        fastmlp.MLPClassifier((3,), solver="lbfgs", dropout=(0.5,)).fit(X, CODES)
    fastmlp.MLPClassifier((3,), solver="lbfgs", dropout=0.0, tol=1).fit(X, CODES)
    with pytest.raises(ValueError, match=r"dropout must be one rate, or one for each hidden layer \(1\), got 2"):
        fastmlp.MLPClassifier((3,), dropout=(0.5, 0.2)).fit(X, CODES)
    for wrong in (1.0, -0.1, "half"):
        with pytest.raises(ValueError, match="The 'dropout' parameter of MLPClassifier must be"):
            fastmlp.MLPClassifier((3,), dropout=wrong).fit(X, CODES)


# ---- the command line


@pytest.mark.parametrize(("text", "rates"), [("0.3", 0.3), ("0.3,0.1", [0.3, 0.1]), ("0", 0.0)])
def test_the_command_line(text, rates, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train, seen = fastmlp.train, {}

    def record(features, y, **options):
        seen.update(options)
        return train(features, y, **options)

    monkeypatch.setattr(fastmlp, "train", record)
    assert cli.main(["train", "--samples", "300", "--hidden", "9,5", "--epochs", "1", "--dropout", text]) == 0
    assert seen["dropout"] == rates


def test_the_command_line_refuses(capsys):
    for wrong, message in (("half", "--dropout must be a rate"), ("0.5,0.5,0.5", "dropout must be one rate")):
        assert cli.main(["train", "--samples", "300", "--dropout", wrong]) != 0
        assert message in capsys.readouterr().err
