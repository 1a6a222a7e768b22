"""What a training can be timed with: fastmlp itself, and the trainers it is compared with.

A competitor is built from training data and a `Setup`, and trains a number of epochs at each call, going on from where
it was: it returns the seconds that each epoch took. All peers get float32 features that are as they want them (dense
ones are in the library's own array type before the clock starts), the same network, batch size and update rule, and
every core. The orders of the rows are drawn outside the clock, except in scikit-learn, which does it itself.
"""

import contextlib
import importlib.util
import io
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8

Competitor = Callable[[int], list[float]]
"""Trains this many epochs and returns the seconds of each."""


class Setup(NamedTuple):
    """A network and how it is trained; the loss is the softmax cross-entropy, the activation ReLU."""

    hidden: tuple[int, ...] = (256, 128)
    batch_size: int = 64
    optimizer: str = "sgd"
    lr: float = 0.1
    outputs: int = 10

    def widths(self, d: int) -> tuple[int, ...]:
        return (d, *self.hidden, self.outputs)


class Fastmlp:
    """`fastmlp.train`, each call going on from the last call's parameters; the seconds are those of its history."""

    def __init__(self, X: Any, y: Any, setup: Setup, **options: Any) -> None:
        options = {"normalize": "auto", **setup._asdict(), **options}
        del options["outputs"]
        self._data, self._options = (X, y), options
        self._params: Any = None
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            self._train(1, verbose=True)
        self.path = printed.getvalue().partition(" samples: ")[2].splitlines()[0]
        """What the first line of a training says about the path it takes."""

    @property
    def threads(self) -> int | None:
        """How many threads the training said it uses."""
        count, _, what = self.path.rpartition(", ")[2].partition(" ")
        return int(count) if what.startswith("thread") else None

    def __call__(self, epochs: int) -> list[float]:
        return self._train(epochs)

    def _train(self, epochs: int, verbose: bool = False) -> list[float]:
        import fastmlp

        model = fastmlp.train(
            *self._data, num_epochs=epochs, params=self._params, verbose=verbose, seed=0, **self._options
        )
        seconds = model.history.seconds
        if len(seconds) < epochs:
            raise RuntimeError(f"a training with {self._options} ended after {len(seconds)} of {epochs} epochs")
        self._params = model.layers
        return seconds


def reference(X: Any, y: Any, setup: Setup) -> Competitor:
    """fastmlp's own reference, plain NumPy."""
    return Fastmlp(X, y, setup, backend="reference")


def scikit_learn(X: Any, y: Any, setup: Setup) -> Competitor:
    """`MLPClassifier.partial_fit`, one epoch a call, in the dtype of X."""
    model = make_classifier(setup)
    classes = np.arange(setup.outputs)

    def train_epoch() -> float:
        return seconds_of(lambda: model.partial_fit(X, y, classes=classes))

    return lambda epochs: [train_epoch() for _ in range(epochs)]


def make_classifier(setup: Setup) -> Any:
    """scikit-learn's network, with nothing that the others don't compute: neither momentum nor a penalty."""
    from sklearn.neural_network import MLPClassifier

    return MLPClassifier(
        setup.hidden,
        solver=setup.optimizer,
        alpha=0,
        momentum=0,
        batch_size=setup.batch_size,
        learning_rate_init=setup.lr,
        n_iter_no_change=1_000_000,
        random_state=0,
    )


def pytorch(X: Any, y: Any, setup: Setup) -> Competitor:
    """The usual loop over batches that are gathered from a tensor, with the fused optimizer."""
    import torch

    torch.manual_seed(0)
    features, labels = torch.from_numpy(X), torch.from_numpy(y)
    layers: list[Any] = []
    widths = setup.widths(X.shape[1])
    for m, p in pairwise(widths):
        layers += [torch.nn.Linear(m, p), torch.nn.ReLU()]
    network = torch.nn.Sequential(*layers[:-1])
    rule = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[setup.optimizer]
    optimizer = rule(network.parameters(), lr=setup.lr, fused=True)

    def train_epoch(order: Any) -> None:
        for rows in order.split(setup.batch_size):
            loss = torch.nn.functional.cross_entropy(network(features[rows]), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    def train(epochs: int) -> list[float]:
        orders = [torch.randperm(len(labels)) for _ in range(epochs)]
        return [seconds_of(lambda order=order: train_epoch(order)) for order in orders]

    return train


def jax(X: Any, y: Any, setup: Setup) -> Competitor:
    """One compiled call an epoch: a scan over the batches, which updates the parameters in place."""
    import jax
    import jax.numpy as jnp

    rng = np.random.default_rng(0)
    n, size = len(y), setup.batch_size
    whole = n // size * size
    widths = setup.widths(X.shape[1])
    params = [
        (jnp.asarray(rng.standard_normal((m, p), np.float32) * (2 / m) ** 0.5), jnp.zeros(p, jnp.float32))
        for m, p in pairwise(widths)
    ]
    moments = jax.tree.map(jnp.zeros_like, (params, params)) if setup.optimizer == "adam" else None

    def loss(params: Any, A: Any, labels: Any) -> Any:
        for W, b in params[:-1]:
            A = jax.nn.relu(A @ W + b)
        W, b = params[-1]
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(A @ W + b), labels[:, None], 1))

    def adam_step(params: Any, moments: Any, t: Any, gradients: Any) -> Any:
        m = jax.tree.map(lambda m, g: BETA1 * m + (1 - BETA1) * g, moments[0], gradients)
        v = jax.tree.map(lambda v, g: BETA2 * v + (1 - BETA2) * g * g, moments[1], gradients)
        rate = setup.lr / (1 - BETA1**t)
        correction = 1 / (1 - BETA2**t)
        params = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v * correction) + EPSILON), params, m, v)
        return params, (m, v)

    def step(state: Any, batch: Any, features: Any, labels: Any) -> Any:
        params, moments, t = state
        value, gradients = jax.value_and_grad(loss)(params, features[batch], labels[batch])
        if moments is None:
            params = jax.tree.map(lambda p, g: p - setup.lr * g, params, gradients)
        else:
            params, moments = adam_step(params, moments, t + 1, gradients)
        return (params, moments, t + 1), value

    def train_epoch(state: Any, order: Any, features: Any, labels: Any) -> Any:
        batches = order[:whole].reshape(-1, size)
        state, values = jax.lax.scan(lambda state, batch: step(state, batch, features, labels), state, batches)
        if whole < n:
            state, _ = step(state, order[whole:], features, labels)
        return state, jnp.mean(values)

    compiled = jax.jit(train_epoch, donate_argnums=0)
    data = jnp.asarray(X), jnp.asarray(y, jnp.int32)
    state = [(params, moments, jnp.zeros((), jnp.float32))]

    def run(order: Any) -> None:
        state[0], _ = jax.block_until_ready(compiled(state[0], order, *data))

    def train(epochs: int) -> list[float]:
        orders = [jnp.asarray(rng.permutation(n).astype(np.int32)) for _ in range(epochs)]
        return [seconds_of(lambda order=order: run(order)) for order in orders]

    return train


PEERS: dict[str, Callable[[Any, Any, Setup], Competitor]] = {
    "reference": reference,
    "scikit-learn": scikit_learn,
    "PyTorch": pytorch,
    "JAX": jax,
}
_MODULES = {"PyTorch": "torch", "JAX": "jax"}


def available(name: str) -> bool:
    """Whether the library of a peer is installed."""
    return importlib.util.find_spec(_MODULES.get(name, "sklearn")) is not None


def seconds_of(work: Callable[[], object]) -> float:
    """Return how long a call takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def train_first_batch(name: str) -> None:
    """Train one batch of MNIST and return: a process that does only this tells how long a peer takes to start."""
    from fastmlp.datasets import load_mnist

    X, y = load_mnist(64)
    PEERS[name](np.divide(X, 255, dtype=np.float32), y, Setup())(1)
