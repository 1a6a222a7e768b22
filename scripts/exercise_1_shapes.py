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

    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((2, 2)), np.eye(2)
    W1, b1 = rng.standard_normal((2, 4)), np.zeros((1, 4))
    W2, b2 = rng.standard_normal((4, 3)), np.zeros((1, 3))
    W3, b3 = rng.standard_normal((3, 2)), np.zeros((1, 2))

    A1, A2, A3 = functions.forward_mlp_3layer(X, W1, b1, W2, b2, W3, b3)
    Z1 = X @ W1 + b1
    Z2 = A1 @ W2 + b2
    gradients = functions.backward_mlp_3layer(X, A1, A2, A3, y, W1, W2, W3, Z1, Z2)

    print("forward")
    for name, array in (("X", X), ("A1", A1), ("A2", A2), ("A3", A3)):
        print(f"  {name:7s} {array.shape}")
    print(f"  rows of A3 sum to {A3.sum(axis=1)}: probabilities")
    print("backward")
    parameters = {"W1": W1, "b1": b1, "W2": W2, "b2": b2, "W3": W3, "b3": b3}
    for (name, parameter), gradient in zip(parameters.items(), gradients, strict=True):
        print(f"  grad_{name} {gradient.shape}")
        assert gradient.shape == parameter.shape
    print("every gradient has the shape of its parameter")


if __name__ == "__main__":
    main()
