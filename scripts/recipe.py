"""The from-scratch recipe: 5,000 MNIST digits, 784-256-128-10, weights of 0.01, plain SGD, 20 epochs.

python scripts/recipe.py --backend reference
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from sklearn.model_selection import train_test_split

import fastmlp


def main(argv: Sequence[str] | None = None) -> None:
    """Train as the recipe says, print its figures and draw its two panels."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", choices=("jit", "reference"), default="jit")
    parser.add_argument("--samples", type=int, default=5000)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--figure", type=Path, default=Path("fastmlp-recipe.png"))
    arguments = parser.parse_args(argv)

    X, y = fastmlp.datasets.load_mnist(arguments.samples)
    X = fastmlp.reference.normalize(X)
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, random_state=42)
    model = fastmlp.train(
        X_train,
        y_train,
        hidden=(256, 128),
        activation="relu",
        init=0.01,
        optimizer="sgd",
        lr=0.1,
        batch_size=64,
        num_epochs=arguments.epochs,
        normalize=None,
        epoch_loss="full",
        validation_data=(X_test, y_test),
        backend=arguments.backend,
        seed=0,
    )
    print(f"final test accuracy {model.score(X_test, y_test):.4f}")
    model.history.plot().figure_.savefig(arguments.figure, dpi=100)
    print(f"wrote {arguments.figure}")


if __name__ == "__main__":
    main()
