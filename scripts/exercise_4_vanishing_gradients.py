"""Exercise 4: mean |gradient| of W1, W2, W3 through the first epoch: are early layers' gradients smaller?

On the digits and settings of exercise 3. Two layers and three are compared over several seeds in their first gradients,
in stability (how far the gradient of W1 wanders over the epochs, how often the loss rises) and in speed.

python scripts/exercise_4_vanishing_gradients.py --activation sigmoid --init he
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from sklearn.model_selection import train_test_split

import fastmlp
from fastmlp.display import GradientFlowDisplay
from fastmlp.display.style import count_on_x, leave_room_above, line_style, make_axes

NETWORKS = {"two layers": (256,), "three layers": (256, 128)}
LEARNED = 0.8
"""The test accuracy from which on a network counts as having learned."""


def main(argv: Sequence[str] | None = None) -> None:
    """Print the gradients along the first epoch, answer the question, compare with two layers, and draw both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", choices=("jit", "reference"), default="jit")
    parser.add_argument("--activation", choices=("relu", "sigmoid", "tanh"), default="relu")
    parser.add_argument("--init", type=initialisation, default=0.01, help="he, xavier, or a standard deviation")
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--figure", type=Path, default=Path("fastmlp-exercise-4.png"))
    arguments = parser.parse_args(argv)
    matplotlib.use("agg")

    X, y = fastmlp.datasets.load_mnist(arguments.samples)
    X = fastmlp.reference.normalize(X)
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, random_state=42)
    histories = {
        name: [
            fastmlp.train(
                X_train,
                y_train,
                hidden=hidden,
                activation=arguments.activation,
                init=arguments.init,
                optimizer="sgd",
                lr=0.1,
                batch_size=32,
                num_epochs=arguments.epochs,
                normalize=None,
                epoch_loss="full",
                validation_data=(X_test, y_test),
                track_gradients="first_epoch",
                seed=seed,
                backend=arguments.backend,
                verbose=False,
            ).history
            for seed in range(arguments.seeds)
        ]
        for name, hidden in NETWORKS.items()
    }
    if any(len(history) < arguments.epochs for several in histories.values() for history in several):
        raise SystemExit("a training diverged, so there is nothing to compare: a smaller --init may help")

    history = histories["three layers"][0]
    magnitudes = np.array(history.first_epoch_gradients)
    print("batch   mean |grad W1|   |grad W2|   |grad W3|   W1 / W3")
    for batch in np.unique(np.linspace(0, len(magnitudes) - 1, 9).astype(int)):
        first, second, third = magnitudes[batch]
        print(f"{batch + 1:5d}   {first:14.2e}   {second:9.2e}   {third:9.2e}   {first / third:7.3f}")
    print(answer(magnitudes))
    # Pixels that never vary are 0 and have no gradient, which lowers the mean of W1; δ knows nothing of pixels.
    deltas = history.delta_magnitude[0]
    print(f"mean |δ| by layer, which no zero pixel lowers: {', '.join(f'{delta:.2e}' for delta in deltas)}")
    print(f"means of {arguments.seeds} seeds:")
    for name, several in histories.items():
        print("\n".join(compare(name, several)))

    left, right = make_axes(1, 2)
    GradientFlowDisplay.from_history(history, first_epoch=True).plot(left)
    left.set_title("Three layers: gradients in the first epoch")
    for i, (name, several) in enumerate(histories.items()):
        losses = np.array([history.loss for history in several])
        epochs = np.arange(1, losses.shape[1] + 1)
        right.errorbar(epochs, losses.mean(axis=0), losses.std(axis=0), capsize=3, **line_style(i), label=name)
    right.set(
        xlabel="epoch", ylabel="training loss", ylim=(0, None), title=f"Loss, mean and spread of {len(losses)} seeds"
    )
    right.grid(alpha=0.3)
    count_on_x(right)
    leave_room_above(right, 0.12)
    right.legend(loc="upper center", ncols=2)
    left.figure.savefig(arguments.figure, dpi=100)
    print(f"wrote {arguments.figure}")


def initialisation(text: str) -> str | float:
    """Return what --init says."""
    try:
        return text if text in ("he", "xavier") else float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be he, xavier or a number, got {text!r}") from None


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


def compare(name: str, histories: list[fastmlp.History]) -> list[str]:
    """Return what one network's seeds show of its first gradients, its stability and its speed."""
    first = np.array([history.first_epoch_gradients[0] for history in histories])
    gradients = [f"W{layer} {estimate(values, '.2e')}" for layer, values in enumerate(first.T, 1)]
    sizes = np.array([[magnitudes[0] for magnitudes in history.gradient_magnitude] for history in histories])
    wandering = np.max(sizes, axis=1) / np.min(sizes, axis=1)
    losses = np.array([history.loss for history in histories])
    rises = np.sum(np.diff(losses, axis=1) > 0, axis=1)
    after = [f"{estimate(losses[:, epoch], '.3f')} (epoch {epoch + 1})" for epoch in course(losses.shape[1])]
    learned = [np.flatnonzero(np.array(history.val_accuracy) >= LEARNED) for history in histories]
    epochs = [found[0] + 1 for found in learned if len(found)]
    reached = f"in epoch {estimate(epochs, '.1f')}" if epochs else "never"
    if 0 < len(epochs) < len(histories):
        reached += f" by {len(epochs)} of {len(histories)} seeds"
    return [
        f"{name:12s}  first batch: mean |grad| {', '.join(gradients)}",
        f"{'':12s}  stability: largest ÷ smallest |grad W1| of the epochs {estimate(wandering, '.1f')}; "
        f"epochs in which the loss rose {estimate(rises, '.1f')}",
        f"{'':12s}  speed: training loss {', '.join(after)}; test accuracy {LEARNED} {reached}",
    ]


def course(epochs: int) -> list[int]:
    """Return the first epoch, the middle one and the last, from 0."""
    return sorted({0, (epochs - 1) // 2, epochs - 1})


def estimate(values: Sequence[float] | np.ndarray, form: str) -> str:
    """Return the mean of some seeds' values and its standard error."""
    error = np.std(values) / np.sqrt(max(1, len(values) - 1))
    return f"{np.mean(values):{form}} ± {error:{'.0e' if 'e' in form else form}}"


if __name__ == "__main__":
    main()
