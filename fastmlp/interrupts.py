"""Ctrl-C that waits until something is whole."""

import contextlib
import signal
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Let a Ctrl-C that comes during the block take effect when the block ends.

    For imports, and for the first use of a compiler: broken off, they leave modules that can't be imported again and
    tables that are half filled, and nothing works in that process any more.
    """
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or handler is None:
        yield  # Python interrupts the main thread alone, and only through a handler of its own
        return
    came = []
    signal.signal(signal.SIGINT, lambda *_: came.append(True))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if came:
            signal.raise_signal(signal.SIGINT)
