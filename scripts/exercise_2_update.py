"""Exercise 2: one update of the network of exercise 1 at learning rate 0.1: does the loss fall?

python scripts/exercise_2_update.py --backend reference
"""

import argparse
from collections.abc import Sequence
from importlib import import_module

import numpy as np


def main(argv: Sequence[str] | None = None) -> None:
    """Print the loss before and after one step of gradient descent."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", choices=("jit", "reference"), default="jit")
    parser.add_argument("--lr", type=float, default=0.1)
    arguments = parser.parse_args(argv)
    functions = import_module(f"fastmlp.{arguments.backend}")

    X, y = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1.0, 0.0], [0.0, 1.0]])
    randn = np.random.RandomState(0).randn  # the numbers that np.random.seed(0) gives a from-scratch script
    W1, b1 = 0.1 * randn(2, 4), np.zeros((1, 4))
    W2, b2 = 0.1 * randn(4, 3), np.zeros((1, 3))
    W3, b3 = 0.1 * randn(3, 2), np.zeros((1, 2))

    A1, A2, A3 = functions.forward_mlp_3layer(X, W1, b1, W2, b2, W3, b3)
    before = functions.cross_entropy(A3, y)
    Z1 = X @ W1 + b1
    Z2 = A1 @ W2 + b2
    gradients = functions.backward_mlp_3layer(X, A1, A2, A3, y, W1, W2, W3, Z1, Z2)
    for parameter, gradient in zip((W1, b1, W2, b2, W3, b3), gradients, strict=True):
        parameter -= arguments.lr * gradient
    *_, A3 = functions.forward_mlp_3layer(X, W1, b1, W2, b2, W3, b3)
    after = functions.cross_entropy(A3, y)

    print(f"loss before {before:.6f}")
    print(f"loss after  {after:.6f}")
    print(f"one step changed the loss by {after - before:+.6f}: it {'fell' if after < before else 'did not fall'}")


if __name__ == "__main__":
    main()
