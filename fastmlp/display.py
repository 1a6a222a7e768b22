"""Every figure, as objects that draw themselves on given or new axes."""

from typing import TYPE_CHECKING, Any

from fastmlp.history import History

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from fastmlp.comparison import Comparison


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


class ComparisonDisplay:
    """The two backends side by side: relative differences after some steps, loss curves, and the epochs' times.

    Attributes
    ----------
    axes_ : (3,) sequence of matplotlib Axes
    figure_ : matplotlib Figure
    """

    axes_: "tuple[Axes, Axes, Axes]"
    figure_: "Figure"

    def __init__(self, comparison: "Comparison") -> None:
        self.comparison = comparison

    def plot(self, axes: Any = None) -> "ComparisonDisplay":
        """Draw on three given Axes, or on a new figure."""
        if axes is None:
            import matplotlib.pyplot as plt

            figure, axes = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
            figure.suptitle(self.comparison.title)
        left, middle, right = axes
        self._draw_differences(left)
        self._draw_losses(middle)
        self._draw_times(right)
        self.axes_ = (left, middle, right)
        self.figure_ = left.figure
        return self

    def _draw_differences(self, panel: "Axes") -> None:
        """The worst layer of each kind of array; a difference of 0 stands at the lower edge."""
        found = self.comparison.differences
        counts = sorted({d.steps for d in found})
        styles = zip(dict.fromkeys(d.what for d in found), ("o-", "s--", "^:"), strict=True)
        for what, style in styles:
            worst = [max(d.relative for d in found if (d.what, d.steps) == (what, steps)) for steps in counts]
            panel.plot(counts, worst, style, label=what)
        panel.axhline(self.comparison.tolerance, color="black", linewidth=1, linestyle="-.", label="tolerance")
        panel.set(xscale="log", yscale="log", xlabel="steps", ylabel="largest relative difference", title="Differences")
        panel.set_xticks(counts, [f"{count:,}" for count in counts])
        panel.minorticks_off()
        panel.grid(alpha=0.3)
        panel.legend()

    def _draw_losses(self, panel: "Axes") -> None:
        from matplotlib.ticker import MaxNLocator

        for (name, losses), style in zip(self.comparison.losses.items(), ("o-", "x--"), strict=True):
            panel.plot(range(1, len(losses) + 1), losses, style, label=name)
        panel.set(xlabel="epoch", ylabel="training loss", title=f"Loss, largest gap {self.comparison.loss_gap:.0e}")
        panel.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        panel.grid(alpha=0.3)
        panel.legend()

    def _draw_times(self, panel: "Axes") -> None:
        from statistics import median

        milliseconds = {name: [1e3 * s for s in seconds] for name, seconds in self.comparison.seconds.items()}
        middle = [median(values) for values in milliseconds.values()]
        bars = panel.barh(list(milliseconds), middle, color=["C1", "0.65"])
        panel.bar_label(bars, [f"{value:.3g} ms" for value in middle], padding=4)
        panel.margins(x=0.2)
        panel.invert_yaxis()
        panel.set(xlabel="median epoch [ms]", title=f"Time, ratio {self.comparison.speedup:.1f}")
        panel.spines[["top", "right"]].set_visible(False)
