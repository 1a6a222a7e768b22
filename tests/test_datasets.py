"""MNIST from the package, from IDX files and from OpenML: the same rows, and one clear sentence for every bad file."""

import gzip
import hashlib
import os
import re
import struct
import subprocess
import sys
import tracemalloc
import urllib.error
from contextlib import AbstractContextManager
from http.client import IncompleteRead
from pathlib import Path

import numpy as np
import pytest
import sklearn.datasets

import fastmlp
from fastmlp.datasets import load_mnist, read_idx

REPOSITORY = Path(fastmlp.__file__).parents[1]
NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def idx_header(*shape: int, kind: int = 0x08) -> bytes:
    return struct.pack(f">HBB{len(shape)}I", 0, kind, len(shape), *shape)


def write_sparse(path: Path, shape: tuple[int, ...], marks: dict[int, int], size: int | None = None) -> None:
    """Write an IDX file of zeros, but for a few bytes; the file system stores hardly more than those."""
    header = idx_header(*shape)
    with open(path, "wb") as file:
        file.write(header)
        file.truncate(len(header) + (int(np.prod(shape)) if size is None else size))
        for position, value in marks.items():
            file.seek(len(header) + position)
            file.write(bytes([value]))


def write_folder(folder: Path) -> Path:
    """Write four files of MNIST's shapes, where the first and last rows of each part are marked."""
    folder.mkdir()
    write_sparse(folder / NAMES[0], (60_000, 28, 28), {0: 1, 5_000 * 784: 9, 60_000 * 784 - 1: 2})
    write_sparse(folder / NAMES[1], (60_000,), {0: 1, 5_000: 9, 59_999: 2})
    write_sparse(folder / NAMES[2], (10_000, 28, 28), {0: 3, 10_000 * 784 - 1: 4})
    write_sparse(folder / NAMES[3], (10_000,), {0: 3, 9_999: 4})
    return folder


def gzip_file(path: Path) -> None:
    path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes(), compresslevel=1))
    path.unlink()


def check_marks(X: np.ndarray, y: np.ndarray) -> None:
    """Check that X and y are all the rows of `write_folder`, in order."""
    assert (X.shape, X.dtype, y.shape, y.dtype) == ((70_000, 784), np.uint8, (70_000,), np.int64)
    assert X.flags.c_contiguous
    assert X.flags.writeable
    assert y.flags.writeable
    positions = [(0, 0), (5_000, 0), (59_999, 783), (60_000, 0), (69_999, 783)]
    assert [tuple(position) for position in np.argwhere(X)] == positions
    assert [X[position] for position in positions] == [1, 9, 2, 3, 4]
    rows = [row for row, _ in positions]
    np.testing.assert_array_equal(np.flatnonzero(y), rows)
    np.testing.assert_array_equal(y[rows], [1, 9, 2, 3, 4])


def raises(error: type[Exception], message: str) -> AbstractContextManager[pytest.ExceptionInfo[Exception]]:
    return pytest.raises(error, match=f"^{re.escape(message)}$")


def fail_if_fetched(*args: object, **kwargs: object) -> None:
    raise AssertionError("OpenML was asked")


@pytest.fixture(autouse=True)
def no_download(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sklearn.datasets, "fetch_openml", fail_if_fetched)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of unpacked copies, which is empty."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("FASTMLP_CACHE_DIR", str(folder))
    return folder


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = write_folder(tmp_path / "mnist")
    monkeypatch.setenv("FASTMLP_MNIST_DIR", str(folder))
    return folder


@pytest.fixture(scope="module")
def real_folder() -> Path:
    folder = os.environ.get("FASTMLP_MNIST_DIR")
    if not folder:
        pytest.skip("FASTMLP_MNIST_DIR isn't set: the full MNIST isn't there")
    return Path(folder)


def real_file(folder: Path, name: str) -> Path:
    found = [path for path in folder.iterdir() if path.name.removesuffix(".gz").replace(".", "-") == name]
    assert found, f"no {name} in {folder}"
    return found[0]


# The rows in the package


def test_embedded_rows_are_mnist() -> None:
    X, y = load_mnist()
    assert (X.shape, X.dtype, y.shape, y.dtype) == ((5_000, 784), np.uint8, (5_000,), np.int64)
    assert X.flags.c_contiguous
    assert y.flags.c_contiguous
    np.testing.assert_array_equal(y[:10], [5, 0, 4, 1, 9, 2, 1, 3, 1, 4])
    np.testing.assert_array_equal(np.bincount(y), [479, 563, 488, 493, 535, 434, 501, 550, 462, 495])
    assert X.sum() == 130_170_281
    assert hashlib.sha256(X.data).hexdigest() == "a853ca5da5c224d531837eaa3fe56ac036778bb2fdfad445143b5b7d4ec1c739"


@pytest.mark.parametrize("n", [1, 2, 4_999, np.int64(100), np.uint16(5_000)])
def test_fewer_rows_are_the_first_ones(n: int) -> None:
    X, y = load_mnist()
    X_n, y_n = load_mnist(n)
    assert X_n.flags.c_contiguous
    np.testing.assert_array_equal(X_n, X[:n])
    np.testing.assert_array_equal(y_n, y[:n])


def test_embedded_rows_ignore_the_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTMLP_MNIST_DIR", "no such folder")
    assert load_mnist(5_000)[0].any()


def test_each_call_returns_arrays_that_may_be_changed() -> None:
    X, y = load_mnist(10)
    unchanged = X.copy(), y.copy()
    X += 1
    y += 1
    again = load_mnist(10)
    np.testing.assert_array_equal(again[0], unchanged[0])
    np.testing.assert_array_equal(again[1], unchanged[1])


def test_embedded_file_is_small_and_has_its_licence() -> None:
    data = Path(fastmlp.__file__).parent / "data"
    assert (data / "mnist5k.npz").stat().st_size < 820_000
    licence = (data / "LICENSE").read_text(encoding="utf-8")
    for words in ("CC BY-SA 3.0", "Yann LeCun", "Corinna Cortes", "Christopher J. C. Burges", "subset"):
        assert words in licence


@pytest.mark.parametrize("n", [0, -1, 70_001, np.int64(70_001), 10**30])
def test_too_few_or_many_rows(n: int) -> None:
    with raises(ValueError, f"n_samples: expected an int from 1 to 70,000, found {n}"):
        load_mnist(n)


@pytest.mark.parametrize("n", [None, True, np.True_, 5.0, np.float64(5), "5", [5], np.array([5]), 1j])
def test_rows_that_are_no_number(n: object) -> None:
    with raises(TypeError, f"n_samples: expected an int from 1 to 70,000, found {n!r}"):
        load_mnist(n)  # type: ignore[arg-type]


# The full set


def test_embedded_rows_equal_the_full_set(real_folder: Path) -> None:
    X, y = load_mnist()
    np.testing.assert_array_equal(X.reshape(-1, 28, 28), read_idx(real_file(real_folder, NAMES[0]))[:5_000])
    np.testing.assert_array_equal(y, read_idx(real_file(real_folder, NAMES[1]))[:5_000])


def test_full_set_has_the_published_checksums(real_folder: Path) -> None:
    X, y = load_mnist(70_000)
    labels = y.astype(np.uint8)
    parts = {
        "6bbc9ace898e44ae57da46a324031adb": (idx_header(60_000, 28, 28), X[:60_000]),
        "a25bea736e30d166cdddb491f175f624": (idx_header(60_000), labels[:60_000]),
        "2646ac647ad5339dbf082846283269ea": (idx_header(10_000, 28, 28), X[60_000:]),
        "27ae3e4e09519cfbb04c329615203637": (idx_header(10_000), labels[60_000:]),
    }
    for md5, (header, items) in parts.items():
        digest = hashlib.md5(header, usedforsecurity=False)
        digest.update(items.data)
        assert digest.hexdigest() == md5


def test_script_makes_the_embedded_file(real_folder: Path, tmp_path: Path) -> None:
    made = tmp_path / "made.npz"
    script = REPOSITORY / "scripts" / "embed_mnist.py"
    command: list[str | Path] = [sys.executable, script, real_folder, "--output", made]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    subprocess.run(command, env=environment, check=True, capture_output=True)
    with np.load(made) as rows, np.load(REPOSITORY / "fastmlp" / "data" / "mnist5k.npz") as embedded:
        assert set(rows) == set(embedded) == {"images", "labels"}
        for name in rows:
            assert rows[name].dtype == embedded[name].dtype == np.uint8
            np.testing.assert_array_equal(rows[name], embedded[name])


# IDX folders


def test_folder_of_plain_files(folder: Path, cache: Path) -> None:
    check_marks(*load_mnist(70_000))
    assert not cache.exists()


def test_gzipped_images_are_unpacked_once(folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gzip_file(folder / NAMES[0])
    gzip_file(folder / NAMES[2])
    X, y = load_mnist(70_000)
    check_marks(X, y)
    assert [path.name for path in cache.iterdir()] == ["mnist-70000.pixels"]
    monkeypatch.setattr(gzip, "GzipFile", None)
    for _ in range(2):
        X, y = load_mnist(70_000)
        check_marks(X, y)
        X += 1
    assert load_mnist(60_001)[0][-1, 0] == 3
    with pytest.raises(TypeError):
        load_mnist(6_000)  # which has a copy of its own
    monkeypatch.undo()
    monkeypatch.setenv("FASTMLP_MNIST_DIR", str(folder))
    monkeypatch.setenv("FASTMLP_CACHE_DIR", str(cache))
    write_sparse(folder / NAMES[2], (10_000, 28, 28), {0: 7})
    gzip_file(folder / NAMES[2])
    assert load_mnist(70_000)[0][60_000:].sum() == 7


def test_folder_of_gzipped_and_dotted_files(folder: Path) -> None:
    gzip_file(folder / NAMES[0])
    (folder / NAMES[1]).rename(folder / "train-labels.idx1-ubyte")
    (folder / NAMES[2]).rename(folder / "t10k-images.idx3-ubyte")
    gzip_file(folder / "t10k-images.idx3-ubyte")
    check_marks(*load_mnist(70_000))


@pytest.mark.parametrize(("n", "last"), [(5_001, 9), (59_999, 0), (60_000, 2)])
def test_training_rows_need_no_test_files(folder: Path, n: int, last: int) -> None:
    for name in NAMES[2:]:
        (folder / name).unlink()
    X, y = load_mnist(n)
    assert (X.shape, y.shape) == ((n, 784), (n,))
    assert (X[-1].max(), y[-1]) == (last, last)


def test_rows_across_both_parts(folder: Path) -> None:
    X, y = load_mnist(60_001)
    assert X.shape == (60_001, 784)
    np.testing.assert_array_equal(y[-3:], [0, 2, 3])
    np.testing.assert_array_equal(X[-2:, [0, 783]], [[0, 2], [3, 0]])


def test_all_rows_are_held_once(folder: Path) -> None:
    tracemalloc.start()
    try:
        X, _ = load_mnist(70_000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert X.nbytes < peak < 1.2 * X.nbytes


def test_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = tmp_path / "missing"
    monkeypatch.setenv("FASTMLP_MNIST_DIR", str(missing))
    message = f"FASTMLP_MNIST_DIR: expected a folder with MNIST's IDX files, found none at {missing}"
    with raises(FileNotFoundError, message):
        load_mnist(6_000)


@pytest.mark.parametrize("name", NAMES)
def test_missing_file(folder: Path, name: str) -> None:
    (folder / name).unlink()
    dotted = name.replace("-idx", ".idx")
    message = f"{folder}: expected a file {name} or {dotted}, plain or .gz, found none"
    with raises(FileNotFoundError, message):
        load_mnist(70_000)


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        (NAMES[0], (59_999, 28, 28), "(60000, 28, 28)"),
        (NAMES[0], (60_000, 28, 27), "(60000, 28, 28)"),
        (NAMES[0], (60_000,), "(60000, 28, 28)"),
        (NAMES[1], (59_999,), "(60000,)"),
        (NAMES[1], (60_000, 1), "(60000,)"),
        (NAMES[2], (60_000, 28, 28), "(10000, 28, 28)"),
        (NAMES[3], (10_001,), "(10000,)"),
    ],
)
def test_files_of_another_shape(folder: Path, name: str, shape: tuple[int, ...], expected: str) -> None:
    write_sparse(folder / name, shape, {})
    with raises(ValueError, f"{folder / name}: expected shape {expected}, found {shape}"):
        load_mnist(70_000)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("excess", [-1, 1])
def test_files_cut_short_or_too_long(folder: Path, name: str, excess: int) -> None:
    shape = ((60_000,) if "train" in name else (10_000,)) + ((28, 28) if "images" in name else ())
    size = int(np.prod(shape))
    write_sparse(folder / name, shape, {}, size + excess)
    message = f"{folder / name}: expected {size} bytes after the header, found {size + excess}"
    with raises(ValueError, message):
        load_mnist(70_000)


@pytest.mark.parametrize(("name", "rows"), [(NAMES[1], 60_000), (NAMES[3], 10_000)])
@pytest.mark.parametrize("label", [10, 255])
def test_labels_that_are_no_digits(folder: Path, name: str, rows: int, label: int) -> None:
    write_sparse(folder / name, (rows,), {rows // 2: label})
    message = f"{folder / name}: expected labels from 0 to 9, found {label}"
    with raises(ValueError, message):
        load_mnist(70_000)


# Single IDX files


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
@pytest.mark.parametrize("shape", [(1,), (7,), (3, 2), (2, 3, 4), (1,) * 64])
def test_read_idx(tmp_path: Path, shape: tuple[int, ...], compress: type[bytes]) -> None:
    expected = np.random.default_rng(0).integers(1, 256, shape, np.uint8)
    path = tmp_path / "items"
    path.write_bytes(compress(idx_header(*shape) + expected.tobytes()))
    for given in (path, str(path)):
        items = read_idx(given)
        assert items.dtype == np.uint8
        assert items.flags.writeable
        np.testing.assert_array_equal(items, expected)


MALFORMED = {
    "empty": (b"", "an IDX magic number (00 00 type ndim), found b''"),
    "short magic": (b"\0\0\x08", r"an IDX magic number (00 00 type ndim), found b'\x00\x00\x08'"),
    "no IDX": (b"PK\3\4rest", r"an IDX magic number (00 00 type ndim), found b'PK\x03\x04'"),
    "little-endian": (b"\3\x08\0\0", r"an IDX magic number (00 00 type ndim), found b'\x03\x08\x00\x00'"),
    "float": (idx_header(1, kind=0x0D) + bytes(4), "type 0x08 (unsigned byte), found 0x0d"),
    "no dimension": (idx_header() + b"\1", "1 to 64 dimensions, found 0"),
    "too many dimensions": (idx_header(*[1] * 65) + b"\1", "1 to 64 dimensions, found 65"),
    "short header": (idx_header(2, 3)[:-1], "8 bytes of dimension sizes, found 7"),
    "empty dimension": (idx_header(0, 3), "dimension sizes above 0, found (0, 3)"),
    "no items": (idx_header(2, 3), "6 bytes after the header, found 0"),
    "cut short": (idx_header(2, 3) + bytes(5), "6 bytes after the header, found 5"),
    "too long": (idx_header(2, 3) + bytes(7), "6 bytes after the header, found 7"),
    "false sizes": (idx_header(2**32 - 1, 2**32 - 1), f"{(2**32 - 1) ** 2} bytes after the header, found 0"),
    "much too long": (idx_header(2) + bytes(3 << 20), f"2 bytes after the header, found {3 << 20}"),
}


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
@pytest.mark.parametrize(("content", "expected"), MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_idx(tmp_path: Path, content: bytes, expected: str, compress: type[bytes]) -> None:
    path = tmp_path / "items"
    path.write_bytes(compress(content))
    with raises(ValueError, f"{path}: expected {expected}"):
        read_idx(path)


@pytest.mark.parametrize("damage", ["cut in its header", "cut in its data", "cut in its checksum", "changed", "longer"])
def test_damaged_gzip(tmp_path: Path, damage: str) -> None:
    items = np.random.default_rng(0).integers(0, 256, 1000, np.uint8).tobytes()
    content = gzip.compress(idx_header(1000) + items)
    middle = len(content) // 2
    path = tmp_path / "items.gz"
    path.write_bytes(
        {
            "cut in its header": content[:5],
            "cut in its data": content[:middle],
            "cut in its checksum": content[:-1],
            "changed": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
            "longer": content + b"more",
        }[damage]
    )
    with pytest.raises(ValueError, match=f"^{re.escape(f'{path}: expected a whole gzip file, found a damaged one')}"):
        read_idx(path)


def test_damaged_deflate_stream(tmp_path: Path) -> None:
    path = tmp_path / "items.gz"
    path.write_bytes(gzip.compress(idx_header(1))[:10] + b"\xff" * 20)
    with pytest.raises(ValueError, match="expected a whole gzip file") as raised:
        read_idx(path)
    assert raised.value.__cause__ is not None


def test_read_idx_without_a_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="missing"):
        read_idx(tmp_path / "missing")


# OpenML


@pytest.mark.parametrize("folder_variable", [None, ""])
def test_openml(monkeypatch: pytest.MonkeyPatch, folder_variable: str | None) -> None:
    if folder_variable is None:
        monkeypatch.delenv("FASTMLP_MNIST_DIR", raising=False)
    else:
        monkeypatch.setenv("FASTMLP_MNIST_DIR", folder_variable)
    asked = []

    def fetch_openml(*args: object, **kwargs: object) -> tuple[np.ndarray, np.ndarray]:
        asked.append((args, kwargs))
        X = np.broadcast_to(np.linspace(0, 255, 784).round(), (70_000, 784))
        return X, np.array([str(row % 10) for row in range(70_000)], object)

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", fetch_openml)
    X, y = load_mnist(5_013)
    options = {"version": 1, "as_frame": False, "return_X_y": True, "parser": "liac-arff"}
    assert asked == [(("mnist_784",), options)]
    assert (X.shape, X.dtype, y.shape, y.dtype) == ((5_013, 784), np.uint8, (5_013,), np.int64)
    assert X.flags.c_contiguous
    assert X.flags.writeable
    np.testing.assert_array_equal(X[-1], np.linspace(0, 255, 784).round())
    np.testing.assert_array_equal(y, np.arange(5_013) % 10)


def test_openml_of_another_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FASTMLP_MNIST_DIR", raising=False)
    monkeypatch.setattr(sklearn.datasets, "fetch_openml", lambda *_, **__: (np.zeros((3, 784)), np.array(["1"] * 3)))
    with raises(ValueError, "OpenML's mnist_784: expected shape (70000, 784), found (3, 784)"):
        load_mnist(6_000)


@pytest.mark.parametrize(
    "error",
    [urllib.error.URLError("unreachable"), TimeoutError("too slow"), IncompleteRead(b"half")],
    ids=lambda error: type(error).__name__,
)
def test_openml_out_of_reach(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fetch_openml(*args: object, **kwargs: object) -> None:
        raise error

    monkeypatch.delenv("FASTMLP_MNIST_DIR", raising=False)
    monkeypatch.setattr(sklearn.datasets, "fetch_openml", fetch_openml)
    message = f"OpenML's mnist_784 could not be fetched ({error}): set FASTMLP_MNIST_DIR to a folder"
    with pytest.raises(OSError, match=f"^{re.escape(message)}") as raised:
        load_mnist(6_000)
    assert raised.value.__cause__ is error


# Imports


def test_import_and_embedded_rows_need_only_numpy() -> None:
    code = (
        "import sys, fastmlp.datasets; fastmlp.datasets.load_mnist()\n"
        "print({'sklearn', 'scipy', 'numba', 'matplotlib', 'pandas'} & sys.modules.keys())"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"
