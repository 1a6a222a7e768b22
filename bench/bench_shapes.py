"""What an epoch costs over batch size, width, depth, samples, density of the features, and threads.

One of them changes at a time, around 784-256-128-10, batch 64, a fifth of the features not zero. More values with
--full. The sweep of `engine_targets.py` crosses width and batch size, and lets densities run by turns.
"""

import functools
import itertools
from collections.abc import Collection
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from bench_epoch import Data, Entry, Workload, make_speckled, to_unit
from bench_roofline import training_flops
from peers import Setup
from race import Case, Entrant, Target

from fastmlp.engine.processor import usable_cores

SWEEP_BATCHES = (16, 32, 64, 256, 1024)
SWEEP_WIDTHS = (32, 64, 128, 256, 512, 1024)
SWEEP_DENSITIES = (0.01, 0.1, 0.3, 0.5, 1.0)
SWEEP_ROWS, SWEEP_FLOPS = 16_384, 8e9
MOST_OF_DENSE = 1.1
"""1, and what units that are active more often and a noisy machine add."""


class Cell(NamedTuple):
    """One epoch; `axis` is what differs from the others of its group, at `value`."""

    axis: str
    value: float
    batch: int = 64
    hidden: tuple[int, ...] = (256, 128)
    rows: int = 10_000
    density: float = 0.2
    threads: int | None = None


FEW = {
    "batch": (1, 16, 64, 256, 4096),
    "width": (32, 128, 512, 2048),
    "depth": (1, 2, 4, 8),
    "samples": (1_000, 10_000, 60_000),
    "density": (0.01, 0.1, 0.5, 1.0),
    "threads": tuple(sorted({1, usable_cores()})),
}
MANY = {
    "batch": tuple(4**i for i in range(7)),
    "width": tuple(2**i for i in range(5, 12)),
    "depth": tuple(range(1, 9)),
    "samples": (1_000, 2_000, 5_000, 10_000, 20_000, 60_000),
    "density": (0.01, 0.03, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0),
    "threads": tuple(range(1, usable_cores() + 1)),
}


def make_cell(axis: str, value: float) -> Cell:
    """The cell at which one axis has this value."""
    return {
        "batch": lambda: Cell(axis, value, batch=int(value)),
        "width": lambda: Cell(axis, value, hidden=(int(value), int(value) // 2), rows=4_096),
        "depth": lambda: Cell(axis, value, hidden=(128,) * int(value)),
        "samples": lambda: Cell(axis, value, rows=int(value)),
        "density": lambda: Cell(axis, value, density=value),
        "threads": lambda: Cell(axis, value, threads=int(value)),
    }[axis]()


def load_unit(n: int, density: float) -> Data:
    """Float32 features, this share of them not zero."""
    X, y = make_speckled(n, density)
    return to_unit(X), y


def workload_of(cell: Cell) -> Workload:
    """The training of a cell."""
    entry = Entry("fastmlp", options={"num_threads": cell.threads})
    load = partial(load_unit, density=cell.density)
    name = f"{cell.axis} {cell.value:g}"
    return Workload(name, name, load, cell.rows, Setup(cell.hidden, cell.batch, lr=0.01), (entry,), 1)


def make_cases(quick: bool, full: bool) -> list[Case]:
    """One case for each axis."""

    def make_case(axis: str, values: tuple[float, ...]) -> Case:
        cells = {f"{value:g}": make_cell(axis, value) for value in values}

        def enter(cell: Cell) -> Entrant:
            workload = workload_of(cell).quick() if quick else workload_of(cell)
            entrant = workload.enter(workload.entries[0])
            return replace(entrant, facts=entrant.facts | {"value": cell.value, "rows": workload.rows})

        def build(names: Collection[str]) -> dict[str, Entrant]:
            return {name: enter(cells[name]) for name in names}

        return Case(axis, f"shapes: {axis}", tuple(cells), build, test_id="{key} {name}")

    return [make_case(axis, values) for axis, values in (MANY if full else FEW).items()]


@functools.lru_cache(maxsize=len(SWEEP_DENSITIES))
def _sweep_data(density: float) -> Data:
    return load_unit(SWEEP_ROWS, density)


def _load_sweep(n: int, density: float) -> Data:
    """The first rows of numbers that all cells share."""
    X, y = _sweep_data(density)
    return X[:n], y[:n]


def make_sweep(quick: bool) -> list[Case]:
    """Epochs of 784-w-w/2-10: a case for each width and batch size, in which the share of non-zero features differs.

    What is not there costs nothing: no share takes longer than features of which none is 0.
    """
    densities, widths, batches = ((v[0], v[-1]) if quick else v for v in (SWEEP_DENSITIES, SWEEP_WIDTHS, SWEEP_BATCHES))
    return [make_sweep_case(*cell, densities) for cell in itertools.product(widths, batches)]


def make_sweep_case(width: int, batch: int, densities: tuple[float, ...]) -> Case:
    """One width and batch size."""
    setup = Setup((width, width // 2), batch, lr=0.03)  # with less, float32 rounds away what few pixels teach
    most = max(2 * batch, int(SWEEP_FLOPS / training_flops(setup.widths(784), 1)))
    n = min(SWEEP_ROWS, most) // batch * batch
    title = f"{width} wide, batch {batch}"
    workloads = {f"{d:.0%}": Workload(title, title, partial(_load_sweep, density=d), n, setup) for d in densities}

    def build(names: Collection[str]) -> dict[str, Entrant]:
        return {name: workloads[name].enter(workloads[name].entries[0]) for name in names}

    targets = {name: (Target("÷ 100%", "≤", MOST_OF_DENSE),) for name in workloads if name != "100%"}
    return Case(title, f"sweep: {title}", tuple(workloads), build, targets)


def test_shape(measure, case, name):
    measure(case, name)
