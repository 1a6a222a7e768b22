"""The benchmarks' own arithmetic and checks, and what pytest-benchmark makes of them."""

import functools
import itertools
import json
import os
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import bench_epoch
import bench_predict
import bench_result
import bench_roofline
import bench_shapes
import bench_startup
import bench_tracking
import engine_targets
import estimators
import kernels
import numpy as np
import peers
import pytest
import race
from bench_epoch import WORKLOADS, Entry, standardise
from cores import measure_crossing
from race import Case, Entrant, Race, Target

import fastmlp
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
        "-k", "ReLU-0-256-fastmlp", "--benchmark-enable", "--rounds=1", *options,
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
    assert bench_roofline.forward_flops((784, 256, 128, 10), 2) == 2 * 2 * (200_704 + 32_768 + 1_280)
    assert bench_roofline.training_flops((3, 2), 1) == 24  # forward and weights; the first layer has no deltas to make
    assert bench_roofline.training_flops((4, 3, 2), 5) == 180 + 180 + 60


@pytest.mark.parametrize("name", ["product", "gradient", "sparse product", "sparse gradient"])
def test_a_kernels_operations_are_those_of_what_is_not_zero(name):
    share = 0.2 if "sparse" in name else 0.5
    assert kernels.build(name, (128, 128)).work == pytest.approx(share * 2 * 64 * 128 * 128, rel=0.1)


def test_the_rate_is_that_of_the_fastest_product(monkeypatch):
    monkeypatch.setattr(bench_roofline, "PRODUCTS", ((2, 2, 2), (2, 4, 2)))
    seconds = itertools.cycle([1.0, 2.0, 0.5, 4.0])  # 16 operations twice, then 32 twice
    clock = itertools.accumulate(step for wait in seconds for step in (0.0, wait))
    monkeypatch.setattr(bench_roofline.time, "perf_counter", lambda: next(clock))
    sgemm = bench_roofline.Sgemm()
    assert sgemm.rate() == 64.0


def test_floors_are_at_the_fastest_rate_of_all_rounds():
    race = Race({"a": [3.0, 2.0, 5.0]}, [50.0, 100.0, 20.0])
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

    def arrange(self, order):
        if self.fault == "twice":
            order = np.where(order == 1, 0, order)
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
        "bench_epoch.Workload.build",
        lambda self, entry, n: Modified(*self.data(entry, n), self.setup, start, **options),
    )
    with pytest.raises(AssertionError, match="ours "):
        workload.check(entry)


def test_a_peer_with_a_wrong_rate_is_seen():
    workload = WORKLOADS[0]
    entry = Entry("scikit-learn", peers.ScikitLearn, lambda X: np.divide(X, 255, dtype=np.float32))
    workload.check(entry)

    class Wrong(peers.ScikitLearn):
        def __init__(self, X, y, setup, start, threads):
            super().__init__(X, y, setup._replace(lr=1.1 * setup.lr), start, threads)

    with pytest.raises(AssertionError, match=r"scikit-learn is 0\.1"):
        workload.check(replace(entry, competitor=Wrong))


@pytest.mark.parametrize("result", [1.001, np.nan])
def test_a_wrong_kernel_is_not_timed(monkeypatch, result):
    def make(rng, m, p):
        return kernels.Kernel(lambda: None, lambda: np.ones(p), lambda: np.full(p, result), 1.0)

    monkeypatch.setitem(kernels.KERNELS, "wrong", (make, (1, 3)))
    case = kernels.make_case("wrong", (1, 3))
    for who in case.names:
        with pytest.raises(AssertionError):
            race.run_race(case.build([who]), 1)


@pytest.fixture
def pauses(monkeypatch):
    """The seconds that a race waited, which take no time here."""
    waited = []
    monkeypatch.setattr(race.time, "sleep", waited.append)
    return waited


class Rates:
    """A machine of 100 operations a second."""

    def rate(self):
        return 100.0


def test_a_race_is_by_turns_after_everybody_was_checked(pauses):
    seen = []

    def enter(name, **options):
        pauses.clear()
        return Entrant(lambda: seen.append((name, len(pauses))), lambda: seen.append(f"check {name}"), **options)

    entrants = {"a": enter("a", repeats=2), "b": enter("b", blas=True), "c": enter("c"), "d": enter("d")}
    result = race.run_race(entrants, 2, Rates())
    names = [name if isinstance(name, str) else name[0] for name in seen]
    assert names == ["check a", "check b", "check c", "check d", *"abcd", *"aabcd", *"aabcd"]
    # Everybody waits who comes after BLAS: the matrix products of a round, or b.
    assert [waited for _, waited in seen[8:]] == [1, 1, 1, 2, 2, 3, 3, 3, 4, 4]
    assert pauses == [race.PAUSE] * 4 == [0.1] * 4
    assert [len(samples) for samples in result.samples.values()] == [4, 2, 2, 2]
    assert result.rates == [100.0, 100.0]


def test_a_race_of_somebody_wrong_times_nothing():
    def fail():
        raise AssertionError("b is wrong")

    seen = []
    with pytest.raises(AssertionError, match="b is wrong"):
        race.run_race({"a": Entrant(lambda: seen.append("a"), lambda: None), "b": Entrant(lambda: None, fail)}, 1)
    assert seen == []


def test_samples_are_seconds_of_a_call_or_what_it_returns(monkeypatch, pauses):
    clock, drawn = [0.0], []

    def run(order=0):
        clock[0] += 0.0002 * (1 + order)
        return 7

    def draw():
        clock[0] += 1  # outside the clock
        drawn.append(len(drawn))
        return (drawn[-1],)

    monkeypatch.setattr(race.time, "perf_counter", lambda: clock[0])
    entrants = {
        "drawn": Entrant(run, lambda: None, draw),
        "short": Entrant(run, lambda: None, short=True),
        "memory": Entrant(run, lambda: None, unit="MB"),
    }
    samples = race.run_race(entrants, 2).samples
    assert samples["drawn"] == pytest.approx([0.0004, 0.0006])
    assert samples["short"] == pytest.approx([0.0002, 0.0002])
    assert samples["memory"] == [7.0, 7.0]
    before = clock[0]
    race.run_race({"short": entrants["short"]}, 2)
    assert clock[0] - before == pytest.approx(0.0002 * (4 + 2 * 5), rel=0.2)  # a warm-up of four, then two of a ms


def test_floors_are_reported_of_who_has_operations():
    known = Entrant(None, None, flops=50.0, facts={"path": "here"})
    result = Race({"a": [2.0]}, [100.0])
    assert result.figures("a", known) == {"path": "here", "floors": 4.0, "floor": 0.5}
    assert result.figures("a", replace(known, flops=None)) == {"path": "here"}


EVERY = [
    *bench_epoch.make_cases(True, False), *bench_shapes.make_cases(True, False), *bench_shapes.make_sweep(True),
    *bench_tracking.make_cases(True, False),
]  # fmt: skip
TINY = next(workload for workload in WORKLOADS if workload.name == "tiny")


@pytest.mark.parametrize("case", EVERY, ids=lambda case: case.key)
def test_checks_of_trainings_hold_everybody_to_the_reference(monkeypatch, case):
    checked = []
    monkeypatch.setattr("bench_epoch.Workload.check", lambda workload, entry: checked.append(entry.name))
    model = SimpleNamespace(params=np.ones(1))
    monkeypatch.setattr("bench_tracking.train", lambda *_: checked.append("train") or model)
    for entrant in case.build([case.names[0]]).values():
        assert checked == []
        entrant.check()
        assert checked in ([case.names[0]], ["fastmlp"], ["train", "train"])


def test_tracking_that_changes_the_training_is_seen(monkeypatch):
    monkeypatch.setattr(bench_tracking, "ROWS", 128)
    entrants = bench_tracking.make_cases(True, False)[0].build(["True"])
    entrants["True"].check()
    train = bench_tracking.train
    monkeypatch.setattr(bench_tracking, "train", lambda X, y, tracking: train(X[64 * bool(tracking) :], y, False))
    with pytest.raises(ValueError, match=r"rows|samples|length"):
        entrants["True"].check()


def test_engine_targets_reports_ours_against_the_others(monkeypatch, pauses):
    def enter(names):
        seconds = {"uint8": 2.0, "fastmlp": 1.0, "reference": 8.0, "JAX": 6.0, "scikit-learn": 4.0}
        return {
            name: Entrant(lambda name=name: seconds[name], lambda: None, ours=name in ("uint8", "fastmlp"), flops=50.0,
                          unit="ms", facts={"threads": 1}) for name in names
        }  # fmt: skip

    targets = {"uint8": (Target("threads", "≤", 1), Target("scikit-learn", "≥", 3), Target("÷ fastmlp", "≤", 2))}
    case = Case("a", "a case", ("uint8", "fastmlp", "reference", "JAX", "scikit-learn"), enter, targets)
    first, second = engine_targets.measure(case, 1, False, Rates())
    assert (first.case, second.case) == ("a case: uint8", "a case")
    assert first.ratios == {"reference": 4.0, "scikit-learn": 2.0}  # which a target needs, and JAX is left out
    assert first.figures == {"threads": 1, "÷ fastmlp": 2.0, "floors": 4.0, "floor": 0.5}
    assert first.cells()[-1] == "threads ≤ 1 ✓, scikit-learn ≥ 3 ✗, ÷ fastmlp ≤ 2 ✓"
    assert engine_targets.measure(case, 1, True, Rates())[0].ratios["JAX"] == 3.0


def test_targets_are_about_what_is_measured():
    for cases in engine_targets.make_cases(True).values():
        for case in cases:
            assert set(case.targets) <= set(case.names)
            known = {"s", "floors", "threads", *case.names, *(f"÷ {name}" for name in case.names)}
            assert {target.what for targets in case.targets.values() for target in targets} <= known
    assert Target("s", "≤", 20).met({}) is None


def test_threads_are_those_of_the_trainer():
    X, y = WORKLOADS[0].load(640)
    for threads in (1, 2):
        setup = WORKLOADS[0].setup
        trainer = peers.Fastmlp(X, y, setup, setup.start(784), num_threads=threads)
        assert trainer.threads == threads


def test_a_process_that_grows_too_much_is_seen():
    bench_startup.enter("pass", 0, 100).run()
    with pytest.raises(AssertionError):
        bench_startup.enter("pass", 0, 1).run()


def test_predictions_agree_before_they_are_timed(monkeypatch):
    cases = {case.key: case for case in bench_predict.make_cases(True, False)}
    assert list(cases) == ["many rows", "one row", "one row, inside"]
    for case in cases.values():
        race.run_race(case.build(case.names), 1)
    views = peers.layer_views
    monkeypatch.setattr(peers, "layer_views", lambda flat, widths: [(-W, b) for W, b in views(flat, widths)])
    monkeypatch.setattr(bench_predict, "_models", bench_predict._models.__wrapped__)
    with pytest.raises(AssertionError, match="scikit-learn"):
        race.run_race(cases["many rows"].build(["scikit-learn"]), 1)


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


@pytest.mark.parametrize("key", estimators.WORKS)
def test_estimators_are_raced(key):
    work = estimators.WORKS[key]
    parameters = work.parameters | {"max_iter": 2}
    work = replace(work, rows=min(work.rows, 40), others=min(work.others, 20), parameters=parameters)
    ((title, *amounts, median, smallest, wanted, scores),) = work.measure(1)
    assert title.startswith(work.title)
    assert f" {work.rows} × " in title
    assert all(re.fullmatch(r"[\d.e+]+ (s|ms|µs)", amount) for amount in amounts)
    assert 0 < float(smallest) <= float(median)
    assert wanted.startswith("≥ ")
    assert scores == "" if work.goes_on else len({*scores.split()}) == 1


def test_a_wrong_estimator_is_not_timed(monkeypatch):
    wrong = SimpleNamespace(MLPClassifier=functools.partial(fastmlp.MLPClassifier, beta_1=0.8))
    monkeypatch.setitem(estimators.LIBRARIES, "fastmlp", wrong)
    with pytest.raises(AssertionError, match=r"iris, defaults: fastmlp is [\d.e-]+ from scikit-learn"):
        estimators.WORKS["iris"].measure(1)


def test_a_grid_is_searched_in_processes(monkeypatch, capsys):
    ran = []

    def run_process(code, cache=None):
        ran.append(("jobs=1" if ", 1, 120" in code else "jobs=2", "scikit-learn" in code, cache is None))
        return "[0.25, 0.5]"

    monkeypatch.setattr(estimators, "run_process", run_process)
    full, empty = estimators.measure_grid(1, 120, 1)
    assert (full[0][-10:], empty[0][-11:], full[-1]) == ("full cache", "empty cache", "0.500 0.500")
    assert [cached for _, _, cached in ran] == [True, True, True, False, True, True, True]
    monkeypatch.setattr(estimators, "CANDIDATES", {"network__alpha": [1e-4, 1.0]})
    estimators.search("fastmlp", 1, 120, 1)
    assert len(json.loads(capsys.readouterr().out)) == 2
    monkeypatch.setattr(estimators, "run_process", lambda code, cache=None: "[0.5]" if ", 1, 120" in code else "[0.4]")
    with pytest.raises(AssertionError, match="a search on two jobs is not that on one"):
        estimators.measure_grid(1, 120, 1)


def test_everybody_takes_the_same_rows_in_the_same_order():
    workload = replace(TINY, rows=96)
    ours, theirs = (workload.enter(Entry(kind.__name__, kind)) for kind in (peers.Fastmlp, peers.ScikitLearn))
    X, y = workload.load(96)
    orders = []
    for _ in range(2):
        (order,), ((features, labels),) = ours.prepare(), theirs.prepare()
        np.testing.assert_array_equal(np.sort(order), np.arange(96))
        np.testing.assert_array_equal(features, X[order])
        np.testing.assert_array_equal(labels, y[order])
        orders.append(order.tolist())
    assert orders[0] != orders[1]


def test_the_number_of_threads_is_the_fastest_after_a_warm_up(monkeypatch):
    seconds = {1: iter([9.0, 2.0, 1.0]), 2: iter([0.1, 3.0, 1.5])}
    clock = [0.0]

    def run(threads):
        clock[0] += next(seconds[threads])

    monkeypatch.setattr(peers.time, "perf_counter", lambda: clock[0])
    assert peers.fewest_seconds([1, 2], run) == 1
    assert peers.fewest_seconds([2], run) == 2
    assert [next(left, None) for left in seconds.values()] == [None, None]
    assert peers.thread_counts(3) == [3]


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_peer_that_tried_threads_is_at_the_start(optimizer):
    setup = TINY.setup._replace(optimizer=optimizer)
    X, y = TINY.load(200)
    start = setup.start(X.shape[1])
    tried, given = (peers.ScikitLearn(X, y, setup, start, threads) for threads in (None, 1))
    assert tried.threads in peers.thread_counts(None)
    np.testing.assert_array_equal(tried.params(), start.astype(np.float32))
    for peer in (tried, given):
        peer.train(peer.arrange(np.arange(200)))
    np.testing.assert_allclose(tried.params(), given.params(), rtol=1e-5, atol=1e-6)
    assert np.abs(tried.params() - start).max() > 1e-4


def make_result(code, score=0.5):
    return bench_result.Wanted("a result", {bench_result.WARM: code, "scikit-learn": code}, 0, 0, score)


@pytest.mark.parametrize("code", ["score = 0.4", "score = float('nan')"])
def test_a_score_too_low_is_no_result(code):
    with pytest.raises(RuntimeError, match=r"scikit-learn: a result must score 0.5 at least, got (0.4000|nan)"):
        bench_result.reach(make_result(code), "scikit-learn", 0)


def test_a_result_is_timed_until_it_is_printed():
    code = "import sys, atexit, time; atexit.register(time.sleep, 0.3)\n"
    code += "score = 0.6 + 0.1 * int(sys.argv[4])\n"
    entrants = {name: bench_result.enter(make_result(code), name) for name in (bench_result.WARM, "scikit-learn")}
    assert [entrant.ours for entrant in entrants.values()] == [True, False]
    entrant = entrants["scikit-learn"]
    started = time.perf_counter()
    seconds = entrant.run()
    assert 0 < seconds < time.perf_counter() - started - 0.3
    assert entrant.facts == {"score": 0.6}
    entrant.run()
    assert entrant.facts == {"score": 0.6}


def test_a_cold_start_has_an_empty_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("FASTMLP_CACHE_DIR", str(tmp_path))
    code = "import os; folder = os.environ['FASTMLP_CACHE_DIR']\n"
    code += f"score = 0.6 if folder == {str(tmp_path)!r} else 0.7 + len(os.listdir(folder))\n"
    assert bench_result.reach(make_result(code), bench_result.WARM, 0)[1] == 0.6
    assert bench_result.reach(make_result(code), bench_result.COLD, 0)[1] == 0.7
