"""The dense floor: how long the machine's own matrix product would take for the multiplications of a dense network.

Letters: n rows; widths (d, h1, ..., k) of the network.
"""

import time
from collections.abc import Collection, Sequence
from itertools import pairwise

import numpy as np
from race import Case, Entrant

PRODUCTS = ((2048, 2048, 2048), (4096, 1024, 1024))
QUICK_PRODUCTS = ((64, 64, 64), (128, 32, 32))
REPEATS = 2


def forward_flops(widths: Sequence[int], n: int) -> int:
    """Floating-point operations of a dense forward pass of n rows: two to a multiply-add."""
    return 2 * n * sum(m * p for m, p in pairwise(widths))


def training_flops(widths: Sequence[int], n: int) -> int:
    """The same of an epoch: forward, weight gradients, and deltas of all layers but the first."""
    return 2 * forward_flops(widths, n) + forward_flops(widths[1:], n)


def make_product(m: int, k: int, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two random float32 matrices, and room for their product."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((m, k), np.float32), rng.standard_normal((k, n), np.float32), np.empty((m, n), "f4")


class Sgemm:
    """Measures float32 matrix products; the rate is that of the fastest one, in operations a second."""

    def __init__(self) -> None:
        self._products = [make_product(*shape) for shape in PRODUCTS]
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


def make_cases(quick: bool, full: bool) -> list[Case]:
    """One case for each product."""

    def make_case(shape: tuple[int, int, int], sizes: tuple[int, int, int]) -> Case:
        m, k, n = sizes

        def build(names: Collection[str]) -> dict[str, Entrant]:
            A, B, C = make_product(m, k, n)

            def check() -> None:
                np.testing.assert_allclose(np.matmul(A, B, out=C)[0], A[0].astype(float) @ B, atol=1e-3)

            facts = {"work": 2 * m * k * n, "unit": "GFLOP/s"}
            return {name: Entrant(lambda: np.matmul(A, B, out=C), check, blas=True, facts=facts) for name in names}

        return Case("x".join(map(str, shape)), "roofline", (f"{m} × {k} × {n} float32",), build, test_id="{key}")

    return [make_case(*pair) for pair in zip(PRODUCTS, QUICK_PRODUCTS if quick else PRODUCTS, strict=True)]


def test_matrix_product(measure, case, name):
    measure(case, name)
