"""Every figure, as objects that draw themselves on given or new axes, in the form of scikit-learn's displays.

Colours keep apart for colour-blind readers, and each line has a marker and a style of its own, so that they can be told
apart in print without colour. No figure needs a screen. What is drawn, a `History` say, draws itself with these and is
not imported here.
"""

from fastmlp.display.comparison import ComparisonDisplay
from fastmlp.display.network import (
    ActivationHistogramDisplay,
    FiltersDisplay,
    WeightHistogramDisplay,
    plot_confusion_matrix,
)
from fastmlp.display.training import EpochTimeDisplay, GradientFlowDisplay, HistoryDisplay

__all__ = [
    "ActivationHistogramDisplay",
    "ComparisonDisplay",
    "EpochTimeDisplay",
    "FiltersDisplay",
    "GradientFlowDisplay",
    "HistoryDisplay",
    "WeightHistogramDisplay",
    "plot_confusion_matrix",
]
