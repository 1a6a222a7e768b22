"""Fresh processes, for what one can only do once: import, compile, train a first epoch, grow."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from bench_epoch import MNIST_ROWS
from peers import PEERS, available
from race import Case, Entrant, Target

import fastmlp

ROWS, QUICK_ROWS = 5_000, 64
HERE = Path(__file__).resolve().parent
PACKAGES = Path(fastmlp.__file__).resolve().parents[1]

IMPORT = "import fastmlp\n"
FIRST_EPOCH = """
import fastmlp
X, y = fastmlp.datasets.load_mnist({n})
fastmlp.train(X, y, num_epochs=1, seed=0, verbose=False)
"""
PEER_FIRST_EPOCH = "import peers; peers.train_first_epoch({name!r}, {n})\n"

PEAK = """
with open("/proc/self/status") as status:
    print(next(int(line.split()[1]) << 10 for line in status if line.startswith("VmHWM:")))
"""
"""Prints the largest resident memory so far in bytes; Linux only."""

GROWTH = """
import sys
import numpy as np
import fastmlp.training, fastmlp.engine.trainer

def resident(field):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith(field))

X, y = np.load(sys.argv[1]), np.load(sys.argv[2])
before = resident("VmRSS:")
fastmlp.train(X, y, num_epochs=2, num_threads=2, seed=0, verbose=False)
print(resident("VmHWM:") - before)
"""


def run_process(code: str, *arguments: str, cache: str | None = None) -> str:
    """Run code in a fresh interpreter that finds fastmlp and these modules, and return what it prints.

    Compiled stages are kept in the folder `cache`, by default where they are now.
    """
    paths = os.pathsep.join(map(str, (PACKAGES, HERE)))
    environment = {**os.environ, "PYTHONPATH": paths} | ({} if cache is None else {"FASTMLP_CACHE_DIR": cache})
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout


def enter(code: str, least: float, most: float, cold: bool = False, ours: bool = True) -> Entrant:
    """A process whose peak of memory in MB lies between these; a cold one compiles all that it needs."""
    facts: dict[str, Any] = {}

    def run() -> None:
        with tempfile.TemporaryDirectory() as empty:
            peak = run_process(code + PEAK, cache=empty if cold else None).splitlines()[-1]
        facts["peak MB"] = int(peak) / 1e6
        assert least < facts["peak MB"] < most

    return Entrant(run, lambda: None, ours=ours, facts=facts)


def make_import() -> Case:
    """Importing alone."""
    return Case("import", "startup: import", ("fastmlp",), lambda names: {"fastmlp": enter(IMPORT, 0, 100)})


def make_cases(quick: bool, full: bool) -> list[Case]:
    """The first epoch with an empty cache and with a full one, and in peers."""
    rows = QUICK_ROWS if quick else ROWS
    others = [name for name, kind in PEERS.items() if available(kind)]

    def build(names: Collection[str]) -> dict[str, Entrant]:
        entrants = {}
        for name in names:
            ours = name not in others
            code = (FIRST_EPOCH if ours else PEER_FIRST_EPOCH).format(n=rows, name=name)
            # A smoke test does not wait for the compiler: it takes the stages that the tests have compiled.
            entrants[name] = enter(code, 10, np.inf, cold=name == "cold compile" and not quick, ours=ours)
        return entrants

    names, targets = ("cold compile", "compiled before", *others), {"compiled before": (Target("s", "≤", 0.8),)}
    return [Case("first epoch", f"startup: first epoch, {rows:,} rows", names, build, targets, "{name}")]


def grow(n: int) -> float:
    """Return by how many MB the peak of resident memory exceeds what n rows of MNIST and the imports take.

    Linux tells the peak twice: `resource.getrusage` starts from what the parent had, so it is read from /proc, where
    it is the process's own. The data are loaded straight into their arrays, so that they leave no earlier peak.
    """
    with tempfile.TemporaryDirectory() as folder:
        paths = [str(Path(folder) / name) for name in ("X.npy", "y.npy")]
        for path, array in zip(paths, fastmlp.datasets.load_mnist(n), strict=True):
            np.save(path, array)
        return int(run_process(GROWTH, *paths)) / 1e6


def make_memory(quick: bool) -> Case:
    """What a training takes beside its data; the compiled stages are in a cache."""
    n = ROWS if quick else MNIST_ROWS
    entrant = Entrant(partial(grow, n), lambda: None, unit="MB")
    group = f"memory above the matrix, MNIST {n:,} uint8, 2 threads"
    return Case("memory", group, ("fastmlp",), lambda names: {"fastmlp": entrant})


def test_import(measure):
    measure(make_import(), "fastmlp")


def test_first_epoch(measure, case, name):
    measure(case, name)
