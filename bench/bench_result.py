"""How long one waits for a result, from the start of a process: libraries are loaded and compilers run, too.

MNIST: 784-256-128-10 is trained until 97% of the 10,000 test images are told right, by everybody with settings that
reach it from any of three seeds; of the 5,000 embedded rows, less is wanted. fastmlp reads the files by itself; others
map uncompressed arrays, which costs them nothing. Folds: the score of a table in ten folds, which are scikit-learn's
breast cancer data, standardised, 100 hidden units, and 50 epochs of Adam.

A result counts once it is printed. Files are in memory, and caches of compiled code are full, JAX's too; fastmlp starts
from an empty one besides, which holds compiled stages and unpacked pixels.
"""

import functools
import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from bench_epoch import MNIST_ROWS
from bench_startup import PACKAGES
from peers import PEERS, available
from race import Case, Entrant

import fastmlp

SEEDS = 3
COLD, WARM = "cold compile", "compiled before"

LOAD_FILES = """
import sys
import numpy as np
X, y = (np.load(path, mmap_mode="r") for path in sys.argv[1:3])
tested = int(sys.argv[3])
seed = int(sys.argv[4])
n = len(y) - tested
"""
LOAD_TABLE = """
import sys
from sklearn.datasets import load_breast_cancer
X, y = load_breast_cancer(return_X_y=True)
seed = int(sys.argv[4])
"""
PRINT = "print(score, flush=True)\n"

MNIST = {
    WARM: """
import sys
import fastmlp
from fastmlp.callbacks import StepDecay
tested, seed = int(sys.argv[3]), int(sys.argv[4])
X, y = fastmlp.datasets.load_mnist(int(sys.argv[5]))
n = len(y) - tested
model = fastmlp.train(
    X[:n], y[:n], optimizer="sgd", lr=0.3, batch_size=64, num_epochs=2, callbacks=[StepDecay(1, 0.25)], seed=seed,
    verbose=False,
)
score = model.score(X[n:], y[n:])
""",
    "scikit-learn": LOAD_FILES
    + """
import warnings
from sklearn.neural_network import MLPClassifier
warnings.simplefilter("ignore")
unit = np.divide(X, 255, dtype=np.float32)
model = MLPClassifier((256, 128), alpha=0, batch_size=64, learning_rate_init=0.001, max_iter=2, random_state=seed)
score = model.fit(unit[:n], y[:n]).score(unit[n:], y[n:])
""",
    "PyTorch": LOAD_FILES
    + """
import torch
torch.manual_seed(seed)
torch.set_flush_denormal(True)
unit = torch.from_numpy(np.divide(X, 255, dtype=np.float32))
labels = torch.from_numpy(np.array(y))
network = torch.nn.Sequential(
    torch.nn.Linear(784, 256), torch.nn.ReLU(), torch.nn.Linear(256, 128), torch.nn.ReLU(), torch.nn.Linear(128, 10)
)
rule = torch.optim.Adam(network.parameters(), lr=0.003, fused=True)
for epoch in range(2):
    for rows in torch.randperm(n).split(128):
        loss = torch.nn.functional.cross_entropy(network(unit[rows]), labels[rows])
        rule.zero_grad()
        loss.backward()
        rule.step()
    rule.param_groups[0]["lr"] /= 10
with torch.no_grad():
    score = (network(unit[n:]).argmax(1) == labels[n:]).float().mean().item()
""",
    "JAX": LOAD_FILES
    + """
import jax
import jax.numpy as jnp
rng = np.random.default_rng(seed)
widths = (784, 256, 128, 10)
params = [(jnp.asarray(rng.normal(0, np.sqrt(2 / m), (m, p)), jnp.float32), jnp.zeros(p, jnp.float32))
          for m, p in zip(widths, widths[1:])]
unit, labels = jnp.asarray(np.divide(X, 255, dtype=np.float32)), jnp.asarray(np.asarray(y), jnp.int32)

def logits(params, A):
    for W, b in params[:-1]:
        A = jax.nn.relu(A @ W + b)
    W, b = params[-1]
    return A @ W + b

def loss(params, A, labels):
    return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(logits(params, A)), labels[:, None], 1))

@jax.jit
def train(params, orders, rates, unit, labels):
    def step(params, given):
        rows, rate = given
        gradients = jax.grad(loss)(params, unit[rows], labels[rows])
        return jax.tree.map(lambda p, g: p - rate * g, params, gradients), None
    return jax.lax.scan(step, params, (orders, rates))[0]

batches = n // 64
orders = np.concatenate([rng.permutation(n)[: batches * 64].reshape(batches, 64) for _ in range(2)]).astype(np.int32)
rates = np.repeat(np.array([0.3, 0.075], np.float32), batches)
params = train(params, orders, rates, unit, labels)
score = float(jnp.mean(jnp.argmax(logits(params, unit[n:]), 1) == labels[n:]))
""",
}
ESTIMATE = """
import warnings
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
warnings.simplefilter("ignore")
network = MLPClassifier(max_iter=50, n_iter_no_change=50, random_state=seed)
score = cross_val_score(make_pipeline(StandardScaler(), network), X, y, cv=10).mean()
"""
FOLDS = """
import numpy as np
from sklearn.model_selection import StratifiedKFold
scores = []
for train, test in StratifiedKFold(10).split(X, y):
    mean, std = X[train].mean(axis=0), X[train].std(axis=0)
    unit = ((X - mean) / std).astype(np.float32)
    scores.append(fit_and_score(unit[train], y[train], unit[test], y[test]))
score = np.mean(scores)
"""
TABLE = {
    WARM: LOAD_TABLE + "from fastmlp import MLPClassifier\n" + ESTIMATE,
    "scikit-learn": LOAD_TABLE + "from sklearn.neural_network import MLPClassifier\n" + ESTIMATE,
    "PyTorch": LOAD_TABLE
    + """
import torch
torch.manual_seed(seed)
torch.set_num_threads(1)
torch.set_flush_denormal(True)
functional = torch.nn.functional

def fit_and_score(X, y, X_test, y_test):
    X, y = torch.from_numpy(X), torch.from_numpy(y).float()[:, None]
    network = torch.nn.Sequential(torch.nn.Linear(30, 100), torch.nn.ReLU(), torch.nn.Linear(100, 1))
    rule = torch.optim.Adam(network.parameters(), lr=0.001, fused=True, weight_decay=1e-4 / 200)
    for _ in range(50):
        for rows in torch.randperm(len(y)).split(200):
            rule.zero_grad()
            functional.binary_cross_entropy_with_logits(network(X[rows]), y[rows]).backward()
            rule.step()
    with torch.no_grad():
        return np.mean((network(torch.from_numpy(X_test)).numpy()[:, 0] > 0) == y_test)
"""
    + FOLDS,
    "JAX": LOAD_TABLE
    + """
import jax
import jax.numpy as jnp
import numpy as np
rng = np.random.default_rng(seed)

def logits(params, A):
    (W, b), (V, c) = params
    return (jax.nn.relu(A @ W + b) @ V + c)[:, 0]

def loss(params, A, y, weights):
    Z = logits(params, A)
    return jnp.sum(weights * (jax.nn.softplus(Z) - y * Z)) / jnp.sum(weights)

@jax.jit
def run_steps(params, orders, X, y):
    zeros = jax.tree.map(jnp.zeros_like, params)
    def step(state, rows):
        params, m, v, t = state
        weights = (rows >= 0).astype(jnp.float32)
        gradients = jax.grad(loss)(params, X[rows], y[rows], weights)
        t = t + 1
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, gradients)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, gradients)
        def move(p, m, v):
            return p - 0.001 * m / (1 - 0.9**t) / (jnp.sqrt(v / (1 - 0.999**t)) + 1e-8)
        return (jax.tree.map(move, params, m, v), m, v, t), None
    return jax.lax.scan(step, (params, zeros, zeros, jnp.float32(0)), orders)[0][0]

def fit_and_score(X, y, X_test, y_test):
    widths = (30, 100, 1)
    limits = [np.sqrt(6 / (m + p)) for m, p in zip(widths, widths[1:])]
    params = [(rng.uniform(-limit, limit, (m, p)).astype(np.float32), np.zeros(p, np.float32))
              for m, p, limit in zip(widths, widths[1:], limits)]
    orders = np.full((50, 600), -1, np.int32)  # batches of equal length: all folds are one program
    for order in orders:
        order[: len(y)] = rng.permutation(len(y))
    short = 513 - len(y)
    X, y = np.pad(X, ((0, short), (0, 0))), np.pad(y.astype(np.float32), (0, short))
    params = run_steps(params, orders.reshape(-1, 200), X, y)
    return np.mean((np.asarray(logits(params, X_test)) > 0) == y_test)
"""
    + FOLDS,
}


class Wanted(NamedTuple):
    """A result: how everybody makes it, from how many rows, and the least score."""

    title: str
    codes: dict[str, str]
    rows: int
    tested: int
    score: float


def wanted(quick: bool) -> dict[str, Wanted]:
    """All results."""
    whole = MNIST_ROWS == 60_000 and not quick
    rows, tested, score = (70_000, 10_000, 0.97) if whole else (5_000, 500, 0.8)
    return {
        "mnist": Wanted(f"MNIST, {rows:,} rows, to {score:.0%}", MNIST, rows, tested, score),
        "folds": Wanted("ten folds of a table", TABLE, 0, 0, 0.95),
    }


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory()


@functools.cache
def _files(rows: int) -> list[str]:
    """MNIST as two uncompressed arrays."""
    paths = [str(Path(_folder().name) / f"{name}{rows}.npy") for name in ("X", "y")]
    if rows:
        for path, array in zip(paths, fastmlp.datasets.load_mnist(rows), strict=True):
            np.save(path, array)
    return paths


def reach(result: Wanted, name: str, seed: int) -> tuple[float, float]:
    """Return the seconds from the start of a process until it prints its score, and the score.

    Raises
    ------
    RuntimeError
        If the score is below what counts.
    """
    code = result.codes[WARM if name == COLD else name] + PRINT
    environment = os.environ | {
        "PYTHONPATH": str(PACKAGES),
        "JAX_COMPILATION_CACHE_DIR": _folder().name,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    arguments = [*_files(result.rows), str(result.tested), str(seed), str(result.rows)]
    with tempfile.TemporaryDirectory() as empty:
        environment |= {"FASTMLP_CACHE_DIR": empty} if name == COLD else {}
        started = time.perf_counter()
        with subprocess.Popen(
            [sys.executable, "-c", code, *arguments], env=environment, stdout=subprocess.PIPE, text=True
        ) as process:
            printed = process.stdout.readline() if process.stdout else ""
            seconds = time.perf_counter() - started
    score = float(printed or "nan")
    if not score >= result.score:
        raise RuntimeError(f"{name}: {result.title} must score {result.score:g} at least, got {score:.4f}")
    return seconds, score


def enter(result: Wanted, name: str) -> Entrant:
    """Everybody's processes, each from the next seed; the facts tell the worst score."""
    seeds = itertools.cycle(range(SEEDS))
    facts: dict[str, Any] = {}

    def run() -> float:
        seconds, score = reach(result, name, next(seeds))
        facts["score"] = min(score, facts.get("score", 1.0))
        return seconds

    return Entrant(run, lambda: None, ours=name in (WARM, COLD), unit="seconds", facts=facts)


def make_cases(quick: bool, full: bool) -> list[Case]:
    """One case for each result."""

    def make_case(key: str, result: Wanted) -> Case:
        others = [name for name, kind in PEERS.items() if available(kind)]

        def build(names: Collection[str]) -> dict[str, Entrant]:
            return {name: enter(result, name) for name in names}

        return Case(key, f"result: {result.title}", (WARM, *others) if quick else (COLD, WARM, *others), build)

    return [make_case(key, result) for key, result in wanted(quick).items()]


def test_result(measure, case, name):
    measure(case, name)
