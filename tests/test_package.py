"""The package as a whole: what importing it costs, which names it has, whether its examples run."""

import ast
import doctest
import graphlib
import importlib
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

import fastmlp

HEAVY = ("numpy", "numba", "scipy", "sklearn", "matplotlib", "llvmlite", "tqdm", "pandas")
README = Path(__file__).parent.parent / "README.md"
PACKAGE = Path(fastmlp.__file__).parent


def modules_after(script):
    """Return which of the heavy packages a fresh interpreter has loaded after `script`."""
    command = f"{script}\nimport sys\nprint('loaded', *(name for name in {HEAVY} if name in sys.modules))"
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", command], capture_output=True, text=True, check=True, timeout=120
    )
    return set(result.stdout.splitlines()[-1].split()[1:])


def test_importing_loads_nothing_heavy():
    assert modules_after("import fastmlp; fastmlp.__version__; dir(fastmlp)") == set()


def imports_of(path, modules):
    """Which of our modules a source file imports: at its top, in functions and for types alike."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {
                name if (name := f"{node.module}.{alias.name}") in modules else node.module for alias in node.names
            }
    return found & modules


def import_graph():
    paths = {
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
        for path in PACKAGE.rglob("*.py")
    }
    return {module: imports_of(path, paths.keys()) - {module} for module, path in paths.items()}


def test_imports_go_round_in_no_circle():
    graph = import_graph()
    assert "fastmlp.epochs" in graph["fastmlp.training"]
    assert "fastmlp.display" in graph["fastmlp.history"]  # within a function
    assert "fastmlp.engine.predictor" in graph["fastmlp.inference"]  # for types, and within a function
    tuple(graphlib.TopologicalSorter(graph).static_order())  # or a CycleError that names the circle


def test_a_circle_of_imports_is_seen():
    with pytest.raises(graphlib.CycleError, match=r"fastmlp\.display"):
        graphlib.TopologicalSorter(import_graph() | {"fastmlp.display": {"fastmlp.history"}}).prepare()


def test_the_check_of_loaded_modules_can_fail():
    assert "numba" in modules_after("import fastmlp; fastmlp.jit")


@pytest.mark.parametrize("y", ["[0, 1, 0, 1]", "[0.0, 1.0, 0.5, 1.5]"], ids=["classification", "regression"])
def test_the_reference_backend_needs_numpy_only(y):
    script = f"""
import fastmlp
X, y = [[0.0], [1.0], [0.2], [1.3]], {y}
model = fastmlp.train(X, y, hidden=(2,), num_epochs=1, backend="reference", validation_data=(X, y), verbose=False)
model.predict(X), model.loss(X, y)
"""
    assert modules_after(script) == {"numpy"}


def test_the_command_line_starts_light():
    script = "from fastmlp.cli import main\ntry:\n    main(['train', '--help'])\nexcept SystemExit:\n    pass"
    assert modules_after(script) == {"numpy"}  # with which the reference lists the choices


def test_public_names_are_listed_and_importable():
    names = {"MLP", "History", "Comparison", "compare", "datasets", "jit", "reference", "train"}
    assert names <= set(fastmlp.__all__)
    assert len(fastmlp.__all__) == len(set(fastmlp.__all__))
    assert set(fastmlp.__all__) <= set(dir(fastmlp))
    for name in fastmlp.__all__:
        assert getattr(fastmlp, name).__doc__
    namespace = {}
    exec("from fastmlp import *", namespace)
    assert set(fastmlp.__all__) <= set(namespace)


def test_names_are_themselves():
    from fastmlp.history import History
    from fastmlp.network import MLP
    from fastmlp.training import train

    assert (fastmlp.MLP, fastmlp.History, fastmlp.train) == (MLP, History, train)
    assert fastmlp.reference is sys.modules["fastmlp.reference"]


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'fastmlp' has no attribute 'trian'"):
        _ = fastmlp.trian
    assert not hasattr(fastmlp, "numpy")


def test_version():
    assert re.fullmatch(r"\d+\.\d+\.\d+", fastmlp.__version__)
    settings = (README.parent / "pyproject.toml").read_text(encoding="utf-8")
    assert f'version = "{fastmlp.__version__}"' in settings


MODULES = [name for _, name, _ in pkgutil.walk_packages(fastmlp.__path__, "fastmlp.") if "__main__" not in name]


@pytest.fixture
def _elsewhere(tmp_path, monkeypatch):
    """Run in an empty folder, and close the figures afterwards."""
    monkeypatch.chdir(tmp_path)
    yield
    plt.close("all")


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.usefixtures("_elsewhere")
def test_examples_in_docstrings(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_there_are_examples_in_docstrings():
    finder = doctest.DocTestFinder()
    found = [test.name for name in MODULES for test in finder.find(importlib.import_module(name)) if test.examples]
    assert {"fastmlp.training.train", "fastmlp.datasets.load_mnist"} <= set(found)


def test_the_readme_names_every_module():
    picture = re.search(r"^fastmlp/\n(.*?)^```", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)[1]
    named = set(re.findall(r"(\w+)(?:\.py|/)", picture))
    paths = [*PACKAGE.glob("*.py"), *PACKAGE.glob("*/__init__.py"), *PACKAGE.glob("engine/*.py")]
    modules = {path.parent.name if path.stem == "__init__" else path.stem for path in paths}
    assert named == modules - {"fastmlp", "__main__"} | {"stages", "simd"}


@pytest.mark.parametrize("page", ["README.md", "fastmlp/estimators/MIGRATION.md"])
@pytest.mark.usefixtures("_elsewhere")
def test_the_blocks_of_a_page_run(page):
    text = (README.parent / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, page, "exec"), {})
