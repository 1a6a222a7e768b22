"""What an epoch takes on one thread, on two, and on as many as pay, beside other processes and after work in BLAS.

    python bench/busy.py [--loads 0,1,2] [--rounds 5] [--epochs 3]

Loads are processes that do nothing but compute. In "after BLAS" a product of matrices comes before every epoch: its
threads go on spinning. The trainings take turns. Without loads, turns during which other processes computed are left
out; their number is printed.
"""

import argparse
import os
import subprocess
import sys
import time
from contextlib import contextmanager

import numpy as np

from fastmlp.datasets import load_mnist
from fastmlp.engine import player
from fastmlp.engine.controller import Controller
from fastmlp.engine.trainer import Engine
from fastmlp.options import read_options
from fastmlp.preparation import prepare


class Fixed(Controller):
    """Always as many threads as were asked for."""

    def _try(self):
        pass


@contextmanager
def loads(count):
    """Run so many processes that compute."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        time.sleep(0.5 if count else 0.0)
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def others():
    """Seconds for which processes other than this one have computed so far; 0 where the system does not tell."""
    if not os.path.exists("/proc/stat"):
        return 0.0
    with open("/proc/stat") as file:
        user, nice, system = map(int, file.readline().split()[1:4])
    return (user + nice + system) / os.sysconf("SC_CLK_TCK") - sum(os.times()[:2])


def make_engine(X, y, hidden, batch, threads, controller):
    """Return an engine, and the order of an epoch."""
    options = read_options({"hidden": hidden, "batch_size": batch, "num_threads": threads})
    problem, _, start, *_ = prepare(X, y, options)
    player.Controller = controller
    return Engine(problem, start)


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--loads", default="0,1,2")
    parser.add_argument("--hidden", default="256,128")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=3, help="one after another, before the next training's turn")
    args = parser.parse_args()
    X, y = load_mnist(60_000)
    order = np.random.default_rng(0).permutation(len(X))
    hidden = tuple(map(int, args.hidden.split(",")))
    kinds = {"1 thread": (1, Controller), "2 threads": (2, Fixed), "2 at most": (2, Controller)}
    engines = {name: make_engine(X, y, hidden, args.batch, *kind) for name, kind in kinds.items()}
    matrix = np.random.default_rng(0).standard_normal((500, 500))
    scenes = [(f"{count} loads", int(count), False) for count in args.loads.split(",")] + [("after BLAS", 0, True)]
    for scene, count, blas in scenes:
        seconds, mean, left_out = {name: [] for name in engines}, [], 0
        with loads(count):
            for _ in range(args.rounds):
                for name, engine in engines.items():
                    before, began, turn = others(), time.perf_counter(), []
                    for _ in range(args.epochs):
                        if blas:
                            matrix @ matrix
                        started = time.perf_counter()
                        engine.run_epoch(order)
                        turn.append((time.perf_counter() - started, engine._workspace.mean_threads))
                    if not count and others() - before > 0.02 + 0.03 * (time.perf_counter() - began):
                        left_out += 1
                        continue
                    seconds[name] += [s for s, _ in turn]
                    if name == "2 at most":
                        mean += [threads for _, threads in turn]
        times = "   ".join(
            f"{name} {np.mean(s):.3f} (median {np.median(s):.3f}, worst {max(s):.3f})"
            for name, s in seconds.items()
            if s
        )
        print(f"{scene:12s} {times} s   threads {np.mean(mean or [0]):.2f}   left out {left_out}")


if __name__ == "__main__":
    main()
