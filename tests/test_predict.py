"""From a table to predictions on the command line: `fastmlp train`, the file it saves, and `fastmlp predict`."""

import builtins
import contextlib
import csv
import re
import shutil
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv as arrow_csv
from pyarrow import parquet
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine

import fastmlp
from fastmlp.cli import main

OPTIONS = ["--hidden", "16", "--normalize", "zscore", "--backend", "reference"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Run every test in an empty folder of its own; leave figures empty, and close them."""
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda *arguments, **options: None)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    plt.close("all")


def write(name, columns, delimiter=","):
    with open(name, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def read(name="fastmlp-predictions.csv"):
    with open(name, newline="", encoding="utf-8") as file:
        return {column[0]: list(column[1:]) for column in zip(*csv.reader(file), strict=True)}


def with_gaps(values, rng, gap=""):
    return [gap if rng.random() < 0.04 else value for value in values]


def wine():
    """Classes; decimal commas between semicolons, gaps, growers with commas and line breaks, days."""
    rng = np.random.default_rng(0)
    data = load_wine()
    columns = {
        name: with_gaps([f"{value:.3f}".replace(".", ",") for value in values], rng, "n/a")
        for name, values in zip(data.feature_names, data.data.T, strict=True)
    }
    columns["grower"] = with_gaps(np.array(["Rossi", "Conti,\ne figli", "Bianchi"])[data.target], rng)
    columns["bottled"] = [f"{day % 28 + 1}.6.1984" for day in range(len(data.target))]
    columns["cultivar"] = np.array(["Barolo", "Grignolino", "Barbera"])[data.target]
    return columns, "bottled"


def cancer():
    """Two classes; tabs, question marks, identifiers and moments."""
    rng = np.random.default_rng(1)
    data = load_breast_cancer()
    columns = {"patient": [f"P{i}" for i in range(len(data.target))]}
    for name, values in zip(data.feature_names, data.data.T, strict=True):
        columns[name] = with_gaps(values, rng, "?")
    columns["clinic"] = with_gaps(rng.choice(["North", "South"], len(data.target)), rng)
    columns["seen"] = [f"2019-05-{i % 28 + 1:02d} 10:30" for i in range(len(data.target))]
    columns["diagnosis"] = data.target_names[data.target]
    return columns, "patient,seen"


def diabetes():
    """Regression; text for sex, gaps, days with names of months."""
    rng = np.random.default_rng(2)
    data = load_diabetes(scaled=False)
    columns = {name: with_gaps(values, rng) for name, values in zip(data.feature_names, data.data.T, strict=True)}
    columns["sex"] = np.where(data.data[:, 1] == 1, "female", "male")
    columns["visit"] = [f"{i % 28 + 1} May 2003" for i in range(len(data.target))]
    columns["progression"] = data.target + 0.5
    return columns, "visit"


TABLES = {"wine.csv": (wine, ";"), "cancer.tsv": (cancer, "\t"), "diabetes.csv": (diabetes, ",")}


@pytest.mark.parametrize("name", TABLES)
def test_from_a_table_to_predictions(name, capsys):
    make, delimiter = TABLES[name]
    columns, drop = make()
    label = list(columns)[-1]
    write(name, columns, delimiter)

    assert main(["train", "--data", name, "--label", label, *OPTIONS]) == 2
    assert capsys.readouterr().err.endswith(f"(line 2): leave out what can't be learned from with --drop {drop}\n")

    options = ["--optimizer", "adam", "--lr", "0.01", "--num-epochs", "100"]
    assert main(["train", "--data", name, "--label", label, "--drop", drop, *OPTIONS, *options]) == 0
    out = capsys.readouterr().out
    n = len(columns[label])
    assert out.startswith(f"{name}: {n - -(-n // 5)} training rows, {-(-n // 5)} test rows, ")
    assert "\n  missing numbers, taken as the training rows' median: " in out
    assert re.search(r"\n  categories: [234] of '(grower|clinic|sex)'\n", out)
    if name == "diabetes.csv":
        r2, error = map(float, re.search(r"^final test R² (.*), mean absolute error (.*)$", out, re.M).groups())
        assert r2 > 0.3
        assert 30 < error < 60
    else:
        assert float(re.search(r"^final test accuracy (.*)$", out, re.M)[1]) > 0.9

    # The same rows again, in another order of columns, without labels, as another kind of file.
    shuffled = {key: np.array(columns[key]) for key in reversed(columns) if key != label}
    write("new.csv", shuffled, "|")
    assert main(["predict", "fastmlp-model.npz", name]) == 0
    first = read()
    out = capsys.readouterr().out
    assert out.startswith(f"{name}: {n} rows\n  columns left out: {', '.join([*drop.split(','), label])}\n  missing ")
    assert out.endswith("wrote fastmlp-predictions.csv\n")
    assert main(["predict", "fastmlp-model.npz", "new.csv", "--output", "b.csv"]) == 0
    assert read("b.csv") == first
    assert list(first) == [label]
    if name == "diabetes.csv":
        found = np.array(first[label], float)
        assert np.corrcoef(found, columns[label])[0, 1] > 0.6
    else:
        assert np.mean(np.array(first[label]) == columns[label]) > 0.9


def train(columns, label="y", name="a.csv", options=()):
    write(name, columns)
    assert main(["train", "--data", name, "--label", label, *OPTIONS, "--num-epochs", "2", *options]) == 0


SMALL = {
    "x": [i % 7 for i in range(60)],
    "c": ["red" if i % 3 else "green" for i in range(60)],
    "y": ["yes, sir" if i % 2 else 'say "no"' for i in range(60)],
}


def test_probabilities(capsys):
    train(SMALL)
    assert main(["predict", "fastmlp-model.npz", "a.csv", "--proba"]) == 0
    found = read()
    model = fastmlp.MLP.load("fastmlp-model.npz")
    X = np.column_stack([SMALL["x"], *((np.array(SMALL["c"]) == name) for name in ("green", "red"))]).astype(float)
    assert list(found) == ["y", 'P(say "no")', "P(yes, sir)"]
    assert found["y"] == model.predict(X).tolist()
    written = np.array([found['P(say "no")'], found["P(yes, sir)"]], np.float32).T
    np.testing.assert_array_equal(written, model.predict_proba(X))


def test_predictions_on_standard_output_and_all_else_on_standard_error(capsys, folder):
    train(SMALL)
    capsys.readouterr()
    write("new.csv", {"c": ["red", "blue", ""], "x": ["1", "", "3"], "id": [1, 2, 3]})
    before = sorted(folder.iterdir())
    assert main(["predict", "fastmlp-model.npz", "new.csv", "--output", "-"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[0] == "y"
    assert set(out.splitlines()[1:]) <= {'"yes, sir"', '"say ""no"""'}
    assert len(out.splitlines()) == 4
    assert err.splitlines() == [
        "new.csv: 3 rows",
        "  columns left out: id",
        "  missing numbers, taken as the training rows' median: 1 of 'x' (3)",
        "  missing categories, taken as none, since no training row lacks it: 1 of 'c'",
        "  categories that no training row has, taken as none: 1 of 'c' such as 'blue' (line 3)",
    ]
    assert sorted(folder.iterdir()) == before


def test_labels_keep_their_zeros(capsys):
    train(SMALL | {"y": ["007" if i % 2 else "7" for i in range(60)]})
    assert main(["predict", "fastmlp-model.npz", "a.csv"]) == 0
    assert set(read()["y"]) <= {"007", "7"}


def test_a_parquet_file_is_as_a_csv(capsys):
    train(SMALL)
    parquet.write_table(arrow_csv.read_csv("a.csv"), "a.parquet")
    assert main(["predict", "fastmlp-model.npz", "a.csv"]) == 0
    first = read()
    assert main(["predict", "fastmlp-model.npz", "a.parquet"]) == 0
    assert read() == first
    assert (
        main(["train", "--data", "a.parquet", "--label", "y", *OPTIONS, "--num-epochs", "2", "--model", "b.npz"]) == 0
    )
    np.testing.assert_array_equal(fastmlp.MLP.load("b.npz").params, fastmlp.MLP.load("fastmlp-model.npz").params)


def test_arrays_for_a_network_of_numbers(capsys):
    X = np.random.default_rng(0).normal(size=(40, 2))
    columns = {"a": X[:, 0], "b": X[:, 1], "y": X[:, 0] * 2}
    train(columns)
    np.savez("X.npz", X=X)
    assert main(["predict", "fastmlp-model.npz", "a.csv", "--output", "a1.csv"]) == 0
    assert main(["predict", "fastmlp-model.npz", "X.npz", "--output", "a2.csv"]) == 0
    assert read("a1.csv") == read("a2.csv")
    expected = fastmlp.MLP.load("fastmlp-model.npz").predict(X)
    np.testing.assert_array_equal(np.array(read("a1.csv")["y"], expected.dtype), expected)


def save(X, y, **options):
    model = fastmlp.train(X, y, hidden=3, num_epochs=1, backend="reference", verbose=False, **options)
    model.save("model.npz")
    return model


def test_a_network_trained_from_arrays_takes_columns_as_they_come(capsys):
    X = np.random.default_rng(0).normal(size=(30, 3)).round(3)
    model = save(X, X[:, :2])
    write("a.csv", {name: X[:, j] for j, name in enumerate("abc")})
    assert main(["predict", "model.npz", "a.csv"]) == 0
    found = read()
    assert list(found) == ["prediction 0", "prediction 1"]
    np.testing.assert_array_equal(np.array(list(found.values()), model.predict(X).dtype).T, model.predict(X))


def test_a_network_trained_from_a_data_frame_finds_its_columns(capsys):
    class Frame:
        columns = ("a", "b")

        def __array__(self, dtype=None, copy=None):
            return X

    X = np.random.default_rng(0).normal(size=(30, 2)).round(3)
    model = save(Frame(), np.arange(30) % 2)
    write("a.csv", {"b": X[:, 1], "more": X[:, 1], "a": X[:, 0]})
    assert main(["predict", "model.npz", "a.csv"]) == 0
    assert read() == {"prediction": list(map(str, model.predict(X)))}


def test_mnist_is_predicted_from_its_pixels_after_the_recipe(capsys):
    assert main(["train", "--n-samples", "300", "--num-epochs", "1", "--recipe", "--backend", "reference"]) == 0
    X, y = fastmlp.datasets.load_mnist(300)
    raw = fastmlp.MLP.load("fastmlp-model.npz").logits(X)
    assert np.ptp(raw) > 0
    from sklearn.model_selection import train_test_split

    scaled = fastmlp.reference.normalize(X)
    rows, test = train_test_split(np.arange(300), test_size=0.2, random_state=42)
    expected = fastmlp.train(
        scaled[rows], y[rows], validation_data=(scaled[test], y[test]), init=0.01, num_epochs=1, lr=0.1, batch_size=64,
        normalize=None, epoch_loss="full", seed=0, backend="reference", verbose=False,
    ).logits(scaled)  # fmt: skip
    assert not np.max(np.abs(raw - expected)) > 1e-4 * np.ptp(expected)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with networks trained on a table and on numbers, and with files that don't fit them."""
    X = np.random.default_rng(0).normal(size=(30, 2))
    with contextlib.chdir(tmp_path_factory.mktemp("files")):
        train(SMALL)
        save(X, X[:, 0])
        Path("model.npz").rename("numbers.npz")
        np.savez("X.npz", X=X)
        np.savez("y.npz", y=X)
        np.savez("text.npz", X=np.array([["a", "b"]]))
        write("less.csv", {"X": [1], "x": [2]})
        write("text.csv", {"x": [1, 2, "three"], "c": ["red"] * 3})
        write("gaps.csv", {"a": [1, 2], "b": [3, ""]})
        parquet.write_table(pa.table({"x": pa.array([1]).cast(pa.timestamp("s")), "c": ["red"]}), "dates.parquet")
        return Path.cwd()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.npz", "a.csv"], r".*No such file.*nowhere\.npz.*"),
        (["fastmlp-model.npz", "nowhere.csv"], r".*No such file.*nowhere\.csv.*"),
        (["a.csv", "a.csv"], r"a\.csv must be a network saved by fastmlp, but .*"),
        (["fastmlp-model.npz", "a.xlsx"], r"FILE must be a \.npz file or a table \(\.csv, .*\), got a\.xlsx"),
        (["fastmlp-model.npz", "X.npz"], r"FILE must be a table with the columns of training, .* got X\.npz"),
        (["fastmlp-model.npz", "less.csv"], r"less\.csv must have the columns of training, but lacks 'c'; .*'X', 'x'"),
        (["fastmlp-model.npz", "text.csv"], r"text\.csv line 4 must hold a number in 'x', .* got 'three'"),
        (["fastmlp-model.npz", "dates.parquet"], r"dates\.parquet must hold numbers or texts in 'x' .*timestamp.*"),
        (["fastmlp-model.npz", "a.csv", "--output", "a.csv"], r"--output must not be the file of FILE, got a\.csv"),
        (
            ["fastmlp-model.npz", "a.csv", "--output", "fastmlp-model.npz"],
            r"--output must not be the file of MODEL, got .*",
        ),
        (["fastmlp-model.npz", "a.csv", "--output", "no/b.csv"], r"--output must be a file in an existing folder, .*"),
        (["numbers.npz", "a.csv"], r"a\.csv must have the 2 columns of the X in training, in its order, got 3"),
        (["numbers.npz", "gaps.csv"], r"gaps\.csv line 3 must hold a number in 'b', got none, .* no median .*"),
        (["numbers.npz", "y.npz"], r"y\.npz must hold an array named X, got only y"),
        (["numbers.npz", "text.npz"], r"X must be an array of numbers, got dtype <U1"),
        (["numbers.npz", "X.npz", "--proba"], r"--proba needs a classifier, but numbers\.npz was trained .*"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_errors_are_one_line_and_status_2(arguments, message, files, folder, capsys):
    shutil.copytree(files, folder, dirs_exist_ok=True)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert main(["predict", *arguments]) == 2
    out, err = capsys.readouterr()
    assert re.fullmatch(rf"fastmlp: error: {message}\n", err), err
    assert out == ""
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


# --- splitting


def test_classes_have_the_same_share_of_both_parts(capsys, monkeypatch):
    found = []

    def stop(X, y, *, validation_data, **options):
        found.append((X, y, *validation_data))
        raise ValueError("enough")

    monkeypatch.setattr(fastmlp, "train", stop)
    y = ["common"] * 80 + ["rare"] * 10 + ["only"]
    write("a.csv", {"x": range(91), "y": y})
    for options, rare in ([], 2), (["--recipe"], None):
        assert main(["train", "--data", "a.csv", "--label", "y", *options]) == 2
        X, y_train, X_test, y_test = found.pop()
        if rare:
            assert np.count_nonzero(y_test == "rare") == rare
            assert np.count_nonzero(y_test == "common") == 16
            assert "only" in y_train
            np.testing.assert_array_equal(np.sort(np.concatenate([X, X_test]).ravel()), np.arange(91))


def test_every_class_has_a_training_row_where_there_are_more_classes_than_test_rows(capsys):
    write("a.csv", {"x": range(60), "y": [f"c{i // 2}" for i in range(60)]})
    assert main(["train", "--data", "a.csv", "--label", "y", *OPTIONS, "--num-epochs", "1"]) == 0
    assert len(fastmlp.MLP.load("fastmlp-model.npz").classes_) == 30


def test_comparing_on_a_table(capsys):
    write("a.csv", SMALL)
    options = ["--hidden", "4", "--steps", "1", "--num-epochs", "1", "--num-threads", "1"]
    assert main(["compare", "--data", "a.csv", "--label", "y", *options]) == 0
    assert capsys.readouterr().out.startswith("a.csv: 60 rows, 3 features from 2 columns\n")


def test_columns_with_commas_in_their_names_can_be_dropped(capsys):
    write("a.csv", SMALL | {"id, of row": SMALL["x"], "b": SMALL["x"], "é": SMALL["x"]})
    options = ["--drop", "id, of row", "--drop", "b, é", "--num-epochs", "1"]
    assert main(["train", "--data", "a.csv", "--label", "y", *OPTIONS, *options]) == 0
    assert [column.name for column in fastmlp.MLP.load("fastmlp-model.npz").table.columns] == ["x", "c"]


def test_without_the_extra_arrays_are_trained_on_and_predicted(monkeypatch, capsys):
    find = builtins.__import__

    def refuse(name, *arguments):
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return find(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", refuse)
    X = np.random.default_rng(0).normal(size=(30, 2))
    np.savez("a.npz", X=X, y=X[:, 0] > 0)
    assert main(["train", "--data", "a.npz", *OPTIONS, "--num-epochs", "1"]) == 0
    assert main(["predict", "fastmlp-model.npz", "a.npz"]) == 0
    assert set(read()["prediction"]) <= {"True", "False"}
