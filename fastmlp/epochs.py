"""The epochs of a training: each run, judged, recorded and told, until the last one, a stop or an interrupt."""

import os
import time
from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastmlp.backends import make_trainer
from fastmlp.callbacks import Callback
from fastmlp.checkpoints import Checkpoint, identify, write_checkpoint
from fastmlp.inference import Inference
from fastmlp.network import MLP
from fastmlp.options import FIRST_EPOCH, Options
from fastmlp.preparation import Preparation
from fastmlp.problem import Problem, Samples, Trainer
from fastmlp.progress import Progress
from fastmlp.scoring import loss_of, score_of
from fastmlp.steering import Training
from fastmlp.tracking import Tracker

LARGE = 1e4
"""Features, targets or weights of this size are taken for the cause of a divergence before the learning rate is."""


def run_epochs(
    preparation: Preparation,
    options: Options,
    training: Training,
    callbacks: list[Callback],
    checkpoint: Checkpoint | None = None,
    on_divergence: Callable[[str], object] = lambda sentence: None,
    trainer: Trainer | None = None,
) -> MLP:
    """Train, from a checkpoint on if there is one, and return the network of the last whole epoch or what was kept.

    A trainer goes on from where it is; without one, one is made that begins at the start of the preparation.
    Ctrl-C ends the training as `fastmlp.train` tells, whenever it comes; it is passed on only if no epoch has begun.
    `training.divergence` says whether the training diverged, and `on_divergence` is called with it.
    """
    epochs: _Epochs | None = None
    try:
        with Progress(options.num_epochs, options.verbose, len(training.history)) as progress:
            epochs = _Epochs(preparation, options, training, callbacks, progress, checkpoint, trainer)
            try:
                epochs.run()
            except KeyboardInterrupt:
                training.interrupted = True
                progress.interrupted(epochs.kept_epoch)
        if epochs.diverged:
            training.divergence = epochs.describe_divergence()
            on_divergence(training.divergence)
    except KeyboardInterrupt:  # a second one, or one while the bar was closed
        if epochs is None:
            raise
        training.interrupted = True
    while True:
        try:
            return epochs.finish()
        except KeyboardInterrupt:  # what is left to do takes no time
            continue


class _Whole(NamedTuple):
    """The network of the last whole epoch and the number of that epoch.

    They are one object, bound in one go, because an interrupt may come between any two calls. What else an unfinished
    epoch left behind is cut off at the end.
    """

    model: MLP
    epoch: int


class _Epochs:
    """The epochs of one training, and what they work on."""

    def __init__(
        self,
        preparation: Preparation,
        options: Options,
        training: Training,
        callbacks: list[Callback],
        progress: Progress,
        checkpoint: Checkpoint | None,
        trainer: Trainer | None,
    ) -> None:
        problem = preparation.problem
        self.diverged = False
        self._preparation = preparation
        self._options = options
        self._training = training
        self._callbacks = callbacks
        self._progress = progress
        self._tracker = Tracker(problem, options.track_gradients == FIRST_EPOCH) if options.track_gradients else None
        self._trainer = trainer or make_trainer(problem, preparation.start, options.backend, progress.compiling)
        self._inference = Inference(problem.architecture, problem.normalization, predictor=self._trainer.predictor)
        if checkpoint is not None:
            self._trainer.state, preparation.orders.state = checkpoint.state, checkpoint.orders
        self._resumed = checkpoint
        self._lr = training.lr
        self._history = training.history
        self._history.compile_seconds += self._trainer.compile_seconds
        # What is done to features and targets is told where anything was to be decided.
        notes = (problem.normalization.description, preparation.coding.scaling.description)
        progress.begin(problem.architecture, problem.X.shape[0], self._trainer, filter(None, notes))
        self._whole = _Whole(self._network(self._trainer.result), len(self._history))

    @property
    def kept_epoch(self) -> int:
        """The epoch whose network is returned; 0 is the start."""
        return self._training.kept_epoch or self._whole.epoch

    def run(self) -> None:
        """Run the epochs that are left, unless a callback stops them or one diverges."""
        stopped = self._whole.epoch > 0 and self._call()
        while not stopped and self._whole.epoch < self._options.num_epochs:
            self._run_one(self._whole.epoch)
            if self.diverged:
                break
            self._progress.epoch(self._history)
            stopped = self._call()

    def _call(self) -> bool:
        """Call the callbacks after an epoch, and return whether one stops the training."""
        model, history, training = self._whole.model, self._history, self._training
        training._save = self._save
        stops = [_is_true(callback(model, history)) for callback in self._callbacks]
        training._save = None
        if any(stops):
            self._progress.stopped(len(history), self.kept_epoch)
        return any(stops)

    def _save(self, path: str | os.PathLike[str]) -> None:
        """Write a checkpoint of the last epoch."""
        state, orders = self._trainer.state, self._preparation.orders.state
        checkpoint = Checkpoint(self._whole.model, state, orders, self._training._kept, self._identity, self._lr)
        write_checkpoint(path, checkpoint)

    @cached_property
    def _identity(self) -> dict[str, Any]:
        """What a training has to be like to go on from a checkpoint of this one; telling the data apart takes time."""
        return identify(self._preparation, self._options) if self._resumed is None else self._resumed.identity

    def finish(self) -> MLP:
        """Forget what an unfinished epoch left in the history, and return the network."""
        self._history._cut(self._whole.epoch)
        return self._training.kept or self._whole.model

    def describe_divergence(self) -> str:
        """Return a sentence that says when the training diverged, and why most likely."""
        cause = _cause(self._preparation.problem, self._preparation.start, self._training.lr)
        return (
            f"training diverged in epoch {self._whole.epoch + 1}; the network of epoch {self.kept_epoch} is kept "
            f"({cause})"
        )

    def _run_one(self, epoch: int) -> None:
        """Run one epoch, counted from 0, judge it and record it."""
        options, trainer, tracker, history = self._options, self._trainer, self._tracker, self._history
        order = self._preparation.orders.next()
        trainer.lr = self._training.lr
        before = None if tracker is None else trainer.params
        started = time.perf_counter()
        if tracker is None or before is None:
            loss = trainer.run_epoch(order)
        else:
            loss = tracker.run_epoch(trainer, order, epoch, before)
        seconds = time.perf_counter() - started
        model = self._network(trainer.result)
        if options.epoch_loss == "full" and np.isfinite(loss):
            loss = self._full_loss(model.params)
        self.diverged = not (np.isfinite(loss) and bool(np.all(np.isfinite(model.params))))
        if self.diverged:
            return
        validation = self._preparation.validation
        results = () if validation is None else self._evaluate(model.params, validation)
        history.loss.append(loss)
        history.seconds.append(seconds)
        history.lr.append(self._last_rate(epoch))
        self._lr = trainer.lr
        if tracker is not None:
            tracker.record(history)
        if results:
            history.val_loss.append(results[0])
            history.val_accuracy.extend(results[1:])
        self._whole = _Whole(model, epoch + 1)

    def _last_rate(self, epoch: int) -> float:
        """Return the learning rate of the last step of an epoch, counted from 0."""
        problem = self._preparation.problem
        batches = -(-problem.X.shape[0] // problem.batch_size)
        return self._trainer.lr * problem.optimizer.schedule((epoch + 1) * batches - 1)

    def _network(self, params: NDArray[Any]) -> MLP:
        preparation = self._preparation
        return MLP(params, self._inference, preparation.coding, self._history, feature_names=preparation.feature_names)

    def _full_loss(self, params: NDArray[Any]) -> float:
        """Return the loss of the whole training set."""
        problem = self._preparation.problem
        with np.errstate(over="ignore", invalid="ignore"):
            Z = self._inference.logits(params, problem.X)
            return loss_of(self._preparation.coding, Z, problem.codes, problem.sample_weight, problem.label_smoothing)

    def _evaluate(self, params: NDArray[Any], samples: Samples) -> tuple[float, ...]:
        """Return the loss and, for classification, the accuracy."""
        coding = self._preparation.coding
        with np.errstate(over="ignore", invalid="ignore"):
            Z = self._inference.logits(params, samples.X)
            loss = loss_of(coding, Z, samples.codes, samples.sample_weight)
        return (loss,) if coding.is_regression else (loss, score_of(coding, Z, samples.targets, samples.codes))


def _is_true(value: object) -> bool:
    return isinstance(value, (bool, np.bool_)) and bool(value)


def _cause(problem: Problem, start: NDArray[Any], lr: float) -> str:
    """Say what most likely made a training diverge: the largest numbers it began with, or else its learning rate."""
    targets = problem.codes if problem.codes.ndim == 2 else np.zeros(1)
    sizes = {
        "features": np.max(problem.normalization.largest(problem.X)),
        "targets": np.max(np.abs(targets)),
        "initial weights": np.max(np.abs(start)),
    }
    largest = max(sizes, key=lambda name: sizes[name])
    if sizes[largest] > max(LARGE, lr):
        return f"{largest} as large as {sizes[largest]:.3g} are the likely cause; a smaller scale may help"
    return f"a smaller lr than {lr:g} may help"
