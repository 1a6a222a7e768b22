"""Callbacks, which `fastmlp.train` calls after each epoch: early stopping, checkpoints, learning rates, a log.

A callback is anything callable as ``callback(model, history)``; `model` is the network as the epoch left it, with
parameters of its own, and `history` the record up to this epoch, the same object throughout. A return value of True,
Python's or NumPy's, ends the training. All callbacks are called after every epoch, in the order in which they were
given.

One that wants to steer the training has a method ``begin(training)`` besides. It is called once, before anything is
compiled, with a `Training`: there a callback checks that it can work, reads what it needs, sets the learning rate
and says which network is to be returned. When it is called later, it may write a checkpoint with `Training.save`.

In a training that is resumed, `training.history` then has the epochs so far, and `training.lr` is what `train` was
given. All callbacks are called once more after the last of these epochs, as the interruption may have come between any
two of them, with the learning rate that this epoch had. So one that learns all it needs from `begin` and the history
goes on as if nothing had happened; all in this module do.

>>> class Warmup:
...     '''Raise the learning rate evenly over the first epochs.'''
...
...     def __init__(self, epochs):
...         self.epochs = epochs
...
...     def begin(self, training):
...         self.training, self.full = training, training.lr
...         training.lr = self.full / self.epochs
...
...     def __call__(self, model, history):
...         self.training.lr = self.full * min(1, (len(history) + 1) / self.epochs)
>>> import fastmlp
>>> X, y = fastmlp.datasets.load_mnist(100)
>>> fastmlp.train(X, y, num_epochs=3, lr=0.2, callbacks=[Warmup(2)], verbose=False).history.lr
[0.1, 0.2, 0.2]
"""

import csv
import math
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fastmlp.checks import check_choice, check_flag, check_integer, check_number
from fastmlp.history import History
from fastmlp.network import MLP
from fastmlp.steering import MONITORS, Training

Callback = Callable[[MLP, History], object]


def check_callbacks(callbacks: Iterable[Callback]) -> list[Callback]:
    """Return callbacks as a list of callables."""
    if not isinstance(callbacks, Iterable):
        raise TypeError(f"callbacks must be a list of callables, got {callbacks!r}")
    listed = list(callbacks)
    for i, callback in enumerate(listed):
        if not callable(callback):
            raise TypeError(f"callbacks[{i}] must be callable as callback(model, history), got {callback!r}")
    return listed


class _Best:
    """The best value so far of a monitored list; an accuracy is better when higher, a loss when lower."""

    def __init__(self, monitor: str, min_delta: float = 0.0) -> None:
        self.monitor = check_choice("monitor", monitor, MONITORS)
        self.min_delta = check_number("min_delta", min_delta, 0.0)

    def begin(self, training: Training, owner: object) -> None:
        """Forget other trainings, make sure that this one records what is monitored, and see its earlier epochs.

        `epoch` is the best of these, 0 if there is none. The last one is left to the call that follows on it.
        """
        if self.monitor not in training.monitors:
            needs = "; pass validation_split= or validation_data=" if "val_loss" not in training.monitors else ""
            raise ValueError(
                f"{type(owner).__name__} must monitor one of {', '.join(map(repr, training.monitors))}, which this "
                f"training records, got {self.monitor!r}{needs}"
            )
        self.start(0)
        for epoch in range(1, len(training.history)):
            self.epochs_since(training.history, epoch)

    def start(self, epoch: int) -> None:
        """Look for the best among the epochs after this one."""
        self.epoch, self._since, self._value = 0, epoch, math.inf

    def epochs_since(self, history: History, epoch: int) -> int:
        """Return how many epochs before this one the best was seen, 0 when it is this one."""
        value = getattr(history, self.monitor)[epoch - 1] * (-1 if self.monitor == "val_accuracy" else 1)
        if value < self._value - self.min_delta:
            self.epoch, self._since, self._value = epoch, epoch, value
        return epoch - self._since


class EarlyStopping:
    """End the training when a figure stops improving.

    Parameters
    ----------
    monitor : {"val_loss", "val_accuracy", "loss"}
    patience : int
        How many epochs in a row without an improvement end the training.
    min_delta : float
        By how much an epoch must be better than the best to count as an improvement.
    restore_best : bool
        Whether `train` returns the network of the best epoch, however the training ends; else that of the last one.
        If a training is resumed whose checkpoint has not kept that network, the best is sought from there on.

    Examples
    --------
    >>> import fastmlp
    >>> X, y = fastmlp.datasets.load_mnist(500)
    >>> stop = fastmlp.callbacks.EarlyStopping("val_accuracy", patience=2)
    >>> model = fastmlp.train(
    ...     X[:400], y[:400], validation_data=(X[400:], y[400:]), num_epochs=50, seed=0, callbacks=[stop], verbose=False
    ... )
    >>> len(model.history) < 50
    True
    >>> model.score(X[400:], y[400:]) == max(model.history.val_accuracy)
    True
    """

    def __init__(
        self, monitor: str = "val_loss", *, patience: int = 5, min_delta: float = 0.0, restore_best: bool = True
    ) -> None:
        self._best = _Best(monitor, min_delta)
        self.patience = check_integer("patience", patience)
        self.restore_best = check_flag("restore_best", restore_best)

    def begin(self, training: Training) -> None:
        """Start anew with this training."""
        self._best.begin(training, self)
        self._training = training
        if self.restore_best and training.keep_again() < self._best.epoch:
            self._best.start(len(training.history) - 1)

    def __call__(self, model: MLP, history: History) -> bool:
        epochs = self._best.epochs_since(history, len(history))
        if epochs == 0 and self.restore_best:
            self._training.keep(model)
        return epochs >= self.patience


class ModelCheckpoint:
    """Write all of the training to a file after each epoch, or after each that is the best so far.

    ``train(resume=path)`` goes on from there, `fastmlp.MLP.load` reads the network. The file is whole at any time: a
    new one is written beside it, brought to the disk and then renamed. One that can't be written, on a full disk for
    example, is told in a RuntimeWarning, and the training goes on.

    Parameters
    ----------
    path : path
        Of a ``.npz`` file in an existing folder.
    monitor : {"val_loss", "val_accuracy", "loss"}, optional
        Write only when this improves.
    """

    def __init__(self, path: str | os.PathLike[str], monitor: str | None = None) -> None:
        self.path = _check_path(path)
        self._best = None if monitor is None else _Best(monitor)

    def begin(self, training: Training) -> None:
        """Start anew with this training."""
        if self._best is not None:
            self._best.begin(training, self)
        self._training = training

    def __call__(self, model: MLP, history: History) -> None:
        if self._best is None or self._best.epochs_since(history, len(history)) == 0:
            with _writing(self.path, history):
                self._training.save(self.path)


class StepDecay:
    """Multiply the learning rate by a factor every so many epochs.

    For a rate that changes from step to step, see `lr_schedule` of `fastmlp.train`.
    """

    def __init__(self, every: int, factor: float = 0.1) -> None:
        self.every = check_integer("every", every)
        self.factor = check_number("factor", factor, 0.0, 1.0, low_open=True)

    def begin(self, training: Training) -> None:
        """Start anew with this training."""
        self._training = training

    def __call__(self, model: MLP, history: History) -> None:
        if len(history) % self.every == 0:
            self._training.lr *= self.factor


class CosineDecay:
    """Lower the learning rate along half a cosine, from what `train` was given to `final` after the last epoch.

    References
    ----------
    Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", 2017, without the restarts.
    """

    def __init__(self, final: float = 0.0) -> None:
        self.final = check_number("final", final, 0.0)

    def begin(self, training: Training) -> None:
        """Start anew with this training."""
        self._training, self._initial = training, training.lr

    def __call__(self, model: MLP, history: History) -> None:
        progress = len(history) / self._training.num_epochs
        self._training.lr = self.final + (self._initial - self.final) * (1 + math.cos(math.pi * progress)) / 2


class ReduceOnPlateau:
    """Multiply the learning rate by a factor whenever a figure has not improved for some epochs.

    Parameters
    ----------
    monitor : {"val_loss", "val_accuracy", "loss"}
    factor : float
        Between 0 and 1.
    patience : int
        How many epochs in a row without an improvement lower the rate.
    min_delta : float
        By how much an epoch must be better than the best to count as an improvement.
    min_lr : float
        The rate is never lowered below this.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        *,
        factor: float = 0.1,
        patience: int = 3,
        min_delta: float = 0.0,
        min_lr: float = 0.0,
    ) -> None:
        self._best = _Best(monitor, min_delta)
        self.factor = check_number("factor", factor, 0.0, 1.0, low_open=True)
        self.patience = check_integer("patience", patience)
        self.min_lr = check_number("min_lr", min_lr, 0.0)

    def begin(self, training: Training) -> None:
        """Start anew with this training."""
        self._best.begin(training, self)
        self._training = training

    def __call__(self, model: MLP, history: History) -> None:
        epochs = self._best.epochs_since(history, len(history))
        if epochs > 0 and epochs % self.patience == 0:
            lr = self._training.lr
            self._training.lr = min(lr, max(self.min_lr, lr * self.factor))


class CSVLog:
    """Write one line an epoch to a ``.csv`` file: epoch, learning rate, the monitored figures, seconds.

    A file that is there already is replaced when the first epoch ends; every line is on disk when its epoch has ended.
    One that can't be written is told in a RuntimeWarning, and written anew after the next epoch.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = _check_path(path)

    def begin(self, training: Training) -> None:
        """Start anew with this training."""
        self._columns = ("lr", *training.monitors, "seconds")
        self._written = 0

    def __call__(self, model: MLP, history: History) -> None:
        written, self._written = self._written, 0
        with _writing(self.path, history):
            with open(self.path, "a" if written else "w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file)
                if not written:
                    writer.writerow(("epoch", *self._columns))
                for epoch in range(written, len(history)):
                    writer.writerow((epoch + 1, *(getattr(history, name)[epoch] for name in self._columns)))
            self._written = len(history)


@contextmanager
def _writing(path: Path, history: History) -> Iterator[None]:
    """Warn of a file that can't be written, rather than lose the training."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        warnings.warn(f"{path} could not be written after epoch {len(history)}: {reason}", RuntimeWarning, stacklevel=3)


def _check_path(path: str | os.PathLike[str]) -> Path:
    try:
        checked = Path(path)
    except TypeError:
        raise TypeError(f"path must be the path of a file, got {path!r}") from None
    if checked.is_dir() or not checked.parent.is_dir():
        raise ValueError(f"path must be a file in an existing folder, got {'the folder ' * checked.is_dir()}{checked}")
    if not os.access(checked.parent, os.W_OK):
        raise ValueError(f"path must be a file in a folder that can be written to, got {checked}")
    return checked
