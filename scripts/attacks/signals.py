"""Ctrl-C and SIGKILL at random moments of a training, a prediction, an import, a compilation, a write."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np

import fastmlp
from attacks import DefectError, attack
from attacks.files import CACHED, filled_cache
from attacks.training import QUIET, all_at_once, environment, make_data, need_same, need_status, run_script

SENDER = """
import os, sys, time

pid, delays = int(sys.argv[1]), map(float, sys.argv[2:])
for delay in delays:
    time.sleep(delay)
    if os.getppid() != pid:
        break
    sent = time.monotonic()
    os.kill(pid, 2)
print(sent)
"""
PACKAGE = os.path.dirname(fastmlp.__file__)
PATIENCE = 2.0
"""Seconds from an interrupt to the end of what it interrupts, on a busy machine."""


def interrupt_after(*delays):
    """Start a process that sends SIGINT to this one after each of the delays, and tells when it sent the last."""
    command = [sys.executable, "-S", "-E", "-c", SENDER, str(os.getpid()), *map(str, delays)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)


def ours(error):
    """Whether an exception came out of the package."""
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename.startswith(PACKAGE):
            return True
        trace = trace.tb_next
    return False


class Trainings:
    """One training problem, with the parameters that it has after each epoch."""

    def __init__(self, rng):
        self.threads = int(rng.integers(1, 3))
        self.long = bool(rng.integers(2))
        n, d = (60_000, 200) if self.long else (400, 20)
        self.X, self.y = make_data(rng, n, d)
        self.options = {
            "hidden": (64,) if self.long else (8,),
            "batch_size": int(rng.choice([64, 4096] if self.long else [16, 64])),
            "num_threads": self.threads,
            "num_epochs": 6 if self.long else 300,
        }
        self.states = []
        started = time.perf_counter()
        self.whole = self.train([lambda model, history: self.states.append(model.params.tobytes())])
        self.seconds = time.perf_counter() - started

    def train(self, callbacks=()):
        return fastmlp.train(self.X, self.y, callbacks=callbacks, **QUIET, **self.options)

    def check(self, network):
        """An interrupted training returns the network of its last whole epoch."""
        epochs = len(network.history)
        if epochs and network.params.tobytes() != self.states[epochs - 1]:
            raise DefectError("difference", f"{self}: the network is not that of its {epochs} epochs")
        if not np.all(np.isfinite(network.logits(self.X[:10]))):
            raise DefectError("difference", f"{self}: the network predicts no numbers")

    def __str__(self):
        return f"{self.options}, {len(self.X)} rows"


@attack(timeout=90)
def interrupted_training(rng):
    """Ten trainings, each interrupted once: at once, and with the network of the last whole epoch."""
    trainings = Trainings(rng)
    for _ in range(10):
        network, error, done, returned = None, None, [], 0.0
        sender = interrupt_after(rng.uniform(0, 1.1 * trainings.seconds))
        try:
            network = trainings.train([lambda model, history, done=done: done.append(len(history))])
            returned = time.monotonic()
            sender.wait()
        except KeyboardInterrupt as interrupt:
            error, returned = interrupt, returned or time.monotonic()
        sent = float(sender.communicate()[0])
        if returned - sent > PATIENCE:
            raise DefectError("hang", f"{trainings}: came back {returned - sent:.1f} s after the interrupt")
        if network is not None:
            trainings.check(network)
        elif done and ours(error):
            raise DefectError(
                "lost model", f"{trainings}: interrupted after {len(done)} epochs, and there is no network"
            )
    need_same(f"{trainings}: trained again", trainings.train().params, trainings.whole.params)
    return "ok"


def survive(work, seconds):
    """Work again and again under a fire of interrupts."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            while time.monotonic() < end:
                work()
        except KeyboardInterrupt:
            pass


def under_fire(work, delays):
    """Work until all interrupts have come."""
    sender = interrupt_after(*delays)
    for _ in range(1000):  # an interrupt may come where the last one is dealt with
        try:
            survive(work, sum(delays) + 0.5)
            sender.communicate()
            return
        except KeyboardInterrupt:
            continue


@attack(timeout=90)
def many_interrupts_in_training(rng):
    """A hundred interrupts, at random or in pairs 0.2 s apart; then the same training gives the same network."""
    trainings = Trainings(rng)
    delays = rng.exponential(0.02, 100) if rng.integers(2) else np.resize([0.3, 0.2, 0.001], 30) * rng.random(30)
    under_fire(trainings.train, delays.tolist())
    need_same(f"{trainings}: trained again", trainings.train().params, trainings.whole.params)
    return "ok"


@attack(timeout=90)
def many_interrupts_in_prediction(rng):
    """A hundred interrupts while thousands of rows are predicted; then the predictions are what they were."""
    trainings = Trainings(rng)
    X, network = np.resize(trainings.X, (100_000, trainings.X.shape[1])), trainings.whole
    wanted = network.logits(X)
    under_fire(lambda: network.logits(X), rng.exponential(0.02, 100).tolist())
    need_same(f"{trainings}: logits", network.logits(X), wanted)
    return "ok"


FIRST_TRAINING = """
import numpy as np

import fastmlp
import fastmlp.training

print("here", flush=True)
while True:
    try:
        exec({code!r})
        break
    except KeyboardInterrupt:
        pass
"""


@attack(timeout=240)
def interrupted_compilation(rng):
    """An interrupt while the first training imports the compiler or compiles; the next one is as if there was none."""
    shared, cache = filled_cache(), Path("cache").absolute()
    process = subprocess.Popen(
        [sys.executable, "-X", "faulthandler", "-c", FIRST_TRAINING.format(code=CACHED)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(FASTMLP_CACHE_DIR=cache),
    )
    process.stdout.readline()
    time.sleep(rng.uniform(0, rng.choice([1, 6])))
    process.send_signal(signal.SIGINT)
    try:
        _, said = process.communicate(timeout=120)
    except subprocess.TimeoutExpired:
        process.kill()
        raise DefectError("hang", "not back after 120 s") from None
    need_status(process.returncode, said)
    for path in (shared / "results").iterdir():
        need_same(path.stem, np.load(path.name), np.load(path))
    return "ok"


@attack(timeout=240)
def killed_compilation(rng):
    """SIGKILL while a program is compiled and written; the next process gives the right results."""
    shared, cache = filled_cache(), Path("cache").absolute()
    process = subprocess.Popen([sys.executable, "-c", CACHED], env=environment(FASTMLP_CACHE_DIR=cache))
    time.sleep(rng.uniform(0, 8))
    process.kill()
    process.wait()
    status, _, said = run_script(CACHED, timeout=120, FASTMLP_CACHE_DIR=cache)
    need_status(status, said)
    for path in (shared / "results").iterdir():
        need_same(path.stem, np.load(path.name), np.load(path))
    return "ok"


SAVING = """
import fastmlp

networks = [fastmlp.MLP.load(f"{name}.npz") for name in ("first", "second")]
print("here", flush=True)
while True:
    for network in networks:
        network.save("network.npz")
"""


@attack(tries=4, timeout=120)
def killed_while_saving(rng):
    """SIGKILL while one network replaces another on disk: the file is one of the two, whole."""
    X, y = make_data(rng, d=300)
    networks = [
        fastmlp.train(X, y, hidden=(256,), num_epochs=1, backend="reference", seed=seed, verbose=False)
        for seed in (1, 2)
    ]
    for name, network in zip(("first", "second"), networks, strict=True):
        network.save(f"{name}.npz")
    networks[0].save("network.npz")
    process = subprocess.Popen([sys.executable, "-c", SAVING], stdout=subprocess.PIPE)
    process.stdout.readline()
    time.sleep(rng.uniform(0, 0.2))
    process.kill()
    process.communicate()
    try:
        found = fastmlp.MLP.load("network.npz").params.tobytes()
    except (ValueError, OSError) as error:
        raise DefectError("lost model", f"the file is damaged: {error}") from error
    if found not in [network.params.tobytes() for network in networks]:
        raise DefectError("difference", "the file holds neither network")
    return "ok"


CHECKPOINTING = """
import sys

import numpy as np

import fastmlp

data = np.load("data.npz")
written = fastmlp.callbacks.ModelCheckpoint("checkpoint.npz")

def tell(model, history):
    if len(history) == 1:
        print("here", flush=True)

fastmlp.train(data["X"], data["y"], callbacks=[written, tell], **{options})
"""


@attack(tries=50, timeout=400)
def killed_while_checkpointing(rng):
    """SIGKILL in a training that writes a checkpoint an epoch: the last one loads, and goes on as if not killed."""
    X, y = make_data(rng, d=100)
    options = QUIET | {"hidden": (64,), "num_epochs": 200, "optimizer": "adam"}
    options |= {"backend": str(rng.choice(["jit", "reference"])), "validation_split": 0.1}
    np.savez("data.npz", X=X, y=y)
    Path("checkpoint.npz").unlink(missing_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-c", CHECKPOINTING.format(options=options)], stdout=subprocess.PIPE, env=environment()
    )
    process.stdout.readline()
    time.sleep(rng.uniform(0, 0.1))
    process.kill()
    process.communicate()
    try:
        epochs = len(fastmlp.MLP.load("checkpoint.npz").history)
        options["num_epochs"] = epochs + 2
        resumed = fastmlp.train(X, y, resume="checkpoint.npz", **options)
    except (ValueError, OSError) as error:
        raise DefectError("lost model", f"the checkpoint is damaged: {error}") from error
    whole = fastmlp.train(X, y, **options)
    need_same(f"resumed after epoch {epochs} of {options}", resumed.params, whole.params)
    return "ok"


ENDING = """
import threading
import time

import numpy as np

import fastmlp

rng = np.random.default_rng(0)
X, y = rng.random((20_000, 50)), np.arange(20_000) % 3
model = fastmlp.train(X, y, num_epochs=1, num_threads={threads}, seed=0, verbose=False)

def work():
    fastmlp.train(X, y, num_epochs={epochs}, num_threads={threads}, seed=0, verbose=False).save("network.npz")

def predict():
    for _ in range({epochs}):
        model.predict(X)
    model.save("network.npz")

threading.Thread(target={target}, daemon={daemon}).start()
time.sleep({seconds})
"""


@attack(tries=3, timeout=180)
def end_of_the_main_script(rng):
    """The main script ends while a thread trains or predicts: it goes on to its end, or, a daemon, leaves quietly."""
    daemon = bool(rng.integers(2))
    Path("network.npz").unlink(missing_ok=True)
    code = ENDING.format(
        threads=int(rng.integers(1, 3)), epochs=int(rng.choice([5, 30])), target=rng.choice(["work", "predict"]),
        daemon=daemon, seconds=rng.uniform(0, 0.3),
    )  # fmt: skip
    status, _, said = run_script(code)
    need_status(status, said)
    if not daemon and not Path("network.npz").exists():
        raise DefectError("lost model", f"the thread did not end its work: {said[-800:]}")
    return "ok"


@attack(timeout=90)
def threads_at_once(rng):
    """Python threads that train and predict at once, one network shared: every result is what it is alone."""
    problems = [Trainings(rng) for _ in range(3)]
    shared = problems[0].whole
    X = np.resize(problems[0].X, (20_000, problems[0].X.shape[1]))
    wanted = shared.logits(X)

    def work(turns):
        for turn in turns:
            if turn < 3:
                need_same("training", problems[turn].train().params, problems[turn].whole.params)
            else:
                rows = slice(0, len(X) if turn == 3 else 50)
                need_same("prediction", shared.logits(X[rows]), wanted[rows])

    all_at_once([partial(work, rng.integers(0, 6, 4).tolist()) for _ in range(6)])
    return "ok"
