"""The scripts that a reader is pointed to, each on a small setting."""

import importlib.util
import re
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure
from sklearn.model_selection import train_test_split
from support.overlaps import assert_nothing_covers_the_lines

import fastmlp

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


LESSON = {"init": 0.01, "optimizer": "sgd", "lr": 0.1, "activation": "relu", "normalize": None}
"""What the recipe and the exercises say themselves, so that no default decides it."""
DEPTHS = [((256,), 0), ((256,), 1), ((256, 128), 0), ((256, 128), 1)]
"""Hidden widths and seed of the trainings of exercises 3 and 4 with two seeds."""


@pytest.fixture
def trainings(monkeypatch):
    """What a script hands to `fastmlp.train`, which trains as ever."""
    calls, train = [], fastmlp.train

    def record(X, y, **options):
        calls.append((X, y, options))
        return train(X, y, **options)

    monkeypatch.setattr(fastmlp, "train", record)
    return calls


def assert_the_lessons(training, rows, **settings):
    """Demand that the rows were standardised before the split, and the lesson's settings."""
    X, y, options = training
    pixels, labels = fastmlp.datasets.load_mnist(rows)
    standardised = (pixels - pixels.mean(axis=0)) / np.maximum(pixels.std(axis=0), 1e-9)
    X_train, _, y_train, _ = train_test_split(standardised, labels, test_size=0.2, random_state=42)
    np.testing.assert_allclose(X, X_train, atol=1e-9)
    np.testing.assert_array_equal(y, y_train)
    expected = LESSON | settings
    assert {name: options.get(name, "left to the default") for name in expected} == expected


def test_recipe(run, trainings, tmp_path):
    out = run("recipe", "--backend", "reference", "--samples", "300", "--epochs", "2")
    assert re.search(r"^epoch 2/2  loss 2\.\d+ .*\nfinal test accuracy 0\.\d+\nwrote fastmlp-recipe.png$", out, re.M)
    assert (tmp_path / "fastmlp-recipe.png").exists()
    (training,) = trainings
    settings = {"hidden": (256, 128), "batch_size": 64, "num_epochs": 2, "epoch_loss": "full", "seed": 0}
    assert_the_lessons(training, 300, **settings)


def the_lessons_update():
    """Exercises 1 and 2 without this package: what each layer sees and A3, the loss before and after one update."""
    draw = np.random.RandomState(0)
    X, y = np.array([[1.0, 2], [3, 4]]), np.array([[1, 0], [0, 1]])
    layers = [[0.1 * draw.randn(m, p), np.zeros((1, p))] for m, p in ((2, 4), (4, 3), (3, 2))]

    def predict():
        A = [X]
        for W, b in layers[:-1]:
            A.append(np.maximum(0, A[-1] @ W + b))
        E = np.exp(A[-1] @ layers[-1][0] + layers[-1][1])
        return [*A, E / E.sum(axis=1, keepdims=True)]

    def loss(A3):
        return -np.mean(np.sum(y * np.log(A3), axis=1))

    A = predict()
    delta, gradients = A[-1] - y, []
    for seen, (W, _) in zip(A[-2::-1], layers[::-1], strict=True):
        gradients.append((seen.T @ delta / 2, delta.mean(axis=0)))
        delta = (delta @ W.T) * (seen > 0)
    for layer, (grad_W, grad_b) in zip(layers, gradients[::-1], strict=True):
        layer[:] = layer[0] - 0.1 * grad_W, layer[1] - 0.1 * grad_b
    return A, loss(A[-1]), loss(predict()[-1])


def test_exercise_1(run, backend):
    out = run("exercise_1_shapes", "--backend", backend)
    shapes = dict(re.findall(r"(\w+) +(\(\d, \d\))", out))
    assert shapes == {
        "X": "(2, 2)", "A1": "(2, 4)", "A2": "(2, 3)", "A3": "(2, 2)", "grad_W1": "(2, 4)", "grad_b1": "(1, 4)",
        "grad_W2": "(4, 3)", "grad_b2": "(1, 3)", "grad_W3": "(3, 2)", "grad_b3": "(1, 2)",
    }  # fmt: skip
    A, loss, _ = the_lessons_update()
    rows = re.findall(r"^  row \d of A3: +(\S+) +(\S+), the sum 1\.0000$", out, re.M)
    np.testing.assert_allclose(np.array(rows, float), A[-1], atol=6e-5)
    assert f"cross-entropy {loss:.4f}\n" in out


def test_exercise_2(run, backend):
    out = run("exercise_2_update", "--backend", backend)
    before, after = (float(number) for number in re.findall(r"^loss \w+ +(\d\.\d+)$", out, re.M))
    _, *losses = the_lessons_update()
    assert [before, after] == pytest.approx(losses, abs=6e-7)
    assert (round(before, 4), round(after, 4)) == (0.6984, 0.6967)
    assert out.endswith(": it fell\n")


def test_exercise_3(run, trainings, tmp_path, backend):
    out = run("exercise_3_depth", "--backend", backend, "--epochs", "2", "--seeds", "2")
    settings = {"batch_size": 32, "num_epochs": 2, "backend": backend}
    for training, (hidden, seed) in zip(trainings, DEPTHS, strict=True):
        assert_the_lessons(training, 1000, hidden=hidden, seed=seed, **settings)
    assert re.findall(r"^\w+ layers", out, re.M) == ["two layers", "three layers"]
    losses = np.array(re.findall(r"^  training loss (\S+) (\S+)$", out, re.M), float)
    assert losses == pytest.approx(np.array([[1.335, 0.534], [2.297, 2.289]]), abs=2e-3)
    accuracies = re.findall(r"^  test accuracy (0\.\d+); of 2 seeds 0\.\d+ ± 0\.\d+$", out, re.M)
    assert [float(accuracy) for accuracy in accuracies] == pytest.approx([0.835, 0.195], abs=0.011)
    assert "does a third layer beat two? " in out
    assert (tmp_path / "fastmlp-exercise-3.png").exists()


def test_exercise_3_has_the_lessons_length(run, trainings):
    run("exercise_3_depth", "--backend", "reference", "--samples", "100", "--seeds", "1")
    assert [options["num_epochs"] for *_, options in trainings] == [10, 10]


@pytest.mark.parametrize(
    ("gain", "verdict"), [([0.1, 0.11, 0.1], "yes"), ([-0.1, -0.11, -0.1], "no"), ([0.1, -0.1, 0.0], "no difference")]
)
def test_exercise_3_answers_from_its_figures(gain, verdict):
    two = np.full(3, 0.5)
    assert load("exercise_3_depth").answer(two, two + gain).startswith(f"does a third layer beat two? {verdict}")


def test_exercise_4(run, trainings, tmp_path, backend):
    out = run("exercise_4_vanishing_gradients", "--backend", backend, "--epochs", "2", "--seeds", "2")
    settings = {"batch_size": 32, "num_epochs": 2, "backend": backend, "track_gradients": "first_epoch"}
    for training, (hidden, seed) in zip(trainings, DEPTHS, strict=True):
        assert_the_lessons(training, 1000, hidden=hidden, seed=seed, **settings)
    rows = re.findall(r"^ +(\d+) +(\S+e\S+) +(\S+) +(\S+) +(\S+)$", out, re.M)
    assert [row[0] for row in rows] == ["1", "4", "7", "10", "13", "16", "19", "22", "25"]
    assert np.array(rows[0][1:4], float) == pytest.approx([5.45e-5, 1.78e-4, 8.92e-4], rel=2e-3)
    assert "is grad W1 smaller than grad W3? in 100% of the batches; the ratio " in out
    two = r"W1 6\.\d\de-04 ± \S+, W2 8\.\d\de-03 ± \S+"
    three = r"W1 5\.\d\de-05 ± \S+, W2 1\.\d\de-04 ± \S+, W3 8\.\d\de-04 ± \S+"
    for name, gradients in (("two", two), ("three", three)):
        assert re.search(rf"^{name} layers +first batch: mean \|grad\| {gradients}$", out, re.M)
    for what in ("stability", "speed"):
        assert len(re.findall(rf"^ +{what}: .* ± ", out, re.M)) == 2
    assert (tmp_path / "fastmlp-exercise-4.png").exists()


@pytest.mark.parametrize("init", ["0.01", "he", "xavier"])
def test_exercise_4_takes_any_initialisation(run, trainings, init):
    options = ("--samples", "100", "--epochs", "1", "--seeds", "1", "--init", init)
    run("exercise_4_vanishing_gradients", "--backend", "reference", *options)
    assert [training["init"] for *_, training in trainings] == [0.01 if init == "0.01" else init] * 2


def test_exercise_4_refuses_another_word(run, capsys):
    with pytest.raises(SystemExit):
        run("exercise_4_vanishing_gradients", "--init", "tiny")
    assert "argument --init: must be he, xavier or a number, got 'tiny'" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["exercise_3_depth", "exercise_4_vanishing_gradients"])
def test_no_legend_covers_a_curve(run, monkeypatch, name):
    """With the lesson's own setting, whose curves go from the left to the right and from the top to the bottom."""
    kept = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: kept.append(figure))
    run(name, "--seeds", "2")
    (figure,) = kept
    assert_nothing_covers_the_lines(figure)


def test_gallery(run, tmp_path, monkeypatch):
    drawn, save = {}, Figure.savefig

    def keep(figure, path, **options):
        drawn[Path(path).name] = figure
        save(figure, path, **options)

    monkeypatch.setattr(Figure, "savefig", keep)
    run("gallery", "--backend", "reference", "--samples", "300", "--epochs", "2", "--folder", str(tmp_path / "gallery"))
    page = (tmp_path / "gallery" / "README.md").read_text()
    figures = re.findall(r"\]\((.*\.png)\)", page)
    assert len(figures) == 9
    assert all(np.ptp(plt.imread(tmp_path / "gallery" / figure)) > 0.5 for figure in figures)

    titles = [ax.get_title() for ax in drawn["activations.png"].axes]
    shares = [re.fullmatch(rf"hidden layer {i}: (\d+%) zero", title)[1] for i, title in enumerate(titles, 1)]
    assert f"where {' and '.join(shares)} of them are zero." in page
    right = drawn["history.png"].axes[1]
    assert right.get_title().removeprefix("Validation accuracy, in the end ") in page
    assert len({ax.get_title() for name in ("gradients", "first-epoch") for ax in drawn[f"{name}.png"].axes}) == 2
    assert "; after training, least learned is in " in page
    for name in ("history", "gradients", "first-epoch", "gradient-flow"):
        assert_nothing_covers_the_lines(drawn[f"{name}.png"])


def test_the_gallery_is_complete():
    page = (SCRIPTS / "gallery" / "README.md").read_text()
    assert sorted(re.findall(r"\]\((.*\.png)\)", page)) == sorted(path.name for path in SCRIPTS.glob("gallery/*.png"))


def test_check_equivalence_tells_right_from_wrong(run, monkeypatch):
    assert re.match(r"1 problems under 1 plans, 0 wrong", run("check_equivalence", "--minutes", "1e-9"))
    monkeypatch.setattr("support.engine_cases.TOLERANCE", {"float32": 0.0, "float64": 0.0})
    assert re.search(r"1 problems under 0 plans, 1 wrong", run("check_equivalence", "--minutes", "1e-9"))
