"""The worker threads of this process: one team, which makes one call at a time on as many threads as it asks for.

A Python thread that waits for a call can be interrupted anywhere, a worker cannot. So a call is handed to the leader of
the team in one step, the leader passes it on to the others, and a call owns all that it works on: whatever happens to
the thread that waits, no memory is freed before every worker has left it.
"""

import os
import threading
from collections.abc import Callable
from queue import SimpleQueue


class Call:
    """A schedule to be played at once on several tables, one a thread.

    Parameters
    ----------
    run_thread : callable
        ``run_thread(thread, threads)`` does the part of one thread, 0 ≤ thread < threads, and waits for the others'.
        It keeps alive what it works on.
    threads : int
        How many are wanted; it is run on fewer where the system has no more.
    """

    def __init__(self, run_thread: Callable[[int, int], object], threads: int) -> None:
        self._run_thread = run_thread
        self.threads = threads
        self.done = False
        self.error: BaseException | None = None
        self._finished = threading.Lock()
        self._finished.acquire()

    def run(self, thread: int) -> None:
        """Do one thread's part."""
        try:
            self._run_thread(thread, self.threads)
        except BaseException as error:  # only of kernels that run in Python
            self.error = error

    def finish(self) -> None:
        """Let `wait` return."""
        self.done = True
        self._finished.release()

    def wait(self) -> None:
        """Wait until the call is done, or until an interrupt."""
        if not self.done:
            self._finished.acquire()


Part = tuple[Call, int]
"""A call, and the thread of it that takes part."""


class Team:
    """A leader, which is thread 0 of every call, and the workers that it has hired so far."""

    def __init__(self) -> None:
        self._calls: SimpleQueue[Call] = SimpleQueue()
        self._workers: list[SimpleQueue[Part]] = []
        self._left: SimpleQueue[None] = SimpleQueue()
        _start(self._lead)

    def complete(self, call: Call) -> None:
        """Return when the call is done."""
        self._calls.put(call)  # the leader makes a call once, however often it finds it here
        call.wait()

    def _lead(self) -> None:
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
        """Have this many workers, or as many as the system has threads for; return how many."""
        try:
            while len(self._workers) < wanted:
                calls: SimpleQueue[Part] = SimpleQueue()
                _start(self._work, calls)
                self._workers.append(calls)
        except RuntimeError:  # no more threads
            return len(self._workers)
        return wanted

    def _work(self, calls: SimpleQueue[Part]) -> None:
        while True:
            self._take_part(*calls.get())
            self._left.put(None)

    @staticmethod
    def _take_part(call: Call, thread: int) -> None:
        call.run(thread)


def _start(target: Callable[..., object], *args: object) -> None:
    # Daemons: an idle team keeps no process alive. Unlike an executor's, they also work while the interpreter waits
    # for other threads to end, and in functions that are called at exit.
    threading.Thread(target=target, args=args, name="fastmlp", daemon=True).start()


_team: Team | None = None
_founding = threading.Lock()


def _forget() -> None:
    """A forked child has none of its parent's threads."""
    global _team, _founding
    _team, _founding = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def complete(call: Call) -> None:
    """Return when the call is done, on the process's team or without threads right here.

    After an interrupt in here, call it again to wait for the same call.
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
