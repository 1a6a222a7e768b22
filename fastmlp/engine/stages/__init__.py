"""The stages of an epoch: stage(address of a run's table, address of a layer's table) is one operation of one layer.

A stage is identified by its name and by the options that are compiled into it: the kinds of numbers, the widths of
panels, an activation, a loss or an optimizer's step. Everything else it reads from the tables.
"""

from collections.abc import Callable
from importlib import import_module
from typing import NamedTuple

HOMES = {
    "locate_rows": "reading",
    "locate_entries": "csr",
    "sort_entries": "csr",
    "list_features": "sparse",
    "copy_features": "dense",
    "mask_features": "sparse",
    "start": "sparse",
    "sparse_product": "sparse",
    "dense_product": "dense",
    "csr_product": "csr",
    "sparse_update": "sparse",
    "dense_update": "dense",
    "transposed_update": "dense",
    "csr_update": "csr",
    "csr_penalty": "csr",
    "product": "upper",
    "keep_inputs": "upper",
    "activate": "upper",
    "drop_units": "dropout",
    "chain_kept": "dropout",
    "spread": "upper",
    "sum_shards": "upper",
    "gather": "upper",
    "backward": "upper",
    "chain": "upper",
    "penalty": "upper",
    "update": "upper",
    "update_biases": "upper",
    "first_gradient": "samples",
    "transposed_gradient": "samples",
    "gradient": "samples",
    "output_product": "samples",
    "output_backward": "samples",
    "output_gradient": "samples",
    "shard_step": "samples",
    "transposed_shard_step": "samples",
    "loss": "output",
    "loss_of_samples": "output",
    "gradient_squares": "clipping",
    "transposed_squares": "clipping",
    "clip": "clipping",
    "clipped_step": "clipping",
    "transposed_step": "clipping",
    "transpose_weights": "clipping",
    "copy_biases": "clipping",
    "smooth": "output",
    "total": "output",
    "write_scores": "output",
    "epoch": "..epoch",
}
"""The module of each stage; its function make_… returns the stage."""


class Stage(NamedTuple):
    """The identity of a stage."""

    name: str
    options: tuple[str | int, ...] = ()

    def __str__(self) -> str:
        return "-".join([self.name, *map(str, self.options)])

    @property
    def module(self) -> str:
        """The module that defines it."""
        home = HOMES[self.name]
        return f"fastmlp.engine.{home[2:]}" if home.startswith("..") else f"fastmlp.engine.stages.{home}"

    @property
    def symbol(self) -> str:
        """Its name in object code."""
        return f"fastmlp_{self}".replace("-", "_")

    def make(self) -> Callable[[int, int], None]:
        """Return the function for Numba to compile; this imports the compiler."""
        return getattr(import_module(self.module), f"make_{self.name}")(*self.options)
