"""Say whether fastmlp has become slower than this machine's baseline: exit status 1 with a table if so.

    python scripts/check_regression.py [--update]

Baselines lie in `bench/baselines/`, one a machine, and are chosen by what they say of theirs.

Every tracked case, whole epochs and single kernels, runs by turns with its NumPy reference in this process, all on one
thread. Two ratios of minima are held against the baseline: jit ÷ reference, and jit ÷ floor, the time that the same
floating-point operations take in a large matrix product measured in between. A ratio may be worse by three times the
noise seen when the baseline was taken, but by 10% at least and 20% at most; what is beyond is measured again, some
times and after longer and longer pauses, before it counts. A case of the baseline that is no longer measured counts
too. On a machine without a baseline the most similar one's is printed, with what differs between the two, and decides
nothing. --update takes this machine's baseline from several runs.
"""

import argparse
import json
import re
import statistics
import sys
import time
from collections.abc import Iterable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / folder) for folder in ("bench", "tests")]

import kernels  # noqa: E402
from bench_epoch import WORKLOADS, Entry, Workload  # noqa: E402
from bench_roofline import Sgemm  # noqa: E402
from race import Case, Rates, run_race  # noqa: E402
from report import describe_machine  # noqa: E402

BASELINES = ROOT / "bench" / "baselines"
ROUNDS, UPDATE_RUNS = 9, 5
PAUSES = (0, 1, 5, 20)
"""Seconds to wait before each repetition of what looks slower: another program may be busy for a while."""
EPOCH_ROWS = 2_560
TRACKED = {"mnist": ("uint8", "standardised", "as if dense"), "adam": ("uint8",)}
NOISE_FACTOR, LEAST_MARGIN, MOST_MARGIN = 3.0, 0.10, 0.20
SAME = ("processor", "usable cores", "float32 in a register", "BLAS")
REFERENCE, FLOOR = "÷ reference", "÷ floor"

Ratios = dict[str, dict[str, float]]
"""By what is tracked, then by REFERENCE and FLOOR."""
Baseline = dict[str, Any]


class Tracked(NamedTuple):
    """A part of fastmlp, and its reference in the same case."""

    case: Case
    name: str
    reference: str


class Verdict(NamedTuple):
    """One ratio of one case against the baseline's."""

    case: str
    ratio: str
    before: float
    now: float
    margin: float

    @property
    def change(self) -> float:
        """How much slower, 0.25 being a quarter."""
        return self.now / self.before - 1

    @property
    def worse(self) -> bool:
        return not self.change <= self.margin


def make_tracked() -> dict[str, Tracked]:
    """Return what is tracked, by its name in baselines."""
    tracked = {}
    for workload in WORKLOADS:
        if names := TRACKED.get(workload.name, ()):
            case = on_one_thread(workload, names).case()
            tracked |= {f"epoch: {workload.title}, {name}": Tracked(case, name, "reference") for name in names}
    for name, (_, shape, _) in kernels.KERNELS.items():
        case = kernels.make_case(name, shape)
        tracked[f"kernel: {kernels.describe(name, shape)}"] = Tracked(case, "fastmlp", "NumPy")
    return tracked


def on_one_thread(workload: Workload, names: tuple[str, ...]) -> Workload:
    """Some of our entries and the reference, on few rows and one thread."""

    def limited(entry: Entry) -> Entry:
        return replace(entry, options=entry.options | {"num_threads": 1})

    entries = tuple(limited(entry) for entry in workload.entries if entry.name in (*names, "reference"))
    return replace(workload, entries=entries, rows=EPOCH_ROWS, epochs=3)


def measure(tracked: dict[str, Tracked], sgemm: Rates, rounds: int = ROUNDS) -> Ratios:
    """Run what is tracked and the references by turns; return the ratios of their minima."""
    chosen: dict[Case, list[str]] = {}
    for case, *pair in tracked.values():
        chosen[case] = list(dict.fromkeys([*chosen.get(case, ()), *pair]))
    entrants = {(case, name): entrant for case, names in chosen.items() for name, entrant in case.build(names).items()}
    race = run_race(entrants, rounds, sgemm)
    ratios: Ratios = {}
    for what, (case, name, reference) in tracked.items():
        mine, flops = (case, name), entrants[case, name].flops
        ratios[what] = {REFERENCE: race.best(mine) / race.best((case, reference))}
        if flops is not None:
            ratios[what][FLOOR] = race.floors(mine, flops)
    return ratios


def make_baseline(runs: list[Ratios], machine: dict[str, Any]) -> Baseline:
    """Return the baseline of some unchanged runs: medians, and the widest spread as noise."""
    cases = {}
    for case, ratios in runs[0].items():
        cases[case] = {}
        for ratio in ratios:
            values = [run[case][ratio] for run in runs]
            middle = statistics.median(values)
            cases[case][ratio] = {"ratio": round(middle, 5), "noise": round((max(values) - min(values)) / middle, 4)}
    return {"machine": machine, "date": date.today().isoformat(), "cases": cases}


def margin_of(noise: float) -> float:
    """How much worse a ratio of this noise may be."""
    return min(MOST_MARGIN, max(LEAST_MARGIN, NOISE_FACTOR * noise))


def differences(baseline: Baseline, machine: dict[str, Any]) -> list[str]:
    """Say in what a baseline's machine differs from this one; nothing if its ratios mean anything here."""
    pairs = {field: (baseline["machine"].get(field), machine.get(field)) for field in SAME}
    return [f"{field}: {theirs} there, {ours} here" for field, (theirs, ours) in pairs.items() if theirs != ours]


def choose_baseline(folder: Path, machine: dict[str, Any]) -> tuple[Path, Baseline] | None:
    """Return the baseline of the machine that differs least from this one, and its file; None if there are none."""
    found = [(path, json.loads(path.read_text(encoding="utf-8"))) for path in sorted(folder.glob("*.json"))]
    return min(found, key=lambda item: len(differences(item[1], machine)), default=None)


def file_name(machine: dict[str, Any]) -> str:
    """The name of a machine's baseline: what tells it from others."""
    return re.sub(r"[^a-z0-9]+", "-", " ".join(str(machine.get(field)) for field in SAME).lower()) + ".json"


def judge(baseline: Baseline, now: Ratios) -> list[Verdict]:
    """Hold ratios against a baseline; what only one of both has is left out."""
    verdicts = []
    for case, ratios in now.items():
        for ratio, value in ratios.items():
            if before := baseline["cases"].get(case, {}).get(ratio):
                verdicts.append(Verdict(case, ratio, before["ratio"], value, margin_of(before["noise"])))
    return verdicts


def lacking(wanted: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """The ratios, named with their cases, that are in one of two tables of cases and not in the other."""
    return [
        f"{case} {ratio}" for case, ratios in wanted.items() for ratio in ratios if ratio not in found.get(case, {})
    ]


def best_of(one: Ratios, other: Ratios) -> Ratios:
    """The smaller of two measurements of each ratio; `other` may lack cases."""
    return {
        case: {ratio: min(value, other.get(case, {}).get(ratio, value)) for ratio, value in ratios.items()}
        for case, ratios in one.items()
    }


def format_table(verdicts: Iterable[Verdict]) -> str:
    """The ratios before and now, what changed, and what may."""
    lines = [f"{'case':52} {'ratio':12} {'before':>8} {'now':>8} {'change':>7} {'margin':>7}"]
    for v in verdicts:
        mark = "  SLOWER" if v.worse else ""
        lines.append(f"{v.case:52} {v.ratio:12} {v.before:8.3f} {v.now:8.3f} {v.change:+7.0%} {v.margin:7.0%}{mark}")
    return "\n".join(lines)


def measure_again(baseline: Baseline, now: Ratios, sgemm: Rates) -> Ratios:
    """Return the ratios after what looks slower was measured again, until it doesn't or the last pause is over."""
    for pause in PAUSES:
        suspects = {v.case for v in judge(baseline, now) if v.worse}
        if not suspects:
            break
        time.sleep(pause)
        tracked = make_tracked()  # each measurement makes new arrays: where they lie in memory is part of the noise
        now = best_of(now, measure({case: tracked[case] for case in suspects}, sgemm))
    return now


def main(argv: list[str] | None = None) -> int:
    """Measure and compare, or update; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--update", action="store_true", help="write a new baseline")
    parser.add_argument("--baselines", type=Path, default=BASELINES, metavar="FOLDER")
    arguments = parser.parse_args(argv)
    machine = describe_machine()
    chosen = choose_baseline(arguments.baselines, machine)
    if not (arguments.update or chosen):
        parser.error(f"{arguments.baselines} must have a baseline; --update writes it")
    from threadpoolctl import threadpool_limits

    started = time.perf_counter()
    with threadpool_limits(1):
        sgemm = Sgemm()
        if arguments.update:
            runs = [measure(make_tracked(), sgemm) for _ in range(UPDATE_RUNS)]
            text = json.dumps(make_baseline(runs, machine), indent=1, ensure_ascii=False)
            arguments.baselines.mkdir(parents=True, exist_ok=True)
            path = arguments.baselines / file_name(machine)
            path.write_text(text + "\n", encoding="utf-8")
            print(f"wrote {path} in {time.perf_counter() - started:.0f} s")
            return 0
        path, baseline = chosen
        others = differences(baseline, machine)
        now = measure(make_tracked(), sgemm)
        if not others:
            now = measure_again(baseline, now, sgemm)
    verdicts = judge(baseline, now)
    gone, new = lacking(baseline["cases"], now), lacking(now, baseline["cases"])
    print(format_table(verdicts))
    for what, cases in ("in the baseline, not measured", gone), ("measured, not in the baseline", new):
        if cases:
            print(f"{what}: {'; '.join(cases)}")
    if others:
        print(f"{path.name} is another machine's and decides nothing: {'; '.join(others)}. --update takes this one's")
        return 0
    worse = sum(v.worse for v in verdicts)
    print(
        f"{worse} of {len(verdicts)} ratios are worse than on {baseline['date']}; {time.perf_counter() - started:.0f} s"
    )
    if gone or not verdicts:
        print("not everything could be held against the baseline; --update takes a new one")
    return 1 if worse or gone or not verdicts else 0


if __name__ == "__main__":
    sys.exit(main())
