"""What one thread does in a batch, as data: phases between barriers, each a list of stages and their layers.

Threads own shards of the first layer: some of its units, with the weights on both sides of them, or where a narrow
layer reads many features some of these, with their weights. What a thread owns never leaves its cache. Only what its
shards add to the layer above, or to the narrow layer itself, crosses to others. A batch of a training has three phases:

1. Each thread computes its shards, all samples, and what they add.
2. Each thread takes some samples through the layers that follow and the loss and back, and reads its part of the next
   batch.
3. Each thread computes the gradients of the weights it owns and updates them, and goes on with phase 1.

Where little work follows the sums, two threads do all of it twice: these layers are replicated, each thread takes all
samples through its own copy and updates that, to the same bits. Phases 2 and 3 then are one, with one barrier in a
batch, and neither deltas nor activations cross.

Every sum is made in one fixed order, and the result is the same to the bit for any number of threads.
"""

from collections.abc import Sequence
from typing import NamedTuple

from fastmlp.engine.plan import Plan
from fastmlp.engine.stages import Stage

EPOCH = Stage("epoch")
"""The loop that plays a schedule."""


class Step(NamedTuple):
    """A stage of a schedule, and the layer that it works on: 0 is the first."""

    stage: Stage
    layer: int

    def __str__(self) -> str:
        return f"{self.stage}, layer {self.layer + 1}"


Phase = list[Step]


def make_schedule(plan: Plan, replicated: bool = False) -> list[Phase]:
    """Return the phases of a plan's batches, after the one that reads the first batch.

    Predictions have the first two; after them, threads wait for each other once more. `replicated` says whether each
    thread has its own copy of the layers that follow the sums of shards.
    """
    read, through = _read(plan), _forward(plan)
    if plan.optimizer:
        through += [Step(Stage("loss", (plan.kind, plan.out, plan.loss)), plan.depth), *_backward(plan)]
    else:
        through += [Step(Stage("write_scores", (plan.kind, plan.out)), plan.depth)]
    update = _update(plan) if plan.optimizer else []
    if replicated:
        return [read, _enter(plan), through + read + update]
    return [read, _enter(plan), through + read, update]


def stages_of(schedule: Sequence[Phase]) -> list[Stage]:
    """Return the stages of a schedule, each once, and the loop that plays it."""
    return list(dict.fromkeys([EPOCH, *(step.stage for phase in schedule for step in phase)]))


def describe(schedule: Sequence[Phase]) -> str:
    """Say in lines what a schedule does."""
    titles = ["before the first batch:", *(f"phase {i}:" for i in range(1, len(schedule)))]
    parts = [[title, *(f"    {step}" for step in phase)] for title, phase in zip(titles, schedule, strict=True)]
    return "\n".join(line for part in parts for line in part)


def _row(plan: Plan, layer: int) -> int:
    """Units in a panel of a layer."""
    return plan.out if layer == plan.depth else plan.row


def layer_of_sums(plan: Plan) -> int | None:
    """The layer to which every shard of the first layer adds, itself where shards are of features; None without."""
    return 0 if plan.by_feature else 1 if plan.depth else None


def _activate(plan: Plan, layer: int) -> list[Step]:
    keep = [Step(Stage("keep_inputs", (plan.kind, plan.row)), layer)] if plan.keeps_inputs else []
    return [*keep, Step(Stage("activate", (plan.kind, plan.row, plan.activation)), layer)]


def _read(plan: Plan) -> list[Step]:
    """The next batch into this thread's memory."""
    features = {
        "sparse": [Step(Stage("list_features", (plan.kind, plan.raw)), 0)],
        "dense": [Step(Stage("copy_features", (plan.kind, plan.raw, plan.first_row)), 0)],
        "csr": [],
    }[plan.form]
    return [Step(Stage("locate_entries" if plan.form == "csr" else "locate_rows"), 0), *features]


def _enter(plan: Plan) -> list[Step]:
    """Phase 1: the first layer."""
    options = (plan.kind, plan.raw, plan.first_row) if plan.form == "csr" else (plan.kind, plan.first_row)
    steps, summed = [Step(Stage(f"{plan.form}_product", options), 0)], layer_of_sums(plan)
    if summed == 1:
        steps += [*_activate(plan, 0), Step(Stage("spread", (plan.kind, plan.row, _row(plan, 1))), 1)]
    if summed is not None:
        steps.append(Step(Stage("sum_shards", (plan.kind, _row(plan, summed))), summed))
    if plan.form == "sparse" and plan.optimizer:
        steps.append(Step(Stage("mask_features"), 0))
    return steps


def _forward(plan: Plan) -> list[Step]:
    """From the sum of the shards to the outputs."""
    summed = layer_of_sums(plan)
    steps = [] if summed is None else [Step(Stage("gather", (plan.kind, _row(plan, summed))), summed)]
    for layer in range(summed or 0, plan.depth + 1):
        if layer > (summed or 0):
            steps.append(Step(Stage("product", (plan.kind, plan.row, _row(plan, layer))), layer))
        if layer < plan.depth:
            steps += _activate(plan, layer)
    return steps


def _backward(plan: Plan) -> list[Step]:
    """The deltas of the layers below the last one, down to the one to which shards add."""
    return [step for layer in range(plan.depth, layer_of_sums(plan) or 0, -1) for step in _delta(plan, layer)]


def _delta(plan: Plan, layer: int) -> list[Step]:
    """The deltas of the layer below."""
    return [
        Step(Stage("backward", (plan.kind, plan.row, _row(plan, layer))), layer),
        Step(Stage("chain", (plan.kind, plan.row, plan.activation)), layer - 1),
    ]


def _update(plan: Plan) -> list[Step]:
    """Phase 3: gradients and steps."""
    steps = [Step(Stage("total"), plan.depth)]
    if layer_of_sums(plan) == 1:
        steps += _delta(plan, 1)
    for layer in range(plan.depth, 0, -1):
        row = _row(plan, layer)
        steps.append(Step(Stage("update", (plan.kind, plan.row, row, plan.optimizer)), layer))
        steps.append(_biases(plan, layer))
    steps.append(_biases(plan, 0))
    if plan.form == "dense":
        name = "transposed_update" if plan.transposed else "dense_update"
        return [*steps, Step(Stage(name, (plan.kind, plan.first_row, plan.optimizer)), 0)]
    return [*steps, Step(Stage(f"{plan.form}_update", (plan.kind, plan.raw, plan.first_row, plan.optimizer)), 0)]


def _biases(plan: Plan, layer: int) -> Step:
    return Step(Stage("update_biases", (plan.kind, _row(plan, layer), plan.optimizer)), layer)
