"""Put faults into a copy of the project, one at a time, and see that the tests notice each of them.

    python scripts/mutate.py [--only PATTERN] [--timeout SECONDS]

The faults are in `scripts/faults.py`. Their tests must pass without them. A fault survives when its tests pass with it;
one whose text is not found, or whose tests don't run, is an error. The exit status is 1 if there is any of either.
"""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from faults import FAULTS, Fault

ROOT = Path(__file__).resolve().parent.parent
NOT_COPIED = shutil.ignore_patterns(".git", ".*cache", ".venv", ".benchmarks", "__pycache__", "*.egg-info", "build")
ENGINE, FUNCTIONS = "fastmlp/engine/", "fastmlp/jit/"
"""What is compiled: of faults there, nothing is kept."""
TIMEOUT = 300.0
CRASHES = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL)
"""What a fault may do to the tests' process; other signals come from outside."""


class Outcome(NamedTuple):
    """What became of a fault."""

    fault: Fault
    killed: bool
    by: str
    """The test that failed first, "timeout", or a signal; for a fault that lives on, why."""
    seconds: float


def apply(root: Path, fault: Fault) -> str:
    """Put a fault into a tree; return the text of the file without it.

    Raises
    ------
    ValueError
        If the file doesn't have the fault's text exactly once.
    """
    path = root / fault.file
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    if text.count(fault.old) != 1 or fault.new == fault.old:
        raise ValueError(f"the text of {fault.name!r} must be in {fault.file} once, found {text.count(fault.old)}")
    path.write_text(text.replace(fault.old, fault.new), encoding="utf-8")
    return text


def run_tests(root: Path, tests: Sequence[str], timeout: float, environment: dict[str, str]) -> tuple[int | None, str]:
    """Run tests in a tree until one fails; return pytest's exit status, None after the timeout, and what it printed."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-rfE", "--tb=no", "-p", "no:cacheprovider", *tests]
    process = subprocess.Popen(
        command, cwd=root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        errors="replace", start_new_session=True,
    )  # fmt: skip
    try:
        out, _ = process.communicate(timeout=timeout)
    except BaseException as error:
        os.killpg(process.pid, signal.SIGKILL)  # its own session: with what it has started
        out, _ = process.communicate()
        if not isinstance(error, subprocess.TimeoutExpired):
            raise
        return None, out
    return process.returncode, out


def judge(status: int | None, out: str) -> tuple[bool, str]:
    """Whether a run of the tests killed its fault, and which test or why not."""
    if status is None:
        return True, "timeout"
    if -status in CRASHES:
        return True, f"signal {-status}"
    if status == 0:
        return False, "SURVIVED"
    failed = re.search(r"^(?:FAILED|ERROR) (\S+::.+?)(?: - .*)?$", out, re.MULTILINE)
    if status == 1 and failed:
        return True, failed[1]
    return False, f"ERROR: the tests did not run: {out.strip().splitlines()[-1] if out.strip() else status}"


def surroundings(root: Path, scratch: Path, fault: Fault | None = None) -> dict[str, str]:
    """The environment of a run in a copy, which comes before what is installed."""
    paths = [str(root), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1"}
    changed = "" if fault is None else fault.file
    if changed.startswith(ENGINE):
        environment["FASTMLP_CACHE_DIR"] = str(scratch / "stages")
    environment["NUMBA_CACHE_DIR"] = str(scratch / ("functions" if changed.startswith(FUNCTIONS) else "kept"))
    return environment


def try_fault(root: Path, scratch: Path, fault: Fault, timeout: float) -> Outcome:
    """Put a fault in, run its tests, take it out again."""
    started = time.perf_counter()
    try:
        text = apply(root, fault)
    except ValueError as error:
        return Outcome(fault, False, f"ERROR: {error}", 0.0)
    try:
        killed, by = judge(*run_tests(root, fault.tests.split(), timeout, surroundings(root, scratch, fault)))
    finally:
        (root / fault.file).write_text(text, encoding="utf-8")
        for name in ("stages", "functions"):
            shutil.rmtree(scratch / name, ignore_errors=True)
    return Outcome(fault, killed, by, time.perf_counter() - started)


def main(argv: Sequence[str] | None = None, faults: Sequence[Fault] = FAULTS, root: Path = ROOT) -> int:
    """Try the chosen faults and print the table; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="PATTERN", default="", help="faults whose name or file has this in it")
    parser.add_argument("--timeout", type=float, default=TIMEOUT, help="seconds for the tests of one fault")
    arguments = parser.parse_args(argv)
    chosen = [fault for fault in faults if arguments.only in fault.name or arguments.only in fault.file]
    if not chosen:
        parser.error(f"--only must be part of a fault's name or file, got {arguments.only!r}")
    with tempfile.TemporaryDirectory() as folder:
        copy, scratch = Path(folder) / "copy", Path(folder) / "scratch"
        shutil.copytree(root, copy, ignore=NOT_COPIED)
        tests = sorted({test for fault in chosen for test in fault.tests.split()})
        status, out = run_tests(copy, tests, arguments.timeout * len(chosen), surroundings(copy, scratch))
        if status != 0:
            print(out, "the tests must pass without a fault, but they don't", sep="\n")
            return 1
        width = max(len(fault.name) for fault in chosen)
        print(f"{'fault':{width}} | seconds | killed by\n{'-' * width}-|---------|----------", flush=True)
        outcomes = []
        for fault in chosen:
            outcomes.append(outcome := try_fault(copy, scratch, fault, arguments.timeout))
            print(f"{fault.name:{width}} | {outcome.seconds:7.1f} | {outcome.by}", flush=True)
    alive = [outcome for outcome in outcomes if not outcome.killed]
    print(f"{len(outcomes) - len(alive)} of {len(outcomes)} faults were killed")
    return 1 if alive else 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends like Ctrl-C, with the tests that hang
    sys.exit(main())
