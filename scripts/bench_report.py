"""Measure everything, and write the README's table, bench/RESULTS.md and the figures.

    python scripts/bench_report.py --minutes 40
    python scripts/bench_report.py epochs.json [MORE.json ...]

Reports are those of `pytest bench --benchmark-enable --benchmark-json=epochs.json`. All are taken as one; of what was
measured more than once the best counts: passes some minutes apart give every competitor a moment when the machine was
quiet. --minutes makes such passes with this Python, one after the other; one that wouldn't end in time, as the last
one took, isn't begun, but the first always is.

A dozen rows go between the README's marks, all of them to bench/RESULTS.md, the figures to bench/. What was measured
takes the place of the same rows, and the other rows stay. So a group of competitors must be measured whole, and on the
machine and with the versions of the rows that stay; --replace starts from empty tables. A figure is drawn only where
all that it shows was measured.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter, NullLocator

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"
EPOCH, SHAPES, KERNELS, ROOFLINE = "epoch: ", "shapes: ", "kernels: ", "roofline"
HEADLINE = "epoch: MNIST, batch 64"
NETWORK = "An epoch of 784-256-128-10, batch 64, 10,000 rows, 20% of the features not zero; one changes at a time"
AXES = {
    "batch": "rows in a batch",
    "width": "w of 784-w-w/2-10 on 4,096 rows",
    "depth": "hidden layers, each of 128 units",
    "samples": "rows",
    "density": "share of the features that are not zero",
    "threads": "threads",
}
"""What changes in the figure of shapes, and the words below its panels."""
IMAGE = f"![What an epoch costs over {', '.join(AXES)}](scaling.png)"
CASES_HEADER = ("case", "best", "median", "dense floors", "others' best ÷ ours")
KERNELS_HEADER = ("kernel", "best", "median", "rate", "others' best ÷ ours")
PEAK = ", peak of memory "
SELECTED = {
    "MNIST, batch 64": "uint8",
    "MNIST, Adam, batch 128": "uint8",
    "MNIST, batch 8": "uint8",
    "MNIST, batch 1": "uint8",
    "pixels half of them 0, batch 64": "uint8",
    "random dense 784, batch 64": "float32",
    "random dense 784, tanh, batch 64": "float32",
    "random dense 784-1024-1024-10, batch 256": "float32",
    "random dense 256-256-10000, batch 128": "float32",
    "30-128-128-1 regression, batch 256, Adam": "float32",
    "50-100-2, batch 200, Adam": "float32",
    "4-32-16-4, batch 32": "float32",
    "predict: one row": "",
    "result: MNIST": "compiled before",
    "result: ten folds of a table": "compiled before",
}
"""The cases of the README, and whose times they are."""
PEERS = ("reference", "scikit-learn", "PyTorch", "JAX")
SELECTED_HEADER = ("case", "fastmlp", "dense floors", *(f"{peer} ÷ ours" for peer in PEERS))
PAGE = """# Results

`python scripts/bench_report.py` writes this page. "Measured" in README.md says what dense floors are and how everybody
is timed, and shows the rows that matter most. The last column is everybody else's best time over fastmlp's: above 1,
fastmlp is faster.

"""

Group = list[dict[str, Any]]
Cells = tuple[str, ...]


def read(paths: list[Path]) -> tuple[dict[str, Group], dict[str, Any]]:
    """Return the benchmarks by group, and the machine of the first file.

    Raises
    ------
    ValueError
        If a file is not one of this suite's, or the files come from different machines.
    """
    passes: dict[tuple[str, str], Group] = {}
    machines = []
    for path in paths:
        report = json.loads(path.read_text(encoding="utf-8"))
        if "fastmlp" not in report.get("machine_info", {}):
            raise ValueError(f"{path} must be the JSON of `pytest bench --benchmark-enable`, but it lacks our machine")
        machines.append(report["machine_info"]["fastmlp"])
        for benchmark in report["benchmarks"]:
            row = dict(benchmark["extra_info"])
            if benchmark["group"].startswith("tracking"):  # which the README tells in words
                continue
            row |= {key: benchmark["stats"][key] for key in ("min", "median")}
            passes.setdefault((benchmark["group"], row["name"]), []).append(row)
    if any(machine != machines[0] for machine in machines):
        raise ValueError("the files must come from one machine with one set of versions, but theirs differ")
    groups: dict[str, Group] = {}
    for (group, _), rows in passes.items():
        groups.setdefault(group, []).append(best_of(rows))
    return groups, machines[0]


def best_of(rows: Group) -> dict[str, Any]:
    """One row of several on the same: the best time and median, and floors at the best rate of matrix products."""
    best = rows[0] | {key: min(row[key] for row in rows) for key in ("min", "median", "floor") if key in rows[0]}
    return best | {"floors": best["min"] / best["floor"]} if "floor" in best else best


def amount(seconds: float) -> str:
    """Seconds in the unit that suits them."""
    for factor, unit in ((1, "s"), (1e3, "ms")):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e6:.3g} µs"


def markdown(header: Cells, rows: list[Cells]) -> list[str]:
    """A table, and an empty line; nothing without rows."""
    if not rows:
        return []
    return ["| " + " | ".join(cells) + " |" for cells in (header, ("---",) * len(header), *rows)] + [""]


def parse(text: str, header: Cells) -> list[Cells]:
    """The rows of the table with this header, as `markdown` wrote it; none if there is no such table."""
    _, found, rest = text.partition("\n".join(markdown(header, [()])[:2]) + "\n")
    rows = rest.partition("\n\n")[0].splitlines() if found else []
    return [tuple(row.removeprefix("| ").removesuffix(" |").split(" | ")) for row in rows]


def name_of(row: Cells) -> str:
    """What a row is about."""
    return row[0].partition(PEAK)[0]


def competitors(row: Cells) -> set[str]:
    """Everybody whom the last cell of a row, as `versus` wrote it, compares with."""
    return {part.rpartition(" ")[0] for part in row[-1].split(", ") if part}


def merge(old: list[Cells], new: list[Cells], groups: Iterable[str]) -> list[Cells]:
    """Return the old rows with the new ones in place of those of the same name; more new ones at the end.

    Raises
    ------
    ValueError
        If a group that was measured lacks something that the old rows have of it.
    """
    found = {name_of(row): row for row in new}
    for row in old:
        name = name_of(row)
        lacking = competitors(row) - competitors(found[name]) if name in found else set()
        if name not in found and any(name == group or name.startswith(f"{group}: ") for group in groups):
            lacking = {"this case"}
        if lacking:
            raise ValueError(
                f"the row {name!r} must be measured whole, but {', '.join(sorted(lacking))} is missing: "
                "measure the whole group, or start anew with --replace"
            )
    kept = {name_of(row) for row in old}
    return [found.get(name_of(row), row) for row in old] + [row for row in new if name_of(row) not in kept]


def versus(group: Group, mine: dict[str, Any]) -> str:
    """Everybody else's best time over ours."""
    return ", ".join(f"{row['name']} {row['min'] / mine['min']:.3g}" for row in group if not row["ours"])


def rate(row: dict[str, Any]) -> str:
    return f"{row['work'] / row['min'] / 1e9:.3g} {row['unit']}"


def rows_of(groups: dict[str, Group]) -> tuple[list[Cells], list[Cells]]:
    """The rows of the table of cases, and of that of kernels."""
    cases, kernels = [], []
    for name, group in groups.items():
        for row in group:
            times = amount(row["min"]), amount(row["median"])
            if not row["ours"] or name.startswith(SHAPES):
                continue
            if name.startswith(KERNELS):
                kernels.append((name.removeprefix(KERNELS), *times, rate(row), versus(group, row)))
            elif name == ROOFLINE:
                kernels.append((f"NumPy's product {row['name']}", *times, rate(row), ""))
            else:
                floors = f"{row['floors']:.2f}" if "floors" in row else ""
                what = name if row["name"] == "fastmlp" else f"{name}: {row['name']}"
                what += f"{PEAK}{row['peak MB']:.0f} MB" if "peak MB" in row else ""
                cases.append((what.removeprefix(EPOCH), *times, floors, versus(group, row)))
    return cases, kernels


def select(cases: list[Cells]) -> list[Cells]:
    """The README's rows, of all: each peer has one column, for the best of its ways."""
    rows = []
    for case, who in SELECTED.items():
        for row in cases:
            name = name_of(row)
            if name == case or (name.startswith(case) and name.endswith(f": {who}")):
                ratios = dict(part.rpartition(" ")[::2] for part in row[-1].split(", ") if part)
                rows.append((row[0], row[1], row[3], *(best_ratio(ratios, peer) for peer in PEERS)))
                break
    return rows


def best_ratio(ratios: dict[str, str], peer: str) -> str:
    """The least of the ratios of a peer, by the ways to use it; nothing if it wasn't there."""
    own = [ratio for name, ratio in ratios.items() if name == peer or name in (f"{peer} fused", f"{peer} compiled")]
    return min(own, key=float, default="")


def tables(groups: dict[str, Group], machine: dict[str, Any], old: str = "") -> tuple[str, str]:
    """What goes between the README's marks, and the page of all results, which was `old` so far.

    Raises
    ------
    ValueError
        If rows that stay there come from another machine, or a group was measured in part.
    """
    cases, kernels = rows_of(groups)
    facts = [f"{key} {value}" for key, value in machine.items() if value not in ({}, None)]
    measured_on = f"Measured on: {', '.join(facts)}. Every thread that pays is used where none is named."
    old_cases, old_kernels = parse(old, CASES_HEADER), parse(old, KERNELS_HEADER)
    names = [group.removeprefix(EPOCH).removeprefix(KERNELS) for group in groups]
    merged = merge(old_cases, cases, names), merge(old_kernels, kernels, names)
    stay = [name_of(row) for rows, new in zip(merged, (cases, kernels), strict=True) for row in rows if row not in new]
    drawn = shows_all_axes(groups)
    if IMAGE in old and not drawn:
        stay.append("scaling.png")
    if stay and measured_on not in old:
        raise ValueError(
            f"{len(stay)} results of bench/RESULTS.md, such as {stay[0]!r}, were not measured and come from another "
            "machine or other versions: measure everything, or start anew with --replace"
        )
    lines = markdown(CASES_HEADER, merged[0]) + markdown(KERNELS_HEADER, merged[1])
    if IMAGE in old or drawn:
        lines += [IMAGE, ""]
    short = [*markdown(SELECTED_HEADER, select(merged[0])), measured_on]
    return "\n".join(short), PAGE + "\n".join([*lines, measured_on]) + "\n"


def shows_all_axes(groups: dict[str, Group]) -> bool:
    """Whether all that the figure of shapes shows was measured."""
    return {SHAPES + axis for axis in AXES} <= set(groups)


def split_readme(readme: Path) -> tuple[str, str]:
    """Return a text before and after the marks, with the marks.

    Raises
    ------
    ValueError
        If the file lacks them.
    """
    before, begin, rest = readme.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{readme} must have the lines {BEGIN} and {END}")
    return before + begin, end + after


def draw_epoch(axes: Axes, name: str, group: Group) -> None:
    """Bars of everybody's best epoch, and the dense floor as a line."""
    rows = sorted(group, key=lambda row: row["min"], reverse=True)
    labels = [f"fastmlp, {row['name']}" if row["ours"] else row["name"] for row in rows]
    bars = axes.barh(labels, [row["min"] for row in rows], color=["C1" if row["ours"] else "0.65" for row in rows])
    axes.bar_label(bars, [amount(row["min"]) for row in rows], padding=4, bbox={"color": "white", "pad": 1})
    floor = statistics.median(row["floor"] for row in rows)
    label = "dense floor: the epoch's FLOPs at\nthe rate of a large matrix product"
    axes.axvline(floor, color="black", linestyle="--", linewidth=1, label=label)
    axes.legend(loc="upper right", fontsize=8, frameon=False)
    axes.set(xlabel="seconds an epoch", title=name.removeprefix(EPOCH))
    axes.margins(x=0.12)
    axes.spines[["top", "right"]].set_visible(False)


def draw_scaling(groups: dict[str, Group], columns: int = 3) -> Figure:
    """Over each of what changes a panel: the time of a row, and beside it that of its dense arithmetic."""
    drawing = Figure(figsize=(4.6 * columns, 3.2 * len(AXES) / columns), layout="constrained")
    drawing.suptitle(NETWORK)
    for axes, (axis, words) in zip(drawing.subplots(len(AXES) // columns, columns).flat, AXES.items(), strict=True):
        rows = sorted(groups[SHAPES + axis], key=lambda row: row["value"])
        values = [row["value"] for row in rows]
        for key, label, style in (("min", "fastmlp", "o-C1"), ("floor", "dense floor", "--k")):
            axes.plot(values, [1e6 * row[key] / row["rows"] for row in rows], style, label=label)
        axes.set(title=axis, xlabel=words, ylabel="µs a row", xscale="log", yscale="log")
        axes.set_xticks(values, [row["name"] for row in rows])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(LogFormatter())  # 20, not 2 × 10¹
        axes.yaxis.set_minor_formatter(LogFormatter())
        axes.grid(alpha=0.3)
    drawing.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    return drawing


def draw(groups: dict[str, Group], folder: Path) -> list[Path]:
    """Write results.png and scaling.png where all that they show was measured, and return their paths."""
    figures = {}
    headline = next((name for name in groups if name.startswith(HEADLINE)), None)
    if headline is not None:
        figures["results.png"] = Figure(figsize=(8, 0.38 * len(groups[headline]) + 1.2), layout="constrained")
        draw_epoch(figures["results.png"].subplots(), headline, groups[headline])
    if shows_all_axes(groups):
        figures["scaling.png"] = draw_scaling(groups)
    for file, drawing in figures.items():
        drawing.savefig(folder / file, dpi=130)
    return [folder / file for file in figures]


def measure(minutes: float, rounds: int, chosen: str, folder: Path) -> list[Path]:
    """Return the reports of as many passes over the benchmarks as fit in the time, at least one.

    Raises
    ------
    ChildProcessError
        If a benchmark fails.
    """
    begun, reports, took = time.monotonic(), [], 0.0
    while not reports or time.monotonic() - begun + took <= 60 * minutes:
        report, started = folder / f"pass{len(reports)}.json", time.monotonic()
        command = [sys.executable, "-m", "pytest", str(ROOT / "bench"), "-q", "-n", "0", "--benchmark-enable"]
        command += [f"--rounds={rounds}", f"--benchmark-json={report}", "-k", chosen]
        print(f"pass {len(reports) + 1} ...", flush=True)
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        if done.returncode:
            raise ChildProcessError(f"a benchmark failed:\n{done.stdout}")
        took = time.monotonic() - started
        reports.append(report)
        print(f"took {took / 60:.1f} minutes", flush=True)
    return reports


def main(argv: list[str] | None = None) -> None:
    """Measure or read reports, and write tables and figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reports", type=Path, nargs="*", metavar="JSON")
    parser.add_argument("--minutes", type=float, help="measure anew, in as many passes as end in this time")
    parser.add_argument("--rounds", type=int, default=3, help="turns of everybody in each case of a pass")
    parser.add_argument("--only", default="", metavar="WORDS", help="what to measure, as pytest's -k has it")
    parser.add_argument("--readme", type=Path, default=ROOT / "README.md")
    parser.add_argument("--figures", type=Path, default=ROOT / "bench", metavar="FOLDER", help="also of RESULTS.md")
    parser.add_argument("--replace", action="store_true", help="keep nothing of the tables that are there")
    arguments = parser.parse_args(argv)
    if (arguments.minutes is None) == (not arguments.reports):
        parser.error("name reports, or --minutes to measure, not both")
    before, after = split_readme(arguments.readme)
    with tempfile.TemporaryDirectory() as folder:
        reports = arguments.reports
        if arguments.minutes is not None:
            reports = measure(arguments.minutes, arguments.rounds, arguments.only, Path(folder))
        groups, machine = read(reports)
    page = arguments.figures / "RESULTS.md"
    old = page.read_text(encoding="utf-8") if page.exists() and not arguments.replace else ""
    short, whole = tables(groups, machine, old)
    arguments.readme.write_text(f"{before}\n{short}\n\n[All results](bench/RESULTS.md)\n{after}", encoding="utf-8")
    page.write_text(whole, encoding="utf-8")
    print("wrote", arguments.readme, page, *draw(groups, arguments.figures))
    if not shows_all_axes(groups) and any(name.startswith(SHAPES) for name in groups):
        print(f"scaling.png stays as it is: it takes all of {', '.join(AXES)}")


if __name__ == "__main__":
    main()
