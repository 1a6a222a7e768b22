"""Checks of what a user passes besides arrays: choices, numbers, flags, widths. Nothing here imports NumPy by itself.

Each takes the argument's name and its value, and returns the value as the package uses it, or raises one sentence that
names the argument, what was expected and what came.
"""

import math
import operator
from collections.abc import Collection, Sequence
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

from fastmlp.names import CHOICES, known_as

if TYPE_CHECKING:
    import numpy as np

FLOATS = ("float32", "float64")


def check_choice(name: str, value: object, choices: Collection[str]) -> str:
    """Return `value` if it is one of `choices`."""
    if not isinstance(value, str) or value not in choices:
        here = known_as(value.lower(), CHOICES) if isinstance(value, str) else None
        answer = f"; here it is {here!r}" if here in choices else ""
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}{answer}")
    return value


def check_choices(name: str, value: Any, choices: Collection[str]) -> str | tuple[str, ...]:
    """Return `value` if it is one of `choices`, or a sequence of them as a tuple."""
    if not _is_sequence(value):
        return check_choice(name, value, choices)
    return tuple(str(check_choice(f"{name}[{i}]", choice, choices)) for i, choice in enumerate(value))


def check_activation(name: str, value: Any, choices: Collection[str], depth: int) -> str | tuple[str, ...]:
    """Return the one name of the activation of all `depth` hidden layers, or a tuple of names where they differ."""
    names = check_choices(name, value, choices)
    if isinstance(names, str):
        return names
    if len(names) != depth:
        raise ValueError(f"{name} must be one name, or one for each hidden layer ({depth}), got {len(names)}")
    return names if len(set(names)) > 1 else (*names, "identity")[0]  # without hidden layers, none is needed


def check_rates(name: str, value: Any) -> float | tuple[float, ...]:
    """Return `value` if it is a number of at least 0 and below 1, or a sequence of them as a tuple."""
    if not _is_sequence(value):
        return check_number(name, value, 0.0, 1.0)
    return tuple(check_number(f"{name}[{i}]", rate, 0.0, 1.0) for i, rate in enumerate(value))


def check_dropout(name: str, value: Any, depth: int) -> float | tuple[float, ...]:
    """Return the one rate of dropout of all `depth` hidden layers, or a tuple with one for each."""
    rates = check_rates(name, value)
    if isinstance(rates, tuple) and len(rates) != depth:
        raise ValueError(f"{name} must be one rate, or one for each hidden layer ({depth}), got {len(rates)}")
    return rates


def check_dtype(name: str, value: Any, choices: Collection[str] = FLOATS) -> "np.dtype[Any]":
    """Return the NumPy dtype that `value` stands for, by name, type or dtype, if it is one of `choices`."""
    import numpy as np

    try:
        dtype = None if value is None else np.dtype(value)
    except (TypeError, ValueError, SyntaxError):
        dtype = None
    if dtype is None or dtype not in map(np.dtype, choices):
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}")
    return dtype


def check_integer(name: str, value: Any, minimum: int = 1) -> int:
    """Return `value` as an int of at least `minimum`; Booleans and floats are refused."""
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or _is_flag(value):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if number < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {number}")
    return number


def check_number(name: str, value: Any, low: float, high: float = math.inf, *, low_open: bool = False) -> float:
    """Return `value` as a finite float in [low, high), or in (low, high) with `low_open`."""
    if not isinstance(value, Real) or _is_flag(value):
        raise TypeError(f"{name} must be a number, got {value!r}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number) or number < low or number >= high or (low_open and number == low):
        bound = f"greater than {low:g}" if low_open else f"at least {low:g}"
        below = "" if high == math.inf else f" and below {high:g}"
        raise ValueError(f"{name} must be a finite number {bound}{below}, got {value!r}")
    return number


def check_flag(name: str, value: Any) -> bool:
    """Return `value` if it is a Boolean."""
    if not _is_flag(value):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def _is_flag(value: object) -> bool:
    """Whether a value is a Boolean of Python's or NumPy's, whose types have one name."""
    return type(value).__name__ == "bool"


def _is_sequence(value: object) -> bool:
    """Whether a value is a list, a tuple, an array or the like, and no text."""
    return (isinstance(value, Sequence) or bool(getattr(value, "ndim", None))) and not isinstance(value, str | bytes)


def check_flag_or_choice(name: str, value: Any, choice: str | int) -> Any:
    """Return `value` if it is a Boolean or the one other choice."""
    if _is_flag(value):
        return bool(value)
    if isinstance(value, (str, Integral)) and value == choice:
        return choice
    kind = ValueError if isinstance(choice, str) and isinstance(value, str) else TypeError
    raise kind(f"{name} must be True, False or {choice!r}, got {value!r}")


def check_pair(name: str, value: Any) -> tuple[Any, Any]:
    """Return X and y, which `value` holds."""
    try:
        X, y = value
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a pair (X, y)") from None
    return X, y


def check_hidden(name: str, value: Any) -> tuple[int, ...]:
    """Return the widths of hidden layers as a tuple of positive ints; a bare int is one layer."""
    if isinstance(value, Integral) and not isinstance(value, bool):
        value = (value,)
    if not _is_sequence(value):
        raise TypeError(f"{name} must be a sequence of layer widths such as (256, 128), got {value!r}")
    return tuple(check_integer(f"{name}[{i}]", width) for i, width in enumerate(value))


def check_init(name: str, value: Any) -> str | float:
    """Return the initialisation: "he", "xavier", or a standard deviation."""
    if isinstance(value, str):
        return check_choice(name, value, ("he", "xavier"))
    return check_number(name, value, 0.0, low_open=True)
