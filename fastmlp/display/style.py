"""Colours, markers and axes that all figures share."""

from typing import Any

# The palette of Okabe and Ito, "Color Universal Design", 2008, without its yellow, which is faint on paper.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINES = ("-", "--", "-.", ":")


def line_style(i: int) -> dict[str, Any]:
    """Return what tells the line i of a panel from the others, in colour or without."""
    return {
        "color": COLORS[i % len(COLORS)],
        "marker": MARKERS[i % len(MARKERS)],
        "linestyle": LINES[i % len(LINES)],
        "markersize": 4,
        "linewidth": 1.5,
    }


def make_axes(rows: int = 1, columns: int = 1, size: tuple[float, float] = (5.0, 4.0), **options: Any) -> Any:
    """Return the axes of a new figure, one Axes or an array of them; `size` is that of a panel in inches."""
    import matplotlib.pyplot as plt

    figsize = (size[0] * columns, size[1] * rows)
    return plt.subplots(rows, columns, figsize=figsize, layout="constrained", **options)[1]


def count_on_x(axes: Any) -> None:
    """Put ticks at whole numbers only."""
    axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)


def leave_room_above(axes: Any, share: float) -> None:
    """Move the upper limit of y, on any scale, so that the top `share` of the panel is free of what has been drawn."""
    scale = axes.yaxis.get_transform()
    low, high = scale.transform(axes.get_ylim())
    axes.set_ylim(top=scale.inverted().transform(low + (high - low) / (1 - share)))
