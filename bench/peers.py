"""What an epoch can be timed with: fastmlp itself, and the trainers it is compared with.

A competitor is built from training data, a `Setup` and the parameters to start from, and goes on from where it is at
each `train`. Everybody gets the same network, start, batch size, update rule and order of the rows, which is drawn
outside the clock. Peers get float32 features, dense ones in the library's own array type, and as many threads as suit
them best: all or one, whichever was faster on some batches before.
"""

import contextlib
import copy
import importlib.util
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

import fastmlp
from fastmlp.backends import make_trainer
from fastmlp.engine.processor import usable_cores
from fastmlp.normalization import learn_normalization
from fastmlp.problem import Architecture, Optimizer, Problem
from fastmlp.reference.parameters import Layers, flatten, initialize, layer_views

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
TRIED_BATCHES = 30
"""The batches after which a number of threads is judged."""


class Setup(NamedTuple):
    """A network and how it is trained."""

    hidden: tuple[int, ...] = (256, 128)
    batch_size: int = 64
    optimizer: str = "sgd"
    lr: float = 0.1
    outputs: int = 10
    activation: str = "relu"
    """"relu", "tanh" or "sigmoid"."""
    loss: str = "cross_entropy"
    """Or "mean_squared_error", with targets (n, outputs) in float32."""

    @property
    def is_regression(self) -> bool:
        return self.loss == "mean_squared_error"

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
            y if self.is_regression else self._one_hot(y),  # a few rows may lack a class
            hidden=self.hidden,
            activation=self.activation,
            loss=self.loss,
            optimizer=self.optimizer,
            lr=self.lr,
            num_epochs=1,
            batch_size=self.batch_size,
            shuffle=False,
            params=layer_views(self.start(d), self.widths(d)),
            normalize=scaling(X),
            normalize_targets=False,
            backend="reference",
            dtype="float64",
            verbose=False,
        ).params

    def _one_hot(self, y: NDArray[Any]) -> NDArray[np.float64]:
        hot = np.zeros((len(y), self.outputs))
        hot[np.arange(len(y)), y] = 1
        return hot


def scaling(X: Any) -> str | None:
    """How `fastmlp.train` is to normalise a workload's features: pixels to [0, 1], everything else not at all."""
    return "unit" if X.dtype == np.uint8 else None


class Competitor(Protocol):
    """A trainer on its data."""

    def arrange(self, order: NDArray[np.int64]) -> Any:
        """Return an epoch's rows, given in their order, as `train` takes them."""

    def train(self, rows: Any) -> object:
        """Train one epoch on rows that `arrange` returned."""

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
            codes=y.astype(np.float64) if setup.is_regression else y,
            sample_weight=None,
            normalization=learn_normalization(scaling(X), X),
            architecture=Architecture(setup.widths(X.shape[1]), setup.activation, setup.loss),
            optimizer=Optimizer(setup.optimizer, setup.lr, 0.0, 0.0),
            batch_size=setup.batch_size,
            dtype=np.dtype(dtype),
            num_threads=num_threads,
        )
        self._trainer = make_trainer(problem, start, backend)
        self.path, self.threads = self._trainer.description, self._trainer.num_threads

    def arrange(self, order: NDArray[np.int64]) -> NDArray[np.int64]:
        return order

    def train(self, rows: NDArray[np.int64]) -> None:
        loss = self._trainer.run_epoch(rows)
        if not np.isfinite(loss):
            raise RuntimeError(f"a training diverged: {self.path}")

    def params(self) -> NDArray[Any]:
        return self._trainer.params


def fewest_seconds(choices: list[int], run: Callable[[int], object]) -> int:
    """Return the number with which `run` takes least time, of two runs by turns; each runs once before."""
    if len(choices) == 1:
        return choices[0]
    seconds = dict.fromkeys(choices, np.inf)
    for warm in (False, True, True):
        for choice in choices:
            started = time.perf_counter()
            run(choice)
            if warm:
                seconds[choice] = min(seconds[choice], time.perf_counter() - started)
    return min(choices, key=seconds.__getitem__)


def thread_counts(threads: int | None) -> list[int]:
    """What is tried: the number that was asked for, or else one thread and all of them."""
    return sorted({1, usable_cores()}) if threads is None else [threads]


def some_batches(n: int, size: int) -> NDArray[np.int64]:
    """The rows on which numbers of threads are tried."""
    return np.arange(min(n, TRIED_BATCHES * size))


class ScikitLearn:
    """`partial_fit`, one epoch a call, in the dtype of X, on rows that lie in their order already: it gathers nothing.

    Its squared error is half of the others', which Adam does not notice. Of two classes it makes one logistic output:
    the same function at the start, less work, and other numbers later.
    """

    def __init__(self, X: Any, y: Any, setup: Setup, start: NDArray[Any], threads: int | None = None) -> None:
        from threadpoolctl import ThreadpoolController

        self._data, self._setup = (X, y.ravel() if setup.is_regression else y), setup
        self._start = layer_views(start, setup.widths(X.shape[1]))
        if has_one_logit(setup):
            W, b = self._start[-1]
            self._start[-1] = W[:, 1:] - W[:, :1], b[1:] - b[:1]
        self._options = {} if setup.is_regression else {"classes": np.arange(setup.outputs)}
        self._limit = ThreadpoolController().limit
        tried = self.arrange(some_batches(len(y), setup.batch_size))
        self.model = self._begin()
        self.threads = fewest_seconds(thread_counts(threads), partial(self._run, tried))
        self.model = self._begin()

    def _begin(self) -> Any:
        """A network at the start: scikit-learn makes its arrays in the first fit."""
        few = [part[: self._setup.batch_size] for part in self._data]
        model = make_network(self._setup).partial_fit(*few, **self._options)
        for W, b, (W0, b0) in zip(model.coefs_, model.intercepts_, self._start, strict=True):
            W[...], b[...] = W0, b0
        if self._setup.optimizer == "adam":
            rule = model._optimizer
            rule.t = 0
            for moment in (*rule.ms, *rule.vs):
                moment[...] = 0
        return model

    def arrange(self, order: NDArray[np.int64]) -> Any:
        return tuple(part[order] for part in self._data)

    def train(self, rows: Any) -> None:
        self._run(rows, self.threads)

    def _run(self, rows: Any, threads: int) -> None:
        with self._limit(limits=threads, user_api="blas"):
            self.model.partial_fit(*rows, **self._options)

    def params(self) -> NDArray[Any]:
        return flatten(zip(self.model.coefs_, self.model.intercepts_, strict=True))


def has_one_logit(setup: Setup) -> bool:
    """Whether scikit-learn makes one output of the two."""
    return setup.outputs == 2 and not setup.is_regression


def make_network(setup: Setup) -> Any:
    """scikit-learn's network, with nothing that the others don't compute: neither momentum nor a penalty."""
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    return (MLPRegressor if setup.is_regression else MLPClassifier)(
        hidden_layer_sizes=setup.hidden,
        activation={"sigmoid": "logistic"}.get(setup.activation, setup.activation),
        solver=setup.optimizer,
        alpha=0,
        momentum=0,
        batch_size=setup.batch_size,
        learning_rate_init=setup.lr,
        n_iter_no_change=1_000_000,
        shuffle=False,
        random_state=0,
    )


class PyTorch:
    """The usual loop over batches that are gathered from a tensor, with the plain or the fused optimizer.

    A compiled one has `torch.compile` make one function of network and loss. Subnormal numbers count as 0, as PyTorch's
    guide to CPUs advises.
    """

    def __init__(
        self,
        X: Any,
        y: Any,
        setup: Setup,
        start: NDArray[Any],
        fused: bool = True,
        compiled: bool = False,
        threads: int | None = None,
    ) -> None:
        import torch

        self._torch = torch
        self._features, self._targets, self._size = torch.from_numpy(X), torch.from_numpy(y), setup.batch_size
        activation = {"relu": torch.nn.ReLU, "tanh": torch.nn.Tanh, "sigmoid": torch.nn.Sigmoid}[setup.activation]
        layers: list[Any] = []
        for W, b in layer_views(start, setup.widths(X.shape[1])):
            linear = torch.nn.Linear(*W.shape)
            with torch.no_grad():
                linear.weight.copy_(torch.from_numpy(W.T.copy()))
                linear.bias.copy_(torch.from_numpy(b.copy()))
            layers += [linear, activation()]
        network = self._network = torch.nn.Sequential(*layers[:-1])
        rule = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[setup.optimizer]
        self._optimizer = rule(network.parameters(), lr=setup.lr, fused=fused)
        functional = torch.nn.functional
        of_outputs = functional.mse_loss if setup.is_regression else functional.cross_entropy

        def loss(features: Any, targets: Any) -> Any:
            return of_outputs(network(features), targets)

        self._loss = loss
        self.threads = self._try(thread_counts(threads))
        if compiled:
            torch._dynamo.reset()  # which gives up compiling a function after some networks
            self._loss = torch.compile(loss, dynamic=False)

    def _try(self, counts: list[int]) -> int:
        before = copy.deepcopy((self._network.state_dict(), self._optimizer.state_dict()))
        tried = self.arrange(some_batches(len(self._targets), self._size))
        threads = fewest_seconds(counts, partial(self._run, tried))
        self._network.load_state_dict(before[0])
        self._optimizer.load_state_dict(before[1])
        return threads

    def arrange(self, order: NDArray[np.int64]) -> Any:
        return self._torch.from_numpy(order)

    def train(self, rows: Any) -> None:
        self._run(rows, self.threads)

    def _run(self, order: Any, threads: int) -> None:
        with self._settings(threads):
            for rows in order.split(self._size):
                loss = self._loss(self._features[rows], self._targets[rows])
                self._optimizer.zero_grad()
                loss.backward()
                self._optimizer.step()

    @contextlib.contextmanager
    def _settings(self, threads: int) -> Iterator[None]:
        """What belongs to the process or the thread, and is as it was for those who run next."""
        before = self._torch.get_num_threads()
        self._torch.set_num_threads(threads)
        self._torch.set_flush_denormal(True)
        try:
            yield
        finally:
            self._torch.set_flush_denormal(False)
            self._torch.set_num_threads(before)

    def params(self) -> NDArray[Any]:
        linears = self._network[::2]
        return flatten((linear.weight.detach().numpy().T, linear.bias.detach().numpy()) for linear in linears)


class JAX:
    """One compiled call an epoch: a scan over the batches, which updates the parameters in place."""

    def __init__(self, X: Any, y: Any, setup: Setup, start: NDArray[Any], threads: int | None = None) -> None:
        import jax
        import jax.numpy as jnp

        size = setup.batch_size
        layers = layer_views(start.astype(np.float32), setup.widths(X.shape[1]))
        activation = {"relu": jax.nn.relu, "tanh": jnp.tanh, "sigmoid": jax.nn.sigmoid}[setup.activation]

        def loss(params: Any, A: Any, targets: Any) -> Any:
            for W, b in params[:-1]:
                A = activation(A @ W + b)
            W, b = params[-1]
            Z = A @ W + b
            if setup.is_regression:
                return jnp.mean((Z - targets) ** 2)
            return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(Z), targets[:, None], 1))

        def adam_step(params: Any, moments: Any, t: Any, gradients: Any) -> Any:
            m = jax.tree.map(lambda m, g: BETA1 * m + (1 - BETA1) * g, moments[0], gradients)
            v = jax.tree.map(lambda v, g: BETA2 * v + (1 - BETA2) * g * g, moments[1], gradients)
            rate = setup.lr / (1 - BETA1**t)
            correction = 1 / (1 - BETA2**t)
            params = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v * correction) + EPSILON), params, m, v)
            return params, (m, v)

        def step(state: Any, batch: Any, features: Any, targets: Any) -> Any:
            params, moments, t = state
            value, gradients = jax.value_and_grad(loss)(params, features[batch], targets[batch])
            if moments is None:
                params = jax.tree.map(lambda p, g: p - setup.lr * g, params, gradients)
            else:
                params, moments = adam_step(params, moments, t + 1, gradients)
            return (params, moments, t + 1), value

        def train_epoch(state: Any, order: Any, features: Any, targets: Any) -> Any:
            whole = len(order) // size * size
            batches = order[:whole].reshape(-1, size)
            state, values = jax.lax.scan(lambda state, batch: step(state, batch, features, targets), state, batches)
            if whole < len(order):
                state, _ = step(state, order[whole:], features, targets)
            return state, jnp.mean(values)

        def begin() -> Any:
            params = [(jnp.array(W), jnp.array(b)) for W, b in layers]
            moments = jax.tree.map(jnp.zeros_like, (params, params)) if setup.optimizer == "adam" else None
            return params, moments, jnp.zeros((), jnp.float32)

        self._jax = jax
        self._data = jnp.asarray(X), jnp.asarray(y, jnp.float32 if setup.is_regression else jnp.int32)
        compilers = {
            count: jax.jit(train_epoch, donate_argnums=0, compiler_options={"xla_cpu_multi_thread_eigen": count > 1})
            for count in thread_counts(threads)
        }
        tried = self.arrange(some_batches(len(y), size))
        self._state = begin()
        self.threads = fewest_seconds([*compilers], lambda count: self._run(compilers[count], tried))
        self._compiled, self._state = compilers[self.threads], begin()

    def arrange(self, order: NDArray[np.int64]) -> Any:
        return self._jax.numpy.asarray(order.astype(np.int32))

    def train(self, rows: Any) -> None:
        self._run(self._compiled, rows)

    def _run(self, compiled: Any, rows: Any) -> None:
        self._state, _ = self._jax.block_until_ready(compiled(self._state, rows, *self._data))

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
    start = setup.start(X.shape[1])
    competitor = PEERS[name](np.divide(X, 255, dtype=np.float32), y, setup, start, threads=usable_cores())
    competitor.train(competitor.arrange(np.random.default_rng(0).permutation(n)))
