"""Compiling stages on all cores: in this process, and in one more for each further core.

Numba's compiler holds a lock, so threads of one process can't compile at the same time. Processes start slowly, so each
takes one stage after another from a queue; if there are few stages, this process alone compiles them.
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
from fastmlp.engine.sharing import PATIENCE, Claims
from fastmlp.engine.stages import Stage

Codes = dict[Stage, bytes]

FEWEST = 5
"""Stages for each further process; for fewer, it would start too late to help."""
_SERVE = "import sys; sys.path[:] = {path!r}; from fastmlp.engine.workshop import serve; serve()"


def compile_stages(stages: Sequence[Stage], claims: Claims | None = None) -> Codes:
    """Return {stage: object code} for all of the stages; with claims, compiled only if no other process does it."""
    codes = _Codes(claims)
    try:
        _compile_together(stages, codes)
        for stage in stages:  # stages that a helper did not finish, or that another process claimed
            if stage not in codes:
                found = claims.wait(stage) if claims else None
                if found is None:
                    codes.keep(stage, compile_stage(stage))
                else:
                    codes[stage] = found
    finally:
        if claims is not None:
            claims.end()
    return dict(codes)


def _compile_together(stages: Sequence[Stage], codes: "_Codes") -> None:
    """Compile stages here and in helpers; those that one of these did not finish are missing."""
    waiting = deque(stages)
    helpers = _start_helpers(len(stages), waiting, codes)
    try:
        _work(waiting, codes)
    finally:
        waiting.clear()
        for helper in helpers:
            helper.end()


class _Codes(dict[Stage, bytes]):
    """Object codes, and which of them are to be made and kept here."""

    def __init__(self, claims: Claims | None) -> None:
        super().__init__()
        self._claims = claims

    def wants(self, stage: Stage) -> bool:
        """Whether this process has to compile a stage."""
        return self._claims is None or self._claims.take(stage)

    def keep(self, stage: Stage, code: bytes) -> None:
        """Take what was compiled, and store it for other processes."""
        self[stage] = code
        if self._claims is not None:
            self._claims.keep(stage, code)


def _start_helpers(count: int, waiting: deque[Stage], codes: _Codes) -> "list[_Helper]":
    """Start a helper for each further core and FEWEST stages, while the system has processes and threads."""
    helpers = []
    if Path(sys.executable or "").name.startswith("python"):  # not a program that embeds Python
        with contextlib.suppress(OSError, RuntimeError):
            for _ in range(min(usable_cores() - 1, count // FEWEST)):
                helpers.append(_Helper(waiting, codes))
    return helpers


def compile_stage(stage: Stage) -> bytes:
    """Return the object code of a stage for this processor."""
    from fastmlp.engine.object_code import compile_object

    return compile_object(stage.make(), stage.symbol)


def _work(waiting: deque[Stage], codes: _Codes) -> None:
    while waiting:
        with contextlib.suppress(IndexError):  # a helper took the last one
            stage = waiting.popleft()
            if codes.wants(stage):
                codes.keep(stage, compile_stage(stage))


class _Helper:
    """Another process that compiles waiting stages, from the end of the queue, and the thread that talks to it."""

    def __init__(self, waiting: deque[Stage], codes: _Codes) -> None:
        # Started apart from the terminal, it gets no Ctrl-C. It ends at the end of its input.
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

    def _feed(self, waiting: deque[Stage], codes: _Codes) -> None:
        with contextlib.suppress(OSError, EOFError, IndexError, pickle.UnpicklingError):
            pickle.load(self._output)  # it has started
            while True:
                stage = waiting.pop()
                if not codes.wants(stage):
                    continue
                self._works = True
                pickle.dump(stage, self._input)
                self._input.flush()
                codes.keep(stage, pickle.load(self._output))
                self._works = False

    def end(self) -> None:
        """Wait for the stage that it is compiling, if any, and end the process."""
        if self._works:
            self._thread.join(PATIENCE)
        self._process.kill()
        self._thread.join()
        with contextlib.suppress(OSError):
            self._input.close()
        self._output.close()
        self._process.wait()


def serve() -> None:
    """Read stages from the standard input and write their object code to the standard output, until the input ends."""
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # other output must not get between
    import fastmlp.engine.object_code  # noqa: F401

    pickle.dump(True, output)
    output.flush()
    with contextlib.suppress(EOFError):
        while True:
            stage = pickle.load(sys.stdin.buffer)
            pickle.dump(compile_stage(stage), output)
            output.flush()
