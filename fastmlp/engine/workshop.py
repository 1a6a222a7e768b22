"""Stages compiled on all cores: in this process, and in one more for each further core.

Numba holds a lock that only one thread of a process can have. Processes start slowly, so each takes one stage after
another as long as there are any; where there are few, this one is done before another has begun.
"""

import contextlib
import os
import pickle
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from fastmlp.engine.processor import usable_cores
from fastmlp.engine.stages import Stage

Codes = dict[Stage, bytes]

FEWEST = 5
"""Stages below which another process would not have started before they are compiled."""
PATIENCE = 60.0
"""Seconds after which a stage is compiled here that another process did not finish."""
_SERVE = "import sys; sys.path[:] = {path!r}; from fastmlp.engine.workshop import serve; serve()"


def compile_stages(stages: Sequence[Stage]) -> Codes:
    """Return {stage: object code}."""
    waiting = deque(stages)
    codes: Codes = {}
    helpers = _start_helpers(len(stages), waiting, codes)
    try:
        _work(waiting, codes)
    finally:
        waiting.clear()
        for helper in helpers:
            helper.end()
    for stage in stages:  # those at which a helper failed
        if stage not in codes:
            codes[stage] = compile_stage(stage)
    return codes


def _start_helpers(count: int, waiting: deque[Stage], codes: Codes) -> "list[_Helper]":
    """Return as many helpers as there are cores and work for, or as the system has processes and threads for."""
    helpers = []
    if Path(sys.executable or "").name.startswith("python"):  # and no program that Python is embedded in
        with contextlib.suppress(OSError, RuntimeError):
            for _ in range(min(usable_cores() - 1, count // FEWEST)):
                helpers.append(_Helper(waiting, codes))
    return helpers


def compile_stage(stage: Stage) -> bytes:
    """Return the object code of a stage for this processor."""
    from fastmlp.engine.object_code import compile_object

    return compile_object(stage.make(), stage.symbol)


def _work(waiting: deque[Stage], codes: Codes) -> None:
    while waiting:
        with contextlib.suppress(IndexError):  # a helper took the last one
            stage = waiting.popleft()
            codes[stage] = compile_stage(stage)


class _Helper:
    """Another process that compiles what is waiting, from the end, and the thread that talks to it."""

    def __init__(self, waiting: deque[Stage], codes: Codes) -> None:
        # In a session of its own, it gets no Ctrl-C; it ends when its input does.
        self._process = subprocess.Popen(
            [sys.executable, "-c", _SERVE.format(path=[str(Path(__file__).parents[2]), *sys.path])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input, self._output = self._process.stdin, self._process.stdout
        self._works = False
        self._thread = threading.Thread(target=self._feed, args=(waiting, codes), daemon=True)
        self._thread.start()

    def _feed(self, waiting: deque[Stage], codes: Codes) -> None:
        with contextlib.suppress(OSError, EOFError, IndexError, pickle.UnpicklingError):
            pickle.load(self._output)  # it has started
            while True:
                stage = waiting.pop()
                self._works = True
                pickle.dump(stage, self._input)
                self._input.flush()
                codes[stage] = pickle.load(self._output)
                self._works = False

    def end(self) -> None:
        """Wait for the stage that it is compiling, if it is at one."""
        if self._works:
            self._thread.join(PATIENCE)
        self._process.kill()
        self._thread.join()
        with contextlib.suppress(OSError):
            self._input.close()
        self._output.close()
        self._process.wait()


def serve() -> None:
    """Compile the stages that come in, and send out their code, until there are no more."""
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever else is printed
    import fastmlp.engine.object_code  # noqa: F401

    pickle.dump(True, output)
    output.flush()
    with contextlib.suppress(EOFError):
        while True:
            stage = pickle.load(sys.stdin.buffer)
            pickle.dump(compile_stage(stage), output)
            output.flush()
