"""Whole processes: importing, the first epoch with an empty cache and with a full one, and the memory they take."""

import tempfile

import pytest
import starts
from peers import PEERS, available

ROWS, QUICK_ROWS = 5_000, 64
OTHERS = [name for name, kind in PEERS.items() if available(kind)]


def run(code, cache=None):
    """Run a process and return the most memory that it held, in MB."""
    return int(starts.run(code + starts.PEAK, cache).splitlines()[-1]) / 1e6


def test_import(benchmark, measure):
    code = "import fastmlp\n"
    peak = measure(run, group="startup: import", name="fastmlp", ours=True, setup=lambda: (code,))
    benchmark.extra_info["peak MB"] = peak
    assert peak < 100


@pytest.mark.parametrize("name", ["cold compile", "compiled before", *OTHERS])
def test_first_epoch(benchmark, measure, quick, name, tmp_path):
    rows, ours = QUICK_ROWS if quick else ROWS, name not in OTHERS
    template = starts.FIRST_EPOCH if ours else starts.PEER_FIRST_EPOCH + "\n"
    code = template.format(n=rows, name=name)

    def prepare():
        # A smoke test does not wait for the compiler: it takes the stages that the tests have compiled.
        cold = name == "cold compile" and not quick
        return code, tempfile.mkdtemp(dir=tmp_path) if cold else None

    peak = measure(
        run, group=f"startup: first epoch, {rows:,} rows", name=name, ours=ours, setup=prepare, rounds=3,
        warm=name != "cold compile",
    )  # fmt: skip
    benchmark.extra_info["peak MB"] = peak
    assert peak > 10
