"""Train and predict in plain Python with every address checked (run by test_library.py under NUMBA_DISABLE_JIT=1)."""

import numpy as np
from scipy.sparse import csr_array

from fastmlp.engine import predictor, runner, workspace
from fastmlp.engine.arena import Arena
from fastmlp.engine.simd.compiler import COMPILED
from fastmlp.engine.simd.python_memory import memory
from fastmlp.engine.trainer import Engine
from fastmlp.reference.backpropagation import logits
from fastmlp.reference.parameters import layer_views
from support.engine_cases import Case, check, make_features, make_problem, step_ahead, train

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
        raw="float32", data="dense", n=50, batch=49, d=30, hidden=(224,), optimizer="momentum", epochs=1
    ),
    "divided by sample, kept by unit, two threads": BASE._replace(
        raw="float32", data="dense", n=70, batch=64, d=30, hidden=(16, 9), optimizer="momentum", threads=2
    ),
    "divided by sample, three threads": BASE._replace(
        raw="float64", data="dense", n=67, batch=50, hidden=(5,), activation="gelu", loss="huber", k=9, threads=3
    ),
    "bytes, divided by feature": BASE._replace(normalize="zscore", d=395, threads=3, optimizer="momentum"),
    "dense, divided by feature": BASE._replace(raw="float32", data="dense", d=390, hidden=(2, 5), threads=2, epochs=1),
    "CSR": BASE._replace(data="csr", dtype="float32", raw="float32", hidden=(9, 2), loss="binary_cross_entropy"),
    "CSR with Adam": BASE._replace(data="csr", threads=3, activation="sigmoid", optimizer="adam", decay=0.1),
    "CSR of bytes, one sample a batch": BASE._replace(data="csr", batch=1, normalize="unit", hidden=()),
    "CSR, two tiles": BASE._replace(data="csr", raw="float32", n=70, batch=67, hidden=(1,), epochs=1, threads=2),
    "dense bytes, one sample a batch": BASE._replace(data="dense", batch=1, normalize="unit", hidden=(2, 1), d=65),
    "dense, one sample a batch, kept by unit": BASE._replace(
        raw="float64", dtype="float32", data="dense", batch=1, hidden=(20,), optimizer="adam"
    ),
    "one sample": BASE._replace(n=2, batch=1, epochs=1, raw="float64", d=64, normalize="zscore"),
    "sparse, three tiles, two threads": BASE._replace(n=131, batch=129, epochs=1, raw="float32", threads=2, d=129),
    "divided by sample, three tiles": BASE._replace(
        n=131, batch=129, epochs=1, raw="float32", data="dense", threads=2, hidden=(20, 1)
    ),
    "penalized, two threads": BASE._replace(
        hidden=(20, 3), d=70, threads=2, loss="log_loss", optimizer="adam", decay=0.1, penalized=True
    ),
    "penalized, divided by feature": BASE._replace(
        d=390, threads=2, loss="binary_log_loss", decay=0.1, penalized=True, epochs=1
    ),
    "four hidden layers, an activation each": BASE._replace(
        hidden=(2, 17, 1, 3), activation=("tanh", "gelu", "relu", "silu"), raw="float64", threads=2
    ),
    "units dropped, two threads": BASE._replace(
        hidden=(2, 70, 1), activation=("tanh", "relu", "silu"), dropout=(0.5, 0.2, 0.0), n=9, batch=8, threads=2
    ),
    "clipped and averaged, kept by unit": BASE._replace(
        raw="float32",
        data="dense",
        n=53,
        batch=52,
        hidden=(20, 3),
        optimizer="momentum",
        threads=2,
        clip=0.1,
        average=0.5,
        epochs=1,
    ),
    "clipped, divided by feature, smoothed": BASE._replace(
        normalize="zscore", d=395, threads=3, clip=0.1, smoothing=0.1, epochs=1
    ),
    "CSR, clipped": BASE._replace(data="csr", threads=2, hidden=(9, 2), optimizer="adam", clip=0.1, lr=0.1),
}
AHEAD = {
    "CSR, steps ahead, three threads": CASES["CSR with Adam"]._replace(epochs=1),
    "CSR, steps ahead, two tiles": CASES["CSR, two tiles"]._replace(optimizer="momentum"),
    "CSR, steps ahead, averaged": CASES["CSR with Adam"]._replace(average=0.5, epochs=1),
    "CSR, steps ahead, penalized": CASES["penalized, two threads"]._replace(data="csr", raw="float32"),
}
"""Cases in which rows of the first layer take steps ahead."""


def columns_of_a_wider_matrix():
    wide = np.full((9, 80), np.nan)
    wide[:7, 5:72] = make_features(np.random.default_rng(1), 7, 67, "float64", "sparse")
    return wide[:7, 5:72]


def entries(index):
    """CSR with rows that have no entry."""
    X = csr_array(make_features(np.random.default_rng(2), 7, 9, "float32", "counts") * (np.arange(7) % 3 > 0)[:, None])
    X.indices, X.indptr = X.indices.astype(index), X.indptr.astype(index)
    return X


GIVEN = {
    "columns of a wider matrix": (BASE._replace(raw="float64"), columns_of_a_wider_matrix()),
    "columns of a wider matrix, dense": (BASE._replace(data="dense"), 1.0 + np.arange(900.0).reshape(9, 100)[:7, 3:70]),
    "one column of many": (BASE, np.arange(70.0).reshape(7, 10)[:, 4:5]),
    "CSR with 64-bit indices": (BASE._replace(data="csr"), entries(np.int64)),
    "CSR without an entry": (BASE._replace(data="csr", labels="last"), csr_array((7, 9))),
}
"""Features that are given."""


class GuardedArena(Arena):
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


class GuardedWorkspace(workspace.Workspace):
    """A workspace whose stages may touch what they were given, and nothing else."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        allow(vars(self).values())

    def set(self, **values):
        allow(values.values())
        super().set(**values)


def run(case, X=None):
    """Train and predict, and compare both with the reference."""
    memory.clear()
    problem, start, orders = make_problem(case, X)
    engine = Engine(problem, start)
    params, losses = train(engine, orders)
    check(case, params, losses, X)
    layers = layer_views(params, problem.architecture.widths)
    _, wanted = logits(problem.normalization.apply(problem.X, case.dtype), layers, case.activation)
    tolerance = {"float64": 1e-9, "float32": 1e-4}[case.dtype]
    for rows in (1, len(wanted)):
        mine = engine.predictor.logits(params, problem.X[:rows])
        np.testing.assert_allclose(mine, wanted[:rows], rtol=tolerance, atol=tolerance)


def main():
    assert not COMPILED
    workspace.Arena = GuardedArena
    runner.Workspace = predictor.Workspace = GuardedWorkspace
    for name, case in CASES.items():
        run(case)
        print(name)
    for name, (case, X) in GIVEN.items():
        run(case, X)
        print(name)
    workspace.divide_calls = step_ahead
    for name, case in AHEAD.items():
        run(case)
        print(name)
    GuardedArena.hidden = 8
    try:
        run(BASE)
    except IndexError:
        print("IndexError")


if __name__ == "__main__":
    main()
