"""Processes that need the same stages at the same time compile each only once: by claims, and files for the others."""

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

from fastmlp.engine.stages import Stage

try:
    import fcntl
except ImportError:  # no claims on this system: each process compiles for itself
    fcntl = None  # type: ignore[assignment]

PATIENCE = 60.0
"""Seconds to wait for another process to finish a stage, before this process compiles it."""
PAUSE = 0.02
"""Seconds between two looks at what another process does."""


class Claims:
    """The stages that this process compiles, of those that others may compile, too.

    A claim is the lock of a file beside the stage's own; it ends with its process, however that ends.

    Parameters
    ----------
    path_of : callable
        ``path_of(stage)`` is the file that a stage's object code is stored in.
    read : callable
        ``read(path)`` is the object code there, or None.
    write : callable
        ``write(path, code)`` stores it there.
    """

    def __init__(
        self,
        path_of: Callable[[Stage], Path],
        read: Callable[[Path], bytes | None],
        write: Callable[[Path, bytes], None],
    ) -> None:
        self._path_of = path_of
        self._read = read
        self._write = write
        self._locks: dict[Stage, int] = {}
        """File descriptors."""

    def take(self, stage: Stage) -> bool:
        """Return whether this process has to compile a stage: nobody has, and nobody else is at it."""
        path = self._path_of(stage)
        if fcntl is None:
            return True
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = os.open(_lock_of(path), os.O_WRONLY | os.O_CREAT, 0o666)
        except OSError:  # a folder that can't be written: nothing is shared
            return True
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            return False
        self._locks[stage] = lock
        if self._read(path) is None:
            return True
        self._release(stage)
        return False

    def keep(self, stage: Stage, code: bytes) -> None:
        """Store the object code of a stage, and give the claim up."""
        with contextlib.suppress(OSError):
            self._write(self._path_of(stage), code)
        self._release(stage)

    def wait(self, stage: Stage) -> bytes | None:
        """Return what another process makes of a stage, or None if this process has to compile it after all."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if (code := self._read(self._path_of(stage))) is not None:
                return code
            if self.take(stage):
                return None
            time.sleep(PAUSE)
        return None

    def end(self) -> None:
        """Give up all claims to what was not kept."""
        for stage in list(self._locks):
            self._release(stage)

    def _release(self, stage: Stage) -> None:
        lock = self._locks.pop(stage, None)
        if lock is not None:
            with contextlib.suppress(OSError):
                _lock_of(self._path_of(stage)).unlink()
            os.close(lock)


def _lock_of(path: Path) -> Path:
    return path.with_suffix(".lock")
