"""The plan of a training: panels and layouts, decided once from the network, the data and the machine."""

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastmlp.engine.processor import LANES, TARGET, lanes
from fastmlp.reference.activations import ACTIVATIONS, Array

if TYPE_CHECKING:
    from fastmlp.problem import Architecture

TYPICAL_DENSITY = 0.2
"""The density of sparse features that plans assume: a plan must not depend on the actual one."""
SPARSE_BELOW = {32: 0.3, 64: 0.5, 128: 0.55}
"""For widths of a float32 first layer, the density below which lists of non-zeros cost less than all products.

Measured on batches of 16 to 512: the narrower a layer, the more of its time goes to making and walking lists.
"""
SPARSE_BELOW_AT_MOST = 0.4
"""The same of processors that have no instruction for making lists."""
MANY_FEATURES = 384
"""Below this many features, adding up the shards' partial sums costs more than dividing saves."""


def registers(kind: str) -> tuple[int, int]:
    """Return (numbers in a register, registers in the widest panel).

    The widest panel is one for which accumulators of 2 samples × 2 panels fit in the register file. At least 4 numbers,
    even if they take two registers, because narrow kernels process 4 units at a time.
    """
    return max(4, lanes(kind)), 2 if LANES == 8 else 4  # AVX2 has 16 registers, AVX-512 and arm64 have 32


def sparse_below(width: int, kind: str) -> float:
    """Return the density of features below which a first layer of `width` units is faster on lists of non-zeros."""
    fills = width if kind == "f32" else 2 * width  # of float64, half as many units fill a register
    limit = float(np.interp(fills, list(SPARSE_BELOW), list(SPARSE_BELOW.values())))
    return limit if TARGET.compress else min(limit, SPARSE_BELOW_AT_MOST)


def wider(kind: str, raw: str) -> str:
    """The kind in which raw features are normalised: the wider of `raw` and the network's `kind`."""
    return "f64" if raw == "f64" else kind


def is_wide(row: int, kind: str) -> bool:
    """Whether a panel of `row` units has the largest width; for these, kernels skip zeros."""
    register, most = registers(kind)
    return row == most * register


def is_narrow(row: int, kind: str) -> bool:
    """Whether 8 rows of a panel of `row` units fit in half of the registers; a single panel goes 8 rows at a time."""
    register, most = registers(kind)
    return 2 * row <= most * register


def panels_at_once(row: int, kind: str, form: str) -> int:
    """The number of panels that kernels of the first layer take at once: registers hold a wide one of four samples."""
    return 1 if form == "dense" and is_wide(row, kind) else 2


def is_divided_by_feature(widths: Sequence[int], kind: str, form: str) -> bool:
    """Whether threads divide the first layer by feature, not by unit: many features, and units of a panel at most.

    Of two panels where features are listed: the lists are divided, too, and two panels share the walk along them.
    """
    register, most = registers(kind)
    panels = {"csr": 0, "dense": 1, "sparse": 2}[form]
    return widths[0] >= MANY_FEATURES and widths[1] <= panels * most * register


def rows_of_panels(kind: str) -> list[int]:
    """The possible widths of a panel in units, the widest first."""
    register, most = registers(kind)
    return [n * register for n in (4, 2, 1) if n <= most]


def panel_widths(widths: Sequence[int], kind: str, form: str) -> tuple[int, int]:
    """Return (units in a panel of a hidden layer, outputs in a panel of the last) for widths (d, h1, ..., k).

    Wide panels are the fastest; narrower ones are chosen where padding would cost more.
    """
    register, choices = registers(kind)[0], rows_of_panels(kind)
    hidden, outputs = widths[1:-1], widths[-1]
    out = min(row for row in choices if row >= min(outputs, choices[0]))
    if not hidden:
        return out, out

    def cost(row: int) -> float:
        # In cycles of multiply-adds. Panels go in pairs; two threads divide the pairs of a first layer divided by unit.
        pairs = [(-(-h // row) + 1) // 2 for h in hidden]
        if not is_divided_by_feature(widths, kind, form):
            pairs[0] += pairs[0] % 2
        each = row // register
        dense = each * (0.8 if is_wide(row, kind) else 1)
        # A sparse product waits for each of its additions, four cycles.
        first = widths[0] * (dense if form == "dense" else TYPICAL_DENSITY * (max(4, each) + each / 4))
        return first * pairs[0] + sum(m * p * dense for m, p in zip(hidden, pairs[1:], strict=False))

    return min(choices, key=cost), out


class Plan(NamedTuple):
    """All that the stages of a training or of predictions depend on."""

    kind: str
    """The type of parameters and arithmetic: "f32" or "f64"."""
    raw: str
    """The type of the features in memory: "u8", "f32" or "f64"."""
    form: str
    """The form of the first layer: "dense", "csr", or "sparse" for dense rows that mostly equal a constant row."""
    row: int
    """Units in a panel of a hidden layer."""
    out: int
    """Units in a panel of the last layer; equal to `row` if there is no hidden layer."""
    activations: tuple[str, ...]
    """The activation of each hidden layer."""
    by_feature: bool
    """Whether threads divide the first layer by feature, not by unit."""
    loss: str = ""
    optimizer: str = ""
    """Empty for predictions."""
    transposed: bool = False
    """Whether the first layer stores W transposed, one row for each unit, so that inactive units cost no gradient."""
    is_penalized: bool = False
    """Whether Σ w² is told of every batch."""

    @property
    def depth(self) -> int:
        """The number of hidden layers."""
        return len(self.activations)

    def keeps_inputs(self, layer: int) -> bool:
        """Whether the inputs of a layer's activation are kept, because its derivative is a function of the inputs."""
        return bool(self.optimizer) and layer < self.depth and ACTIVATIONS[self.activations[layer]].of_input

    @property
    def first_row(self) -> int:
        """Units in a panel of the first layer."""
        return self.row if self.depth else self.out


KINDS = {"float32": "f32", "float64": "f64", "uint8": "u8"}


def make_plan(
    architecture: "Architecture",
    form: str,
    raw: str,
    dtype: np.dtype[Any],
    optimizer: str = "",
    transposed: bool = False,
    is_penalized: bool = False,
) -> Plan:
    """Return the plan to train an architecture with an optimizer, or without one to predict.

    `raw` is the name of the features' type. `transposed` asks for a transposed W, where the first layer supports it;
    `is_penalized` for Σ w² before every batch.
    """
    widths, kind = architecture.widths, KINDS[dtype.name]
    by_feature = is_divided_by_feature(widths, kind, form)
    row, out = panel_widths(widths, kind, form)
    activations = architecture.activations
    skips = form == "dense" and activations[:1] == ("relu",) and is_wide(row, kind)
    return Plan(
        kind=kind,
        raw=KINDS[raw],
        form=form,
        row=row,
        out=out,
        activations=activations,
        by_feature=by_feature,
        loss=architecture.loss,
        optimizer=optimizer,
        transposed=transposed and skips and not by_feature,
        is_penalized=is_penalized,
    )


class LayerPlan(NamedTuple):
    """The sizes of one layer in panels."""

    in_units: int
    units: int
    in_row: int
    row: int

    @property
    def panels(self) -> int:
        return -(-self.units // self.row)

    @property
    def in_panels(self) -> int:
        return -(-self.in_units // self.in_row)

    @property
    def in_rows(self) -> int:
        """Rows of a panel of W: the inputs, padded to whole panels."""
        return self.in_panels * self.in_row


def shards_of_units(panels: int) -> int:
    """Return the number of shards into which the units of a first layer of `panels` panels are divided.

    The order of every sum depends on it, so it must not depend on the machine: the same network has the same bits on
    any number of cores. Four shards if there are as many panels. Wider layers have four panels a shard, and at most 64
    shards.
    """
    return min(panels, max(4, min(64, panels // 4)))


def plan_layers(widths: Sequence[int], row: int, out: int) -> list[LayerPlan]:
    """Return a LayerPlan for each layer."""
    last = len(widths) - 2
    return [LayerPlan(m, p, row, out if i == last else row) for i, (m, p) in enumerate(pairwise(widths))]


def pack_weights(W: Array, plan: LayerPlan) -> Array:
    """(in, out) → (P, in_rows, R), padded with zeros."""
    padded = np.zeros((plan.in_rows, plan.panels * plan.row), W.dtype)
    padded[: plan.in_units, : plan.units] = W
    return padded.reshape(plan.in_rows, plan.panels, plan.row).transpose(1, 0, 2)


def unpack_weights(packed: Array, plan: LayerPlan) -> Array:
    """The inverse of `pack_weights`."""
    wide = packed.transpose(1, 0, 2).reshape(plan.in_rows, plan.panels * plan.row)
    return wide[: plan.in_units, : plan.units]


def transpose_panels(packed: Array, plan: LayerPlan) -> Array:
    """(P, in_rows, R) → (Q, P, R, R_in), a view: the same weights as panels of W transposed."""
    return packed.reshape(plan.panels, plan.in_panels, plan.in_row, plan.row).transpose(1, 0, 3, 2)


def restore_panels(transposed: Array, plan: LayerPlan) -> Array:
    """The inverse of `transpose_panels`."""
    return transposed.transpose(1, 0, 3, 2).reshape(plan.panels, plan.in_rows, plan.row)


def pack_biases(b: Array, plan: LayerPlan) -> Array:
    """(out,) → (P, R), padded with zeros."""
    padded = np.zeros(plan.panels * plan.row, b.dtype)
    padded[: plan.units] = b
    return padded.reshape(plan.panels, plan.row)
