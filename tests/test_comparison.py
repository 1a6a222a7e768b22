"""`fastmlp.compare`: that it reads off what each backend computes, sees a wrong one, and reports it all."""

import json
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy.sparse import csr_array

import fastmlp
from fastmlp import comparison, reference
from fastmlp.backends import make_trainer
from fastmlp.descent import batch_gradients
from fastmlp.options import read_options
from fastmlp.preparation import prepare
from fastmlp.reference.parameters import flatten, layer_views

FEW = {"hidden": (60, 40), "batch_size": 32, "steps": (1, 5), "num_epochs": 2, "seed": 3}


@pytest.fixture(scope="module")
def digits(mnist):
    return mnist[0][:200], mnist[1][:200]


@pytest.fixture
def _wrong(monkeypatch):
    """Let the compiled backend train with another learning rate than it was told, the long steps excepted."""

    def make(problem, params, backend):
        rule = problem.optimizer
        if backend == "jit" and rule.lr < 1:
            problem = replace(problem, optimizer=rule._replace(lr=1.01 * rule.lr))
        return make_trainer(problem, params, backend)

    monkeypatch.setattr(comparison, "make_trainer", make)


def problem_of(X, y, **options):
    hyperparameters = read_options({"hidden": (60, 40), "lr": 0.1, "batch_size": 64, "seed": 0} | options)
    return prepare(X, y, hyperparameters, sample_weight=options.get("sample_weight"))


@pytest.mark.parametrize(("dtype", "near"), [("float32", 1e-5), ("float64", 1e-13)])
def test_the_backends_agree(digits, dtype, near):
    report = fastmlp.compare(*digits, dtype=dtype, **FEW)
    assert report.ok
    found = report.differences
    kinds = ("activations", "gradients", "parameters")
    assert {(d.steps, d.what, d.layer) for d in found} == {(s, w, i) for s in (1, 5) for w in kinds for i in (1, 2, 3)}
    assert len(found) == 18
    assert max(d.relative for d in found) < near
    # Differences are rounding errors, and there are some: the two sides are different code.
    assert all(d.relative > 0 for d in found if d.what == "gradients")
    assert report.loss_gap < near


def test_the_loss_curves_are_those_of_a_training(digits):
    report = fastmlp.compare(*digits, **FEW)
    for backend, losses in report.losses.items():
        model = fastmlp.train(
            *digits, hidden=(60, 40), batch_size=32, num_epochs=2, seed=3, backend=backend, verbose=False
        )
        assert model.history.loss == losses
    assert set(report.losses) == set(report.seconds) == {"jit", "reference"}
    assert all(len(seconds) == 2 and min(seconds) > 0 for seconds in report.seconds.values())


@pytest.mark.parametrize("backend", ["jit", "reference"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_long_step_shows_the_gradient(digits, backend, optimizer):
    X, y = digits
    weights = np.random.default_rng(0).random(200)
    problem, _, start, *_ = problem_of(X, y, optimizer=optimizer, weight_decay=0.5, sample_weight=weights)
    rows = np.arange(40)
    _, wanted = batch_gradients(problem, start, rows, reference)
    found = comparison._gradients(backend, comparison._select(problem, rows), start.astype(np.float32))
    for (dW, db), (wanted_dW, wanted_db) in zip(layer_views(found, (784, 60, 40, 10)), wanted, strict=True):
        np.testing.assert_allclose(dW, wanted_dW, atol=1e-5 * np.max(np.abs(wanted_dW)))
        np.testing.assert_allclose(db, wanted_db, atol=1e-5 * np.max(np.abs(wanted_db)))


@pytest.mark.parametrize("activation", ["relu", "tanh", ("silu", "relu")], ids=str)
def test_activations_of_the_compiled_path_are_read_off_its_stages(digits, monkeypatch, activation):
    problem, _, start, *_ = problem_of(*digits, activation=activation)
    probe, params = comparison._select(problem, np.arange(40)), start.astype(np.float32)
    wanted = comparison._activations(make_trainer(problem, start, "reference"), probe, params)
    monkeypatch.setattr(comparison, "forward", None)
    found = comparison._activations(make_trainer(problem, start, "jit"), probe, params)
    assert [A.shape for A in found] == [(40, 60), (40, 40), (40, 10)]
    for A, B in zip(found, wanted, strict=True):
        np.testing.assert_allclose(A, B, atol=1e-5)
        assert np.ptp(B) > 0.1


@pytest.mark.usefixtures("_wrong")
def test_a_wrong_backend_is_seen(digits):
    report = fastmlp.compare(*digits, **FEW)
    assert not report.ok
    wrong = {d.what for d in report.differences if d.relative > report.tolerance}
    assert wrong == {"activations", "gradients", "parameters"}
    assert "marked ! where beyond the tolerance of 1e-04" in str(report)


def test_one_difference_beyond_the_tolerance_is_not_ok(digits):
    report = fastmlp.compare(*digits, **FEW)
    assert report.ok
    for place in (0, 7, len(report.differences) - 1):
        for relative in (1.5 * report.tolerance, np.nan):
            differences = list(report.differences)
            differences[place] = differences[place]._replace(relative=relative)
            assert not replace(report, differences=differences).ok
            assert str(replace(report, differences=differences)).count("!") == 2  # the number, and what the mark means


@pytest.mark.parametrize("bad", [0, 1, 2])
def test_a_nan_anywhere_is_the_difference(bad):
    pairs = [(np.array([1.0, 2.0]), np.array([1.0, 2.0])) for _ in range(3)]
    assert comparison._difference(pairs) == (0, 0)
    pairs[bad][0][1] = np.nan
    absolute, relative = comparison._difference(pairs)
    assert np.isnan(absolute)
    assert np.isnan(relative)


def test_the_difference_from_zeros_is_not_zero():
    pairs = [(np.array([0.0, -0.25]), np.zeros(2)), (np.array([2.0]), np.array([4.0]))]
    assert comparison._difference(pairs) == (2.0, 0.5)
    assert comparison._difference(pairs[:1]) == (0.25, 0.25)
    assert comparison._difference([(np.zeros(2), np.zeros(2))]) == (0, 0)


def test_what_is_compared_is_a_batch_that_neither_was_trained_on(digits, monkeypatch):
    X, y = digits
    probes, look = [], comparison._look

    def see(backend, trainer, probe):
        probes.append(probe)
        return look(backend, trainer, probe)

    monkeypatch.setattr(comparison, "_look", see)
    fastmlp.compare(X, y, **FEW)
    orders = problem_of(X, y, batch_size=32, seed=3).orders
    order = orders.next()
    assert len(probes) == 4  # two backends after 1 and after 5 batches
    for probe in probes:
        np.testing.assert_array_equal(probe.X, X[order[5 * 32 : 6 * 32]])
        np.testing.assert_array_equal(probe.codes, y[order[5 * 32 : 6 * 32]])


def test_losses_that_drift_apart_are_not_ok(digits):
    report = fastmlp.compare(*digits, **FEW)
    losses = {"jit": [1.03, 0.5], "reference": [1.0, 0.5]}
    apart = replace(report, losses=losses)
    assert apart.loss_gap == pytest.approx(0.03)
    assert not apart.ok
    assert "BEYOND the tolerance of 1e-02" in str(apart)
    assert not replace(report, losses={"jit": [np.nan], "reference": [1.0]}).ok


def test_a_training_that_diverges_is_not_ok(digits):
    assert not fastmlp.compare(*digits, lr=1e30, **FEW).ok


def test_csr_weights_and_a_network_without_hidden_layers(digits):
    X, y = digits
    report = fastmlp.compare(
        csr_array(X),
        y,
        hidden=(),
        sample_weight=np.arange(200),
        normalize="unit",
        steps=[7, 2, 7],
        num_epochs=1,
        seed=0,
    )
    assert report.ok
    assert "CSR" in report.path
    assert [(d.steps, d.what, d.layer) for d in report.differences] == [
        (s, what, 1) for what in ("activations", "gradients", "parameters") for s in (2, 7)
    ]


def test_a_batch_larger_than_the_data(digits):
    report = fastmlp.compare(*digits, hidden=(60, 40), batch_size=1000, steps=[3], num_epochs=1, seed=0)
    assert report.ok


def test_nothing_that_was_passed_is_modified(digits):
    X, y = digits[0].copy(), digits[1].copy()
    params = [(W.copy(), b.copy()) for W, b in layer_views(problem_of(X, y).start, (784, 60, 40, 10))]
    before = flatten(params)
    fastmlp.compare(X, y, params=params, **FEW)
    np.testing.assert_array_equal(X, digits[0])
    np.testing.assert_array_equal(y, digits[1])
    np.testing.assert_array_equal(flatten(params), before)


def test_what_it_prints_and_returns(digits):
    report = fastmlp.compare(*digits, **FEW)
    lines = str(report).splitlines()
    assert lines[0] == "784-60-40-10, relu, cross_entropy in float32 on 200 samples"
    assert lines[1].startswith("compiled path, ")
    assert lines[4].split() == ["after", "1", "step", "after", "5", "steps"]
    assert [line[:21].split() for line in lines[5:14:3]] == [[w, "layer", "1"] for w in comparison.WHAT]
    numbers = [float(text) for text in lines[5].split()[3:]]
    first = [(d.absolute, d.relative) for d in report.differences if (d.what, d.layer) == ("activations", 1)]
    assert numbers == pytest.approx([value for pair in first for value in pair], rel=0.1)
    assert f"jit is {report.speedup:.1f} times as fast" in lines[-1]

    kept = json.loads(json.dumps(report.to_dict()))
    assert kept["ok"] is True
    assert kept["differences"][0] == report.differences[0]._asdict()
    assert kept["losses"] == report.losses
    assert kept["speedup"] == report.speedup


def test_the_speedup_is_the_ratio_of_medians(digits):
    report = fastmlp.compare(*digits, **FEW)
    assert replace(report, seconds={"jit": [1, 9, 2], "reference": [3, 8, 99]}).speedup == 4


def test_the_figure(digits):
    report = fastmlp.compare(*digits, **FEW)
    display = report.plot()
    assert len(display.figure_.axes) == len(display.axes_) == 3
    differences, losses, _ = display.axes_
    worst = [max(d.relative for d in report.differences if (d.what, d.steps) == ("gradients", s)) for s in (1, 5)]
    assert list(differences.lines[1].get_ydata()) == worst
    assert list(losses.lines[0].get_ydata()) == report.losses["jit"]
    _, given = plt.subplots(3)
    assert report.plot(given).figure_ is given[0].figure
    plt.close("all")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": "10"}, r"steps must be a list of integers such as \(1, 10, 100\), got '10'"),
        ({"steps": 10}, r"steps must be a list of integers such as \(1, 10, 100\), got 10"),
        ({"steps": ()}, r"steps must name at least one number of batches, got none"),
        ({"steps": (1, 0)}, r"steps\[1\] must be at least 1, got 0"),
        ({"steps": (1.5,)}, r"steps\[0\] must be an integer, got 1\.5"),
        ({"num_epochs": 0}, r"num_epochs must be at least 1, got 0"),
        ({"lr": -1}, r"lr must be a finite number greater than 0, got -1"),
        ({"optimizer": "lbfgs"}, r"optimizer must be one of 'sgd', 'adam', 'adamw', 'rmsprop', got 'lbfgs'"),
    ],
)
def test_bad_arguments(digits, options, message):
    with pytest.raises((ValueError, TypeError), match=f"^{message}$"):
        fastmlp.compare(*digits, **FEW | options)


def test_every_batch_is_trained_on_once(digits, monkeypatch):
    """Between two counts both go on from where they were."""
    trained = []

    def make(problem, params, backend):
        trainer = make_trainer(problem, params, backend)
        if backend == "reference" and problem.optimizer.lr < 1 and not trained:
            run_epoch = trainer.run_epoch
            trainer.run_epoch = lambda order: trained.append(order.tolist()) or run_epoch(order)
            trained.append("begun")
        return trainer

    monkeypatch.setattr(comparison, "make_trainer", make)
    fastmlp.compare(*digits, **FEW | {"steps": (1, 2, 4)})
    batches = trained[1:5]
    assert len(trained) == 5
    assert len({row for batch in batches for row in batch}) == 4 * 32
