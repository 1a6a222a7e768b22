"""Train in plain Python with every address checked (run by test_programs.py under NUMBA_DISABLE_JIT=1)."""

import numpy as np
from engine_cases import Case, distance, make_problem, train

from fastmlp import reference
from fastmlp.descent import Descent
from fastmlp.engine import workspace
from fastmlp.engine.simd.compiler import COMPILED
from fastmlp.engine.simd.python_memory import memory
from fastmlp.engine.trainer import Engine

GUARD = 4096
"""Bytes around an array that nobody may touch."""
BASE = Case("float64", "uint8", "sparse", n=7, d=3, batch=3, epochs=2)
CASES = {
    "bytes, sparse": BASE,
    "standardised bytes, two threads": BASE._replace(normalize="zscore", threads=2, hidden=(2, 3), optimizer="adam"),
    "two tiles of sparse floats": BASE._replace(raw="float32", n=70, batch=67, d=65, hidden=(1,), optimizer="nesterov"),
    "no hidden layer, many classes": BASE._replace(hidden=(), k=19, d=1, weighted=True),
    "dense, kept by feature": BASE._replace(
        raw="float64", data="dense", activation="tanh", loss="mean_squared_error", k=9
    ),
    "dense, kept by unit": BASE._replace(
        raw="float32", data="dense", n=53, batch=52, hidden=(5,), optimizer="momentum"
    ),
    "bytes, divided by feature": BASE._replace(normalize="zscore", d=395, threads=3, optimizer="momentum"),
    "dense, divided by feature": BASE._replace(raw="float32", data="dense", d=390, hidden=(2, 5), threads=2, epochs=1),
    "CSR": BASE._replace(data="csr", dtype="float32", raw="float32", hidden=(9, 2), loss="binary_cross_entropy"),
    "CSR with Adam": BASE._replace(data="csr", threads=3, activation="sigmoid", optimizer="adam", decay=0.1),
}


class GuardedArena:
    """An arena whose arrays lie apart and may be touched, but for some bytes at the end."""

    hidden = 0

    def zeros(self, shape, dtype):
        dtype = np.dtype(dtype)
        size = int(np.prod(shape)) * dtype.itemsize
        block = np.zeros(size + 2 * GUARD, np.uint8)
        start = -block.ctypes.data % 64 + GUARD // 2
        array = block[start : start + size]
        memory.add(array.ctypes.data, max(0, size - self.hidden))
        return array.view(dtype).reshape(shape)


def allow(values):
    """Allow the access to all arrays in here, and to the numbers of a matrix with gaps between its rows."""
    for value in values:
        if isinstance(value, np.ndarray) and value.size:
            span = sum((n - 1) * stride for n, stride in zip(value.shape, value.strides, strict=True))
            memory.add(value.ctypes.data, span + value.itemsize)
        elif isinstance(value, tuple | list):
            allow(value)


def check(case):
    """Compare a training with the reference's."""
    memory.clear()
    problem, start, orders = make_problem(case)
    wanted, wanted_losses = train(Descent(problem, start, reference), orders)
    engine = Engine(problem, start)
    allow(vars(engine).values())
    allow(vars(engine._workspace).values())
    allow(orders)
    params, losses = train(engine, orders)
    widths, tolerance = problem.architecture.widths, {"float64": 1e-9, "float32": 1e-4}[case.dtype]
    assert distance(start, wanted, widths) > 1e-3
    assert distance(params, wanted, widths) < tolerance
    np.testing.assert_allclose(losses, wanted_losses, rtol=tolerance)


def main():
    assert not COMPILED
    workspace.Arena = GuardedArena
    for name, case in CASES.items():
        check(case)
        print(name)
    GuardedArena.hidden = 8
    try:
        check(BASE)
    except IndexError:
        print("IndexError")


if __name__ == "__main__":
    main()
