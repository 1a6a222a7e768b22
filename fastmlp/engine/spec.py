"""What Python and the compiled programs agree on: what is compiled in, and the tables that hold all the rest."""

from typing import NamedTuple

from fastmlp.engine.plan import is_divided_by_feature, is_wide, panel_widths

S = 64
"""Samples in a tile, the bits of a mask."""
FEATURE_SHARDS = 4
"""Parts of the first layer's features at most, where these are divided among threads and not its units."""
CHUNK = 128
"""Features whose gradients are finished together when a batch has several tiles."""
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
"""Adam's constants."""


class Spec(NamedTuple):
    """What is compiled in; everything else is a number in a table."""

    kind: str
    """Of parameters and arithmetic: "f32" or "f64"."""
    raw: str
    """Of the features in memory: "u8", "f32" or "f64"."""
    form: str
    """Of the first layer: "sparse" (dense rows read for what differs from a constant row), "dense" or "csr"."""
    row: int
    """Units in a panel of a hidden layer."""
    out: int
    """Units in a panel of the last layer, equal to `row` if it is also the first."""
    depth: int
    """Hidden layers: 0, 1, 2, or 3 for any more."""
    activation: str
    loss: str
    optimizer: str
    by_unit: bool
    """Whether the first layer's weights are kept by unit, W transposed, so that inactive units cost no gradient."""
    by_feature: bool
    """Whether threads divide the first layer's features among them, not its units."""


KINDS = {"float32": "f32", "float64": "f64", "uint8": "u8"}


def make_spec(architecture, form, raw, dtype, optimizer, by_unit):
    """Return the spec of a program that trains an architecture, and predicts with it.

    `raw` names the features' type, and `by_unit` asks for that layout of W where it can be.
    """
    widths, kind = architecture.widths, KINDS[dtype.name]
    by_feature = is_divided_by_feature(widths, kind, form)
    row, out = panel_widths(widths, kind, form)
    skips = form == "dense" and architecture.activation == "relu" and is_wide(row, kind)
    by_unit = by_unit and skips and not by_feature
    depth = min(3, len(widths) - 2)
    activation, loss = architecture.activation, architecture.loss
    return Spec(kind, KINDS[raw], form, row, out, depth, activation, loss, optimizer, by_unit, by_feature)


# A table is an array of 8-byte slots: integers, floats, and addresses. An address is given by what stands there:
# numbers of a kind ("i64", ...), "number" of the spec's kind, "wide" of the kind in which features are normalised, a
# "row" of a hidden panel or "panel" of the layer's own.

LAYER = {
    "units": "int",
    "panels": "int",
    "in_units": "int",
    "in_panels": "int",
    "in_rows": "int",
    "state": "int",  # rows from a weight to its optimizer's state
    "W": "panel",  # (P, in_rows, R)
    "WT": "row",  # (P_in, P·R, R_in)
    "b": "panel",  # (P, R)
    "Z": "panel",  # (shards, P, T, S, R) what each shard of the first layer adds to this, the first or the second
    "A": "panel",  # (P, T, S, R) activations
    "D": "panel",  # (P, T, S, R) deltas
    "M": "i64",  # (P, T, S) the active units of each sample
    "C": "i64",  # (P, T, 64) the samples in which each unit is active
}
RUN = {
    # the work, and how it is cut up
    **dict.fromkeys(("begin", "n", "batch", "d", "tiles", "words", "block", "cuts", "shards", "hidden"), "int"),
    **dict.fromkeys(("learn", "lazy"), "int"),
    **dict.fromkeys(("lr", "momentum", "decay"), "float"),
    "powers": "f64",  # (2,) β1 and β2 of Adam to the number of steps so far
    # the data: samples begin ≤ s < n of the order, and then sample o lies at X + o·stride, or from `safe` on at
    # tail + (o - safe)·stride
    **dict.fromkeys(("X", "stride", "raw_bytes", "safe", "tail", "targets", "targets_stride"), "int"),
    "indices": "i32",
    "indptr": "i64",
    "order": "i64",
    "labels": "i64",
    "share": "f64",
    "scores": "number",
    "base": "wide",
    "scale": "wide",
    "shift": "number",
    "h": "row",  # (shards, P, R) what the first layer's product starts with, of each shard of features or once
    "zero": "row",
    "target_units": "number",  # (P, R) of the last layer: the unit in which the loss counts each output
    # the network
    "layers": "hidden",
    "last": "last",
    # the present and the next batch, by sample; (2, ...) where both are in use at a time
    "address": "i64",  # (2, T·S) where a sample lies; in CSR the number of its first entry
    "end": "i64",  # (2, T·S) in CSR, the number after its last entry
    "code": "i64",  # (2, T·S)
    "mask": "i64",  # (2, T, words·64) the samples in which each feature is not zero
    "panels": "row",  # (2, P_in, T, S, R) dense features
    "features": "i64",  # (P_in, S) which of them are real
    "nonzero": "i64",  # (T, words, 64) the features that are not zero in each sample
    "index": "u16",
    "value": "number",
    "cut": "i64",  # (shards, T·S, cuts), of each shard of features or once: (T·S, blocks + 1)
    "loss": "f64",  # (T·S,)
    "batch_loss": "f64",
    # the team, and what each thread has for itself
    "threads": "int",
    "arrived": "i64",
    "thread": "int",
    "valid": "i64",  # (T, 64)
    "G": "row",  # the gradients of a chunk of rows, while the tiles of a batch are added up
    "whole": "row",  # (2, in_rows, R) in CSR, the gradient of two panels of the first layer; 0 between batches
}

ROWS = ("stride", "raw_bytes", "safe", "tail")
MEMORY = {
    "sparse": ("mask", "nonzero", "index", "value", "cuts", "cut"),
    "dense": ("panels", "features"),
    "csr": ("end",),
}
"""Fields of a run that have memory in one form of the first layer only."""
DATA = {"sparse": ROWS, "dense": ROWS, "csr": ("indices", "indptr")}
"""Fields that say where the features of a form are."""
LEARNING = ("lazy", "lr", "momentum", "decay", "share", "batch_loss", "labels", "targets", "targets_stride")


def set_before_run(form, learn):
    """Names of the fields that are set from run to run, of a training or of a prediction."""
    return {"begin", "n", "learn", "order", "X", *DATA[form], *(LEARNING if learn else ("scores",))}


def unused(form):
    """Names of the fields that a form of the first layer has no use for."""
    return {name for other in MEMORY for name in MEMORY[other] + DATA[other]} - {*MEMORY[form], *DATA[form]}
