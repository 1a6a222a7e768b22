"""The command ``fastmlp train``."""

import argparse
import time
import warnings
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastmlp
from fastmlp.callbacks import ModelCheckpoint
from fastmlp.checks import check_number
from fastmlp.cli.data import Data, Rows, load, split, split_plainly
from fastmlp.cli.options import training_options
from fastmlp.cli.process import complain, ignore_interrupts, report
from fastmlp.inference import Inference
from fastmlp.normalization import learn_normalization
from fastmlp.results import Results, check_places, write, write_figure
from fastmlp.steering import Training
from fastmlp.table_encoder import TableEncoder
from fastmlp.targets import learn_coding
from fastmlp.validation import check_targets


def run(arguments: argparse.Namespace) -> int:
    """Carry the command out and return the exit status."""
    started = time.perf_counter()
    places, sources = {"figure": arguments.figure, "model": arguments.model}, {"--data": arguments.data}
    check_places(places, sources | {"--resume": arguments.resume})
    check_places({"checkpoint": arguments.checkpoint}, sources | {f"--{name}": path for name, path in places.items()})
    data = load(arguments)
    options = training_options(arguments)
    train_rows, test_rows = _split(data, arguments)
    raw, encoder, notes = data.encode(train_rows)
    X = fastmlp.reference.normalize(raw) if arguments.recipe else raw
    if arguments.recipe:
        options = {"lr": 0.1, "batch_size": 64} | options | {"init": 0.01, "normalize": None, "epoch_loss": "full"}
    X_train, X_test, y_train, y_test = X[train_rows], X[test_rows], data.y[train_rows], data.y[test_rows]
    coding = learn_coding(check_targets(y_train, len(y_train)), arguments.loss)
    coding.encode(check_targets(y_test, len(y_test)), "y of the test rows")
    print(f"{data.name}: {len(X_train):,} training rows, {len(X_test):,} test rows, {data.describe(X)}")
    for note in notes:
        print(f"  {note}")

    began = time.perf_counter()
    watch = _Watch(None if arguments.recipe else encoder)
    if arguments.validation_split is None:
        options["validation_data"] = X_test, y_test
    options["callbacks"] = [watch]
    if arguments.checkpoint is not None:
        options["callbacks"].append(ModelCheckpoint(arguments.checkpoint))
    divergence = ""
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.filterwarnings("always", "training diverged", RuntimeWarning)
            model = fastmlp.train(X_train, y_train, resume=arguments.resume, **options)
        ignore_interrupts()
        for warning in caught:
            if str(warning.message).startswith("training diverged"):
                divergence = str(warning.message)
            else:
                warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    except KeyboardInterrupt:  # one that came outside the epochs
        ignore_interrupts()
        if watch.model is None:
            raise
        model = watch.model
    trained = time.perf_counter() - began

    history = model.history
    if not len(history):
        cause = divergence.replace("the network of epoch 0 is kept", "no epoch was finished") or "no epoch was finished"
        complain(f"error: {cause}, so nothing is written")
        return 1
    print(f"final test {_evaluate(model, X_test, y_test)}")
    print(
        f"trained in {trained:.2f} s, of which compiling {history.compile_seconds - watch.compile_seconds:.2f} s and "
        f"epochs {sum(history.seconds) - watch.seconds:.2f} s; {time.perf_counter() - started:.2f} s in all"
    )
    if arguments.recipe:  # which scaled its columns itself: the network that is kept takes them as they were
        inference = Inference(model._inference.architecture, learn_normalization("zscore", raw))
        model = fastmlp.MLP(model.params, inference, model._coding, history)
    model.table = encoder
    results: Results = {arguments.model: model.save, arguments.figure: partial(write_figure, history)}
    status = report(results, write(results))
    if divergence:
        complain(f"error: {divergence}")
        return 1
    return status


class _Watch:
    """A callback that has the last whole network, which knows the table it reads, and what was done before a resume."""

    def __init__(self, table: TableEncoder | None) -> None:
        self.model: fastmlp.MLP | None = None
        self._table = table

    def begin(self, training: Training) -> None:
        """Start anew with this training."""
        self.compile_seconds, self.seconds = training.history.compile_seconds, sum(training.history.seconds)

    def __call__(self, model: fastmlp.MLP, history: fastmlp.History) -> None:
        model.table = self._table
        self.model = model


def _split(data: Data, arguments: argparse.Namespace) -> tuple[Rows, Rows]:
    """Return the training rows and the test rows; those of MNIST and of the recipe don't depend on the labels."""
    n = len(data.y)
    if arguments.data is None and arguments.n_samples == 70000:
        return slice(60000), slice(60000, 70000)  # which copy nothing
    check_number("--test-size", arguments.test_size, 0.0, 1.0, low_open=True)
    if arguments.data is None or arguments.recipe:
        return split_plainly(n, arguments.test_size)
    return split(data, arguments.loss, arguments.test_size)


def _evaluate(model: fastmlp.MLP, X: NDArray[Any], y: NDArray[Any]) -> str:
    """Return how good a network is on other rows: its accuracy, or R² and the mean absolute error."""
    if not model._coding.is_regression:
        return f"accuracy {model.score(X, y):.4f}"
    error = f"mean absolute error {np.mean(np.abs(model.predict(X) - y)):.4g}"
    return f"R² {model.score(X, y):.4f}, {error}" if len(y) > 1 else error
