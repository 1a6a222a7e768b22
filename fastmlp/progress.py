"""The output of a training while it runs: a bar, or a line for each epoch."""

import sys
import warnings
from collections.abc import Iterable
from types import TracebackType
from typing import Any

from fastmlp.history import History
from fastmlp.output import Output
from fastmlp.problem import Architecture, Trainer

FEWER = 0.95
"""An epoch's line tells how many threads ran, where they were at most this share of all."""


class Progress:
    """The path taken, then the epochs: a bar on a terminal and in a notebook, elsewhere a line each.

    With ``verbose=2`` also what the compiled path does in a batch. Nothing at all is printed with ``verbose=False``,
    and nothing more once standard output is broken. As a context manager it leaves the bar finished.
    """

    def __init__(self, num_epochs: int, verbose: int, done: int = 0) -> None:
        self._num_epochs = num_epochs
        self._done = done
        self._verbose = verbose
        self._output = Output(sys.stdout)
        self._num_samples = 0
        self._trainer: Trainer | None = None
        self._compiling = False
        self._bar: Any = None

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._close()

    def _print(self, text: str, end: str = "\n") -> None:
        if self._verbose:
            print(text, end=end, file=self._output, flush=True)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def compiling(self) -> None:
        """Say what takes the seconds before the first epoch."""
        self._compiling = True
        self._print("compiling, first run only ...", end=" ")

    def begin(self, architecture: Architecture, n: int, trainer: Trainer, notes: Iterable[str] = ()) -> None:
        """Say what is about to be trained, and how; notes tell what is done to the data."""
        if self._compiling:
            self._print(f"{trainer.compile_seconds:.1f} s")
        for note in notes:
            self._print(note)
        self._print(f"training {architecture} on {n:,} samples: {trainer.description}")
        if self._verbose == 2 and trainer.schedule:
            self._print(trainer.schedule)
        if self._done:
            self._print(f"resumed after epoch {self._done}")
        self._num_samples = n
        self._trainer = trainer
        if self._verbose and (_in_notebook() or self._output.isatty()):
            self._bar = _make_bar(self._num_epochs, self._done, self._output)

    def epoch(self, history: History) -> None:
        """Report the epoch that `history` ends with."""
        done, seconds = len(history), history.seconds[-1]
        results = f"loss {history.loss[-1]:.4f}"
        if history.val_loss:
            results += f"  val loss {history.val_loss[-1]:.4f}"
        if history.val_accuracy:
            results += f"  val accuracy {history.val_accuracy[-1]:.4f}"
        threads = _fewer_threads(self._trainer)
        if self._bar is None:
            epochs = f"epoch {done:{len(str(self._num_epochs))}d}/{self._num_epochs}"
            self._print(f"{epochs}  {results}  {seconds:.3f} s{threads}")
            return
        rate = f"{self._num_samples / seconds:,.0f} samples/s"
        self._bar.set_postfix_str(f"{results}  {rate}{threads}", refresh=False)
        self._bar.update()

    def stopped(self, epochs: int, kept: int) -> None:
        """Say that a callback ended the training after so many epochs, and of which one the network is kept."""
        self._close()
        self._print(f"stopped after epoch {epochs}: the network of epoch {kept} is kept")

    def interrupted(self, kept: int) -> None:
        """Say that the user stopped the training, and after how many epochs the network is kept."""
        self._close()
        outcome = f": the network after {kept} whole epochs is kept" if kept else " in the first epoch"
        self._print("interrupted" + outcome)


def _fewer_threads(trainer: Trainer | None) -> str:
    """Say how many threads ran in the last epoch, if they were clearly fewer than there might have been."""
    most, mean = (None, None) if trainer is None else (trainer.num_threads, trainer.mean_threads)
    if most is None or mean is None or mean > FEWER * most:
        return ""
    return f"  {mean:.1f} of {most} threads"


def _in_notebook() -> bool:
    """Whether this process is a notebook's kernel; one that never imported IPython is none."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return shell is not None and "IPKernelApp" in shell.config


def _make_bar(num_epochs: int, done: int, output: Output) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tqdm's, about a notebook without widgets: it then draws with characters
        from tqdm.auto import tqdm

    layout = "epoch {n_fmt}/{total_fmt} {percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}"
    return tqdm(total=num_epochs, initial=done, file=output, bar_format=layout, dynamic_ncols=True)
