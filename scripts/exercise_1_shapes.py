"""Exercise 1: two samples through 2 → 4 → 3 → 2 and back: the shape of everything.

python scripts/exercise_1_shapes.py --backend reference
"""

import argparse
from collections.abc import Sequence
from importlib import import_module

import numpy as np


def main(argv: Sequence[str] | None = None) -> None:
    """Print the shapes of activations and gradients, and whether each gradient fits its parameter."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", choices=("jit", "reference"), default="jit")
    functions = import_module(f"fastmlp.{parser.parse_args(argv).backend}")

    X, y = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1.0, 0.0], [0.0, 1.0]])
    randn = np.random.RandomState(0).randn  # the numbers that np.random.seed(0) gives a from-scratch script
    W1, b1 = 0.1 * randn(2, 4), np.zeros((1, 4))
    W2, b2 = 0.1 * randn(4, 3), np.zeros((1, 3))
    W3, b3 = 0.1 * randn(3, 2), np.zeros((1, 2))

    A1, A2, A3 = functions.forward_mlp_3layer(X, W1, b1, W2, b2, W3, b3)
    Z1 = X @ W1 + b1
    Z2 = A1 @ W2 + b2
    gradients = functions.backward_mlp_3layer(X, A1, A2, A3, y, W1, W2, W3, Z1, Z2)

    print("forward")
    for name, array in (("X", X), ("A1", A1), ("A2", A2), ("A3", A3)):
        print(f"  {name:7s} {array.shape}")
    for i, (first, second) in enumerate(A3, 1):
        print(f"  row {i} of A3: {first:.4f} {second:.4f}, the sum {first + second:.4f}")
    print(f"  cross-entropy {functions.cross_entropy(A3, y):.4f}")
    print("backward")
    parameters = {"W1": W1, "b1": b1, "W2": W2, "b2": b2, "W3": W3, "b3": b3}
    for (name, parameter), gradient in zip(parameters.items(), gradients, strict=True):
        print(f"  grad_{name} {gradient.shape}, mean |gradient| {np.mean(np.abs(gradient)):.2e}")
        assert gradient.shape == parameter.shape
    print("every gradient has the shape of its parameter")


if __name__ == "__main__":
    main()
