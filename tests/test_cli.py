"""The `fastmlp` command: what it prints, what it writes, how it refuses, and what it does where it can't write."""

import io
import os
import pty
import re
import resource
import signal
import subprocess
import sys
import threading
import time
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pytest
from support.processes import PACKAGE

import fastmlp.cli
import fastmlp.comparison
from fastmlp.cli import main
from fastmlp.cli.data import split_plainly


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Run every test in an empty folder of its own and close the figures it opened."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    plt.close("all")


@pytest.fixture
def undrawn(monkeypatch):
    """Figures that nobody looks at stay empty: drawing them takes longer than training."""
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda *arguments, **options: None)


@pytest.fixture
def table():
    """Features (90, 3) and labels of two separable classes."""
    rng = np.random.default_rng(4)
    y = np.arange(90) % 2
    return (rng.normal(size=(90, 3)) + 4 * y[:, None]).round(3), np.array(["ham", "spam"])[y]


def write_csv(path, X, y):
    lines = [f"{row[0]},{label},{row[1]},{row[2]}" for row, label in zip(X, y, strict=True)]
    path.write_text("\n".join(["length,kind,links,capitals", *lines]) + "\n")


SMALL = ["train", "--samples", "300", "--epochs", "2", "--hidden", "16"]


def test_a_small_training(backend, capsys, folder):
    assert main([*SMALL, "--backend", backend]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    lines = [line for line in out.splitlines() if not line.startswith(("compiling, first run only", "features "))]
    assert lines[0] == "MNIST: 240 training rows, 60 test rows, 784 features"
    assert lines[1].startswith("training 784-16-10, relu, cross_entropy on 240 samples: ")
    assert [line[:9] for line in lines[2:4]] == ["epoch 1/2", "epoch 2/2"]
    accuracy = re.fullmatch(r"final test accuracy (\d\.\d{4})", lines[4])
    seconds = r"\d+\.\d\d s"
    assert re.fullmatch(
        rf"trained in {seconds}, of which compiling {seconds} and epochs {seconds}; {seconds} in all", lines[5]
    )
    assert lines[6:] == ["wrote fastmlp-model.npz and fastmlp-train.png"]
    assert sorted(os.listdir(folder)) == ["fastmlp-model.npz", "fastmlp-train.png"]
    model = fastmlp.MLP.load("fastmlp-model.npz")
    assert model.widths == (784, 16, 10)
    assert f"{model.history.val_accuracy[-1]:.4f}" == accuracy[1]
    assert np.ptp(plt.imread("fastmlp-train.png")) > 0.5


def test_the_defaults_are_the_recipes_network(capsys):
    assert main(["train", "--samples", "200", "--epochs", "1"]) == 0
    assert "training 784-256-128-10, relu, cross_entropy on 160 samples: " in capsys.readouterr().out
    assert fastmlp.MLP.load("fastmlp-model.npz").params.dtype == np.float32


def test_the_recipe(backend, capsys):
    assert main(["train", "--recipe", "--samples", "300", "--epochs", "3", "--backend", backend]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if not line.startswith(("compiling", "features "))]
    X, y = fastmlp.datasets.load_mnist(300)
    from sklearn.model_selection import train_test_split

    X_train, X_test, y_train, y_test = train_test_split(
        fastmlp.reference.normalize(X), y, test_size=0.2, random_state=42
    )
    expected = fastmlp.train(
        X_train, y_train, init=0.01, num_epochs=3, batch_size=64, lr=0.1, normalize=None, epoch_loss="full", seed=0,
        validation_data=(X_test, y_test), backend=backend, verbose=False,
    ).history  # fmt: skip
    for epoch, line in enumerate(lines[2:5]):
        assert line.startswith(f"epoch {epoch + 1}/3  loss {expected.loss[epoch]:.4f}  ")
        assert f"val accuracy {expected.val_accuracy[epoch]:.4f}" in line
    assert expected.loss[0] == pytest.approx(np.log(10), abs=0.02)  # weights this small start at the uniform guess


def test_options_reach_the_training(capsys):
    options = [
        "--hidden", "7, 5", "--activation", "tanh, gelu", "--loss", "binary_cross_entropy", "--init", "0.5",
        "--lr", "0.5", "--momentum", "0.9", "--nesterov", "--weight-decay", "0.001", "--batch-size", "10",
        "--normalize", "zscore", "--epoch-loss", "full", "--seed", "3", "--dtype", "float64", "--threads", "1",
        "--backend", "reference", "--epochs", "2", "--test-size", "0.5",
    ]  # fmt: skip
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 3))
    y = (X[:, 0] > 0).astype(int)
    np.savez("data.npz", X=X, y=y)
    assert main(["train", "--data", "data.npz", "--figure", "a.png", "--model", "a.npz", *options]) == 0
    model = fastmlp.MLP.load("a.npz")
    from sklearn.model_selection import train_test_split

    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.5, random_state=42, stratify=y)
    expected = fastmlp.train(
        X_train, y_train, hidden=(7, 5), activation=("tanh", "gelu"), loss="binary_cross_entropy", init=0.5, lr=0.5,
        momentum=0.9, nesterov=True, weight_decay=0.001, batch_size=10, normalize="zscore", epoch_loss="full", seed=3,
        dtype="float64", num_threads=1, backend="reference", num_epochs=2, validation_data=(X_test, y_test),
        verbose=False,
    )  # fmt: skip
    assert repr(model) == repr(expected)
    np.testing.assert_array_equal(model.params, expected.params)
    assert model.history.loss == expected.history.loss
    assert os.path.exists("a.png")
    assert "wrote a.npz and a.png" in capsys.readouterr().out


@pytest.mark.usefixtures("undrawn")
def test_targets_are_standardised_unless_told_not_to(table):
    X, _ = table
    np.savez("data.npz", X=X, y=1000 + X[:, 0])
    run = ["train", "--data", "data.npz", "--hidden", "", "--epochs", "1", "--lr", "1e-9"]
    for options, mean in (([], 1000), (["--normalize-targets"], 1000), (["--no-normalize-targets"], 0)):
        assert main([*run, *options]) == 0
        assert fastmlp.MLP.load("fastmlp-model.npz").predict(X).mean() == pytest.approx(mean, abs=10)


@pytest.mark.usefixtures("undrawn")
def test_rows_are_held_out_of_the_training_rows(table, capsys):
    X, y = table
    y = np.where(np.arange(90) % 5, y, y[::-1])  # a fifth is the other class
    np.savez("data.npz", X=X, y=y)
    assert main(["train", "--data", "data.npz", "--epochs", "1", "--validation-split", "0.25"]) == 0
    out = capsys.readouterr().out
    from sklearn.model_selection import train_test_split

    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, random_state=42, stratify=y)
    expected = fastmlp.train(X_train, y_train, num_epochs=1, validation_split=0.25, seed=0, verbose=False)
    assert "on 54 samples: " in out
    assert f"val loss {expected.history.val_loss[0]:.4f}  val accuracy {expected.history.val_accuracy[0]:.4f}" in out
    assert expected.score(X_test, y_test) != pytest.approx(expected.history.val_accuracy[0], abs=1e-4)
    assert f"final test accuracy {expected.score(X_test, y_test):.4f}\n" in out


@pytest.mark.usefixtures("undrawn")
def test_no_hidden_layer_and_adam():
    assert main(["train", "--samples", "200", "--epochs", "1", "--hidden", "", "--optimizer", "adam"]) == 0
    assert fastmlp.MLP.load("fastmlp-model.npz").widths == (784, 10)


def test_a_csv_of_ones_own(table, folder, capsys):
    write_csv(folder / "mail.csv", *table)
    assert main(["train", "--data", "mail.csv", "--label", "kind", "--hidden", "4", "--lr", "0.05"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("mail.csv: 72 training rows, 18 test rows, 3 features\n")
    model = fastmlp.MLP.load("fastmlp-model.npz")
    assert model.classes_.tolist() == ["ham", "spam"]
    assert model.score(*table) > 0.9


def test_a_training_goes_on_from_its_checkpoint(table, folder, capsys):
    write_csv(folder / "mail.csv", *table)
    command = ["train", "--data", "mail.csv", "--label", "kind", "--hidden", "4", "--optimizer", "adam"]
    assert main([*command, "--epochs", "5", "--model", "whole.npz"]) == 0
    assert main([*command, "--epochs", "2", "--checkpoint", "checkpoint.npz"]) == 0
    assert main(["predict", "checkpoint.npz", "mail.csv"]) == 0
    capsys.readouterr()
    for epochs in ("4", "5"):
        resumed = ["--epochs", epochs, "--resume", "checkpoint.npz", "--checkpoint", "checkpoint.npz"]
        assert main([*command, *resumed]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines if line.startswith(("epoch", "resumed"))] == [
        "resumed after epoch 2", "epoch 3/4", "epoch 4/4", "resumed after epoch 4", "epoch 5/5",
    ]  # fmt: skip
    for name in ("fastmlp-model.npz", "checkpoint.npz"):
        assert fastmlp.MLP.load(name).params.tobytes() == fastmlp.MLP.load("whole.npz").params.tobytes()


def test_an_npz_of_ones_own_for_regression(table, capsys):
    X, _ = table
    np.savez("data.npz", X=X, y=X @ [1.0, 2.0, -1.0])
    assert main(["train", "--data", "data.npz", "--hidden", "", "--lr", "0.02"]) == 0
    from sklearn.metrics import mean_absolute_error, r2_score
    from sklearn.model_selection import train_test_split

    _, X_test, _, y_test = train_test_split(X, X @ [1.0, 2.0, -1.0], test_size=0.2, random_state=42)
    found = fastmlp.MLP.load("fastmlp-model.npz").predict(X_test)
    r2, error = r2_score(y_test, found), mean_absolute_error(y_test, found)
    assert r2 > 0.5
    assert f"final test R² {r2:.4f}, mean absolute error {error:.4g}\n" in capsys.readouterr().out


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        ("0 1", [0, 1]),
        ("7 -3", [-3, 7]),
        ("b a", ["a", "b"]),
        ("1 x", ["1", "x"]),
        ("7 007", ["007", "7"]),
        ("01 02", ["01", "02"]),
        ("1_0 10", ["10", "1_0"]),
        ("+1 1", ["+1", "1"]),
        ("-0 0", ["-0", "0"]),
        ("9223372036854775807 -9223372036854775808", [-(2**63), 2**63 - 1]),
        ("9223372036854775807 9223372036854775808", ["9223372036854775807", "9223372036854775808"]),
        (f"{10**30} {10**30 + 1}", [str(10**30), str(10**30 + 1)]),
        (f"{'9' * 5000} {'8' * 5000}", ["8" * 5000, "9" * 5000]),
        ("١ 1", ["1", "١"]),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "",
)
def test_csv_labels_are_integers_where_they_can_be(labels, classes, table, folder):
    X, _ = table
    write_csv(folder / "a.csv", X, labels.split() * 45)
    assert main(["train", "--data", "a.csv", "--label", "kind", "--hidden", "2", "--epochs", "1"]) == 0
    assert fastmlp.MLP.load("fastmlp-model.npz").classes_.tolist() == classes


@pytest.mark.usefixtures("undrawn")
def test_spaces_around_labels_and_names_are_no_part_of_them(table, folder):
    X, y = table
    write_csv(folder / "a.csv", X, [f"{' ' * (i % 3)}{label}{' ' * (i % 2)}" for i, label in enumerate(y)])
    (folder / "a.csv").write_text((folder / "a.csv").read_text().replace("kind", " kind "))
    assert main(["train", "--data", "a.csv", "--label", "kind", "--hidden", "2", "--epochs", "1"]) == 0
    assert fastmlp.MLP.load("fastmlp-model.npz").classes_.tolist() == ["ham", "spam"]


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("number", ["{}", "{:07.3f}", "{:+.3e}", " {:.3f}", "{:.2f}"])
def test_csv_numbers_are_a_regression(number, table, folder):
    X, _ = table
    write_csv(folder / "a.csv", X, [number.format(value) for value in X[:, 0]])
    assert main(["train", "--data", "a.csv", "--label", "kind", "--hidden", "2", "--epochs", "1", "--lr", "0.01"]) == 0
    assert not hasattr(fastmlp.MLP.load("fastmlp-model.npz"), "classes_")


FILES = {
    "good.csv": b"a,b,y\n" + b"1,2,0\n3,4,1\n" * 20,
    "bom.csv": b"\xef\xbb\xbfa,b,y\n\n" + b"1,2,0\n3,4,1\n" * 20,
    "ragged.csv": b"a,b,y\n1,2,0\n1,2\n",
    "inf.csv": b"a,b,y\n" + b"1,2,0\n3,4,1\n" * 20 + b"1,inf,0\n",
    "empty.csv": b"",
    "header.csv": b"a,b,y\n",
    "latin.csv": b"a,b,y\n1,2,caf\xe9\n",
    "only.csv": b"y\n" + b"0\n1\n" * 20,
    "empty.npz": b"",
    "garbage.npz": b"not a zip file",
    "cut.npz": b"PK\x03\x04 cut",
    "twice.csv": b"y,b,y\n" + b"1,2,0\n3,4,1\n" * 20,
    "text.csv": b"a,b,y\n" + b"".join(b"%d,2,%d\n" % (i, i % 2) for i in range(40)) + b"two,2,0\n",
    "underscore.csv": b"a,b,y\n" + b"".join(b"%d,2,%d\n" % (i, i % 2) for i in range(40)) + b"1_0,2,0\n",
    "digits.csv": b"a,b,y\n" + b"".join(b"%d,2,%d\n" % (i, i % 2) for i in range(40)) + "١,2,0\n".encode(),
    "numbers.csv": b"5.1,3.5,1\n" * 20,
    "one.csv": b"a,b,y\n1,2,0.5\n",
    "missing.csv": b"a,b,y\n1,2,0\n3,4, \n",
    "rare.csv": b"a,b,y\n" + b"".join(b"1,2,rare%d\n" % i for i in range(20)),
    "ids.csv": b"a,b,y\n" + b"".join(b"%d,name%d,%d\n" % (i, i, i % 2) for i in range(40)),
    "dates.csv": b"a,b,y\n" + b"1,2024-05-31,0\n3,2023-1-2 10:30,1\n" * 20,
}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--hidden", "256,x"], r"--hidden must be widths separated by commas such as 256,128, got '256,x'"),
        (["--activation", "relu,step"], r"activation\[1\] must be one of 'relu', .*, got 'step'"),
        (["--activation", "relu,tanh,elu"], r"activation must be one name, or one for each hidden layer \(1\), got 3"),
        (["--hidden", "0"], r"hidden\[0\] must be at least 1, got 0"),
        (["--init", "big"], r"--init must be 'he', 'xavier' or a number, got 'big'"),
        (["--init", "-1"], r"init must be a finite number greater than 0, got -1\.0"),
        (["--lr", "0"], r"lr must be a finite number greater than 0, got 0\.0"),
        (["--epochs", "0"], r"num_epochs must be at least 1, got 0"),
        (["--nesterov"], r"nesterov=True needs a momentum above 0, got 0"),
        (["--samples", "0"], r"n_samples: .*1 to 70,000, found 0"),
        (["--test-size", "1.5"], r".*--test-size.*1\.5.*"),
        (["--threads", "0"], r"num_threads must be at least 1, got 0"),
        (["--validation-split", "1"], r"validation_split must be a finite number greater than 0 and below 1, got 1\.0"),
        (["--seed", "-1"], r"seed must be at least 0, got -1"),
        (["--figure", "missing/a.png"], r"--figure must be a file in an existing folder, got missing/a\.png"),
        (["--model", "missing/a.npz"], r"--model must be a file in an existing folder, got missing/a\.npz"),
        (["--data", "a.xlsx"], r"--data must be a \.npz file or a table \(\.csv, .*, \.tsv\.gz\), got a\.xlsx"),
        (["--data", "."], r"--data must be a \.npz file or a table \(\.csv, .*, \.tsv\.gz\), got \."),
        (["--data", "good.csv"], r"--label must name the column of good\.csv that holds the labels"),
        (["--data", "nowhere.csv", "--label", "y"], r".*No such file.*nowhere\.csv.*"),
        (["--data", "missing.npz"], r".*No such file.*missing\.npz.*"),
        (["--data", "good.csv", "--label", "z"], r"--label must be a column of good\.csv \(a, b, y\), got 'z'"),
        (["--data", "ragged.csv", "--label", "y"], r"ragged\.csv line 3 must have 3 fields, got 2"),
        (
            ["--data", "text.csv", "--label", "y"],
            r"text\.csv line 42 must hold a number in 'a', as 40 of 41 rows do, got 'two'",
        ),
        (["--data", "inf.csv", "--label", "y"], r"inf\.csv line 42 must hold a finite number in 'b', got inf"),
        (["--data", "empty.csv", "--label", "y"], r"empty\.csv must begin with a line of column names, got nothing"),
        (["--data", "twice.csv", "--label", "y"], r"twice\.csv must give each column a name of its own, but 2 are 'y'"),
        (
            ["--data", "underscore.csv", "--label", "y"],
            r"underscore\.csv line 42 must hold a number in 'a', as 40 of 41 rows do, got '1_0'",
        ),
        (["--data", "digits.csv", "--label", "y"], r"digits\.csv line 42 must hold a number in 'a', .*, got '١'"),
        (["--data", "text.csv", "--label", "a"], r"text\.csv line 42 must hold a number in 'a', .*, got 'two'"),
        (["--data", "numbers.csv", "--label", "1"], r"numbers\.csv must begin with a line of column names, got .*"),
        (["--data", "one.csv", "--label", "y"], r"--test-size must leave a row to train on, got 0\.2 of 1"),
        (["--data", "one.csv", "--label", "a"], r"'a' of one\.csv as y: y must hold at least two classes, got only 1"),
        (["--data", "dates.csv", "--label", "b"], r"--label must name numbers or classes, but 'b' of .* holds dates"),
        (
            ["--data", "dates.csv", "--label", "y"],
            r"dates\.csv must hold numbers and categories, but 'b' holds dates or times such as '2024-05-31' "
            r"\(line 2\): leave out what can't be learned from with --drop b",
        ),
        (
            ["--data", "ids.csv", "--label", "y"],
            r"ids\.csv must .*, but 'b' holds 40 different texts in 40 rows such as 'name0' \(line 2\): .* --drop b",
        ),
        (
            ["--data", "good.csv", "--label", "y", "--drop", "a, b"],
            r"good\.csv must have a column beside 'y' .*, got none",
        ),
        (["--data", "good.csv", "--label", "y", "--drop", "y"], r"--drop must not name the column of --label, got 'y'"),
        (["--data", "good.csv", "--label", "y", "--drop", "c"], r"--drop must name columns of .* \(a, b, y\), got 'c'"),
        (["--data", "flat.npz", "--drop", "a"], r"--drop needs a table in --data, whose columns it leaves out"),
        (["--data", "missing.csv", "--label", "y"], r"missing\.csv line 3 must hold a label in 'y', got nothing"),
        (["--data", "rare.csv", "--label", "y"], r"y must leave rows for testing, but each of its 20 classes needs .*"),
        (["--data", "header.csv", "--label", "y"], r"header\.csv must have at least one row below its header"),
        (
            ["--data", "latin.csv", "--label", "y"],
            r"latin\.csv line 2 must be text in UTF-8, but holds the byte 0xe9: .*",
        ),
        (
            ["--data", "only.csv", "--label", "y"],
            r"only\.csv must have a column beside 'y' that is not dropped, got none",
        ),
        (["--data", "empty.npz"], r"empty\.npz must be a \.npz file of plain arrays, but .*"),
        (["--data", "garbage.npz"], r"garbage\.npz must be a \.npz file of plain arrays, but .*"),
        (["--data", "cut.npz"], r"cut\.npz must be a \.npz file of plain arrays, but .*"),
        (["--data", "objects.npz"], r"objects\.npz must be a \.npz file of plain arrays, but .*"),
        (["--data", "names.npz"], r"names\.npz must hold arrays named X and y, got only X, labels"),
        (["--data", "flat.npz"], r"X must be two-dimensional \(samples, features\), got shape \(9,\)"),
        (["--data", "flat.npz", "--recipe"], r"X must be two-dimensional \(samples, features\), got shape \(9,\)"),
        (["--data", "short.npz"], r"y must have one row for each of the 9 samples, got 8"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_errors_are_one_line_and_status_2(arguments, message, folder, capsys):
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    np.savez("objects.npz", X=np.array([[1], [None]]), y=[0, 1])
    np.savez("names.npz", X=np.ones((3, 2)), labels=[0, 1, 0])
    np.savez("flat.npz", X=np.ones(9), y=np.arange(9))
    np.savez("short.npz", X=np.ones((9, 2)), y=np.arange(8))
    before = sorted(os.listdir(folder))
    assert main([*SMALL, *arguments]) == 2
    out, err = capsys.readouterr()
    assert re.fullmatch(rf"fastmlp: error: {message}\n", err), err
    assert "epoch" not in out
    assert sorted(os.listdir(folder)) == before


@pytest.mark.usefixtures("undrawn")
def test_a_byte_order_mark_and_blank_lines_are_no_data(folder):
    (folder / "bom.csv").write_bytes(FILES["bom.csv"])
    assert main(["train", "--data", "bom.csv", "--label", "y", "--hidden", "2", "--epochs", "1"]) == 0
    assert fastmlp.MLP.load("fastmlp-model.npz").widths == (2, 2, 2)


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("name", ["DATA.CSV", "Data.Csv", "DATA.NPZ"])
def test_upper_case_endings(name, table, folder):
    if name == "DATA.NPZ":
        with open(name, "wb") as file:
            np.savez(file, X=table[0], y=table[1])
    else:
        write_csv(folder / name, *table)
    assert main(["train", "--data", name, "--label", "kind", "--hidden", "2", "--epochs", "1"]) == 0
    assert fastmlp.MLP.load("fastmlp-model.npz").widths == (3, 2, 2)


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("kind", ["auto", "unit", "zscore", "none"])
def test_normalisations(kind):
    rng = np.random.default_rng(1)
    X = rng.normal(100, (30, 40, 50, 60), (50, 4))
    y = (X[:, 0] > 100).astype(int)
    np.savez("data.npz", X=X, y=y)
    options = ["--epochs", "2", "--hidden", "3", "--lr", "0.001", "--backend", "reference"]
    assert main(["train", "--data", "data.npz", "--normalize", kind, *options]) == 0
    from sklearn.model_selection import train_test_split

    X_train, _, y_train, _ = train_test_split(X, y, test_size=0.2, random_state=42, stratify=y)
    params = {
        name: fastmlp.train(
            X_train, y_train, normalize=name, num_epochs=2, hidden=3, lr=0.001, seed=0, backend="reference",
            verbose=False,
        ).params
        for name in ("auto", "unit", "zscore", None)
    }  # fmt: skip
    found = fastmlp.MLP.load("fastmlp-model.npz").params
    np.testing.assert_array_equal(found, params[None if kind == "none" else kind])
    assert len({each.tobytes() for each in params.values()}) == 4


@pytest.mark.parametrize(
    ("samples", "split"), [(70_000, [60_000, 10_000]), (69_999, [55_999, 14_000]), (100, [80, 20])]
)
def test_all_of_mnist_is_tested_on_its_own_test_rows(samples, split, monkeypatch, capsys):
    def load(count):
        return np.arange(count)[:, None], np.arange(count) % 2

    def train(X, y, *, validation_data, **options):
        found.append((X.ravel(), y, validation_data[0].ravel(), validation_data[1]))
        raise ValueError("enough")

    found = []
    monkeypatch.setattr(fastmlp.datasets, "load_mnist", load)
    monkeypatch.setattr(fastmlp, "train", train)
    assert main(["train", "--samples", str(samples)]) == 2
    ((X_train, y_train, X_test, y_test),) = found
    assert [len(X_train), len(X_test)] == split
    np.testing.assert_array_equal(y_train, X_train % 2)
    np.testing.assert_array_equal(y_test, X_test % 2)
    if samples == 70_000:
        np.testing.assert_array_equal(X_train, np.arange(60_000))
        np.testing.assert_array_equal(X_test, np.arange(60_000, 70_000))
    else:
        np.testing.assert_array_equal(np.sort(np.concatenate([X_train, X_test])), np.arange(samples))
        assert X_test.min() < 0.2 * samples < 0.8 * samples < X_test.max()


COMPARE = ["compare", "--samples", "200", "--hidden", "60,40", "--steps", "1,3", "--epochs", "1"]


def test_comparing(capsys, folder):
    assert main([*COMPARE, "--figure", "compare.png"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "MNIST: 200 rows, 784 features"
    assert lines[1] == "784-60-40-10, relu, cross_entropy in float32 on 200 samples"
    assert any(line.startswith("gradients     layer 3 ") for line in lines)
    assert "within the tolerance of 1e-04" in lines
    assert lines[-1] == "wrote compare.png"
    assert os.listdir(folder) == ["compare.png"]
    assert np.ptp(plt.imread("compare.png")) > 0.5


def test_a_tolerance_that_is_exceeded_is_status_1(capsys, monkeypatch, folder):
    monkeypatch.setitem(fastmlp.comparison.TOLERANCES, "float32", 1e-12)
    assert main(COMPARE) == 1
    assert "marked ! where beyond the tolerance of 1e-12" in capsys.readouterr().out
    assert os.listdir(folder) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--steps", "one"], "--steps must be numbers separated by commas such as 1,10,100, got 'one'"),
        (["--steps", ""], "steps must name at least one number of batches, got none"),
        (["--figure", "missing/a.png"], "--figure must be a file in an existing folder, got missing/a.png"),
    ],
)
def test_errors_in_comparing(arguments, message, capsys):
    assert main([*COMPARE, *arguments]) == 2
    assert capsys.readouterr().err == f"fastmlp: error: {message}\n"


@pytest.mark.parametrize(
    "arguments", [[], ["fly"], ["train", "--backend", "cuda"], ["train", "--lr", "much"], ["train", "--no-such-option"]]
)
def test_usage_errors(arguments, capsys):
    assert main(arguments) == 2
    assert "usage: fastmlp" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["compare", "--help"]])
def test_help(arguments, capsys):
    assert main(arguments) == 0
    assert "usage: fastmlp" in capsys.readouterr().out


def test_gradients(folder, capsys):
    options = ["--depths", "1,3", "--activations", "sigmoid", "--inits", "0.01, he", "--width", "8", "--epochs", "1"]
    assert main(["gradients", "--samples", "200", "--backend", "reference", *options]) == 0
    first, _, *rows, reading, outcome, last = capsys.readouterr().out.splitlines()
    assert first == "MNIST: 200 rows; 4 networks of 8 units a layer, 1 epochs each"
    assert [row.split()[:5] for row in rows] == [
        ["sigmoid", "init", init, depth, "hidden"] for init in ("0.01", "he") for depth in "13"
    ]
    assert all(re.search(r" hidden  loss \d\.\d{3}, accuracy 0\.\d{3}  ", row) for row in rows)
    assert [len(row.split()) - 9 for row in rows] == [2, 4, 2, 4]
    assert reading.startswith("from 1 to 3 hidden layers the first layer's gradient falls most in sigmoid with init ")
    assert outcome.startswith("after training, least learned is in sigmoid with init ")
    assert last.startswith("wrote fastmlp-gradients.csv and fastmlp-gradients.png; ")
    assert len((folder / "fastmlp-gradients.csv").read_text().splitlines()) == 1 + 2 * 2 + 2 * 4
    assert np.ptp(plt.imread("fastmlp-gradients.png")) > 0.5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--depths", "two"], "--depths must be numbers separated by commas such as 2,4,8, got 'two'"),
        (["--inits", "big"], "--inits must be 'he', 'xavier' or a number, got 'big'"),
        (["--csv", "missing/a.csv"], "--csv must be a file in an existing folder, got missing/a.csv"),
        (["--depths", ""], "depths must hold at least one value, got none"),
        (
            ["--activations", "relu,elu/tanh", "--depths", "2,4"],
            "activations[1] must be one name, or one for each hidden layer (4), got 2",
        ),
    ],
)
def test_unfit_options_of_gradients(arguments, message, folder, capsys):
    assert main(["gradients", "--samples", "50", "--backend", "reference", *arguments]) == 2
    assert capsys.readouterr().err == f"fastmlp: error: {message}\n"
    assert os.listdir(folder) == []


def test_a_network_that_diverged_at_once_is_not_written(folder, capsys):
    assert main([*SMALL, "--lr", "1e300"]) == 1
    err = capsys.readouterr().err
    assert re.fullmatch(r"fastmlp: error: training diverged in epoch 1; .*, so nothing is written\n", err), err
    assert os.listdir(folder) == []


def test_a_network_that_diverged_later_is_written_and_status_1(monkeypatch, folder, capsys):
    from fastmlp.descent import Descent

    run_epoch, count = Descent.run_epoch, []

    def diverge(self, *arguments, **options):
        count.append(1)
        return np.nan if len(count) == 3 else run_epoch(self, *arguments, **options)

    monkeypatch.setattr(Descent, "run_epoch", diverge)
    assert main([*TRAIN, "--epochs", "9"]) == 1
    out, err = capsys.readouterr()
    assert re.fullmatch(r"fastmlp: error: training diverged in epoch 3; the network of epoch 2 is kept .*\n", err), err
    assert out.endswith("wrote fastmlp-model.npz and fastmlp-train.png\n")
    check_saved(2)


def test_other_warnings_are_told(monkeypatch):
    train = fastmlp.train

    def warn(*arguments, **options):
        warnings.warn("something else", UserWarning, stacklevel=1)
        return train(*arguments, **options)

    monkeypatch.setattr(fastmlp, "train", warn)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        with pytest.warns(UserWarning, match="something else"):
            assert main(TRAIN) == 0


# --- the command as a process of its own


def start(*arguments, environment=None, **options):
    """Start the command of this package, whichever is installed."""
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent), **(environment or {})}
    command = [sys.executable, "-m", "fastmlp", *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | options
    return subprocess.Popen(command, env=environment, **pipes)


def finish(process):
    """Return the exit status and what the process printed, or kill it."""
    with process:
        try:
            out, err = process.communicate(timeout=120)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    return process.returncode, out, err


def run(*arguments, **options):
    return finish(start(*arguments, **options))


def test_the_module_is_this_package(folder):
    script = "import fastmlp.cli; print(fastmlp.cli.__file__)"
    (folder / "sitecustomize.py").write_text(script)
    status, out, _ = run("--version", environment={"PYTHONPATH": f"{PACKAGE.parent}{os.pathsep}{folder}"})
    assert (status, out.splitlines()) == (0, [fastmlp.cli.__file__, f"fastmlp {fastmlp.__version__}"])


def test_the_module_returns_the_status():
    status, _, err = run("train", "--data", "missing.npz")
    assert status == 2
    assert err.startswith("fastmlp: error: ")
    assert len(err.splitlines()) == 1


TRAIN = [*SMALL, "--backend", "reference"]


def check_saved(epochs=2):
    """Check that both results of TRAIN are there, and nothing else."""
    assert sorted(os.listdir()) == ["fastmlp-model.npz", "fastmlp-train.png"]
    assert len(fastmlp.MLP.load("fastmlp-model.npz").history) == epochs
    assert np.ptp(plt.imread("fastmlp-train.png")) > 0.5


def test_a_reader_that_leaves_costs_no_network():
    process = start(*TRAIN, environment={"PYTHONUNBUFFERED": "1"})
    assert process.stdout.readline().startswith("MNIST: 240 training rows")
    process.stdout.close()
    process.stdout = None
    status, _, err = finish(process)
    assert (status, err) == (1, "fastmlp: error: standard output could not be written: Broken pipe\n")
    check_saved()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
@pytest.mark.parametrize("arguments", [TRAIN, ["--help"], ["--version"]], ids=["train", "help", "version"])
def test_a_full_standard_output_costs_no_network(arguments):
    with open("/dev/full", "w") as full:
        status, _, err = run(*arguments, stdout=full, environment={"PYTHONUNBUFFERED": ""})
    assert (status, err) == (1, "fastmlp: error: standard output could not be written: No space left on device\n")
    if arguments is TRAIN:
        check_saved()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_a_full_standard_error_costs_no_network():
    with open("/dev/full", "w") as full:
        assert run(*TRAIN, stdout=full, stderr=full)[0] == 1
    check_saved()


def test_no_standard_output_costs_no_network(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    assert main(TRAIN) == 0
    check_saved()


def test_a_closed_standard_output_costs_no_network(monkeypatch, capsys):
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stdout", closed)
    assert main(TRAIN) == 1
    assert capsys.readouterr().err.startswith("fastmlp: error: standard output could not be written: I/O operation on ")
    check_saved()


def test_a_descriptor_that_is_closed_costs_no_network():
    assert run(*TRAIN, stdout=None, preexec_fn=lambda: os.close(1)) == (0, None, "")
    check_saved()


def test_a_narrow_encoding_costs_no_network(folder):
    rng = np.random.default_rng(0)
    np.savez("größe.npz", X=rng.normal(size=(40, 3)), y=np.arange(40) % 2)
    options = ["--data", "größe.npz", "--hidden", "2", "--epochs", "2", "--backend", "reference"]
    status, out, err = run("train", *options, environment={"PYTHONIOENCODING": "ascii"})
    assert (status, err) == (0, "")
    assert out.startswith("gr\\xf6\\xdfe.npz: 32 training rows")
    (folder / "größe.npz").unlink()
    check_saved()


# --- where results go


def name_a_folder(folder):
    (folder / "there").mkdir()
    return "there"


def name_nothing(folder):
    return ""


def name_a_pipe(folder):
    os.mkfifo(folder / "pipe")
    return "pipe"


def name_a_long_name(folder):
    return 300 * "a"


def name_a_circle(folder):
    (folder / "circle").symlink_to("circle")
    return "circle"


def name_below_a_file(folder):
    (folder / "file").write_text("")
    return "file/a.npz"


def name_a_file_of_the_system(folder):
    return "/proc/fastmlp.png"  # a folder that takes no files, not even from root


UNFIT_PLACES = [
    name_a_folder,
    name_nothing,
    name_a_pipe,
    name_a_long_name,
    name_a_circle,
    name_below_a_file,
    name_a_file_of_the_system,
]


@pytest.mark.parametrize("option", ["--model", "--figure", "--checkpoint"])
@pytest.mark.parametrize("make", UNFIT_PLACES)
def test_where_results_go_is_checked_before_training(make, option, folder, capsys):
    path = make(folder)
    before = sorted(os.listdir())
    assert main([*TRAIN, option, path]) == 2
    out, err = capsys.readouterr()
    assert err.startswith(f"fastmlp: error: {option} must be a file ")
    assert len(err.splitlines()) == 1
    assert out == ""
    assert sorted(os.listdir()) == before


@pytest.mark.parametrize(
    ("command", "option"), [("compare", "--figure"), ("gradients", "--figure"), ("gradients", "--csv")]
)
def test_so_it_is_in_the_other_commands(command, option, folder, capsys):
    assert main([command, "--samples", "50", option, str(folder)]) == 2
    out, err = capsys.readouterr()
    assert err == f"fastmlp: error: {option} must be a file that can be written, got {folder}: Is a directory\n"
    assert out == ""


@pytest.mark.parametrize(
    ("refused", "message"),
    [
        (PermissionError(13, "Permission denied"), "Permission denied"),
        (OSError(30, "Read-only file system"), "Read-only file system"),
        (OSError(28, "No space left on device"), "No space left on device"),
    ],
)
def test_a_folder_that_takes_no_file(refused, message, monkeypatch, folder, capsys):
    def refuse(*arguments, **options):
        assert options["dir"] == folder
        raise refused

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    assert main([*TRAIN, "--figure", "b.png"]) == 2
    expected = f"fastmlp: error: --figure must be a file that can be written, got b.png: {message}\n"
    assert capsys.readouterr() == ("", expected)


def test_a_file_that_is_there_is_replaced_only_by_the_result(folder, capsys):
    (folder / "fastmlp-model.npz").write_text("old")
    (folder / "fastmlp-train.png").write_text("old")
    assert main([*TRAIN, "--lr", "0"]) == 2
    assert (folder / "fastmlp-model.npz").read_text() == (folder / "fastmlp-train.png").read_text() == "old"
    capsys.readouterr()
    assert main(TRAIN) == 0
    check_saved()


def test_results_and_data_are_different_files(table, folder, capsys):
    np.savez("data.npz", X=table[0], y=table[1])
    content = (folder / "data.npz").read_bytes()
    (folder / "link.npz").symlink_to("data.npz")
    assert main(["train", "--data", "data.npz", "--model", "link.npz"]) == 2
    assert capsys.readouterr().err == "fastmlp: error: --model must not be the file of --data, got link.npz\n"
    assert main(["train", "--resume", "data.npz", "--model", "data.npz"]) == 2
    assert capsys.readouterr().err == "fastmlp: error: --model must not be the file of --resume, got data.npz\n"
    assert main([*TRAIN, "--checkpoint", "a.npz", "--model", "a.npz"]) == 2
    assert capsys.readouterr().err == "fastmlp: error: --checkpoint must not be the file of --model, got a.npz\n"
    assert main([*TRAIN, "--figure", "a.png", "--model", "./a.png"]) == 2
    assert capsys.readouterr().err == "fastmlp: error: --model must not be the file of --figure, got a.png\n"
    assert (folder / "data.npz").read_bytes() == content


@pytest.mark.parametrize("command", [TRAIN, ["compare", "--samples", "50"], ["gradients", "--samples", "50"]])
def test_the_format_of_a_figure_is_checked_before_training(command, folder, capsys):
    assert main([*command, "--figure", "figure.unknown"]) == 2
    out, err = capsys.readouterr()
    assert re.fullmatch(r"fastmlp: error: --figure must end in one of (\.\w+, )+got figure\.unknown\n", err)
    assert out == ""
    assert os.listdir() == []


def test_a_figure_has_the_name_that_was_asked_for(capsys):
    assert main([*TRAIN, "--figure", "figure", "--model", "model"]) == 0
    assert capsys.readouterr().out.endswith("wrote model and figure\n")
    assert sorted(os.listdir()) == ["figure", "model"]
    with open("figure", "rb") as file:
        assert np.ptp(plt.imread(file)) > 0.5


def test_a_figure_that_cannot_be_drawn_does_not_cost_the_network(monkeypatch, capsys):
    def fail(history):
        raise RuntimeError("no such font")

    monkeypatch.setattr(fastmlp.History, "plot", fail)
    assert main(TRAIN) == 1
    out, err = capsys.readouterr()
    assert err == "fastmlp: error: fastmlp-train.png could not be written: no such font\n"
    assert out.endswith("wrote fastmlp-model.npz\n")
    assert fastmlp.MLP.load("fastmlp-model.npz").widths == (784, 16, 10)


@pytest.mark.parametrize(("room", "failing"), [(30_000, 2), (40_000, 1)])
def test_a_disk_that_fills_while_training_costs_only_what_does_not_fit(room, failing):
    options = ["--hidden", "", "--epochs", "1"]
    status, out, err = run(*TRAIN, *options, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (room, -1)))
    failures = [
        f"{name} could not be written: File too large"
        for name in ("fastmlp-model.npz", "fastmlp-train.png")[2 - failing :]
    ]
    assert status == 1
    assert err.splitlines()[-1] == f"fastmlp: error: {'; '.join(failures)}"  # Matplotlib may have lines of its own
    assert "final test accuracy" in out
    assert out.endswith("s in all\n" if failing == 2 else "wrote fastmlp-model.npz\n")
    if failing == 1:
        assert fastmlp.MLP.load("fastmlp-model.npz").widths == (784, 10)


def test_a_disk_that_is_full_is_noticed_before_training():
    status, out, err = run(*TRAIN, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, -1)))
    message = "--figure must be a file that can be written, got fastmlp-train.png: File too large"
    assert (status, out, err) == (2, "", f"fastmlp: error: {message}\n")
    assert os.listdir() == []


def test_gradients_that_cannot_be_drawn_do_not_cost_the_table(monkeypatch, capsys):
    def fail(flow):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fastmlp.flow.GradientFlow.plot", fail)
    options = ["--depths", "1", "--inits", "he", "--width", "4", "--epochs", "1", "--backend", "reference"]
    assert main(["gradients", "--samples", "50", *options]) == 1
    out, err = capsys.readouterr()
    assert err == "fastmlp: error: fastmlp-gradients.png could not be written: No space left on device\n"
    assert "wrote fastmlp-gradients.csv; " in out
    assert os.listdir() == ["fastmlp-gradients.csv"]


# --- Ctrl-C


def interrupt_in_epoch(monkeypatch, epoch):
    """Have the reference training get a Ctrl-C inside an epoch, counted from 1."""
    from fastmlp.descent import Descent

    run_epoch, count = Descent.run_epoch, []

    def interrupted(self, *arguments, **options):
        count.append(1)
        if len(count) == epoch:
            os.kill(os.getpid(), signal.SIGINT)
        return run_epoch(self, *arguments, **options)

    monkeypatch.setattr(Descent, "run_epoch", interrupted)


def test_an_interrupted_training_is_saved(monkeypatch, capsys):
    interrupt_in_epoch(monkeypatch, 3)
    assert main([*TRAIN, "--epochs", "9"]) == 0
    out, err = capsys.readouterr()
    assert "interrupted: the network after 2 whole epochs is kept\n" in out
    assert err == ""
    check_saved(2)


def test_nothing_is_left_of_an_interrupted_first_epoch(monkeypatch, capsys):
    interrupt_in_epoch(monkeypatch, 1)
    assert main(TRAIN) == 1
    out, err = capsys.readouterr()
    assert out.endswith("interrupted in the first epoch\n")
    assert err == "fastmlp: error: no epoch was finished, so nothing is written\n"
    assert os.listdir() == []


def test_an_interrupt_after_the_last_epoch_costs_no_network(monkeypatch):
    train = fastmlp.train

    def late(*arguments, **options):
        train(*arguments, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(fastmlp, "train", late)
    assert main(TRAIN) == 0
    check_saved()


def test_interrupts_while_results_are_written_are_too_late(monkeypatch):
    save = fastmlp.MLP.save

    def interrupted(*arguments):
        os.kill(os.getpid(), signal.SIGINT)
        save(*arguments)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(fastmlp.MLP, "save", interrupted)
    handler = signal.getsignal(signal.SIGINT)
    assert main(TRAIN) == 0
    assert signal.getsignal(signal.SIGINT) is handler
    check_saved()


@pytest.mark.parametrize("command", [TRAIN, COMPARE, ["gradients", "--samples", "100", "--backend", "reference"]])
def test_an_interrupt_elsewhere_is_one_line_and_status_130(command, monkeypatch, capsys):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(fastmlp.datasets, "load_mnist", interrupted)
    handler = signal.getsignal(signal.SIGINT)
    assert main(command) == 130
    assert capsys.readouterr() == ("", "fastmlp: interrupted\n")
    assert signal.getsignal(signal.SIGINT) is handler
    assert os.listdir() == []


def test_interrupted_gradients_are_not_measured_on(monkeypatch, capsys):
    interrupt_in_epoch(monkeypatch, 2)
    options = ["--depths", "1", "--width", "4", "--epochs", "2", "--backend", "reference"]
    assert main(["gradients", "--samples", "100", *options]) == 130
    assert capsys.readouterr().err == "fastmlp: interrupted\n"
    assert os.listdir() == []


def test_the_command_works_in_any_thread(monkeypatch):
    found = []
    thread = threading.Thread(target=lambda: found.append(main(TRAIN)))
    thread.start()
    thread.join()
    assert found == [0]
    check_saved()


@pytest.mark.parametrize("delay", [0.43, 0.77, 1.21])
def test_an_interrupt_at_any_moment_leaves_no_traceback(delay):
    process = start(*TRAIN, "--epochs", "400", environment={"PYTHONUNBUFFERED": "1"})
    process.stdout.read(1)  # past the start of the interpreter
    time.sleep(delay)
    process.send_signal(signal.SIGINT)
    status, out, err = finish(process)
    if status == 0:
        assert err == ""
        check_saved(len(re.findall(r"^epoch ", out, re.M)))
    else:  # the interpreter ends itself by the signal where it came during an import
        ends = {1: "error: no epoch was finished, so nothing is written", 130: "interrupted", -2: "interrupted"}
        assert err == f"fastmlp: {ends[status]}\n"
        assert os.listdir() == []


# --- odd surroundings


def test_no_home_no_locale_no_terminal_no_width():
    environment = {name: os.environ[name] for name in ("FASTMLP_CACHE_DIR", "PATH") if name in os.environ}
    environment |= {"LC_ALL": "C", "COLUMNS": "1", "PYTHONPATH": str(PACKAGE.parent), "HOME": "/proc/nobody"}
    options = {"env": environment, "capture_output": True, "text": True, "timeout": 120, "check": True}
    for arguments in (["--help"], ["train", "--help"], ["compare", "--help"], ["gradients", "--help"], TRAIN):
        assert subprocess.run([sys.executable, "-m", "fastmlp", *arguments], **options).stdout
    check_saved()


@pytest.mark.parametrize("backend", ["tkagg", "module://matplotlib_inline.backend_inline"])
def test_figures_need_neither_a_screen_nor_the_backend_of_another_environment(backend):
    status, _, err = run(*TRAIN, environment={"MPLBACKEND": backend, "DISPLAY": "", "WAYLAND_DISPLAY": ""})
    assert (status, err) == (0, "")
    check_saved()


@pytest.mark.parametrize("columns", [1, 9, 200])
def test_a_terminal_of_any_width(columns):
    import fcntl
    import struct
    import termios

    main_end, other_end = pty.openpty()
    fcntl.ioctl(other_end, termios.TIOCSWINSZ, struct.pack("4H", 5, columns, 0, 0))
    process = start(*TRAIN, stdout=other_end, environment={"TERM": ""})
    os.close(other_end)
    told = b""
    try:
        while chunk := os.read(main_end, 4096):
            told += chunk
    except OSError:  # so ends a terminal whose other side is closed
        pass
    status, _, err = finish(process)
    os.close(main_end)
    assert (status, err) == (0, "")
    assert b"final test accuracy" in told
    check_saved()


def test_rows_without_classes_are_split_as_scikit_learn_does():
    from sklearn.model_selection import train_test_split

    for n, test_size in ((5000, 0.2), (7, 0.33), (2, 0.5)):
        wanted = train_test_split(np.arange(n), test_size=test_size, random_state=42)
        for mine, rows in zip(split_plainly(n, test_size), wanted, strict=True):
            np.testing.assert_array_equal(mine, rows)
    with pytest.raises(ValueError, match=r"--test-size must leave a row to train on, got 0\.9 of 3"):
        split_plainly(3, 0.9)
