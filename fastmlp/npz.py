"""A ``.npz`` file of arrays and one text that describes them: written without pickle, read without trust."""

import io
import json
import os
import textwrap
import zipfile
from collections.abc import Callable, Collection
from math import prod
from typing import Any, BinaryIO, TypeVar

import numpy as np
from numpy.typing import NDArray

from fastmlp.files import whole_file

Arrays = dict[str, NDArray[Any]]
_T = TypeVar("_T")
_LONGEST_REASON = 200


def write(path: str | os.PathLike[str], about: dict[str, Any], arrays: Arrays) -> None:
    """Write arrays and their description, which JSON can hold; the file appears whole or not at all."""
    with whole_file(path) as file:
        np.savez(file, about=np.array(json.dumps(about)), **arrays)  # type: ignore[arg-type]


def read(
    path: str | os.PathLike[str],
    kind: str,
    newest: int,
    members: Collection[str],
    restore: Callable[[dict[str, Any], Arrays], _T],
) -> _T:
    """Return what `restore` makes of a file's description and of those arrays among `members` that it has.

    `kind` says in an error what was expected, `newest` is the last `format_version` that `restore` knows; whatever it
    raises tells that the file is damaged.

    Raises
    ------
    FileNotFoundError
    ValueError
        If the file is something else, is damaged, or has a newer format.
    """
    name = os.fspath(path)
    with open(path, "rb") as file:
        try:
            arrays = _read_arrays(file, ("about", *members))
            about = _read_about(arrays)
            version = about["format_version"]
            if version <= newest:
                return restore(about, arrays)
        except Exception as error:  # zipfile, NumPy and json raise a dozen types on a damaged file
            # zipfile quotes what it finds in place of a name, which may be the rest of the file.
            reason = textwrap.shorten(str(error), _LONGEST_REASON) or type(error).__name__
            raise ValueError(f"{name} must be {kind}, but it can't be read: {reason}") from error
    raise ValueError(
        f"{name} has format version {version}, and this fastmlp reads up to {newest}; install a newer fastmlp"
    )


def require(condition: object, otherwise: str) -> None:
    """Raise a ValueError that says what is wrong with a file unless the condition holds."""
    if not condition:
        raise ValueError(otherwise)


def is_count(value: object, low: int = 1) -> bool:
    """Whether a value out of JSON is an integer of at least `low`."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= low


def is_choice(value: object, choices: Any) -> bool:
    """Whether a value out of JSON is one of some texts."""
    return isinstance(value, str) and value in choices


def _read_arrays(file: BinaryIO, members: Collection[str]) -> Arrays:
    """Return the known members of an archive, in this machine's byte order; none takes more memory than in the file."""
    arrays = {}
    with zipfile.ZipFile(file) as archive:
        held = set(archive.namelist())
        for name in members:
            if f"{name}.npy" in held:
                member = archive.getinfo(f"{name}.npy")
                require(member.compress_type == zipfile.ZIP_STORED, f"its {name} is compressed")
                arrays[name] = _parse_array(name, archive.read(member))
    return arrays


def _parse_array(name: str, content: bytes) -> NDArray[Any]:
    """Return the array of a ``.npy`` file that is nothing but a header and the array's numbers or characters."""
    stream = io.BytesIO(content)
    version = np.lib.format.read_magic(stream)
    require(version in ((1, 0), (2, 0)), f"its {name} has an unknown header")
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read_header(stream)
    start = stream.tell()
    require(dtype.kind in "biufUS" and len(shape) <= 1, f"its {name} has shape {shape} and dtype {dtype}")
    require(prod(shape) * dtype.itemsize == len(content) - start, f"its {name} is not as long as it says")
    return np.frombuffer(content, dtype, offset=start).reshape(shape).astype(dtype.newbyteorder("="))


def _read_about(arrays: Arrays) -> dict[str, Any]:
    require("about" in arrays and arrays["about"].dtype.kind == "U", "nothing in it says what it is")
    about = json.loads(arrays["about"].item())
    require(isinstance(about, dict), "nothing in it says what it is")
    require(is_count(about.get("format_version")), "its format version is missing")
    return about
