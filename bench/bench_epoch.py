"""Whole calls of `fastmlp.train`, one epoch on the embedded rows, on the reference and on the compiled path.

`pytest bench` runs each once; `pytest bench --benchmark-enable` times them. First the two must agree.
"""

import numpy as np
import pytest
from workloads import standardise

import fastmlp

BATCH, CHECKED_STEPS = 64, 5
BACKENDS = ("reference", "jit")


def make_dense(X):
    return np.random.default_rng(0).standard_normal(X.shape, np.float32)


PREPARATIONS = {"raw": lambda X: X, "standardised": standardise, "dense": make_dense}


@pytest.fixture(scope="module", params=PREPARATIONS)
def data(request):
    """Its name, features (5000, 784), labels."""
    X, y = fastmlp.datasets.load_mnist()
    return request.param, PREPARATIONS[request.param](X), y


def train(X, y, backend):
    return fastmlp.train(X, y, batch_size=BATCH, num_epochs=1, lr=0.01, seed=0, backend=backend, verbose=False)


@pytest.fixture(scope="module")
def checked(data):
    """The data, after a few steps on which the backends agree."""
    _, X, y = data
    rows = BATCH * CHECKED_STEPS
    ours, wanted = (train(X[:rows], y[:rows], backend).params for backend in ("jit", "reference"))
    np.testing.assert_allclose(ours, wanted, rtol=0, atol=1e-5)
    return data


@pytest.mark.parametrize("backend", BACKENDS)
def test_epoch(benchmark, checked, backend):
    name, X, y = checked
    benchmark.group = name
    model = benchmark(train, X, y, backend)
    assert np.isfinite(model.history.loss[0])
