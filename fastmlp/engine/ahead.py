"""When rows of a CSR first layer take steps ahead: how many batches a call has, and how many entries it may have."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastmlp.engine.tables import AHEAD

CALL_MADDS = 1 << 30
"""Work of a call in multiply-adds, about 0.05 s."""
MADDS_PER_STEP = 16
"""Cost of the step of a weight, in multiply-adds."""
MANY_WEIGHTS, MANY_UNITS = 1 << 17, 32
"""With fewer in the first layer, steps ahead cost more than they save: weights stay in a cache, or rows are short."""


class Calls(NamedTuple):
    """How batches are divided into calls of compiled code."""

    batches: int
    """Batches in a call."""
    ahead: bool
    """Whether rows take steps ahead, because a batch leaves many of them without a gradient."""
    entries: int
    """Entries in the call that has the most."""


def divide_calls(widths: Sequence[int], batch: int, counts: NDArray[np.int64]) -> Calls:
    """Return the `Calls` for samples with so many entries each, in batches.

    The squares of the weights are added in an order that depends on where calls end, so this must depend on neither
    time nor threads.
    """
    entries = int(np.sum(counts)) * batch // len(counts)
    first, *upper = [m * p for m, p in pairwise(widths)]
    madds = MADDS_PER_STEP * first + 3 * (batch * sum(upper) + entries * widths[1])
    batches = max(1, min(AHEAD, CALL_MADDS // madds))
    sums = np.add.reduceat(counts, np.arange(0, len(counts), batches * batch))
    is_large = first >= MANY_WEIGHTS and widths[1] >= MANY_UNITS
    return Calls(batches, is_large and entries < widths[0], int(np.max(sums)))
