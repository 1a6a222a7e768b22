"""All of a training at the end of an epoch, in one file, and whether another training may go on from there."""

import json
import math
import os
import zlib
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastmlp import npz
from fastmlp.network import MLP
from fastmlp.normalization import Normalization
from fastmlp.npz import is_choice, is_count, require
from fastmlp.options import Options
from fastmlp.preparation import Preparation
from fastmlp.problem import Samples, State
from fastmlp.reference.optimizers import OPTIMIZERS
from fastmlp.saving import FORMAT_VERSION, MEMBERS, Parts, describe_network, restore_network
from fastmlp.validation import Features, is_sparse

_ARRAYS = tuple(f"optimizer_{i}" for i in range(max(optimizer.arrays for optimizer in OPTIMIZERS.values())))
_BLOCK = 1 << 20
_LARGEST_COUNT = 2**63


class Checkpoint(NamedTuple):
    """All of a training at the end of an epoch, before its callbacks were called.

    With this and the same data, a training goes on as if it had never stopped, to the bit.
    """

    network: MLP
    """The network as the epoch left it, with the history up to there."""
    state: State
    orders: dict[str, Any] | None
    """The state of the generator of the rows' orders."""
    kept: tuple[MLP, int] | None
    """The network that a callback kept to be returned, and after which epoch."""
    identity: dict[str, Any]
    """What `identify` says of the training."""
    lr: float
    """The learning rate that the schedule multiplied in the last epoch."""

    @property
    def seed(self) -> int:
        return int(self.identity["seed"])


def identify(preparation: Preparation, options: Options) -> dict[str, Any]:
    """Return what has to be equal in a training that goes on from a checkpoint of this one, ready for JSON.

    Data are told by their shape, their type and a checksum. What may differ is the number of epochs, unless the
    learning rate follows it, that of threads, and what the training started from.
    """
    problem, coding = preparation.problem, preparation.coding
    rule = problem.optimizer._asdict()
    schedule = rule.pop("schedule")
    identity = {
        "seed": preparation.seed,
        "validation_split": options.validation_split,
        "X": _summary(problem.X),
        "y": _summary(problem.codes),
        "classes": _summary(coding.classes),
        "sample_weight": _summary(problem.sample_weight),
        "validation_data": _summary_of_samples(preparation.validation),
        "normalize": _describe(problem.normalization),
        "normalize_targets": _describe(coding.scaling),
        "hidden": options.hidden,
        "activation": problem.architecture.activation,
        "loss": coding.loss,
        "label_smoothing": problem.label_smoothing,
        "optimizer": rule.pop("name"),
        **rule,
        "dropout": problem.dropout,
        "lr_schedule": schedule.name,
        "warmup_epochs": options.warmup_epochs,
        "num_epochs": None if schedule.name == "constant" else options.num_epochs,
        "batch_size": problem.batch_size,
        "shuffle": options.shuffle,
        "dtype": str(problem.dtype),
        "backend": options.backend,
        "epoch_loss": options.epoch_loss,
        "track_gradients": options.track_gradients,
    }
    return dict(json.loads(json.dumps(identity)))  # which makes lists of tuples


def write_checkpoint(path: str | os.PathLike[str], checkpoint: Checkpoint) -> None:
    """Write a checkpoint to one ``.npz`` file without pickle, which is that of its network, too."""
    about, arrays = describe_network(checkpoint.network._parts)
    about["training"] = {
        "steps": checkpoint.state.steps,
        "orders": checkpoint.orders,
        "lr": checkpoint.lr,
        "kept_epoch": None if checkpoint.kept is None else checkpoint.kept[1],
        "identity": checkpoint.identity,
    }
    arrays |= zip(_ARRAYS, checkpoint.state.arrays, strict=False)
    if checkpoint.state.average is not None:
        arrays["stepped"] = checkpoint.state.params  # the network has the average
    if checkpoint.kept is not None:
        arrays["kept"] = checkpoint.kept[0].params
    npz.write(path, about, arrays)


def read_checkpoint(path: Any) -> Checkpoint:
    """Return what `write_checkpoint` wrote; nothing in the file is trusted.

    Raises
    ------
    TypeError
        If `path` is no path.
    FileNotFoundError
    ValueError
        If the file is something else, a network alone for example, is damaged, or has a newer format.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"resume must be the path of a checkpoint, got {path!r}")
    members = (*MEMBERS, *_ARRAYS, "kept", "stepped")
    checkpoint = npz.read(path, "a checkpoint of fastmlp", FORMAT_VERSION, members, _restore)
    if checkpoint is None:
        raise ValueError(
            "resume must be a checkpoint, which fastmlp.callbacks.ModelCheckpoint writes, got a network without its "
            f"training: {os.fspath(path)}"
        )
    return checkpoint


def check_resumable(checkpoint: Checkpoint, identity: dict[str, Any], options: Options) -> None:
    """Raise unless a training with this identity and these options is the one that the checkpoint belongs to."""
    for name, here in identity.items():
        there = checkpoint.identity.get(name)
        if there != here:
            raise ValueError(f"resume must be a checkpoint of the same training: {name} was {there!s:.80}, got {here}")
    epochs = len(checkpoint.network.history)
    if options.num_epochs < epochs:
        raise ValueError(
            f"num_epochs must be at least the {epochs} epochs that resume's checkpoint has, got {options.num_epochs}"
        )


def _summary(array: Features | None) -> str:
    """Return shape, type and checksum of a dense array or a CSR matrix."""
    if array is None:
        return "none"
    checksum = 0
    for part in (array.indptr, array.indices, array.data) if is_sparse(array) else (array,):
        rows = max(1, _BLOCK // max(1, part[:1].nbytes))
        for start in range(0, len(part), rows):
            checksum = zlib.crc32(part[start : start + rows].tobytes(), checksum)
    return f"{' x '.join(map(str, array.shape))} {array.dtype} with checksum {checksum:08x}"


def _summary_of_samples(samples: Samples | None) -> str:
    if samples is None:
        return "none"
    return ", ".join(_summary(array) for array in (samples.X, samples.codes, samples.sample_weight))


def _describe(normalization: Normalization) -> str:
    """Return how numbers are scaled, which the same numbers and the same option lead to."""
    return "nothing" if normalization.is_identity else normalization.description


def _restore(about: dict[str, Any], arrays: npz.Arrays) -> Checkpoint | None:
    parts = restore_network(about, arrays)
    training = about.get("training")
    if training is None:
        return None
    names = ("identity", "steps", "orders", "kept_epoch", "lr")
    identity, steps, orders, kept_epoch, lr = (training[name] for name in names)
    require(isinstance(identity, dict) and is_count(identity.get("seed"), 0), "its seed is no integer of at least 0")
    require(is_count(steps, 0) and steps < _LARGEST_COUNT, f"its number of steps is {steps!r:.80}")
    require(isinstance(lr, float) and 0 <= lr < math.inf, f"its learning rate is {lr!r:.80}")
    _check_history(parts, validated=identity.get("validation_data") != "none")
    kept = None
    if kept_epoch is not None:
        require(is_count(kept_epoch) and kept_epoch <= len(parts.history), f"its kept epoch is {kept_epoch!r:.80}")
        params = _check_vector("kept network", arrays["kept"], parts.params)
        require(np.all(np.isfinite(params)), "its kept network is not finite")
        kept = MLP._of(parts._replace(params=params)), kept_epoch
    state = State(parts.params, _check_optimizer(identity.get("optimizer"), arrays, parts.params), steps)
    if identity.get("ema_decay") is not None:
        params = _check_vector("vector of stepping parameters", arrays["stepped"], parts.params)
        require(np.all(np.isfinite(params)), "its stepping parameters are not finite")
        state = state._replace(params=params, average=parts.params)
    orders = _check_orders(orders, identity.get("shuffle") is True)
    return Checkpoint(MLP._of(parts), state, orders, kept, identity, lr)


def _check_history(parts: Parts, validated: bool) -> None:
    """Raise unless callbacks can read in a history all that its training recorded."""
    history = parts.history
    lengths = {name: len(values) for name, values in history.to_dict().items() if isinstance(values, list)}
    needed = {"loss", "lr", "seconds"}
    if validated:
        needed |= {"val_loss"} if parts.coding.is_regression else {"val_loss", "val_accuracy"}
    for name in lengths.keys() - {"first_epoch_gradients"}:
        fits = lengths[name] == len(history) or (lengths[name] == 0 and name not in needed)
        require(fits and len(history), f"its history has {len(history)} epochs, and {lengths[name]} of {name}")


def _check_optimizer(rule: Any, arrays: npz.Arrays, params: NDArray[Any]) -> tuple[NDArray[Any], ...]:
    require(is_choice(rule, OPTIMIZERS), f"its optimizer {rule!r:.80} is unknown")
    return tuple(_check_vector("optimizer", arrays[name], params) for name in _ARRAYS[: OPTIMIZERS[rule].arrays])


def _check_vector(name: str, vector: NDArray[Any], params: NDArray[Any]) -> NDArray[Any]:
    fits = vector.shape == params.shape and vector.dtype == params.dtype
    require(fits, f"its {name} has shape {vector.shape} and type {vector.dtype}, unlike its params")
    return vector


def _check_orders(orders: Any, shuffled: bool) -> dict[str, Any] | None:
    require(shuffled == (orders is not None), "its generator's state is missing, or nobody needs it")
    if orders is None:
        return None
    generator = np.random.default_rng(0).bit_generator
    generator.state = orders
    require(generator.state == orders, "its generator's state is none")
    return dict(orders)
