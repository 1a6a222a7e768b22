"""The experiment behind "why do deeper networks stall?": the gradients of many networks, and what they learn."""

import csv
import os
from collections.abc import Iterable, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from fastmlp.checks import check_activation, check_init, check_integer
from fastmlp.history import History
from fastmlp.network import MLP
from fastmlp.problem import activation_text
from fastmlp.reference.activations import ACTIVATIONS
from fastmlp.steering import Training
from fastmlp.training import train

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Row(NamedTuple):
    """The gradient of one layer of one network at the beginning of one epoch, and what the epoch led to."""

    activation: str
    """Of all hidden layers; where they differ, of each, such as relu/tanh."""
    init: str | float
    depth: int
    """Hidden layers."""
    layer: int
    """The number of the layer, from 1, the first, to depth + 1."""
    epoch: int
    """The number of the epoch, from 1; at its beginning the network is as it was initialised."""
    gradient_magnitude: float
    """Mean |∂loss/∂W| on the epoch's first batch."""
    loss: float
    """The network's training loss of the epoch, the same for each of its layers."""
    accuracy: float | None
    """The network's accuracy after the epoch, on the training rows if no others were given; None of a regression."""


class GradientFlow:
    """The result of `gradient_flow`.

    Attributes
    ----------
    rows : list of Row
        A table for `pandas.DataFrame(flow.rows)`: activation, init, depth, layer, epoch, gradient_magnitude, loss,
        accuracy.
    axes_ : array of matplotlib Axes
        After `plot`: a row of panels for each activation, a column for each initialisation.
    figure_ : matplotlib Figure
    """

    axes_: Any
    figure_: "Figure"

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = list(rows)

    def __str__(self) -> str:
        """Return a table of every network's gradients before training and what it learned, and what they tell."""
        lines = ["loss and accuracy after training; mean |gradient| of each layer before it, first layer first"]
        width = max([8, *(len(activation) for activation, _, _ in self._networks)])
        for activation, init, depth in self._networks:
            row = self._last_row(activation, init, depth)
            values = "  ".join(f"{value:.1e}" for value in self.magnitudes(activation, init, depth))
            lines.append(f"{activation:{width}s} init {init!s:6s} {depth:2d} hidden  {_result(row)}  {values}")
        return "\n".join([*lines, self.reading, self.outcome])

    @property
    def _networks(self) -> list[tuple[str, str | float, int]]:
        """Every combination of what is in the rows, also one that diverged before it could have a row."""
        return list(product(*(dict.fromkeys(getattr(row, name) for row in self.rows) for name in Row._fields[:3])))

    def _last_row(self, activation: str, init: str | float, depth: int) -> Row | None:
        """Return a row of a network's last epoch; None if it had none, because it diverged in the first."""
        found = [row for row in self.rows if (row.activation, row.init, row.depth) == (activation, init, depth)]
        return max(found, key=lambda row: row.epoch, default=None)

    def magnitudes(self, activation: str, init: str | float, depth: int, epoch: int = 1) -> list[float]:
        """Return the mean |gradient| of each layer of one network, first layer first."""
        wanted = (activation, init, depth, epoch)
        found = [row for row in self.rows if (row.activation, row.init, row.depth, row.epoch) == wanted]
        return [row.gradient_magnitude for row in sorted(found, key=lambda row: row.layer)]

    @property
    def reading(self) -> str:
        """One sentence that says in which network the untrained first layer's gradient falls most with depth."""
        depths = sorted({row.depth for row in self.rows})
        shallow, deep = (depths[0], depths[-1]) if depths else (0, 0)
        falls = {}
        for network in dict.fromkeys((row.activation, row.init) for row in self.rows):
            layers = [self.magnitudes(*network, depth) for depth in (shallow, deep)]
            if all(layers):  # else one diverged before it could be measured
                falls[network] = [magnitudes[0] for magnitudes in layers]
        if not falls:
            return "too many trainings diverged in their first epoch to compare depths"
        if shallow == deep:
            worst, best = (limit(falls, key=lambda network: falls[network][1]) for limit in (min, max))
            reading = f"with {deep} hidden layers the first layer's gradient is {falls[worst][1]:.1e} in "
            reading += _name(*worst)
            return reading if worst == best else f"{reading}, and {falls[best][1]:.1e} in {_name(*best)}"
        worst, best = (limit(falls, key=lambda network: _ratio(*falls[network])) for limit in (min, max))
        change = "from {:.1e} to {:.1e}"
        reading = f"from {shallow} to {deep} hidden layers the first layer's gradient "
        if worst == best:
            return f"{reading}goes {change.format(*falls[worst])} in {_name(*worst)}"
        return (
            f"{reading}falls most in {_name(*worst)} ({change.format(*falls[worst])}) and holds best in "
            f"{_name(*best)} ({change.format(*falls[best])})"
        )

    @property
    def outcome(self) -> str:
        """One sentence that says which network learned least, and which most."""
        last = [row for network in self._networks if (row := self._last_row(*network)) is not None]
        if not last:
            return "no training came to the end of its first epoch"
        worst, best = (limit(last, key=lambda row: row.loss) for limit in (max, min))
        texts = [f"{_name(row.activation, row.init)}, {row.depth} hidden ({_result(row)})" for row in (worst, best)]
        if worst is best:
            return f"after training: {texts[0]}"
        return f"after training, least learned is in {texts[0]}, most in {texts[1]}"

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write the rows to a ``.csv`` file with a header."""
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(Row._fields)
            writer.writerows(self.rows)

    def plot(self, *, epoch: int = 1) -> "GradientFlow":
        """Draw the mean |gradient| over the layers on a log axis: a panel a network, a line a depth.

        The legend below each panel tells the loss and the accuracy with which the training of each network ended.
        """
        from fastmlp.display.style import count_on_x, line_style, make_axes

        if not self.rows:
            raise ValueError("rows must hold at least one gradient to be drawn, got none")
        chosen = [row for row in self.rows if row.epoch == epoch]
        if not chosen:
            raise ValueError(f"epoch must be one from 1 to {max(row.epoch for row in self.rows)}, got {epoch}")
        activations, inits, depths = (
            list(dict.fromkeys(getattr(row, name) for row in chosen)) for name in ("activation", "init", "depth")
        )
        axes = make_axes(len(activations), len(inits), (3.6, 3.8), squeeze=False, sharex=True, sharey=True)
        for panels, activation in zip(axes, activations, strict=True):
            for ax, init in zip(panels, inits, strict=True):
                for i, depth in enumerate(depths):
                    values = np.array(self.magnitudes(activation, init, depth, epoch))
                    result = _result(self._last_row(activation, init, depth))
                    layers = np.arange(1, len(values) + 1)
                    shown = values > 0  # a log axis has no 0, which a vanished gradient may come to
                    ax.plot(layers[shown], values[shown], **line_style(i), label=f"{depth} hidden: {result}")
                ax.set(title=_name(activation, init), xlabel="layer", yscale="log")
                ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), fontsize="small", frameon=False)
                ax.tick_params(labelbottom=True)  # on every row, as a legend stands between them
                ax.grid(alpha=0.3)
                count_on_x(ax)
            panels[0].set_ylabel("mean |∂loss/∂W|")
        when = "before training" if epoch == 1 else f"at the beginning of epoch {epoch}"
        axes[0, 0].figure.suptitle(f"Gradient of each layer, {when}; loss and accuracy after training")
        self.axes_, self.figure_ = axes, axes[0, 0].figure
        return self


def gradient_flow(
    X: ArrayLike,
    y: ArrayLike,
    *,
    depths: Iterable[int] = (2, 4, 8),
    activations: Iterable[str | Sequence[str]] = ("sigmoid", "relu"),
    inits: Iterable[str | float] = (0.01, "xavier", "he"),
    width: int = 64,
    num_epochs: int = 3,
    **options: Any,
) -> GradientFlow:
    """Train a network for every combination of depth, activation and initialisation: its gradients, what it learns.

    Parameters
    ----------
    X, y : arrays
        As in `fastmlp.train`.
    depths : iterable of int
        Numbers of hidden layers.
    activations : iterable of str or sequence of str
        As in `fastmlp.train`; one that names the activation of each layer fits one depth alone.
    inits : iterable of {"he", "xavier"} or float
        As in `fastmlp.train`.
    width : int
        Of each hidden layer.
    num_epochs : int
        Gradients are recorded on the first batch of each; on that of the first epoch, the network is untrained.
    **options
        Of `fastmlp.train`, such as `lr`, `seed` or `backend`; ``verbose`` is False and ``batch_size`` 64 by default.
        The accuracy is that on the rows of `validation_data` or `validation_split`, without them on the training rows:
        a network that stalls doesn't even learn those.

    Returns
    -------
    GradientFlow

    Raises
    ------
    ValueError, TypeError
        If an argument is unfit; the message names it.
    KeyboardInterrupt
        If Ctrl-C ended one of the trainings.

    Warns
    -----
    RuntimeWarning
        If a training diverged; that and later epochs are missing then.

    Examples
    --------
    >>> import fastmlp
    >>> X, y = fastmlp.datasets.load_mnist(500)
    >>> flow = fastmlp.gradient_flow(
    ...     X, y, depths=(2, 6), activations=["sigmoid"], inits=[0.01], num_epochs=1, seed=0, backend="reference"
    ... )
    >>> len(flow.rows)  # layers of both networks
    10
    >>> flow.magnitudes("sigmoid", 0.01, depth=6)[0] < 1e-10 < flow.magnitudes("sigmoid", 0.01, depth=2)[0]
    True
    >>> flow.rows[-1].accuracy < 0.2  # the deep one has learned nothing
    True
    """
    chosen_depths = [check_integer("depths", depth) for depth in _listed("depths", depths)]
    chosen_activations = [
        _check_at_depths(f"activations[{i}]", activation, chosen_depths)
        for i, activation in enumerate(_listed("activations", activations))
    ]
    chosen_inits = [check_init("inits", init) for init in _listed("inits", inits)]
    width, num_epochs = check_integer("width", width), check_integer("num_epochs", num_epochs)
    callbacks = options.get("callbacks", ())
    if options.get("validation_data") is None and options.get("validation_split") is None:
        options["validation_data"] = X, y
    interruption = _Interruption()
    if isinstance(callbacks, Iterable):  # else training says what is wrong
        options["callbacks"] = [*callbacks, interruption]
    rows = []
    for activation in chosen_activations:
        for init in chosen_inits:
            for depth in chosen_depths:
                settings = {"verbose": False, "batch_size": 64} | options
                settings |= {"hidden": (width,) * depth, "activation": activation, "init": init}
                settings |= {"num_epochs": num_epochs, "track_gradients": True}
                history = train(X, y, **settings).history
                if interruption.training.interrupted:
                    raise KeyboardInterrupt
                accuracies: Sequence[float | None] = history.val_accuracy or [None] * len(history)
                epochs = zip(history.gradient_magnitude, history.loss, accuracies, strict=True)
                rows += [
                    Row(activation_text(activation), init, depth, layer, epoch, magnitude, loss, accuracy)
                    for epoch, (magnitudes, loss, accuracy) in enumerate(epochs, 1)
                    for layer, magnitude in enumerate(magnitudes, 1)
                ]
    return GradientFlow(rows)


class _Interruption:
    """A callback that lets it be seen whether Ctrl-C ended a training, which returns like any other."""

    training: Training

    def begin(self, training: Training) -> None:
        self.training = training

    def __call__(self, model: MLP, history: History) -> None:
        """Nothing is to be done after an epoch."""


def _check_at_depths(name: str, value: Any, depths: Sequence[int]) -> str | tuple[str, ...]:
    """Return the activation of networks of all these depths."""
    *_, activation = (check_activation(name, value, ACTIVATIONS, depth) for depth in depths)
    return activation


def _listed(name: str, values: Any) -> list[Any]:
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise TypeError(f"{name} must be a list of values, got {values!r}")
    listed = list(values)
    if not listed:
        raise ValueError(f"{name} must hold at least one value, got none")
    return listed


def _name(activation: str, init: str | float) -> str:
    return f"{activation} with init {init}"


def _result(row: Row | None) -> str:
    """Say what a network had learned in an epoch, None being none."""
    if row is None:
        return "diverged at once"
    return f"loss {row.loss:.3f}" + ("" if row.accuracy is None else f", accuracy {row.accuracy:.3f}")


def _ratio(before: float, after: float) -> float:
    return after / before if before else 1.0
