"""The ``fastmlp`` command."""

import argparse
import contextlib
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import fastmlp
from fastmlp.output import Output
from fastmlp.results import Results, check_places, reason, write, write_figure


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    0; 1 for a bad result or one that could not be written; 2 after one line about a wrong call; 130 after Ctrl-C,
    unless it came during a training whose last whole epoch has been saved.
    """
    output = Output(sys.stdout)
    handler = signal.getsignal(signal.SIGINT)
    try:
        with contextlib.redirect_stdout(output):
            arguments = _parser().parse_args(argv)
            status = arguments.run(arguments)
    except SystemExit as end:  # the parser has told everything
        status = int(end.code or 0)
    except KeyboardInterrupt:
        _ignore_interrupts()
        _complain("interrupted")
        status = 130
    except (ValueError, TypeError, OSError, MemoryError) as error:
        _complain(f"error: {error}")
        status = 2
    output.flush()
    if output.error is not None:
        _complain(f"error: standard output could not be written: {reason(output.error)}")
        sys.stdout = None  # or the interpreter would try once more when it ends, and show a traceback
        status = status or 1
    if argv is None:
        _ignore_interrupts()
    elif _in_main_thread():
        signal.signal(signal.SIGINT, handler)
    return status


def _complain(text: str) -> None:
    """Say one line on standard error."""
    stderr = Output(sys.stderr)
    stderr.write(f"fastmlp: {' '.join(text.split())}\n")
    stderr.flush()


def _ignore_interrupts() -> None:
    """Let nothing stop what takes a moment and must be whole: saving, and the end of the process."""
    if _in_main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fastmlp", description=fastmlp.__doc__.splitlines()[0])
    parser.add_argument("--version", action="version", version=f"fastmlp {fastmlp.__version__}")
    commands = parser.add_subparsers(required=True, metavar="command")
    _add_train(commands)
    _add_compare(commands)
    _add_gradients(commands)
    _add_warmup(commands)
    return parser


def _add_train(commands: Any) -> None:
    train = commands.add_parser(
        "train",
        help="train a network on MNIST or on your own data",
        description="Train a network, by default 784-256-128-10 on 5,000 embedded MNIST rows, a fifth of them held out "
        "for testing. Writes a figure and the trained network.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    data, training, path = _add_training_options(train)
    data.add_argument("--test-size", type=float, default=0.2, help="share of the rows held out for testing; of 70,000 "
                      "MNIST rows it is the last 10,000")  # fmt: skip
    training.add_argument("--epochs", type=int, default=20)
    training.add_argument("--epoch-loss", choices=("running", "full"), default="running")
    training.add_argument("--recipe", action="store_true", help="the from-scratch recipe to the letter: standard "
                          "normal init x 0.01, columns standardised over all rows before the split, SGD 0.1, batch 64, "
                          "loss on the whole training set")  # fmt: skip
    path.add_argument("--backend", choices=("jit", "reference"), default="jit")
    results = train.add_argument_group("results")
    results.add_argument("--figure", type=Path, default=Path("fastmlp-train.png"))
    results.add_argument("--model", type=Path, default=Path("fastmlp-model.npz"))
    train.set_defaults(run=_train)


def _add_training_options(command: argparse.ArgumentParser) -> tuple[Any, Any, Any]:
    """Add what every command that trains takes, and return the groups of the data, the training and the path."""
    data = command.add_argument_group("data")
    data.add_argument("--samples", type=int, default=5000, help="MNIST rows; above 5,000 they come from "
                      "$FASTMLP_MNIST_DIR or OpenML")  # fmt: skip
    data.add_argument("--data", type=Path, metavar="FILE", help="your own .npz with X and y, or .csv with a header")
    data.add_argument("--label", metavar="COLUMN", help="the column of the .csv that holds the labels")
    data.add_argument("--normalize", choices=("auto", "unit", "zscore", "none"), default="auto")
    model = command.add_argument_group("network")
    model.add_argument("--hidden", default="256,128", help="widths of the hidden layers, '' for none")
    model.add_argument("--activation", choices=("relu", "sigmoid", "tanh", "identity"), default="relu")
    model.add_argument("--loss", choices=("auto", "cross_entropy", "binary_cross_entropy", "mean_squared_error"),
                       default="auto")  # fmt: skip
    model.add_argument("--init", default="he", help="he, xavier, or a standard deviation")
    training = command.add_argument_group("training")
    training.add_argument("--optimizer", choices=("sgd", "adam"), default="sgd")
    training.add_argument("--lr", type=float, default=0.1)
    training.add_argument("--momentum", type=float, default=0.0)
    training.add_argument("--nesterov", action="store_true")
    training.add_argument("--weight-decay", type=float, default=0.0)
    training.add_argument("--batch-size", type=int, default=64)
    training.add_argument("--seed", type=int, default=0)
    path = command.add_argument_group("path")
    path.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    path.add_argument("--threads", type=int, help="at most this many")
    return data, training, path


def _add_compare(commands: Any) -> None:
    compare = commands.add_parser(
        "compare",
        help="hold the compiled path against the reference, number by number",
        description="Train on both paths from the same start, by default 784-256-128-10 on 5,000 embedded MNIST rows: "
        "prints how far apart activations, gradients, parameters and losses are, and how fast each is. The exit status "
        "is 1 if a tolerance is exceeded.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    _, training, _ = _add_training_options(compare)
    training.add_argument("--steps", default="1,10,100", help="after how many batches to compare")
    training.add_argument("--epochs", type=int, default=5, help="timed epochs of each path")
    compare.add_argument_group("results").add_argument("--figure", type=Path, help="draw the comparison here")
    compare.set_defaults(run=_compare)


def _add_gradients(commands: Any) -> None:
    gradients = commands.add_parser(
        "gradients",
        help="see gradients vanish with depth, or hold",
        description="Measure how large the gradient of each layer is, for every combination of depth, activation and "
        "initialisation, on embedded MNIST rows. Writes a figure and a table.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    gradients.add_argument("--samples", type=int, default=5000)
    gradients.add_argument("--depths", default="2,4,8", help="numbers of hidden layers")
    gradients.add_argument("--activations", default="sigmoid,relu")
    gradients.add_argument("--inits", default="0.01,xavier,he", help="he, xavier, or standard deviations")
    gradients.add_argument("--width", type=int, default=64, help="of each hidden layer")
    gradients.add_argument("--epochs", type=int, default=3)
    gradients.add_argument("--lr", type=float, default=0.1)
    gradients.add_argument("--seed", type=int, default=0)
    gradients.add_argument("--backend", choices=("jit", "reference"), default="jit")
    gradients.add_argument("--figure", type=Path, default=Path("fastmlp-gradients.png"))
    gradients.add_argument("--csv", type=Path, default=Path("fastmlp-gradients.csv"))
    gradients.set_defaults(run=_gradients)


def _gradients(arguments: argparse.Namespace) -> int:
    started = time.perf_counter()
    _check_results(arguments, "figure", "csv")
    X, y = fastmlp.datasets.load_mnist(arguments.samples)
    depths = _integers("--depths", arguments.depths, example="2,4,8")
    activations, inits = _words(arguments.activations), [_init(text, "--inits") for text in _words(arguments.inits)]
    print(
        f"MNIST: {len(X):,} rows; {len(depths) * len(activations) * len(inits)} networks of {arguments.width} units a "
        f"layer, {arguments.epochs} epochs each"
    )
    flow = fastmlp.gradient_flow(
        X,
        y,
        depths=depths,
        activations=activations,
        inits=inits,
        width=arguments.width,
        num_epochs=arguments.epochs,
        lr=arguments.lr,
        seed=arguments.seed,
        backend=arguments.backend,
    )
    print(flow)
    results: Results = {arguments.csv: flow.to_csv, arguments.figure: partial(write_figure, flow)}
    failures = write(results)
    return _report(results, failures, f"; {time.perf_counter() - started:.2f} s in all")


def _add_warmup(commands: Any) -> None:
    warmup = commands.add_parser(
        "warmup",
        help="compile ahead, for containers and continuous integration",
        description="Compile the programs that training such networks needs and keep them on disk, in "
        "$FASTMLP_CACHE_DIR or the user's cache folder.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    warmup.add_argument("--features", type=int, default=784)
    warmup.add_argument("--hidden", default="256,128", help="widths of the hidden layers, '' for none")
    warmup.add_argument("--outputs", type=int, default=10)
    warmup.add_argument("--optimizer", choices=("sgd", "momentum", "nesterov", "adam"), default="sgd")
    warmup.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    warmup.set_defaults(run=_warmup)


def _warmup(arguments: argparse.Namespace) -> int:
    seconds = fastmlp.warmup(
        num_features=arguments.features,
        hidden=_widths(arguments.hidden),
        num_outputs=arguments.outputs,
        optimizer=arguments.optimizer,
        dtype=arguments.dtype,
    )
    print(f"compiled programs are ready after {seconds:.2f} s")
    return 0


def _train(arguments: argparse.Namespace) -> int:
    from fastmlp.targets import learn_coding

    started = time.perf_counter()
    _check_results(arguments, "figure", "model")
    X, y, name = _load(arguments)
    options = _training_options(arguments) | {"backend": arguments.backend, "epoch_loss": arguments.epoch_loss}
    if arguments.recipe:
        X = fastmlp.reference.normalize(X)
        options |= {"init": 0.01, "normalize": None, "epoch_loss": "full"}
    X_train, X_test, y_train, y_test = _split(X, y, arguments)
    learn_coding(y_train, len(y_train), arguments.loss).encode(y_test, len(y_test), "y of the test rows")
    print(f"{name}: {len(X_train):,} training rows, {len(X_test):,} test rows, {X.shape[1]} features")

    began = time.perf_counter()
    last: deque[fastmlp.MLP] = deque(maxlen=1)
    options["callbacks"] = [lambda model, history: last.append(model)]
    try:
        model = fastmlp.train(X_train, y_train, validation_data=(X_test, y_test), **options)
        _ignore_interrupts()
    except KeyboardInterrupt:  # one that came outside the epochs
        _ignore_interrupts()
        if not last:
            raise
        model = last[0]
    trained = time.perf_counter() - began

    history = model.history
    if not len(history):
        _complain("error: no epoch was finished, so nothing is written")
        return 1
    results: Results = {arguments.model: model.save, arguments.figure: partial(write_figure, history)}
    failures = write(results)
    if history.val_accuracy:
        print(f"final test accuracy {history.val_accuracy[-1]:.4f}")
    else:
        print(f"final test loss {history.val_loss[-1]:.4f}")
    print(
        f"trained in {trained:.2f} s, of which compiling {history.compile_seconds:.2f} s and epochs "
        f"{sum(history.seconds):.2f} s; {time.perf_counter() - started:.2f} s in all"
    )
    return _report(results, failures)


def _compare(arguments: argparse.Namespace) -> int:
    _check_results(arguments, "figure")
    X, y, name = _load(arguments)
    print(f"{name}: {len(X):,} rows, {X.shape[1]} features")
    report = fastmlp.compare(X, y, steps=_integers("--steps", arguments.steps), **_training_options(arguments))
    print(report)
    results: Results = {arguments.figure: partial(write_figure, report)} if arguments.figure is not None else {}
    return _report(results, write(results)) or int(not report.ok)


def _training_options(arguments: argparse.Namespace) -> dict[str, Any]:
    return {
        "hidden": _widths(arguments.hidden),
        "activation": arguments.activation,
        "loss": arguments.loss,
        "init": _init(arguments.init, "--init"),
        "optimizer": arguments.optimizer,
        "lr": arguments.lr,
        "momentum": arguments.momentum,
        "nesterov": arguments.nesterov,
        "weight_decay": arguments.weight_decay,
        "num_epochs": arguments.epochs,
        "batch_size": arguments.batch_size,
        "normalize": None if arguments.normalize == "none" else arguments.normalize,
        "dtype": arguments.dtype,
        "num_threads": arguments.threads,
        "seed": arguments.seed,
    }


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _widths(text: str) -> tuple[int, ...]:
    return _integers("--hidden", text, "widths", "256,128")


def _integers(option: str, text: str, what: str = "numbers", example: str = "1,10,100") -> tuple[int, ...]:
    try:
        return tuple(int(number) for number in text.split(",") if number.strip())
    except ValueError:
        raise ValueError(f"{option} must be {what} separated by commas such as {example}, got {text!r}") from None


def _init(text: str, option: str) -> str | float:
    if text in ("he", "xavier"):
        return text
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{option} must be 'he', 'xavier' or a number, got {text!r}") from None


def _load(arguments: argparse.Namespace) -> tuple[Any, Any, str]:
    X: Any
    if arguments.data is None:
        X, y = fastmlp.datasets.load_mnist(arguments.samples)
        return X, y, "MNIST"
    from fastmlp import tables, validation

    ending = arguments.data.suffix.lower()
    if ending == ".npz":
        X, y = tables.read_npz(arguments.data)
    elif ending == ".csv":
        if arguments.label is None:
            raise ValueError("--label must name the column of the .csv that holds the labels")
        X, y = tables.read_csv(arguments.data, arguments.label)
    else:
        raise ValueError(f"--data must be a .npz or .csv file, got {arguments.data}")
    return validation.check_features(X), validation.check_targets(y, len(X)), arguments.data.name


def _split(X: Any, y: Any, arguments: argparse.Namespace) -> Any:
    if arguments.data is None and arguments.samples == 70000:
        return X[:60000], X[60000:], y[:60000], y[60000:]
    from sklearn.model_selection import train_test_split

    return train_test_split(X, y, test_size=arguments.test_size, random_state=42)


def _check_results(arguments: argparse.Namespace, *options: str) -> None:
    check_places({option: getattr(arguments, option) for option in options}, getattr(arguments, "data", None))


def _report(results: Iterable[Path], failures: dict[Path, Exception], more: str = "") -> int:
    """Say what was written and what was not, and return the exit status."""
    if written := [str(path) for path in results if path not in failures]:
        print(f"wrote {' and '.join(written)}{more}")
    if failures:
        sentences = (f"{path} could not be written: {reason(error)}" for path, error in failures.items())
        _complain(f"error: {'; '.join(sentences)}")
    return 1 if failures else 0
