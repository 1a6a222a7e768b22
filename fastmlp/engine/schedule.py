"""What one thread does in a batch, as data: phases between barriers, each a list of stages and their layers.

A batch of a training has three phases:

1. Each thread computes its shard of the first layer, all samples, and what that adds to the second layer.
2. Each thread takes some samples through the other layers and the loss and back, and reads its part of the next batch.
3. Each thread computes the gradients of the weights it owns and updates them, and goes on with phase 1.

A thread's shard is some of the first layer's units: the weights on both sides of them, their activations and their
deltas never leave their owner's cache. Where a narrow layer reads many features, a shard is some of the features
instead. Phase 1 then ends with what they add to all units, and phase 2 with the deltas of these: the features and
their weights never leave their owner's cache.

Every sum is made in one fixed order, and the result is the same to the bit for any number of threads.
"""

from typing import NamedTuple

from fastmlp.engine.stages import Stage

EPOCH = Stage("epoch")
"""The loop that plays a schedule."""


class Step(NamedTuple):
    """A stage of a schedule, and the layer that it works on: 0 is the first."""

    stage: Stage
    layer: int

    def __str__(self):
        return f"{self.stage}, layer {self.layer + 1}"


Phase = list[Step]


def make_schedule(plan):
    """Return the phases of a plan's batches, after the one that reads the first batch.

    Predictions have the first two; after them, threads wait for each other once more.
    """
    read, through = _read(plan), _forward(plan)
    if plan.optimizer:
        through += [Step(Stage("loss", (plan.kind, plan.out, plan.loss)), plan.depth), *_backward(plan)]
    else:
        through += [Step(Stage("write_scores", (plan.kind, plan.out)), plan.depth)]
    return [read, _enter(plan), through + read, _update(plan) if plan.optimizer else []]


def stages_of(schedule):
    """Return the stages of a schedule, each once, and the loop that plays it."""
    return list(dict.fromkeys([EPOCH, *(step.stage for phase in schedule for step in phase)]))


def describe(schedule):
    """Say in lines what a schedule does."""
    titles = ["before the first batch:", *(f"phase {i}:" for i in range(1, len(schedule)))]
    parts = [[title, *(f"    {step}" for step in phase)] for title, phase in zip(titles, schedule, strict=True)]
    return "\n".join(line for part in parts for line in part)


def _row(plan, layer):
    """Units in a panel of a layer."""
    return plan.out if layer == plan.depth else plan.row


def _above(plan):
    """The layer to which every shard of the first layer adds: itself where shards are of features."""
    return 0 if plan.by_feature or not plan.depth else 1


def _activate(plan, layer):
    return Step(Stage("activate", (plan.kind, plan.row, plan.activation)), layer)


def _read(plan):
    """The next batch into this thread's memory."""
    features = {
        "sparse": [Step(Stage("list_features", (plan.kind, plan.raw)), 0)],
        "dense": [Step(Stage("copy_features", (plan.kind, plan.raw, plan.first)), 0)],
        "csr": [],
    }[plan.form]
    return [Step(Stage("locate_entries" if plan.form == "csr" else "locate_rows"), 0), *features]


def _enter(plan):
    """Phase 1: the first layer."""
    options = (plan.kind, plan.raw, plan.first) if plan.form == "csr" else (plan.kind, plan.first)
    steps = [Step(Stage(f"{plan.form}_product", options), 0)]
    if _above(plan):
        steps += [_activate(plan, 0), Step(Stage("spread", (plan.kind, plan.row, _row(plan, 1))), 1)]
    if plan.form == "sparse" and plan.optimizer:
        steps.append(Step(Stage("mask_features"), 0))
    return steps


def _forward(plan):
    """From the sum of the shards to the outputs."""
    above = _above(plan)
    steps = []
    if above or plan.by_feature:
        steps.append(Step(Stage("gather", (plan.kind, _row(plan, above))), above))
    for layer in range(above, plan.depth + 1):
        if layer > above:
            steps.append(Step(Stage("product", (plan.kind, plan.row, _row(plan, layer))), layer))
        if layer < plan.depth:
            steps.append(_activate(plan, layer))
    return steps


def _backward(plan):
    """The deltas of the layers below the last one, down to the one to which shards add."""
    return [step for layer in range(plan.depth, _above(plan), -1) for step in _delta(plan, layer)]


def _delta(plan, layer):
    """The deltas of the layer below."""
    return [
        Step(Stage("backward", (plan.kind, plan.row, _row(plan, layer))), layer),
        Step(Stage("chain", (plan.kind, plan.row, plan.activation)), layer - 1),
    ]


def _update(plan):
    """Phase 3: gradients and steps."""
    steps = [Step(Stage("total"), plan.depth)]
    if _above(plan):
        steps += _delta(plan, 1)
    for layer in range(plan.depth, 0, -1):
        row = _row(plan, layer)
        steps.append(Step(Stage("update", (plan.kind, plan.row, row, plan.optimizer)), layer))
        steps.append(_biases(plan, layer))
    steps.append(_biases(plan, 0))
    if plan.form == "dense":
        name = "transposed_update" if plan.transposed else "dense_update"
        return [*steps, Step(Stage(name, (plan.kind, plan.first, plan.optimizer)), 0)]
    return [*steps, Step(Stage(f"{plan.form}_update", (plan.kind, plan.raw, plan.first, plan.optimizer)), 0)]


def _biases(plan, layer):
    return Step(Stage("update_biases", (plan.kind, _row(plan, layer), plan.optimizer)), layer)
