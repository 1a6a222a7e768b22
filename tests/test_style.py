"""What reads the sources and not their results: the linter, the formatter, the type checker, declared dependencies."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT, BUILD_SYSTEM = SETTINGS["project"], SETTINGS["build-system"]
INSTALLED_AS = {"sklearn": "scikit-learn"}
"""Where an imported name is not that of its distribution."""
PEERS = {"jax", "torch"}
"""Measured beside the package by bench/ where they happen to be installed."""
CHECKS = {
    "linter": ("ruff", "check", "--no-cache"),
    "formatter": ("ruff", "format", "--check", "--no-cache"),
    "types": ("mypy", "--cache-dir", os.devnull),
}


def run(check, folder):
    command = [sys.executable, "-m", *CHECKS[check]]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)


@pytest.mark.parametrize("check", CHECKS)
def test_the_sources_pass(check):
    done = run(check, ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


FAULTS = {
    "linter": "import os\n",
    "formatter": "x = [ 1 ]\n",
    "types": "def double(x: int) -> str:\n    return 2 * x\n",
}


@pytest.mark.parametrize("check", CHECKS)
def test_a_fault_does_not_pass(check, tmp_path):
    """By the project's own settings, which a check could switch off."""
    (tmp_path / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    package = tmp_path / "fastmlp"
    package.mkdir()
    (package / "__init__.py").write_text(FAULTS[check])
    done = run(check, tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr


def imported(folder):
    """The top-level names that the sources in a folder import, those of their own modules apart."""
    paths = list((ROOT / folder).rglob("*.py"))
    names = set()
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names.add(node.module.split(".")[0])
    ours = {path.stem for place in ("tests", "bench", "scripts") for path in (ROOT / place).iterdir()}
    return names - set(sys.stdlib_module_names) - {"fastmlp"} - (set() if folder == "fastmlp" else ours)


def declared(*lists):
    return {re.match(r"[\w-]+", requirement)[0] for requirements in lists for requirement in requirements}


def test_what_the_package_imports_is_declared():
    names = {INSTALLED_AS.get(name, name) for name in imported("fastmlp")}
    assert {"numpy", "numba", "scikit-learn"} <= names
    assert names == declared(PROJECT["dependencies"], PROJECT["optional-dependencies"]["tables"])


@pytest.mark.parametrize("folder", ["tests", "bench", "scripts"])
def test_what_everything_else_imports_is_declared(folder):
    names = {INSTALLED_AS.get(name, name) for name in imported(folder)}
    assert "numpy" in names
    assert names - PEERS <= declared(
        PROJECT["dependencies"], PROJECT["optional-dependencies"]["test"], BUILD_SYSTEM["requires"]
    )
