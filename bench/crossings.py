"""Count the cache lines that one thread writes and another one reads, array by array, in a batch of a network.

    python bench/crossings.py [--hidden 256,128] [--batch 64] [--threads 2]

The stages run in plain Python, where every access to memory can be watched. A line crosses when a thread reads it that
another one has written since it last had it.
"""

import argparse
import os
import threading
from collections import Counter, defaultdict

os.environ["NUMBA_DISABLE_JIT"] = "1"

import numpy as np

from fastmlp.datasets import load_mnist
from fastmlp.engine.simd import python_memory
from fastmlp.engine.simd.python_memory import Pointer
from fastmlp.engine.trainer import Engine
from fastmlp.options import read_options
from fastmlp.preparation import prepare

LINE = 64


class Watch:
    """Which thread has a copy of which line, and how many each has had to get from another."""

    def __init__(self):
        self._lock = threading.Lock()
        self._writer: dict[int, int] = {}
        self._holders: dict[int, set[int]] = defaultdict(set)
        self.crossed: Counter[tuple[int, int]] = Counter()

    def read(self, address, size):
        me = threading.get_ident()
        with self._lock:
            for line in range(address // LINE, (address + size - 1) // LINE + 1):
                if me not in self._holders[line]:
                    self._holders[line].add(me)
                    if self._writer.get(line, me) != me:
                        self.crossed[me, line] += 1

    def write(self, address, size):
        me = threading.get_ident()
        with self._lock:
            for line in range(address // LINE, (address + size - 1) // LINE + 1):
                self._writer[line], self._holders[line] = me, {me}


def watch_memory(watch):
    """Let all reads and writes through pointers be seen, but for the counter of a barrier."""
    array_at, get, put = Pointer._array_at, Pointer.__getitem__, Pointer.__setitem__
    halves_get, halves_put = python_memory.Pair.__getitem__, python_memory.Pair.__setitem__

    def span(pointer, index):
        array = array_at(pointer, index)
        return array.ctypes.data, array.nbytes

    def getitem(pointer, index):
        watch.read(*span(pointer, index))
        return get(pointer, index)

    def setitem(pointer, index, x):
        watch.write(*span(pointer, index))
        put(pointer, index, x)

    def get_pair(pair, i):
        for half in pair._halves:
            watch.read(*span(half, i))
        return halves_get(pair, i)

    def put_pair(pair, i, x):
        for half in pair._halves:
            watch.write(*span(half, i))
        halves_put(pair, i, x)

    Pointer.__getitem__, Pointer.__setitem__ = getitem, setitem
    python_memory.Pair.__getitem__, python_memory.Pair.__setitem__ = get_pair, put_pair


def arrays_of(workspace):
    """Return (name, begin, end) of every array that the tables of a workspace hold."""
    tables = [(f"layer {i + 1}: ", layer) for layers in workspace._layers for i, layer in enumerate(layers)]
    tables += [("", own) for own in [workspace.shared, *workspace._own]]
    return [
        (title + name, array.ctypes.data, array.ctypes.data + array.nbytes)
        for title, table in tables
        for name, array in table.items()
        if isinstance(array, np.ndarray)
    ]


def count_crossings(hidden, batch, threads):
    """Return {array: lines that cross to a thread in a batch, on average over the threads}, after two batches."""
    X, y = load_mnist(3 * batch)
    options = read_options({"hidden": hidden, "batch_size": batch, "num_threads": threads})
    problem, _, start, *_ = prepare(X, y, options)
    watch = Watch()
    engine = Engine(problem, start)
    order = np.arange(2 * batch)
    engine.run_epoch(order)
    watch_memory(watch)
    engine.run_epoch(order[:batch])
    watch.crossed.clear()
    engine.run_epoch(order[batch:])
    found: Counter[str] = Counter()
    arrays = arrays_of(engine._workspace)
    for (_, line), times in watch.crossed.items():
        names = {name for name, begin, end in arrays if begin < (line + 1) * LINE and end > line * LINE}
        found["/".join(sorted(names)) or "tables"] += times
    return {name: times / threads for name, times in found.most_common()}


def main():
    """Count and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hidden", default="256,128", help="widths of the hidden layers")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    crossings = count_crossings(tuple(map(int, args.hidden.split(","))), args.batch, args.threads)
    for name, lines in crossings.items():
        print(f"{lines:8.1f}  {name}")
    print(f"{sum(crossings.values()):8.1f}  lines that cross to a thread in a batch")


if __name__ == "__main__":
    main()
