"""The worker threads of this process: one team, which runs one call at a time on as many threads as the call wants.

A call begins on as many cores as it has threads: a system that wakes a thread beside the one that woke it would let the
two take turns for milliseconds. With the environment variable FASTMLP_PIN=1 each thread stays on a core of its own,
where the system can do that.

An interrupt can stop a Python thread that waits for a call, but not a worker. So the caller hands a call to the team's
leader in one step, and the leader passes it on to the workers. The call keeps its arrays alive: even if the caller was
interrupted, no memory is freed before every worker has left it.
"""

import ctypes
import os
import threading
from collections.abc import Callable
from queue import SimpleQueue


class Call:
    """A function to run on several threads at once.

    Parameters
    ----------
    run_thread : callable
        ``run_thread(thread, threads)`` does the part of one thread, 0 ≤ thread < threads, and waits at barriers for the
        others. It keeps alive what it works on.
    threads : int
        The number wanted; fewer run it if the system has no more.
    """

    def __init__(self, run_thread: Callable[[int, int], object], threads: int) -> None:
        self._run_thread = run_thread
        self.threads = threads
        self.cores: set[int] = set()
        """On which threads have begun."""
        self.done = False
        self.error: BaseException | None = None
        self._finished = threading.Lock()
        self._finished.acquire()

    def run(self, thread: int) -> None:
        """Do one thread's part, on a core where no other has begun."""
        if self.threads > 1:
            _begin_apart(self.cores)
        try:
            self._run_thread(thread, self.threads)
        except BaseException as error:  # only of kernels that run in Python
            self.error = error

    def finish(self) -> None:
        """Mark the call as done, and let `wait` return."""
        self.done = True
        self._finished.release()

    def wait(self) -> None:
        """Wait until the call is done, or until an interrupt."""
        if not self.done:
            self._finished.acquire()


Part = tuple[Call, int]
"""A call, and the thread of it that takes part."""


class Team:
    """A leader, which is thread 0 of every call, and the workers that it has started so far."""

    def __init__(self) -> None:
        self._calls: SimpleQueue[Call] = SimpleQueue()
        self._workers: list[SimpleQueue[Part]] = []
        self._left: SimpleQueue[None] = SimpleQueue()
        self._cores = _cores_to_pin()
        _start(self._lead)

    def complete(self, call: Call) -> None:
        """Return when the call is done."""
        self._calls.put(call)  # the leader runs a call once, even if it is here twice
        call.wait()

    def _pin(self, thread: int) -> None:
        """Keep the calling thread on the core of a thread of calls."""
        if self._cores:
            os.sched_setaffinity(threading.get_native_id(), {self._cores[thread % len(self._cores)]})

    def _lead(self) -> None:
        self._pin(0)
        while True:
            self._make(self._calls.get())

    def _make(self, call: Call) -> None:
        if call.done:
            return
        call.threads = 1 + self._hire(call.threads - 1)
        workers = self._workers[: call.threads - 1]
        for thread, calls in enumerate(workers, 1):
            calls.put((call, thread))
        call.run(0)
        for _ in workers:
            self._left.get()
        call.finish()

    def _hire(self, wanted: int) -> int:
        """Start workers until there are `wanted`, or the system has no more threads; return how many there are."""
        try:
            while len(self._workers) < wanted:
                calls: SimpleQueue[Part] = SimpleQueue()
                _start(self._work, calls, len(self._workers) + 1)
                self._workers.append(calls)
        except RuntimeError:  # no more threads
            return len(self._workers)
        return wanted

    def _work(self, calls: SimpleQueue[Part], thread: int) -> None:
        self._pin(thread)
        while True:
            self._take_part(*calls.get())
            self._left.put(None)

    @staticmethod
    def _take_part(call: Call, thread: int) -> None:
        call.run(thread)


def _find_core() -> Callable[[], int]:
    """Return the function that tells on which core the calling thread runs: negative where the system does not know."""
    if hasattr(os, "sched_setaffinity"):
        try:
            return ctypes.CDLL(None).sched_getcpu
        except (OSError, AttributeError):
            pass
    return lambda: -1


_core = _find_core()


def _begin_apart(cores: set[int]) -> None:
    """Let the calling thread move to a core that is not among these, if it is on one of them; and add its own."""
    here = _core()
    if here < 0:
        return
    if here in cores:
        me = threading.get_native_id()
        allowed = os.sched_getaffinity(me)
        if free := allowed - cores:
            here = min(free)
            try:
                os.sched_setaffinity(me, {here})
                os.sched_setaffinity(me, allowed)
            except OSError:  # the cores of this process have just been changed
                pass
    cores.add(here)


def _cores_to_pin() -> list[int]:
    """The cores that this process may use, if threads are to stay on them; else none."""
    chosen = os.environ.get("FASTMLP_PIN", "0")
    if chosen not in ("0", "1"):
        raise ValueError(f"FASTMLP_PIN must be 0 or 1, got {chosen!r}")
    return sorted(os.sched_getaffinity(0)) if chosen == "1" and hasattr(os, "sched_setaffinity") else []


def _start(target: Callable[..., object], *args: object) -> None:
    # Daemons: an idle team keeps no process alive. Unlike an executor's, they also work while the interpreter waits
    # for other threads to end, and in functions that are called at exit.
    threading.Thread(target=target, args=args, name="fastmlp", daemon=True).start()


_team: Team | None = None
_founding = threading.Lock()


def _forget() -> None:
    """Start without a team: a forked child has none of its parent's threads."""
    global _team, _founding
    _team, _founding = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def complete(call: Call) -> None:
    """Run a call on the process's team, or in this thread if no other can be started; return when it is done.

    After an interrupt, call this again to wait for the same call.
    """
    global _team
    if call.done:
        return
    with _founding:
        if _team is None:
            try:
                _team = Team()
            except RuntimeError:  # the interpreter is shutting down, or the system has no more threads
                call.threads = 1
                call.run(0)
                call.finish()
                return
    _team.complete(call)
