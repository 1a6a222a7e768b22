"""Rows of measurements, and how they are printed."""

import os
import platform
import statistics
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from race import Target

COLUMNS = ("case", "floors", "min", "median", "other's minimum ÷ ours", "target")
LIBRARIES = ("fastmlp", "numpy", "scipy", "numba", "llvmlite", "scikit-learn", "torch", "jax")


@dataclass
class Row:
    """What was measured for one line of the table."""

    case: str
    samples: list[float]
    """In the unit: each epoch, call or process on its own."""
    unit: str = "s"
    ratios: dict[str, float] = field(default_factory=dict)
    """Minima of others in units of this one's."""
    figures: dict[str, Any] = field(default_factory=dict)
    """What else is known: "floors", "threads", ..."""
    targets: tuple[Target, ...] = ()

    @property
    def known(self) -> dict[str, Any]:
        """Every figure to which targets may refer; the unit stands for the smallest sample."""
        return {self.unit: min(self.samples), **self.ratios, **self.figures}

    def cells(self) -> tuple[str, ...]:
        """One text a column."""
        marks = {True: "✓", False: "✗", None: "(not measured)"}
        floors = self.figures.get("floors")
        return (
            self.case,
            "" if floors is None else f"{floors:.3f}",
            format_amount(min(self.samples), self.unit),
            format_amount(statistics.median(self.samples), self.unit),
            " · ".join(f"{name} {ratio:.3g}" for name, ratio in self.ratios.items()),
            ", ".join(f"{target} {marks[target.met(self.known)]}" for target in self.targets),
        )


def format_amount(value: float, unit: str) -> str:
    """A number with a unit; seconds in the multiple that suits them."""
    if unit != "s":
        return f"{value:.3g} {unit}"
    for factor, name in ((1, "s"), (1e3, "ms")):
        if value * factor >= 1:
            return f"{value * factor:.3g} {name}"
    return f"{value * 1e6:.3g} µs"


def print_cells(table: list[tuple[str, ...]]) -> None:
    """Texts in columns, of which the first line is the names."""
    sizes = [max(map(len, column)) for column in zip(*table, strict=True)]
    for i, cells in enumerate(table):
        print(" | ".join(cell.ljust(size) for cell, size in zip(cells, sizes, strict=True)).rstrip())
        if i == 0:
            print("-|-".join("-" * size for size in sizes))


def print_table(rows: list[Row]) -> None:
    """All rows, in columns, then the paths that they took."""
    print_cells([COLUMNS, *(row.cells() for row in rows)])
    for row in rows:
        if "path" in row.figures:
            print(f"\n{row.case}: {row.figures['path']}")


def describe_machine() -> dict[str, Any]:
    """What the figures depend on besides the code: the same at any moment on one machine."""
    from threadpoolctl import threadpool_info

    from fastmlp.engine.processor import LANES, usable_cores

    pools = [info for info in threadpool_info() if info["user_api"] == "blas"]
    blas = next((info for info in pools if "numpy" in info["filepath"]), pools[0])  # SciPy may have another
    return {
        "processor": _processor_name(),
        "usable cores": usable_cores(),
        "float32 in a register": LANES,
        "BLAS": f"{blas['internal_api']} {blas['version']} {blas.get('architecture', '')}".strip(),
        "OPENBLAS settings": {k: v for k, v in os.environ.items() if k.startswith("OPENBLAS_")},
        "Python": platform.python_version(),
        **{name: found for name in LIBRARIES if (found := _version(name))},
    }


def _version(library: str) -> str | None:
    try:
        return version(library)
    except PackageNotFoundError:
        return None


def _processor_name() -> str:
    from llvmlite import binding

    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor()} ({binding.get_host_cpu_name()})"
