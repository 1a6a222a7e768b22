"""Fresh processes, for what one can only do once: start, import, compile, grow."""

import os
import subprocess
import sys
from pathlib import Path

import fastmlp

HERE = Path(__file__).resolve().parent
PACKAGES = Path(fastmlp.__file__).resolve().parents[1]

FIRST_EPOCH = """
import fastmlp
X, y = fastmlp.datasets.load_mnist({n})
fastmlp.train(X, y, num_epochs=1, seed=0, verbose=False)
"""
PEER_FIRST_EPOCH = "import peers; peers.train_first_epoch({name!r}, {n})"

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


def run(code: str, cache: str | os.PathLike[str] | None = None, *arguments: str) -> str:
    """Run code in a fresh interpreter that finds fastmlp and these modules, and return what it prints.

    Compiled stages are kept in the folder `cache`, by default where they are now.
    """
    paths = os.pathsep.join(map(str, (PACKAGES, HERE)))
    environment = {**os.environ, "PYTHONPATH": paths} | ({} if cache is None else {"FASTMLP_CACHE_DIR": str(cache)})
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout
