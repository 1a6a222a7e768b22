"""Measure fastmlp against the time that dense arithmetic takes on this machine, and against other trainers.

    python bench/engine_targets.py [--quick] [--rounds N] [--only CASE,...] [--peers] [--json FILE]

Everything goes through `fastmlp.train`; an epoch's time is that of the history it returns. Competitors run in one
process by turns, A B C A B C, so that a busy moment hits all of them alike. "floors" is the smallest time in units of
the time that the epoch's dense floating-point operations would take at the rate of the fastest large float32 matrix
product that NumPy made in any round. A peer's ratio is its smallest time over ours. The reference is always measured,
and scikit-learn on the CSR matrix; scikit-learn, PyTorch and JAX elsewhere with --peers, where they are installed.

Set FASTMLP_MNIST_DIR for all of MNIST; without it the 5,000 rows of the package stand for it, as the names of the
cases say. Nothing else should run meanwhile: what the load average is at the start is printed with the machine.
"""

import argparse
import json
from functools import partial
from pathlib import Path

from figures import FIGURES
from peers import PEERS, Fastmlp, available
from report import Row, describe_machine, print_table, run_race
from roofline import Sgemm, training_flops
from workloads import WORKLOADS, Workload

ROUNDS, QUICK_ROUNDS = 7, 2


def measure(workload: Workload, rounds: int, quick: bool, peers: bool, sgemm: Sgemm) -> list[Row]:
    """Time a workload's variants and its peers by turns; return a row a variant."""
    n = min(workload.rows, workload.quick_rows) if quick else workload.rows
    X, y = workload.load(n)
    setup = workload.setup
    ours = {v.name: Fastmlp(v.prepare(X), y, setup, **v.options) for v in workload.variants}
    chosen = [p for p in workload.peers if (peers or p in workload.needed_peers) and available(p)]
    runners = dict(ours) | {name: PEERS[name](workload.for_peers(X), y, setup) for name in chosen}
    race = run_race({name: partial(run, workload.epochs) for name, run in runners.items()}, rounds, sgemm)

    flops = training_flops(setup.widths(X.shape[1]), n)
    rows = []
    for variant in workload.variants:
        name, trainer = variant.name, ours[variant.name]
        versus = {f"÷ {other}": 1 / ratio for other, ratio in race.ratios(name, ours).items() if other != name}
        figures = {"floors": race.floors(name, flops), **versus}
        if trainer.threads is not None:
            figures["threads"] = trainer.threads
        rows.append(
            Row(
                f"{workload.title}: {n:,} {name}",
                race.all(name),
                ratios=race.ratios(name, chosen),
                figures=figures,
                targets=variant.targets,
                note=f"{trainer.path}; matrix products at {min(race.rates) / 1e9:.0f} to "
                f"{max(race.rates) / 1e9:.0f} GFLOP/s",
                rounds=race.floors_of_rounds(name, flops),
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
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured")
    args = parser.parse_args()
    names = args.only.split(",") if args.only else [*workloads, *FIGURES]
    if unknown := sorted({*names} - {*workloads, *FIGURES}):
        parser.error(f"unknown case {', '.join(unknown)}: choose of {', '.join([*workloads, *FIGURES])}")

    machine = describe_machine()
    print(", ".join(f"{key}: {value}" for key, value in machine.items()), end="\n\n")
    sgemm = Sgemm()
    options = (QUICK_ROUNDS if args.quick else args.rounds, args.quick, args.peers, sgemm)
    rows: list[Row] = []
    for name in names:
        print(f"measuring {name} ...", flush=True)
        rows += measure(workloads[name], *options) if name in workloads else FIGURES[name](*options)
    print()
    print_table(rows)
    if args.json:
        report = {"machine": machine, "rows": [row.to_dict() for row in rows]}
        args.json.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
