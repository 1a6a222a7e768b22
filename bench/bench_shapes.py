"""What an epoch costs over batch size, width, depth, samples, density of the features, and threads.

One of them changes at a time, around 784-256-128-10, batch 64, a fifth of the features not zero. More values with
--full.
"""

from typing import NamedTuple

import numpy as np
from peers import Setup
from roofline import training_flops
from workloads import Entry, Workload, make_speckled

from fastmlp.engine.processor import usable_cores


class Cell(NamedTuple):
    """One epoch; `axis` is what differs from the others of its group, at `value`."""

    axis: str
    value: float
    batch: int = 64
    hidden: tuple[int, ...] = (256, 128)
    rows: int = 10_000
    density: float = 0.2
    threads: int | None = None

    def __str__(self) -> str:
        return f"{self.axis} {self.value:g}"


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


def workload_of(cell: Cell) -> tuple[Workload, Entry]:
    """The training of a cell."""

    def load(n: int) -> tuple[np.ndarray, np.ndarray]:
        return make_speckled(n, 784, cell.density), np.random.default_rng(1).integers(0, 10, n)

    entry = Entry("fastmlp", options={"num_threads": cell.threads})
    setup = Setup(cell.hidden, cell.batch, lr=0.01)
    return Workload(cell.axis, str(cell), load, cell.rows, 2 * cell.batch, setup, (entry,)), entry


def pytest_generate_tests(metafunc):
    grid = MANY if metafunc.config.getoption("--full") else FEW
    cells = [make_cell(axis, value) for axis, values in grid.items() for value in values]
    metafunc.parametrize("cell", cells, ids=str)


def test_shape(measure, quick, cell):
    workload, entry = workload_of(cell)
    workload.check(entry)
    n = min(workload.quick_rows, cell.rows) if quick else cell.rows
    competitor = workload.build(entry, n)
    measure(
        competitor.train, group=f"shapes: {cell.axis}", name=f"{cell.value:g}", ours=True, value=cell.value, rows=n,
        setup=lambda: (competitor.order(),), flops=training_flops(workload.setup.widths(784), n), path=competitor.path,
    )  # fmt: skip
