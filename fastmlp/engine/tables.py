"""The tables through which compiled code sees all that it works on: each number and each array is declared here, once.

A table is an array of 8-byte slots: integers, floats, and the addresses of arrays. There is one table for each layer
and one for each thread, which tells it about the run, the batch, and what it has for itself. An array's shape is given
in letters:

S  samples in a tile, 64      T  tiles in a full batch        R  units in a panel of the layer
P  panels of the layer        Q  panels of the layer below    V  units in a panel of the layer below
I  rows of a panel of W, QV   N  what adds to this layer, shard by shard; 0 where nothing does
G  words of 64 features       H  shards of the features, or 1
D  features, padded to whole words and one more
O  outputs, padded            W  units in the widest panel
L  listed features of a batch at most, and a word more
K  blocks of features at most, and one more
B  batches of which sums of shards are kept at a time: 2 where a thread may be one phase ahead of another
"""

from typing import NamedTuple

S = 64
"""Samples in a tile, the bits of a mask."""
FEATURE_SHARDS = 4
"""Parts of the first layer's features at most, where these are divided among threads and not its units."""
CHUNK = 128
"""Features whose gradients are finished together when a batch has several tiles."""
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
"""Adam's constants."""


class Field(NamedTuple):
    """A slot of a table."""

    kind: str
    """ "int" or "float"; of an array the kind of its numbers: "number" is the network's, "wide" that of features."""
    shape: str | None = None
    """Of an array that is allocated with the table, its letters and numbers."""
    only: str = ""
    """Where it is needed: "learn", "predict", a form of the first layer, or "inputs", where inputs of activations are
    kept; everywhere by default."""
    later: bool = False
    """Whether it is set from run to run: a number, or the address of an array that is given."""


def _numbers(*names: str, only: str = "", later: bool = False) -> dict[str, Field]:
    return {name: Field("int", only=only, later=later) for name in names}


LAYER = {
    **_numbers("units", "panels", "in_units", "in_panels", "in_rows"),
    **_numbers("by_unit"),  # whether each thread has some of its units
    **_numbers("replicated"),  # whether each thread has all of it for itself; else it has some of the samples
    **_numbers("state"),  # rows from a weight to its optimizer's state
    **_numbers("below"),  # the address of the table of the layer below, 0 of the first
    "W": Field("number", "P I R"),
    "WT": Field("number", "Q P R V"),
    "b": Field("number", "P R"),
    **_numbers("turns"),  # B
    "Z": Field("number", "B N P T S R"),  # what each shard of the first layer adds to this, the first or the second
    "A": Field("number", "P T S R"),  # activations
    "kept": Field("number", "P T S R", "inputs"),  # the inputs of its activation
    "D": Field("number", "P T S R", "learn"),  # deltas
    "M": Field("i64", "P T S"),  # the active units of each sample
    "C": Field("i64", "P T S", "learn"),  # the samples in which each unit is active
}
READER = {
    # the present and the next batch as a reader of its samples leaves it; (2, ...) where both are in use at a time
    "address": Field("i64", "2 T S"),  # where a sample lies; in CSR the number of its first entry
    "end": Field("i64", "2 T S", "csr"),  # the number after its last entry
    "target": Field("i64", "2 T S"),  # the address of its class number, or of a row of numbers
    "copied": Field("number", "2 Q T S V", "dense"),  # the features in panels
    "mask": Field("i64", "2 T G 64", "sparse"),  # the samples in which each feature is not zero
    "nonzero": Field("i64", "T G 64", "sparse"),  # the features that are not zero in each sample
    "index": Field("u16", "L", "sparse"),
    "value": Field("number", "L", "sparse"),
    "cut": Field("i64", "H T S K", "sparse"),  # where blocks of features begin, and where the last one ends
}
SHARED = {
    # the work, and how it is cut up
    **_numbers("begin", "n", later=True),  # samples begin ≤ s < n of the order, in batches
    **_numbers("batch", "tiles", "d", "words", "block", "cuts", "shards", "by_feature"),
    **_numbers("portions"),  # of features: words of 64 where they are listed, else panels
    **_numbers("threads", "all_read"),  # all_read: every thread reads all samples, for itself
    "arrived": Field("i64", "8"),
    # the data: sample o lies at X + o·stride, or from `safe` on at tail + (o - safe)·stride
    **_numbers("X", "order", later=True),
    **_numbers("stride", "raw_bytes", "safe", "tail", only="rows", later=True),
    "indices": Field("i32", only="csr", later=True),
    "indptr": Field("i64", only="csr", later=True),
    "base": Field("wide", "D"),
    "scale": Field("wide", "D"),
    "shift": Field("number", "D"),
    "features": Field("i64", "Q S", "dense"),  # which lanes of the panels are features
    # the step
    **_numbers("targets", "targets_stride", only="learn", later=True),
    **_numbers("lazy", only="learn", later=True),
    **{name: Field("float", only="learn", later=True) for name in ("lr", "momentum", "decay")},
    "share": Field("f64", only="learn", later=True),
    "batch_loss": Field("f64", only="learn", later=True),
    "target_units": Field("number", "O", "learn"),  # the unit in which the loss counts each of O outputs
    "powers": Field("f64", "2"),  # β1 and β2 of Adam to the number of steps so far
    "scores": Field("number", only="predict", later=True),
    # the network
    "h": Field("number", "H P R"),  # what the first layer's product starts with, of each shard of features or once
    "zero": Field("number", "W"),  # a row of W numbers, the widest panel's
}
OWN = {
    **_numbers("thread"),
    # the batch: `size` samples from place `at` of the order on, and the one after it; `turn` tells 0 from 1 by turns
    **_numbers("at", "size", "next_at", "next_size", "turn"),
    "correct1": Field("float"),  # Adam: lr / (1 - β1^t)
    "correct2": Field("float"),  # Adam: 1 / (1 - β2^t)
    "valid": Field("i64", "T 64", "dense"),
    "G": Field("number", "256 W", "learn"),  # the gradients of a CHUNK of rows, while a batch's tiles are added up
    "whole": Field("number", "2 I R", "csr"),  # the gradient of two panels of the first layer; 0 between batches
}
HEAD = {
    # of those who compute the loss, each of all samples or all together
    "loss": Field("f64", "T S", "learn"),
}
RUN = SHARED | READER | HEAD | OWN
SCHEDULE = {
    **_numbers("phases"),
    "ends": Field("i64"),  # where the steps of each phase begin, and where those of the last one end
    "steps": Field("step"),
}
STEP = {
    "stage": Field("int"),  # the address of a function
    "layer": Field("layer"),  # the table that it works on
}
