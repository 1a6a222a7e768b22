"""What an epoch can be timed with: fastmlp itself, and the trainers it is compared with.

A competitor is built from training data, a `Setup` and the parameters to start from, and goes on from where it is at
each `train`. Everybody gets the same network, start, batch size and update rule, and every core. Peers get float32
features, dense ones in the library's own array type. Each draws an order of its own for the rows, all but scikit-learn
outside the clock.
"""

import importlib.util
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

import fastmlp
from fastmlp.backends import make_trainer
from fastmlp.normalization import learn_normalization
from fastmlp.problem import Architecture, Optimizer, Problem
from fastmlp.reference.parameters import Layers, flatten, initialize, layer_views

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


class Setup(NamedTuple):
    """A network and how it is trained; the loss is the softmax cross-entropy, the activation ReLU."""

    hidden: tuple[int, ...] = (256, 128)
    batch_size: int = 64
    optimizer: str = "sgd"
    lr: float = 0.1
    outputs: int = 10

    def widths(self, d: int) -> tuple[int, ...]:
        return (d, *self.hidden, self.outputs)

    def start(self, d: int) -> NDArray[Any]:
        """The flat float64 parameter vector that everybody starts from."""
        return initialize(self.widths(d), "he", np.random.default_rng(0))

    def expected(self, X: Any, y: Any) -> NDArray[Any]:
        """The flat parameters after an epoch over these rows as they are: what a user gets from the reference."""
        d = X.shape[1]
        return fastmlp.train(
            X,
            np.eye(self.outputs)[y],  # a few rows may lack a class
            hidden=self.hidden,
            optimizer=self.optimizer,
            lr=self.lr,
            num_epochs=1,
            batch_size=self.batch_size,
            shuffle=False,
            params=layer_views(self.start(d), self.widths(d)),
            normalize=scaling(X),
            backend="reference",
            dtype="float64",
            verbose=False,
        ).params


def scaling(X: Any) -> str | None:
    """How `fastmlp.train` is to normalise a workload's features: pixels to [0, 1], everything else not at all."""
    return "unit" if X.dtype == np.uint8 else None


class Competitor(Protocol):
    """A trainer on its data."""

    def order(self) -> Any:
        """Return the rows of the next epoch in the order in which it takes them."""

    def train(self, order: Any) -> object:
        """Train one epoch in an order that `order` returned."""

    def params(self) -> NDArray[Any]:
        """Return the flat parameter vector."""


class Fastmlp:
    """fastmlp's trainers, as `fastmlp.train` runs them: what is timed here is what its history calls seconds."""

    def __init__(
        self,
        X: Any,
        y: Any,
        setup: Setup,
        start: NDArray[Any],
        backend: str = "jit",
        dtype: str = "float32",
        num_threads: int | None = None,
    ) -> None:
        problem = Problem(
            X=X,
            codes=y,
            sample_weight=None,
            normalization=learn_normalization(scaling(X), X),
            architecture=Architecture(setup.widths(X.shape[1]), "relu", "cross_entropy"),
            optimizer=Optimizer(setup.optimizer, setup.lr, 0.0, 0.0),
            batch_size=setup.batch_size,
            dtype=np.dtype(dtype),
            num_threads=num_threads,
        )
        self._trainer = make_trainer(problem, start, backend)
        self.path, self.threads = self._trainer.description, self._trainer.num_threads
        self._rng, self._n = np.random.default_rng(0), len(y)

    def order(self) -> NDArray[np.int64]:
        return self._rng.permutation(self._n)

    def train(self, order: NDArray[np.int64]) -> None:
        loss = self._trainer.run_epoch(order)
        if not np.isfinite(loss):
            raise RuntimeError(f"a training diverged: {self.path}")

    def params(self) -> NDArray[Any]:
        return self._trainer.params


class ScikitLearn:
    """`MLPClassifier.partial_fit`, one epoch a call, in the dtype of X; it draws the order itself, within the clock."""

    def __init__(self, X: Any, y: Any, setup: Setup, start: NDArray[Any]) -> None:
        self._data, self._classes, size = (X, y), np.arange(setup.outputs), setup.batch_size
        self.model = make_classifier(setup).partial_fit(X[:size], y[:size], classes=self._classes)
        for (W, b), W0, b0 in zip(
            layer_views(start, setup.widths(X.shape[1])), self.model.coefs_, self.model.intercepts_, strict=True
        ):
            W0[...], b0[...] = W, b
        if setup.optimizer == "adam":
            rule = self.model._optimizer
            rule.t = 0
            for moment in (*rule.ms, *rule.vs):
                moment[...] = 0

    def order(self) -> NDArray[np.int64]:
        from sklearn.utils import shuffle

        return shuffle(np.arange(len(self._data[1])), random_state=0)

    def train(self, order: object) -> None:
        self.model.partial_fit(*self._data, classes=self._classes)

    def params(self) -> NDArray[Any]:
        return flatten(zip(self.model.coefs_, self.model.intercepts_, strict=True))


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


class PyTorch:
    """The usual loop over batches that are gathered from a tensor, with the plain or the fused optimizer."""

    def __init__(self, X: Any, y: Any, setup: Setup, start: NDArray[Any], fused: bool = True) -> None:
        import torch

        self._torch = torch
        self._features, self._labels, self._size = torch.from_numpy(X), torch.from_numpy(y), setup.batch_size
        layers: list[Any] = []
        for W, b in layer_views(start, setup.widths(X.shape[1])):
            linear = torch.nn.Linear(*W.shape)
            with torch.no_grad():
                linear.weight.copy_(torch.from_numpy(W.T.copy()))
                linear.bias.copy_(torch.from_numpy(b.copy()))
            layers += [linear, torch.nn.ReLU()]
        self._network = torch.nn.Sequential(*layers[:-1])
        rule = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[setup.optimizer]
        self._optimizer = rule(self._network.parameters(), lr=setup.lr, fused=fused)

    def order(self) -> Any:
        return self._torch.randperm(len(self._labels))

    def train(self, order: Any) -> None:
        for rows in order.split(self._size):
            loss = self._torch.nn.functional.cross_entropy(self._network(self._features[rows]), self._labels[rows])
            self._optimizer.zero_grad()
            loss.backward()
            self._optimizer.step()

    def params(self) -> NDArray[Any]:
        linears = self._network[::2]
        return flatten((linear.weight.detach().numpy().T, linear.bias.detach().numpy()) for linear in linears)


class JAX:
    """One compiled call an epoch: a scan over the batches, which updates the parameters in place."""

    def __init__(self, X: Any, y: Any, setup: Setup, start: NDArray[Any]) -> None:
        import jax
        import jax.numpy as jnp

        n, size = len(y), setup.batch_size
        whole = n // size * size
        layers = layer_views(start.astype(np.float32), setup.widths(X.shape[1]))
        params = [(jnp.array(W), jnp.array(b)) for W, b in layers]
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

        self._jax, self._n, self._rng = jax, n, np.random.default_rng(0)
        self._compiled = jax.jit(train_epoch, donate_argnums=0)
        self._data = jnp.asarray(X), jnp.asarray(y, jnp.int32)
        self._state = (params, moments, jnp.zeros((), jnp.float32))

    def order(self) -> Any:
        return self._jax.numpy.asarray(self._rng.permutation(self._n).astype(np.int32))

    def train(self, order: Any) -> None:
        self._state, _ = self._jax.block_until_ready(self._compiled(self._state, order, *self._data))

    def params(self) -> NDArray[Any]:
        layers: Layers = [(np.asarray(W), np.asarray(b)) for W, b in self._state[0]]
        return flatten(layers)


PEERS = {"scikit-learn": ScikitLearn, "PyTorch": PyTorch, "JAX": JAX}
_MODULES = {PyTorch: "torch", JAX: "jax"}


def available(competitor: type) -> bool:
    """Whether the library of a competitor is installed."""
    return competitor not in _MODULES or importlib.util.find_spec(_MODULES[competitor]) is not None


def train_first_epoch(name: str, n: int) -> None:
    """Train one epoch on n embedded MNIST rows: a process that does only this tells how long a peer takes to start."""
    from fastmlp.datasets import load_mnist

    X, y = load_mnist(n)
    setup = Setup()
    competitor = PEERS[name](np.divide(X, 255, dtype=np.float32), y, setup, setup.start(X.shape[1]))
    competitor.train(competitor.order())
