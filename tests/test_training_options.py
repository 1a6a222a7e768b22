"""Label smoothing, clipping, schedules, averages: formulas by hand, and the compiled path against the reference."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_array
from support.engine_cases import TOLERANCE, Case, check, make_problem, same_bits, step_ahead, train
from support.networks import CODES, X

import fastmlp
from fastmlp.callbacks import ModelCheckpoint, StepDecay
from fastmlp.cli.options import training_options
from fastmlp.cli.parser import make_parser
from fastmlp.engine import workspace
from fastmlp.engine.trainer import Engine
from fastmlp.problem import Schedule
from fastmlp.reference.losses import smooth_labels
from fastmlp.reference.optimizers import clip
from fastmlp.reference.schedules import SCHEDULES

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
        "float32", "float32", optimizer="momentum", hidden=(250, 100), k=37, d=100, n=210, batch=100, lr=1.0
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


# ---- schedules of the learning rate

SCHEDULED = [
    Case(hidden=(130, 17), k=37, d=30, n=150, batch=70, schedule=("linear", 6, 2)),
    Case("float32", "uint8", "csr", optimizer="adam", k=5, d=70, normalize="unit", schedule=("cosine", 16, 3)),
    Case("float64", "float64", "csr", hidden=(20, 9), d=40, schedule=("one_cycle", 16, 4)),  # of lazy steps
    Case("float32", "float32", optimizer="adamw", decay=0.1, schedule=("constant", 16, 5)),
]


@pytest.mark.parametrize("case", SCHEDULED, ids=str)
def test_scheduled_rates(case):
    check_bits(case)


@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
def test_scheduled_rates_of_steps_ahead(monkeypatch, optimizer):
    monkeypatch.setattr(workspace, "divide_calls", step_ahead)
    check_bits(SCHEDULED[2]._replace(optimizer=optimizer, decay=0.02))


def test_schedules_by_hand():
    def factors(name, N, w):
        return [Schedule(name, N, w)(s) for s in range(N)]

    assert factors("constant", 5, 2) == [0.5, 1, 1, 1, 1]
    assert factors("linear", 6, 2) == [0.5, 1, 1, 0.75, 0.5, 0.25]
    np.testing.assert_allclose(factors("cosine", 4, 0), [1, 0.5 + 0.125**0.5, 0.5, 0.5 - 0.125**0.5])
    np.testing.assert_allclose(factors("cosine", 5, 1), [1, *factors("cosine", 4, 0)])
    # As torch.optim.lr_scheduler.OneCycleLR(max_lr=1, total_steps=9, pct_start=1/3) has it.
    np.testing.assert_allclose(
        factors("one_cycle", 9, 3),
        [0.04, 0.52, 1, 0.933013, 0.750001, 0.500002, 0.250003, 0.066991, 4e-6],
        rtol=1e-5,
    )
    for name in SCHEDULES:  # a warm-up as long as the training, and steps beyond the last
        assert all(0 <= factor <= 1 for N in (1, 2, 5) for w in range(N + 1) for factor in factors(name, N, w))
        assert Schedule(name, 5, 2)(50) == Schedule(name, 5, 2)(5)


def test_a_scheduled_training_by_hand(backend):
    """SGD's steps are those of trainings of one step each, at the rates of the formula; 50 rows are 4 batches."""
    options = {"shuffle": False, "backend": backend, "num_epochs": 2, "lr": 0.4}
    model = fit(lr_schedule="linear", warmup_epochs=0.5, **options)
    rates = [0.2, 0.4, *(0.4 * (1 - i / 6) for i in range(6))]
    np.testing.assert_allclose(model.history.lr, [rates[3], rates[7]], rtol=1e-12)
    layers = fit(**options | {"num_epochs": 1, "lr": 1e-300}).layers
    for step, rate in enumerate(rates):
        rows = slice(16 * (step % 4), 16 * (step % 4 + 1))
        _, gradients = fastmlp.reference.loss_and_gradients(X[rows], np.eye(3)[CODES[rows]], layers)
        layers = [(W - rate * dW, b - rate * db) for (W, b), (dW, db) in zip(layers, gradients, strict=True)]
    for (W, b), (V, c) in zip(layers, model.layers, strict=True):
        np.testing.assert_allclose(W, V, rtol=1e-9)
        np.testing.assert_allclose(b, c, rtol=1e-9, atol=1e-15)


def test_callbacks_set_what_a_schedule_multiplies(backend, tmp_path):
    options = {"lr_schedule": "cosine", "backend": backend, "lr": 0.4, "num_epochs": 4}
    whole = fit(callbacks=[StepDecay(2, 0.5), ModelCheckpoint(tmp_path / "whole")], **options)
    wanted = [rate * Schedule("cosine", 16, 0)(4 * i + 3) for i, rate in enumerate((0.4, 0.4, 0.2, 0.2))]
    assert whole.history.lr == wanted

    def stop(model, history):
        return len(history) == 3

    fit(callbacks=[StepDecay(2, 0.5), ModelCheckpoint(tmp_path / "part"), stop], **options)
    again = fit(callbacks=[StepDecay(2, 0.5)], resume=tmp_path / "part", **options)
    assert (again.history.lr, again.params.tobytes()) == (wanted, whole.params.tobytes())


def test_a_schedule_ends_where_it_was_planned(tmp_path):
    path = tmp_path / "checkpoint"
    fit(callbacks=[ModelCheckpoint(path)], lr_schedule="cosine")
    with pytest.raises(ValueError, match="num_epochs was 3, got 4"):
        fit(resume=path, lr_schedule="cosine", num_epochs=4)
    with pytest.raises(ValueError, match="lr_schedule was cosine, got linear"):
        fit(resume=path, lr_schedule="linear")


def test_unfit_schedules_are_refused():
    with pytest.raises(ValueError, match="warmup_epochs must be below num_epochs=3, got 3"):
        fit(warmup_epochs=3)
    with pytest.raises(ValueError, match=r"lr_schedule must be one of .*, got 'OneCycleLR'; here it is 'one_cycle'"):
        fit(lr_schedule="OneCycleLR")


def test_a_cycle_goes_up_in_three_tenths_of_the_training(backend):
    rates = fit(lr_schedule="one_cycle", num_epochs=10, lr=0.4, backend=backend).history.lr
    assert (np.argmax(rates), rates[2]) == (2, 0.4)
    assert rates[-1] == pytest.approx(0.4 / 25e4)


# ---- running averages

AVERAGED = [
    Case(hidden=(130, 17), k=37, d=30, n=150, batch=70, average=0.7),
    Case("float32", "float32", optimizer="adam", hidden=(250, 100), k=37, d=100, n=210, batch=100, average=0.7),
    Case("float32", "uint8", "sparse", hidden=(130, 64), k=10, d=70, n=210, batch=100, normalize="zscore", average=0.7),
    Case("float64", "uint8", "sparse", hidden=(9, 3), d=9, normalize="unit", average=0.7),  # of lazy steps
    Case("float64", "float64", "csr", "tanh", "mean_squared_error", "nesterov", hidden=(20, 9), d=40, average=0.7),
    Case("float32", "uint8", "csr", hidden=(), k=130, d=70, normalize="unit", average=0.7),  # of lazy steps
    Case("float64", "uint8", "sparse", optimizer="rmsprop", hidden=(8, 3), d=400, average=0.7),  # divided by feature
    Case("float64", "float32", "dense", hidden=(), k=5, d=400, optimizer="adamw", decay=0.1, average=0.7),
    Case(optimizer="momentum", hidden=(9, 4), average=0.7, clip=0.3, smoothing=0.1, schedule=("cosine", 16, 3)),
    Case("float64", "float64", "csr", optimizer="adam", hidden=(9, 4), average=0.7, clip=0.3),
]


def without_averages(case):
    """What the optimizer has come to, and the losses; these don't know the averages."""
    problem, start, orders = make_problem(case)
    engine = Engine(problem, start)
    losses = [engine.run_epoch(order) for order in orders]
    return engine.params, np.array(losses)


@pytest.mark.parametrize("case", AVERAGED, ids=str)
def test_averaged_parameters(case):
    check_bits(case)
    stepped, plain = without_averages(case), without_averages(case._replace(average=None))
    for mine, wanted in zip(stepped, plain, strict=True):
        np.testing.assert_allclose(mine, wanted, rtol=TOLERANCE[case.dtype], atol=TOLERANCE[case.dtype])


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_averages_of_steps_ahead(monkeypatch, optimizer):
    case = AVERAGED[4]._replace(optimizer=optimizer, d=301, n=331, batch=20)
    X = csr_array(
        np.random.default_rng(4).standard_normal((331, 301)) * (np.arange(331 * 301) % 53 == 0).reshape(331, -1)
    )
    problem, start, orders = make_problem(case, X)
    params, losses = train(Engine(problem, start), orders)
    check(case, params, losses, X)
    for batches in (1, 5, 64):
        monkeypatch.setattr(workspace, "divide_calls", lambda *given, n=batches: step_ahead(*given, n))
        for threads in (1, 2, 3):
            mine = train(Engine(replace(problem, num_threads=threads), start), orders)[0]
            same_bits((mine,), (params,))


def test_the_average_by_hand(backend):
    """That of what trainings of one, two, three steps end with, from the initial parameters on."""
    options = {"batch_size": 50, "shuffle": False, "momentum": 0.9, "backend": backend}
    average = start = fit(**options | {"num_epochs": 1, "lr": 1e-300}).params
    for steps in (1, 2, 3):
        params = fit(**options, num_epochs=steps).params
        average = 0.8 * average + 0.2 * params
    model = fit(**options, num_epochs=3, ema_decay=0.8, validation_data=(X, CODES))
    np.testing.assert_allclose(model.params, average, rtol=1e-9, atol=1e-12)
    assert np.max(np.abs(model.params - params)) > 1e-3 < np.max(np.abs(model.params - start))
    assert model.history.val_loss[-1] == pytest.approx(model.loss(X, CODES), rel=1e-12)
    plain = fit(**options, num_epochs=3)
    assert model.history.loss == plain.history.loss


def test_a_checkpoint_has_the_average_and_what_steps_go_on_from(backend, tmp_path):
    path = tmp_path / "checkpoint.npz"
    model = fit(backend=backend, ema_decay=0.9, callbacks=[ModelCheckpoint(path)])
    np.testing.assert_array_equal(fastmlp.MLP.load(path).params, model.params)
    with np.load(path) as file:
        arrays = dict(file)
    np.testing.assert_array_equal(arrays["stepped"], fit(backend=backend).params)
    arrays["stepped"][0] = np.inf
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match="its stepping parameters are not finite"):
        fit(backend=backend, ema_decay=0.9, resume=path)


@pytest.mark.parametrize("decay", [0, 1, -0.5, np.nan])
def test_a_decay_is_between_0_and_1(decay):
    with pytest.raises(ValueError, match="ema_decay must be a finite number greater than 0 and below 1, got "):
        fit(ema_decay=decay)


# ---- decoupled decay


@pytest.mark.parametrize("decay", [0.0, 0.01])
def test_adamw_is_that_of_pytorch(decay, backend):
    """Step by step as its documentation has it, at rates of a schedule; biases don't decay."""
    options = {"optimizer": "adamw", "batch_size": 50, "shuffle": False, "lr": 0.1, "num_epochs": 4, "backend": backend}
    layers = fit(**options | {"num_epochs": 1, "lr": 1e-300}).layers
    params = [array.copy() for layer in layers for array in layer]
    means, squares = [[np.zeros_like(array) for array in params] for _ in range(2)]
    for t in range(1, 5):
        lr = 0.1 * Schedule("linear", 4, 0)(t - 1)
        pairs = list(zip(params[::2], params[1::2], strict=True))
        _, gradients = fastmlp.reference.loss_and_gradients(X, np.eye(3)[CODES], pairs)
        for i, g in enumerate(array for layer in gradients for array in layer):
            params[i] = params[i] * (1 - lr * decay * (i % 2 == 0))
            means[i] = 0.9 * means[i] + 0.1 * g
            squares[i] = 0.999 * squares[i] + 0.001 * g**2
            params[i] -= lr * (means[i] / (1 - 0.9**t)) / (np.sqrt(squares[i] / (1 - 0.999**t)) + 1e-8)
    model = fit(**options, lr_schedule="linear", weight_decay=decay)
    np.testing.assert_allclose(model.params, np.concatenate([array.ravel() for array in params]), rtol=1e-7, atol=1e-9)


# ---- on the command line, and together


def test_what_is_chosen_on_the_command_line():
    arguments = ["--lr-schedule", "one_cycle", "--warmup-epochs", "1.5", "--clip-norm", "1"]
    arguments += ["--ema-decay", "0.999", "--label-smoothing", "0.1"]
    options = training_options(make_parser().parse_args(["train", *arguments]))
    wanted = {"lr_schedule": "one_cycle", "warmup_epochs": 1.5, "clip_norm": 1.0, "label_smoothing": 0.1}
    wanted["ema_decay"] = 0.999
    assert wanted.items() <= options.items()
    assert not {"warmup_epochs", "clip_norm"} & set(training_options(make_parser().parse_args(["train"])))


def test_what_is_trained_is_compared():
    """By `compare`, and by the gradients that are tracked."""
    options = {
        "label_smoothing": 0.2,
        "clip_norm": 0.3,
        "ema_decay": 0.9,
        "lr_schedule": "cosine",
        "hidden": (5,),
        "dtype": "float64",
        "seed": 0,
    }
    assert fastmlp.compare(X, CODES, steps=(1, 5), num_epochs=1, batch_size=16, **options).ok
    tracked = fit(**options, track_gradients=True)
    assert fit(**options).params.tobytes() == tracked.params.tobytes()
    for name in ("clip_norm", "ema_decay", "lr_schedule"):  # the gradients that are tracked know none of them
        del options[name]
    first = fit(**options | {"num_epochs": 1, "batch_size": 50, "lr": 1.0, "optimizer": "sgd"}, track_gradients=True)
    step = fit(**options | {"num_epochs": 1, "batch_size": 50, "lr": 2.0, "optimizer": "sgd"}).params - first.params
    W = fastmlp.reference.parameters.layer_views(step, (X.shape[1], 5, 3))
    for magnitude, (dW, _) in zip(first.history.gradient_magnitude[0], W, strict=True):
        assert magnitude == pytest.approx(np.mean(np.abs(dW)), rel=1e-6)
