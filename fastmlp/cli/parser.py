"""The commands and their options: what they are called, what they mean, and their defaults."""

import argparse
from pathlib import Path
from typing import Any, get_args

import fastmlp
from fastmlp.options import OPTIONS
from fastmlp.reference.optimizers import OPTIMIZERS


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
    data, training, path = _add_training_options(command)
    data.add_argument("--test-size", type=float, default=0.2, help="share of the rows held out for testing; of 70,000 "
                      "MNIST rows it is the last 10,000")  # fmt: skip
    _add_option(data, "validation_split")
    _add_option(training, "epoch_loss")
    training.add_argument("--recipe", action="store_true", help="the from-scratch recipe to the letter: standard "
                          "normal init x 0.01, columns standardised over all rows before the split, SGD 0.1, batch 64, "
                          "loss on the whole training set; off by default")  # fmt: skip
    _add_option(path, "backend")
    results = command.add_argument_group("results")
    _add_place(results, "--figure", "fastmlp-train.png", "where the curves of loss and accuracy go")
    _add_place(results, "--model", "fastmlp-model.npz", "where the network goes, for fastmlp predict and "
               "fastmlp.MLP.load")  # fmt: skip
    results.add_argument("--checkpoint", type=Path, metavar="FILE", help="keep all of the training here after each "
                         "epoch, for --resume; by default nowhere")  # fmt: skip
    training.add_argument("--resume", type=Path, metavar="FILE", help="go on from a --checkpoint of the same command, "
                          "to --num-epochs in all; by default from the start")  # fmt: skip


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
    _, training, _ = _add_training_options(command, default=5, help="timed epochs of each path")
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
    command.add_argument("--activations", default="sigmoid,relu", help="of the hidden layers, such as relu, or "
                         "relu/tanh where they differ")  # fmt: skip
    command.add_argument("--inits", default="0.01,xavier,he", help="he, xavier, or standard deviations")
    command.add_argument("--width", type=int, default=64, help="units of each hidden layer")
    _add_num_epochs(command, default=3, help="passes over the rows that each network trains for")
    _add_option(command, "lr", default=0.1, help="learning rate")
    _add_option(command, "seed", default=0)
    _add_option(command, "backend")
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
    _add_option(command, "optimizer", choices=tuple(OPTIMIZERS))
    _add_dropout(command)
    _add_option(command, "clip_norm")
    _add_option(command, "ema_decay")
    _add_option(command, "label_smoothing")
    _add_option(command, "dtype")
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


def _add_training_options(command: argparse.ArgumentParser, **epochs: Any) -> tuple[Any, Any, Any]:
    """Add what every command that trains takes, and return the groups of the data, the training and the path.

    `epochs` is what the number of epochs has of its own, as in `_add_option`.
    """
    data = command.add_argument_group("data")
    _add_samples(data)
    data.add_argument("--data", type=Path, metavar="FILE", help="your own data, by default MNIST: a table with a "
                      "header (.csv, .tsv, .parquet, also .csv.gz), whose separator is found, or a .npz with X "
                      "and y")  # fmt: skip
    data.add_argument("--label", metavar="COLUMN", help="the table's column to learn: classes, or numbers with "
                      "fractions for regression; needed with a table")  # fmt: skip
    data.add_argument("--drop", metavar="COLUMNS", action="append", help="the table's columns to leave "
                      "out, with commas between them, such as dates and numbers of rows; none by default")  # fmt: skip
    _add_option(data, "normalize", choices=(*OPTIONS["normalize"].metadata["choices"], "none"))
    _add_option(data, "normalize_targets")
    model = command.add_argument_group("network")
    _add_hidden(model)
    _add_option(model, "activation", choices=None, metavar="NAMES")
    for name in ("loss", "init"):
        _add_option(model, name)
    training = command.add_argument_group("training")
    for name in ("optimizer", "lr", "lr_schedule", "warmup_epochs", "momentum", "nesterov", "weight_decay"):
        _add_option(training, name)
    for name in ("clip_norm", "ema_decay", "label_smoothing", "batch_size"):
        _add_option(training, name)
    _add_dropout(training)
    _add_num_epochs(training, **epochs)
    _add_option(training, "seed", default=0)
    path = command.add_argument_group("path")
    _add_option(path, "dtype")
    _add_option(path, "num_threads", "--threads", metavar="N")
    return data, training, path


def _add_place(group: Any, option: str, name: str, meaning: str) -> None:
    """Add an option for the file that a result is written to, by default of this name in the current folder."""
    group.add_argument(option, type=Path, default=Path(name), metavar="FILE", help=meaning)


def _add_samples(group: Any) -> None:
    """Add the option for how many rows of MNIST are loaded."""
    group.add_argument("--n-samples", "--samples", type=int, default=5000, metavar="N", help="MNIST rows; above 5,000 "
                       "they come from $FASTMLP_MNIST_DIR or OpenML")  # fmt: skip


def _add_option(group: Any, name: str, *other_names: str, **changes: Any) -> None:
    """Add the option of a hyperparameter, as `fastmlp.options` tells it but for some changes."""
    option = OPTIONS[name]
    settings: dict[str, Any] = {"default": option.default, "help": option.metadata["help"]}
    if option.type is bool:
        settings["action"] = argparse.BooleanOptionalAction if option.default else "store_true"
    elif option.metadata["choices"]:
        settings["choices"] = option.metadata["choices"]
    else:  # a hyperparameter that may be a word stays a text
        types = get_args(option.type) or (option.type,)
        settings["type"] = next((kind for kind in (str, float, int) if kind in types), str)
    group.add_argument(f"--{name.replace('_', '-')}", *other_names, **settings | changes)


def _add_hidden(group: Any) -> None:
    """Add the option for the hidden layers."""
    _add_option(group, "hidden", type=str, default="256,128", metavar="WIDTHS")


def _add_dropout(group: Any) -> None:
    """Add the option for the share of hidden units that a step leaves out."""
    _add_option(group, "dropout", type=str, metavar="RATES")


def _add_num_epochs(group: Any, **changes: Any) -> None:
    """Add the option for the number of epochs."""
    _add_option(group, "num_epochs", "--epochs", metavar="N", **changes)
