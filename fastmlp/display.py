"""Every figure, as objects that draw themselves on given or new axes."""

from typing import TYPE_CHECKING, Any

from fastmlp.history import History

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class HistoryDisplay:
    """Training loss and validation accuracy over epochs, in two panels.

    Attributes
    ----------
    axes_ : (2,) sequence of matplotlib Axes
    figure_ : matplotlib Figure
    """

    axes_: "tuple[Axes, Axes]"
    figure_: "Figure"

    def __init__(self, history: History) -> None:
        self.history = history

    @classmethod
    def from_history(cls, history: History) -> "HistoryDisplay":
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
        if axes is None:
            import matplotlib.pyplot as plt

            _, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
        left, right = axes
        epochs = range(1, len(self.history) + 1)
        left.plot(epochs, self.history.loss, marker="o", markersize=3, label="training")
        if self.history.val_loss:
            left.plot(epochs, self.history.val_loss, linestyle="--", marker="s", markersize=3, label="validation")
            left.legend()
        left.set(xlabel="epoch", ylabel="loss", title="Loss")
        if self.history.val_accuracy:
            right.plot(epochs, self.history.val_accuracy, marker="o", markersize=3, color="C2")
            last = self.history.val_accuracy[-1]
            right.annotate(
                f"{last:.4f}", (len(self.history), last), xytext=(-4, -14), textcoords="offset points", ha="right"
            )
        else:
            right.text(0.5, 0.5, "no validation accuracy", ha="center", va="center", transform=right.transAxes)
        right.set(xlabel="epoch", ylabel="accuracy", title="Validation accuracy")
        for panel in (left, right):
            panel.grid(alpha=0.3)
            panel.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        self.axes_ = (left, right)
        self.figure_ = left.figure
        return self
