"""Write the README's tables and the figures from what pytest-benchmark measured.

    pytest bench --benchmark-enable --benchmark-json=epochs.json
    python scripts/bench_report.py epochs.json [MORE.json ...]

The tables go between the README's marks, the figures to bench/. Several files are taken as one; of what they measured
more than once the best counts: passes some minutes apart give every competitor a moment when the machine was quiet.
"""

import argparse
import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"
EPOCH, SHAPES, KERNELS, ROOFLINE = "epoch: ", "shapes: ", "kernels: ", "roofline"
SCALES = {"depth": "linear", "threads": "linear"}

Group = list[dict[str, Any]]


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
            if "ours" not in row:  # what tracking costs is no race
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


def markdown(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    """A table, and an empty line; nothing without rows."""
    if not rows:
        return []
    return ["| " + " | ".join(cells) + " |" for cells in (header, ("---",) * len(header), *rows)] + [""]


def versus(group: Group, mine: dict[str, Any]) -> str:
    """Everybody else's best time over ours."""
    return ", ".join(f"{row['name']} {row['min'] / mine['min']:.3g}" for row in group if not row["ours"])


def rate(row: dict[str, Any]) -> str:
    return f"{row['work'] / row['min'] / 1e9:.3g} {row['unit']}"


def tables(groups: dict[str, Group], machine: dict[str, Any]) -> str:
    """What goes between the README's marks."""
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
                what += f", peak of memory {row['peak MB']:.0f} MB" if "peak MB" in row else ""
                cases.append((what.removeprefix(EPOCH), *times, floors, versus(group, row)))
    lines = markdown(("case", "best", "median", "dense floors", "others' best ÷ ours"), cases)
    lines += markdown(("kernel", "best", "median", "rate", "others' best ÷ ours"), kernels)
    if any(name.startswith(SHAPES) for name in groups):
        lines += ["![What an epoch costs over batch, width, depth, samples, density, threads](bench/scaling.png)", ""]
    facts = [f"{key} {value}" for key, value in machine.items() if value not in ({}, None)]
    return "\n".join([*lines, f"Measured on: {', '.join(facts)}. Every thread that pays is used where none is named."])


def write_readme(readme: Path, text: str) -> None:
    """Put a text between the marks.

    Raises
    ------
    ValueError
        If the file lacks them.
    """
    before, begin, rest = readme.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{readme} must have the lines {BEGIN} and {END}")
    readme.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


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


def draw_scaling(axes: Axes, name: str, group: Group) -> None:
    """Dense floors over what changes, and the time of a sample beside them."""
    what = name.removeprefix(SHAPES)
    rows = sorted(group, key=lambda row: row["value"])
    values = [row["value"] for row in rows]
    axes.plot(values, [row["floors"] for row in rows], "o-", color="C1")
    axes.axhline(1, color="black", linestyle="--", linewidth=1)
    other = axes.twinx()
    times = [1e6 * row["min"] / row["rows"] for row in rows]
    other.plot(values, times, "s:", color="C0")
    axes.set(xlabel=what, xscale=SCALES.get(what, "log"))
    axes.set_ylabel("● dense floors", color="C1")
    axes.set_ylim(0, 1.15 * max(1.0, *(row["floors"] for row in rows)))
    other.set_ylabel("■ µs a sample", color="C0")
    other.set_ylim(0, 1.15 * max(times))
    axes.set_xticks(values, [row["name"] for row in rows])
    axes.minorticks_off()


def draw(groups: dict[str, Group], folder: Path) -> list[Path]:
    """Write results.png and scaling.png where there is something to draw, and return their paths."""
    written = []

    def figure(file: str, prefix: str, panel: Callable[[Axes, str, Group], None], columns: int, size: float) -> None:
        chosen = {name: group for name, group in groups.items() if name.startswith(prefix)}
        if prefix == EPOCH:
            chosen = dict(list(chosen.items())[:1])
        if not chosen:
            return
        rows = -(-len(chosen) // columns)
        drawing = Figure(figsize=(8 if columns == 1 else 4.6 * columns, size * rows), layout="constrained")
        panels = drawing.subplots(rows, columns, squeeze=False).ravel()
        for axes, (name, group) in zip(panels, chosen.items(), strict=False):
            panel(axes, name, group)
        for axes in panels[len(chosen) :]:
            axes.remove()
        drawing.savefig(folder / file, dpi=130)
        written.append(folder / file)

    bars = max((len(group) for name, group in groups.items() if name.startswith(EPOCH)), default=0)
    figure("results.png", EPOCH, draw_epoch, 1, 0.38 * bars + 1.2)
    figure("scaling.png", SHAPES, draw_scaling, 3, 3.2)
    return written


def main(argv: list[str] | None = None) -> None:
    """Read the reports, write tables and figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reports", type=Path, nargs="+", metavar="JSON")
    parser.add_argument("--readme", type=Path, default=ROOT / "README.md")
    parser.add_argument("--figures", type=Path, default=ROOT / "bench", metavar="FOLDER")
    arguments = parser.parse_args(argv)
    groups, machine = read(arguments.reports)
    write_readme(arguments.readme, tables(groups, machine))
    print("wrote", arguments.readme, *draw(groups, arguments.figures))


if __name__ == "__main__":
    main()
