"""The figures that aren't an epoch of one training: costs over a grid, predictions, starts of a process, memory."""

import statistics
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import starts
from peers import PEERS, Setup, available
from predictions import prediction_calls
from race import epochs, run_race, seconds_of
from report import Row
from roofline import Sgemm, forward_flops, training_flops
from workloads import MNIST_ROWS, Data, Entry, Target, Workload, make_speckled

import fastmlp

FIRST_BATCH = starts.FIRST_EPOCH.format(n=64)
BATCHES = (16, 32, 64, 256, 1024)
WIDTHS = (32, 64, 128, 256, 512, 1024)
DENSITIES = (0.01, 0.1, 0.3, 0.5, 1.0)
CELL_ROWS = 16_384
CELL_FLOPS = 8e9


def sweep(rounds: int, quick: bool, peers: bool, sgemm: Sgemm) -> list[Row]:
    """Time epochs of 784-w-w/2-10 over batch size, width and share of non-zero features; report the worst cells."""
    batches, widths, densities = ((b[0], b[-1]) if quick else b for b in (BATCHES, WIDTHS, DENSITIES))
    cells, runners = {}, {}
    for density in densities:
        data = make_speckled(CELL_ROWS, 784, density), np.random.default_rng(1).integers(0, 10, CELL_ROWS)

        def load(n: int, data: Data = data) -> Data:
            return data[0][:n], data[1][:n]  # all cells share the numbers

        for width in widths:
            for batch in batches:
                setup, entry = Setup((width, width // 2), batch, lr=0.01), Entry("fastmlp")
                layers = setup.widths(784)
                steps = min(CELL_ROWS, max(2 * batch, int(CELL_FLOPS / training_flops(layers, 1)))) // batch
                n = steps * batch
                name = f"{width} wide, {density:.0%} non-zero, batch {batch}"
                workload = Workload(name, name, load, n, n, setup, (entry,))
                workload.check(entry)
                cells[name] = (width, density, batch, steps, training_flops(layers, n))
                runners[name] = partial(epochs, workload.build(entry, n), 2)
    race = run_race(runners, rounds, sgemm)

    floors, beyond = {}, {}
    for name, (_, _, _, steps, flops) in cells.items():
        floors[name] = race.floors(name, flops)
        beyond[name] = (race.best(name) - race.floor(flops)) / steps * 1e6
    costly = max(floors, key=floors.__getitem__)
    late = max(beyond, key=beyond.__getitem__)
    return [
        Row(
            f"sweep, most floors: {costly}",
            race.all(costly),
            figures={"floors": floors[costly], **{f"floors, {name}": value for name, value in floors.items()}},
        ),
        Row(
            f"sweep, most beyond a floor: {late}",
            race.all(late),
            figures={"floors": floors[late], "µs a step beyond 1 floor": beyond[late]}
            | {f"µs a step beyond 1 floor, {name}": value for name, value in beyond.items()},
            targets=(Target("µs a step beyond 1 floor", "≤", 5),),
            note=_format_grid(cells, floors, beyond),
        ),
    ]


def _format_grid(cells: dict[str, tuple[Any, ...]], floors: dict[str, float], beyond: dict[str, float]) -> str:
    """Dense floors of each cell, and the µs a step beyond one floor where there are any."""
    lines: dict[tuple[int, float], list[str]] = {}
    batches = []
    for name, (width, density, batch, _, _) in cells.items():
        text = f"{floors[name]:.2f}" + (f" (+{beyond[name]:.1f} µs)" if beyond[name] > 0 else "")
        lines.setdefault((width, density), []).append(text)
        if batch not in batches:
            batches.append(batch)
    rows = [["width", "non-zero", *(f"batch {batch}" for batch in batches)]]
    rows += [[str(width), f"{density:.0%}", *texts] for (width, density), texts in sorted(lines.items())]
    return "all cells in floors\n" + "\n".join("".join(text.ljust(18) for text in row).rstrip() for row in rows)


def predict(rounds: int, quick: bool, peers: bool, sgemm: Sgemm) -> list[Row]:
    """Time `predict` of 10,000 rows and of one, and the compiled call alone for one row."""
    calls = prediction_calls(10_000)
    if not peers:
        calls = {name: call for name, call in calls.items() if name[1] == "fastmlp"}
    repeats = {"10,000 rows": 5, "one row": 1000, "one row, inside": 1000}

    def timed(repeats: int, call: Callable[[], object]) -> Callable[[], list[float]]:
        return lambda: [seconds_of(call) for _ in range(repeats)]

    race = run_race({name: timed(repeats[name[0]], call) for name, call in calls.items()}, rounds, sgemm)
    flops = forward_flops(Setup().widths(784), 10_000)
    rows = []
    for name, targets in (
        ("10,000 rows", (Target("floors", "≤", 0.5),)),
        ("one row", (Target("µs", "≤", 20),)),
        ("one row, inside", (Target("µs", "≤", 5),)),
    ):
        mine = (name, "fastmlp")
        figures = {"µs": race.best(mine) * 1e6}
        if name == "10,000 rows":
            figures["floors"] = race.floors(mine, flops)
        others = {who: race.best((what, who)) / race.best(mine) for what, who in calls if what == name}
        del others["fastmlp"]
        rows.append(Row(f"predict, {name}", race.all(mine), ratios=others, figures=figures, targets=targets))
    return rows


def startup(rounds: int, quick: bool, peers: bool, sgemm: Sgemm) -> list[Row]:
    """Time whole processes: they start, train one batch of 64 rows of MNIST, and end."""
    with tempfile.TemporaryDirectory() as kept:

        def cold() -> list[float]:
            with tempfile.TemporaryDirectory() as empty:
                return [seconds_of(lambda: starts.run(FIRST_BATCH, empty))]

        def timed(code: str) -> Callable[[], list[float]]:
            return lambda: [seconds_of(lambda: starts.run(code, kept)) for _ in range(3)]

        competitors = {
            "cold compile": cold,
            "cached": timed(FIRST_BATCH),
            "import fastmlp": timed("import fastmlp"),
            "Python alone": timed("pass"),
        }
        others = [name for name, kind in PEERS.items() if peers and available(kind)]
        competitors |= {name: timed(starts.PEER_FIRST_EPOCH.format(name=name, n=64)) for name in others}
        race = run_race(competitors, rounds)
    rows = []
    for name, what, targets in (
        ("cold compile", "first batch, cold compile", (Target("min", "≤", 3),)),
        ("cached", "first batch, cached", (Target("min", "≤", 0.8),)),
        ("import fastmlp", "import fastmlp", ()),
        ("Python alone", "Python alone", ()),
    ):
        ratios = race.ratios(name, others) if "batch" in what else {}
        rows.append(Row(f"process: {what}", race.all(name), ratios=ratios, targets=targets))
    return rows


def memory(rounds: int, quick: bool, peers: bool, sgemm: Sgemm) -> list[Row]:
    """Measure by how much the peak of resident memory exceeds what data and imports take, in fresh processes.

    Linux tells the peak twice: `resource.getrusage` starts from what the parent had, so it is read from /proc, where
    it is the process's own. The data are loaded straight into their arrays, so that they leave no earlier peak. The
    compiled stages are in a cache.
    """
    n = 5_000 if quick else MNIST_ROWS
    with tempfile.TemporaryDirectory() as folder:
        paths = [str(Path(folder) / name) for name in ("X.npy", "y.npy")]
        for path, array in zip(paths, fastmlp.datasets.load_mnist(n), strict=True):
            np.save(path, array)
        starts.run(starts.GROWTH, folder, *paths)
        megabytes = [int(starts.run(starts.GROWTH, folder, *paths)) / 1e6 for _ in range(rounds)]
    worst = max(megabytes)
    return [
        Row(
            f"memory above the matrix, MNIST {n:,} uint8, 2 threads",
            megabytes,
            "MB",
            figures={"MB": worst},
            targets=(Target("MB", "≤", 30),),
            note=f"the target is held against the largest of {rounds} processes, {worst:.3g} MB "
            f"(median {statistics.median(megabytes):.3g})",
        )
    ]


FIGURES = {"sweep": sweep, "predict": predict, "startup": startup, "memory": memory}
