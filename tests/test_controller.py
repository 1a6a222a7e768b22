"""How many threads run: decisions on machines that are simulated, their clocks too."""

import pytest
from support.controllers import Steady, Whim
from support.engine_cases import Case, make_problem, same_bits, step_ahead, train

from fastmlp.engine import player, workspace
from fastmlp.engine.controller import CALL_SECONDS, DELAY, SHORT, Controller, make_rungs
from fastmlp.engine.trainer import Engine

SECOND = 200_000
"""Samples that one thread trains on in a second."""


class Machine:
    """A machine whose cores other processes use at times; it plays calls of a controller.

    `rates(now, threads)` returns (samples a second, the share of the time for which a thread stalls).
    """

    def __init__(self, most, rates, batch=64):
        self.controller = Controller(most)
        self._rates = rates
        self._batch = batch
        self.now = 0.0
        self.calls = []

    def run(self, seconds):
        """Run for so long; return the samples a second."""
        started, done, end = self.now, 0, self.now + seconds
        while self.now < end:
            controller = self.controller
            threads, samples = controller.threads, max(self._batch, controller.samples)
            rate, stalled = self._rates(self.now, threads)
            needed = samples / rate
            if needed > DELAY * controller.seconds:  # the call ends early
                samples = max(self._batch, int(DELAY * controller.seconds * rate))
                needed = samples / rate
            self.calls.append((self.now, threads, samples, needed))
            self.now += needed
            done += samples
            controller.record(samples, needed, stalled)
        return done / (self.now - started)

    def mean_threads(self, begin, end):
        """Threads at a time between two times."""
        calls = [(threads, seconds) for now, threads, _, seconds in self.calls if begin <= now < end]
        return sum(t * s for t, s in calls) / sum(s for _, s in calls)


def quiet(now, threads):
    return SECOND * threads**0.8, 0.001


def busy(now, threads):
    """Every core has another process: all threads wait for each that is descheduled."""
    return SECOND * 0.6 / (1 if threads == 1 else 10 * (threads - 1)), 0.9 if threads > 1 else 0.0


def between(begin, end):
    """Busy for some time."""
    return lambda now, threads: (busy if begin <= now < end else quiet)(now, threads)


@pytest.mark.parametrize(("most", "batch"), [(2, 64), (2, 3000), (2, 100_000), (3, 64), (8, 64), (64, 64)])
def test_nothing_is_lost_in_a_quiet_machine(most, batch):
    machine = Machine(most, quiet, batch)
    for seconds in (1, 10, 100):
        assert machine.run(seconds) > 0.99 * quiet(0, most)[0]


@pytest.mark.parametrize(("most", "seconds"), [(2, 1), (2, 10), (8, 20)])
def test_a_busy_machine_runs_as_fast_as_on_one_thread(most, seconds):
    assert Machine(most, busy).run(seconds) > 0.9 * busy(0, 1)[0]


@pytest.mark.parametrize(("length", "back"), [(0.03, 0.2), (0.2, 0.5), (1.0, 1.0), (10.0, 3.0)])
def test_all_threads_are_back_soon_after_a_disturbance(length, back):
    end = 1.0 + length
    machine = Machine(2, between(1.0, end))
    machine.run(end + 10)
    assert machine.mean_threads(end + back, end + 10) > 1.95
    if length >= 1.0:
        assert machine.mean_threads(1.3, end) < 1.1


def test_a_disturbance_is_answered_with_the_first_trial():
    machine = Machine(2, between(1.0, 2.0))
    machine.run(2)
    assert machine.mean_threads(1.13, 1.2) < 1.5


def test_a_change_of_the_machine_is_seen_every_time():
    machine = Machine(2, lambda now, threads: (busy if now % 4 > 2 else quiet)(now, threads))
    machine.run(40)
    assert machine.mean_threads(0, 40) < 1.8
    for second in range(4, 40, 4):
        assert machine.mean_threads(second + 1, second + 2) > 1.5
        assert machine.mean_threads(second + 2.3, second + 4) < 1.1


def test_a_second_thread_that_brings_nothing_is_given_up():
    """Even where nobody stalls: two hyperthreads of a core."""
    machine = Machine(2, lambda now, threads: (SECOND * (1.0, 0.8)[threads - 1], 0.0))
    machine.run(20)
    assert machine.mean_threads(15, 20) < 1.1


def test_threads_that_have_no_core_are_given_up():
    """Of 64 threads on 6 cores."""

    def few_cores(now, threads):
        return SECOND * min(threads, 6) / (1 if threads <= 6 else threads), 0.0 if threads <= 6 else 0.8

    machine = Machine(64, few_cores)
    machine.run(10)
    assert 4 <= machine.mean_threads(5, 10) <= 8


def test_equal_numbers_do_not_alternate():
    machine = Machine(2, lambda now, threads: (SECOND, 0.2))
    machine.run(10)
    assert sum(a[1] != b[1] for a, b in zip(machine.calls, machine.calls[1:], strict=False)) < 120


def test_the_first_calls_are_cold():
    """They say nothing: code and data come from memory."""
    machine = Machine(2, lambda now, threads: (SECOND / 100, 0.5) if now == 0 else quiet(now, threads))
    machine.run(1)
    assert [threads for _, threads, _, _ in machine.calls[:3]] == [2, 2, 2]
    assert machine.calls[2][3] == pytest.approx(SHORT, rel=0.1)
    assert machine.mean_threads(0.1, 1) > 1.9


def test_calls_grow_to_their_length():
    machine = Machine(1, lambda now, threads: (SECOND, 0.0))
    machine.run(1)
    lengths = [seconds for _, _, _, seconds in machine.calls]
    assert lengths[1:4] == pytest.approx([SHORT, 2 * SHORT, 4 * SHORT], rel=0.01)
    assert lengths[-1] == pytest.approx(CALL_SECONDS, rel=0.01)


@pytest.mark.parametrize(
    ("most", "rungs"),
    [(1, [1]), (2, [1, 2]), (3, [1, 2, 3]), (7, [1, 2, 3, 4, 6, 7]), (64, [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64])],
)
def test_numbers_that_are_tried(most, rungs):
    assert make_rungs(most) == rungs


# ---- the same bits, whatever a controller does

SPARSE = Case("float64", "float32", "sparse", hidden=(130, 64), k=101, d=131, n=300, batch=9, optimizer="adam")
CASES = {
    "sparse": SPARSE,
    "rank one": SPARSE._replace(raw="uint8", normalize="zscore"),
    "dense": SPARSE._replace(data="dense"),
    "transposed": SPARSE._replace(
        dtype="float32", data="dense", activation="relu", d=120, hidden=(256, 128), k=101, batch=50
    ),
    "csr": SPARSE._replace(data="csr"),
    "plain csr": SPARSE._replace(data="csr", optimizer="sgd"),
    "replicated": SPARSE._replace(hidden=(20, 9), k=3),
    "replicated rank one": SPARSE._replace(hidden=(20, 9), k=3, raw="uint8", normalize="zscore"),
    "replicated by feature": SPARSE._replace(hidden=(7, 2, 8), k=2, d=450, optimizer="momentum"),
    "by feature": SPARSE._replace(hidden=(8, 200), k=130, d=450),
    "penalty": SPARSE._replace(loss="log_loss", decay=0.02, penalized=True),
}


@pytest.mark.parametrize("threads", [2, 5])
@pytest.mark.parametrize("name", CASES)
def test_threads_may_change_at_every_call(monkeypatch, name, threads):
    problem, start, orders = make_problem(CASES[name]._replace(threads=1))
    wanted = train(Engine(problem, start), orders)
    monkeypatch.setattr(player, "Controller", Whim)
    problem, start, orders = make_problem(CASES[name]._replace(threads=threads))
    engine = Engine(problem, start)
    same_bits(train(engine, orders), wanted)
    assert len(set(engine._workspace._player._controller.ran)) == threads or "csr" in name
    assert ("replicated" in name and threads == 2) == (len(engine._workspace._layers) == 2)
    plan = engine._workspace.plan
    assert (plan.by_feature, plan.transposed) == ("by feature" in name, name == "transposed")


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
def test_threads_may_change_while_rows_take_steps_ahead(monkeypatch, optimizer):
    monkeypatch.setattr(workspace, "divide_calls", step_ahead)
    case = CASES["csr"]._replace(optimizer=optimizer, decay=0.01)
    problem, start, orders = make_problem(case._replace(threads=1))
    wanted = train(Engine(problem, start), orders)
    monkeypatch.setattr(player, "Controller", Whim)
    for threads in (2, 3):
        engine = Engine(make_problem(case._replace(threads=threads))[0], start)
        same_bits(train(engine, orders), wanted)
        assert len(set(engine._workspace._player._controller.ran)) > 1


@pytest.mark.parametrize("threads", [1, 2, 3, 7, 16, 64])
def test_many_threads_have_the_bits_of_one(monkeypatch, threads):
    """And end, on any number of cores."""
    monkeypatch.setattr(player, "Controller", Steady)
    for name in ("sparse", "dense", "csr", "by feature"):
        case = CASES[name]._replace(n=100, batch=50, epochs=1)
        problem, start, orders = make_problem(case._replace(threads=1))
        wanted = train(Engine(problem, start), orders)
        engine = Engine(make_problem(case._replace(threads=threads))[0], start)
        same_bits(train(engine, orders), wanted)
        assert engine.mean_threads == threads


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_call_ends_when_its_time_is_up(monkeypatch, threads):
    """After whole batches, and nothing is lost."""

    class Hasty(Steady):
        seconds = 0.0

    problem, start, orders = make_problem(CASES["sparse"]._replace(threads=threads))
    monkeypatch.setattr(player, "Controller", Steady)
    wanted = train(Engine(problem, start), orders)
    monkeypatch.setattr(player, "Controller", Hasty)
    engine, begins = Engine(problem, start), []
    monkeypatch.setattr(engine._workspace._player._controller, "record", lambda n, *other: begins.append(n))
    same_bits(train(engine, orders), wanted)
    batches = -(-300 // 9)
    assert begins == len(orders) * [*[9] * (batches - 1), 300 - 9 * (batches - 1)]


@pytest.mark.parametrize("name", ["sparse", "dense", "replicated"])
def test_threads_end_a_call_at_one_batch(monkeypatch, name):
    """Or they would wait for each other for ever; at any time, whatever the others are at."""
    problem, start, orders = make_problem(CASES[name]._replace(threads=3 - ("replicated" in name), n=60, epochs=40))
    monkeypatch.setattr(player, "Controller", Steady)
    wanted = train(Engine(problem, start), orders)

    class Early(Steady):
        ends = iter(range(10**6))

        @property
        def seconds(self):
            return 2e-6 * (next(self.ends) % 50)

    monkeypatch.setattr(player, "Controller", Early)
    engine = Engine(problem, start)
    same_bits(train(engine, orders), wanted)
    assert next(Early.ends) > 2 * len(orders)
