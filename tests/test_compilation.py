"""Compiled code on disk: kept where it can be, and done without, silently, where it can't."""

import shutil
from pathlib import Path

from support.processes import PACKAGE, run_python

SIGMOID = """
import numpy as np
from fastmlp.jit import elementwise, sigmoid
assert sigmoid(np.zeros(3)).tolist() == [0.5] * 3
kernel = elementwise.apply_sigmoid
assert kernel.nopython_signatures
print(kernel.stats.cache_path, sum(kernel.stats.cache_hits.values()), sum(kernel.stats.cache_misses.values()))
"""


def test_compiled_code_is_kept_on_disk(tmp_path):
    path, hits, misses = run_python(SIGMOID, NUMBA_CACHE_DIR=str(tmp_path)).split()
    assert tmp_path in Path(path).parents
    assert (hits, misses) == ("0", "1")
    assert run_python(SIGMOID, NUMBA_CACHE_DIR=str(tmp_path)).split()[1:] == ["1", "0"]


def test_without_a_writable_cache_everything_is_compiled_anew(tmp_path):
    """No folder can be made below a file, not even by root: not in the settings, nor beside the source, nor at home."""
    package = shutil.copytree(PACKAGE, tmp_path / "fastmlp", ignore=shutil.ignore_patterns("__pycache__"))
    (package / "jit" / "__pycache__").write_text("a file where a folder would be")
    file = tmp_path / "file"
    file.write_text("another")
    environment = {name: str(file / "below") for name in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "HOME")}
    assert run_python(SIGMOID, package, **environment) == "None 0 1"
