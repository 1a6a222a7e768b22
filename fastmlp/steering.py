"""A training as callbacks see and steer it."""

import os
from collections.abc import Callable

from fastmlp.checks import check_number
from fastmlp.history import History
from fastmlp.network import MLP

MONITORS = ("loss", "val_loss", "val_accuracy")
"""Lists of `History` by which a callback can judge an epoch."""


class Training:
    """A training, as callbacks steer it; it owns the learning rate, which the trainer is told before each epoch.

    A `lr_schedule` multiplies it in every step.

    Parameters
    ----------
    num_epochs : int
        How many epochs it has unless it is stopped.
    lr : float
    monitors : tuple of str
        Which of `MONITORS` it records.

    Attributes
    ----------
    history : History
        The record, which grows with every epoch.
    kept : MLP or None
        The network that `train` is going to return in place of the last one.
    kept_epoch : int or None
        The epoch after which it was kept.
    interrupted : bool
        Whether Ctrl-C has ended it.
    divergence : str or None
        If it diverged, a sentence that says when, and why most likely.
    """

    def __init__(self, num_epochs: int, lr: float, monitors: tuple[str, ...]) -> None:
        self.num_epochs = num_epochs
        self.monitors = monitors
        self.lr = lr
        self.history = History()
        self._kept_before: tuple[MLP, int] | None = None
        self._kept: tuple[MLP, int] | None = None
        self._save: Callable[[str | os.PathLike[str]], None] | None = None
        self.interrupted = False
        self.divergence: str | None = None

    def resume(self, history: History, kept: tuple[MLP, int] | None) -> None:
        """Go on from the history of a checkpoint, and from what was kept to be returned, with its epoch."""
        self.history, self._kept_before = history, kept

    @property
    def lr(self) -> float:
        """The learning rate of the next epoch, which may be set to a number of at least 0."""
        return self._lr

    @lr.setter
    def lr(self, lr: float) -> None:
        self._lr = check_number("lr", lr, 0.0)

    @property
    def kept(self) -> MLP | None:
        return None if self._kept is None else self._kept[0]

    @property
    def kept_epoch(self) -> int | None:
        return None if self._kept is None else self._kept[1]

    def keep(self, model: MLP) -> None:
        """Have `train` return this network, which a callback got for the epoch that has just ended."""
        self._kept = model, len(model.history)  # in one go, whenever an interrupt comes

    def keep_again(self) -> int:
        """Have `train` return what a resumed training had kept, and tell its epoch; 0 if there is nothing.

        For `begin`: what no callback keeps again is dropped.
        """
        self._kept = self._kept_before
        return self.kept_epoch or 0

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a checkpoint of the epoch that has just ended, for ``train(resume=path)`` and `MLP.load`.

        Raises
        ------
        OSError
            If the file can't be written.
        RuntimeError
            If no epoch has just ended.
        """
        if self._save is None:
            raise RuntimeError("a training can be saved when an epoch has ended, by a callback")
        self._save(path)
