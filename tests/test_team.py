"""Calls into compiled code: whole however they are interrupted, on the one team of threads that a process has."""

import gc
import os
import subprocess
import sys
import threading
import time
import weakref
from types import SimpleNamespace

import numpy as np
import pytest
from support.controllers import steady
from support.engine_cases import Case, make_problem, same_bits, train
from support.processes import PACKAGE, TESTS, run_python

import fastmlp
from fastmlp.engine import player, tables, team
from fastmlp.engine.processor import usable_cores
from fastmlp.engine.team import Call, complete
from fastmlp.engine.trainer import Engine

SPARSE = Case("float64", "float32", "sparse", hidden=(5,), d=131, n=200, batch=9, optimizer="adam", threads=2)
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")


def interrupt_the_wait(monkeypatch, number, times):
    """Raise KeyboardInterrupt so many times where call `number` is waited for, before or after it is handed on."""
    calls = []

    def complete_or_not(call):
        if call not in calls:
            calls.append(call)
        if len(calls) == number and times:
            if times.pop() == "handed on":
                team._team._calls.put(call)
            raise KeyboardInterrupt
        complete(call)

    monkeypatch.setattr(player, "complete", complete_or_not)


# ---- a call, whatever happens to who waits for it


@pytest.mark.parametrize("times", [["before"], ["handed on"], ["handed on", "before"], ["before", "handed on"]])
def test_a_call_is_completed_after_interrupts(monkeypatch, times):
    problem, start, orders = make_problem(SPARSE)
    wanted = train(Engine(problem, start), orders)
    monkeypatch.setattr(player, "Controller", steady(samples=9))  # a batch a call
    engine = Engine(problem, start)
    interrupt_the_wait(monkeypatch, 8, list(times))
    with pytest.raises(KeyboardInterrupt):
        engine.run_epoch(orders[0])
    # Whole batches, the interrupted one too, are done when the parameters are read.
    some = Engine(problem, start)
    some.run_epoch(orders[0][: 8 * 9])
    assert engine.params.tobytes() == some.params.tobytes()
    assert np.count_nonzero(engine._workspace._set["batch_loss"]) == 8
    same_bits(train(Engine(problem, start), orders), wanted)


def test_a_call_owns_what_it_works_on():
    """Nobody waits for it any more, and still nothing is freed before the last thread has left."""
    memory, entered, leave = np.zeros(3), threading.Barrier(3), threading.Event()

    def part(thread, threads, kept=memory):
        entered.wait()
        leave.wait()

    complete(Call(lambda thread, threads: None, 1))  # there is a team
    team._team._calls.put(Call(part, 2))
    freed = threading.Event()
    weakref.finalize(memory, freed.set)
    entered.wait()
    del memory, part
    gc.collect()
    assert not freed.is_set()
    leave.set()
    assert freed.wait(60)


def test_an_interrupted_call_keeps_its_engine(monkeypatch):
    """Arrays that compiled code still works on live as long as the call, though nobody has the engine any more."""
    problem, start, orders = make_problem(SPARSE)
    engine = Engine(problem, start)
    freed, calls = threading.Event(), []

    def never_begun(call):
        calls.append(call)
        raise KeyboardInterrupt

    monkeypatch.setattr(player, "complete", never_begun)
    with pytest.raises(KeyboardInterrupt):
        engine.run_epoch(orders[0])
    weakref.finalize(engine._workspace, freed.set)
    del engine
    gc.collect()
    assert not freed.is_set()
    calls.clear()
    gc.collect()
    assert freed.is_set()


def test_a_call_is_made_once():
    parts = []
    call = Call(lambda thread, threads: parts.append(thread), 3)
    complete(call)
    complete(call)
    team._team._calls.put(call)
    other = Call(lambda thread, threads: None, 1)
    complete(other)
    assert sorted(parts) == [0, 1, 2]


def test_calls_of_many_threads_take_turns():
    """Two calls at once would wait for each other's threads."""
    running, most = [], []

    def part(thread, threads):
        if thread == 0:
            running.append(None)
            most.append(len(running))
            time.sleep(0.001)
            running.pop()

    threads = [threading.Thread(target=lambda: [complete(Call(part, 2)) for _ in range(20)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(most) == 80
    assert max(most) == 1


def test_an_error_of_a_kernel_in_python_reaches_the_caller():
    problem, start, orders = make_problem(SPARSE)
    engine = Engine(problem, start)

    def epoch(table, schedule):
        raise IndexError("out of bounds")

    engine._workspace._player._epoch = epoch
    with pytest.raises(IndexError, match="out of bounds"):
        engine.run_epoch(orders[0])


@pytest.mark.parametrize(("threads", "available"), [(3, 0), (3, 1), (3, 2), (2, 0), (2, 1)])
def test_without_threads_a_call_runs_on_fewer(monkeypatch, threads, available):
    started = []

    def start(*args):
        if len(started) == available:
            raise RuntimeError("can't start new thread")
        started.append(None)
        return real(*args)

    real = team._start
    problem, first, orders = make_problem(SPARSE._replace(threads=threads, hidden=(140,)))
    wanted = train(Engine(problem, first), orders)
    monkeypatch.setattr(team, "_team", None)
    monkeypatch.setattr(team, "_start", start)
    engine = Engine(problem, first)
    losses = [engine.run_epoch(orders[0])]
    assert len(started) == available
    monkeypatch.setattr(team, "_start", real)  # threads again: what they had for themselves is older now
    losses.append(engine.run_epoch(orders[1]))
    same_bits((engine.params, np.array(losses)), wanted)


# ---- calls of a bounded length


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("batches", [1, 3])
def test_bits_do_not_depend_on_where_calls_end(monkeypatch, threads, batches):
    problem, start, orders = make_problem(SPARSE._replace(threads=threads))
    wanted = train(Engine(problem, start), orders)
    monkeypatch.setattr(player, "Controller", steady(samples=9 * batches))
    engine = Engine(problem, start)
    made = []
    epoch = engine._workspace._player._epoch

    def count(table, schedule):
        made.append(table)
        epoch(table, schedule)

    engine._workspace._player._epoch = count
    same_bits(train(engine, orders), wanted)
    assert len(made) >= len(orders) * threads * -(-23 // batches)


def test_calls_last_as_long_as_they_should(monkeypatch):
    problem, start, _ = make_problem(SPARSE._replace(threads=1, n=9000, batch=9))
    engine = Engine(problem, start)
    now, calls = 0.0, []

    def epoch(address, schedule):
        nonlocal now
        table = engine._workspace._tables[0]
        begin, n = (int(table[tables.SLOTS[name]]) for name in ("begin", "n"))
        calls.append((begin, n))
        now += 0.001 * (n - begin) / 9
        table[tables.SLOTS["next_at"]] = n

    monkeypatch.setattr(player, "time", SimpleNamespace(perf_counter=lambda: now))
    engine._workspace._player._epoch = epoch
    engine.run_epoch(np.arange(9000))
    assert [begin for begin, _ in calls] == [0, *(n for _, n in calls[:-1])]
    assert calls[-1][1] == 9000
    sizes = {(n - begin) // 9 for begin, n in calls[:-1] if begin > 2000}
    assert sizes <= {49, 50}  # of a millisecond each: 0.05 s


# ---- the process


def test_a_process_has_one_team(blobs):
    X = np.tile(blobs[0], (20, 1))
    models = [fastmlp.train(*blobs, hidden=(4,), num_epochs=1, seed=i, verbose=False) for i in range(12)]
    wanted = models[0].predict(X)
    before = threading.active_count()
    for model in models:
        model.predict(X)
    assert threading.active_count() - before <= usable_cores()
    assert len(team._team._workers) >= 1
    np.testing.assert_array_equal(models[0].predict(X), wanted)


PINNED = """
import os, threading, fastmlp
from fastmlp.engine.team import Call, complete
cores = sorted(os.sched_getaffinity(0))
complete(Call(lambda thread, threads: None, 3))
own = [sorted(os.sched_getaffinity(t.native_id)) for t in threading.enumerate() if t.name == "fastmlp"]
print(own == {wanted}, sorted(os.sched_getaffinity(0)) == cores)
"""


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="pins threads")
@pytest.mark.parametrize(
    ("pin", "wanted"), [("1", "[[cores[i % len(cores)]] for i in range(3)]"), ("0", "[cores] * 3"), ("", "[cores] * 3")]
)
def test_threads_stay_on_their_cores_on_request(pin, wanted):
    assert run_python(PINNED.format(wanted=wanted), **({"FASTMLP_PIN": pin} if pin else {})) == "True True"


def test_what_pins_threads_is_checked():
    code = "from fastmlp.engine.team import Team\ntry:\n    Team()\nexcept ValueError as error:\n    print(error)"
    assert run_python(code, FASTMLP_PIN="yes") == "FASTMLP_PIN must be 0 or 1, got 'yes'"


FORKED = """
import os, warnings, numpy as np, fastmlp
warnings.simplefilter("ignore", DeprecationWarning)  # Python's, of any fork beside threads
rng = np.random.default_rng(0)
X = rng.random((3000, 20)); y = (X[:, 0] > 0.5).astype(int)
model = fastmlp.train(X, y, hidden=(130,), num_threads=2, num_epochs=2, seed=0, verbose=False)
wanted = model.logits(X)
child = os.fork()
if not child:
    same = np.array_equal(model.logits(X), wanted)
    again = fastmlp.train(X, y, hidden=(130,), num_threads=2, num_epochs=2, seed=0, verbose=False)
    os._exit(0 if same and np.array_equal(again.params, model.params) else 3)
os.waitpid(child, 0)[1] == 0 or print("the child failed")
print(np.array_equal(model.logits(X), wanted))
"""


@needs_fork
def test_a_forked_child_predicts_and_trains():
    assert run_python(FORKED) == "True"


SHARED = """
import os, warnings, numpy as np, fastmlp
warnings.simplefilter("ignore", DeprecationWarning)  # Python's, of any fork beside threads
rng = np.random.default_rng(0)
X = rng.random((3000, 20)); y = (X[:, 0] > 0.5).astype(int)
one, two = (fastmlp.train(X, y, hidden=(9,), num_epochs=2, seed=s, verbose=False) for s in (0, 1))
wanted = one.logits(X[:50])
there, back = os.pipe(), os.pipe()
child = os.fork()
if not child:
    one._inference.logits(two.params, X[:50])  # the same workspace, other weights
    os.write(there[1], b"x")
    os.read(back[0], 1)
    os._exit(0)
os.read(there[0], 1)
print(np.array_equal(one.logits(X[:50]), wanted))
os.write(back[1], b"x")
os.waitpid(child, 0)
"""


@needs_fork
def test_a_parent_and_its_child_share_no_weights():
    assert run_python(SHARED) == "True"


AT_THE_END = """
import atexit, threading, time, numpy as np, fastmlp
rng = np.random.default_rng(0)
X = rng.random((3000, 20)); y = (X[:, 0] > 0.5).astype(int)
def work():
    time.sleep(0.3)  # the main script has ended by then
    model = fastmlp.train(X, y, hidden=(130,), num_threads=2, num_epochs=3, seed=0, verbose=False)
    print("trained", len(model.history), flush=True)
    atexit.register(lambda: print("predicted", model.predict(X).shape, flush=True))
threading.Thread(target=work).start()
"""


@pytest.mark.parametrize("used_before", [False, True])
def test_threads_work_on_after_the_main_script(used_before):
    before = "fastmlp.train(X, y, hidden=(130,), num_threads=2, num_epochs=1, verbose=False)\n" if used_before else ""
    code = AT_THE_END.replace("def work", before + "def work")
    assert run_python(code).splitlines() == ["trained 3", "predicted (3000,)"]


DAEMON = """
import threading, time, numpy as np, fastmlp
X = np.random.default_rng(0).random((2000, 300)).astype("f4"); y = np.arange(2000) % 3
fastmlp.train(X, y, num_epochs=1, num_threads=2, verbose=False)
work = lambda: fastmlp.train(X, y, num_epochs=10000, num_threads=2, verbose=False)
threading.Thread(target=work, daemon=True).start()
time.sleep({pause})
"""


@pytest.mark.parametrize("pause", [0.05, 0.1])
def test_a_process_ends_while_a_daemon_trains(pause):
    run_python(DAEMON.format(pause=pause))


# ---- signals

STORM = """
import os, signal, sys, threading, time
import numpy as np
import fastmlp

kind, threads, rows, signals, pause = sys.argv[1], *map(int, sys.argv[2:5]), float(sys.argv[5])
rng = np.random.default_rng(0)
X = rng.random((rows, 300)).astype("f4"); y = (X[:, 0] > 0.5).astype(int)
train = lambda epochs: fastmlp.train(X, y, hidden=(130,), batch_size=int(sys.argv[6]), num_threads=threads,
                                     num_epochs=epochs, seed=0, verbose=False)
model = train(1)
wanted = model.logits(X)
state = {"sent": 0}

def press():
    while state["sent"] < signals:
        time.sleep(pause * rng.random())
        state["sent"] += 1
        os.kill(os.getpid(), signal.SIGINT)

def interrupt(number, frame):
    while frame is not None:  # this script itself is not to be interrupted
        if "fastmlp" in frame.f_code.co_filename:
            raise KeyboardInterrupt
        frame = frame.f_back

signal.signal(signal.SIGINT, interrupt)
presser = threading.Thread(target=press)
presser.start()
while presser.is_alive():
    try:
        if kind == "train":
            network = train(200)
            assert np.all(np.isfinite(network.params))
        else:
            assert np.array_equal(model.logits(X), wanted)
    except KeyboardInterrupt:
        pass
signal.signal(signal.SIGINT, signal.SIG_IGN)
assert np.array_equal(model.logits(X), wanted)
assert np.array_equal(train(1).params, model.params)
print("alive", state["sent"])
"""


@pytest.mark.parametrize("kind", ["train", "predict"])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("rows", "batch"), [(300, 8), (4000, 4000)])
def test_no_number_of_interrupts_kills(kind, threads, rows, batch):
    command = [sys.executable, "-c", STORM, kind, threads, rows, 40, 0.03, batch]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (PACKAGE.parent, TESTS)))}
    run = subprocess.run(list(map(str, command)), env=env, capture_output=True, text=True)
    assert (run.returncode, run.stdout.split()) == (0, ["alive", "40"]), run.stderr[-2000:]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system does not tell on which core a thread runs")
def test_threads_of_a_call_begin_on_cores_of_their_own(monkeypatch):
    """As far as there are cores; and may be moved again afterwards."""
    moves, cores = [], set()
    monkeypatch.setattr(team, "_core", lambda: 0)
    monkeypatch.setattr(os, "sched_getaffinity", lambda thread: {0, 1})
    monkeypatch.setattr(os, "sched_setaffinity", lambda thread, allowed: moves.append(allowed))
    for _ in range(3):
        team._begin_apart(cores)
    assert moves == [{1}, {0, 1}]
    assert cores == {0, 1}
    monkeypatch.setattr(team, "_core", lambda: -1)
    team._begin_apart(cores)
    assert cores == {0, 1}
