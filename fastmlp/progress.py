"""What a training prints while it runs."""

from fastmlp.history import History
from fastmlp.problem import Architecture, Trainer


class Progress:
    """One line about the path taken, then one line an epoch; nothing at all with ``verbose=False``."""

    def __init__(self, num_epochs: int, verbose: bool) -> None:
        self._num_epochs = num_epochs
        self._verbose = verbose

    def _print(self, line: str) -> None:
        if self._verbose:
            print(line, flush=True)

    def begin(self, architecture: Architecture, n: int, trainer: Trainer) -> None:
        """Say what is about to be trained, and how."""
        self._print(f"training {architecture} on {n:,} samples: {trainer.description}")

    def epoch(self, history: History) -> None:
        """Report the epoch that `history` ends with."""
        done = len(history)
        line = f"epoch {done:{len(str(self._num_epochs))}d}/{self._num_epochs}  loss {history.loss[-1]:.4f}"
        if history.val_loss:
            line += f"  val loss {history.val_loss[-1]:.4f}"
        if history.val_accuracy:
            line += f"  val accuracy {history.val_accuracy[-1]:.4f}"
        self._print(f"{line}  {history.seconds[-1]:.3f} s")

    def interrupted(self, history: History) -> None:
        """Say that the user stopped the training."""
        self._print(f"interrupted: the network after {len(history)} whole epochs is kept")
