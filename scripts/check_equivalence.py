"""Draw training problems at random and hold the compiled path to the reference: `python scripts/check_equivalence.py`.

The cross of activation, loss, optimizer, depth, batch size, form and type of the features, type of the arithmetic has
some ten thousand problems under thousands of plans: the tests take some of them, and this script any others, for as
long as it is given. Each is trained for 100 steps, by one thread and by several: the parameters have to be the
reference's within the tests' tolerance, and the same to the bit for all numbers of threads.
"""

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.engine_cases import Case, compare, make_problem, rate_of, same_bits, train

from fastmlp.engine.plan import MANY_FEATURES
from fastmlp.engine.trainer import Engine
from fastmlp.reference.activations import ACTIVATIONS
from fastmlp.reference.losses import LOSSES
from fastmlp.reference.optimizers import OPTIMIZERS

STEPS = 100
CROSS = {
    "activation": tuple(ACTIVATIONS),
    "loss": tuple(LOSSES),
    "optimizer": tuple(OPTIMIZERS),
    "depth": range(6),
    "batch": (1, 7, 64, 200),
    "data": ("dense", "sparse", "standardised", "csr"),
    "raw": ("uint8", "float32", "float64"),
    "dtype": ("float64", "float32"),
}
WIDTHS = (1, 3, 16, 33, 70, 130)


def draw(rng):
    """Return a case of the cross, with widths and the like at random."""
    chosen = {name: values[rng.integers(len(values))] for name, values in CROSS.items()}
    depth, batch = chosen.pop("depth"), chosen["batch"]
    if rng.random() < 0.3:  # each layer draws its own
        chosen["activation"] = tuple(CROSS["activation"][i] for i in rng.integers(len(ACTIVATIONS), size=depth))
    n = 2 * batch + 31
    if chosen["data"] == "standardised" and chosen["raw"] == "uint8":
        chosen |= {"data": "bright", "normalize": "zscore"}
    elif chosen["raw"] == "uint8":
        chosen["normalize"] = "unit"
    return Case(
        **chosen,
        hidden=tuple(int(rng.choice(WIDTHS)) for _ in range(depth)),
        k=int(rng.integers(2, 20)),
        d=int(rng.choice((rng.integers(1, 200), rng.integers(MANY_FEATURES, 600)), p=(0.8, 0.2))),
        n=n,
        threads=int(rng.choice((2, 3, 8))),
        weighted=bool(rng.integers(2)),
        decay=float(rng.choice((0.0, 0.01))),
        lr=rate_of(chosen["optimizer"]) / 10,
        epochs=-(-STEPS // -(-n // batch)),
        seed=int(rng.integers(1 << 30)),
    )


def check(case):
    """Return what is wrong with a case, or nothing; and its plan."""
    try:
        engine = compare(case)
        problem, start, orders = make_problem(case._replace(threads=1))
        alone = train(Engine(problem, start), orders)
        problem, start, orders = make_problem(case)
        same_bits(train(Engine(problem, start), orders), alone)
    except AssertionError as wrong:
        return str(wrong) or "the parameters differ", None
    return "", engine._workspace.plan


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    rng, end = np.random.default_rng(options.seed), time.monotonic() + 60 * options.minutes
    plans, wrong, counts = set(), 0, Counter()
    while not counts or time.monotonic() < end:
        case = draw(rng)
        failure, plan = check(case)
        plans.add(plan)
        counts[case.dtype, case.data] += 1
        if failure:
            wrong += 1
            print(f"{case!r}\n    {failure}", flush=True)
    print(f"{counts.total()} problems under {len(plans - {None})} plans, {wrong} wrong;", end=" ")
    print(", ".join(f"{' '.join(what)} {count}" for what, count in sorted(counts.items())))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
