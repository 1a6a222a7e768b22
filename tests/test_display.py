"""Figures: which lines and labels they have, and that they need no screen."""

import subprocess
import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from fastmlp import History
from fastmlp.display import HistoryDisplay


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
    assert (right.get_title(), right.get_xlabel(), right.get_ylabel()) == ("Validation accuracy", "epoch", "accuracy")
    assert [text.get_text() for text in right.texts] == ["0.7500"]


def test_without_validation_there_is_one_line_and_a_note(history):
    history.val_loss, history.val_accuracy = [], []
    left, right = history.plot().axes_
    assert len(left.lines) == 1
    assert left.get_legend() is None
    assert len(right.lines) == 0
    assert [text.get_text() for text in right.texts] == ["no validation accuracy"]


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
