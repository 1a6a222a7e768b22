"""The figure of a comparison of the two backends."""

from typing import TYPE_CHECKING, Any

from fastmlp.display.style import count_on_x, make_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class ComparisonDisplay:
    """The two backends side by side: relative differences after some steps, loss curves, and the epochs' times.

    Parameters
    ----------
    comparison : Comparison

    Attributes
    ----------
    axes_ : (3,) sequence of matplotlib Axes
    figure_ : matplotlib Figure
    """

    axes_: "tuple[Axes, Axes, Axes]"
    figure_: "Figure"

    def __init__(self, comparison: Any) -> None:
        self.comparison = comparison

    def plot(self, axes: Any = None) -> "ComparisonDisplay":
        """Draw on three given Axes, or on a new figure."""
        if axes is None:
            axes = make_axes(1, 3, (4.3, 4.0))
            axes[0].figure.suptitle(self.comparison.title)
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
        for (name, losses), style in zip(self.comparison.losses.items(), ("o-", "x--"), strict=True):
            panel.plot(range(1, len(losses) + 1), losses, style, label=name)
        panel.set(xlabel="epoch", ylabel="training loss", title=f"Loss, largest gap {self.comparison.loss_gap:.0e}")
        count_on_x(panel)
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
