"""Write the README's table and figure from what ``bench/engine_targets.py --json`` measured.

python scripts/readme_results.py bench/results.json
"""

import argparse
import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
README, FIGURE = ROOT / "README.md", ROOT / "bench" / "results.png"
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"


def amount(seconds: float) -> str:
    """Seconds in the unit that suits them."""
    for factor, unit in ((1, "s"), (1e3, "ms"), (1e6, "µs")):
        if seconds * factor >= 1 or unit == "µs":
            return f"{seconds * factor:.3g} {unit}"
    raise AssertionError


def value(row: dict[str, Any], number: float) -> str:
    return amount(number) if row["unit"] == "s" else f"{number:.3g} {row['unit']}"


def table(report: dict[str, Any]) -> str:
    """The rows as Markdown, and where and how they were measured."""
    lines = ["| case | best | median | dense floors | others' best ÷ ours |", "|---|---|---|---|---|"]
    for row in report["rows"]:
        floors = row["figures"].get("floors")
        others = ", ".join(f"{name} {ratio:.3g}" for name, ratio in row["ratios"].items())
        median = sorted(row["samples"])[len(row["samples"]) // 2]
        cells = (row["case"], value(row, row["min"]), value(row, median), f"{floors:.2f}" if floors else "", others)
        lines.append("| " + " | ".join(cells) + " |")
    machine = ", ".join(f"{key} {text}" for key, text in report["machine"].items())
    return "\n".join([*lines, "", f"Measured on: {machine}."])


def draw(report: dict[str, Any]) -> None:
    """The first row's epoch against every peer's, and the dense floor as a line."""
    from matplotlib.figure import Figure

    row = report["rows"][0]
    ours = row["min"]
    bars = {"fastmlp": ours} | {name: ours * ratio for name, ratio in row["ratios"].items()}
    bars = dict(sorted(bars.items(), key=lambda bar: bar[1], reverse=True))
    figure = Figure(figsize=(8, 0.5 * len(bars) + 1.2), layout="constrained")
    axes = figure.subplots()
    colors = ["C1" if name == "fastmlp" else "0.65" for name in bars]
    drawn = axes.barh(list(bars), list(bars.values()), color=colors)
    axes.bar_label(drawn, [amount(seconds) for seconds in bars.values()], padding=4, bbox={"color": "white", "pad": 1})
    floor = ours / row["figures"]["floors"]
    axes.axvline(floor, color="black", linestyle="--", linewidth=1)
    axes.annotate(
        "dense floor: its FLOPs at\nthe rate of a large matrix product", (floor, 0.98), (6, 0),
        xycoords=("data", "axes fraction"), textcoords="offset points", va="top", fontsize=8,
    )  # fmt: skip
    axes.set(xlabel="seconds an epoch", title=row["case"])
    axes.margins(x=0.12)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(FIGURE, dpi=130)


def main() -> None:
    """Read the report, write the table between the README's marks, draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=Path)
    report = json.loads(parser.parse_args().report.read_text(encoding="utf-8"))
    text = README.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    README.write_text(f"{before}{BEGIN}\n{table(report)}\n{END}{after}", encoding="utf-8")
    draw(report)


if __name__ == "__main__":
    main()
