"""The command ``fastmlp gradients``."""

import argparse
import time
from functools import partial

import fastmlp
from fastmlp.cli.options import (
    init,
    integers,
    names,
    words,
)
from fastmlp.cli.process import report
from fastmlp.results import Results, check_places, write, write_figure


def run(arguments: argparse.Namespace) -> int:
    """Carry the command out and return the exit status."""
    started = time.perf_counter()
    check_places({"figure": arguments.figure, "csv": arguments.csv})
    X, y = fastmlp.datasets.load_mnist(arguments.n_samples)
    depths = integers("--depths", arguments.depths, example="2,4,8")
    activations = [names(text, "/") for text in words(arguments.activations)]
    inits = [init(text, "--inits") for text in words(arguments.inits)]
    print(
        f"MNIST: {len(X):,} rows; {len(depths) * len(activations) * len(inits)} networks of {arguments.width} units a "
        f"layer, {arguments.num_epochs} epochs each"
    )
    flow = fastmlp.gradient_flow(
        X,
        y,
        depths=depths,
        activations=activations,
        inits=inits,
        width=arguments.width,
        num_epochs=arguments.num_epochs,
        lr=arguments.lr,
        seed=arguments.seed,
        backend=arguments.backend,
    )
    print(flow)
    results: Results = {arguments.csv: flow.to_csv, arguments.figure: partial(write_figure, flow)}
    failures = write(results)
    return report(results, failures, f"; {time.perf_counter() - started:.2f} s in all")
