"""Which program runs and in which shapes: decided once, from the network, the data and the machine."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from fastmlp.engine.processor import lanes


def panel_widths(widths, kind, form):
    """Return (units in a panel of a hidden layer, outputs in a panel of the last) for widths (d, h1, ..., k).

    A panel of four registers is the fastest; a narrower one where padding would cost more than it gains.
    """
    register = lanes(kind)
    hidden, outputs = widths[1:-1], widths[-1]

    def narrowest(count, widest):
        return next((n for n in (register, 2 * register, 4 * register) if n >= min(count, widest)), widest)

    out = narrowest(outputs, 4 * register)
    if not hidden:
        return out, out

    def cost(row):
        # A step takes as long as an addition's latency, four cycles, or as its registers' additions do.
        padded = [-(-h // row) for h in hidden]
        if form != "dense":
            padded[0] = -(-padded[0] // 4) * 4  # two threads with pairs of panels
        work = [widths[0] * padded[0], *(m * p for m, p in zip(hidden, padded[1:], strict=False))]
        return sum(work) * (max(4, row // register) + row / register / 4)

    return min((4 * register, 2 * register, register), key=cost), out


class LayerPlan(NamedTuple):
    """One layer in panels."""

    in_units: int
    units: int
    in_lanes: int
    lanes: int

    @property
    def panels(self):
        return -(-self.units // self.lanes)

    @property
    def in_panels(self):
        return -(-self.in_units // self.in_lanes)

    @property
    def in_rows(self):
        """Rows of a panel of W, a whole number of input panels."""
        return self.in_panels * self.in_lanes


def plan_layers(widths, row, out):
    """Return a LayerPlan for each layer."""
    last = len(widths) - 2
    return [LayerPlan(m, p, row, out if i == last else row) for i, (m, p) in enumerate(pairwise(widths))]


def pack_weights(W, plan):
    """(in, out) → (P, in_rows, R), padded with zeros."""
    padded = np.zeros((plan.in_rows, plan.panels * plan.lanes), W.dtype)
    padded[: plan.in_units, : plan.units] = W
    return padded.reshape(plan.in_rows, plan.panels, plan.lanes).transpose(1, 0, 2)


def unpack_weights(packed, plan):
    """The inverse of `pack_weights`."""
    wide = packed.transpose(1, 0, 2).reshape(plan.in_rows, plan.panels * plan.lanes)
    return wide[: plan.in_units, : plan.units]


def pack_biases(b, plan):
    """(out,) → (P, R), padded with zeros."""
    padded = np.zeros(plan.panels * plan.lanes, b.dtype)
    padded[: plan.units] = b
    return padded.reshape(plan.panels, plan.lanes)
