"""The benchmarks' own arithmetic and checks, and what pytest-benchmark makes of them."""

import json
import os
import subprocess
import sys
from pathlib import Path

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
        sys.executable, "-m", "pytest", "-q", "-p", "moments", "-p", "no:cacheprovider", f"--rootdir={ROOT}",
        "-c", str(ROOT / "pyproject.toml"), str(ROOT / "bench" / "bench_kernels.py"),
        "-k", "ReLU-0-256-fastmlp", "--benchmark-enable", *options,
    ]  # fmt: skip
    environment = os.environ | {"MOMENT": str(moment), "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}
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
