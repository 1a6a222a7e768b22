"""The plan of a training: panels and layouts, decided once from the network, the data and the machine."""

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastmlp.engine.processor import LANES, TARGET, lanes
from fastmlp.reference.activations import ACTIVATIONS
from fastmlp.reference.dropout import WHOLE, keep_parts
from fastmlp.reference.losses import LOSSES
from fastmlp.reference.optimizers import ADD_GRADIENT, OPTIMIZERS

if TYPE_CHECKING:
    from fastmlp.problem import Architecture

TYPICAL_DENSITY = 0.2
"""The density of sparse features that plans assume: a plan must not depend on the actual one."""
TRANSPOSE_FROM = 48
"""Batch size from which skipping inactive units saves more than transposing the first layer's weights costs."""
SMALL = 1 << 15
"""Most parameters of a network of which each thread has a copy, with gradients beside, in its cache."""
PARAMETERS_PER_SAMPLE = 128
"""Most parameters for each sample of a batch: with more, gradients that cross cost more than activations would."""
SAMPLES_PER_PAIR = 256
"""Fewest samples for each two shards of samples, if there are more than two: the gradients of each shard cross."""
SAMPLE_SHARDS = 8
"""The most shards of samples."""
ACTIVE = 0.5
"""The share of active units that a plan expects of relu."""
FEW_ACTIVE = 0.5
"""Where at most this share of the first layer's units takes part, a step of each unit's own samples pays for keeping
the weights by unit as well."""
SPARSE_BELOW = {32: 0.3, 64: 0.5, 128: 0.55}
"""For widths of a float32 first layer, the density below which lists of non-zeros cost less than all products.

Measured on batches of 16 to 512: the narrower a layer, the more of its time goes to making and walking lists.
"""
SPARSE_BELOW_AT_MOST = 0.4
"""The same of processors that have no instruction for making lists."""
NARROW_COST = 1.2
"""Time of a multiply-add in narrow panels, in those of wide ones."""
PADDED_COST = 0.7
"""Time of a step of each unit's own samples, about half of them, in steps of all samples with as many features."""
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


def panels_at_once(row: int, kind: str, skips: bool) -> int:
    """How many panels of `row` units a kernel takes at a time: accumulators of four samples or units fill registers."""
    return 1 if is_wide(row, kind) and not skips else 2


def is_divided_by_feature(widths: Sequence[int], kind: str, form: str) -> bool:
    """Whether threads divide the first layer by feature, not by unit: many features, and units of a panel at most.

    Of two panels where features are listed: the lists are divided, too, and two panels share the walk along them.
    """
    register, most = registers(kind)
    panels = {"csr": 0, "dense": 1, "sparse": 2}[form]
    return widths[0] >= MANY_FEATURES and widths[1] <= panels * most * register


def pays_by_unit(d: int, row: int) -> bool:
    """Whether steps of each unit's own samples save more than padding d features to pairs of panels costs."""
    return PADDED_COST * -(-d // (2 * row)) * 2 * row < d


def is_divided_by_sample(widths: Sequence[int], form: str, batch: int) -> bool:
    """Whether threads divide batches by sample: few weights, of which each thread has a copy, and large batches."""
    parameters = sum((m + 1) * p for m, p in pairwise(widths))
    enough = batch >= TRANSPOSE_FROM and parameters <= min(SMALL, PARAMETERS_PER_SAMPLE * batch)
    return form == "dense" and len(widths) > 2 and enough


def shards_of_samples(batch: int) -> int:
    """Return the number of shards into which the samples of a batch are divided, whatever the machine."""
    return max(2, min(SAMPLE_SHARDS, 2 * (batch // SAMPLES_PER_PAIR)))


def rows_of_panels(kind: str) -> list[int]:
    """The possible widths of a panel in units, the widest first."""
    register, most = registers(kind)
    return [n * register for n in (4, 2, 1) if n <= most]


def panel_widths(widths: Sequence[int], kind: str, form: str, by_sample: bool = False) -> tuple[int, int]:
    """Return (units in a panel of a hidden layer, outputs in a panel of the last) for widths (d, h1, ..., k).

    Wide panels are the fastest; narrower ones are chosen where padding would cost more. `by_sample` says that every
    thread takes whole layers.
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

    def cost_of_whole(row: int) -> float:
        # The same of networks divided by sample: narrow panels go in pairs, wide ones alone.
        at_once = panels_at_once(row, kind, skips=False)
        padded = [-(-h // (at_once * row)) * at_once * row for h in hidden]
        return sum(m * p for m, p in zip(widths, padded, strict=False)) * (1 if is_wide(row, kind) else NARROW_COST)

    return min(choices, key=cost_of_whole if by_sample else cost), out


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
    """The step that follows a gradient, see `averaged`; empty for predictions."""
    transposed: bool = False
    """Whether the first layer stores W transposed, one row for each unit, so that inactive units cost no gradient."""
    is_penalized: bool = False
    """Whether Σ w² is told of every batch."""
    by_sample: bool = False
    """Whether threads divide batches by sample, each with its own copy of the weights."""
    keep: tuple[int, ...] = ()
    """The probability to keep a unit of each hidden layer, in parts of 2^16; empty if none drops units."""
    is_clipped: bool = False
    """Whether the gradient is whole before any weight takes a step."""
    is_smoothed: bool = False
    """Whether class numbers stand for smoothed labels."""

    @property
    def by_unit(self) -> bool:
        """Whether threads divide the units of the first layer."""
        return not (self.by_feature or self.by_sample)

    @property
    def depth(self) -> int:
        """The number of hidden layers."""
        return len(self.activations)

    def keeps_inputs(self, layer: int) -> bool:
        """Whether the inputs of a layer's activation are kept, because its derivative is a function of the inputs."""
        return bool(self.optimizer) and layer < self.depth and ACTIVATIONS[self.activations[layer]].of_input

    def drops(self, layer: int) -> bool:
        """Whether a hidden layer drops units."""
        return bool(self.keep) and self.keep[layer] < WHOLE

    def skips(self, layer: int) -> bool:
        """Whether kernels skip the inactive units of a layer; where all are active, that only costs time."""
        if layer == self.depth or not is_wide(self.row, self.kind):
            return False
        return self.activations[layer] == "relu" or self.drops(layer)

    @property
    def has_few_outputs(self) -> bool:
        """Whether the last layer's arrays hold a row for each output, whose lanes are samples, or units below."""
        return self.by_sample and self.out == registers(self.kind)[0]

    @property
    def gradient_step(self) -> str:
        """What becomes of a gradient as soon as it is known."""
        return "keep_gradient" if self.is_clipped else self.optimizer

    @property
    def first_row(self) -> int:
        """Units in a panel of the first layer."""
        return self.row if self.depth else self.out


_AVERAGED = "averaged_"


def averaged(optimizer: str) -> str:
    """Return the name of an optimizer's step that is followed by an update of the parameters' running average."""
    return f"{_AVERAGED}{optimizer}"


def arrays_of(step: str) -> int:
    """Return how many arrays of the shape of the parameters a step of `Plan.gradient_step` has beside them."""
    kept = {"add_gradient": ADD_GRADIENT.arrays, "keep_gradient": 0}
    if step in kept:
        return kept[step]
    return OPTIMIZERS[step.removeprefix(_AVERAGED)].arrays + step.startswith(_AVERAGED)


KINDS = {"float32": "f32", "float64": "f64", "uint8": "u8"}


def make_plan(
    architecture: "Architecture",
    form: str,
    raw: str,
    dtype: np.dtype[Any],
    optimizer: str = "",
    batch: int = 1,
    is_penalized: bool = False,
    rates: Sequence[float] = (),
    is_clipped: bool = False,
    is_smoothed: bool = False,
) -> Plan:
    """Return the plan to train an architecture with an optimizer, or without one to predict.

    `raw` is the name of the features' type, `batch` the samples of a batch; `is_penalized` asks for Σ w² before every
    batch, `is_clipped` for clipping by norm, `is_smoothed` for label smoothing. `rates` are those of dropout, of each
    hidden layer or none.
    """
    widths, kind = architecture.widths, KINDS[dtype.name]
    is_smoothed = is_smoothed and LOSSES[architecture.loss].targets == "classes"
    is_plain = bool(optimizer) and not (is_clipped or is_smoothed)
    by_sample = is_plain and is_divided_by_sample(widths, form, batch)
    by_feature = not by_sample and is_divided_by_feature(widths, kind, form)
    row, out = panel_widths(widths, kind, form, by_sample)
    activations = architecture.activations
    keep = tuple(map(keep_parts, rates))
    share = (ACTIVE if activations[:1] == ("relu",) else 1) * (keep[0] / WHOLE if keep else 1)
    skips = form == "dense" and share <= FEW_ACTIVE and is_wide(row, kind) and pays_by_unit(widths[0], row)
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
        transposed=batch >= TRANSPOSE_FROM and skips and not by_feature,
        is_penalized=is_penalized,
        by_sample=by_sample,
        keep=keep,
        is_clipped=is_clipped,
        is_smoothed=is_smoothed,
    )


def is_transposed(plan: Plan, layer: int) -> bool:
    """Whether a layer is trained as WT."""
    return (layer == 0 and plan.transposed) or (layer == plan.depth and plan.has_few_outputs)


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


def shards_of_units(units: int, panels: int) -> int:
    """Return the number of shards into which the units of a first layer of `panels` panels are divided.

    The order of every sum depends on it, so it must not depend on the machine: the same network has the same bits on
    any number of cores. Four shards if there are as many panels; eight from 512 units on; in wider layers a shard has
    128 units, as each one's partial sums cost time, and there are at most 64.
    """
    return min(panels, max(4, min(8, units // 64), min(64, units // 128)))


def shards_of_features(features: int, portions: int) -> int:
    """Return the number of shards of the features, which come in portions, where a first layer is divided by them.

    Four, or in wider rows one for 256 features, at most 64.
    """
    return min(portions, max(4, min(64, features // 256)))


def plan_layers(widths: Sequence[int], row: int, out: int) -> list[LayerPlan]:
    """Return a LayerPlan for each layer."""
    last = len(widths) - 2
    return [LayerPlan(m, p, row, out if i == last else row) for i, (m, p) in enumerate(pairwise(widths))]
