"""The tables through which compiled code sees all that it works on: each number and each array is declared here, once.

A table is an array of 8-byte integers, numbers and the addresses of arrays. There is one table for each layer, and one
for each thread, with the run, the batch, and the thread's own arrays. An array's shape is given in letters:

S  samples in a tile, 64      T  tiles in a full batch        R  units in a panel of the layer
P  panels of the layer        Q  panels of the layer below    V  units in a panel of the layer below
I  rows of a panel of W, QV   N  shards that add to this layer, 0 for none
U  shards of samples, where threads divide batches by sample
G  words of 64 features       H  shards of the features, or 1
D  features, padded to whole words and one more
O  outputs, padded            W  units in the widest panel
L  most listed features of a batch, plus one word
K  most blocks of features, plus one
E  parts of the sum of a gradient's squares: those of the layers' weights, and a panel of biases each
Y  most batches of a call, where rows take steps ahead
J  threads, the most that run
B  batches whose sums of shards are stored at a time: 2 if a thread may be one phase ahead of another
"""

from typing import NamedTuple

S = 64
"""Samples in a tile, the bits of a mask."""
CHUNK = 128
"""Features whose gradients are summed over tiles together, when a batch has several tiles."""

AHEAD = 64
"""The most batches of a call in which rows of a CSR first layer take steps ahead."""


class Field(NamedTuple):
    """A slot of a table."""

    kind: str
    """ "int" for a number, else the kind of an array's numbers: "number" is the network's kind, "wide" the wider of the
    network's and the features'."""
    shape: str | None = None
    """The shape of an array that is allocated with the table, in letters and numbers."""
    only: str = ""
    """The only use that needs it: "learn", "predict", a form of the first layer, "rows" (any form but CSR), "samples"
    (batches divided by sample), "penalty", "clip" or "dropout", or two: "csr learn", "csr penalty"; by default every
    use."""
    later: bool = False
    """Whether `Workspace.set` sets it before a run: a number, or the address of an array of the caller."""


def _numbers(*names: str, only: str = "", later: bool = False) -> dict[str, Field]:
    return {name: Field("int", only=only, later=later) for name in names}


class Rate(NamedTuple):
    """The numbers of one step, equal for all weights: a row of the table `rates`, which has one for each batch."""

    lr: float
    decay: float
    """λ, which biases don't know."""
    momentum: float
    beta1: float
    rest1: float
    """1 - β1."""
    beta2: float
    rest2: float
    """1 - β2."""
    epsilon: float
    correct1: float
    """Adam: lr / (1 - β1^t)."""
    correct2: float
    """Adam: 1 / (1 - β2^t)."""
    fresh: float = 0.0
    """1 - d, the weight of new parameters in their running average."""
    clip_norm: float = 0.0
    """The largest norm of the gradient."""
    smoothing: float = 0.0
    """s, the share of a label that is spread over all classes."""


LAYER = {
    **_numbers("units", "panels", "in_units", "in_panels", "in_rows"),
    **_numbers("by_unit"),  # whether each thread owns some of its units
    **_numbers("replicated"),  # whether each thread has its own copy, for all samples; else a thread has some samples
    **_numbers("first_square"),  # where its parts of Σ w² begin, or of the gradient's squares
    **_numbers("bias_square"),  # where those of its biases' gradient begin
    **_numbers("state"),  # offset, in rows of R numbers, from weight row i to its first state row
    **_numbers("below"),  # the address of the table of the layer below; 0 in the first layer
    **_numbers("number"),  # counted from 0, by which its units are drawn
    **_numbers("keep"),  # the probability to keep a unit, in parts of 2^16
    "W": Field("number", "P I R"),
    "WT": Field("number", "Q P R V"),
    "b": Field("number", "P R"),
    **_numbers("turns"),  # B
    "Z": Field("number", "B N P T S R"),  # the partial sums of each shard, in the first or second layer
    "A": Field("number", "P T S R"),  # activations
    "kept": Field("number", "P T S R"),  # the inputs of its activation, where its derivative needs them; else 0
    "D": Field("number", "P T S R", "learn"),  # deltas
    "M": Field("i64", "P T S"),  # the active units of each sample
    "C": Field("i64", "P T S", "learn"),  # the samples in which each unit is active
    "gradient": Field("number", "B U P I R", "samples"),  # of each shard of samples, as W or WT lies
    "bias_gradient": Field("number", "B U P R", "samples"),
}
READER = {
    # a batch as its reader leaves it; (2, ...): the present batch and the next, where both are in use at a time
    "address": Field("i64", "2 T S"),  # the address of a sample; in CSR the index of its first entry
    "end": Field("i64", "2 T S", "csr"),  # the index after its last entry
    "target": Field("i64", "2 T S"),  # the address of its class number, or of a row of numbers
    "copied": Field("number", "2 Q T S V", "dense"),  # the features in panels
    "mask": Field("i64", "2 T G 64", "sparse"),  # the samples in which each feature is not zero
    "nonzero": Field("i64", "T G 64", "sparse"),  # the features that are not zero in each sample
    "index": Field("u16", "L", "sparse"),
    "value": Field("number", "L", "sparse"),
    "cut": Field("i64", "H T S K", "sparse"),  # where each block of features begins, and where the last one ends
}
SHARED = {
    # the work and its division
    **_numbers("begin", "n", later=True),  # samples begin ≤ s < n of the order, in batches
    **_numbers("batch", "tiles", "d", "words", "block", "cuts", "shards", "by_feature"),
    **_numbers("sample_shards"),  # U, or 0
    **_numbers("portions", "portion"),  # of features: words of 64 (sparse), else panels; features in one
    **_numbers("threads", "all_read"),  # all_read: whether every thread reads all samples into its own arrays
    **_numbers("allowed"),  # ticks after which a call ends with the batch that runs
    **_numbers("crowded"),  # whether more threads run than there are cores: those that wait then yield at once
    "arrived": Field("i64", "J 16"),  # what each thread says at a barrier; 128 bytes, as some cores fetch lines in twos
    # the data: sample o lies at X + o·stride, or from `safe` on at tail + (o - safe)·stride
    **_numbers("X", "order", later=True),
    **_numbers("stride", "raw_bytes", "safe", "tail", only="rows", later=True),
    "indices": Field("i32", only="csr", later=True),
    "indptr": Field("i64", only="csr", later=True),
    # the entries of a call by feature, where rows take steps ahead: of feature j from first[j] on
    **_numbers("ahead", only="csr learn", later=True),
    "first": Field("i64", "D", "csr learn"),
    "place": Field("i32", only="csr learn", later=True),  # of the sample in the order, ascending; then one after all
    "scaled": Field("number", only="csr learn", later=True),  # x
    "base": Field("wide", "D"),
    "scale": Field("wide", "D"),
    "shift": Field("number", "D"),
    "features": Field("i64", "Q S", "dense"),  # which lanes of the panels are features
    # the step
    **_numbers("targets", "targets_stride", only="learn", later=True),
    **_numbers("lazy", only="learn", later=True),
    "rates": Field("f64", only="learn", later=True),  # the numbers of each batch's step
    **_numbers("rate_bytes"),  # from a batch's numbers to the next one's
    "share": Field("f64", only="learn", later=True),
    "batch_loss": Field("f64", only="learn", later=True),
    "target_units": Field("number", "O", "learn"),  # the unit of each output in the loss
    "squares": Field("f64", only="penalty", later=True),  # Σ w² before each batch, in parts whose order is fixed
    **_numbers("square_parts"),  # of a batch
    "gradient_squares": Field("f64", "E", "clip"),  # the squares of the batch's gradient, in parts of fixed order
    **_numbers("gradient_parts"),  # E
    "row_squares": Field("number", "P Y R", "csr penalty"),  # of rows' steps, for each batch of a call
    **_numbers("key0", "key1", "steps", only="dropout", later=True),  # the generator's key; steps before this epoch
    "scores": Field("number", only="predict", later=True),
    # the network
    "h": Field("number", "H P R"),  # the start of the first layer's product, one for each of H
    "zero": Field("number", "W"),  # a row of zeros, as wide as the widest panel
}
OWN = {
    **_numbers("thread"),
    # the batch: `size` samples from place `at` of the order on, and the next batch; `turn` alternates between 0 and 1
    **_numbers("at", "size", "next_at", "next_size", "turn"),
    **_numbers("rate"),  # the address of the numbers of this batch's step
    **_numbers("stalled", "elapsed"),  # ticks for which it waited so long that it yielded, of all ticks of a call
    "factor": Field("f64", "8", "clip"),  # what the batch's gradient is multiplied by
    "G": Field("number", "256 W", "learn"),  # the gradients of a CHUNK of rows, summed over the tiles of a batch
    "whole": Field("number", "2 I R", "csr learn"),  # the gradient of two panels of the first layer; 0 between batches
    "due": Field("i32", "D", "csr learn"),  # the place of the next sample that has a feature
    "entry": Field("i64", "D", "csr learn"),  # its entry
    "keeps": Field("i64", "S", "dropout"),  # the units of a word that each sample of a tile keeps
    "listed": Field("i32", "D", "csr learn"),  # the features whose rows take steps in this batch
}
HEAD = {
    # one for each replicated thread, which computes the loss of all samples; else one for all threads
    "loss": Field("f64", "2 T S", "learn"),  # of the present batch and the last one
}
RUN = SHARED | READER | HEAD | OWN
SLOTS = {name: i for i, name in enumerate(RUN)}
"""The place of each field in a thread's table."""
SCHEDULE = (
    "phases",
    "ends",  # the address of where each phase's steps begin, and where the last ones end
    "steps",  # the address of tables of these:
)
STEP = (
    "stage",  # the address of a function
    "layer",  # the address of the table that it works on
)
