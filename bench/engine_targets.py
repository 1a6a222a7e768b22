"""Measure fastmlp against the time that dense arithmetic takes on this machine, and against other trainers.

    python bench/engine_targets.py [--quick] [--rounds N] [--only CASE,...] [--peers]

Everybody is first held to the reference, then competitors run in one process by turns, A B C A B C, so that a busy
moment hits all of them alike. "floors" is the smallest time in units of the time that the same dense floating-point
operations would take at the rate of the fastest large float32 matrix product that NumPy made in any round. A peer's
ratio is its smallest time over ours. The reference is always measured, and scikit-learn on the CSR matrix;
scikit-learn, PyTorch and JAX elsewhere with --peers, where they are installed.

Set FASTMLP_MNIST_DIR for all of MNIST; without it the 5,000 rows of the package stand for it, as the names of the
cases say. Nothing else should run meanwhile: what the load average is at the start is printed with the machine, and
before and after what two cores cost each other, which decides what the second thread brings.
"""

import argparse
import os

import bench_epoch
import bench_predict
import bench_result
import bench_shapes
import bench_startup
from bench_roofline import Sgemm
from cores import measure_crossing
from peers import PEERS
from race import Case, Rates, run_race
from report import Row, describe_machine, print_table

ROUNDS, QUICK_ROUNDS = 7, 2


def make_cases(quick: bool) -> dict[str, list[Case]]:
    """What --only chooses from."""
    return {
        **{case.key: [case] for case in bench_epoch.make_cases(quick, False)},
        "sweep": bench_shapes.make_sweep(quick),
        "predict": bench_predict.make_cases(False, False),
        "startup": [bench_startup.make_import(), *bench_startup.make_cases(False, False)],
        "result": bench_result.make_cases(quick, False),
        "memory": [bench_startup.make_memory(quick)],
    }


def measure(case: Case, rounds: int, peers: bool, sgemm: Rates) -> list[Row]:
    """Race everybody in a case; return a row for each of fastmlp's own."""
    needed = {target.what for targets in case.targets.values() for target in targets}
    names = [name for name in case.names if peers or name in needed or not name.startswith(tuple(PEERS))]
    entrants = case.build(names)
    race = run_race(entrants, rounds, sgemm)
    ours = [name for name in names if entrants[name].ours]
    others = [name for name in names if not entrants[name].ours]
    if race.rates:
        print(f"  matrix products at {min(race.rates) / 1e9:.0f} to {max(race.rates) / 1e9:.0f} GFLOP/s")
    rows = []
    for name in ours:
        figures = {f"÷ {other}": 1 / ratio for other, ratio in race.ratios(name, ours).items() if other != name}
        figures |= race.figures(name, entrants[name])
        rows.append(
            Row(
                case.group if name == "fastmlp" else f"{case.group}: {name}",
                race.samples[name],
                entrants[name].unit,
                race.ratios(name, others),
                figures,
                case.targets.get(name, ()),
            )
        )
    return rows


def main() -> None:
    """Measure the chosen cases and print one table."""
    everything = make_cases(False)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few rounds on few rows: to see that it runs")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of each race; more are steadier")
    parser.add_argument("--only", metavar="CASE,...", help=f"of {', '.join(everything)}")
    parser.add_argument("--peers", action="store_true", help="also scikit-learn, PyTorch, JAX")
    args = parser.parse_args()
    names = args.only.split(",") if args.only else list(everything)
    if unknown := sorted({*names} - {*everything}):
        parser.error(f"unknown case {', '.join(unknown)}: choose of {', '.join(everything)}")

    machine = describe_machine() | {"load average": round(os.getloadavg()[0], 2)}
    print(", ".join(f"{key}: {value}" for key, value in machine.items()))
    print(measure_crossing() or "one core", end="\n\n")
    sgemm, cases = Sgemm(), make_cases(args.quick)
    rows: list[Row] = []
    for name in names:
        print(f"measuring {name} ...", flush=True)
        for case in cases[name]:
            rows += measure(case, QUICK_ROUNDS if args.quick else args.rounds, args.peers, sgemm)
    print()
    print_table(rows)
    print(f"\nat the end {measure_crossing() or 'one core'}")


if __name__ == "__main__":
    main()
