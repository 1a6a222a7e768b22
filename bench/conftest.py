"""What all benchmarks share. `pytest` runs each once on few rows; `pytest bench --benchmark-enable` times them."""

import pytest
from bench_roofline import Sgemm
from cores import measure_crossing
from race import run_race
from report import describe_machine

_readings = iter(())


def replay():
    """The clock of pytest-benchmark: it reads what a race has measured."""
    return next(_readings)


def pytest_addoption(parser):
    parser.addoption("--full", action="store_true", help="bench: the whole grid of shapes")
    parser.addoption("--rounds", type=int, default=7, help="bench: turns of everybody in each case")


def pytest_generate_tests(metafunc):
    """Let everybody in each of a module's cases be a benchmark of its own."""
    if "case" in metafunc.fixturenames:
        option = metafunc.config.getoption
        cases = metafunc.module.make_cases(not option("benchmark_enable"), option("--full"))
        pairs = [(case, name) for case in cases for name in case.names]
        ids = [case.test_id.format(key=case.key, name=name) for case, name in pairs]
        metafunc.parametrize(("case", "name"), pairs, ids=ids)


def pytest_collection_modifyitems(items):
    for item in items:
        if "measure" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.benchmark(timer=replay))


def pytest_benchmark_update_machine_info(config, machine_info):
    """Add what figures depend on, and leave out what differs from one moment to the next: the clock's rate."""
    machine_info["cpu"] = {key: value for key, value in machine_info["cpu"].items() if not key.startswith("hz_")}
    machine_info["fastmlp"] = describe_machine()


def pytest_terminal_summary(terminalreporter, config):
    """With figures, say what two cores cost each other, which decides what the second thread brings."""
    if config.getoption("benchmark_enable"):
        terminalreporter.write_line(str(measure_crossing() or "one core"))


@pytest.fixture(scope="session")
def race_of(pytestconfig):
    """Return a function that races the chosen competitors of a case, once: {name: (samples, what to report)}."""
    quick = not pytestconfig.getoption("benchmark_enable")
    rounds, sgemm = (1, None) if quick else (pytestconfig.getoption("rounds"), Sgemm())
    races = {}

    def race_of(case, name, chosen):
        if name not in races.get(case, ()):
            entrants = case.build([name] if quick else chosen)
            race = run_race(entrants, rounds, sgemm)
            races[case] = {
                name: (race.samples[name], {"name": name, "ours": entrant.ours} | race.figures(name, entrant))
                for name, entrant in entrants.items()
            }
        return races[case][name]

    return race_of


@pytest.fixture
def measure(benchmark, race_of, request):
    """Return a function that reports what somebody's samples were in the race of a case."""

    def measure(case, name):
        global _readings
        params = [item.callspec.params for item in request.session.items if hasattr(item, "callspec")]
        chosen = [given["name"] for given in params if given.get("case") is case] or [name]
        samples, benchmark.extra_info = race_of(case, name, chosen)
        benchmark.group = case.group
        _readings = iter([reading for seconds in samples for reading in (0.0, seconds)])
        benchmark.pedantic(lambda: None, rounds=len(samples))

    return measure
