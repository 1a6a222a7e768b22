"""Figures: which lines and labels they have, and that they need no screen."""

import subprocess
import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from support.overlaps import assert_nothing_covers_the_lines, covered

import fastmlp
from fastmlp import History
from fastmlp.display import (
    ActivationHistogramDisplay,
    EpochTimeDisplay,
    FiltersDisplay,
    GradientFlowDisplay,
    HistoryDisplay,
    WeightHistogramDisplay,
    plot_confusion_matrix,
)


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture
def history():
    return History(
        loss=[2.0, 1.0, 0.5], val_loss=[2.1, 1.2, 0.9], val_accuracy=[0.3, 0.6, 0.75], seconds=[0.1, 0.1, 0.1]
    )


def test_two_panels_show_the_history(history):
    display = history.plot()
    assert isinstance(display, HistoryDisplay)
    left, right = display.axes_
    assert display.figure_ is left.figure is right.figure
    training, validation = left.lines
    lines = (training, validation, right.lines[0])
    for line, values in zip(lines, (history.loss, history.val_loss, history.val_accuracy), strict=True):
        assert_array_equal(line.get_xdata(), [1, 2, 3])
        assert_array_equal(line.get_ydata(), values)
    assert [text.get_text() for text in left.get_legend().get_texts()] == ["training", "validation"]
    assert (left.get_title(), left.get_xlabel(), left.get_ylabel()) == ("Loss", "epoch", "loss")
    assert right.get_title() == "Validation accuracy, in the end 0.7500"
    assert (right.get_xlabel(), right.get_ylabel()) == ("epoch", "accuracy")


@pytest.mark.parametrize("accuracy", [(0.3, 0.6, 0.75), (0.6, 0.93, 0.93), (0.9, 0.5, 0.2), (0.5, 0.5, 0.5)])
def test_nothing_covers_the_accuracies(history, accuracy):
    history.val_accuracy = list(accuracy)
    display = history.plot()
    assert_nothing_covers_the_lines(display.figure_)


def test_without_validation_there_is_one_line_and_a_note(history):
    history.val_loss, history.val_accuracy = [], []
    left, right = history.plot().axes_
    assert len(left.lines) == 1
    assert left.get_legend() is None
    assert len(right.lines) == 0
    assert [text.get_text() for text in right.texts] == ["no validation accuracy"]
    assert right.get_title() == "Validation accuracy"


def test_one_epoch_is_visible_as_a_marker():
    left, _ = History(loss=[1.0], seconds=[0.1]).plot().axes_
    assert left.lines[0].get_marker() == "o"


@pytest.mark.parametrize("epochs", [1, 2, 3, 50])
def test_epochs_are_whole_numbers(epochs):
    left, _ = History(loss=[1.0] * epochs, seconds=[0.1] * epochs).plot().axes_
    left.figure.canvas.draw()
    assert len(left.get_xticks()) > 0
    assert all(float(tick).is_integer() for tick in left.get_xticks())


def test_given_axes_are_used(history):
    figure, axes = plt.subplots(2, 1)
    display = HistoryDisplay.from_history(history).plot(axes)
    assert display.figure_ is figure
    assert all(used is given for used, given in zip(display.axes_, axes, strict=True))
    assert len(plt.get_fignums()) == 1


def test_an_empty_history_cannot_be_drawn():
    with pytest.raises(ValueError, match=r"^history must hold at least one epoch to be drawn, got none$"):
        History().plot()
    assert plt.get_fignums() == []


def test_a_figure_can_be_written_without_a_screen(history, tmp_path):
    script = f"""
import os
for name in ("DISPLAY", "WAYLAND_DISPLAY", "MPLBACKEND"):
    os.environ.pop(name, None)
from fastmlp import History
History(loss=[2.0, 1.0], seconds=[0.1, 0.1]).plot().figure_.savefig({str(tmp_path / "figure.png")!r})
"""
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True, timeout=120)
    pixels = plt.imread(tmp_path / "figure.png")
    assert np.ptp(pixels) > 0.5


# --- gradients, times


@pytest.fixture(scope="module")
def digits():
    """A small network on pixels, trained with every figure recorded."""
    X, y = fastmlp.datasets.load_mnist(300)
    model = fastmlp.train(
        X, y, hidden=(16, 12), num_epochs=3, batch_size=64, track_gradients="first_epoch", seed=0,
        backend="reference", verbose=False,
    )  # fmt: skip
    return model, X, y


def test_gradients_over_epochs(digits):
    history = digits[0].history
    display = GradientFlowDisplay.from_history(history).plot()
    assert display.ax_.get_yscale() == "log"
    for layer, line in enumerate(display.ax_.lines):
        assert_array_equal(line.get_xdata(), [1, 2, 3])
        assert_array_equal(line.get_ydata(), [row[layer] for row in history.gradient_magnitude])
    assert [text.get_text() for text in display.ax_.get_legend().get_texts()] == ["layer 1", "layer 2", "layer 3"]
    assert len({(line.get_color(), line.get_marker(), line.get_linestyle()) for line in display.ax_.lines}) == 3
    assert len({(line.get_marker(), line.get_linestyle()) for line in display.ax_.lines}) == 3


def test_gradients_through_the_first_epoch(digits):
    figure, ax = plt.subplots()
    display = GradientFlowDisplay.from_history(digits[0].history, first_epoch=True).plot(ax)
    assert display.ax_ is ax
    assert display.figure_ is figure
    assert len(ax.lines[0].get_xdata()) == 5
    assert ax.get_xlabel() == "batch of the first epoch"
    assert ax.get_title() == "Gradient of each layer per batch of the first epoch"
    over_epochs = GradientFlowDisplay.from_history(digits[0].history).plot().ax_
    assert over_epochs.get_title() == "Gradient of each layer per epoch"


@pytest.mark.parametrize("scale", ["linear", "log"])
@pytest.mark.parametrize("layers", [1, 3, 9])
def test_the_legend_of_gradients_covers_none(layers, scale):
    """With curves from corner to corner, wherever the legend would be."""
    steps = np.linspace(0, 1, 30)
    rows = np.stack([10 ** (steps if layer % 2 else 1 - steps) - layer / 9 for layer in range(layers)], axis=1)
    ax = GradientFlowDisplay(rows if scale == "log" else np.minimum(0, -rows)).plot().ax_
    assert ax.get_yscale() == scale
    assert len(ax.get_legend().get_texts()) == layers
    assert_nothing_covers_the_lines(ax.figure)


def test_a_legend_on_a_line_is_seen():
    """The check of the tests above can fail."""
    ax = plt.subplots()[1]
    ax.plot([0, 1], [0, 1], label="line")
    ax.text(0.5, 0.48, "text")
    ax.text(0.7, 0.2, "elsewhere")
    ax.legend(loc="center")
    assert covered(ax.figure) == ["text", "the legend"]


@pytest.mark.parametrize("first_epoch", [False, True])
def test_gradients_that_nobody_tracked(first_epoch, history):
    with pytest.raises(ValueError, match=r"^history must be of a training with track_gradients="):
        GradientFlowDisplay.from_history(history, first_epoch=first_epoch)


def test_gradients_of_zero_are_drawn():
    ax = GradientFlowDisplay([[0.0, 0.0]]).plot().ax_
    assert ax.get_yscale() == "linear"
    assert len(ax.lines) == 2


def test_epoch_times():
    histories = {"slow": History(seconds=[2.5, 2.0]), "fast": History(seconds=[0.01])}
    ax = EpochTimeDisplay.from_histories(histories).plot().ax_
    assert [bar.get_width() for bar in ax.patches] == [2.0, 0.01]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["slow", "fast"]
    assert {"2 s", "10 ms"} <= {text.get_text() for text in ax.texts}
    with pytest.raises(ValueError, match=r"^seconds must hold at least one epoch time"):
        EpochTimeDisplay({})


# --- networks


def test_weight_histograms(digits):
    display = WeightHistogramDisplay.from_estimator(digits[0]).plot()
    assert [ax.get_title() for ax in display.axes_] == ["layer 1: 784 → 16", "layer 2: 16 → 12", "layer 3: 12 → 10"]
    for ax in display.axes_:
        assert len(ax.patches) == 50
        assert sum(bar.get_height() for bar in ax.patches) == pytest.approx(1)
    with pytest.raises(ValueError, match=r"^axes must be 3 Axes, one for each layer, got 1$"):
        display.plot(plt.subplots()[1])


def test_activation_histograms(digits):
    model, X, _ = digits
    display = ActivationHistogramDisplay.from_estimator(model, X).plot()
    (W1, b1), (W2, b2), _ = model.layers
    A1 = np.maximum(X.astype(np.float32) / 255 @ W1 + b1, 0)
    A2 = np.maximum(A1 @ W2 + b2, 0)
    for A, found, ax in zip((A1, A2), display.values, display.axes_, strict=True):
        np.testing.assert_allclose(found, A, rtol=1e-4, atol=1e-5)
        assert f"{np.mean(found == 0):.0%} zero" in ax.get_title()
    linear = fastmlp.train(X, digits[2], hidden=(), num_epochs=1, backend="reference", verbose=False)
    with pytest.raises(ValueError, match=r"^model must have a hidden layer, got MLP\("):
        ActivationHistogramDisplay.from_estimator(linear, X)


def test_filters_are_the_strongest_units(digits):
    model = digits[0]
    W = model.layers[0][0]
    display = FiltersDisplay.from_estimator(model, count=4)
    strongest = sorted(sorted(range(16), key=lambda unit: -np.linalg.norm(W[:, unit]))[:4])
    assert_array_equal(display.filters, [W[:, unit].reshape(28, 28) for unit in strongest])
    (image,) = display.plot().ax_.images
    assert image.get_array().shape == (28, 4 * 29 - 1)
    assert FiltersDisplay.from_estimator(model, image_shape=(14, 56)).filters.shape == (16, 14, 56)
    with pytest.raises(ValueError, match=r"^image_shape must be a \(height, width\) of 784 pixels, got 28 × 20$"):
        FiltersDisplay.from_estimator(model, image_shape=(28, 20))


@pytest.mark.parametrize("sign", [1, -1])
def test_filters_keep_their_sign_and_their_places(sign):
    filters = sign * np.stack([np.full((2, 3), value) for value in (1.0, 2.0, -4.0)])
    filters[1, 0, 2] = sign * -1.0
    (image,) = FiltersDisplay(filters).plot().ax_.images
    expected = sign * np.ones((2, 11))
    expected[0, 6] = -sign / 2
    expected[:, 8:] = -sign
    shown = np.ma.masked_invalid(image.get_array())
    expected = np.ma.masked_array(expected, np.isin(np.arange(11), (3, 7))[None].repeat(2, axis=0))
    assert_array_equal(shown.mask, expected.mask)
    assert_array_equal(shown.compressed(), expected.compressed())
    assert image.get_clim() == (-1, 1)
    low, middle, high = image.cmap([0.0, 0.5, 1.0])[:, :3]
    assert low[0] > 1.5 * low[2]  # orange below 0
    assert high[2] > 1.5 * high[1]  # purple above
    assert np.all(middle > 0.95)


def test_many_filters_fill_rows():
    filters = np.arange(1.0, 11)[:, None, None] * np.array([[0.0, 1.0], [1.0, -0.5]])
    (image,) = FiltersDisplay(filters).plot().ax_.images
    shown = np.ma.filled(np.ma.masked_invalid(image.get_array()), 9)
    assert shown.shape == (2 * 3 - 1, 8 * 3 - 1)
    for unit in range(10):
        top, left = unit // 8 * 3, unit % 8 * 3
        assert_array_equal(shown[top : top + 2, left : left + 2], [[0.0, 1.0], [1.0, -0.5]])
    assert np.all(shown[3:, 6:] == 9)


def test_the_rows_of_a_confusion_matrix_are_the_true_classes():
    X = np.array([[-2.0], [-1.0], [-1.5], [1.0], [2.0]])
    model = fastmlp.train(
        X, [0, 0, 0, 1, 1], hidden=(), num_epochs=50, lr=1.0, seed=0, backend="reference", verbose=False
    )
    assert_array_equal(model.predict(X), [0, 0, 0, 1, 1])
    display = plot_confusion_matrix(model, X, [0, 1, 1, 1, 1])
    assert_array_equal(display.confusion_matrix, [[1, 0], [2, 2]])
    assert_array_equal(display.im_.get_array(), [[1, 0], [2, 2]])
    assert display.ax_.get_ylabel() == "True label"


@pytest.mark.parametrize("one_hot", [False, True])
def test_confusion_matrix(digits, one_hot):
    model, X, y = digits
    display = plot_confusion_matrix(model, X, np.eye(10)[y] if one_hot else y)
    assert display.confusion_matrix.sum() == 300
    assert np.trace(display.confusion_matrix) == pytest.approx(300 * model.score(X, y))
    assert_array_equal(display.confusion_matrix.sum(axis=1), np.bincount(y))
    assert_array_equal(display.confusion_matrix.sum(axis=0), np.bincount(model.predict(X), minlength=10))
    regression = fastmlp.train([[0.0], [1.0]], [0.5, 1.5], hidden=(), num_epochs=1, backend="reference", verbose=False)
    with pytest.raises(ValueError, match=r"^model must have been trained on class labels, got MLP"):
        plot_confusion_matrix(regression, [[0.0]], [0.5])
