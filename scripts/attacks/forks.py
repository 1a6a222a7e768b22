"""fork() before, during and after trainings and predictions."""

import faulthandler
import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path

import numpy as np

import fastmlp
from attacks import DefectError, attack
from attacks.training import QUIET, make_data, need_same

OPTIONS = QUIET | {"hidden": (16,), "num_epochs": 3}


def in_a_fork(work, timeout=20):
    """Run work in a forked child: it has to come back, without an exception."""
    read, write = os.pipe()
    stacks = open("stacks", "w")  # noqa: SIM115
    faulthandler.register(signal.SIGUSR1, stacks)
    child = os.fork()
    if not child:
        status = 1
        try:
            os.close(read)
            work()
            status = 0
        except BaseException as error:
            outcome = error.outcome if isinstance(error, DefectError) else "unclear error"
            os.write(write, f"{outcome}\n{type(error).__name__}: {error}".encode()[:4000])
        finally:
            os._exit(status)
    os.close(write)
    end = time.monotonic() + timeout
    while (ended := os.waitpid(child, os.WNOHANG))[0] == 0:
        if time.monotonic() > end:
            os.kill(child, signal.SIGUSR1)
            time.sleep(0.5)
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            os.close(read)
            raise DefectError("hang", f"the child is not back after {timeout} s, but at\n{Path('stacks').read_text()}")
        time.sleep(0.01)
    with os.fdopen(read, "rb") as file:
        said = file.read().decode()
    status = os.waitstatus_to_exitcode(ended[1])
    if status < 0:
        raise DefectError("crash", f"the child died of {signal.Signals(-status).name}")
    if status:
        outcome, detail = said.split("\n", 1) if said else ("crash", f"the child left with {status}")
        raise DefectError(outcome, f"in the child, {detail}")


class Networks:
    """Two networks of one architecture and what they predict."""

    def __init__(self, rng):
        self.X, self.y = make_data(rng, 5000, 30)
        self.threads = int(rng.integers(1, 3))
        self.networks = [self.train(seed) for seed in (1, 2)]
        self.few = int(rng.integers(1, 60))

    def train(self, seed):
        return fastmlp.train(self.X, self.y, num_threads=self.threads, **(OPTIONS | {"seed": seed}))

    def expect(self):
        """Work out what is right; the predictors have run then."""
        self.wanted = [network.logits(self.X) for network in self.networks]

    def check(self, which, rounds=1):
        network, wanted = self.networks[which], self.wanted[which]
        for _ in range(rounds):
            need_same("logits", network.logits(self.X), wanted)
            need_same("logits of a few rows", network.logits(self.X[: self.few]), wanted[: self.few])

    def check_training(self, which):
        need_same("a training", self.train(which + 1).params, self.networks[which].params)


@attack(tries=3, timeout=180)
def fork_after_training(rng):
    """Parent and child go on with networks trained before the fork, both at once."""
    networks = Networks(rng)
    if rng.integers(2):
        networks.expect()
        warm = True
    else:
        reference = [network.params.copy() for network in networks.networks]
        networks.wanted = [fresh(networks, params) for params in reference]
        warm = False
    wrong = []

    def parent():
        try:
            networks.check(0, rounds=20)
        except DefectError as defect:
            wrong.append(defect)

    worker = threading.Thread(target=parent)
    if warm:
        worker.start()
    in_a_fork(lambda: (networks.check(1, rounds=20), networks.check_training(0)))
    if not warm:
        worker.start()
    worker.join()
    if wrong:
        raise DefectError("difference", f"in the parent, {wrong[0]}")
    networks.check_training(1)
    return "ok"


def fresh(networks, params):
    """What a network of these parameters predicts, by a network of its own."""
    same = next(network for network in (networks.train(1), networks.train(2)) if np.all(network.params == params))
    return same.logits(networks.X)


@attack(tries=3, timeout=180)
def fork_while_training(rng):
    """Forks while another thread trains; the children train and predict."""
    networks = Networks(rng)
    networks.expect()
    stop = threading.Event()
    results = []

    def train():
        while not stop.is_set():
            results.append(networks.train(1).params)

    busy(train, stop, lambda: in_a_fork(lambda: (networks.check(1), networks.check_training(1))), rng)
    for params in results:
        need_same("in the parent, a training", params, networks.networks[0].params)
    return "ok"


@attack(tries=3, timeout=180)
def fork_while_predicting(rng):
    """Forks while another thread predicts with the network that the children predict with."""
    networks = Networks(rng)
    networks.expect()
    stop = threading.Event()
    wrong = []

    def predict():
        while not stop.is_set():
            try:
                networks.check(0)
            except DefectError as defect:
                wrong.append(defect)

    busy(predict, stop, lambda: in_a_fork(lambda: (networks.check(0), networks.check(1))), rng)
    if wrong:
        raise DefectError("difference", f"in the parent, {wrong[0]}")
    return "ok"


@attack(timeout=180)
def fork_while_compiling(rng):
    """A fork while another thread imports the compiler or compiles; the child trains too."""
    os.environ["FASTMLP_CACHE_DIR"] = os.path.abspath("cache")
    X, y = make_data(rng)
    worker = threading.Thread(target=lambda: fastmlp.train(X, y, **OPTIONS))
    worker.start()
    time.sleep(rng.uniform(0, 5))
    try:
        in_a_fork(lambda: fastmlp.train(X, y, **OPTIONS), timeout=60)
    finally:
        worker.join()
    return "ok"


def busy(work, stop, fork, rng):
    """Fork some times while a thread works."""
    worker = threading.Thread(target=work)
    worker.start()
    try:
        for _ in range(4):
            time.sleep(rng.uniform(0, 0.05))
            fork()
    finally:
        stop.set()
        worker.join()


_networks = None


def predict_in_a_pool(task):
    which, rows = task
    return _networks.networks[which].logits(_networks.X[rows])


@attack(timeout=180)
def fork_pool(rng):
    """multiprocessing's pool of forked workers that predict with two networks, while the parent predicts too."""
    global _networks
    _networks = Networks(rng)
    _networks.expect()
    tasks = [(int(rng.integers(2)), slice(start, start + int(rng.choice([40, 500])))) for start in range(0, 4000, 100)]
    with multiprocessing.get_context("fork").Pool(2) as pool:
        waiting = pool.map_async(predict_in_a_pool, tasks)
        for _ in range(20):
            _networks.check(0)
        try:
            results = waiting.get(60)
        except multiprocessing.TimeoutError:
            raise DefectError("hang", "the pool is not back after 60 s") from None
    for (which, rows), logits in zip(tasks, results, strict=True):
        need_same("logits from the pool", logits, _networks.wanted[which][rows])
    return "ok"
