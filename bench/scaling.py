"""How training would scale to 64 threads: the schedule of each thread, timed part by part, and what crosses.

    python bench/scaling.py [--out bench/scaling_simulated.png]

Every thread's part of every phase is run and timed, one after the other, on one core. A batch then takes as long as the
slowest thread of each phase, and the barriers: each has log2(threads) rounds, half a round trip between two cores long.
Each thread also reads lines that others wrote; they are counted from the arrays' sizes. Round trip and lines are timed
by bench/cores.py, so the figure holds for 64 cores as far from each other as two of this machine, with a memory that is
wide enough. Crosses are measured, on as many threads as there are cores.
"""

import argparse
import time

import matplotlib.pyplot as plt
import numpy as np
from cores import LINES, Crossing, measure_crossing
from numba import njit

from fastmlp.datasets import load_mnist
from fastmlp.engine import player
from fastmlp.engine.controller import Controller
from fastmlp.engine.epoch import play
from fastmlp.engine.processor import usable_cores
from fastmlp.engine.schedule import layer_of_sums
from fastmlp.engine.simd import least, ticks
from fastmlp.engine.trainer import Engine
from fastmlp.engine.views import run_table, schedule_table
from fastmlp.options import read_options
from fastmlp.preparation import prepare

NETWORKS = ((256, 128), (2048, 1024))
BATCHES = (64, 256, 1024, 4096)
THREADS = (1, 2, 4, 6, 8, 12, 16, 32, 64)
LINE = 64
BATCHES_TIMED = 2
SECONDS = 0.01
"""To time the parts of one number of threads, at least."""


class Fixed(Controller):
    """Always all threads."""

    def _try(self):
        pass


@njit(nogil=True)
def _time_parts(tables, schedules, n, times):
    """Train on samples 0 ≤ s < n, one thread's part after the other; times (batches, phases, threads) in ticks."""
    threads = len(tables)
    for thread in range(threads):
        t = run_table(tables[thread])
        t.turn, t.next_at, t.next_size = 1, 0, least(t.batch, n)
    for thread in range(threads):
        play(tables[thread], schedule_table(schedules[thread]), 0)
    for batch in range(len(times)):
        for thread in range(threads):
            t = run_table(tables[thread])
            t.at, t.size, t.turn = t.next_at, t.next_size, 1 - t.turn
            t.next_at = t.at + t.size
            t.next_size = least(t.batch, n - t.next_at)
            t.rate = t.rates + t.at // t.batch * t.rate_bytes
        for phase in range(1, times.shape[1] + 1):
            for thread in range(threads):
                started = ticks()
                play(tables[thread], schedule_table(schedules[thread]), phase)
                times[batch, phase - 1, thread] = ticks() - started


def make_engine(hidden, batch, threads, n):
    """Return an engine on MNIST that has run once, on one thread: its tables point to a run of n samples."""
    X, y = load_mnist(n)
    problem, _, start, *_ = prepare(X, y, read_options({"hidden": hidden, "batch_size": batch, "num_threads": threads}))
    player.Controller = lambda most: Fixed(1)
    engine = Engine(problem, start)
    engine.run_epoch(np.arange(n))
    return engine


def time_parts(hidden, batch, threads):
    """Return the seconds of each thread's part of each phase of a batch (phases, threads), medians; and its lines."""
    n = BATCHES_TIMED * batch
    engine = make_engine(hidden, batch, threads, n)
    own = engine._workspace
    tables = np.array([table.ctypes.data for table in own._tables])
    schedules = np.array([own._schedule_tables[i % len(own._schedule_tables)][2].ctypes.data for i in range(threads)])
    own._player._set(begin=0, n=n, threads=threads)
    times = np.zeros((BATCHES_TIMED, len(own.schedule) - 1, threads), np.int64)
    _time_parts(tables, schedules, n, times)  # compiled, and every thread's memory touched
    parts, first, began = [], _now(), time.perf_counter()
    while not parts or time.perf_counter() - began < SECONDS:
        _time_parts(tables, schedules, n, times)
        parts.append(times.copy())
    second = (_now() - first) / (time.perf_counter() - began)
    return np.median(np.concatenate(parts), axis=0) / second, crossing_lines(own, threads)


@njit
def _now():
    return ticks()


def crossing_lines(workspace, threads):
    """Return how many lines that others wrote a thread reads in a batch."""
    if threads == 1:
        return 0.0
    plan, batch, summed = workspace.plan, workspace._batch, layer_of_sums(workspace.plan)
    size = 4 if plan.kind == "f32" else 8
    units = [layer["panels"] * layer["W"].shape[2] for layer in workspace._layers[0]]
    sums = 2 if threads == 2 else workspace.shared["shards"]
    rows = batch if workspace._replicated else batch / threads
    numbers = rows * sums * units[summed]
    if not workspace._replicated:
        numbers += batch * sum(units[summed:])  # the deltas of all samples
        numbers += batch * sum(units[summed:-1]) / threads  # the activations of a thread's units
    return numbers * size / LINE * (1 - 1 / threads)


def seconds_of_batch(parts, lines, crossing: Crossing):
    """Return the seconds of a batch from those of its parts."""
    phases, threads = parts.shape
    rounds = int(np.ceil(np.log2(threads)))
    barriers = (phases - 1) * rounds * crossing.round_trip / 2 * 1e-9
    return np.max(parts, axis=1).sum() + barriers + lines / LINES * crossing.read * 1e-6


def measure(hidden, batch, threads):
    """Return the samples a second of a training on so many threads, the best of some runs."""
    n = max(4096, batch)
    X, y = load_mnist(n)
    problem, _, start, *_ = prepare(X, y, read_options({"hidden": hidden, "batch_size": batch, "num_threads": threads}))
    player.Controller = Fixed
    engine, seconds = Engine(problem, start), []
    for _ in range(3):
        began = time.perf_counter()
        engine.run_epoch(np.arange(n))
        seconds.append(time.perf_counter() - began)
    return n / min(seconds)


def draw(results, measured, path):
    """Write the figure: samples a second over threads, a panel for each network, a line for each batch size."""
    figure, axes = plt.subplots(1, len(NETWORKS), figsize=(11, 4.6), sharex=True)
    for panel, hidden in zip(axes, NETWORKS, strict=True):
        for i, batch in enumerate(BATCHES):
            threads = [k for h, b, k in results if (h, b) == (hidden, batch)]
            rates = [results[hidden, batch, k] for k in threads]
            panel.plot(threads, rates, marker="o", markersize=3, color=f"C{i}", label=f"batch {batch}")
            for k in (k for h, b, k in measured if (h, b) == (hidden, batch)):
                panel.plot(k, measured[hidden, batch, k], "x", color=f"C{i}", markersize=8, markeredgewidth=2)
        one = results[hidden, BATCHES[-1], 1]
        panel.plot(THREADS, [one * k for k in THREADS], ":", color="grey", label="in proportion")
        panel.set_xscale("log", base=2)
        panel.set_yscale("log")
        panel.set_xticks([k for k in THREADS if k & (k - 1) == 0])
        panel.xaxis.set_major_formatter(lambda x, _: f"{x:.0f}")
        panel.set_title(f"784-{'-'.join(map(str, hidden))}-10, MNIST")
        panel.set_xlabel("threads, each on a core")
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(alpha=0.3, which="major")
    axes[0].set_ylabel("samples a second")
    axes[0].legend(frameon=False)
    figure.suptitle("Simulated from the times of every thread's part; crosses are measured")
    figure.tight_layout()
    figure.savefig(path, dpi=130)


def main():
    """Time, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", help="the file of the figure")
    args = parser.parse_args()
    crossing = measure_crossing()
    if crossing is None:
        raise SystemExit("two cores are needed to time what crosses between them")
    print(crossing)
    results, measured = {}, {}
    print("network         batch threads  samples/s  slowest/mean part  lines read a thread  rounds (at a counter)")
    for hidden in NETWORKS:
        for batch in BATCHES:
            for threads in THREADS:
                parts, lines = time_parts(hidden, batch, threads)
                rate = batch / seconds_of_batch(parts, lines, crossing)
                results[hidden, batch, threads] = rate
                balance = np.max(parts, axis=1).sum() / np.mean(parts, axis=1).sum()
                meetings = len(parts) - 1
                rounds = meetings * int(np.ceil(np.log2(threads)))
                print(
                    f"{'-'.join(map(str, hidden)):15s} {batch:5d} {threads:7d} {rate:10,.0f} {balance:18.2f} "
                    f"{lines:20,.0f} {rounds:8d} ({meetings * threads})",
                    flush=True,
                )
            for threads in range(1, usable_cores() + 1):
                measured[hidden, batch, threads] = measure(hidden, batch, threads)
    for (hidden, batch, threads), rate in measured.items():
        ratio = results[hidden, batch, threads] / rate if (hidden, batch, threads) in results else float("nan")
        print(f"measured {hidden} batch {batch} threads {threads}: {rate:,.0f} samples/s, simulated {ratio:.2f} of it")
    if args.out:
        draw(results, measured, args.out)


if __name__ == "__main__":
    main()
