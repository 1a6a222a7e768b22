"""Exercise 4: mean |gradient| of W1, W2, W3 through the first epoch: are early layers' gradients smaller?

python scripts/exercise_4_vanishing_gradients.py --activation sigmoid
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np

import fastmlp
from fastmlp.display import GradientFlowDisplay


def main(argv: Sequence[str] | None = None) -> None:
    """Print the gradients along the first epoch, answer the question, and draw them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", choices=("jit", "reference"), default="jit")
    parser.add_argument("--activation", choices=("relu", "sigmoid", "tanh"), default="relu")
    parser.add_argument("--init", choices=("he", "xavier"), default="he")
    parser.add_argument("--samples", type=int, default=5000)
    parser.add_argument("--figure", type=Path, default=Path("fastmlp-exercise-4.png"))
    arguments = parser.parse_args(argv)
    matplotlib.use("agg")

    X, y = fastmlp.datasets.load_mnist(arguments.samples)
    history = fastmlp.train(
        X,
        y,
        hidden=(256, 128),
        activation=arguments.activation,
        init=arguments.init,
        num_epochs=1,
        track_gradients="first_epoch",
        seed=0,
        backend=arguments.backend,
        verbose=False,
    ).history
    magnitudes = np.array(history.first_epoch_gradients)
    print("batch   mean |grad W1|   |grad W2|   |grad W3|   W1 / W3")
    for batch in np.unique(np.linspace(0, len(magnitudes) - 1, 9).astype(int)):
        first, second, third = magnitudes[batch]
        print(f"{batch + 1:5d}   {first:14.2e}   {second:9.2e}   {third:9.2e}   {first / third:7.3f}")
    print(answer(magnitudes))
    # Four in five pixels of MNIST are 0 and have no gradient, which lowers the mean of W1; δ knows nothing of pixels.
    deltas = history.delta_magnitude[0]
    print(f"mean |δ| by layer, which no zero pixel lowers: {', '.join(f'{delta:.2e}' for delta in deltas)}")

    GradientFlowDisplay.from_history(history, first_epoch=True).plot().figure_.savefig(arguments.figure, dpi=100)
    print(f"wrote {arguments.figure}")


def answer(magnitudes: np.ndarray) -> str:
    """Return how the first layer's gradient compares to the last one's, at the beginning and at the end."""
    ratios = magnitudes[:, 0] / magnitudes[:, -1]
    tenth = max(1, len(ratios) // 10)
    start, end = np.median(ratios[:tenth]), np.median(ratios[-tenth:])
    smaller = np.mean(ratios < 1)
    change = "falls" if end < start / 1.1 else "grows" if end > start * 1.1 else "stays"
    return (
        f"is grad W1 smaller than grad W3? in {smaller:.0%} of the batches; the ratio {change} from {start:.3f} in the "
        f"first tenth of the epoch to {end:.3f} in the last"
    )


if __name__ == "__main__":
    main()
