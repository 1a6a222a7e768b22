"""Dropout: the hidden units that a training step leaves out, drawn from a generator without state.

A unit is kept with probability q = 1 - rate and then counts 1/q times, so that what it adds to the layer above has the
same mean as without dropout. q is rounded to 16 binary digits; 1/q belongs to the rounded one.

Random bits are a function of the seed and of where they are used: the step, the layer, the sample's place in its batch,
and the word of 64 units. So they are the same in any order, on any number of threads.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastmlp.reference.activations import Array

__all__ = ["dropout_masks"]

DIGITS = 16
"""Binary digits of a probability."""
WHOLE = 1 << DIGITS
"""What stands for the probability 1."""
WORD = 64
"""Units whose bits are drawn together: unit u is bit u % 64 of word u // 64."""
CALLS = DIGITS // 2
"""Calls of the generator for a word, each of which gives the random words of two digits."""

LOW = 0xFFFFFFFF
MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
BUMPS = 0x9E3779B9, 0xBB67AE85
ROUNDS = 10
"""The constants of Philox-4x32."""

Words = NDArray[Any]
"""Of uint64."""


def layer_rates(rates: float | Sequence[float], depth: int) -> tuple[float, ...]:
    """Return the rate of each of `depth` hidden layers, or nothing if none of them drops units."""
    each = (rates,) * depth if isinstance(rates, float) else tuple(rates)
    return each if any(each) else ()


def keep_parts(rate: float) -> int:
    """Return the probability to keep a unit in parts of WHOLE, at least one: 1 - rate to 16 binary digits."""
    return max(1, round((1 - rate) * WHOLE))


def philox(counter: Sequence[Words], key: tuple[int, int]) -> tuple[Words, Words, Words, Words]:
    """Return four random 32-bit numbers for each counter, which is four 32-bit numbers: Philox-4x32-10.

    A round multiplies two of the numbers by constants, and adds the key to the upper halves of the products without
    carry: (c0, c1, c2, c3) ← (hi(M1 c2) ⊕ c1 ⊕ k0, lo(M1 c2), hi(M0 c0) ⊕ c3 ⊕ k1, lo(M0 c0)). The key changes by
    constants between rounds.

    References
    ----------
    Salmon, Moraes, Dror and Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3", 2011.
    """
    c0, c1, c2, c3 = counter
    for i in range(ROUNDS):
        k0, k1 = (k + i * bump & LOW for k, bump in zip(key, BUMPS, strict=True))
        p0, p1 = c0 * MULTIPLIERS[0], c2 * MULTIPLIERS[1]
        c0, c1, c2, c3 = p1 >> 32 ^ c1 ^ k0, p1 & LOW, p0 >> 32 ^ c3 ^ k1, p0 & LOW
    return c0, c1, c2, c3


def keep_words(n: int, width: int, parts: int, seed: int, step: int, layer: int) -> Words:
    """Return the bits of the units that each of n samples keeps, in words (n, width/64 rounded up).

    Of the digits of q = 0.d1 d2 ... and a random word r for each, from the last digit 1 to the first: m ← m ∨ r where d
    is 1, m ← m ∧ r where it is 0. A bit of m is then 1 with probability q.
    """
    place, word = np.arange(n, dtype=np.uint64)[:, None], np.arange(-(-width // WORD), dtype=np.uint64)
    same = np.zeros((n, len(word)), np.uint64)
    m = same
    for call in reversed(range(CALLS)):
        counter = same + word * CALLS + call, same + place, same + (step & LOW), same + layer
        r0, r1, r2, r3 = philox(counter, (seed & LOW, seed >> 32 & LOW))
        for digit, r in ((2 * call + 1, r2 | r3 << 32), (2 * call, r0 | r1 << 32)):
            m = m | r if parts >> DIGITS - 1 - digit & 1 else m & r
    return m


def dropout_masks(
    n: int,
    widths: Sequence[int],
    rates: Sequence[float],
    seed: int,
    step: int,
) -> list[Array | None]:
    """Return what the activations of each hidden layer are multiplied by in a step: 0, or 1/q with probability q.

    q is 1 - rate to 16 binary digits, at least 2^-16, and E[mask] = 1.

    Parameters
    ----------
    n : int
        The rows of the batch.
    widths : sequence of int
        Of the hidden layers.
    rates : sequence of float
        Of each, from 0 to below 1; or empty, where none drops units.
    seed : int
        64 bits.
    step : int
        The number of steps before this one; masks repeat after 2^32.

    Returns
    -------
    masks : list of arrays
        A mask (n, width) in float64 for each hidden layer, or None for a layer that drops no unit.

    References
    ----------
    Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov, "Dropout: A Simple Way to Prevent Neural Networks from
    Overfitting", 2014.
    """
    masks: list[Array | None] = [None] * len(widths)
    for layer, (width, rate) in enumerate(zip(widths, rates, strict=bool(rates))):
        parts = keep_parts(rate)
        if parts < WHOLE:
            words = keep_words(n, width, parts, seed, step, layer)
            bits = words[:, :, None] >> np.arange(WORD, dtype=np.uint64) & np.uint64(1)
            kept = bits.reshape(n, -1)[:, :width] != 0
            masks[layer] = np.where(kept, WHOLE / parts, 0)
    return masks
