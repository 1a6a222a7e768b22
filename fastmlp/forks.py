"""Work in the midst of which the process is not forked."""

import contextlib
import logging  # noqa: F401  # whose lock a fork takes after ours, being registered before: compilers log
import os
import threading
from collections.abc import Iterator

_lock = threading.RLock()


@contextlib.contextmanager
def held_off() -> Iterator[None]:
    """Let a fork by another thread wait until the block ends; one thread at a time is in such a block.

    For imports and compilers: a child would inherit their locks, which no thread of its own will ever release.
    """
    with _lock:
        yield


def _renew() -> None:
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=lambda: _lock.acquire(), after_in_parent=lambda: _lock.release(), after_in_child=_renew)
