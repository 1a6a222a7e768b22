"""The text of a compiled function: what `fastmlp.reference` says of it, and what is done differently here."""

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from fastmlp import reference

F = TypeVar("F", bound=Callable[..., Any])


def documented(function: F) -> F:
    """Give a function the docstring of the reference's one of its name, with its own docstring as the notes in it."""
    specification = getattr(reference, function.__name__).__doc__
    if specification is None or function.__doc__ is None:  # Python runs without docstrings
        return function
    before, heading, sources = inspect.cleandoc(specification).partition("References\n----------\n")
    notes = f"Notes\n-----\nCompiled. {inspect.cleandoc(function.__doc__)}\n\n"
    function.__doc__ = f"{before}{notes}{heading}{sources}"
    return function
