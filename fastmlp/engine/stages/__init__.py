"""The stages of an epoch: each is one layer's operation, compiled once, stage(address of a run's table, of a layer's).

A stage is known by its name and by what is compiled into it, and nothing else: the kinds of numbers, the widths of
panels, an activation, a loss or an optimizer's step. All the rest is numbers in the tables.
"""

from collections.abc import Callable
from importlib import import_module
from typing import NamedTuple

HOMES = {
    "locate_rows": "reading",
    "locate_entries": "csr",
    "list_features": "sparse",
    "copy_features": "dense",
    "mask_features": "sparse",
    "sparse_product": "sparse",
    "dense_product": "dense",
    "csr_product": "csr",
    "sparse_update": "sparse",
    "dense_update": "dense",
    "transposed_update": "dense",
    "csr_update": "csr",
    "product": "upper",
    "keep_inputs": "upper",
    "activate": "upper",
    "spread": "upper",
    "sum_shards": "upper",
    "gather": "upper",
    "backward": "upper",
    "chain": "upper",
    "update": "upper",
    "update_biases": "upper",
    "loss": "output",
    "total": "output",
    "write_scores": "output",
    "epoch": "..epoch",
}
"""The module of each stage; it has a function make_… that returns it."""


class Stage(NamedTuple):
    """What a stage is known by."""

    name: str
    options: tuple[str | int, ...] = ()

    def __str__(self) -> str:
        return "-".join([self.name, *map(str, self.options)])

    @property
    def module(self) -> str:
        """Where it is written."""
        home = HOMES[self.name]
        return f"fastmlp.engine.{home[2:]}" if home.startswith("..") else f"fastmlp.engine.stages.{home}"

    @property
    def symbol(self) -> str:
        """What its object code calls it."""
        return f"fastmlp_{self}".replace("-", "_")

    def make(self) -> Callable[[int, int], None]:
        """Return the function for Numba to compile; this imports the compiler."""
        return getattr(import_module(self.module), f"make_{self.name}")(*self.options)
