"""The hyperparameters, told once: the functions and commands hold to the table, and commands explain each of theirs."""

import argparse
import inspect
import re

import numpy as np
import pytest

import fastmlp
from fastmlp.cli.options import training_options
from fastmlp.cli.parser import make_parser
from fastmlp.options import OPTIONS as HYPERPARAMETERS
from fastmlp.options import Options, is_optional, read_options
from fastmlp.reference.activations import ACTIVATIONS
from fastmlp.reference.losses import LOSSES
from fastmlp.reference.optimizers import OPTIMIZERS

FUNCTIONS = {
    "train": fastmlp.train, "compare": fastmlp.compare, "gradients": fastmlp.gradient_flow, "warmup": fastmlp.warmup,
}  # fmt: skip
FILES = {"checkpoint", "data", "label", "drop", "model", "figure", "csv", "output"}
"""Options that only a command has."""
COMMANDS = next(action for action in make_parser()._actions if isinstance(action, argparse._SubParsersAction)).choices
OPTIONS = [
    pytest.param(name, action, id=f"{name} {(action.option_strings or [action.dest])[0]}")
    for name, command in COMMANDS.items()
    for action in command._actions
    if action.dest != "help"
]


DATA = {"X", "y", "validation_data", "sample_weight", "params", "resume", "callbacks"}
"""Arguments of `train` that are no hyperparameters."""
OF_COMPARE = {"num_epochs": 5, "batch_size": 64}
"""Where `compare` has a default of its own: few epochs, and batches of one size."""
OF_COMMANDS = {("compare", "num_epochs"): 5, ("gradients", "num_epochs"): 3, ("gradients", "lr"): 0.1}


def test_train_has_every_hyperparameter_with_its_default():
    parameters = inspect.signature(fastmlp.train).parameters
    assert set(parameters) == {*HYPERPARAMETERS, *DATA}
    for name, option in HYPERPARAMETERS.items():
        assert parameters[name].default == option.default, name
        assert type(parameters[name].default) is type(option.default), name
        assert parameters[name].kind is inspect.Parameter.KEYWORD_ONLY, name


def test_compare_has_the_same_defaults():
    parameters = inspect.signature(fastmlp.compare).parameters
    shared = set(parameters) & set(HYPERPARAMETERS)
    assert set(HYPERPARAMETERS) - shared == {
        "shuffle", "validation_split", "backend", "epoch_loss", "track_gradients", "verbose",
    }  # fmt: skip
    for name in shared:
        assert parameters[name].default == OF_COMPARE.get(name, HYPERPARAMETERS[name].default), name


@pytest.mark.parametrize("command", ["train", "compare", "gradients", "warmup"])
def test_commands_hold_to_the_table(command):
    actions = [action for action in COMMANDS[command]._actions if action.dest in HYPERPARAMETERS]
    assert {action.dest for action in actions} >= {"train": {"loss", "backend"}}.get(command, set())
    for action in actions:
        option = HYPERPARAMETERS[action.dest]
        expected = {"hidden": "256,128", "seed": 0}.get(action.dest, option.default)
        assert action.default == OF_COMMANDS.get((command, action.dest), expected), action.dest
        if (command, action.dest) not in OF_COMMANDS:
            assert action.help == option.metadata["help"]
        if option.metadata["choices"] and command != "warmup":
            named = re.findall(r"\w+", action.help) if action.choices is None else action.choices
            assert set(named) >= set(option.metadata["choices"])
            assert action.choices is None or set(named) - {"none"} == set(option.metadata["choices"])


def test_train_on_the_command_line_has_every_hyperparameter_that_is_explained():
    named = {action.dest for action in COMMANDS["train"]._actions}
    assert named & set(HYPERPARAMETERS) == {name for name, option in HYPERPARAMETERS.items() if option.metadata["help"]}


def test_there_is_what_can_be_chosen():
    choices = {name: option.metadata["choices"] for name, option in HYPERPARAMETERS.items()}
    assert set(choices["activation"]) <= set(ACTIVATIONS)
    assert set(choices["loss"]) - {"auto"} <= set(LOSSES)
    assert set(choices["optimizer"]) <= set(OPTIMIZERS) - {"momentum", "nesterov"}


def test_what_is_not_given_is_at_its_default():
    options = read_options({"lr": 0.5, "X": "no hyperparameter"})
    assert (options.lr, options.hidden, options.dtype, options.num_epochs) == (0.5, (256, 128), "float32", 20)
    assert read_options({}) == Options(dtype=options.dtype)


@pytest.mark.parametrize(
    ("hidden", "given", "kept"),
    [
        ((4, 3), "tanh", "tanh"),
        ((4, 3), ["relu", "tanh"], ("relu", "tanh")),
        ((4, 3), ("tanh", "tanh"), "tanh"),
        (4, np.array(["tanh"]), "tanh"),
        ((), "tanh", "tanh"),
        ((), (), "identity"),
    ],
)
def test_activations_that_are_all_the_same_become_one(hidden, given, kept):
    activation = read_options({"hidden": hidden, "activation": given}).activation
    assert (activation, type(activation)) == (kept, type(kept))


@pytest.mark.parametrize("name", HYPERPARAMETERS)
def test_each_is_checked_by_name(name):
    with pytest.raises((ValueError, TypeError), match=f"^{name} must be "):
        read_options({name: object()})


@pytest.mark.parametrize("name", HYPERPARAMETERS)
def test_only_what_may_be_none_may_be_none(name):
    optional = {"lr", "batch_size", "normalize", "validation_split", "num_threads", "seed"}
    if name in optional | {"clip_norm", "warmup_epochs", "ema_decay"}:
        assert is_optional(name)
        assert getattr(read_options({name: None}), name) is None
    else:
        with pytest.raises((ValueError, TypeError), match=f"^{name} must be .*got None"):
            read_options({name: None})


def test_every_command_is_there():
    assert list(COMMANDS) == ["train", "predict", "compare", "gradients", "warmup"]
    assert len(OPTIONS) > 50


@pytest.mark.parametrize(("name", "action"), OPTIONS)
def test_every_option_is_explained_with_its_default(name, action):
    assert action.help
    assert len(action.help.split()) >= 2 or action.dest == "num_outputs"
    if action.option_strings:
        line = COMMANDS[name]._get_formatter()._expand_help(action)
        default = "default" if action.default in (None, False) else f"(default: {action.default})"
        assert default in line or (action.dest == "label" and "needed with a table" in line), line


@pytest.mark.parametrize(("name", "action"), OPTIONS)
def test_every_option_is_called_as_in_python(name, action):
    if name == "predict" or action.dest in FILES | {"test_size", "recipe"}:
        return
    names = set(inspect.signature(FUNCTIONS[name]).parameters)
    names |= set(inspect.signature(fastmlp.datasets.load_mnist).parameters) | set(
        inspect.signature(fastmlp.train).parameters if name in ("compare", "gradients") else ()
    )
    assert action.dest in names
    assert action.option_strings[0] == f"--{action.dest.replace('_', '-')}"


@pytest.mark.parametrize(
    ("command", "new", "old"),
    [
        ("train", "--num-epochs", "--epochs"),
        ("train", "--num-threads", "--threads"),
        ("train", "--n-samples", "--samples"),
        ("compare", "--num-epochs", "--epochs"),
        ("compare", "--num-threads", "--threads"),
        ("compare", "--n-samples", "--samples"),
        ("gradients", "--num-epochs", "--epochs"),
        ("gradients", "--n-samples", "--samples"),
        ("warmup", "--num-features", "--features"),
        ("warmup", "--num-outputs", "--outputs"),
    ],
)
def test_old_names_stay(command, new, old):
    parse = make_parser().parse_args
    assert parse([command, old, "7"]) == parse([command, new, "7"]) != parse([command])


def test_defaults_are_those_of_the_functions():
    for name, function in FUNCTIONS.items():
        parameters = inspect.signature(function).parameters
        for action in COMMANDS[name]._actions:
            default = getattr(parameters.get(action.dest), "default", None)
            if isinstance(default, (int, float)) and action.default is not None:
                assert action.default == default, (name, action.dest)


@pytest.mark.parametrize("name", ["train", "compare"])
def test_what_depends_on_the_problem_is_left_to_the_function(name):
    options = training_options(make_parser().parse_args([name]))
    assert not {"lr", "batch_size"} & set(options)
    options = training_options(make_parser().parse_args([name, "--lr", "0.5", "--batch-size", "7"]))
    assert (options["lr"], options["batch_size"]) == (0.5, 7)
