"""The record of a training, epoch by epoch."""

from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastmlp.display import HistoryDisplay


@dataclass
class History:
    """The record of a training; every list has one entry an epoch unless it says otherwise, or none if not asked for.

    Attributes
    ----------
    loss : list of float
        Training loss, as `epoch_loss` of `fastmlp.train` defines it.
    val_loss, val_accuracy : list of float
        On `validation_data`; accuracy for classification only.
    seconds : list of float
        Wall time of the epoch's training, without compiling and without evaluation.
    lr : list of float
        The learning rate of the epoch's last step.
    gradient_magnitude, gradient_rms : list of list of float
        With `track_gradients`: mean |∂loss/∂W| and root mean square of ∂loss/∂W, one number a layer. These and the
        lists below are of the epoch's first batch, or of all its batches where every one was watched.
    update_ratio : list of list of float
        ‖ΔW‖ / ‖W‖ of each layer in a step; NaN where W is all 0.
    delta_magnitude : list of list of float
        Mean over samples and units of |∂(loss of the sample)/∂z|, of each layer.
    dead_units : list of list of float
        Share of units that are 0 for every watched sample, of each hidden layer.
    zero_activations : list of list of float
        Share of activations that are 0, of each hidden layer; those of dropped units are.
    first_epoch_gradients : list of list of float
        With ``track_gradients="first_epoch"``: `gradient_magnitude` for every batch of the first epoch.
    compile_seconds : float
        Time spent on compiling or on loading compiled code.
    """

    loss: list[float] = field(default_factory=list)
    val_loss: list[float] = field(default_factory=list)
    val_accuracy: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    lr: list[float] = field(default_factory=list)
    gradient_magnitude: list[list[float]] = field(default_factory=list)
    gradient_rms: list[list[float]] = field(default_factory=list)
    update_ratio: list[list[float]] = field(default_factory=list)
    delta_magnitude: list[list[float]] = field(default_factory=list)
    dead_units: list[list[float]] = field(default_factory=list)
    zero_activations: list[list[float]] = field(default_factory=list)
    first_epoch_gradients: list[list[float]] = field(default_factory=list)
    compile_seconds: float = 0.0

    def __len__(self) -> int:
        return len(self.loss)

    def _cut(self, epochs: int) -> None:
        """Forget what was recorded of later epochs than so many."""
        for entry in fields(self):
            values = getattr(self, entry.name)
            if entry.name == "first_epoch_gradients":
                del values[len(values) * (epochs > 0) :]
            elif isinstance(values, list):
                del values[epochs:]

    def to_dict(self) -> dict[str, Any]:
        """Return a copy as plain lists and numbers, ready for JSON or a data frame."""
        return asdict(self)

    def plot(self, axes: Any = None) -> "HistoryDisplay":
        """Draw training loss and validation accuracy over epochs, in two panels; see `HistoryDisplay.plot`."""
        from fastmlp.display import HistoryDisplay

        return HistoryDisplay.from_history(self).plot(axes)
