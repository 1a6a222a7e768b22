"""Learning-rate schedules: what the rate is multiplied by in each step of a training.

Each is a function of the step s (0, 1, ...), the number of all steps N, and the number of steps w that warm up.
"""

import math
from collections.abc import Callable

START, END = 1 / 25, 1 / 25e4
"""What a cycle begins and ends with, in units of its peak."""


def constant(s: int, N: int, w: int) -> float:
    """(s + 1) / w in the warm-up, then 1.

    References
    ----------
    Goyal et al., "Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour", 2017, section 2.2, on the warm-up.
    """
    return (s + 1) / w if s < w else 1.0


def linear(s: int, N: int, w: int) -> float:
    """(s + 1) / w in the warm-up, then 1 - (s - w) / (N - w): in a straight line to 0 after the last step."""
    return constant(s, N, w) * (1 - _progress(s - w, N - w))


def cosine(s: int, N: int, w: int) -> float:
    """(s + 1) / w in the warm-up, then (1 + cos(π (s - w) / (N - w))) / 2: half a cosine to 0 after the last step.

    References
    ----------
    Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", 2017, without the restarts.
    """
    return constant(s, N, w) * (1 + math.cos(math.pi * _progress(s - w, N - w))) / 2


def one_cycle(s: int, N: int, w: int) -> float:
    """From 1/25 to 1 in the first w steps, then down to 1/250,000 in the last one, half a cosine each.

    References
    ----------
    Smith and Topin, "Super-Convergence: Very Fast Training of Neural Networks Using Large Learning Rates", 2018; the
    cosines and the numbers are those of fastai and PyTorch.
    """
    if s < w - 1:
        return _between(START, 1.0, s / (w - 1))
    return _between(1.0, END, _progress(s + 1 - w, N - w))


def _progress(done: int, total: int) -> float:
    """The share of some steps that is done, from 0 to 1."""
    return min(1.0, max(0, done) / max(1, total))


def _between(first: float, last: float, progress: float) -> float:
    """From the first number to the last one along half a cosine."""
    return last + (first - last) * (1 + math.cos(math.pi * progress)) / 2


SCHEDULES: dict[str, Callable[[int, int, int], float]] = {
    "constant": constant,
    "linear": linear,
    "cosine": cosine,
    "one_cycle": one_cycle,
}
CYCLE_WARMUP = 0.3
"""The share of a cycle's steps that go up, where nobody says."""
