"""The options of every command: each explained, its default told, and called as in Python."""

import argparse
import inspect

import pytest

import fastmlp
from fastmlp.cli.options import training_options
from fastmlp.cli.parser import make_parser

FUNCTIONS = {
    "train": fastmlp.train, "compare": fastmlp.compare, "gradients": fastmlp.gradient_flow, "warmup": fastmlp.warmup,
}  # fmt: skip
FILES = {"data", "label", "drop", "model", "figure", "csv", "output"}
"""Options that only a command has."""
COMMANDS = next(action for action in make_parser()._actions if isinstance(action, argparse._SubParsersAction)).choices
OPTIONS = [
    pytest.param(name, action, id=f"{name} {(action.option_strings or [action.dest])[0]}")
    for name, command in COMMANDS.items()
    for action in command._actions
    if action.dest != "help"
]


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
