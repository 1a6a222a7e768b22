"""What all benchmarks share. `pytest` runs each once on few rows; `pytest bench --benchmark-enable` times them."""

import pytest
from cores import measure_crossing
from race import Race
from report import describe_machine
from roofline import Sgemm

from fastmlp.comparison import settle

QUICK_ROUNDS = 1


def pytest_addoption(parser):
    parser.addoption("--full", action="store_true", help="bench: the whole grid of shapes")
    parser.addoption("--rounds", type=int, default=7, help="bench: epochs, predictions and processes of each case")


def pytest_benchmark_update_machine_info(config, machine_info):
    """Add what figures depend on, and leave out what differs from one moment to the next: the clock's rate."""
    machine_info["cpu"] = {key: value for key, value in machine_info["cpu"].items() if not key.startswith("hz_")}
    machine_info["fastmlp"] = describe_machine()


def pytest_terminal_summary(terminalreporter, config):
    """With figures, say what two cores cost each other, which decides what the second thread brings."""
    if config.getoption("benchmark_enable"):
        terminalreporter.write_line(str(measure_crossing() or "one core"))


@pytest.fixture(scope="session")
def quick(pytestconfig):
    """Whether this is a smoke test."""
    return not pytestconfig.getoption("benchmark_enable")


@pytest.fixture(scope="session")
def sgemm():
    return Sgemm()


@pytest.fixture
def measure(benchmark, quick, sgemm, pytestconfig):
    """Return a function that warms up, times, and writes down what the report needs."""

    def run(function, *, group, name, ours, setup=None, flops=None, rounds=None, iterations=1, warm=True, **extra):
        """Time function(*setup()); `flops` of a dense network give the multiple of the dense floor.

        With several iterations a round is that many calls without arguments, and its time that of one of them.
        """

        def prepare():
            arguments = setup() if setup else ()
            if not quick:
                settle()
            return arguments, {}

        if warm and not quick:
            function(*(setup() if setup else ()))
        benchmark.group = group
        benchmark.extra_info |= {"name": name, "ours": ours} | extra
        rates = [] if quick or flops is None else [sgemm.rate()]
        rounds = QUICK_ROUNDS if quick else rounds or pytestconfig.getoption("rounds")
        if iterations > 1:
            settle()
            result = benchmark.pedantic(function, rounds=rounds, iterations=1 if quick else iterations)
        else:
            result = benchmark.pedantic(function, setup=prepare, rounds=rounds)
        if rates:
            rates.append(sgemm.rate())
            race = Race({name: [benchmark.stats.stats.data]}, rates)
            benchmark.extra_info |= {"floors": race.floors(name, flops), "floor": race.floor(flops)}
        return result

    return run
