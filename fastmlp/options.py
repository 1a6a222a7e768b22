"""The hyperparameters of a training: of each its default, its check and its help on the command line, told once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import partial
from types import NoneType
from typing import Any, TypeVar, get_args

from fastmlp.backends import BACKENDS
from fastmlp.checks import (
    FLOATS,
    check_activation,
    check_choice,
    check_choices,
    check_dropout,
    check_dtype,
    check_flag,
    check_flag_or_choice,
    check_hidden,
    check_init,
    check_integer,
    check_number,
    check_rates,
)
from fastmlp.reference.activations import ACTIVATIONS
from fastmlp.reference.losses import LOSSES
from fastmlp.reference.optimizers import OPTIMIZERS
from fastmlp.reference.schedules import SCHEDULES

F = TypeVar("F", bound=Callable[..., Any])
RULES = tuple(name for name, optimizer in OPTIMIZERS.items() if "momentum" not in optimizer.settings)
"""The optimizers that go by their own name; the others are SGD with a momentum."""
FIRST_EPOCH = "first_epoch"


def _option(default: Any, check: Callable[[str, Any], Any], help: str = "", choices: tuple[str, ...] = ()) -> Any:
    return field(default=default, metadata={"check": check, "help": help, "choices": choices})


def _choice(default: str, choices: tuple[str, ...], help: str, check: Callable[..., Any] = check_choice) -> Any:
    return _option(default, partial(check, choices=choices), help, choices)


_positive = partial(check_number, low=0.0, low_open=True)
_natural = partial(check_integer, minimum=0)


@dataclass(frozen=True)
class Options:
    """Hyperparameters as `read_options` checked them; `fastmlp.train` explains each.

    One that may be None has a type that says so. One without help is no option of the command line.
    """

    hidden: tuple[int, ...] = _option((256, 128), check_hidden, "widths of the hidden layers, '' for none")
    activation: str | tuple[str, ...] = _choice(
        "relu",
        tuple(ACTIVATIONS),
        f"of the hidden layers, one for all or one for each with commas between them: {', '.join(ACTIVATIONS)}",
        check_choices,
    )
    loss: str = _choice(
        "auto",
        ("auto", *(name for name, loss in LOSSES.items() if loss.is_offered)),
        "what is made small; by itself the cross-entropy for labels and the mean squared error for numbers",
    )
    init: str | float = _option("he", check_init, "initial weights: he, xavier, or a standard deviation")
    optimizer: str = _choice("sgd", RULES, "how gradients become steps")
    lr: float | None = _option(None, _positive, "learning rate; by default what suits the optimizer and the loss")
    lr_schedule: str = _choice(
        "constant",
        tuple(SCHEDULES),
        "what the learning rate does from step to step: stay, fall to 0 in a straight line or along a cosine, or rise "
        "and fall",
    )
    warmup_epochs: float | None = _option(
        None,
        partial(check_number, low=0.0),
        "epochs in which the learning rate first rises, such as 0.5; by default 0, of one_cycle 0.3 of the training",
    )
    momentum: float = _option(0.0, partial(check_number, low=0.0, high=1.0), "of SGD, from 0 to below 1")
    nesterov: bool = _option(False, check_flag, "Nesterov's momentum; off by default")
    weight_decay: float = _option(0.0, partial(check_number, low=0.0), "factor of the L2 penalty on weights")
    dropout: float | tuple[float, ...] = _option(
        0.0,
        check_rates,
        "share of the hidden units that each step leaves out, one for all layers or one for each with commas between "
        "them",
    )
    clip_norm: float | None = _option(
        None, _positive, "largest norm of a batch's whole gradient, to which larger ones are scaled; by default any"
    )
    ema_decay: float | None = _option(
        None,
        partial(_positive, high=1.0),
        "decay of a running average of the parameters, such as 0.999, which becomes the network; by default none",
    )
    label_smoothing: float = _option(
        0.0,
        partial(check_number, low=0.0, high=1.0),
        "share of each label in training that is spread evenly over all classes, from 0 to below 1",
    )
    num_epochs: int = _option(20, check_integer, "passes over the training rows")
    batch_size: int | None = _option(None, check_integer, "rows a step; by default what suits the problem")
    shuffle: bool = _option(True, check_flag)
    normalize: str | None = _choice(
        "auto",
        ("auto", "unit", "zscore"),
        "how features are scaled: divided by 255, standardised, not at all, or as they need it",
    )
    normalize_targets: bool = _option(
        True, check_flag, "train a regression on standardised targets; what is told and predicted has their units"
    )
    validation_split: float | None = _option(
        None,
        partial(_positive, high=1.0),
        "share of the training rows held out, on which each epoch's validation figures are taken; by default the test "
        "rows are used",
    )
    backend: str = _choice("jit", BACKENDS, "compiled, or plain NumPy with the same numbers to rounding")
    dtype: Any = _choice("float32", FLOATS, "of weights and arithmetic", check_dtype)  # noqa: RUF009  # a field
    num_threads: int | None = _option(None, check_integer, "at most this many threads; by default as many as pay")
    seed: int | None = _option(None, _natural, "fixes initial weights and the order of the rows")
    epoch_loss: str = _choice(
        "running",
        ("running", "full"),
        "the loss told of an epoch: the mean over its batches, or that of all training rows after it",
    )
    track_gradients: bool | str = _option(False, partial(check_flag_or_choice, choice=FIRST_EPOCH))
    verbose: bool | int = _option(True, partial(check_flag_or_choice, choice=2))


OPTIONS = {option.name: option for option in fields(Options)}


def lists_choices(function: F) -> F:
    """Put the choices of hyperparameters where a docstring has their names in angle brackets."""
    for name, option in OPTIONS.items():
        if function.__doc__ and option.metadata["choices"]:
            listed = "{" + ", ".join(f'"{choice}"' for choice in option.metadata["choices"]) + "}"
            function.__doc__ = function.__doc__.replace(f"<{name}>", listed)
    return function


def is_optional(name: str) -> bool:
    """Return whether a hyperparameter may be None."""
    return NoneType in get_args(OPTIONS[name].type)


def read_options(arguments: Mapping[str, Any]) -> Options:
    """Return the hyperparameters among a function's arguments, checked; those that it doesn't have at their defaults.

    Raises
    ------
    ValueError, TypeError
        If one is unfit, or two don't go together; the message names them.
    """
    checked: dict[str, Any] = {}
    for name, option in OPTIONS.items():
        value = arguments.get(name, option.default)
        checked[name] = None if value is None and is_optional(name) else option.metadata["check"](name, value)
    checked["activation"] = check_activation("activation", checked["activation"], ACTIVATIONS, len(checked["hidden"]))
    checked["dropout"] = check_dropout("dropout", checked["dropout"], len(checked["hidden"]))
    options = Options(**checked)
    if options.optimizer != "sgd" and (options.momentum or options.nesterov):
        raise ValueError(
            f"momentum and nesterov belong to optimizer='sgd', got momentum={options.momentum:g} with "
            f"{options.optimizer!r}"
        )
    if options.nesterov and not options.momentum:
        raise ValueError("nesterov=True needs a momentum above 0, got 0")
    if options.warmup_epochs is not None and options.warmup_epochs >= options.num_epochs:
        raise ValueError(f"warmup_epochs must be below num_epochs={options.num_epochs}, got {options.warmup_epochs:g}")
    return options
