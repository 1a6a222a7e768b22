"""The scripts that a reader is pointed to, each on a small setting."""

import importlib.util
import re
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

SCRIPTS = Path(__file__).parent.parent / "scripts"


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run a script's main in an empty folder and return what it prints."""
    monkeypatch.chdir(tmp_path)

    def call(name, *arguments):
        load(name).main(arguments)
        return capsys.readouterr().out

    yield call
    plt.close("all")


def load(name):
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_recipe(run, tmp_path):
    out = run("recipe", "--backend", "reference", "--samples", "300", "--epochs", "2")
    assert re.search(r"^epoch 2/2  loss 2\.\d+ .*\nfinal test accuracy 0\.\d+\nwrote fastmlp-recipe.png$", out, re.M)
    assert (tmp_path / "fastmlp-recipe.png").exists()


def test_exercise_1(run, backend):
    out = run("exercise_1_shapes", "--backend", backend)
    shapes = dict(re.findall(r"(\w+) +(\(\d, \d\))", out))
    assert shapes == {
        "X": "(2, 2)", "A1": "(2, 4)", "A2": "(2, 3)", "A3": "(2, 2)", "grad_W1": "(2, 4)", "grad_b1": "(1, 4)",
        "grad_W2": "(4, 3)", "grad_b2": "(1, 3)", "grad_W3": "(3, 2)", "grad_b3": "(1, 2)",
    }  # fmt: skip


def test_exercise_2(run, backend):
    out = run("exercise_2_update", "--backend", backend)
    before, after = (float(number) for number in re.findall(r"^loss \w+ +(\d\.\d+)$", out, re.M))
    assert after < before
    assert out.endswith(": it fell\n")


def test_exercise_3(run, tmp_path):
    arguments = ("--backend", "reference", "--samples", "200", "--epochs", "1", "--seeds", "2")
    out = run("exercise_3_depth", *arguments)
    assert "does a third layer beat two? " in out
    assert (tmp_path / "fastmlp-exercise-3.png").exists()


@pytest.mark.parametrize(
    ("gain", "verdict"), [([0.1, 0.11, 0.1], "yes"), ([-0.1, -0.11, -0.1], "no"), ([0.1, -0.1, 0.0], "no difference")]
)
def test_exercise_3_answers_from_its_figures(gain, verdict):
    two = np.full(3, 0.5)
    assert load("exercise_3_depth").answer(two, two + gain).startswith(f"does a third layer beat two? {verdict}")


def test_exercise_4(run, tmp_path):
    out = run("exercise_4_vanishing_gradients", "--backend", "reference", "--samples", "300", "--activation", "sigmoid")
    rows = re.findall(r"^ +(\d+) +(\S+e\S+) +(\S+) +(\S+) +(\S+)$", out, re.M)
    assert [row[0] for row in rows] == ["1", "2", "3", "4", "5"]
    assert all(float(row[1]) < float(row[3]) for row in rows)
    assert "is grad W1 smaller than grad W3? in 100% of the batches; the ratio " in out
    assert (tmp_path / "fastmlp-exercise-4.png").exists()


def test_gallery(run, tmp_path):
    run("gallery", "--backend", "reference", "--samples", "300", "--epochs", "2", "--folder", str(tmp_path / "gallery"))
    page = (tmp_path / "gallery" / "README.md").read_text()
    figures = re.findall(r"\]\((.*\.png)\)", page)
    assert len(figures) == 9
    assert all(np.ptp(plt.imread(tmp_path / "gallery" / figure)) > 0.5 for figure in figures)


def test_the_gallery_is_complete():
    page = (SCRIPTS / "gallery" / "README.md").read_text()
    assert sorted(re.findall(r"\]\((.*\.png)\)", page)) == sorted(path.name for path in SCRIPTS.glob("gallery/*.png"))


def test_check_equivalence_tells_right_from_wrong(run, monkeypatch):
    assert re.match(r"1 problems on 1 programs, 0 wrong", run("check_equivalence", "--minutes", "1e-9"))
    monkeypatch.setattr("engine_cases.TOLERANCE", {"float32": 0.0, "float64": 0.0})
    assert re.search(r"1 problems on 0 programs, 1 wrong", run("check_equivalence", "--minutes", "1e-9"))
