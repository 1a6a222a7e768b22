"""Full disks, closed outputs, little memory, gigabytes mapped."""

import contextlib
import mmap
import os
import resource
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np

import fastmlp
from attacks import DefectError, attack
from attacks.training import (
    QUIET,
    SMALL,
    environment,
    is_clear,
    make_data,
    need_near,
    need_same,
    need_status,
    run_script,
)


@contextlib.contextmanager
def limit(kind, value):
    """Lower a limit of this process for a while."""
    soft, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (value, hard))
    try:
        yield
    finally:
        resource.setrlimit(kind, (soft, hard))


@attack(tries=6, timeout=120)
def full_disk(rng):
    """No room for a checkpoint or a network: the training is not lost, the old file stays, nothing is left behind."""
    for path in Path().iterdir():
        path.unlink()
    X, y = make_data(rng)
    old = fastmlp.train(X, y, **QUIET, **(SMALL | {"hidden": (50,)}))
    old.save("network.npz")
    room = int(rng.integers(Path("network.npz").stat().st_size - 1000))  # a checkpoint has a shorter history
    network, refused = None, None
    with limit(resource.RLIMIT_FSIZE, room), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        checkpoint = [fastmlp.callbacks.ModelCheckpoint("network.npz")] if rng.integers(2) else []
        try:
            network = fastmlp.train(X, 2 - y, callbacks=checkpoint, **QUIET, **(SMALL | {"hidden": (50,)}))
        except OSError as error:
            raise DefectError("lost model", f"a checkpoint without room ends the training: {error}") from error
        try:
            network.save("network.npz")
        except OSError as error:
            refused = error
    if refused is None:
        raise DefectError("difference", f"{room} bytes are no room, and save says nothing")
    need_same("the old file", fastmlp.MLP.load("network.npz").params, old.params)
    left = sorted(path.name for path in Path().iterdir() if path.name != "network.npz")
    if left:
        raise DefectError("unclear error", f"left behind: {left}")
    return "clean refusal"


COMMAND = "exec {python} -m fastmlp train --samples 300 --epochs 2 --hidden 8 --model {model} --figure {figure} {rest}"
PLACES = {
    "a pipe that closes": ("n.npz", "f.png", "| true", True),
    "a pipe that reads a line": ("n.npz", "f.png", "| head -1", True),
    "a full device": ("n.npz", "f.png", "> /dev/full", True),
    "no output": ("n.npz", "f.png", ">&-", True),
    "no output and no errors": ("n.npz", "f.png", ">&- 2>&-", True),
    "a network that is a folder": (".", "f.png", "", False),
    "a network in no folder": ("no/n.npz", "f.png", "", False),
    "a figure that is a folder": ("n.npz", ".", "", False),
    "a figure that has no room": ("n.npz", "/dev/full", "", False),
    "a network named by 250 letters": (f"{'n' * 246}.npz", "f.png", "", True),
}


@attack(tries=4, timeout=180)
def closed_output(rng):
    """The command line with nowhere to write to: refused before the training, or the network is on disk after it."""
    for path in Path().iterdir():
        path.unlink()
    name = str(rng.choice(list(PLACES)))
    model, figure, rest, trains = PLACES[name]
    line = COMMAND.format(python=sys.executable, model=model, figure=figure, rest=rest)
    if "|" in line:
        line = line.removeprefix("exec ")
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, env=environment(), timeout=100)
    said = f"{name}: {done.stdout[-300:]} {done.stderr[-800:]}"
    if "Fatal Python error" in done.stderr or done.returncode < 0:
        raise DefectError("crash", said)
    if not trains:
        if done.returncode == 0 or "epoch" in done.stdout:
            raise DefectError("lost model", f"trains before it looks where to write, {said}")
        if "Traceback" in done.stderr:
            raise DefectError("unclear error", said)
        return "clean refusal"
    try:
        fastmlp.MLP.load(model)
    except (OSError, ValueError) as error:
        raise DefectError("lost model", f"{said}: {error}") from error
    if "Traceback" in done.stderr:
        raise DefectError("unclear error", said)
    return "ok"


@attack(timeout=120)
def gigabytes_mapped(rng):
    """A first training in a process that has mapped 1 to 12 GB, in pieces of any size: as in any other process."""
    pieces, wanted = [], int(rng.integers(1, 13)) << 30
    while wanted > 0:
        size = int(rng.choice([1 << 30, 1 << 28, 3 << 20, (1 << 31) + 4096]))
        pieces.append(
            mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0))
        )
        wanted -= size
    X, y = make_data(rng)
    jit, reference = (fastmlp.train(X, y, backend=backend, **QUIET, **SMALL) for backend in ("jit", "reference"))
    need_near("parameters", jit.params, reference.params, 1e-7)
    need_near("logits", jit.logits(X), reference.logits(X), 1e-7)
    return "ok"


def mapped():
    """Bytes of address space of this process."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * mmap.PAGESIZE


@attack(tries=6, timeout=180)
def little_memory(rng):
    """Trainings and predictions for which there may be no memory: done, or a MemoryError; all is well afterwards."""
    X, y = make_data(rng, n=3000, d=200)
    options = QUIET | {"hidden": (20,), "num_epochs": 1, "num_threads": int(rng.integers(1, 3))}
    large = options | {"hidden": (4000,), "batch_size": 512}
    fastmlp.train(X, y, **large)  # a compiler without memory is not what is tried here
    network = fastmlp.train(X, y, **options)
    wanted = network.logits(X)
    outcome = "ok"
    with limit(resource.RLIMIT_AS, mapped() + int(rng.integers(150)) * (1 << 20)):
        try:
            if rng.integers(2):
                fastmlp.train(X, y, **(large if rng.integers(2) else options))
            need_same("logits with little memory", network.logits(X), wanted)
        except Exception as error:
            if isinstance(error, DefectError) or not is_clear(error):
                raise
            outcome = "clean refusal"
    need_same("logits", network.logits(X), wanted)
    need_same("a training", fastmlp.train(X, y, **options).params, network.params)
    return outcome


REFUSING = """
import resource
import threading

import numpy as np

import fastmlp

rng = np.random.default_rng(0)
X, y = rng.random((4000, 50)), np.arange(4000) % 3
whole = fastmlp.train(X, y, num_epochs=2, num_threads=1, seed=0, verbose=False)
starts, start = [0], threading.Thread.start

def refuse(self):
    starts[0] += 1
    if starts[0] > {allowed}:
        raise RuntimeError("can't start new thread")
    start(self)

threading.Thread.start = refuse
try:
    again = fastmlp.train(X, y, num_epochs=2, num_threads=4, seed=0, verbose=False)
    assert again.params.tobytes() == whole.params.tobytes()
except RuntimeError as error:
    assert "thread" in str(error)
threading.Thread.start = start
again = fastmlp.train(X, y, num_epochs=2, num_threads=2, seed=0, verbose=False)
assert again.params.tobytes() == whole.params.tobytes()
"""


@attack(tries=2, timeout=120)
def no_more_threads(rng):
    """The system refuses the second thread, or the third: done with fewer or refused, and all is well afterwards."""
    status, _, said = run_script(REFUSING.format(allowed=int(rng.integers(0, 4))), timeout=40)
    need_status(status, said)
    return "ok"


@attack(timeout=120)
def folder_without_permission(rng):
    """A cache that can't be read or written, or no home at all: compiled anew, with the same result."""
    X, y = make_data(rng)
    wanted = fastmlp.train(X, y, backend="reference", **QUIET, **SMALL)
    choice = rng.integers(3)
    if choice == 0:
        Path("file").write_text("no folder")
        os.environ["FASTMLP_CACHE_DIR"] = os.path.abspath("file/cache")
    elif choice == 1:
        os.environ["FASTMLP_CACHE_DIR"] = "/proc/nowhere"
    else:
        for name in ("HOME", "XDG_CACHE_HOME", "FASTMLP_CACHE_DIR"):
            os.environ.pop(name, None)
        os.environ["HOME"] = "/proc/nowhere"
    need_near("parameters", fastmlp.train(X, y, **QUIET, **SMALL).params, wanted.params, 1e-7)
    assert np.all(np.isfinite(wanted.params))
    return "ok"
