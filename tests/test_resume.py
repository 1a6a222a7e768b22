"""Trainings that go on from a checkpoint: the same bits as uninterrupted ones, or a refusal."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy.sparse import csr_array
from support.networks import CODES, X
from support.traces import interrupted_by

import fastmlp
from fastmlp.callbacks import CosineDecay, CSVLog, EarlyStopping, ModelCheckpoint, ReduceOnPlateau, StepDecay
from fastmlp.reference.optimizers import OPTIMIZERS

EPOCHS = 6
SMALL = {"hidden": (5,), "num_epochs": EPOCHS, "batch_size": 16, "seed": 3, "verbose": False, "dtype": "float64"}
RULES = {
    "sgd": {},
    "momentum": {"momentum": 0.9},
    "nesterov": {"momentum": 0.9, "nesterov": True},
    "adam": {"optimizer": "adam"},
    "adamw": {"optimizer": "adamw"},
    "rmsprop": {"optimizer": "rmsprop"},
}


def fit(X, y, *callbacks, **options):
    return fastmlp.train(X, y, callbacks=callbacks, **(SMALL | options))


class Save:
    """Write a checkpoint of every epoch."""

    def __init__(self, folder):
        self.folder = folder

    def begin(self, training):
        self.training = training

    def __call__(self, model, history):
        self.training.save(self.folder / f"{len(history)}.npz")


class Interrupt:
    """Press Ctrl-C after an epoch."""

    def __init__(self, epoch):
        self.epoch = epoch

    def __call__(self, model, history):
        if len(history) == self.epoch:
            raise KeyboardInterrupt


def replace(name, values):
    """A callback that writes these values over a list of the history, epoch by epoch."""

    def callback(model, history):
        getattr(history, name)[-1] = values[len(history) - 1]

    return callback


def record(history):
    """All of a history that is the same each time."""
    return {name: values for name, values in history.to_dict().items() if not name.endswith("seconds")}


def same(model, whole):
    assert model.params.tobytes() == whole.params.tobytes()
    assert record(model.history) == record(whole.history)
    assert len(model.history.seconds) == len(whole.history)


def check_every_epoch(folder, X, y, make_callbacks=tuple, **options):
    """Train, and again from the checkpoint of each epoch on, and return the network."""
    whole = fit(X, y, *make_callbacks(), Save(folder), **options)
    for epoch in range(1, len(whole.history) + 1):
        same(fit(X, y, *make_callbacks(), resume=folder / f"{epoch}.npz", **options), whole)
    return whole


# --- the same bits


def test_every_optimizer_is_tried():
    assert set(RULES) == set(OPTIMIZERS)


@pytest.mark.parametrize("rule", RULES)
def test_a_resumed_training_is_the_whole_one(rule, backend, tmp_path):
    whole = check_every_epoch(tmp_path, X, CODES, backend=backend, weight_decay=0.01, **RULES[rule])
    fresh = fit(X, CODES, params=fastmlp.MLP.load(tmp_path / "3.npz").layers, backend=backend, **RULES[rule])
    assert np.any(fresh.params != whole.params)


WEIGHTS = np.random.default_rng(5).uniform(0, 2, 50)
KINDS = {
    "float32": (X, CODES, {"dtype": "float32", "optimizer": "adam"}),
    "weights": (X, CODES, {"sample_weight": WEIGHTS}),
    "held out": (X, CODES, {"sample_weight": WEIGHTS, "validation_split": 0.3}),
    "validation": (X, CODES, {"validation_data": (X[:20] + 0.1, CODES[:20])}),
    "no seed": (X, CODES, {"seed": None, "validation_split": 0.3}),
    "in order": (X, CODES, {"shuffle": False, "epoch_loss": "full"}),
    "watched": (X, CODES, {"track_gradients": "first_epoch"}),
    "text labels": (X, np.array(["ant", "bee", "élan"])[CODES], {}),
    "regression": (10 * X + 3, 5 * X[:, :2] + 7, {"momentum": 0.5, "validation_split": 0.2}),
    "sparse": (np.where(X > 0.5, X, 1.5), CODES, {"momentum": 0.9, "normalize": "zscore"}),
    "pixels": ((40 * np.maximum(X, 0)).astype("u1"), CODES, {"batch_size": 48, "weight_decay": 0.1}),
    "csr": (csr_array(np.where(X > 0.5, X, 0)), CODES, {"optimizer": "adam"}),
    "activations": (X, CODES, {"hidden": (5, 4), "activation": ("tanh", "relu")}),
    "linear": (X, CODES, {"hidden": ()}),
    "smoothed": (X, CODES > 0, {"loss": "binary_cross_entropy", "label_smoothing": 0.1, "validation_split": 0.2}),
    "linear rate": (X, CODES, {"lr_schedule": "linear", "warmup_epochs": 1.5, "track_gradients": True}),
    "one cycle": (X, CODES, {"lr_schedule": "one_cycle", "optimizer": "adam"}),
    "warm-up": (csr_array(X), CODES, {"warmup_epochs": 2, "momentum": 0.9}),
    "averaged": (X, CODES, {"optimizer": "adam", "ema_decay": 0.9, "validation_split": 0.2}),
    "averaged, watched": (X, CODES, {"momentum": 0.9, "ema_decay": 0.5, "track_gradients": True, "clip_norm": 0.5}),
    "clipped": (X, CODES, {"optimizer": "adam", "clip_norm": 0.5}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_all_that_a_training_can_have_goes_on(kind, backend, tmp_path):
    features, targets, options = KINDS[kind]
    check_every_epoch(tmp_path, features, targets, backend=backend, **options)


@pytest.mark.parametrize("epoch", range(1, EPOCHS + 1))
def test_interruptions_one_after_the_other(epoch, backend, tmp_path):
    """After each, the checkpoint has one or more epochs more."""
    path, options = tmp_path / "checkpoint.npz", {"momentum": 0.9, "backend": backend}
    resume = None
    for stop in range(epoch, EPOCHS, epoch):
        model = fit(X, CODES, ModelCheckpoint(path), Interrupt(stop), resume=resume, **options)
        assert len(model.history) == stop
        resume = path
    same(fit(X, CODES, ModelCheckpoint(path), resume=resume, **options), fit(X, CODES, **options))
    assert len(fastmlp.MLP.load(path).history) == EPOCHS


def test_an_interruption_within_an_epoch(tmp_path, monkeypatch):
    path = tmp_path / "checkpoint.npz"
    whole = fit(X, CODES, optimizer="adam", backend="reference")
    step, calls = fastmlp.reference.adam, []

    def interrupted_step(*arguments, **options):
        calls.append(1)
        if len(calls) == 10:  # four batches an epoch
            raise KeyboardInterrupt
        return step(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(fastmlp.reference, "adam", interrupted_step)
        assert len(fit(X, CODES, ModelCheckpoint(path), optimizer="adam", backend="reference").history) == 2
    same(fit(X, CODES, resume=path, optimizer="adam", backend="reference"), whole)


INTERRUPTED = [
    str(Path(fastmlp.__file__).with_name(f"{name}.py"))
    for name in ("epochs", "callbacks", "steering", "checkpoints", "saving", "npz", "files")
]


def interrupt_at_line(number, path):
    """Train with an interrupt before the given line of these modules that runs; return how many lines ran."""
    count = 0

    def trace(frame, event, argument):
        nonlocal count
        if frame.f_code.co_filename not in INTERRUPTED:
            return None
        if event == "line":
            count += 1
            if count == number:
                raise KeyboardInterrupt
        return trace

    with interrupted_by(trace):
        fit(X, CODES, ModelCheckpoint(path), backend="reference", num_epochs=3, momentum=0.9)
    return count


def test_an_interruption_at_any_moment_leaves_a_checkpoint(tmp_path):
    whole = fit(X, CODES, backend="reference", num_epochs=3, momentum=0.9)
    path, found = tmp_path / "checkpoint.npz", set()
    for number in range(1, interrupt_at_line(0, path), 13):
        path.unlink(missing_ok=True)
        interrupt_at_line(number, path)
        if path.exists():
            found.add(len(fastmlp.MLP.load(path).history))
            same(fit(X, CODES, resume=path, backend="reference", num_epochs=3, momentum=0.9), whole)
    assert found == {1, 2, 3}


def test_more_epochs_than_were_planned(backend, tmp_path):
    path = tmp_path / "checkpoint.npz"
    fit(X, CODES, ModelCheckpoint(path), backend=backend, num_epochs=2, momentum=0.9)
    model = fit(X, CODES, backend=backend, momentum=0.9, resume=str(path))
    same(model, fit(X, CODES, backend=backend, momentum=0.9))


def test_any_number_of_threads(tmp_path):
    path = tmp_path / "checkpoint.npz"
    fit(X, CODES, ModelCheckpoint(path), Interrupt(3), num_threads=1)
    same(fit(X, CODES, resume=path, num_threads=2), fit(X, CODES))


def test_a_resumed_training_tells_where_it_goes_on(tmp_path, capsys):
    fit(X, CODES, Save(tmp_path), backend="reference", num_epochs=2)
    fit(X, CODES, resume=tmp_path / "2.npz", backend="reference", num_epochs=3, verbose=True)
    resumed, epoch = capsys.readouterr().out.splitlines()[-2:]
    assert resumed == "resumed after epoch 2"
    assert epoch.startswith("epoch 3/3  loss ")


def test_a_training_that_has_all_its_epochs_is_returned(backend, tmp_path):
    whole = fit(X, CODES, Save(tmp_path), backend=backend)
    called = []
    model = fit(X, CODES, lambda m, h: called.append(len(h)), resume=tmp_path / f"{EPOCHS}.npz", backend=backend)
    same(model, whole)
    assert called == [EPOCHS]


# --- callbacks


LOSSES, VAL_LOSSES = [3.0, 2.0, 2.5, 2.4, 1.0, 1.5], [1.0, 2.0, 3.0, 0.5, 4.0, 5.0]
"""Of the epochs, as callbacks see them."""
STEERED = {
    "stops": lambda: [EarlyStopping("loss", patience=2)],
    "stops too late": lambda: [EarlyStopping("loss", patience=3)],
    "stops without the best": lambda: [EarlyStopping("loss", patience=2, restore_best=False)],
    "two that keep": lambda: [EarlyStopping("loss", patience=5), EarlyStopping("val_loss", patience=5)],
    "steps": lambda: [StepDecay(2, 0.3)],
    "cosine": lambda: [CosineDecay(0.01)],
    "plateau": lambda: [ReduceOnPlateau("loss", factor=0.5, patience=1)],
    "rates": lambda: [StepDecay(2, 0.3), ReduceOnPlateau("loss", factor=0.7, patience=2, min_lr=0.001)],
}


@pytest.mark.parametrize("place", [0, 2, 3])
@pytest.mark.parametrize("kind", STEERED)
def test_callbacks_go_on_wherever_the_checkpoint_stands_among_them(kind, place, tmp_path):
    def callbacks(*save):
        listed = [replace("loss", LOSSES), replace("val_loss", VAL_LOSSES), *STEERED[kind]()]
        return [*listed[:place], *save, *listed[place:]]

    options = {"backend": "reference", "validation_split": 0.3, "lr": 0.3}
    whole = fit(X, CODES, *callbacks(Save(tmp_path)), **options)
    plain = fit(X, CODES, backend="reference", validation_split=0.3, lr=0.3)
    assert np.any(whole.params != plain.params)
    for epoch in range(1, len(whole.history) + 1):
        same(fit(X, CODES, *callbacks(), resume=tmp_path / f"{epoch}.npz", **options), whole)


def test_a_checkpoint_of_the_best_is_written_as_before(tmp_path):
    def best(name):
        return ModelCheckpoint(tmp_path / f"{name}.npz", "loss")

    losses = [3.0, 1.0, 2.0, 2.0, 0.5, 4.0]
    fit(X, CODES, replace("loss", losses), best("whole"), Save(tmp_path), backend="reference")
    for epoch in range(1, EPOCHS + 1):
        fit(X, CODES, replace("loss", losses), best(epoch + 10), resume=tmp_path / f"{epoch}.npz", backend="reference")
        written = tmp_path / f"{epoch + 10}.npz"
        if epoch == EPOCHS:  # it was written before
            assert not written.exists()
        else:
            same(fastmlp.MLP.load(written), fastmlp.MLP.load(tmp_path / "whole.npz"))


def test_the_log_is_whole(tmp_path):
    fit(X, CODES, Save(tmp_path), CSVLog(tmp_path / "whole.csv"), backend="reference")
    fit(X, CODES, CSVLog(tmp_path / "log.csv"), resume=tmp_path / "4.npz", backend="reference")
    whole, log = (
        [row[:-1] for row in csv.reader((tmp_path / name).read_text().splitlines())]
        for name in ("whole.csv", "log.csv")
    )
    assert log == whole
    assert len(log) == EPOCHS + 1


class Warmup:
    """A user's callback that knows nothing of checkpoints."""

    def begin(self, training):
        self.training, self.full = training, training.lr
        training.lr = self.full / 4

    def __call__(self, model, history):
        self.training.lr = self.full * min(1, (len(history) + 1) / 4)


def test_a_callback_that_only_knows_the_history_goes_on(tmp_path):
    whole = check_every_epoch(tmp_path, X, CODES, lambda: [Warmup()], backend="reference", lr=0.2)
    assert whole.history.lr == [0.05, 0.1, 0.15000000000000002, 0.2, 0.2, 0.2]


def test_what_a_callback_learns_when_it_begins(tmp_path):
    class Look:
        def begin(self, training):
            self.begun = len(training.history), training.lr, training.num_epochs
            self.training = training

        def __call__(self, model, history):
            self.called = [*getattr(self, "called", []), (len(history), self.training.lr)]
            assert history is self.training.history

    first, second = Look(), Look()
    fit(X, CODES, first, StepDecay(2, 0.5), Save(tmp_path), backend="reference", lr=0.4)
    fit(X, CODES, second, StepDecay(2, 0.5), resume=tmp_path / "4.npz", backend="reference", lr=0.4)
    assert (first.begun, second.begun) == ((0, 0.4, EPOCHS), (4, 0.4, EPOCHS))
    assert second.called == first.called[3:]
    with pytest.raises(RuntimeError, match=r"^a training can be saved when an epoch has ended, by a callback$"):
        first.training.save(tmp_path / "later.npz")


def test_early_stopping_that_comes_later_looks_from_there_on(tmp_path):
    models, losses = [], [1.0, 2.0, 3.0, 2.5, 2.6, 2.7]
    fit(X, CODES, replace("loss", losses), Save(tmp_path), backend="reference")
    callbacks = replace("loss", losses), lambda m, h: models.append(m), EarlyStopping("loss", patience=2)
    model = fit(X, CODES, *callbacks, resume=tmp_path / "3.npz", backend="reference")
    assert len(model.history) == EPOCHS
    assert_array_equal(model.params, models[1].params)


def test_what_early_stopping_kept_is_dropped_with_it(tmp_path):
    losses = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    fit(X, CODES, replace("loss", losses), EarlyStopping("loss", patience=6), Save(tmp_path), backend="reference")
    model = fit(X, CODES, resume=tmp_path / "3.npz", backend="reference")
    assert model.params.tobytes() == fit(X, CODES, backend="reference").params.tobytes()


# --- the file


@pytest.mark.parametrize("rule", RULES)
def test_a_checkpoint_is_a_network(rule, backend, tmp_path):
    model = fit(X, CODES, ModelCheckpoint(tmp_path / "checkpoint.npz"), backend=backend, **RULES[rule])
    loaded = fastmlp.MLP.load(tmp_path / "checkpoint.npz")
    same(loaded, model)
    assert_array_equal(loaded.logits(X), model.logits(X))
    with np.load(tmp_path / "checkpoint.npz", allow_pickle=False) as file:
        assert sum(name.startswith("optimizer_") for name in file.files) == OPTIMIZERS[rule].arrays


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the checkpoints of a training that kept its second network, and with a network alone."""
    folder = tmp_path_factory.mktemp("checkpoints")
    stop = EarlyStopping("val_loss", patience=9)
    model = fit(X, CODES, replace("val_loss", [2.0, 1.0, *[3.0] * 4]), stop, Save(folder), **GIVEN)
    model.save(folder / "network.npz")
    return folder


GIVEN = {"backend": "reference", "optimizer": "adam", "sample_weight": WEIGHTS, "validation_data": (X, CODES)}
LETTERS = np.array(["a", "b", "c"])[CODES]
OTHERS = {
    "seed": ({"seed": 4}, "seed was 3, got 4"),
    "rows": ({"X": X[1:], "y": CODES[1:], "sample_weight": None}, "X was 50 x 4 float64 with .*, got 49 x 4 float64 "),
    "columns": ({"X": X[:, :3], "validation_data": (X[:, :3], CODES)}, "X was 50 x 4 float64 with .*, got 50 x 3 "),
    "numbers": ({"X": X[::-1]}, r"X was 50 x 4 float64 with checksum (\w{8}), got 50 x 4 float64 with checksum (?!\1)"),
    "type": ({"X": X.astype("f4")}, "X was 50 x 4 float64 .*, got 50 x 4 float32 "),
    "labels": ({"y": CODES[::-1]}, "y was 50 int64 with .*, got 50 int64 with "),
    "names of labels": ({"y": LETTERS, "validation_data": (X, LETTERS)}, "classes was 3 int64 with .*, got 3 <U1 "),
    "weights": ({"sample_weight": WEIGHTS + 1}, "sample_weight was 50 float64 "),
    "no weights": ({"sample_weight": None}, "sample_weight was 50 float64 .*, got none$"),
    "validation": ({"validation_data": (X + 1, CODES)}, "validation_data was 50 x 4 float64 "),
    "no validation": ({"validation_data": None}, "validation_data was .*, got none$"),
    "split": ({"validation_data": None, "validation_split": 0.5}, "validation_split was None, got 0.5"),
    "normalize": ({"normalize": "zscore"}, "normalize was nothing, got features standardised: ranges from"),
    "hidden": ({"hidden": (5, 5)}, r"hidden was \[5\], got \[5, 5\]"),
    "activation": ({"activation": "tanh"}, "activation was relu, got tanh"),
    "optimizer": ({"optimizer": "adamw"}, "optimizer was adam, got adamw"),
    "sgd": ({"optimizer": "sgd", "momentum": 0.9}, "optimizer was adam, got momentum"),
    "lr": ({"lr": 0.5}, "lr was 0.001, got 0.5"),
    "decay": ({"weight_decay": 0.5}, r"weight_decay was 0\.0, got 0\.5"),
    "batch": ({"batch_size": 8}, "batch_size was 16, got 8"),
    "shuffle": ({"shuffle": False}, "shuffle was True, got False"),
    "dtype": ({"dtype": "float32"}, "dtype was float64, got float32"),
    "backend": ({"backend": "jit"}, "backend was reference, got jit"),
    "loss": ({"epoch_loss": "full"}, "epoch_loss was running, got full"),
    "tracking": ({"track_gradients": True}, "track_gradients was False, got True"),
}  # fmt: skip


class Untouched:
    """See that no training begins."""

    def begin(self, training):
        pytest.fail("a training has begun")

    def __call__(self, model, history):
        """Never comes to this."""


def resume(path, **options):
    data = {"X": X, "y": CODES} | GIVEN | options
    return fit(data.pop("X"), data.pop("y"), Untouched(), resume=path, **data)


@pytest.mark.parametrize("kind", OTHERS)
def test_another_training_is_refused(kind, folder):
    options, message = OTHERS[kind]
    with pytest.raises(ValueError, match=f"^resume must be a checkpoint of the same training: {message}"):
        resume(folder / "3.npz", **options)


@pytest.mark.parametrize("row", [0, -1])
def test_one_number_of_many_is_noticed(row, tmp_path):
    large = np.random.default_rng(1).normal(size=(300, 500))
    options = {"hidden": (), "backend": "reference", "num_epochs": 1}
    fit(large, large[:, 0], Save(tmp_path), **options)
    other = large.copy()
    other[row, 3] += 1e-9
    with pytest.raises(ValueError, match=r"^resume must be a checkpoint of the same training: X was 300 x 500 "):
        fit(other, large[:, 0], resume=tmp_path / "1.npz", **options)


def test_fewer_epochs_than_there_are_are_refused(folder):
    message = "^num_epochs must be at least the 4 epochs that resume's checkpoint has, got 3$"
    with pytest.raises(ValueError, match=message):
        resume(folder / "4.npz", num_epochs=3)


def test_a_network_is_no_checkpoint(folder):
    message = r"^resume must be a checkpoint, which .*ModelCheckpoint writes, got a network without .*: .*network\.npz$"
    with pytest.raises(ValueError, match=message):
        resume(folder / "network.npz")


@pytest.mark.parametrize("unfit", [3, True, X, object()], ids=["int", "bool", "array", "object"])
def test_what_is_no_path_is_refused(unfit):
    with pytest.raises(TypeError, match=r"^resume must be the path of a checkpoint, got "):
        resume(unfit)


def test_files_that_are_none(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"missing\.npz"):
        resume(tmp_path / "missing.npz")
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(ValueError, match=r"text\.npz must be a checkpoint of fastmlp, but it can't be read: "):
        resume(tmp_path / "text.npz")


def rewrite(path, target, training=None, identity=None, history=None, **arrays):
    """Copy a checkpoint with other parts; a part given as None is left out."""
    with np.load(path) as file:
        stored = dict(file)
    about = json.loads(stored["about"].item())
    for part, changes in ((about["training"]["identity"], identity), (about["history"], history)):
        part.update(changes or {})
    about["training"].update(training or {})
    stored |= {"about": np.array(json.dumps(about))} | arrays
    np.savez(target, **{name: array for name, array in stored.items() if array is not None})


SIZE = 5 * 5 + 6 * 3
ORDERS = {"bit_generator": "PCG64", "state": {"state": 1, "inc": 3}, "has_uint32": 0, "uinteger": 0}
CRAFTED = {
    "a missing array": ({"optimizer_1": None}, "optimizer_1"),
    "another shape": ({"optimizer_0": np.zeros(SIZE + 1)}, r"its optimizer has shape \(44,\) and type float64"),
    "another type": ({"optimizer_0": np.zeros(SIZE, "f4")}, r"its optimizer has shape \(43,\) and type float32"),
    "no kept network": ({"kept": None}, "kept"),
    "a wide kept network": ({"kept": np.zeros(SIZE + 1)}, "its kept network has shape"),
    "an endless kept network": ({"kept": np.full(SIZE, np.inf)}, "its kept network is not finite"),
    "a later kept epoch": ({"training": {"kept_epoch": 4}}, "its kept epoch is 4"),
    "no kept epoch": ({"training": {"kept_epoch": 0}}, "its kept epoch is 0"),
    "negative steps": ({"training": {"steps": -1}}, "its number of steps is -1"),
    "endless steps": ({"training": {"steps": 2**63}}, "its number of steps is 9223372036854775808"),
    "half a step": ({"training": {"steps": 0.5}}, r"its number of steps is 0\.5"),
    "another generator": ({"training": {"orders": ORDERS | {"bit_generator": "MT19937"}}}, "PCG64"),
    "half a generator": ({"training": {"orders": {"bit_generator": "PCG64"}}}, "state"),
    "no generator": ({"training": {"orders": []}}, ""),
    "a large generator": ({"training": {"orders": ORDERS | {"state": {"state": 2**128, "inc": 3}}}}, ""),
    "an order that was shuffled": ({"training": {"orders": None}}, "its generator's state is missing"),
    "no identity": ({"training": {"identity": []}}, "its seed is no integer of at least 0"),
    "no seed": ({"identity": {"seed": None}}, "its seed is no integer of at least 0"),
    "an unknown optimizer": ({"identity": {"optimizer": "lion"}}, "its optimizer 'lion' is unknown"),
    "a short history": ({"history": {"val_loss": [1.0]}}, "its history has 3 epochs, and 1 of val_loss"),
    "no accuracy": ({"history": {"val_accuracy": []}}, "its history has 3 epochs, and 0 of val_accuracy"),
    "no rate": ({"history": {"lr": []}}, "its history has 3 epochs, and 0 of lr"),
    "a negative rate": ({"training": {"lr": -0.1}}, r"its learning rate is -0\.1"),
    "an endless rate": ({"training": {"lr": float("inf")}}, "its learning rate is inf"),
    "a rate that is none": ({"training": {"lr": "0.1"}}, "its learning rate is '0.1'"),
    "no epochs": ({"history": dict.fromkeys(("loss", "val_loss", "val_accuracy", "lr", "seconds"), ())}, "0 epochs"),
    "no training": ({"training": {"steps": None}}, "its number of steps is None"),
}


@pytest.mark.parametrize("kind", CRAFTED)
def test_a_crafted_checkpoint_is_refused(kind, folder, tmp_path):
    changes, reason = CRAFTED[kind]
    path = tmp_path / "crafted.npz"
    rewrite(folder / "3.npz", path, **changes)
    with pytest.raises(ValueError, match=f"crafted.npz must be a checkpoint of fastmlp, but .*{reason}") as refusal:
        resume(path)
    assert type(refusal.value) is ValueError
    assert "\n" not in str(refusal.value)


def test_rewriting_nothing_keeps_the_checkpoint(folder, tmp_path):
    rewrite(folder / "3.npz", tmp_path / "same.npz")
    rewritten, own = (fit(X, CODES, resume=path, **GIVEN) for path in (tmp_path / "same.npz", folder / "3.npz"))
    same(rewritten, own)


def test_an_optimizer_that_overflowed_goes_on(folder, tmp_path):
    """Adam's second moment may be infinite, and the parameters are not."""
    rewrite(folder / "3.npz", tmp_path / "large.npz", optimizer_1=np.full(SIZE, np.inf))
    assert np.all(np.isfinite(fit(X, CODES, resume=tmp_path / "large.npz", **GIVEN).params))


def test_a_checkpoint_cut_anywhere_is_refused(folder, tmp_path):
    content, path = (folder / "3.npz").read_bytes(), tmp_path / "cut.npz"
    for length in range(0, len(content), 397):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match=r"cut\.npz must be a checkpoint of fastmlp, but it can't be read: "):
            resume(path)


def test_nothing_that_is_passed_is_changed(folder):
    content, weights, features = (folder / "3.npz").read_bytes(), WEIGHTS.copy(), X.copy()
    fit(X, CODES, resume=folder / "3.npz", **GIVEN)
    assert (folder / "3.npz").read_bytes() == content
    assert_array_equal(weights, WEIGHTS)
    assert_array_equal(features, X)
