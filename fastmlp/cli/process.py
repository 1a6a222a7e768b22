"""Standard error, interrupts, and the report of written files, for every command."""

import signal
import sys
import threading
from collections.abc import Iterable
from pathlib import Path

from fastmlp.output import Output
from fastmlp.results import reason


def complain(text: str) -> None:
    """Say one line on standard error."""
    tell(f"fastmlp: {' '.join(text.split())}")


def tell(line: str) -> None:
    """Print a line on standard error, whatever becomes of it."""
    stderr = Output(sys.stderr)
    stderr.write(f"{line}\n")
    stderr.flush()


def ignore_interrupts() -> None:
    """Let nothing stop what takes a moment and must be whole: saving, and the end of the process."""
    if in_main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def in_main_thread() -> bool:
    """Return whether this is the thread that signals come to."""
    return threading.current_thread() is threading.main_thread()


def report(results: Iterable[Path], failures: dict[Path, Exception], more: str = "") -> int:
    """Say what was written and what was not, and return the exit status."""
    if written := [str(path) for path in results if path not in failures]:
        print(f"wrote {' and '.join(written)}{more}")
    if failures:
        sentences = (f"{path} could not be written: {reason(error)}" for path, error in failures.items())
        complain(f"error: {'; '.join(sentences)}")
    return 1 if failures else 0
