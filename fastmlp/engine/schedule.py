"""What one thread does in a batch, as data: phases between barriers, each a list of stages and their layers.

Threads own shards of the first layer. A shard is some of its units, with their incoming and outgoing weights; or, in a
narrow layer with many features, some of the features with their weights. A shard stays in its thread's cache. Only its
partial sums cross to other threads: sums of the next layer, or of the narrow layer itself. A batch of a training has
three phases:

1. Each thread computes its shards for all samples, and their partial sums.
2. Each thread takes some samples through the layers that follow, the loss, and back, and reads its part of the next
   batch.
3. Each thread computes the gradients of the weights it owns, updates them, and goes on with phase 1. If the gradient
   is clipped by its norm, threads keep their gradients and sum their squares; a fourth phase updates the weights.

If little work follows the sums, these layers are replicated on two threads: each takes all samples through its own copy
and updates it, to the same bits. Phases 2 and 3 then are one, a batch has one barrier, and neither deltas nor
activations cross.

Small networks are divided by sample instead: each thread takes shards of the batch through its own copy of the network,
leaves their gradients where all threads read them, and after the one barrier takes the step with all of them.

Every sum has one fixed order: the result is the same to the bit for any number of threads.
"""

from collections.abc import Sequence
from typing import NamedTuple

from fastmlp.engine.plan import Plan, is_transposed
from fastmlp.engine.stages import Stage

EPOCH = Stage("epoch")
"""The loop that runs a schedule."""


class Step(NamedTuple):
    """A stage of a schedule, and the layer that it works on: 0 is the first."""

    stage: Stage
    layer: int

    def __str__(self) -> str:
        return f"{self.stage}, layer {self.layer + 1}"


Phase = list[Step]


def make_schedule(plan: Plan, replicated: bool = False) -> list[Phase]:
    """Return a list of phases: one that reads the first batch, then those of every batch.

    In predictions phase 3 is empty: it only adds a barrier. `replicated` says whether each thread has its own copy of
    the layers that follow the sums of shards.
    """
    if plan.by_sample:
        return _by_sample(plan)
    read, through = _read(plan), _forward(plan)
    begin = [*_sort(plan), *read]
    if plan.optimizer:
        through += [*_loss(plan), *_backward(plan)]
    else:
        through += [Step(Stage("write_scores", (plan.kind, plan.out)), plan.depth)]
    update = _update(plan) if plan.optimizer else []
    clipped = [_clip(plan)] if plan.is_clipped else []
    if replicated:
        return [begin, _enter(plan), through + read + update, *clipped]
    return [begin, _enter(plan), through + read, update, *clipped]


def start_of(plan: Plan) -> Stage:
    """Return the stage that computes what the first layer's product starts with, where features are shifted."""
    return Stage("start", (plan.kind, plan.first_row))


def stages_of(schedule: Sequence[Phase]) -> list[Stage]:
    """Return the loop that runs a schedule, and the schedule's stages, each once."""
    return list(dict.fromkeys([EPOCH, *(step.stage for phase in schedule for step in phase)]))


def describe(schedule: Sequence[Phase]) -> str:
    """Return a schedule as text, one step a line."""
    titles = ["before the first batch:", *(f"phase {i}:" for i in range(1, len(schedule)))]
    parts = [[title, *(f"    {step}" for step in phase)] for title, phase in zip(titles, schedule, strict=True)]
    return "\n".join(line for part in parts for line in part)


def _row(plan: Plan, layer: int) -> int:
    """Units in a panel of a layer."""
    return plan.out if layer == plan.depth else plan.row


def layer_of_sums(plan: Plan) -> int | None:
    """The layer of the shards' partial sums: 0 if shards are of features, else 1; None if there is no such layer."""
    return 0 if plan.by_feature else 1 if plan.depth and not plan.by_sample else None


def _activate(plan: Plan, layer: int) -> list[Step]:
    keep = [Step(Stage("keep_inputs", (plan.kind, plan.row)), layer)] if plan.keeps_inputs(layer) else []
    drop = [Step(Stage("drop_units", (plan.kind, plan.row)), layer)] if plan.drops(layer) else []
    return [*keep, Step(Stage("activate", (plan.kind, plan.row, plan.activations[layer])), layer), *drop]


def _read(plan: Plan) -> list[Step]:
    """Read the next batch into this thread's memory."""
    features = {
        "sparse": [Step(Stage("list_features", (plan.kind, plan.raw)), 0)],
        "dense": [Step(Stage("copy_features", (plan.kind, plan.raw, plan.first_row)), 0)],
        "csr": [],
    }[plan.form]
    return [Step(Stage("locate_entries" if plan.form == "csr" else "locate_rows"), 0), *features]


def _sort(plan: Plan) -> list[Step]:
    """Before the first batch: its and all other entries by feature."""
    is_needed = plan.form == "csr" and plan.optimizer
    return [Step(Stage("sort_entries", (plan.kind, plan.raw)), 0)] if is_needed else []


def _enter(plan: Plan) -> list[Step]:
    """Phase 1: the first layer."""
    options = (plan.kind, plan.raw, plan.first_row) if plan.form == "csr" else (plan.kind, plan.first_row)
    steps, summed = [Step(Stage(f"{plan.form}_product", options), 0)], layer_of_sums(plan)
    if summed == 1:
        steps += [*_activate(plan, 0), Step(Stage("spread", (plan.kind, plan.row, _row(plan, 1), plan.skips(0))), 1)]
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
            steps.append(Step(Stage("product", (plan.kind, plan.row, _row(plan, layer), plan.skips(layer - 1))), layer))
        if layer < plan.depth:
            steps += _activate(plan, layer)
    return steps


def _loss(plan: Plan) -> list[Step]:
    """The loss and the deltas of the last layer."""
    smooth = [Step(Stage("smooth", (plan.kind, plan.out)), plan.depth)] if plan.is_smoothed else []
    return [Step(Stage("loss", (plan.kind, plan.out, plan.loss)), plan.depth), *smooth]


def _backward(plan: Plan) -> list[Step]:
    """The deltas of the layers below the last one, down to the one to which shards add."""
    return [step for layer in range(plan.depth, layer_of_sums(plan) or 0, -1) for step in _delta(plan, layer)]


def _delta(plan: Plan, layer: int) -> list[Step]:
    """The deltas of the layer below."""
    name = "chain_kept" if plan.drops(layer - 1) else "chain"
    return [
        Step(Stage("backward", (plan.kind, plan.row, _row(plan, layer), plan.skips(layer))), layer),
        Step(Stage(name, (plan.kind, plan.row, plan.activations[layer - 1])), layer - 1),
    ]


def _update(plan: Plan) -> list[Step]:
    """Phase 3: gradients, and steps or the sum of their squares."""
    steps = [Step(Stage("total"), plan.depth)]
    if plan.is_penalized:
        summed = range(int(plan.form == "csr"), plan.depth + 1)
        steps += [Step(Stage("penalty", (plan.kind, _row(plan, layer))), layer) for layer in summed]
    if layer_of_sums(plan) == 1:
        steps += _delta(plan, 1)
    for layer in range(plan.depth, 0, -1):
        row = _row(plan, layer)
        steps.append(
            Step(Stage("update", (plan.kind, plan.row, row, plan.skips(layer - 1), plan.gradient_step)), layer)
        )
        steps.append(_biases(plan, layer))
    steps.append(_biases(plan, 0))
    name = "transposed" if plan.transposed else plan.form
    kinds = (plan.kind,) if plan.form == "dense" else (plan.kind, plan.raw)
    steps.append(Step(Stage(f"{name}_update", (*kinds, plan.first_row, plan.gradient_step)), 0))
    if plan.form == "csr" and plan.is_penalized:
        steps.append(Step(Stage("csr_penalty", (plan.kind, plan.first_row)), 0))
    return steps + _squares(plan) if plan.is_clipped else steps


def _squares(plan: Plan) -> list[Step]:
    """The squares of the gradient of every layer."""
    name = "transposed_squares" if plan.transposed else "gradient_squares"
    upper = [Step(Stage("gradient_squares", (plan.kind, _row(plan, i))), i) for i in range(1, plan.depth + 1)]
    return [Step(Stage(name, (plan.kind, plan.first_row)), 0), *upper]


def _clip(plan: Plan) -> list[Step]:
    """Phase 4: steps with the clipped gradient, and what follows the weights."""
    steps = [Step(Stage("clip"), 0)]
    for layer in range(plan.depth, 0, -1):
        row = _row(plan, layer)
        steps.append(Step(Stage("clipped_step", (plan.kind, row, plan.optimizer)), layer))
        steps.append(Step(Stage("transpose_weights", (plan.kind, plan.row, row)), layer))
    name = "transposed_step" if plan.transposed else "clipped_step"
    steps.append(Step(Stage(name, (plan.kind, plan.first_row, plan.optimizer)), 0))
    if plan.form == "csr":
        steps.append(Step(Stage("copy_biases", (plan.kind, plan.first_row)), 0))
    return [*steps, Step(start_of(plan), 0)] if plan.form == "sparse" else steps


def _by_sample(plan: Plan) -> list[Phase]:
    """The schedule of a training whose batches are divided by sample."""
    few, last = plan.has_few_outputs, plan.depth
    through = [Step(Stage("dense_product", (plan.kind, plan.row)), 0), *_forward(plan)]
    options = (plan.kind, plan.row, plan.out)
    if few:
        through[-1] = Step(Stage("output_product", options), last)
    through.append(Step(Stage("loss_of_samples" if few else "loss", (plan.kind, plan.out, plan.loss)), last))
    for layer in range(last, 0, -1):
        backward, chain = _delta(plan, layer)
        gradient = Step(Stage("gradient", (plan.kind, plan.row, _row(plan, layer), plan.skips(layer - 1))), layer)
        if few and layer == last:
            backward, gradient = (Step(Stage(f"output_{name}", options), last) for name in ("backward", "gradient"))
        through += [backward, chain, gradient]
    name = "transposed_gradient" if plan.transposed else "first_gradient"
    through += [Step(Stage(name, (plan.kind, plan.row)), 0), *_read(plan)]
    step = [Step(Stage("total"), last)]
    if plan.is_penalized:
        step += [Step(Stage("penalty", (plan.kind, _row(plan, layer))), layer) for layer in range(last + 1)]
    for layer in range(last + 1):
        name = "transposed_shard_step" if is_transposed(plan, layer) else "shard_step"
        step.append(Step(Stage(name, (plan.kind, plan.row, _row(plan, layer), plan.optimizer)), layer))
    return [_read(plan), through, step]


def _biases(plan: Plan, layer: int) -> Step:
    return Step(Stage("update_biases", (plan.kind, _row(plan, layer), plan.gradient_step)), layer)
