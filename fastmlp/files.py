"""Files that appear whole or not at all."""

import contextlib
import os
import secrets
import stat
import time
from collections.abc import Iterator
from typing import BinaryIO

_PREFIX, _SUFFIX = ".fastmlp-", ".tmp"
_STALE_AFTER = 3600.0
"""Seconds after which a temporary file that nobody wrote to has lost its process."""


@contextlib.contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file for writing that takes the place of `path` when the block ends, and vanishes if the block fails.

    It is written beside `path`, and is on disk before it takes the place. A symbolic link stays: the file that it leads
    to is replaced. An older file's mode is kept. What is no regular file, a pipe say, is written to as it is. What
    killed processes left here is removed.

    Raises
    ------
    OSError
        If the file can't be written; what stood at `path` is as it was then.
    """
    target = os.path.realpath(path)
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        mode = None
    if mode is not None and not stat.S_ISREG(mode):
        with open(path, "wb") as file:
            yield file
        return
    folder = os.path.dirname(target)
    _remove_stale(folder)
    temporary = os.path.join(folder, f"{_PREFIX}{secrets.token_hex(8)}{_SUFFIX}")
    try:
        with _create(temporary, path) as file:
            yield file
            file.flush()
            if mode is not None:
                os.chmod(temporary, stat.S_IMODE(mode))
            os.fsync(file.fileno())
        os.replace(temporary, target)
        _sync_folder(folder)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _sync_folder(folder: str) -> None:
    """Have a folder's entries on disk, where the system does that, so that a rename outlives a power cut."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _create(temporary: str, path: str | os.PathLike[str]) -> BinaryIO:
    """Open a new file with the mode that `open` would give it; an error names the path that the user gave."""
    try:
        return open(os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666), "wb")
    except OSError as error:
        raise type(error)(error.errno, error.strerror, os.fspath(path)) from None


def _remove_stale(folder: str) -> None:
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(_PREFIX) and entry.name.endswith(_SUFFIX):
                with contextlib.suppress(OSError):
                    if time.time() - entry.stat(follow_symlinks=False).st_mtime > _STALE_AFTER:
                        os.unlink(entry.path)
