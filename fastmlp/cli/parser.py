"""The commands and their options: what they are called, what they mean, and their defaults."""

import argparse
from pathlib import Path
from typing import Any

import fastmlp


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of every command; `command` of what it parses is the name of the module that runs it."""
    parser = argparse.ArgumentParser(prog="fastmlp", description=fastmlp.__doc__.splitlines()[0])
    parser.add_argument("--version", action="version", version=f"fastmlp {fastmlp.__version__}")
    commands = parser.add_subparsers(required=True, dest="command", metavar="command")
    for add in (_add_train, _add_predict, _add_compare, _add_gradients, _add_warmup):
        add(commands)
    return parser


def _add_train(commands: Any) -> None:
    command = _add_command(
        commands,
        "train",
        "train a network on MNIST or on your own data",
        "Train a network, by default 784-256-128-10 on 5,000 embedded MNIST rows, a fifth of them held out for "
        "testing. Of a table, texts become a feature of 0 and 1 for each category, and missing numbers the column's "
        "median; the network keeps how. Writes a figure and the trained network.",
    )
    data, training, path = _add_training_options(command, 20, "passes over the training rows")
    data.add_argument("--test-size", type=float, default=0.2, help="share of the rows held out for testing; of 70,000 "
                      "MNIST rows it is the last 10,000")  # fmt: skip
    data.add_argument("--validation-split", type=float, help="share of the training rows held out, on which each "
                      "epoch's validation figures are taken; by default the test rows are used")  # fmt: skip
    training.add_argument("--epoch-loss", choices=("running", "full"), default="running", help="the loss told of an "
                          "epoch: the mean over its batches, or that of all training rows after it")  # fmt: skip
    training.add_argument("--recipe", action="store_true", help="the from-scratch recipe to the letter: standard "
                          "normal init x 0.01, columns standardised over all rows before the split, SGD 0.1, batch 64, "
                          "loss on the whole training set; off by default")  # fmt: skip
    _add_backend(path)
    results = command.add_argument_group("results")
    _add_place(results, "--figure", "fastmlp-train.png", "where the curves of loss and accuracy go")
    _add_place(results, "--model", "fastmlp-model.npz", "where the network goes, for fastmlp predict and "
               "fastmlp.MLP.load")  # fmt: skip


def _add_predict(commands: Any) -> None:
    command = _add_command(
        commands,
        "predict",
        "predict with a trained network, on other rows of the same columns",
        "Predict what a network that fastmlp train or fastmlp.MLP.save wrote says of each row. Columns are found by "
        "name, in any order; others are left out. Writes a table with one line a row.",
    )
    command.add_argument("model", type=Path, metavar="MODEL", help="the network's .npz file")
    command.add_argument("data", type=Path, metavar="FILE", help="a table with a header (.csv, .tsv, .parquet, also "
                         ".csv.gz), or a .npz with X")  # fmt: skip
    _add_place(command, "--output", "fastmlp-predictions.csv", "where the predictions go, - for standard output")
    command.add_argument("--proba", action="store_true", help="write the probability of each class too; off by default")


def _add_compare(commands: Any) -> None:
    command = _add_command(
        commands,
        "compare",
        "hold the compiled path against the reference, number by number",
        "Train on both paths from the same start, by default 784-256-128-10 on 5,000 embedded MNIST rows: prints how "
        "far apart activations, gradients, parameters and losses are, and how fast each is. The exit status is 1 if a "
        "tolerance is exceeded.",
    )
    _, training, _ = _add_training_options(command, 5, "timed epochs of each path")
    training.add_argument("--steps", default="1,10,100", help="after how many batches to compare")
    results = command.add_argument_group("results")
    results.add_argument("--figure", type=Path, metavar="FILE", help="draw the comparison here; by default nowhere")


def _add_gradients(commands: Any) -> None:
    command = _add_command(
        commands,
        "gradients",
        "see gradients vanish with depth, or hold",
        "Measure how large the gradient of each layer is, for every combination of depth, activation and "
        "initialisation, on embedded MNIST rows. Writes a figure and a table.",
    )
    _add_samples(command)
    command.add_argument("--depths", default="2,4,8", help="numbers of hidden layers")
    command.add_argument("--activations", default="sigmoid,relu", help="of the hidden layers: relu, sigmoid, tanh, "
                         "identity")  # fmt: skip
    command.add_argument("--inits", default="0.01,xavier,he", help="he, xavier, or standard deviations")
    command.add_argument("--width", type=int, default=64, help="units of each hidden layer")
    _add_num_epochs(command, 3, "passes over the rows that each network trains for")
    command.add_argument("--lr", type=float, default=0.1, help="learning rate")
    _add_seed(command)
    _add_backend(command)
    _add_place(command, "--figure", "fastmlp-gradients.png", "where the figure goes")
    _add_place(command, "--csv", "fastmlp-gradients.csv", "where the table goes")


def _add_warmup(commands: Any) -> None:
    command = _add_command(
        commands,
        "warmup",
        "compile ahead, for containers and continuous integration",
        "Compile what training such networks needs and keep it on disk, in $FASTMLP_CACHE_DIR or the "
        "user's cache folder.",
    )
    command.add_argument("--num-features", "--features", type=int, default=784, metavar="N", help="columns of X")
    _add_hidden(command)
    command.add_argument("--num-outputs", "--outputs", type=int, default=10, metavar="N", help="classes")
    command.add_argument("--optimizer", choices=("sgd", "momentum", "nesterov", "adam"), default="sgd",
                         help="how gradients become steps")  # fmt: skip
    command.add_argument("--dtype", choices=("float32", "float64"), default="float32", help="of weights and arithmetic")
    command.add_argument("--everything", "--all", action="store_true", help="compile for every network, which takes "
                         "minutes; off by default")  # fmt: skip


class _HelpFormatter(argparse.HelpFormatter):
    """Help that ends with the default, where there is one; a text that says by itself what happens has None."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.option_strings and action.help and str(action.default) not in ("None", "False", argparse.SUPPRESS):
            return f"{action.help} (default: %(default)s)"
        return action.help


def _add_command(commands: Any, name: str, short: str, long: str) -> argparse.ArgumentParser:
    """Add a command, with one line for the list of commands and a longer text for its own help."""
    command: argparse.ArgumentParser = commands.add_parser(
        name, help=short, description=long, formatter_class=_HelpFormatter
    )
    return command


def _add_training_options(command: argparse.ArgumentParser, num_epochs: int, epochs: str) -> tuple[Any, Any, Any]:
    """Add what every command that trains takes, and return the groups of the data, the training and the path."""
    data = command.add_argument_group("data")
    _add_samples(data)
    data.add_argument("--data", type=Path, metavar="FILE", help="your own data, by default MNIST: a table with a "
                      "header (.csv, .tsv, .parquet, also .csv.gz), whose separator is found, or a .npz with X "
                      "and y")  # fmt: skip
    data.add_argument("--label", metavar="COLUMN", help="the table's column to learn: classes, or numbers with "
                      "fractions for regression; needed with a table")  # fmt: skip
    data.add_argument("--drop", metavar="COLUMNS", action="append", help="the table's columns to leave "
                      "out, with commas between them, such as dates and numbers of rows; none by default")  # fmt: skip
    data.add_argument("--normalize", choices=("auto", "unit", "zscore", "none"), default="auto", help="how features "
                      "are scaled: divided by 255, standardised, not at all, or as they need it")  # fmt: skip
    data.add_argument("--normalize-targets", action=argparse.BooleanOptionalAction, default=True, help="train a "
                      "regression on standardised targets; what is told and predicted has their units")  # fmt: skip
    model = command.add_argument_group("network")
    _add_hidden(model)
    model.add_argument("--activation", choices=("relu", "sigmoid", "tanh", "identity"), default="relu",
                       help="of the hidden layers")  # fmt: skip
    model.add_argument("--loss", choices=("auto", "cross_entropy", "binary_cross_entropy", "mean_squared_error"),
                       default="auto", help="what is made small; by itself the cross-entropy for labels and the mean "
                       "squared error for numbers")  # fmt: skip
    model.add_argument("--init", default="he", help="initial weights: he, xavier, or a standard deviation")
    training = command.add_argument_group("training")
    training.add_argument("--optimizer", choices=("sgd", "adam"), default="sgd", help="how gradients become steps")
    training.add_argument("--lr", type=float, help="learning rate; by default what suits the optimizer and the loss")
    training.add_argument("--momentum", type=float, default=0.0, help="of SGD, from 0 to below 1")
    training.add_argument("--nesterov", action="store_true", help="Nesterov's momentum; off by default")
    training.add_argument("--weight-decay", type=float, default=0.0, help="factor of the L2 penalty on weights")
    training.add_argument("--batch-size", type=int, help="rows a step; by default what suits the problem")
    _add_num_epochs(training, num_epochs, epochs)
    _add_seed(training)
    path = command.add_argument_group("path")
    path.add_argument("--dtype", choices=("float32", "float64"), default="float32", help="of weights and arithmetic")
    path.add_argument("--num-threads", "--threads", type=int, metavar="N", help="at most this many threads; by default "
                      "as many as pay")  # fmt: skip
    return data, training, path


def _add_place(group: Any, option: str, name: str, meaning: str) -> None:
    """Add an option for the file that a result is written to, by default of this name in the current folder."""
    group.add_argument(option, type=Path, default=Path(name), metavar="FILE", help=meaning)


def _add_samples(group: Any) -> None:
    """Add the option for how many rows of MNIST are loaded."""
    group.add_argument("--n-samples", "--samples", type=int, default=5000, metavar="N", help="MNIST rows; above 5,000 "
                       "they come from $FASTMLP_MNIST_DIR or OpenML")  # fmt: skip


def _add_hidden(group: Any) -> None:
    """Add the option for the hidden layers."""
    group.add_argument("--hidden", default="256,128", metavar="WIDTHS", help="widths of the hidden layers, '' for none")


def _add_num_epochs(group: Any, default: int, meaning: str) -> None:
    """Add the option for the number of epochs."""
    group.add_argument("--num-epochs", "--epochs", type=int, default=default, metavar="N", help=meaning)


def _add_seed(group: Any) -> None:
    """Add the option for what fixes chance."""
    group.add_argument("--seed", type=int, default=0, help="fixes initial weights and the order of the rows")


def _add_backend(group: Any) -> None:
    """Add the option for the path that trains."""
    group.add_argument("--backend", choices=("jit", "reference"), default="jit", help="compiled, or plain NumPy with "
                       "the same numbers to rounding")  # fmt: skip
