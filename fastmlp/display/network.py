"""Figures of a trained network: weights, activations, filters, confusions."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastmlp.checks import check_integer
from fastmlp.display.style import COLORS, make_axes
from fastmlp.validation import check_features, check_targets

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ROWS = 2000
"""Samples that are enough for a histogram of activations."""


class _HistogramDisplay:
    """Histograms of the values of each layer, a panel each.

    Parameters
    ----------
    values : sequence of arrays
    titles : sequence of str

    Attributes
    ----------
    axes_ : (layers,) array of matplotlib Axes
    figure_ : matplotlib Figure
    """

    axes_: "NDArray[Any]"
    figure_: "Figure"
    _xlabel = ""

    def __init__(self, values: list[NDArray[Any]], titles: list[str]) -> None:
        self.values = values
        self.titles = titles

    def plot(self, axes: Any = None, *, bins: int = 50) -> Any:
        """Draw on as many given Axes as there are layers, or on a new figure."""
        count = len(self.values)
        axes = np.atleast_1d(make_axes(1, count, (3.4, 3.0)) if axes is None else np.asarray(axes, object)).ravel()
        if len(axes) != count:
            raise ValueError(f"axes must be {count} Axes, one for each layer, got {len(axes)}")
        for ax, values, title in zip(axes, self.values, self.titles, strict=True):
            ax.hist(np.ravel(values), bins=bins, color=COLORS[0], weights=np.full(values.size, 1 / values.size))
            ax.set(xlabel=self._xlabel, title=title)
            ax.grid(alpha=0.3)
        axes[0].set_ylabel("share")
        self.axes_, self.figure_ = axes, axes[0].figure
        return self


class WeightHistogramDisplay(_HistogramDisplay):
    """Histograms of the weights of each layer, a panel each.

    Attributes
    ----------
    axes_ : (layers,) array of matplotlib Axes
    figure_ : matplotlib Figure
    """

    _xlabel = "weight"

    @classmethod
    def from_estimator(cls, model: Any) -> "WeightHistogramDisplay":
        """Return the display of a trained network, an `MLP`."""
        weights = [W for W, _ in model.layers]
        titles = [f"layer {i}: {W.shape[0]} → {W.shape[1]}" for i, W in enumerate(weights, 1)]
        return cls(weights, titles)


class ActivationHistogramDisplay(_HistogramDisplay):
    """Histograms of the activations of each hidden layer over samples, a panel each, with the share of zeros.

    Attributes
    ----------
    axes_ : (hidden layers,) array of matplotlib Axes
    figure_ : matplotlib Figure
    """

    _xlabel = "activation"

    @classmethod
    def from_estimator(cls, model: Any, X: ArrayLike) -> "ActivationHistogramDisplay":
        """Return the display of what a trained network, an `MLP`, makes of the first 2,000 rows of X (n, d).

        Raises
        ------
        ValueError
            If the network has no hidden layer.
        """
        if len(model.widths) < 3:
            raise ValueError(f"model must have a hidden layer, got {model}")
        activations = model.activations(check_features(X, num_features=model.widths[0])[:_ROWS])
        titles = [f"hidden layer {i}: {np.mean(A == 0):.0%} zero" for i, A in enumerate(activations, 1)]
        return cls(activations, titles)


class FiltersDisplay:
    """The weights into each unit of the first layer, as an image: what the unit looks for.

    Parameters
    ----------
    filters : (units, height, width) array

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    """

    ax_: "Axes"
    figure_: "Figure"

    def __init__(self, filters: NDArray[Any]) -> None:
        self.filters = filters

    @classmethod
    def from_estimator(
        cls, model: Any, *, image_shape: tuple[int, int] | None = None, count: int = 32
    ) -> "FiltersDisplay":
        """Return the display of a network's strongest filters.

        Parameters
        ----------
        model : MLP
        image_shape : (height, width), optional
            Of the samples; square by default.
        count : int
            How many units are shown: those with the largest weights.

        Raises
        ------
        ValueError
            If the features can't be images of that shape.
        """
        W, _ = model.layers[0]
        d = len(W)
        height, width = (math.isqrt(d), math.isqrt(d)) if image_shape is None else image_shape
        if height * width != d:
            raise ValueError(f"image_shape must be a (height, width) of {d} pixels, got {height} × {width}")
        strongest = np.argsort(-np.sum(np.square(W), axis=0), kind="stable")[: check_integer("count", count)]
        return cls(W.T[np.sort(strongest)].reshape(-1, height, width))

    def plot(self, ax: Any = None) -> "FiltersDisplay":
        """Draw the filters side by side on given Axes, or on a new figure; each has its own scale, 0 is white."""
        units, height, width = self.filters.shape
        columns = min(units, 8)
        rows = -(-units // columns)
        mosaic = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1), np.nan)
        for i, image in enumerate(self.filters):
            top, left = i // columns * (height + 1), i % columns * (width + 1)
            mosaic[top : top + height, left : left + width] = image / (np.max(np.abs(image)) or 1)
        ax = make_axes(size=(columns, rows + 0.4)) if ax is None else ax
        ax.set_facecolor("0.75")
        ax.imshow(mosaic, cmap="PuOr", vmin=-1, vmax=1, interpolation="nearest")
        ax.set(xticks=[], yticks=[], title="First-layer filters")
        self.ax_, self.figure_ = ax, ax.figure
        return self


def plot_confusion_matrix(model: Any, X: ArrayLike, y: ArrayLike, ax: Any = None, **options: Any) -> Any:
    """Draw which classes a network takes for which, as scikit-learn's `ConfusionMatrixDisplay`, which is returned.

    Parameters
    ----------
    model : MLP
        Trained on class labels.
    X, y : arrays
        Samples and labels as in training.
    ax : matplotlib Axes, optional
    **options
        Of `sklearn.metrics.ConfusionMatrixDisplay.from_predictions`, such as ``normalize="true"``.

    Raises
    ------
    ValueError
        If the network has no classes.
    """
    if model._coding.classes is None:
        raise ValueError(f"model must have been trained on class labels, got {model}")
    from sklearn.metrics import ConfusionMatrixDisplay

    ax = make_axes(size=(5.5, 5.0)) if ax is None else ax
    predictions = model.predict(X)
    codes = model._coding.encode(check_targets(y, len(predictions)))
    labels = model.classes_[np.ravel(codes).astype(int)]
    options = {"labels": model.classes_, "colorbar": False, "cmap": "Blues"} | options
    return ConfusionMatrixDisplay.from_predictions(labels, predictions, ax=ax, **options)
