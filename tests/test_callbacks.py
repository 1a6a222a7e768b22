"""The callbacks of `fastmlp.callbacks`, and how one steers a training."""

import csv
import os

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from support.networks import as_they_are

import fastmlp
from fastmlp.callbacks import CosineDecay, CSVLog, EarlyStopping, ModelCheckpoint, ReduceOnPlateau, StepDecay, Training


def fit(X, y, *callbacks, **options):
    defaults = {"hidden": (6,), "num_epochs": 6, "batch_size": 16, "dtype": "float64", "seed": 5, "verbose": False}
    return fastmlp.train(X, y, callbacks=callbacks, **(as_they_are(X) | defaults | options))


def replace(name, values):
    """A callback that writes these values over a list of the history, epoch by epoch."""

    def callback(model, history):
        getattr(history, name)[-1] = values[len(history) - 1]

    return callback


def keep(models):
    return lambda model, history: models.append(model)


# --- early stopping


def test_early_stopping_returns_the_best_network(blobs, backend):
    models, losses = [], [3.0, 1.0, 2.0, 1.0, 2.0, 9.0]
    stop = EarlyStopping(patience=3)
    model = fit(*blobs, keep(models), replace("val_loss", losses), stop, validation_data=blobs, backend=backend)
    assert len(model.history) == 5  # 1.0 again is no improvement
    assert_array_equal(model.params, models[1].params)
    assert np.any(model.params != models[-1].params)


def test_early_stopping_may_return_the_last_network(blobs, backend):
    models = []
    callbacks = keep(models), replace("loss", [1.0, 2.0, 3.0]), EarlyStopping("loss", patience=1, restore_best=False)
    model = fit(*blobs, *callbacks, backend=backend)
    assert len(model.history) == 2
    assert_array_equal(model.params, models[-1].params)


def test_the_best_network_is_returned_when_nothing_stops_the_training(blobs):
    models = []
    accuracies = [0.1, 0.9, 0.3, 0.4, 0.5, 0.9]
    stop = EarlyStopping("val_accuracy", patience=10)
    callbacks = keep(models), replace("val_accuracy", accuracies), stop
    model = fit(*blobs, *callbacks, validation_data=blobs, backend="reference")
    assert len(model.history) == 6
    assert_array_equal(model.params, models[1].params)


def test_min_delta(blobs):
    values = [5.0, 4.5, 4.0, 3.5, 3.0, 2.5]
    model = fit(*blobs, replace("loss", values), EarlyStopping("loss", patience=2, min_delta=2), backend="reference")
    assert len(model.history) == 3


def test_a_callback_can_be_used_again(blobs):
    stop = EarlyStopping("loss", patience=2)
    for _ in range(2):
        model = fit(*blobs, replace("loss", [1.0, 2.0, 3.0, 4.0]), stop, backend="reference")
        assert len(model.history) == 3


def test_the_best_network_survives_divergence(blobs):
    callbacks = replace("loss", [0.0, 1.0]), EarlyStopping("loss", patience=5), SetRate(2, 1e300)
    with pytest.warns(RuntimeWarning, match="diverged in epoch 3; the network of epoch 1 is kept .* lr than 1e.300"):
        model = fit(*blobs, *callbacks, backend="reference")
    assert_array_equal(model.params, fit(*blobs, num_epochs=1, backend="reference").params)


class SetRate:
    """Set the learning rate after an epoch."""

    def __init__(self, epoch, lr):
        self.epoch, self.lr = epoch, lr

    def begin(self, training):
        self.training = training

    def __call__(self, model, history):
        if len(history) == self.epoch:
            self.training.lr = self.lr


def test_an_early_stop_is_told(blobs, capsys):
    fit(*blobs, replace("loss", [1.0, 2.0, 3.0]), EarlyStopping("loss", patience=2), verbose=True, backend="reference")
    assert capsys.readouterr().out.splitlines()[-1] == "stopped after epoch 3: the network of epoch 1 is kept"


# --- checkpoints and the log


def test_a_checkpoint_is_the_network_of_the_last_epoch(blobs, tmp_path):
    path = tmp_path / "network.npz"
    found = []
    model = fit(*blobs, ModelCheckpoint(path), lambda m, h: found.append(fastmlp.MLP.load(path)), backend="reference")
    assert len(found) == 6
    assert [len(network.history) for network in found] == [1, 2, 3, 4, 5, 6]
    assert_array_equal(found[-1].params, model.params)
    assert [file.name for file in tmp_path.iterdir()] == ["network.npz"]


def test_a_checkpoint_of_the_best(blobs, tmp_path):
    models, path = [], tmp_path / "best.npz"
    losses = [4.0, 2.0, 3.0, 1.0, 5.0, 6.0]
    fit(*blobs, keep(models), replace("loss", losses), ModelCheckpoint(path, "loss"), backend="reference")
    assert_array_equal(fastmlp.MLP.load(path).params, models[3].params)


def test_the_log_is_the_history(blobs, tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("old\n")
    lines = []
    history = fit(
        *blobs, CSVLog(path), lambda m, h: lines.append(len(path.read_text().splitlines())), StepDecay(2),
        validation_data=blobs, backend="reference",
    ).history  # fmt: skip
    assert lines == [2, 3, 4, 5, 6, 7]
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["epoch", "lr", "loss", "val_loss", "val_accuracy", "seconds"]
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3, 4, 5, 6]
    for name in ("lr", "loss", "val_loss", "val_accuracy", "seconds"):
        assert [float(row[name]) for row in rows] == getattr(history, name)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), PermissionError(13, "Permission denied")])
def test_a_checkpoint_that_cannot_be_written_costs_no_training(error, blobs, tmp_path, monkeypatch):
    path, save = tmp_path / "network.npz", Training.save

    def fail_twice(training, path):
        if len(training.history) in (1, 6):
            raise error
        save(training, path)

    monkeypatch.setattr(Training, "save", fail_twice)
    with pytest.warns(RuntimeWarning) as warned:
        model = fit(*blobs, ModelCheckpoint(path), backend="reference")
    assert [str(warning.message) for warning in warned] == [
        f"{path} could not be written after epoch {epoch}: {error.strerror}" for epoch in (1, 6)
    ]
    assert_array_equal(model.params, fit(*blobs, backend="reference").params)
    assert len(fastmlp.MLP.load(path).history) == 5


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_a_log_on_a_full_disk_costs_no_training(blobs):
    with pytest.warns(
        RuntimeWarning, match=r"^/dev/full could not be written after epoch \d: No space left on device$"
    ):
        model = fit(*blobs, CSVLog("/dev/full"), backend="reference")
    assert len(model.history) == 6


@pytest.mark.parametrize("failing", [1, 2, 3])
def test_the_log_is_whole_again_once_it_can_be_written(failing, blobs, tmp_path):
    path, broken = tmp_path / "log.csv", tmp_path / "a folder"
    broken.mkdir()
    log = CSVLog(path)

    def set_path(epoch, where):
        def callback(model, history):
            if len(history) == epoch:
                log.path = where

        return callback

    def write_half_a_line(model, history):
        if len(history) == failing:
            with open(path, "a") as file:
                file.write("3,0.")

    path.write_text("old\n")
    callbacks = [set_path(failing, broken), log, set_path(failing, path), write_half_a_line]
    with pytest.warns(RuntimeWarning, match=rf"a folder could not be written after epoch {failing}: Is a directory"):
        history = fit(*blobs, *callbacks, backend="reference").history
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3, 4, 5, 6]
    assert [float(row["loss"]) for row in rows] == history.loss


# --- learning rates


def test_step_decay(blobs, backend):
    assert_allclose(
        fit(*blobs, StepDecay(2, 0.5), lr=0.4, backend=backend).history.lr, [0.4, 0.4, 0.2, 0.2, 0.1, 0.1], rtol=1e-15
    )


def test_cosine_decay(blobs, backend):
    rates = fit(*blobs, CosineDecay(final=0.1), lr=0.5, num_epochs=4, backend=backend).history.lr
    assert_allclose(rates, [0.3 + 0.2 * np.cos(np.pi * epoch / 4) for epoch in range(4)], rtol=1e-12)


def test_reduce_on_plateau(blobs):
    losses = [5.0, 4.0, 4.0, 4.5, 3.0, 3.0, 3.5, 3.5, 3.5, 3.5]
    reduce = ReduceOnPlateau("loss", factor=0.5, patience=2, min_lr=0.06)
    rates = fit(*blobs, replace("loss", losses), reduce, lr=0.2, num_epochs=10, backend="reference").history.lr
    assert_allclose(rates, [0.2] * 4 + [0.1] * 3 + [0.06] * 3, rtol=1e-15)


def test_a_plateau_is_waited_for_again_after_each_reduction(blobs):
    losses = [5.0, *[6.0] * 9]
    reduce = ReduceOnPlateau("loss", factor=0.5, patience=3)
    rates = fit(*blobs, replace("loss", losses), reduce, lr=0.4, num_epochs=10, backend="reference").history.lr
    assert_allclose(rates, [0.4] * 4 + [0.2] * 3 + [0.1] * 3, rtol=1e-15)


def test_a_rate_below_min_lr_is_not_raised(blobs):
    reduce = ReduceOnPlateau("loss", factor=0.5, patience=1, min_lr=0.06)
    rates = fit(*blobs, replace("loss", [1.0] * 6), reduce, lr=0.05, backend="reference").history.lr
    assert rates == [0.05] * 6


@pytest.mark.parametrize("options", [{}, {"momentum": 0.9}, {"optimizer": "adam"}, {"weight_decay": 0.1}])
def test_a_new_rate_reaches_both_backends(options, blobs):
    models = [fit(*blobs, StepDecay(1, 0.5), lr=0.05, backend=backend, **options) for backend in ("reference", "jit")]
    constant = fit(*blobs, lr=0.05, **options)
    assert_allclose(models[1].params, models[0].params, rtol=1e-7, atol=1e-10)
    assert np.max(np.abs(constant.params - models[0].params)) > 1e-4


def test_a_rate_is_used_from_the_next_epoch_on(blobs, backend):
    X, y = blobs
    model = fit(X, y, SetRate(2, 0.0), num_epochs=5, backend=backend)
    assert model.history.lr == [0.1, 0.1, 0.0, 0.0, 0.0]
    assert_array_equal(model.params, fit(X, y, num_epochs=2, backend=backend).params)


def test_begin_may_set_the_first_rate(blobs):
    class Begin:
        def begin(self, training):
            training.lr /= 2

        def __call__(self, model, history):
            return None

    assert fit(*blobs, Begin(), num_epochs=1, backend="reference").history.lr == [0.05]


# --- what is refused


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: EarlyStopping("accuracy"),
            ValueError,
            r"^monitor must be one of 'loss', .*, got 'accuracy'; here it is 'val_accuracy'$",
        ),
        (lambda: EarlyStopping(patience=0), ValueError, r"^patience must be at least 1, got 0$"),
        (lambda: EarlyStopping(min_delta=-1), ValueError, r"^min_delta must be a finite number at least 0, got -1$"),
        (lambda: EarlyStopping(restore_best=1), TypeError, r"^restore_best must be True or False, got 1$"),
        (lambda: ModelCheckpoint("missing/a.npz"), ValueError, r"^path must be a file in an existing folder, got "),
        (lambda: ModelCheckpoint(3), TypeError, r"^path must be the path of a file, got 3$"),
        (lambda: ModelCheckpoint("."), ValueError, r"^path must be a file in an existing folder, got the folder \.$"),
        (lambda: CSVLog("/"), ValueError, r"^path must be a file in an existing folder, got the folder /$"),
        (lambda: CSVLog("missing/a.csv"), ValueError, r"^path must be a file in an existing folder, got "),
        (lambda: StepDecay(0), ValueError, r"^every must be at least 1, got 0$"),
        (lambda: StepDecay(2, 1.5), ValueError, r"^factor must be .*, got 1\.5$"),
        (lambda: CosineDecay(-0.1), ValueError, r"^final must be a finite number at least 0, got -0\.1$"),
        (lambda: ReduceOnPlateau(factor=0), ValueError, r"^factor must be .*, got 0$"),
        (lambda: Training(3, 0.1, ("loss",)).__setattr__("lr", -1), ValueError, r"^lr must be .*, got -1$"),
    ],
)
def test_unfit_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.skipif(os.access("/proc/1", os.W_OK), reason="a folder that nobody may write to is needed")
def test_a_folder_that_cannot_be_written_to_is_refused():
    with pytest.raises(ValueError, match=r"^path must be a file in a folder that can be written to, got /proc/1/a$"):
        CSVLog("/proc/1/a")


@pytest.mark.parametrize("callback", [EarlyStopping(), ReduceOnPlateau("val_accuracy")])
def test_what_is_not_recorded_cannot_be_monitored(callback, blobs):
    called = []
    with pytest.raises(
        ValueError, match=rf"^{type(callback).__name__} must monitor one of 'loss', which this training "
    ):
        fit(*blobs, lambda m, h: called.append(1), callback)
    assert not called


def test_a_regression_has_no_accuracy(blobs, tmp_path):
    X, _ = blobs
    with pytest.raises(ValueError, match=r"^ModelCheckpoint must monitor .* 'val_loss', which .*accuracy'$"):
        fit(X, X[:, 0], ModelCheckpoint(tmp_path / "a.npz", "val_accuracy"), validation_data=(X, X[:, 0]))
