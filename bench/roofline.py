"""The dense floor: how long a machine's matrix product would take for all the multiplications of a dense network.

Letters: n rows; widths (d, h1, ..., k) of the network.
"""

import time
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

PRODUCTS = ((2048, 2048, 2048), (4096, 1024, 1024))
REPEATS = 2


def forward_flops(widths: Sequence[int], n: int) -> int:
    """Floating-point operations of a dense forward pass of n rows: two to a multiply-add."""
    return 2 * n * sum(m * p for m, p in pairwise(widths))


def training_flops(widths: Sequence[int], n: int) -> int:
    """The same of an epoch: forward, weight gradients, and deltas of all layers but the first."""
    return 2 * forward_flops(widths, n) + forward_flops(widths[1:], n)


class Sgemm:
    """Measures float32 matrix products; the rate is that of the fastest one, in operations a second."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self._products = []
        for m, k, n in PRODUCTS:
            A, B = rng.standard_normal((m, k), np.float32), rng.standard_normal((k, n), np.float32)
            self._products.append((A, B, np.empty((m, n), np.float32)))
        self.rate()  # the first product starts BLAS's threads

    def rate(self) -> float:
        """Return the best rate that some large products reach now."""
        best = 0.0
        for A, B, C in self._products:
            for _ in range(REPEATS):
                started = time.perf_counter()
                np.matmul(A, B, out=C)
                seconds = time.perf_counter() - started
                best = max(best, 2 * A.size * B.shape[1] / seconds)
        return best
