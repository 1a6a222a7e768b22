"""The bar of a terminal, the lines elsewhere, and the step that compiling is."""

import io
from contextlib import redirect_stdout
from types import SimpleNamespace

import pytest
from numpy.testing import assert_array_equal
from support.processes import run_python

import fastmlp
from fastmlp.history import History
from fastmlp.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def fit(X, y, **options):
    defaults = {"hidden": (6,), "num_epochs": 3, "seed": 5, "backend": "reference", "validation_data": (X, y)}
    defaults["normalize"] = None
    return fastmlp.train(X, y, **(defaults | options))


def test_a_terminal_shows_a_bar(blobs):
    with redirect_stdout(Terminal()) as terminal:
        history = fit(*blobs).history
    first, *rest = terminal.getvalue().splitlines()
    assert first.startswith("training 4-6-3, relu, cross_entropy on 60 samples: ")
    last = terminal.getvalue().rpartition("\r")[2]
    assert last.startswith("epoch 3/3 100%|")
    assert f"loss {history.loss[-1]:.4f}  val loss {history.val_loss[-1]:.4f}" in last
    assert f"val accuracy {history.val_accuracy[-1]:.4f}" in last
    assert "samples/s" in last
    assert "00:00<00:00" in last
    assert last.endswith("\n")
    assert not any(line.startswith("epoch 1/3  loss") for line in rest)


def test_silence_on_a_terminal(blobs):
    with redirect_stdout(Terminal()) as terminal:
        fit(*blobs, verbose=False)
    assert terminal.getvalue() == ""


@pytest.mark.parametrize("error", [KeyboardInterrupt, LookupError])
def test_the_bar_is_left_before_anything_else_is_printed(error, blobs):
    def fail(model, history):
        raise error

    with redirect_stdout(Terminal()) as terminal:
        try:
            fit(*blobs, callbacks=[fail])
        except LookupError:
            print("caught")
    last = terminal.getvalue().splitlines()[-1]
    assert last == ("caught" if error is LookupError else "interrupted: the network after 1 whole epochs is kept")


class Broken(io.StringIO):
    """A standard output that takes some writes and then none."""

    def __init__(self, error, good_writes, is_terminal=False):
        super().__init__()
        self.error, self.left, self.is_terminal = error, good_writes, is_terminal

    def isatty(self):
        return self.is_terminal

    def write(self, text):
        if not self.left:
            raise self.error
        self.left -= 1
        return super().write(text)


@pytest.mark.parametrize("is_terminal", [False, True])
@pytest.mark.parametrize("good_writes", [0, 1, 3])
@pytest.mark.parametrize(
    "error", [BrokenPipeError(32, "Broken pipe"), OSError(28, "No space left on device"), RuntimeError("no widget")]
)
def test_a_broken_standard_output_costs_no_training(error, good_writes, is_terminal, blobs):
    with redirect_stdout(Broken(error, good_writes, is_terminal)) as output:
        model = fit(*blobs)
    assert not output.left
    assert len(model.history) == 3
    assert_array_equal(model.params, fit(*blobs, verbose=False).params)


@pytest.mark.parametrize("output", [None, io.StringIO(), object()], ids=["none", "closed", "no stream"])
def test_a_standard_output_that_is_none_costs_no_training(output, blobs, monkeypatch):
    if hasattr(output, "close"):
        output.close()
    monkeypatch.setattr("sys.stdout", output)
    assert len(fit(*blobs).history) == 3


def test_an_interrupt_in_the_first_epoch_keeps_no_epoch(blobs, monkeypatch, capsys):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("fastmlp.descent.Descent.run_epoch", interrupt)
    assert len(fit(*blobs).history) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "interrupted in the first epoch"


def test_compiling_is_a_step_of_its_own(capsys):
    class Compiled:
        compile_seconds, description = 3.21, "compiled path"

    progress = Progress(2, verbose=True)
    progress.compiling()
    assert capsys.readouterr().out == "compiling, first run only ... "
    progress.begin("4-6-3", 60, Compiled, ["features as they are"])
    assert capsys.readouterr().out == "3.2 s\nfeatures as they are\ntraining 4-6-3 on 60 samples: compiled path\n"


def test_compiling_is_told_only_when_something_is_compiled(tmp_path):
    script = """
import fastmlp
for _ in range(2):
    fastmlp.train([[0.0], [1.0]], [0, 1], hidden=(), normalize=None, num_epochs=1)
"""
    first, second = (run_python(script, FASTMLP_CACHE_DIR=str(tmp_path)).splitlines() for _ in range(2))
    assert [line.startswith("compiling, first run only ... ") for line in first] == [True, False, False, False, False]
    assert [line[:8] for line in second] == ["training", "epoch 1/"] * 2


def test_lines_need_no_tqdm():
    script = """
import sys, fastmlp
fastmlp.train([[0.0], [1.0]], [0, 1], hidden=(), num_epochs=1, backend="reference")
print("tqdm" in sys.modules, "IPython" in sys.modules)
"""
    assert run_python(script).splitlines()[-1] == "False False"


def test_a_line_tells_the_seconds_of_its_own_epoch(capsys):
    progress, history = Progress(2, True), History()
    for loss, seconds in ((0.5, 1.25), (0.25, 2.5)):
        history.loss.append(loss)
        history.seconds.append(seconds)
        progress.epoch(history)
    assert capsys.readouterr().out.splitlines() == [
        "epoch 1/2  loss 0.5000  1.250 s",
        "epoch 2/2  loss 0.2500  2.500 s",
    ]


@pytest.mark.parametrize(
    ("most", "mean", "told"),
    [(2, 1.41, "  1.4 of 2 threads"), (64, 7.6, "  7.6 of 64 threads"), (2, 2.0, ""), (2, 1.96, ""), (1, 1.0, ""),
     (None, None, "")],
)  # fmt: skip
def test_a_line_tells_when_fewer_threads_ran(most, mean, told, capsys):
    trainer = SimpleNamespace(description="some path", schedule="", num_threads=most, mean_threads=mean)
    history = History()
    history.loss.append(0.5)
    history.seconds.append(1.25)
    progress = Progress(1, True)
    progress.begin("4-6-3", 60, trainer)
    progress.epoch(history)
    assert capsys.readouterr().out.splitlines()[-1] == f"epoch 1/1  loss 0.5000  1.250 s{told}"
    with redirect_stdout(Terminal()) as terminal, Progress(1, True) as progress:
        progress.begin("4-6-3", 60, trainer)
        progress.epoch(history)
    assert terminal.getvalue().rstrip().endswith(f"48 samples/s{told}")
