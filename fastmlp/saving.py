"""The file of a saved network: what is in it, and every check of what comes out of it."""

import io
import json
import os
import textwrap
import zipfile
from collections.abc import Sequence
from dataclasses import fields
from itertools import pairwise
from math import prod
from typing import Any, BinaryIO, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from fastmlp.checks import check_activation
from fastmlp.files import whole_file
from fastmlp.history import History
from fastmlp.normalization import IDENTITY, Normalization
from fastmlp.problem import RAW_TYPES, Architecture, Reading
from fastmlp.reference.activations import ACTIVATIONS
from fastmlp.reference.losses import LOSSES
from fastmlp.reference.parameters import parameter_count
from fastmlp.table_encoder import TableEncoder
from fastmlp.targets import Coding

FORMAT_VERSION = 3
"""2 knows no standardised targets, and 1 no values that features take most often."""
_LONGEST_REASON = 200
_MEMBERS = ("about", "params", "shift", "scale", "classes", "base", "target_shift", "target_scale")


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
    widths, activation, loss = parts.architecture
    about: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "widths": widths,
        "activation": activation,
        "loss": loss,
        "flat_targets": parts.coding.flat,
        "history": parts.history.to_dict(),
    }
    arrays: dict[str, Any] = {
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
    with whole_file(path) as file:
        np.savez(file, about=np.array(json.dumps(about)), **arrays)


def read_network(path: str | os.PathLike[str]) -> Parts:
    """Return what `write_network` wrote; nothing in the file is trusted.

    Raises
    ------
    FileNotFoundError
    ValueError
        If the file is something else, is damaged, or has a newer format.
    """
    name = os.fspath(path)
    with open(path, "rb") as file:
        try:
            arrays = _read_arrays(file)
            about = _read_about(arrays)
            version = about["format_version"]
            parts = _restore(about, arrays) if version <= FORMAT_VERSION else None
        except Exception as error:  # zipfile, NumPy and json raise a dozen types on a damaged file
            # zipfile quotes what it finds in place of a name, which may be the rest of the file.
            reason = textwrap.shorten(str(error), _LONGEST_REASON) or type(error).__name__
            raise ValueError(f"{name} must be a network saved by fastmlp, but it can't be read: {reason}") from error
    if parts is None:
        raise ValueError(
            f"{name} has format version {version}, and this fastmlp reads up to {FORMAT_VERSION}; "
            "install a newer fastmlp"
        )
    return parts


def _require(condition: object, otherwise: str) -> None:
    if not condition:
        raise ValueError(otherwise)


def _read_arrays(file: BinaryIO) -> dict[str, NDArray[Any]]:
    """Return the known members of an archive, in this machine's byte order; none takes more memory than in the file."""
    arrays = {}
    with zipfile.ZipFile(file) as archive:
        held = set(archive.namelist())
        for name in _MEMBERS:
            if f"{name}.npy" in held:
                member = archive.getinfo(f"{name}.npy")
                _require(member.compress_type == zipfile.ZIP_STORED, f"its {name} is compressed")
                arrays[name] = _parse_array(name, archive.read(member))
    return arrays


def _parse_array(name: str, content: bytes) -> NDArray[Any]:
    """Return the array of a ``.npy`` file that is nothing but a header and the array's numbers or characters."""
    stream = io.BytesIO(content)
    version = np.lib.format.read_magic(stream)
    _require(version in ((1, 0), (2, 0)), f"its {name} has an unknown header")
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read_header(stream)
    start = stream.tell()
    _require(dtype.kind in "biufUS" and len(shape) <= 1, f"its {name} has shape {shape} and dtype {dtype}")
    _require(prod(shape) * dtype.itemsize == len(content) - start, f"its {name} is not as long as it says")
    return np.frombuffer(content, dtype, offset=start).reshape(shape).astype(dtype.newbyteorder("="))


def _read_about(arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
    _require("about" in arrays and arrays["about"].dtype.kind == "U", "nothing in it says what it is")
    about = json.loads(arrays["about"].item())
    _require(isinstance(about, dict), "nothing in it says what it is")
    _require(_is_count(about.get("format_version")), "its format version is missing")
    return about


def _restore(about: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Parts:
    for name in {"params", "shift", "scale"}.union(about.get("arrays", ())):
        _require(name in arrays, f"its {name!s:.80} is missing")
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


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_choice(value: object, choices: Any) -> bool:
    return isinstance(value, str) and value in choices


def _check_architecture(about: dict[str, Any]) -> Architecture:
    widths: Any = about.get("widths")
    loss: Any = about.get("loss")
    _require(
        isinstance(widths, list) and len(widths) >= 2 and all(map(_is_count, widths)),
        f"its widths are {widths!r:.80}, no list of positive integers",
    )
    names = check_activation("its activation", about.get("activation"), ACTIVATIONS, len(widths) - 2)
    _require(_is_choice(loss, LOSSES), f"its loss {loss!r:.80} is unknown")
    return Architecture(tuple(widths), names, loss)


def _check_params(params: NDArray[Any], widths: Sequence[int]) -> NDArray[Any]:
    count = parameter_count(widths)
    _require(params.shape == (count,), f"its params have shape {params.shape} where its widths ask for ({count},)")
    _require(params.dtype in (np.float32, np.float64), f"its params are {params.dtype}, neither float32 nor float64")
    _require(np.all(np.isfinite(params)), "its params are not all finite")
    return params


def _check_normalization(shift: NDArray[Any], scale: NDArray[Any], d: int, of: str = "") -> Normalization:
    for name, array in ((f"{of}shift", shift), (f"{of}scale", scale)):
        _require(array.shape in ((), (d,)), f"its {name} has shape {array.shape}, neither () nor ({d},)")
        _require(array.dtype == np.float64, f"its {name} is {array.dtype}, not float64")
        _require(np.all(np.isfinite(array)), f"its {name} is not finite")
    _require(np.all(scale > 0), f"its {of}scale is not positive")
    return Normalization(shift, scale)


def _check_scaling(about: dict[str, Any], architecture: Architecture, arrays: dict[str, NDArray[Any]]) -> Normalization:
    """Return the scaling of a regression's targets; older formats have none."""
    found = [name for name in ("target_shift", "target_scale") if name in arrays]
    if not LOSSES[architecture.loss].is_regression or about["format_version"] < 3:
        _require(not found, f"it has {' and '.join(found)}, which its loss or its format has no use for")
        return IDENTITY
    _require(len(found) == 2, "its target_shift or target_scale is missing")
    return _check_normalization(arrays["target_shift"], arrays["target_scale"], architecture.widths[-1], "target_")


def _check_coding(about: dict[str, Any], architecture: Architecture, arrays: dict[str, NDArray[Any]]) -> Coding:
    classes = arrays.get("classes")
    flat, loss, k = about.get("flat_targets"), architecture.loss, architecture.widths[-1]
    _require(isinstance(flat, bool), "its flat_targets is neither true nor false")
    count = {"classes": k, "binary": 2 if k == 1 else 0, "numbers": 0, "counts": 0}[LOSSES[loss].targets]
    found = 0 if classes is None else classes.size
    _require(found == count, f"it has {found} classes where its loss and widths ask for {count}")
    if classes is not None:
        _require(classes.ndim == 1, "its classes are no list")
        labels = classes.tolist()  # refuses what is no character
        _require(all(a < b for a, b in pairwise(labels)), "its classes are not sorted")
    return Coding(loss, k, classes, bool(flat), _check_scaling(about, architecture, arrays))


def _check_history(history: Any) -> History:
    kinds = {field.name: field.type for field in fields(History)}
    _require(isinstance(history, dict) and history.keys() <= kinds.keys(), "its history is not one of a training")
    for name, value in history.items():
        _require(_is_made_of_numbers(value, kinds[name]), f"its history's {name} is not made of numbers")
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
        _require(_is_choice(form, ("dense", "sparse", "csr")), f"its form {form!r:.80} is unknown")
        features = {"dtype": raw, "is_sparse": form == "csr"}
    if features is None:
        return None
    raw, is_sparse = features["dtype"], features["is_sparse"]
    _require(_is_choice(raw, RAW_TYPES), f"its features' dtype {raw!r:.80} is unknown")
    _require(isinstance(is_sparse, bool), "its is_sparse is neither true nor false")
    if base is not None:
        fits = base.shape == (d,) and base.dtype in (np.float32, np.float64) and np.all(np.isfinite(base))
        _require(fits and not is_sparse, f"its base is not one finite number for each of {d} dense features")
    return Reading(raw, is_sparse, base)


def _check_feature_names(names: Any, d: int) -> NDArray[Any] | None:
    if names is None:
        return None
    fits = isinstance(names, list) and len(names) == d and all(isinstance(name, str) for name in names)
    _require(fits, f"its feature names are not {d} strings")
    return np.array(names, object)


def _check_table(content: Any, d: int) -> TableEncoder | None:
    table = None if content is None else TableEncoder.from_dict(content)
    _require(table is None or table.num_features == d, f"its table's columns do not become {d} features")
    return table
