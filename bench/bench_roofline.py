"""The machine's own rate: the large matrix products from which every dense floor is made."""

import numpy as np
import pytest
from roofline import PRODUCTS


@pytest.mark.parametrize("shape", PRODUCTS, ids=lambda shape: "x".join(map(str, shape)))
def test_matrix_product(measure, quick, shape):
    m, k, n = (64, 64, 64) if quick else shape
    rng = np.random.default_rng(0)
    A, B = rng.standard_normal((m, k), np.float32), rng.standard_normal((k, n), np.float32)
    C = np.empty((m, n), np.float32)
    name, flops = f"{m} × {k} × {n} float32", 2 * m * k * n
    measure(lambda: np.matmul(A, B, out=C), group="roofline", name=name, ours=True, work=flops, unit="GFLOP/s")
    np.testing.assert_allclose(C[0], A[0].astype(float) @ B, atol=1e-3)
