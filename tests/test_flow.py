"""The vanishing-gradient experiment: its table, its reading, its figure."""

import csv

import matplotlib.pyplot as plt
import numpy as np
import pytest

import fastmlp
from fastmlp.flow import GradientFlow, Row


@pytest.fixture(scope="module")
def flow():
    X, y = fastmlp.datasets.load_mnist(300)
    return fastmlp.gradient_flow(
        X, y, depths=(1, 4), activations=("sigmoid", "relu"), inits=(0.01, "he"), width=8, num_epochs=2, seed=0,
        backend="reference",
    )  # fmt: skip


def test_a_row_for_every_layer_of_every_network_and_epoch(flow):
    expected = [
        (activation, init, depth, layer, epoch)
        for activation in ("sigmoid", "relu")
        for init in (0.01, "he")
        for depth in (1, 4)
        for epoch in (1, 2)
        for layer in range(1, depth + 2)
    ]
    assert [row[:5] for row in flow.rows] == expected
    assert all(row.gradient_magnitude > 0 for row in flow.rows)


def test_the_figures_are_those_of_a_training(flow):
    X, y = fastmlp.datasets.load_mnist(300)
    history = fastmlp.train(
        X, y, hidden=(8,) * 4, activation="sigmoid", init=0.01, num_epochs=2, seed=0, track_gradients=True,
        backend="reference", verbose=False,
    ).history  # fmt: skip
    for epoch in (1, 2):
        assert flow.magnitudes("sigmoid", 0.01, 4, epoch) == history.gradient_magnitude[epoch - 1]


def test_the_reading(flow):
    assert flow.reading.startswith(
        "from 1 to 4 hidden layers the first layer's gradient falls most in sigmoid with init 0.01 (from "
    )
    assert "holds best in relu with init he" in flow.reading
    first = flow.magnitudes("sigmoid", 0.01, 4)[0]
    assert f"to {first:.1e})" in flow.reading
    alone = GradientFlow([row for row in flow.rows if row.depth == 4])
    assert alone.reading.startswith(f"with 4 hidden layers the first layer's gradient is {first:.1e} in sigmoid")
    one = GradientFlow([Row("relu", "he", depth, 1, 1, 0.5 / depth) for depth in (1, 2)])
    assert one.reading.endswith("gradient goes from 5.0e-01 to 2.5e-01 in relu with init he")


def test_the_table_can_be_read_again(flow, tmp_path):
    flow.to_csv(tmp_path / "flow.csv")
    with open(tmp_path / "flow.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["activation", "init", "depth", "layer", "epoch", "gradient_magnitude"]
    assert [float(row["gradient_magnitude"]) for row in rows] == [row.gradient_magnitude for row in flow.rows]


def test_the_figure(flow):
    assert flow.plot() is flow
    assert flow.axes_.shape == (2, 2)
    assert flow.axes_[0, 0].get_title() == "sigmoid with init 0.01"
    for ax in flow.axes_.ravel():
        assert ax.get_yscale() == "log"
        assert [len(line.get_xdata()) for line in ax.lines] == [2, 5]
    np.testing.assert_array_equal(flow.axes_[1, 1].lines[1].get_ydata(), flow.magnitudes("relu", "he", 4))
    with pytest.raises(ValueError, match=r"^epoch must be one from 1 to 2, got 3$"):
        flow.plot(epoch=3)
    plt.close("all")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"depths": 2}, TypeError, r"^depths must be a list of values, got 2$"),
        ({"depths": []}, ValueError, r"^depths must hold at least one value, got none$"),
        ({"depths": [0]}, ValueError, r"^depths must be at least 1, got 0$"),
        ({"activations": "relu"}, TypeError, r"^activations must be a list of values, got 'relu'$"),
        ({"activations": ["step"]}, ValueError, r"^activations must be one of .*, got 'step'$"),
        ({"inits": ["tiny"]}, ValueError, r"^inits must be one of 'he', 'xavier', got 'tiny'$"),
        ({"width": 0}, ValueError, r"^width must be at least 1, got 0$"),
        ({"lr": 0}, ValueError, r"^lr must be .*, got 0$"),
    ],
)
def test_unfit_arguments(options, error, message, blobs):
    with pytest.raises(error, match=message):
        fastmlp.gradient_flow(*blobs, backend="reference", **options)
