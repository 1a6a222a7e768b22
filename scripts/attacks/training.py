"""What the attacks train, how results are compared, and processes of their own."""

import os
import subprocess
import sys
import threading

import numpy as np

from attacks import DefectError

QUIET = {"verbose": False, "seed": 0}
SMALL = {"hidden": (5,), "activation": "tanh", "num_epochs": 2, "batch_size": 16, "dtype": "float64", "lr": 0.05}
TOLERANCE = {"float64": 1e-7, "float32": 2e-3}
"""Far above rounding over a few steps, and far below what a feature read wrongly does."""


def make_data(rng, n=400, d=20, k=3):
    """Features of which most are 0, float32 (n, d), and labels (n,) that depend on them."""
    X = (rng.standard_normal((n, d)) * (rng.random((n, d)) < 0.3)).astype(np.float32)
    return X, np.argmax(X @ rng.standard_normal((d, k)) + 0.1 * rng.standard_normal((n, k)), axis=1)


def far(mine, other, tolerance):
    """Whether two arrays differ by more than a share of the largest number; NaN differs from everything."""
    mine, other = np.asarray(mine, np.float64), np.asarray(other, np.float64)
    if mine.shape != other.shape:
        return True
    if not mine.size:
        return False
    return not np.max(np.abs(mine - other)) <= tolerance * max(1e-30, np.max(np.abs(other)))


def need_near(what, mine, other, tolerance):
    if far(mine, other, tolerance):
        mine, other = np.asarray(mine), np.asarray(other)
        seen = f"{mine.ravel()[:4]} {mine.shape} and {other.ravel()[:4]} {other.shape}"
        raise DefectError("difference", f"{what}: {seen}")


def need_same(what, mine, other):
    """Two arrays have to be the same to the bit."""
    mine, other = np.asarray(mine), np.asarray(other)
    if (mine.dtype, mine.shape, mine.tobytes()) != (other.dtype, other.shape, other.tobytes()):
        wrong = np.count_nonzero(mine != other) if mine.shape == other.shape else "all"
        raise DefectError("difference", f"{what}: {wrong} of {mine.size} differ")


def all_at_once(works):
    """Call functions, each in a thread of its own; the defects of all are told as one."""
    wrong = []

    def call(i, work):
        try:
            work()
        except DefectError as defect:
            wrong.append(f"thread {i}: {defect}")

    threads = [threading.Thread(target=call, args=given) for given in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if wrong:
        raise DefectError("difference", "; ".join(wrong[:4]))


def environment(**changes):
    return os.environ | {name: str(value) for name, value in changes.items()}


def run_script(code, timeout=60, **changes):
    """Run code in a fresh process; return (status, what it printed, what it said on stderr)."""
    try:
        done = subprocess.run(
            [sys.executable, "-X", "faulthandler", "-c", code],
            env=environment(**changes),
            capture_output=True,
            text=True,
            timeout=timeout,
        )
    except subprocess.TimeoutExpired as late:
        said = (late.stderr or b"").decode(errors="replace")
        raise DefectError("hang", f"not back after {timeout} s: {said[-500:]}") from None
    return done.returncode, done.stdout, done.stderr


def need_status(status, said, wanted=0):
    """A process has to end with a status, and not by a signal."""
    if status < 0 or status in (134, 139):
        raise DefectError("crash", f"signal {-status}: {said[-1500:]}")
    if status != wanted:
        raise DefectError("unclear error", f"exit status {status}: {said[-1500:]}")


def is_clear(error):
    """Whether an exception is one that a user understands: of the documented types, in one sentence."""
    return isinstance(error, (ValueError, TypeError, OSError, MemoryError)) and len(str(error)) < 600
