"""Whether what is written in a figure covers the lines that it shows."""

import numpy as np


def covered(figure):
    """Return the texts, and "the legend" for a panel's legend, that lie on a line of their panel."""
    figure.canvas.draw()
    found = []
    for ax in figure.axes:
        boxes = [(text.get_text(), text.get_window_extent()) for text in ax.texts]
        if ax.get_legend() is not None:
            boxes.append(("the legend", ax.get_legend().get_window_extent()))
        points = np.vstack([np.empty((0, 2)), *(pixels(line) for line in ax.lines)])
        for name, box in boxes:
            if np.any(np.all((points >= box.min) & (points <= box.max), axis=1)):
                found.append(name)
    return found


def pixels(line):
    """Return where a line goes, its points and many between them (m, 2)."""
    corners = line.get_transform().transform(line.get_xydata())
    corners = corners[np.isfinite(corners).all(axis=1)]
    if not len(corners):
        return corners
    steps = np.linspace(0, len(corners) - 1, 200 * len(corners))
    return np.column_stack([np.interp(steps, np.arange(len(corners)), along) for along in corners.T])


def assert_nothing_covers_the_lines(figure):
    """Demand that every line of a figure can be seen whole."""
    assert any(len(ax.lines) for ax in figure.axes)
    assert covered(figure) == []
