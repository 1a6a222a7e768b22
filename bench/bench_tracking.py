"""What `track_gradients=True` costs: epochs with and without it by turns, on raw and on standardised pixels.

`pytest bench` runs each once; `python bench/bench_tracking.py` times them and prints the ratios.
"""

import statistics

import numpy as np
import pytest
from workloads import MNIST_ROWS, standardise

import fastmlp

SCALINGS = {"uint8": lambda X: X, "standardised": standardise}
ROUNDS, EPOCHS = 8, 3


def run(X, y, tracking, epochs=EPOCHS):
    return fastmlp.train(X, y, num_epochs=epochs, track_gradients=tracking, seed=0, verbose=False)


@pytest.mark.parametrize("tracking", [False, True, "first_epoch"])
@pytest.mark.parametrize("scaling", SCALINGS)
def test_tracking(benchmark, scaling, tracking):
    X, y = fastmlp.datasets.load_mnist()
    X = SCALINGS[scaling](X)
    benchmark.group = f"tracking, {scaling}"
    model = benchmark(run, X, y, tracking, 1)
    np.testing.assert_array_equal(model.params, run(X, y, False, 1).params)


def main():
    """Print the seconds of an epoch without and with tracking, best and median, and their ratio."""
    X, y = fastmlp.datasets.load_mnist(MNIST_ROWS)
    for scaling, scale in SCALINGS.items():
        scaled = scale(X)
        run(scaled, y, True, 1)
        seconds = {False: [], True: []}
        for turn in range(ROUNDS):
            for tracking in (False, True) if turn % 2 else (True, False):
                seconds[tracking] += run(scaled, y, tracking).history.seconds
        for name, figure in (("best", min), ("median", statistics.median)):
            without, tracked = (figure(seconds[tracking]) for tracking in (False, True))
            print(f"{MNIST_ROWS:,} {scaling}, {name}: {1e3 * without:.1f} ms, tracked {1e3 * tracked:.1f} ms, "
                  f"ratio {tracked / without:.3f}")  # fmt: skip


if __name__ == "__main__":
    main()
