"""What an epoch costs over batch size, width, depth, samples, density of the features, and threads.

One of them changes at a time, around 784-256-128-10, batch 64, a fifth of the features not zero. More values with
--full. The sweep of `engine_targets.py` crosses width, density and batch size.
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
from race import Case, Entrant

from fastmlp.engine.processor import usable_cores

SWEEP_BATCHES = (16, 32, 64, 256, 1024)
SWEEP_WIDTHS = (32, 64, 128, 256, 512, 1024)
SWEEP_DENSITIES = (0.01, 0.1, 0.3, 0.5, 1.0)
SWEEP_ROWS, SWEEP_FLOPS = 16_384, 8e9


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


@functools.lru_cache(maxsize=1)
def _sweep_data(density: float) -> Data:
    return load_unit(SWEEP_ROWS, density)


def _load_sweep(n: int, density: float) -> Data:
    """The first rows of numbers that all cells share."""
    X, y = _sweep_data(density)
    return X[:n], y[:n]


def make_sweep(quick: bool) -> Case:
    """Epochs of 784-w-w/2-10 over share of non-zero features, width and batch size."""
    grid = [(v[0], v[-1]) if quick else v for v in (SWEEP_DENSITIES, SWEEP_WIDTHS, SWEEP_BATCHES)]
    workloads = {}
    for density, width, batch in itertools.product(*grid):
        setup = Setup((width, width // 2), batch, lr=0.03)  # with less, float32 rounds away what few pixels teach
        most = max(2 * batch, int(SWEEP_FLOPS / training_flops(setup.widths(784), 1)))
        n = min(SWEEP_ROWS, most) // batch * batch
        name = f"{width} wide, {density:.0%} non-zero, batch {batch}"
        workloads[name] = Workload(name, name, partial(_load_sweep, density=density), n, setup)

    def build(names: Collection[str]) -> dict[str, Entrant]:
        return {name: workloads[name].enter(workloads[name].entries[0]) for name in names}

    return Case("sweep", "sweep", tuple(workloads), build)


def test_shape(measure, case, name):
    measure(case, name)
