"""Calls in which rows of a CSR first layer take steps ahead: how many batches a call has, and how many entries."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from fastmlp.engine.tables import AHEAD

CALL_MADDS = 1 << 30
"""Work of a call in multiply-adds, about 0.05 s."""
MADDS_PER_STEP = 16
"""Cost of the step of a weight, in multiply-adds."""


def divide_calls(widths: Sequence[int], batch: int, counts: NDArray[np.int64]) -> tuple[int, int]:
    """Return (batches in a call, entries in the longest call) for samples with so many entries each, in batches.

    Every row is up to date where a call ends, and the order in which squares of weights are added depends on it: so it
    must depend on neither time nor threads.
    """
    entries = int(np.sum(counts)) * batch // max(1, len(counts))
    first, *upper = [m * p for m, p in pairwise(widths)]
    madds = MADDS_PER_STEP * first + 3 * (batch * sum(upper) + entries * widths[1])
    batches = max(1, min(AHEAD, CALL_MADDS // madds))
    sums = np.add.reduceat(counts, np.arange(0, len(counts), batches * batch))
    return batches, int(np.max(sums))
