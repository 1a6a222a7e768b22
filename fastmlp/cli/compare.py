"""The command ``fastmlp compare``."""

import argparse
from functools import partial

import fastmlp
from fastmlp.cli.data import load
from fastmlp.cli.options import integers, training_options
from fastmlp.cli.process import report
from fastmlp.results import Results, check_places, write, write_figure


def run(arguments: argparse.Namespace) -> int:
    """Carry the command out and return the exit status."""
    check_places({"figure": arguments.figure}, {"--data": arguments.data})
    data = load(arguments)
    X, _, notes = data.encode()
    print(f"{data.name}: {len(X):,} rows, {data.describe(X)}")
    for note in notes:
        print(f"  {note}")
    comparison = fastmlp.compare(X, data.y, steps=integers("--steps", arguments.steps), **training_options(arguments))
    print(comparison)
    results: Results = {arguments.figure: partial(write_figure, comparison)} if arguments.figure is not None else {}
    return report(results, write(results)) or int(not comparison.ok)
