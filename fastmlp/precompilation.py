"""Compiling ahead of time, for containers and continuous integration."""

import time
from collections.abc import Iterable, Sequence
from itertools import product

from numpy.typing import DTypeLike

from fastmlp.checks import (
    check_activation,
    check_choice,
    check_dropout,
    check_dtype,
    check_flag,
    check_hidden,
    check_integer,
    check_number,
)
from fastmlp.problem import RAW_TYPES, Architecture
from fastmlp.reference.activations import ACTIVATIONS
from fastmlp.reference.dropout import layer_rates
from fastmlp.reference.losses import LOSSES
from fastmlp.reference.optimizers import OPTIMIZERS

MANY = 1 << 20
"""Samples of the largest batches: batches of other sizes may take other stages."""
STAGES_AT_A_TIME = 32
"""The number of stages that are compiled between two steps of the progress bar."""


def warmup(
    *,
    num_features: int = 784,
    hidden: int | Sequence[int] = (256, 128),
    num_outputs: int = 10,
    activation: str | Sequence[str] = "relu",
    loss: str = "cross_entropy",
    optimizer: str = "sgd",
    dropout: float | Sequence[float] = 0.0,
    clip_norm: float | None = None,
    ema_decay: float | None = None,
    label_smoothing: float = 0.0,
    input_dtypes: Iterable[DTypeLike] = ("uint8", "float32"),
    dtype: DTypeLike = "float32",
    everything: bool = False,
) -> float:
    """Compile what such trainings and their predictions need and keep it on disk; return the seconds it took.

    These are stages, which serve any number of samples, any batch size and depth. Widths matter only where they change
    how units are laid out in vector registers. For each type of input, sparse and dense features are made ready.

    Parameters
    ----------
    num_features, num_outputs : int
    hidden : sequence of int
    activation, loss, dropout, dtype
        As in `fastmlp.train`.
    optimizer : str
        As in `fastmlp.train`, or "momentum" or "nesterov".
    clip_norm, ema_decay, label_smoothing
        As in `fastmlp.train`; any number above 0 compiles the same.
    input_dtypes : iterable of {"uint8", "float32", "float64"} or dtypes
        Types of the features in memory.
    everything : bool
        Compile whatever any training can need, which takes minutes and some megabytes; all else is ignored.

    Raises
    ------
    ValueError, TypeError
        If an argument is unfit; the message names it.

    Examples
    --------
    >>> import fastmlp
    >>> seconds = fastmlp.warmup(num_features=20, hidden=(), num_outputs=3, input_dtypes=["float32"])
    """
    from fastmlp.engine.library import find_stages
    from fastmlp.engine.plan import TRANSPOSE_FROM, averaged, make_plan
    from fastmlp.engine.schedule import make_schedule, stages_of, start_of

    widths = (
        check_integer("num_features", num_features),
        *check_hidden("hidden", hidden),
        check_integer("num_outputs", num_outputs),
    )
    names = check_activation("activation", activation, ACTIVATIONS, len(widths) - 2)
    architecture = Architecture(widths, names, check_choice("loss", loss, LOSSES))
    check_choice("optimizer", optimizer, OPTIMIZERS)
    rates = layer_rates(check_dropout("dropout", dropout, len(widths) - 2), len(widths) - 2)
    clips = clip_norm is not None and check_number("clip_norm", clip_norm, 0.0, low_open=True) > 0
    if ema_decay is not None:
        check_number("ema_decay", ema_decay, 0.0, 1.0, low_open=True)
        optimizer = averaged(optimizer)
    smooths = check_number("label_smoothing", label_smoothing, 0.0, 1.0) > 0
    numbers = check_dtype("dtype", dtype)
    raws = [check_dtype("input_dtypes", raw, RAW_TYPES).name for raw in input_dtypes]
    started = time.perf_counter()
    if check_flag("everything", everything):
        _compile_everything()
        return time.perf_counter() - started
    plans = [
        make_plan(
            architecture,
            form,
            raw,
            numbers,
            rule,
            batch,
            rates=rates if rule else (),
            is_clipped=clips and bool(rule),
            is_smoothed=smooths and bool(rule),
        )
        for raw, form, (rule, batch) in product(
            raws, ("sparse", "dense"), (("", 1), *((optimizer, batch) for batch in (1, TRANSPOSE_FROM, MANY)))
        )
    ]
    stages = [stage for plan in plans for stage in (*stages_of(make_schedule(plan)), start_of(plan))]
    find_stages(list(dict.fromkeys(stages)))
    return time.perf_counter() - started


def _compile_everything() -> None:
    from tqdm import tqdm

    from fastmlp.engine.library import find_stages
    from fastmlp.engine.prebuilt import every_stage

    stages = every_stage()
    with tqdm(total=len(stages), unit="stage", disable=None) as bar:
        for start in range(0, len(stages), STAGES_AT_A_TIME):
            part = stages[start : start + STAGES_AT_A_TIME]
            find_stages(part)
            bar.update(len(part))
