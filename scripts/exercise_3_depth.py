"""Exercise 3: 1,000 MNIST digits, weights of 0.01, 10 epochs, batch 32: does a third layer beat two?

One run could be luck, so each network is trained from several seeds.

python scripts/exercise_3_depth.py --backend reference
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from sklearn.model_selection import train_test_split

import fastmlp
from fastmlp.display.style import count_on_x, leave_room_above, line_style

NETWORKS = {"two layers": (256,), "three layers": (256, 128)}


def main(argv: Sequence[str] | None = None) -> None:
    """Print the test accuracies of both networks, answer the question, and draw the losses."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", choices=("jit", "reference"), default="jit")
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--figure", type=Path, default=Path("fastmlp-exercise-3.png"))
    arguments = parser.parse_args(argv)
    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    X, y = fastmlp.datasets.load_mnist(arguments.samples)
    X = fastmlp.reference.normalize(X)
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, random_state=42)
    figure, ax = plt.subplots(figsize=(5, 4), layout="constrained")
    accuracies = {}
    for i, (name, hidden) in enumerate(NETWORKS.items()):
        models = [
            fastmlp.train(
                X_train,
                y_train,
                hidden=hidden,
                activation="relu",
                init=0.01,
                optimizer="sgd",
                lr=0.1,
                batch_size=32,
                num_epochs=arguments.epochs,
                normalize=None,
                epoch_loss="full",
                seed=seed,
                backend=arguments.backend,
                verbose=False,
            )
            for seed in range(arguments.seeds)
        ]
        found = accuracies[name] = np.array([model.score(X_test, y_test) for model in models])
        print(f"{name:12s} {models[0]}")
        print(f"  training loss {' '.join(f'{loss:.3f}' for loss in models[0].history.loss)}")
        several = f"of {len(found)} seeds {found.mean():.4f} ± {standard_error(found):.4f}"
        print(f"  test accuracy {found[0]:.4f}; {several}")
        losses = np.array([model.history.loss for model in models])
        epochs = np.arange(1, losses.shape[1] + 1)
        ax.errorbar(epochs, losses.mean(axis=0), losses.std(axis=0), capsize=3, **line_style(i), label=name)
    print(answer(*accuracies.values()))

    ax.set(xlabel="epoch", ylabel="training loss", ylim=(0, None), title=f"Loss, mean and spread of {len(found)} seeds")
    ax.grid(alpha=0.3)
    count_on_x(ax)
    leave_room_above(ax, 0.12)
    ax.legend(loc="upper center", ncols=2)
    figure.savefig(arguments.figure, dpi=100)
    plt.close(figure)
    print(f"wrote {arguments.figure}")


def standard_error(values: np.ndarray) -> float:
    """Return the standard error of the mean of some seeds' values, 0 for a single one."""
    return float(np.std(values) / np.sqrt(max(1, len(values) - 1)))


def answer(two: np.ndarray, three: np.ndarray) -> str:
    """Return whether the third layer helps, judged against how much the seeds differ."""
    gain, error = np.mean(three - two), standard_error(three - two)
    verdict = "no difference beyond chance" if abs(gain) <= 2 * error else ("yes" if gain > 0 else "no")
    return f"does a third layer beat two? {verdict}: {gain:+.4f} ± {error:.4f} in test accuracy"


if __name__ == "__main__":
    main()
