"""The benchmarks' own arithmetic and checks, and what pytest-benchmark makes of them."""

import functools
import itertools
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import bench_epoch
import bench_shapes
import engine_targets
import figures
import kernels
import numpy as np
import peers
import predictions
import pytest
import roofline
from cores import measure_crossing
from race import Race
from workloads import WORKLOADS, Entry, standardise

from fastmlp.engine.processor import usable_cores

ROOT = Path(__file__).parent.parent

PLUGIN = """
import os
import pytest_benchmark.plugin

moment = float(os.environ["MOMENT"])
os.getloadavg = lambda: (moment, moment, moment)
pytest_benchmark.plugin.get_cpu_info = lambda: {"brand_raw": "a chip", "hz_actual": moment, "hz_advertised": moment}
"""


def run_a_benchmark(folder, moment, *options):
    """Time one kernel on a machine whose load and clock depend on the moment; saved runs lie below the folder."""
    (folder / "moments.py").write_text(PLUGIN)
    command = [
        sys.executable, "-m", "pytest", "-q", "-p", "pytest_benchmark.plugin", "-p", "moments",
        "-p", "no:cacheprovider", f"--rootdir={ROOT}", "-c", str(ROOT / "pyproject.toml"),
        str(ROOT / "bench" / "bench_kernels.py"),
        "-k", "ReLU-0-256-fastmlp", "--benchmark-enable", *options,
    ]  # fmt: skip
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST_")}
    environment |= {"MOMENT": str(moment), "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}
    environment |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout
    return done.stdout + done.stderr


def test_a_later_run_is_compared_with_a_saved_one(tmp_path):
    run_a_benchmark(tmp_path, 0.25, "--benchmark-autosave")
    [saved] = tmp_path.glob(".benchmarks/*/*.json")
    compared = run_a_benchmark(tmp_path, 0.75, "--benchmark-compare")
    assert "test_kernel[ReLU-0-256-fastmlp] (NOW)" in compared
    assert f"test_kernel[ReLU-0-256-fastmlp] ({saved.stem[:4]}" in compared
    assert "machine_info is different" not in compared

    run = json.loads(saved.read_text())
    run["machine_info"]["fastmlp"]["numpy"] = "1.0"
    saved.write_text(json.dumps(run))
    compared = run_a_benchmark(tmp_path, 0.75, "--benchmark-compare")
    assert f"test_kernel[ReLU-0-256-fastmlp] ({saved.stem[:4]}" in compared
    assert "machine_info is different" in compared


def test_operations_are_two_to_a_multiply_add():
    assert roofline.forward_flops((784, 256, 128, 10), 2) == 2 * 2 * (200_704 + 32_768 + 1_280)
    assert roofline.training_flops((3, 2), 1) == 24  # forward and weights; the first layer has no deltas to make
    assert roofline.training_flops((4, 3, 2), 5) == 180 + 180 + 60


@pytest.mark.parametrize("name", ["product", "gradient", "sparse product", "sparse gradient"])
def test_a_kernels_operations_are_those_of_what_is_not_zero(name):
    share = 0.2 if "sparse" in name else 0.5
    assert kernels.build(name, (128, 128)).work == pytest.approx(share * 2 * 64 * 128 * 128, rel=0.1)


def test_the_rate_is_that_of_the_fastest_product(monkeypatch):
    monkeypatch.setattr(roofline, "PRODUCTS", ((2, 2, 2), (2, 4, 2)))
    seconds = itertools.cycle([1.0, 2.0, 0.5, 4.0])  # 16 operations twice, then 32 twice
    clock = itertools.accumulate(step for wait in seconds for step in (0.0, wait))
    monkeypatch.setattr(roofline.time, "perf_counter", lambda: next(clock))
    sgemm = roofline.Sgemm()
    assert sgemm.rate() == 64.0


def test_floors_are_at_the_fastest_rate_of_all_rounds():
    race = Race({"a": [[3.0, 2.0], [5.0]]}, [50.0, 100.0, 20.0])
    assert race.floor(400) == 4.0
    assert race.floors("a", 400) == 0.5


class Modified(peers.Fastmlp):
    """fastmlp with a fault."""

    def __init__(self, X, y, setup, start, fault="", **options):
        if fault == "labels":
            y = np.roll(y, 1)
        if fault == "lr":
            setup = setup._replace(lr=1.03 * setup.lr)
        if fault == "start":
            start = 1.01 * start
        super().__init__(X, y, setup, start, **options)
        self.fault = fault

    def order(self):
        order = super().order()
        if self.fault == "twice":
            order[order == 1] = 0
        return order[:-1] if self.fault == "rows" else order

    def params(self):
        return super().params() * (np.nan if self.fault == "nan" else 1)


OURS = Entry("ours", prepare=standardise)


@functools.cache
def check_without_a_fault(backend, dtype):
    WORKLOADS[0].check(replace(OURS, options={"backend": backend, "dtype": dtype}))


@pytest.mark.parametrize("backend", ["jit", "reference"])
@pytest.mark.parametrize("fault", ["labels", "lr", "start", "rows", "twice", "nan", "precision"])
def test_a_fault_of_all_our_entries_is_seen(monkeypatch, backend, fault):
    workload = WORKLOADS[0]
    dtype = "float64" if fault == "precision" else "float32"
    check_without_a_fault(backend, dtype)
    entry = replace(OURS, options={"backend": backend, "dtype": dtype})
    options = {"backend": backend, "dtype": "float32", "fault": fault}
    start = workload.setup.start(784)
    # Not in the entry, so that the bound is still that of our own.
    monkeypatch.setattr(
        "workloads.Workload.build",
        lambda self, entry, n: Modified(*self.data(entry, n), self.setup, start, **options),
    )
    with pytest.raises(AssertionError, match="ours "):
        workload.check(entry)


def test_a_peer_with_a_wrong_rate_is_seen():
    workload = WORKLOADS[0]
    entry = Entry("scikit-learn", peers.ScikitLearn, lambda X: np.divide(X, 255, dtype=np.float32))
    workload.check(entry)

    class Wrong(peers.ScikitLearn):
        def __init__(self, X, y, setup, start):
            super().__init__(X, y, setup._replace(lr=1.1 * setup.lr), start)

    with pytest.raises(AssertionError, match=r"scikit-learn is 0\.1"):
        workload.check(replace(entry, competitor=Wrong))


@pytest.mark.parametrize("result", [1.001, np.nan])
def test_a_wrong_kernel_is_not_built(monkeypatch, result):
    def make(rng, m, p):
        return kernels.Kernel(lambda: None, lambda: np.ones(p), lambda: np.full(p, result), 1.0)

    monkeypatch.setitem(kernels.KERNELS, "wrong", (make, (1, 3)))
    with pytest.raises(AssertionError):
        kernels.build("wrong", (1, 3))


@pytest.fixture
def checked(monkeypatch):
    """The entries that were checked: (workload, entry) names, in order."""
    names = []
    monkeypatch.setattr("workloads.Workload.check", lambda workload, entry: names.append((workload.name, entry.name)))
    return names


class TimedError(Exception):
    """Raised in place of timing."""


def time_nothing(*arguments, **options):
    raise TimedError(*arguments)


TINY = next(workload for workload in WORKLOADS if workload.name == "tiny")


def test_engine_targets_checks_before_it_times(monkeypatch, checked):
    monkeypatch.setattr(engine_targets, "run_race", time_nothing)
    with pytest.raises(TimedError) as caught:
        engine_targets.measure(TINY, 1, True, True, None)
    assert [name for _, name in checked] == list(caught.value.args[0])
    assert len(checked) >= 3


def test_the_sweep_checks_every_cell_before_it_times(monkeypatch, checked):
    monkeypatch.setattr(figures, "run_race", time_nothing)
    monkeypatch.setattr(figures, "BATCHES", (16, 64))
    monkeypatch.setattr(figures, "WIDTHS", (32, 64))
    monkeypatch.setattr(figures, "DENSITIES", (0.1, 1.0))
    monkeypatch.setattr(figures, "CELL_ROWS", 128)
    with pytest.raises(TimedError) as caught:
        figures.sweep(1, True, False, None)
    assert [name for name, _ in checked] == list(caught.value.args[0])
    assert len(checked) == 8


def test_epochs_and_shapes_are_checked_before_they_are_timed(checked):
    with pytest.raises(TimedError):
        bench_epoch.test_epoch(time_nothing, True, TINY, TINY.entries[0])
    with pytest.raises(TimedError):
        bench_shapes.test_shape(time_nothing, True, bench_shapes.make_cell("batch", 16))
    assert checked == [("tiny", "float32"), ("batch", "fastmlp")]


def test_predictions_agree_before_they_are_timed(monkeypatch):
    assert set(predictions.prediction_calls(64)) >= {("64 rows", "fastmlp"), ("one row", "scikit-learn")}
    views = peers.layer_views
    monkeypatch.setattr(peers, "layer_views", lambda flat, widths: [(-W, b) for W, b in views(flat, widths)])
    with pytest.raises(AssertionError, match="scikit-learn"):
        predictions.prediction_calls(64)


def test_names_do_not_depend_on_the_registers_width():
    code = (
        "import kernels; print([kernels.describe(n, s) for n, (_, *shapes) in kernels.KERNELS.items() for s in shapes])"
    )
    code += "; [kernels.build(n, kernels.KERNELS[n][1]) for n in kernels.KERNELS if 'narrow' in n]"
    paths = os.pathsep.join(str(ROOT / folder) for folder in ("", "bench", "tests"))
    names = []
    for lanes in ("4", "8", "16"):
        environment = os.environ | {"FASTMLP_LANES": lanes, "PYTHONPATH": paths}
        command = [sys.executable, "-c", code]
        names.append(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)
    assert "narrow product, 64 × 128 → 32" in names[0]
    assert names[0] == names[1] == names[2]


@pytest.mark.skipif(usable_cores() < 2, reason="takes two cores")
def test_what_crosses_between_two_cores_is_measured():
    crossing = measure_crossing(trips=100, rounds=5)
    assert all(0 < figure < 1e6 for figure in crossing)
    assert re.match(r"between two cores: round trip \d+ ns, 2,048 lines read in [\d.]+ us, written in", str(crossing))
