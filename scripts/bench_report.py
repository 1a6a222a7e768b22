"""Write the README's tables and the figures from what pytest-benchmark measured.

    pytest bench --benchmark-enable --benchmark-json=epochs.json
    python scripts/bench_report.py epochs.json [MORE.json ...]

The tables go between the README's marks, the figures to bench/. Several files are taken as one; of what they measured
more than once the best counts: passes some minutes apart give every competitor a moment when the machine was quiet.

What was measured takes the place of the same rows, and the other rows stay. So a group of competitors must be measured
whole, and on the machine and with the versions of the rows that stay; --replace starts from empty tables. A figure is
drawn only where all that it shows was measured.
"""

import argparse
import json
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

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
IMAGE = f"![What an epoch costs over {', '.join(AXES)}](bench/scaling.png)"
CASES_HEADER = ("case", "best", "median", "dense floors", "others' best ÷ ours")
KERNELS_HEADER = ("kernel", "best", "median", "rate", "others' best ÷ ours")
PEAK = ", peak of memory "
SCALES = {"depth": "linear", "threads": "linear"}

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
                f"the README's row {name!r} must be measured whole, but {', '.join(sorted(lacking))} is missing: "
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


def tables(groups: dict[str, Group], machine: dict[str, Any], old: str = "") -> str:
    """What goes between the README's marks, where `old` stood so far.

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
            f"{len(stay)} results of the README, such as {stay[0]!r}, were not measured and come from another machine "
            "or other versions: measure everything, or start anew with --replace"
        )
    lines = markdown(CASES_HEADER, merged[0]) + markdown(KERNELS_HEADER, merged[1])
    if IMAGE in old or drawn:
        lines += [IMAGE, ""]
    return "\n".join([*lines, measured_on])


def shows_all_axes(groups: dict[str, Group]) -> bool:
    """Whether all that the figure of shapes shows was measured."""
    return {SHAPES + axis for axis in AXES} <= set(groups)


def split_readme(readme: Path) -> tuple[str, str, str]:
    """Return a text before, between and after the marks.

    Raises
    ------
    ValueError
        If the file lacks them.
    """
    before, begin, rest = readme.read_text(encoding="utf-8").partition(BEGIN)
    between, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{readme} must have the lines {BEGIN} and {END}")
    return before, between.strip("\n"), after


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
    """Over each of what changes two panels, one above the other: dense floors, and the time of a sample."""
    drawing = Figure(figsize=(4.6 * columns, 2.7 * 2 * len(AXES) / columns), layout="constrained")
    drawing.suptitle(NETWORK)
    panels = drawing.subplots(2 * len(AXES) // columns, columns)
    for i, (axis, words) in enumerate(AXES.items()):
        rows = sorted(groups[SHAPES + axis], key=lambda row: row["value"])
        values = [row["value"] for row in rows]
        pair = panels[2 * (i // columns) : 2 * (i // columns) + 2, i % columns]
        floors = [row["floors"] for row in rows]
        times = [1e6 * row["min"] / row["rows"] for row in rows]
        for axes, numbers, what, style in ((pair[0], floors, "dense floors", "o-"), (pair[1], times, "µs a row", "s-")):
            axes.plot(values, numbers, style, color="C1")
            axes.set(ylabel=what, ylim=(0, 1.15 * max(numbers)), xscale=SCALES.get(axis, "log"))
            axes.set_xticks(values, [row["name"] for row in rows])
            axes.minorticks_off()
            axes.grid(alpha=0.3)
        pair[0].set_ylim(0, 1.15 * max(1.0, *floors))
        pair[0].axhline(1, color="black", linestyle="--", linewidth=1)
        pair[0].set_title(axis)
        pair[1].set_xlabel(words)
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


def main(argv: list[str] | None = None) -> None:
    """Read the reports, write tables and figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reports", type=Path, nargs="+", metavar="JSON")
    parser.add_argument("--readme", type=Path, default=ROOT / "README.md")
    parser.add_argument("--figures", type=Path, default=ROOT / "bench", metavar="FOLDER")
    parser.add_argument("--replace", action="store_true", help="keep nothing of the tables that are there")
    arguments = parser.parse_args(argv)
    groups, machine = read(arguments.reports)
    before, old, after = split_readme(arguments.readme)
    text = tables(groups, machine, "" if arguments.replace else old)
    arguments.readme.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")
    print("wrote", arguments.readme, *draw(groups, arguments.figures))
    if not shows_all_axes(groups) and any(name.startswith(SHAPES) for name in groups):
        print(f"scaling.png stays as it is: it takes all of {', '.join(AXES)}")


if __name__ == "__main__":
    main()
