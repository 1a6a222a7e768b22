"""MNIST, the handwritten digits: 5,000 rows come with the package, all 70,000 from IDX files or OpenML.

Dimension letters: n rows, d = 784 = 28 × 28 pixels a row.
"""

import gzip
import math
import os
import struct
import zlib
from io import BufferedIOBase
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fastmlp.unpacked import UnpackedCopy

__all__ = ["load_mnist", "read_idx"]

_FOLDER_VARIABLE = "FASTMLP_MNIST_DIR"
_EMBEDDED_FILE = Path(__file__).parent / "data" / "mnist5k.npz"
_EMBEDDED_ROWS = 5_000
_ROWS = {"train": 60_000, "t10k": 10_000}  # in OpenML's order
_ALL_ROWS = sum(_ROWS.values())
_SIDE = 28
_PIXELS = _SIDE * _SIDE

_GZIP_MAGIC = b"\x1f\x8b"
_UNSIGNED_BYTE = 0x08
_CHUNK_BYTES = 1 << 20

_Rows = tuple[NDArray[np.uint8], NDArray[np.int64]]


def load_mnist(n_samples: int = _EMBEDDED_ROWS) -> _Rows:
    """Return the first `n_samples` rows of MNIST, in the order of OpenML's ``mnist_784``: 60,000 training, 10,000 test.

    Up to 5,000 rows come from the package itself. More are read from the four IDX files, gzipped or not, in the folder
    that the environment variable ``FASTMLP_MNIST_DIR`` names. Where that isn't set, scikit-learn fetches them from
    OpenML and keeps them in its cache. Pixels of gzipped files are kept unpacked, 47 MB or 55 MB, in the folder of
    compiled stages if it can be written, and mapped from there the next time, as long as the files are the same.

    Parameters
    ----------
    n_samples : int, default=5000
        How many rows, 1 to 70,000.

    Returns
    -------
    X : ndarray of uint8, shape (n_samples, 784)
        One image a row, its 28 × 28 pixels line by line: 0 is background, 255 is full ink. C-contiguous.
    y : ndarray of int64, shape (n_samples,)
        The digits, 0 to 9. Both arrays are the caller's own and may be changed: what changes in a mapped one changes in
        memory only.

    Raises
    ------
    TypeError
        If `n_samples` isn't an integer.
    ValueError
        If `n_samples` isn't from 1 to 70,000, or a file isn't the part of MNIST that its name says.
    FileNotFoundError
        If ``FASTMLP_MNIST_DIR`` names no folder, or a file is missing in it.
    OSError
        If the rows can't be fetched from OpenML.

    References
    ----------
    Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database of handwritten digits",
    http://yann.lecun.com/exdb/mnist/, CC BY-SA 3.0; https://www.openml.org/d/554.

    Examples
    --------
    >>> from fastmlp.datasets import load_mnist
    >>> X, y = load_mnist(1000)
    >>> X.shape
    (1000, 784)
    >>> print(y[:8])
    [5 0 4 1 9 2 1 3]
    """
    if isinstance(n_samples, bool) or not isinstance(n_samples, int | np.integer):
        raise TypeError(f"n_samples: expected an int from 1 to {_ALL_ROWS:,}, found {n_samples!r}")
    if not 1 <= n_samples <= _ALL_ROWS:
        raise ValueError(f"n_samples: expected an int from 1 to {_ALL_ROWS:,}, found {n_samples}")
    n = int(n_samples)
    if n <= _EMBEDDED_ROWS:
        return _load_embedded(n)
    if folder := os.environ.get(_FOLDER_VARIABLE):
        return _load_idx(Path(folder), n)
    return _load_openml(n)


def read_idx(path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes, gzipped or not, whatever its name ends in.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    ndarray of uint8
        The file's items, in the shape that its header gives: (n, 28, 28) for MNIST's images, (n,) for its labels.

    Raises
    ------
    ValueError
        If the file isn't IDX, holds another type than unsigned bytes, is damaged, cut short, or longer than its header
        says.
    OSError
        If the file can't be opened.

    References
    ----------
    "The IDX file format", at the end of http://yann.lecun.com/exdb/mnist/: two zero bytes, one byte for the type, one
    for the number of dimensions, each dimension's size as a big-endian 32-bit integer, then the items in C order.
    """
    items = bytearray()
    shape = _append_idx(path, items)
    return np.frombuffer(items, np.uint8).reshape(shape)


def _load_embedded(n: int) -> _Rows:
    with np.load(_EMBEDDED_FILE) as rows:
        return rows["images"][:n], rows["labels"][:n].astype(np.int64)


def _load_idx(folder: Path, n: int) -> _Rows:
    """Read the first n rows from a folder of IDX files; the test files are opened only if the rows reach them."""
    if not folder.is_dir():
        raise FileNotFoundError(f"{_FOLDER_VARIABLE}: expected a folder with MNIST's IDX files, found none at {folder}")
    parts = {part: rows for part, rows in _ROWS.items() if part == "train" or n > _ROWS["train"]}
    labels = bytearray()
    for part, rows in parts.items():
        path = _find_idx(folder, f"{part}-labels", "idx1-ubyte")
        _append_idx(path, labels, (rows,))
        _expect(max(labels) <= 9, path, "labels from 0 to 9", max(labels))
    images = {_find_idx(folder, f"{part}-images", "idx3-ubyte"): rows for part, rows in parts.items()}
    X = _read_images(images, n)
    y = np.frombuffer(labels, np.uint8)[:n].astype(np.int64)
    return X, y


def _read_images(images: dict[Path, int], n: int) -> NDArray[np.uint8]:
    """Return the first n images (n, d) of some files, of which the numbers of images are known.

    What was gzipped is kept unpacked for the next time.
    """
    rows = sum(images.values())
    copy = UnpackedCopy(f"mnist-{rows}.pixels", list(images)) if any(map(_is_gzipped, images)) else None
    items = copy.read(rows * _PIXELS) if copy else None
    if items is None:
        pixels = bytearray()
        for path, count in images.items():
            _append_idx(path, pixels, (count, _SIDE, _SIDE))
        if copy:
            copy.write(np.frombuffer(pixels, np.uint8))
        del pixels[n * _PIXELS :]
        items = np.frombuffer(pixels, np.uint8)
    return items[: n * _PIXELS].reshape(n, _PIXELS)


def _find_idx(folder: Path, name: str, kind: str) -> Path:
    for spelling in (f"{name}-{kind}", f"{name}.{kind}"):
        for ending in ("", ".gz"):
            path = folder / (spelling + ending)
            if path.is_file():
                return path
    raise FileNotFoundError(f"{folder}: expected a file {name}-{kind} or {name}.{kind}, plain or .gz, found none")


def _is_gzipped(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(2) == _GZIP_MAGIC


def _append_idx(
    path: str | os.PathLike[str], items: bytearray, expected_shape: tuple[int, ...] | None = None
) -> tuple[int, ...]:
    """Append an IDX file's items to `items` and return their shape.

    The bytes grow as they are read, rather than by what the header says, so that a false header costs no memory, and
    several files become one array without a copy.
    """
    try:
        with open(path, "rb") as raw, gzip.GzipFile(fileobj=raw) if raw.peek(2)[:2] == _GZIP_MAGIC else raw as file:
            shape = _read_idx_shape(file, path)
            _expect(expected_shape in (None, shape), path, f"shape {expected_shape}", shape)
            expected, found = math.prod(shape), 0
            while chunk := file.read(_CHUNK_BYTES):
                found += len(chunk)
                if found <= expected:
                    items += chunk
            _expect(found == expected, path, f"{expected} bytes after the header", found)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{os.fspath(path)}: expected a whole gzip file, found a damaged one ({error})") from error
    return shape


def _read_idx_shape(file: BufferedIOBase, path: str | os.PathLike[str]) -> tuple[int, ...]:
    magic = file.read(4)
    _expect(len(magic) == 4 and magic[:2] == b"\0\0", path, "an IDX magic number (00 00 type ndim)", magic)
    _, _, kind, ndim = magic
    _expect(kind == _UNSIGNED_BYTE, path, f"type 0x{_UNSIGNED_BYTE:02x} (unsigned byte)", f"0x{kind:02x}")
    _expect(1 <= ndim <= 64, path, "1 to 64 dimensions", ndim)  # 64: as many as NumPy can hold
    sizes = file.read(4 * ndim)
    _expect(len(sizes) == 4 * ndim, path, f"{4 * ndim} bytes of dimension sizes", len(sizes))
    shape = struct.unpack(f">{ndim}I", sizes)
    _expect(min(shape) > 0, path, "dimension sizes above 0", shape)
    return shape


def _expect(holds: bool, path: str | os.PathLike[str], expected: str, found: object) -> None:
    if not holds:
        raise ValueError(f"{os.fspath(path)}: expected {expected}, found {found}")


def _load_openml(n: int) -> _Rows:
    from http.client import HTTPException

    from sklearn.datasets import fetch_openml

    try:
        # liac-arff is scikit-learn's own parser: it needs no pandas.
        X, y = fetch_openml("mnist_784", version=1, as_frame=False, return_X_y=True, parser="liac-arff")
    except (OSError, HTTPException) as error:
        raise OSError(
            f"OpenML's mnist_784 could not be fetched ({error}): set {_FOLDER_VARIABLE} to a folder with MNIST's four "
            f"IDX files, or ask for at most {_EMBEDDED_ROWS:,} rows, which come with fastmlp"
        ) from error
    if X.shape != (_ALL_ROWS, _PIXELS):
        raise ValueError(f"OpenML's mnist_784: expected shape {(_ALL_ROWS, _PIXELS)}, found {X.shape}")
    return X[:n].astype(np.uint8, order="C"), y[:n].astype(np.int64)
