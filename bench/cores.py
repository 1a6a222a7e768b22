"""What two cores cost each other at this moment: whether they share a cache decides what a second thread brings.

    python bench/cores.py

A virtual machine may go from one state to the other within a minute, while one thread alone is as fast as before.
"""

import ctypes
import os
import threading
from typing import NamedTuple

import numpy as np
from numba import njit

from fastmlp.engine.simd import atomic_load, atomic_store, pointer, spin

LINES, STEP = 2048, 17
"""Lines that cross, and the distance from one that is read to the next, so that no prefetcher guesses it."""
MONOTONIC = 1
_clock = ctypes.CDLL(None).clock_gettime if os.name == "posix" else None
if _clock is not None:
    _clock.argtypes = [ctypes.c_int, ctypes.c_void_p]
counter = pointer("i64")


class Crossing(NamedTuple):
    """What crosses between two cores, and how long it takes."""

    round_trip: float
    """Nanoseconds of a flag to the other core and back."""
    read: float
    """Microseconds to read 2,048 lines that the other core wrote."""
    written: float
    """Microseconds to write lines that the other core read."""

    def __str__(self) -> str:
        return (
            f"between two cores: round trip {self.round_trip:.0f} ns, {LINES:,} lines read in {self.read:.1f} us, "
            f"written in {self.written:.1f} us"
        )


@njit
def _now(time):
    _clock(MONOTONIC, time.ctypes.data)
    return 1e9 * time[0] + time[1]


@njit
def _wait(flag, value):
    while atomic_load(flag) < value:
        spin(False)


@njit(nogil=True)
def _reader(flags, lines, trips, rounds, time):
    """Begin every round trip, and read; return the nanoseconds of all trips and of all reading."""
    mine, other = counter(flags), counter(flags) + 16
    started = _now(time)
    for i in range(1, trips + 1):
        atomic_store(mine, i)
        _wait(other, i)
    in_trips, reading, total = _now(time) - started, 0.0, 0
    for i in range(1, rounds + 1):
        atomic_store(mine, trips + i)
        _wait(other, trips + i)
        started = _now(time)
        for k in range(LINES):
            total += counter(lines)[8 * (STEP * k % LINES)]
        reading += _now(time) - started
    return in_trips, reading, total


@njit(nogil=True)
def _writer(flags, lines, trips, rounds, time):
    """Answer every round trip, and write; return the nanoseconds of all writing."""
    other, mine = counter(flags), counter(flags) + 16
    for i in range(1, trips + 1):
        _wait(other, i)
        atomic_store(mine, i)
    writing = 0.0
    for i in range(1, rounds + 1):
        _wait(other, trips + i)
        started = _now(time)
        for k in range(LINES):
            counter(lines)[8 * k] = i
        atomic_store(mine, trips + i)  # a full barrier: what was written is the other's to read
        writing += _now(time) - started
    return writing


def measure_crossing(trips: int = 20_000, rounds: int = 500) -> Crossing | None:
    """Measure between the first two cores that this process may use; None where there is one, or no such clock."""
    cores = sorted(os.sched_getaffinity(0))[:2] if hasattr(os, "sched_getaffinity") else []
    if len(cores) < 2 or _clock is None:
        return None
    _run(cores, 1, 1)  # compiled
    (in_trips, reading, _), writing = _run(cores, trips, rounds)
    return Crossing(in_trips / trips, reading / rounds / 1e3, writing / rounds / 1e3)


def _run(cores, trips, rounds):
    flags, lines, results = np.zeros(64, np.int64), np.zeros(8 * LINES + 8, np.int64), {}

    def work(side, core):
        os.sched_setaffinity(threading.get_native_id(), {core})
        results[side] = side(flags.ctypes.data, lines.ctypes.data, trips, rounds, np.zeros(2, np.int64))

    threads = [threading.Thread(target=work, args=pair) for pair in zip((_reader, _writer), cores, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results[_reader], results[_writer]


if __name__ == "__main__":
    print(measure_crossing() or "one core")
