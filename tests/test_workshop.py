"""Stages compiled by several processes: all of them, whatever becomes of the others."""

import functools
import os
import signal
import sys
import time

import pytest

from fastmlp.engine import workshop
from fastmlp.engine.prebuilt import every_stage
from fastmlp.engine.simd.compiler import COMPILED
from fastmlp.engine.workshop import compile_stages

pytestmark = pytest.mark.skipif(not COMPILED, reason="compiles stages")

compile_once = functools.cache(workshop.compile_stage)
"""What this process does, while others compile as ever."""
STAGES = [stage for stage in every_stage() if stage.name == "chain"][:10]


def are_whole(codes, stages=STAGES):
    """Whether these are the object codes of all stages; equal bytes need equal processes, see test_wheel.py."""
    return codes.keys() == set(stages) and all(
        code[:4] == b"\x7fELF" and stage.symbol.encode() in code for stage, code in codes.items()
    )


@pytest.fixture
def helpers(monkeypatch):
    """The processes that are started in a test, one as if there were two cores; this one compiles slowly."""
    started = []

    class Helper(workshop._Helper):
        def __init__(self, waiting, codes):
            super().__init__(waiting, codes)
            self.done = codes
            started.append(self)

    def slowly(stage):
        time.sleep(0.3)
        return compile_once(stage)

    monkeypatch.setattr(workshop, "_Helper", Helper)
    monkeypatch.setattr(workshop, "compile_stage", slowly)
    monkeypatch.setattr(workshop, "usable_cores", lambda: 2)
    return started


def test_another_process_takes_part(helpers, monkeypatch):
    mine = []

    def wait_for_the_other(stage):
        mine.append(stage)
        end = time.monotonic() + 60
        while not helpers[0].done and time.monotonic() < end:
            time.sleep(0.01)
        return compile_once(stage)

    monkeypatch.setattr(workshop, "compile_stage", wait_for_the_other)
    assert are_whole(compile_stages(STAGES))
    (helper,) = helpers
    assert helper._process.returncode is not None
    assert 0 < len(mine) < len(STAGES)


@pytest.mark.parametrize("moment", [0, 1.5])
def test_a_process_that_dies_leaves_its_work_to_this_one(helpers, monkeypatch, moment):
    slowly = workshop.compile_stage

    def kill_first(stage):
        if not any(helper._process.poll() is not None for helper in helpers):
            time.sleep(moment)
            os.kill(helpers[0]._process.pid, signal.SIGKILL)
        return slowly(stage)

    monkeypatch.setattr(workshop, "compile_stage", kill_first)
    assert are_whole(compile_stages(STAGES))


def test_a_process_that_hangs_is_waited_for_in_patience(helpers, monkeypatch):
    monkeypatch.setattr(workshop, "PATIENCE", 0.5)
    monkeypatch.setattr(workshop, "_SERVE", "import pickle, sys, time; pickle.dump(1, sys.stdout.buffer); "
                        "sys.stdout.flush(); time.sleep(1000)  # {path!r}")  # fmt: skip
    assert are_whole(compile_stages(STAGES))
    assert helpers[0]._process.returncode == -signal.SIGKILL


@pytest.mark.parametrize("executable", ["", None, "/bin/sh"])
def test_no_other_program_is_started(helpers, monkeypatch, executable):
    monkeypatch.setattr(sys, "executable", executable)
    assert are_whole(compile_stages(STAGES[:5]), STAGES[:5])
    assert not helpers


@pytest.mark.parametrize("error", [OSError, RuntimeError])
def test_without_processes_or_threads_it_works_alone(monkeypatch, error):
    def refuse(*arguments):
        raise error

    monkeypatch.setattr(workshop, "_Helper", refuse)
    monkeypatch.setattr(workshop, "compile_stage", compile_once)
    monkeypatch.setattr(workshop, "usable_cores", lambda: 2)
    assert are_whole(compile_stages(STAGES))


def test_few_stages_are_not_waited_for(helpers):
    compile_stages(STAGES[:4])
    assert not helpers
