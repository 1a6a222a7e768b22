"""The file of a saved network: what is in it, and every check of what comes out of it."""

import os
from collections.abc import Sequence
from dataclasses import fields
from itertools import pairwise
from typing import Any, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from fastmlp import npz
from fastmlp.checks import check_activation
from fastmlp.history import History
from fastmlp.normalization import IDENTITY, Normalization
from fastmlp.npz import is_choice, is_count, require
from fastmlp.problem import RAW_TYPES, Architecture, Reading
from fastmlp.reference.activations import ACTIVATIONS
from fastmlp.reference.losses import LOSSES
from fastmlp.reference.parameters import parameter_count
from fastmlp.table_encoder import TableEncoder
from fastmlp.targets import Coding

FORMAT_VERSION = 4
"""3 knows neither checkpoints nor an activation for each layer, 2 no standardised targets, and 1 no values that
features take most often."""
MEMBERS = ("params", "shift", "scale", "classes", "base", "target_shift", "target_scale")


class Parts(NamedTuple):
    """All parts of a network that a file keeps."""

    params: NDArray[Any]
    architecture: Architecture
    normalization: Normalization
    coding: Coding
    history: History
    reading: Reading | None
    """The form of its training data, if the compiled path trained it."""
    feature_names: NDArray[Any] | None
    table: TableEncoder | None


def write_network(path: str | os.PathLike[str], parts: Parts) -> None:
    """Write a network to one ``.npz`` file without pickle."""
    npz.write(path, *describe_network(parts))


def describe_network(parts: Parts) -> tuple[dict[str, Any], npz.Arrays]:
    """Return what a file holds of a network: the description and the arrays."""
    widths, activation, loss = parts.architecture
    about: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "widths": widths,
        "activation": activation,
        "loss": loss,
        "flat_targets": parts.coding.flat,
        "history": parts.history.to_dict(),
    }
    arrays: npz.Arrays = {
        "params": parts.params,
        "shift": parts.normalization.shift,
        "scale": parts.normalization.scale,
    }
    if parts.coding.classes is not None:
        arrays["classes"] = parts.coding.classes
    if parts.coding.is_regression:
        arrays |= {"target_shift": parts.coding.scaling.shift, "target_scale": parts.coding.scaling.scale}
    if parts.feature_names is not None:
        about["feature_names"] = parts.feature_names.tolist()
    if parts.table is not None:
        about["table"] = parts.table.to_dict()
    if parts.reading is not None:
        about["features"] = {"dtype": parts.reading.raw, "is_sparse": parts.reading.is_sparse}
        if parts.reading.base is not None:
            arrays["base"] = parts.reading.base
    about["arrays"] = list(arrays)
    return about, arrays


def read_network(path: str | os.PathLike[str]) -> Parts:
    """Return what `write_network` wrote; nothing in the file is trusted.

    Raises
    ------
    FileNotFoundError
    ValueError
        If the file is something else, is damaged, or has a newer format.
    """
    return npz.read(path, "a network saved by fastmlp", FORMAT_VERSION, MEMBERS, restore_network)


def restore_network(about: dict[str, Any], arrays: npz.Arrays) -> Parts:
    """Return the network of a description and arrays, or raise what is wrong with them."""
    for name in {"params", "shift", "scale"}.union(about.get("arrays", ())):
        require(name in arrays, f"its {name!s:.80} is missing")
    architecture = _check_architecture(about)
    d = architecture.widths[0]
    return Parts(
        _check_params(arrays["params"], architecture.widths),
        architecture,
        _check_normalization(arrays["shift"], arrays["scale"], d),
        _check_coding(about, architecture, arrays),
        _check_history(about.get("history")),
        _check_reading(about, arrays.get("base"), d),
        _check_feature_names(about.get("feature_names"), d),
        _check_table(about.get("table"), d),
    )


def _check_architecture(about: dict[str, Any]) -> Architecture:
    widths: Any = about.get("widths")
    loss: Any = about.get("loss")
    require(
        isinstance(widths, list) and len(widths) >= 2 and all(map(is_count, widths)),
        f"its widths are {widths!r:.80}, no list of positive integers",
    )
    names = check_activation("its activation", about.get("activation"), ACTIVATIONS, len(widths) - 2)
    require(is_choice(loss, LOSSES), f"its loss {loss!r:.80} is unknown")
    return Architecture(tuple(widths), names, loss)


def _check_params(params: NDArray[Any], widths: Sequence[int]) -> NDArray[Any]:
    count = parameter_count(widths)
    require(params.shape == (count,), f"its params have shape {params.shape} where its widths ask for ({count},)")
    require(params.dtype in (np.float32, np.float64), f"its params are {params.dtype}, neither float32 nor float64")
    require(np.all(np.isfinite(params)), "its params are not all finite")
    return params


def _check_normalization(shift: NDArray[Any], scale: NDArray[Any], d: int, of: str = "") -> Normalization:
    for name, array in ((f"{of}shift", shift), (f"{of}scale", scale)):
        require(array.shape in ((), (d,)), f"its {name} has shape {array.shape}, neither () nor ({d},)")
        require(array.dtype == np.float64, f"its {name} is {array.dtype}, not float64")
        require(np.all(np.isfinite(array)), f"its {name} is not finite")
    require(np.all(scale > 0), f"its {of}scale is not positive")
    return Normalization(shift, scale)


def _check_scaling(about: dict[str, Any], architecture: Architecture, arrays: dict[str, NDArray[Any]]) -> Normalization:
    """Return the scaling of a regression's targets; older formats have none."""
    found = [name for name in ("target_shift", "target_scale") if name in arrays]
    if not LOSSES[architecture.loss].is_regression or about["format_version"] < 3:
        require(not found, f"it has {' and '.join(found)}, which its loss or its format has no use for")
        return IDENTITY
    require(len(found) == 2, "its target_shift or target_scale is missing")
    return _check_normalization(arrays["target_shift"], arrays["target_scale"], architecture.widths[-1], "target_")


def _check_coding(about: dict[str, Any], architecture: Architecture, arrays: dict[str, NDArray[Any]]) -> Coding:
    classes = arrays.get("classes")
    flat, loss, k = about.get("flat_targets"), architecture.loss, architecture.widths[-1]
    require(isinstance(flat, bool), "its flat_targets is neither true nor false")
    count = {"classes": k, "binary": 2 if k == 1 else 0, "numbers": 0, "counts": 0}[LOSSES[loss].targets]
    found = 0 if classes is None else classes.size
    require(found == count, f"it has {found} classes where its loss and widths ask for {count}")
    if classes is not None:
        require(classes.ndim == 1, "its classes are no list")
        labels = classes.tolist()  # refuses what is no character
        require(all(a < b for a, b in pairwise(labels)), "its classes are not sorted")
    return Coding(loss, k, classes, bool(flat), _check_scaling(about, architecture, arrays))


def _check_history(history: Any) -> History:
    kinds = {field.name: field.type for field in fields(History)}
    require(isinstance(history, dict) and history.keys() <= kinds.keys(), "its history is not one of a training")
    for name, value in history.items():
        require(_is_made_of_numbers(value, kinds[name]), f"its history's {name} is not made of numbers")
    return History(**history)


def _is_made_of_numbers(value: Any, kind: Any) -> bool:
    """Return whether a value is as its field asks: a number, a list of numbers, or a list of such lists."""
    if kind is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    (inner,) = get_args(kind)
    return isinstance(value, list) and all(_is_made_of_numbers(item, inner) for item in value)


def _check_reading(about: dict[str, Any], base: NDArray[Any] | None, d: int) -> Reading | None:
    features = about.get("features")
    if about["format_version"] == 1 and "reading" in about:
        raw, form = about["reading"]["raw"], about["reading"]["form"]
        require(is_choice(form, ("dense", "sparse", "csr")), f"its form {form!r:.80} is unknown")
        features = {"dtype": raw, "is_sparse": form == "csr"}
    if features is None:
        return None
    raw, is_sparse = features["dtype"], features["is_sparse"]
    require(is_choice(raw, RAW_TYPES), f"its features' dtype {raw!r:.80} is unknown")
    require(isinstance(is_sparse, bool), "its is_sparse is neither true nor false")
    if base is not None:
        fits = base.shape == (d,) and base.dtype in (np.float32, np.float64) and np.all(np.isfinite(base))
        require(fits and not is_sparse, f"its base is not one finite number for each of {d} dense features")
    return Reading(raw, is_sparse, base)


def _check_feature_names(names: Any, d: int) -> NDArray[Any] | None:
    if names is None:
        return None
    fits = isinstance(names, list) and len(names) == d and all(isinstance(name, str) for name in names)
    require(fits, f"its feature names are not {d} strings")
    return np.array(names, object)


def _check_table(content: Any, d: int) -> TableEncoder | None:
    table = None if content is None else TableEncoder.from_dict(content)
    require(table is None or table.num_features == d, f"its table's columns do not become {d} features")
    return table
