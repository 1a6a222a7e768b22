"""scripts/mutate.py on a project of one function."""

import os
import re
import signal
import subprocess
import time

import mutate
import pytest
from faults import FAULTS, Fault

SOURCE = "def double(x):\n    return 2 * x\n\n\ndef forgotten(x):\n    return x\n"
TESTS = """
from small import double

def test_of_nothing():
    pass

def test_double():
    assert double(3) == 6
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # whose imports take longer than these tests
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "small.py").write_text(SOURCE)
    (folder / "test_small.py").write_text(TESTS)
    (folder / "pyproject.toml").write_text("[tool.pytest.ini_options]\n")
    return folder


def fault(name, old, new, tests="test_small.py"):
    return Fault(name, "small.py", old, new, tests)


KILLED = fault("thrice", "2 * x", "3 * x")
HANGING = fault("hangs", "    return 2 * x", "    import time; time.sleep(1000)")
CRASHING = fault("crashes", "    return 2 * x", "    import os; os.abort()")
SURVIVING = fault("nobody asks", "    return x", "    return -x")


def run(project, capsys, *faults, options=("--timeout", "60")):
    status = mutate.main(options, faults, project)
    return status, capsys.readouterr().out


def test_the_tests_that_kill_are_named_and_the_project_is_left_alone(project, capsys):
    status, out = run(project, capsys, KILLED, CRASHING)
    assert status == 0
    assert re.search(r"^thrice  \|  +\d+\.\d \| test_small.py::test_double$", out, re.MULTILINE)
    assert re.search(r"^crashes \|  +\d+\.\d \| signal 6$", out, re.MULTILINE)
    assert out.endswith("2 of 2 faults were killed\n")
    assert (project / "small.py").read_text() == SOURCE
    assert sorted(path.name for path in project.iterdir()) == ["pyproject.toml", "small.py", "test_small.py"]


def test_an_interrupt_ends_the_tests_that_run(project, monkeypatch):
    processes = []

    class Interrupted(subprocess.Popen):
        def communicate(self, *arguments, **options):
            processes.append(self)
            if len(processes) == 1:
                raise KeyboardInterrupt
            return super().communicate(*arguments, **options)

    (project / "small.py").write_text(SOURCE.replace(HANGING.old, HANGING.new))
    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        mutate.run_tests(project, ["test_small.py"], 60, dict(os.environ))
    assert processes[0].poll() == -signal.SIGKILL


def test_a_test_that_hangs_ends_at_the_timeout(project, capsys):
    started = time.perf_counter()
    status, out = run(project, capsys, HANGING, options=("--timeout", "5"))
    assert status == 0
    assert re.search(r"^hangs \|  +\d+\.\d \| timeout$", out, re.MULTILINE)
    assert time.perf_counter() - started < 60


def test_a_fault_that_nobody_notices_is_status_1(project, capsys):
    status, out = run(project, capsys, SURVIVING, KILLED)
    assert status == 1
    assert re.search(r"^nobody asks \|  +\d+\.\d \| SURVIVED$", out, re.MULTILINE)
    assert out.endswith("1 of 2 faults were killed\n")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (fault("gone", "4 * x", "5 * x"), "must be in small.py once, found 0"),
        (fault("twice there", "return", "yield"), "must be in small.py once, found 2"),
        (fault("nothing", "2 * x", "2 * x"), "must be in small.py once, found 1"),
        (Fault("no file", "large.py", "a", "b", "test_small.py"), "must be in large.py once, found 0"),
        (fault("no Python", "2 * x", "2 *"), "the tests did not run"),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_fault_that_does_not_fit_is_an_error(project, capsys, wrong, message):
    status, out = run(project, capsys, wrong, KILLED)
    assert status == 1
    assert re.search(rf"^{wrong.name} +\| .* \| ERROR: .*{message}", out, re.MULTILINE)
    assert "1 of 2 faults were killed" in out


def test_tests_must_pass_without_a_fault(project, capsys):
    (project / "small.py").write_text(SOURCE.replace("2 * x", "3 * x"))
    status, out = run(project, capsys, fault("twice", "3 * x", "4 * x"))
    assert status == 1
    assert "the tests must pass without a fault" in out
    status, out = run(project, capsys, fault("twice", "3 * x", "4 * x", "test_small.py::test_gone"))
    assert status == 1


def test_some_can_be_chosen(project, capsys):
    status, out = run(project, capsys, KILLED, SURVIVING, options=("--only", "thri"))
    assert status == 0
    assert "1 of 1 faults" in out
    with pytest.raises(SystemExit):
        run(project, capsys, KILLED, options=("--only", "other"))


def test_every_fault_of_the_list_can_be_applied():
    assert len(FAULTS) >= 60
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
    for fault in FAULTS:
        text = (mutate.ROOT / fault.file).read_text(encoding="utf-8")
        assert text.count(fault.old) == 1, fault.name
        assert fault.new != fault.old, fault.name
        assert all((mutate.ROOT / test.partition("::")[0]).is_file() for test in fault.tests.split()), fault.name


def test_a_run_that_was_killed_from_outside_tells_nothing():
    assert mutate.judge(-11, "") == (True, "signal 11")
    killed, why = mutate.judge(-9, "")
    assert not killed
    assert why.startswith("ERROR: the tests did not run")
