"""What happened during a training, epoch by epoch."""

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastmlp.display import HistoryDisplay


@dataclass
class History:
    """The record of a training; every list has one entry an epoch, or none where it was not asked for.

    Attributes
    ----------
    loss : list of float
        Training loss, as `epoch_loss` of `fastmlp.train` defines it.
    val_loss, val_accuracy : list of float
        On `validation_data`; accuracy for classification only.
    seconds : list of float
        Wall time of the epoch's training, without compiling and without evaluation.
    gradient_magnitude : list of list of float
        With `track_gradients`: mean |∂loss/∂W| of each layer on the epoch's first batch, before its update.
    compile_seconds : float
        Time spent on compiling or on loading compiled code.
    """

    loss: list[float] = field(default_factory=list)
    val_loss: list[float] = field(default_factory=list)
    val_accuracy: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    gradient_magnitude: list[list[float]] = field(default_factory=list)
    compile_seconds: float = 0.0

    def __len__(self) -> int:
        return len(self.loss)

    def to_dict(self) -> dict[str, Any]:
        """Return a copy as plain lists and numbers, ready for JSON or a data frame."""
        return asdict(self)

    def plot(self, axes: Any = None) -> "HistoryDisplay":
        """Draw training loss and validation accuracy over epochs, in two panels; see `HistoryDisplay.plot`."""
        from fastmlp.display import HistoryDisplay

        return HistoryDisplay.from_history(self).plot(axes)
