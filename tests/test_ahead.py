"""How many batches a call has where no clock decides, and where rows of a CSR first layer take steps ahead."""

import numpy as np
import pytest

from fastmlp.engine.ahead import MANY_UNITS, MANY_WEIGHTS, divide_calls
from fastmlp.engine.tables import AHEAD

COUNTS = np.array([3, 0, 7, 1, 1, 4, 2] * 100)
"""Entries of samples: 18 in seven."""


def test_the_longest_call_has_the_most_entries():
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 9, 1003)
    batches, _, entries = divide_calls((10, 5, 2), 7, counts)
    assert batches == AHEAD
    assert entries == max(np.sum(counts[i : i + 7 * batches]) for i in range(0, 1003, 7 * batches))


@pytest.mark.parametrize(
    ("widths", "few", "many"),
    [((1000, 50, 3), (10_000_000, 50, 3), 20), ((1000, 50, 3), (1000, 50, 100_000, 3), 20)],
    ids=["features", "units above"],
)
def test_a_call_of_much_work_has_few_batches(widths, few, many):
    assert divide_calls(widths, 20, COUNTS).batches == AHEAD
    assert 1 <= divide_calls(few, 20, COUNTS).batches < many
    assert divide_calls((10**9, 100), 20, COUNTS).batches == 1


def test_steps_ahead_need_many_weights_long_rows_and_few_entries():
    d = -(-MANY_WEIGHTS // 64)
    batch = d * 700 // 1800  # as many entries as features

    def ahead(widths, batch):
        return divide_calls(widths, batch, COUNTS).ahead

    assert ahead((d, 64, 3), batch - 1)
    assert not ahead((d, 64, 3), batch + 1)
    assert not ahead((d - 1, 64, 3), batch // 2)
    assert not ahead((10 * d, MANY_UNITS - 1, 3), batch)
