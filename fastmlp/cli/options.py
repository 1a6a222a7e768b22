"""Turns the texts of options into the values that functions take."""

import argparse
from typing import Any

from fastmlp.options import OPTIONS


def training_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the hyperparameters that a command was given, as keyword arguments of `fastmlp.train`."""
    options = {name: value for name in OPTIONS if (value := getattr(arguments, name, None)) is not None}
    return options | {
        "hidden": widths(arguments.hidden),
        "activation": names(arguments.activation, ","),
        "dropout": rates(arguments.dropout),
        "init": init(arguments.init, "--init"),
        "normalize": None if arguments.normalize == "none" else arguments.normalize,
    }


def words(text: str, separator: str = ",") -> list[str]:
    """Return what stands between separators."""
    return [word.strip() for word in text.split(separator) if word.strip()]


def names(text: str, separator: str) -> str | list[str]:
    """Return the one name in a text, or the names between separators."""
    found = words(text, separator)
    return found[0] if len(found) == 1 else found


def rates(text: str | float) -> float | list[float]:
    """Return the one rate in a text, or the rates between commas; the default comes as a number."""
    try:
        found = [float(number) for number in words(str(text))]
    except ValueError:
        found = []
    if not found:
        raise ValueError(f"--dropout must be a rate, or rates separated by commas such as 0.2,0.5, got {text!r}")
    return found[0] if len(found) == 1 else found


def widths(text: str) -> tuple[int, ...]:
    """Return the widths of hidden layers."""
    return integers("--hidden", text, "widths", "256,128")


def integers(option: str, text: str, what: str = "numbers", example: str = "1,10,100") -> tuple[int, ...]:
    """Return the integers between commas; an error names the option."""
    try:
        return tuple(int(number) for number in text.split(",") if number.strip())
    except ValueError:
        raise ValueError(f"{option} must be {what} separated by commas such as {example}, got {text!r}") from None


def init(text: str, option: str) -> str | float:
    """Return an initialisation: its name, or a standard deviation."""
    if text in ("he", "xavier"):
        return text
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{option} must be 'he', 'xavier' or a number, got {text!r}") from None
