"""Latency of one row and throughput of many, through `predict`."""

import pytest
from predictions import prediction_calls
from roofline import forward_flops

MANY, QUICK_MANY = 10_000, 100
CASES = [
    ("many rows", "fastmlp"),
    ("many rows", "reference"),
    ("many rows", "scikit-learn"),
    ("one row", "fastmlp"),
    ("one row", "reference"),
    ("one row", "scikit-learn"),
    ("one row, inside", "fastmlp"),
]


@pytest.fixture(scope="module")
def calls(quick):
    """The calls by (what, who), which agree."""
    return prediction_calls(QUICK_MANY if quick else MANY)


@pytest.mark.parametrize(("what", "who"), CASES, ids=[f"{who}-{what}" for what, who in CASES])
def test_predict(measure, quick, calls, what, who):
    many = QUICK_MANY if quick else MANY
    what = what.replace("many", f"{many:,}")
    options = {"group": f"predict: {what}", "name": who, "ours": who == "fastmlp"}
    if what.startswith("one"):
        measure(calls[what, who], iterations=1000, **options)
    else:
        measure(calls[what, who], flops=forward_flops((784, 256, 128, 10), many), **options)
