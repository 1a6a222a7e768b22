"""Exercise 3: 1,000 MNIST digits, 10 epochs, batch 32: does a third layer beat two?

One run could be luck, so each network is trained from several seeds.

python scripts/exercise_3_depth.py --backend reference
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np

import fastmlp
from fastmlp.display.style import line_style

NETWORKS = {"two layers": (128,), "three layers": (128, 64)}


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
    split = int(0.8 * len(X))
    figure, ax = plt.subplots(figsize=(5, 4), layout="constrained")
    accuracies = {}
    for i, (name, hidden) in enumerate(NETWORKS.items()):
        models = [
            fastmlp.train(
                X[:split],
                y[:split],
                hidden=hidden,
                num_epochs=arguments.epochs,
                batch_size=32,
                seed=seed,
                backend=arguments.backend,
                verbose=False,
            )
            for seed in range(arguments.seeds)
        ]
        found = accuracies[name] = np.array([model.score(X[split:], y[split:]) for model in models])
        print(f"{name:12s} {models[0]}")
        print(f"  test accuracy {' '.join(f'{value:.3f}' for value in found)}: mean {found.mean():.4f}")
        losses = np.mean([model.history.loss for model in models], axis=0)
        ax.plot(np.arange(1, len(losses) + 1), losses, **line_style(i), label=name)
    print(answer(*accuracies.values()))

    ax.set(xlabel="epoch", ylabel="training loss", title=f"Mean loss of {arguments.seeds} seeds")
    ax.grid(alpha=0.3)
    ax.legend()
    figure.savefig(arguments.figure, dpi=100)
    plt.close(figure)
    print(f"wrote {arguments.figure}")


def answer(two: np.ndarray, three: np.ndarray) -> str:
    """Return whether the third layer helps, judged against how much the seeds differ."""
    gains = three - two
    error = np.std(gains) / np.sqrt(max(1, len(gains) - 1))
    verdict = "no difference beyond chance" if abs(gains.mean()) <= 2 * error else ("yes" if gains.mean() > 0 else "no")
    return f"does a third layer beat two? {verdict}: {gains.mean():+.4f} ± {error:.4f} in test accuracy"


if __name__ == "__main__":
    main()
