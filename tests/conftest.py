"""Data and backends that several test modules share."""

import os
import signal

if "PYTEST_XDIST_WORKER" in os.environ:  # the other cores are other workers'
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before NumPy loads it

import numpy as np
import pytest

import fastmlp
from fastmlp.backends import BACKENDS
from fastmlp.engine import workshop

os.environ["MPLBACKEND"] = "agg"
if "PYTEST_XDIST_WORKER" in os.environ:
    workshop.usable_cores = lambda: 1
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a shell's background, and then in children, too


def frozen(*arrays):
    """Return the arrays, made read-only, so that a test fails that writes to them."""
    for array in arrays:
        array.flags.writeable = False
    return arrays


@pytest.fixture(params=BACKENDS)
def backend(request):
    return request.param


@pytest.fixture(scope="session")
def mnist():
    """The embedded MNIST rows: uint8 (5000, 784), labels (5000,)."""
    return frozen(*fastmlp.datasets.load_mnist())


@pytest.fixture(scope="session")
def blobs():
    """Three separable classes: float64 (60, 4), labels (60,)."""
    rng = np.random.default_rng(7)
    y = np.arange(60) % 3
    return frozen(rng.normal(size=(60, 4)) + 3 * np.eye(3, 4)[y], y)
