"""The unpacked copy of compressed files: either what they hold, or nothing."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from fastmlp.unpacked import UnpackedCopy

ITEMS = np.random.default_rng(0).integers(1, 256, 4_096, np.uint8)
TIME = 1_700_000_000 * 10**9


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("FASTMLP_CACHE_DIR", str(folder))
    return folder


@pytest.fixture
def sources(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "a.gz", tmp_path / "b.gz"]
    for path in paths:
        write_source(path, b"packed, and checksum " + path.name.encode())
    return paths


def write_source(path: Path, content: bytes, time: int = TIME) -> None:
    path.write_bytes(content)
    os.utime(path, ns=(time, time))


def read(sources: list[Path], size: int = len(ITEMS)) -> np.ndarray | None:
    return UnpackedCopy("items", sources).read(size)


@pytest.fixture
def copy(cache: Path, sources: list[Path]) -> Path:
    """The file of a copy that is whole."""
    assert read(sources) is None
    UnpackedCopy("items", sources).write(ITEMS)
    np.testing.assert_array_equal(read(sources), ITEMS)
    assert [path.name for path in cache.iterdir()] == ["items"]
    return cache / "items"


def test_changes_stay_in_memory(copy: Path, sources: list[Path]) -> None:
    items = read(sources)
    assert type(items) is np.ndarray
    items += 1
    np.testing.assert_array_equal(items, ITEMS + 1)
    np.testing.assert_array_equal(read(sources), ITEMS)


def test_what_is_mapped_outlives_the_next_copy(copy: Path, sources: list[Path]) -> None:
    items = read(sources)
    UnpackedCopy("items", sources).write(ITEMS[::-1].copy())
    np.testing.assert_array_equal(items, ITEMS)
    np.testing.assert_array_equal(read(sources), ITEMS[::-1])
    copy.unlink()
    np.testing.assert_array_equal(items, ITEMS)


CHANGES = {
    "the end": (b"packed, and checksum a.gZ", TIME),
    "the length": (b"packed, and a checksum a.gz", TIME),
    "the time": (b"packed, and checksum a.gz", TIME + 1_000),
    "all": (b"", TIME),
}


@pytest.mark.parametrize(("content", "time"), CHANGES.values(), ids=CHANGES.keys())
def test_other_sources_have_another_copy(copy: Path, sources: list[Path], content: bytes, time: int) -> None:
    write_source(sources[0], content, time)
    assert read(sources) is None
    UnpackedCopy("items", sources).write(ITEMS[::-1].copy())
    np.testing.assert_array_equal(read(sources), ITEMS[::-1])


def test_sources_have_an_order_and_a_number(copy: Path, sources: list[Path]) -> None:
    assert read(sources[::-1]) is None
    assert read(sources[:1]) is None


@pytest.mark.parametrize("position", [0, 31, 32, 39, 63, 64, 2_000, 64 + len(ITEMS) - 1])
def test_a_changed_byte_is_seen(copy: Path, sources: list[Path], position: int) -> None:
    content = bytearray(copy.read_bytes())
    content[position] ^= 1
    copy.write_bytes(content)
    assert read(sources) is None


@pytest.mark.parametrize("length", [0, 1, 40, 64, 1_000, 64 + len(ITEMS) - 8])
def test_a_copy_that_was_cut_is_seen(copy: Path, sources: list[Path], length: int) -> None:
    os.truncate(copy, length)
    assert read(sources) is None


def test_a_copy_of_another_size_is_none(copy: Path, sources: list[Path]) -> None:
    assert read(sources, len(ITEMS) - 8) is None
    assert read(sources, len(ITEMS) + 8) is None
    copy.write_bytes(copy.read_bytes() + bytes(8))  # zeros, which no sum shows
    assert read(sources) is None


def test_a_copy_that_is_no_file(copy: Path, sources: list[Path]) -> None:
    copy.unlink()
    copy.mkdir()
    assert read(sources) is None
    UnpackedCopy("items", sources).write(ITEMS)
    assert copy.is_dir()


@pytest.mark.parametrize("where", ["file/x", "/proc/x", os.devnull])
def test_a_folder_that_cannot_be_written_has_no_copy(
    tmp_path: Path, sources: list[Path], monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("FASTMLP_CACHE_DIR", str(tmp_path / where))
    UnpackedCopy("items", sources).write(ITEMS)
    assert read(sources) is None


def test_a_full_disk_leaves_nothing(cache: Path, sources: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fail)
    UnpackedCopy("items", sources).write(ITEMS)
    assert read(sources) is None
    assert not list(cache.iterdir())
