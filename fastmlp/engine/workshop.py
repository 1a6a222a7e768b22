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
from pathlib import Path

from fastmlp.engine.processor import usable_cores

FEWEST = 5
"""Stages below which another process would not have started before they are compiled."""
_SERVE = "import sys; sys.path[:] = {path!r}; from fastmlp.engine.workshop import serve; serve()"


def compile_stages(stages):
    """Return {stage: object code}."""
    waiting, codes = deque(stages), {}
    helpers = []
    try:
        for _ in range(min(usable_cores() - 1, len(stages) // FEWEST)):
            with contextlib.suppress(OSError, RuntimeError):  # no more processes or threads: we do it alone
                helpers.append(_Helper(waiting, codes))
        _work(waiting, codes)
    finally:
        waiting.clear()
        for helper in helpers:
            helper.end()
    for stage in stages:  # those that a helper failed at
        if stage not in codes:
            codes[stage] = compile_stage(stage)
    return codes


def compile_stage(stage):
    """Return the object code of a stage for this processor."""
    from fastmlp.engine.object_code import compile_object

    return compile_object(stage.make(), stage.symbol)


def _work(waiting, codes):
    while waiting:
        with contextlib.suppress(IndexError):  # a helper took the last one
            stage = waiting.popleft()
            codes[stage] = compile_stage(stage)


class _Helper:
    """Another process that compiles what is waiting, from the end, and the thread that talks to it."""

    def __init__(self, waiting, codes):
        # In a session of its own, it gets no Ctrl-C; it ends when its input does.
        self._process = subprocess.Popen(
            [sys.executable, "-c", _SERVE.format(path=[str(Path(__file__).parents[2]), *sys.path])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._thread = threading.Thread(target=self._feed, args=(waiting, codes), daemon=True)
        self._thread.start()

    def _feed(self, waiting, codes):
        with contextlib.suppress(OSError, EOFError, IndexError, pickle.UnpicklingError):
            pickle.load(self._process.stdout)  # it is there
            while True:
                stage = waiting.pop()
                pickle.dump(stage, self._process.stdin)
                self._process.stdin.flush()
                codes[stage] = pickle.load(self._process.stdout)

    def end(self):
        """Wait for the stage that it is compiling, if it is at one."""
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        self._thread.join()
        self._process.stdout.close()
        self._process.wait()


def serve():
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
