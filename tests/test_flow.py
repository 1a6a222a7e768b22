"""The vanishing-gradient experiment: its table, its reading, its figure."""

import csv

import matplotlib.pyplot as plt
import numpy as np
import pytest
from support.overlaps import assert_nothing_covers_the_lines

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
        X, y, hidden=(8,) * 4, activation="sigmoid", init=0.01, num_epochs=2, batch_size=64, seed=0,
        track_gradients=True, backend="reference", verbose=False,
    ).history  # fmt: skip
    for epoch in (1, 2):
        assert flow.magnitudes("sigmoid", 0.01, 4, epoch) == history.gradient_magnitude[epoch - 1]


def test_layers_with_activations_of_their_own():
    X, y = fastmlp.datasets.load_mnist(100)
    options = {"num_epochs": 1, "seed": 0, "backend": "reference", "verbose": False}
    flow = fastmlp.gradient_flow(X, y, depths=[2], activations=["relu", ("relu", "tanh")], inits=["he"], **options)
    assert {row.activation for row in flow.rows} == {"relu", "relu/tanh"}
    history = fastmlp.train(
        X, y, hidden=(64, 64), activation=("relu", "tanh"), batch_size=64, track_gradients=True, **options
    ).history  # fmt: skip
    assert flow.magnitudes("relu/tanh", "he", 2) == history.gradient_magnitude[0]
    assert flow.magnitudes("relu", "he", 2) != history.gradient_magnitude[0]
    for line in ("relu      init he      2 hidden", "relu/tanh init he      2 hidden"):
        assert line in str(flow)


def test_what_each_epoch_led_to(flow):
    """Loss and accuracy of a training that has the same rows for its validation."""
    X, y = fastmlp.datasets.load_mnist(300)
    model = fastmlp.train(
        X, y, hidden=(8,) * 4, init="he", num_epochs=2, batch_size=64, seed=0, validation_data=(X, y),
        backend="reference", verbose=False,
    )  # fmt: skip
    rows = [row for row in flow.rows if row[:3] == ("relu", "he", 4)]
    assert len(rows) == 2 * 5
    for row in rows:
        assert row.loss == pytest.approx(model.history.loss[row.epoch - 1], rel=1e-6)
        assert row.accuracy == model.history.val_accuracy[row.epoch - 1]
    assert rows[-1].accuracy == model.score(X, y) > 0.2


def test_the_accuracy_is_that_on_other_rows_if_there_are(blobs):
    X, y = blobs
    other = X, (y + 1) % 3  # every right answer is wrong there
    options = {"depths": [1], "activations": ["relu"], "inits": ["he"], "seed": 0, "backend": "reference"}
    (*_, learned), (*_, missed) = (
        fastmlp.gradient_flow(X, y, num_epochs=20, validation_data=data, **options).rows for data in (None, other)
    )
    assert learned.accuracy > 0.9
    assert missed.accuracy < 0.1
    assert missed.loss == learned.loss


def test_a_regression_has_no_accuracy(blobs, tmp_path):
    X, _ = blobs
    flow = fastmlp.gradient_flow(X, X[:, 0], depths=[1, 2], inits=["he"], num_epochs=1, lr=0.01, backend="reference")
    assert all(row.accuracy is None and row.loss > 0 for row in flow.rows)
    assert "accuracy" not in flow.outcome
    flow.to_csv(tmp_path / "flow.csv")
    assert (tmp_path / "flow.csv").read_text().splitlines()[1].endswith(",")


def test_a_stalled_network_is_seen(flow):
    text = str(flow)
    lines = text.splitlines()
    assert lines[0] == "loss and accuracy after training; mean |gradient| of each layer before it, first layer first"
    assert lines[9:] == [flow.reading, flow.outcome]
    for line, (activation, init, depth) in zip(lines[1:9], dict.fromkeys(row[:3] for row in flow.rows), strict=True):
        *_, last = (row for row in flow.rows if row[:3] == (activation, init, depth))
        assert last.epoch == 2
        assert line.split()[:5] == [activation, "init", str(init), str(depth), "hidden"]
        assert f"hidden  loss {last.loss:.3f}, accuracy {last.accuracy:.3f}  " in line
        magnitudes = np.array(line.rpartition(", accuracy ")[2].split()[1:], float)
        np.testing.assert_allclose(magnitudes, flow.magnitudes(activation, init, depth), rtol=0.06)
    worst = max((row for row in flow.rows if row.epoch == 2), key=lambda row: row.loss)
    assert worst.activation == "sigmoid"
    assert worst.accuracy < 0.2
    assert flow.outcome.startswith(
        f"after training, least learned is in sigmoid with init {worst.init}, {worst.depth} hidden (loss "
        f"{worst.loss:.3f}, accuracy {worst.accuracy:.3f}), most in relu with init he, "
    )
    alone = GradientFlow([row for row in flow.rows if row[:3] == ("relu", "he", 4)])
    assert alone.outcome.startswith("after training: relu with init he, 4 hidden (loss ")


def test_the_reading(flow):
    assert flow.reading.startswith(
        "from 1 to 4 hidden layers the first layer's gradient falls most in sigmoid with init 0.01 (from "
    )
    assert "holds best in relu with init he" in flow.reading
    first = flow.magnitudes("sigmoid", 0.01, 4)[0]
    assert f"to {first:.1e})" in flow.reading
    alone = GradientFlow([row for row in flow.rows if row.depth == 4])
    assert alone.reading.startswith(f"with 4 hidden layers the first layer's gradient is {first:.1e} in sigmoid")
    one = GradientFlow([Row("relu", "he", depth, 1, 1, 0.5 / depth, 1.0, None) for depth in (1, 2)])
    assert one.reading.endswith("gradient goes from 5.0e-01 to 2.5e-01 in relu with init he")


def make_flow(first_layer):
    """Return a flow of one epoch and two layers from {(activation, init, depth): the first layer's gradient}."""
    return GradientFlow(
        [
            Row(*network, layer, 1, magnitude, 2.0, 0.5)
            for network, first in first_layer.items()
            for layer, magnitude in ((1, first), (2, 0.5))
        ]
    )


def test_the_reading_is_of_the_fall_and_not_of_the_size():
    flow = make_flow(
        {
            ("tanh", 0.01, 2): 1e-8, ("tanh", 0.01, 8): 0.9e-8,  # the smallest, and it hardly falls
            ("relu", "he", 2): 0.1, ("relu", "he", 8): 0.09,
            ("sigmoid", "he", 2): 10.0, ("sigmoid", "he", 8): 1.0,  # the largest, and it falls most
            ("relu", "xavier", 2): 1e-3, ("relu", "xavier", 8): 2e-3,
        }
    )  # fmt: skip
    assert flow.reading == (
        "from 2 to 8 hidden layers the first layer's gradient falls most in sigmoid with init he "
        "(from 1.0e+01 to 1.0e+00) and holds best in relu with init xavier (from 1.0e-03 to 2.0e-03)"
    )


def test_depths_in_any_order():
    flow = make_flow({("relu", "he", 8): 0.1, ("relu", "he", 2): 0.5, ("relu", "he", 4): 0.3})
    assert flow.reading == (
        "from 2 to 8 hidden layers the first layer's gradient goes from 5.0e-01 to 1.0e-01 in relu with init he"
    )


def test_a_network_that_diverged_at_once_has_no_part_in_the_reading():
    measured = {("relu", "he", 2): 0.4, ("relu", "he", 8): 0.2}
    one_lacks = make_flow(measured | {("relu", 0.01, 2): 1.0})
    assert one_lacks.reading == make_flow(measured).reading
    assert len(one_lacks.plot().axes_[0, 1].lines) == 2
    texts = [text.get_text() for text in one_lacks.axes_[0, 1].get_legend().get_texts()]
    assert texts == ["2 hidden: loss 2.000, accuracy 0.500", "8 hidden: diverged at once"]
    assert "relu     init 0.01    8 hidden  diverged at once" in str(one_lacks)
    plt.close("all")
    for nothing in ({}, {("relu", 0.01, 2): 1.0, ("relu", "he", 8): 0.2}):
        assert make_flow(nothing).reading == "too many trainings diverged in their first epoch to compare depths"


def test_trainings_that_all_diverge_at_once(blobs):
    with pytest.warns(RuntimeWarning, match="diverged in epoch 1"):
        flow = fastmlp.gradient_flow(*blobs, depths=[1], lr=1e300, backend="reference")
    assert flow.rows == []
    assert flow.reading.startswith("too many trainings diverged")
    assert flow.outcome == "no training came to the end of its first epoch"
    assert str(flow).count("\n") == 2
    with pytest.raises(ValueError, match=r"^rows must hold at least one gradient to be drawn, got none$"):
        flow.plot()
    assert plt.get_fignums() == []


def test_an_interrupt_ends_all_trainings(blobs):
    epochs = []

    def interrupt(model, history):
        epochs.append(len(history))
        if len(epochs) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fastmlp.gradient_flow(*blobs, depths=[1, 2], num_epochs=2, callbacks=iter([interrupt]), backend="reference")
    assert epochs == [1, 2, 1]


def test_a_callback_may_stop_each_training(blobs):
    flow = fastmlp.gradient_flow(*blobs, depths=[1], callbacks=[lambda model, history: True], backend="reference")
    assert {row.epoch for row in flow.rows} == {1}
    assert len({row[:3] for row in flow.rows}) == 6


def test_the_table_can_be_read_again(flow, tmp_path):
    flow.to_csv(tmp_path / "flow.csv")
    with open(tmp_path / "flow.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["activation", "init", "depth", "layer", "epoch", "gradient_magnitude", "loss", "accuracy"]
    for name in ("loss", "accuracy"):
        assert [float(row[name]) for row in rows] == [getattr(row, name) for row in flow.rows]
    assert [float(row["gradient_magnitude"]) for row in rows] == [row.gradient_magnitude for row in flow.rows]


def test_the_figure(flow):
    assert flow.plot() is flow
    assert flow.axes_.shape == (2, 2)
    assert flow.axes_[0, 0].get_title() == "sigmoid with init 0.01"
    for ax in flow.axes_.ravel():
        assert ax.get_yscale() == "log"
        assert [len(line.get_xdata()) for line in ax.lines] == [2, 5]
    assert flow.figure_.get_suptitle() == "Gradient of each layer, before training; loss and accuracy after training"
    for panels, activation in zip(flow.axes_, ("sigmoid", "relu"), strict=True):
        for ax, init in zip(panels, (0.01, "he"), strict=True):
            for text, depth in zip(ax.get_legend().get_texts(), (1, 4), strict=True):
                *_, last = (row for row in flow.rows if row[:3] == (activation, init, depth))
                assert text.get_text() == f"{depth} hidden: loss {last.loss:.3f}, accuracy {last.accuracy:.3f}"
    assert_nothing_covers_the_lines(flow.figure_)
    legends = [ax.get_legend().get_window_extent() for ax in flow.axes_.ravel()]
    assert not any(box.overlaps(ax.get_window_extent()) for box in legends for ax in flow.axes_.ravel())
    np.testing.assert_array_equal(flow.axes_[1, 1].lines[1].get_ydata(), flow.magnitudes("relu", "he", 4))
    with pytest.raises(ValueError, match=r"^epoch must be one from 1 to 2, got 3$"):
        flow.plot(epoch=3)
    plt.close("all")


def test_the_figure_of_a_later_epoch(flow):
    flow.plot(epoch=2)
    assert flow.figure_.get_suptitle().startswith("Gradient of each layer, at the beginning of epoch 2;")
    for panels, activation in zip(flow.axes_, ("sigmoid", "relu"), strict=True):
        for ax, init in zip(panels, (0.01, "he"), strict=True):
            assert ax.get_title() == f"{activation} with init {init}"
            for line, depth in zip(ax.lines, (1, 4), strict=True):
                np.testing.assert_array_equal(line.get_xdata(), np.arange(1, depth + 2))
                np.testing.assert_array_equal(line.get_ydata(), flow.magnitudes(activation, init, depth, 2))
                assert np.all(line.get_ydata() != flow.magnitudes(activation, init, depth, 1))
    plt.close("all")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"depths": 2}, TypeError, r"^depths must be a list of values, got 2$"),
        ({"depths": []}, ValueError, r"^depths must hold at least one value, got none$"),
        ({"depths": [0]}, ValueError, r"^depths must be at least 1, got 0$"),
        ({"activations": "relu"}, TypeError, r"^activations must be a list of values, got 'relu'$"),
        ({"activations": ["relu", "step"]}, ValueError, r"^activations\[1\] must be one of .*, got 'step'$"),
        ({"activations": [["relu", "step"]]}, ValueError, r"^activations\[0\]\[1\] must be one of .*, got 'step'$"),
        (
            {"activations": ["tanh", ("relu", "tanh")], "depths": [2, 3]},
            ValueError,
            r"^activations\[1\] must be one name, or one for each hidden layer \(3\), got 2$",
        ),
        ({"inits": ["tiny"]}, ValueError, r"^inits must be one of 'he', 'xavier', got 'tiny'$"),
        ({"width": 0}, ValueError, r"^width must be at least 1, got 0$"),
        ({"callbacks": 3}, TypeError, r"^callbacks must be a list of callables, got 3$"),
        ({"lr": 0}, ValueError, r"^lr must be .*, got 0$"),
    ],
)
def test_unfit_arguments(options, error, message, blobs):
    with pytest.raises(error, match=message):
        fastmlp.gradient_flow(*blobs, backend="reference", **options)
