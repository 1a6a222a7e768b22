"""Controllers for tests, which decide without a clock how many threads the next call gets and how long it is."""

import numpy as np

from fastmlp.engine.controller import Controller


class Steady(Controller):
    """Always all threads, and calls of many batches."""

    def __init__(self, most):
        super().__init__(most)
        self.threads = most

    threads = 0
    seconds = 1e9
    samples = 1 << 40

    def record(self, samples, seconds, stalled):
        pass


def steady(samples):
    """A `Steady` whose calls have so many samples."""
    return type("SteadyCalls", (Steady,), {"samples": samples})


class Whim(Steady):
    """Any number of threads, for any number of samples; `ran` holds the numbers."""

    def __init__(self, most):
        super().__init__(most)
        self._most = most
        self._rng = np.random.default_rng(most)
        self.ran = []
        self._draw()

    def _draw(self):
        self.threads, self.samples = int(self._rng.integers(1, self._most + 1)), int(self._rng.integers(0, 90))

    def record(self, samples, seconds, stalled):
        self.ran.append(self.threads)
        self._draw()
