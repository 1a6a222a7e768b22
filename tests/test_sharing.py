"""Stages that several processes need at the same time: each is compiled once, whatever becomes of the others."""

import os
import sys
from pathlib import Path

import pytest
from support.processes import run_python

from fastmlp.engine import sharing, workshop
from fastmlp.engine.library import _read, _write
from fastmlp.engine.sharing import Claims
from fastmlp.engine.stages import Stage

pytestmark = pytest.mark.skipif(sharing.fcntl is None, reason="this system has no claims")

STAGE, OTHER = Stage("total"), Stage("mask_features")


@pytest.fixture
def processes(tmp_path, monkeypatch):
    """The claims of two processes on one folder."""
    monkeypatch.setattr(sharing, "PATIENCE", 0.2)
    return [Claims(lambda stage: tmp_path / "cache" / f"{stage}.o", _read, _write) for _ in range(2)]


def test_one_compiles_and_the_other_reads(processes, tmp_path):
    one, other = processes
    assert one.take(STAGE)
    assert not other.take(STAGE)
    assert other.take(OTHER)
    one.keep(STAGE, b"code")
    assert other.wait(STAGE) == b"code"
    assert not other.take(STAGE)
    assert not one.take(STAGE)
    other.keep(OTHER, b"")
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == ["mask_features.o", "total.o"]
    if sys.platform == "linux":
        held = [os.path.realpath(file) for file in Path("/proc/self/fd").iterdir()]
        assert not [name for name in held if str(tmp_path) in name]


def test_who_waits_takes_over_what_was_given_up(processes):
    one, other = processes
    assert one.take(STAGE)
    assert other.wait(STAGE) is None  # out of patience, without a claim
    one.end()
    assert other.wait(STAGE) is None
    assert not one.take(STAGE)
    other.end()


def test_a_folder_that_cannot_be_written_shares_nothing(tmp_path):
    (tmp_path / "file").touch()
    claims = Claims(lambda stage: tmp_path / "file" / "code.o", _read, _write)
    assert claims.take(STAGE)
    claims.keep(STAGE, b"code")
    assert claims.take(STAGE)


def test_each_stage_is_compiled_by_one_process(processes, monkeypatch):
    """The other one's stages are waited for, and read."""
    one, other = processes
    compiled = []

    def compile_stage(stage):
        compiled.append(stage)
        if stage == STAGE:  # meanwhile the other process comes to its end
            other.keep(OTHER, b"of the other")
        return b"of this one"

    monkeypatch.setattr(workshop, "compile_stage", compile_stage)
    assert other.take(OTHER)
    assert workshop.compile_stages([OTHER, STAGE], one) == {STAGE: b"of this one", OTHER: b"of the other"}
    assert compiled == [STAGE]


@pytest.mark.skipif(sys.platform != "linux", reason="asks the system for its locks")
def test_a_claim_ends_with_its_process(processes, tmp_path):
    path = tmp_path / "cache" / f"{STAGE}.o"
    code = f"""
import os
from pathlib import Path
from fastmlp.engine.sharing import Claims
from fastmlp.engine.stages import Stage
claims = Claims(lambda stage: Path({str(path)!r}), lambda path: None, None)
assert claims.take(Stage("total"))
print("taken", flush=True)
os._exit(0)
"""
    assert run_python(code) == "taken"
    assert processes[0].take(STAGE)
    processes[0].end()
