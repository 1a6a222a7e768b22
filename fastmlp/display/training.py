"""Figures of a training: its curves, its gradients, its time."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from fastmlp.display.style import COLORS, count_on_x, leave_room_above, line_style, make_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class HistoryDisplay:
    """Training loss and validation accuracy over epochs, in two panels.

    Parameters
    ----------
    history : History

    Attributes
    ----------
    axes_ : (2,) sequence of matplotlib Axes
    figure_ : matplotlib Figure
    """

    axes_: "tuple[Axes, Axes]"
    figure_: "Figure"

    def __init__(self, history: Any) -> None:
        self.history = history

    @classmethod
    def from_history(cls, history: Any) -> "HistoryDisplay":
        """Return the display of a training's history."""
        return cls(history)

    def plot(self, axes: Any = None) -> "HistoryDisplay":
        """Draw on two given Axes, or on a new figure.

        Raises
        ------
        ValueError
            If the history is empty.
        """
        if not len(self.history):
            raise ValueError("history must hold at least one epoch to be drawn, got none")
        left, right = make_axes(1, 2) if axes is None else axes
        epochs = range(1, len(self.history) + 1)
        left.plot(epochs, self.history.loss, **line_style(0), label="training")
        if self.history.val_loss:
            left.plot(epochs, self.history.val_loss, **line_style(1), label="validation")
            left.legend()
        left.set(xlabel="epoch", ylabel="loss", title="Loss")
        if self.history.val_accuracy:
            right.plot(epochs, self.history.val_accuracy, **line_style(2))
            title = f"Validation accuracy, in the end {self.history.val_accuracy[-1]:.4f}"
        else:
            title = "Validation accuracy"
            right.text(0.5, 0.5, "no validation accuracy", ha="center", va="center", transform=right.transAxes)
        right.set(xlabel="epoch", ylabel="accuracy", title=title)
        for panel in (left, right):
            panel.grid(alpha=0.3)
            count_on_x(panel)
        self.axes_ = (left, right)
        self.figure_ = left.figure
        return self


class GradientFlowDisplay:
    """Mean |∂loss/∂W| of each layer over epochs, or over the batches of the first epoch, on a log axis.

    Parameters
    ----------
    magnitudes : (steps, layers) array
    step : str
        What a row stands for.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    """

    ax_: "Axes"
    figure_: "Figure"

    def __init__(self, magnitudes: Any, step: str = "epoch") -> None:
        self.magnitudes = np.asarray(magnitudes, float)
        self.step = step

    @classmethod
    def from_history(cls, history: Any, *, first_epoch: bool = False) -> "GradientFlowDisplay":
        """Return the display of a training with ``track_gradients``.

        Parameters
        ----------
        history : History
        first_epoch : bool
            Show every batch of the first epoch, of a training with ``track_gradients="first_epoch"``.

        Raises
        ------
        ValueError
            If the history has no such gradients.
        """
        magnitudes = history.first_epoch_gradients if first_epoch else history.gradient_magnitude
        if not magnitudes:
            needed = "'first_epoch'" if first_epoch else "True"
            raise ValueError(f"history must be of a training with track_gradients={needed}, got one without gradients")
        return cls(magnitudes, "batch of the first epoch" if first_epoch else "epoch")

    def plot(self, ax: Any = None) -> "GradientFlowDisplay":
        """Draw on given Axes, or on a new figure."""
        ax = make_axes() if ax is None else ax
        steps = np.arange(1, len(self.magnitudes) + 1)
        for layer, values in enumerate(self.magnitudes.T):
            ax.plot(steps, values, **line_style(layer), markevery=max(1, len(steps) // 12), label=f"layer {layer + 1}")
        if np.any(self.magnitudes > 0):
            ax.set_yscale("log")
        ax.set(xlabel=self.step, ylabel="mean |∂loss/∂W|", title=f"Gradient of each layer per {self.step}")
        ax.grid(alpha=0.3)
        columns = min(4, self.magnitudes.shape[1])
        leave_room_above(ax, 0.04 + 0.08 * -(-self.magnitudes.shape[1] // columns))
        ax.legend(loc="upper center", ncols=columns, fontsize="small", columnspacing=1.0)
        count_on_x(ax)
        self.ax_, self.figure_ = ax, ax.figure
        return self


class EpochTimeDisplay:
    """Seconds that an epoch takes in one training and in others, as bars.

    Parameters
    ----------
    seconds : mapping of str to float
        From names to seconds an epoch; drawn in this order.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    Examples
    --------
    >>> from fastmlp.display import EpochTimeDisplay
    >>> figure = EpochTimeDisplay({"reference": 0.4, "jit": 0.08}).plot().figure_
    """

    ax_: "Axes"
    figure_: "Figure"

    def __init__(self, seconds: Mapping[str, float]) -> None:
        if not seconds:
            raise ValueError("seconds must hold at least one epoch time, got none")
        self.seconds = dict(seconds)

    @classmethod
    def from_histories(cls, histories: Mapping[str, Any]) -> "EpochTimeDisplay":
        """Return the display of the fastest epoch of each training; `histories` goes from names to History."""
        return cls({name: min(history.seconds) for name, history in histories.items()})

    def plot(self, ax: Any = None) -> "EpochTimeDisplay":
        """Draw on given Axes, or on a new figure."""
        ax = make_axes(size=(6.0, 0.5 * len(self.seconds) + 1.2)) if ax is None else ax
        bars = ax.barh(list(self.seconds), list(self.seconds.values()), color=COLORS[0])
        ax.bar_label(bars, [_duration(seconds) for seconds in self.seconds.values()], padding=4)
        ax.invert_yaxis()
        ax.margins(x=0.15)
        ax.spines[["top", "right"]].set_visible(False)
        ax.set(xlabel="seconds an epoch", title="Time of an epoch")
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _duration(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds >= 1 else f"{1e3 * seconds:.3g} ms"
