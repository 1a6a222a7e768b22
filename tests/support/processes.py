"""Fresh interpreters, for what a process can only do once: import, choose a cache, switch the compiler off."""

import os
import subprocess
import sys
from pathlib import Path

import fastmlp

TESTS = Path(__file__).parents[1]
PACKAGE = Path(fastmlp.__file__).parent


def run_python(code: str, package: Path = PACKAGE, **environment: str) -> str:
    """Run code against a copy of the package, warnings being errors, and return what it prints."""
    paths = os.pathsep.join(map(str, (package.parent, TESTS)))
    run = subprocess.run(
        [sys.executable, "-P", "-B", "-W", "error", "-c", code],
        env={**os.environ, "PYTHONPATH": paths, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    return run.stdout.strip()
