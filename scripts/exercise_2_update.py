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

    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((2, 2)), np.eye(2)
    params = [(rng.standard_normal((m, p)), np.zeros(p)) for m, p in ((2, 4), (4, 3), (3, 2))]

    before, gradients = functions.loss_and_gradients(X, y, params)
    params = [
        (W - arguments.lr * grad_W, b - arguments.lr * grad_b)
        for (W, b), (grad_W, grad_b) in zip(params, gradients, strict=True)
    ]
    after, _ = functions.loss_and_gradients(X, y, params)
    print(f"loss before {before:.6f}")
    print(f"loss after  {after:.6f}")
    print(f"one step changed the loss by {after - before:+.6f}: it {'fell' if after < before else 'did not fall'}")


if __name__ == "__main__":
    main()
