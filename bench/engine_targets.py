"""Measure fastmlp against the time that dense arithmetic takes on this machine, and against other trainers.

    python bench/engine_targets.py [--quick] [--rounds N] [--only CASE,...] [--peers]

An epoch's time is what `fastmlp.train` writes into its history. Everybody is first held to the reference. Competitors
run in one process by turns, A B C A B C, so that a busy moment hits all of them alike. "floors" is the smallest time in
units of the time that the epoch's dense floating-point operations would take at the rate of the fastest large float32
matrix product that NumPy made in any round. A peer's ratio is its smallest time over ours. The reference is always
measured, and scikit-learn on the CSR matrix; scikit-learn, PyTorch and JAX elsewhere with --peers, where they are
installed.

Set FASTMLP_MNIST_DIR for all of MNIST; without it the 5,000 rows of the package stand for it, as the names of the
cases say. Nothing else should run meanwhile: what the load average is at the start is printed with the machine, and
before and after what two cores cost each other, which decides what the second thread brings.
"""

import argparse
import os
from functools import partial

from cores import measure_crossing
from figures import FIGURES
from race import epochs, run_race
from report import Row, describe_machine, print_table
from roofline import Sgemm, training_flops
from workloads import WORKLOADS, Workload

ROUNDS, QUICK_ROUNDS = 7, 2


def measure(workload: Workload, rounds: int, quick: bool, peers: bool, sgemm: Sgemm) -> list[Row]:
    """Time a workload's entries by turns; return a row for each of fastmlp's own."""
    n = min(workload.rows, workload.quick_rows) if quick else workload.rows
    needed = {target.what for entry in workload.entries for target in entry.targets} & {"reference", "scikit-learn"}
    entries = [e for e in workload.available() if peers or e.ours or e.name in needed]
    for entry in entries:
        workload.check(entry)
    competitors = {entry.name: workload.build(entry, n) for entry in entries}
    race = run_race({name: partial(epochs, c, workload.epochs) for name, c in competitors.items()}, rounds, sgemm)

    ours, others = [e.name for e in entries if e.ours], [e.name for e in entries if not e.ours]
    rows = []
    for entry in filter(lambda entry: entry.ours, entries):
        name, trainer = entry.name, competitors[entry.name]
        flops = training_flops(workload.setup.widths(workload.data(entry, n)[0].shape[1]), n)
        versus = {f"÷ {other}": 1 / ratio for other, ratio in race.ratios(name, ours).items() if other != name}
        figures = {"floors": race.floors(name, flops), **versus}
        if trainer.threads is not None:
            figures["threads"] = trainer.threads
        rows.append(
            Row(
                f"{workload.title}: {n:,} {name}",
                race.all(name),
                ratios=race.ratios(name, others),
                figures=figures,
                targets=entry.targets,
                note=f"{trainer.path}; matrix products at {min(race.rates) / 1e9:.0f} to "
                f"{max(race.rates) / 1e9:.0f} GFLOP/s",
            )
        )
    return rows


def main() -> None:
    """Measure the chosen cases and print one table."""
    workloads = {workload.name: workload for workload in WORKLOADS}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few rounds on few rows: to see that it runs")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of each race; more are steadier")
    parser.add_argument("--only", metavar="CASE,...", help=f"of {', '.join([*workloads, *FIGURES])}")
    parser.add_argument("--peers", action="store_true", help="also scikit-learn, PyTorch, JAX")
    args = parser.parse_args()
    names = args.only.split(",") if args.only else [*workloads, *FIGURES]
    if unknown := sorted({*names} - {*workloads, *FIGURES}):
        parser.error(f"unknown case {', '.join(unknown)}: choose of {', '.join([*workloads, *FIGURES])}")

    machine = describe_machine() | {"load average": round(os.getloadavg()[0], 2)}
    print(", ".join(f"{key}: {value}" for key, value in machine.items()))
    print(measure_crossing() or "one core", end="\n\n")
    sgemm = Sgemm()
    options = (QUICK_ROUNDS if args.quick else args.rounds, args.quick, args.peers, sgemm)
    rows: list[Row] = []
    for name in names:
        print(f"measuring {name} ...", flush=True)
        rows += measure(workloads[name], *options) if name in workloads else FIGURES[name](*options)
    print()
    print_table(rows)
    print(f"\nat the end {measure_crossing() or 'one core'}")


if __name__ == "__main__":
    main()
