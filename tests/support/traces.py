"""Interrupts at a chosen line, which a trace function raises."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any


@contextlib.contextmanager
def interrupted_by(trace: Callable[..., Any]) -> Iterator[None]:
    """Trace the block, which a KeyboardInterrupt ends and does not leave."""
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(before)
