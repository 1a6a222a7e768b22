"""Plays a schedule over samples, in calls into compiled code that are short enough for interrupts."""

import time
from collections.abc import Callable, Sequence

from fastmlp.engine.arena import Array, address_of
from fastmlp.engine.tables import SLOTS
from fastmlp.engine.team import Call, complete

CALL_SECONDS = 0.05
"""Duration of a call into compiled code, at least one batch: Python handles interrupts between two calls."""


class Player:
    """Plays a schedule, each thread on its own table.

    Parameters
    ----------
    epoch : callable
        The compiled loop: ``epoch(address of a thread's table, address of a schedule's)``.
    tables : list of array
        Of each thread. If the system has fewer threads, the last ones are dropped.
    schedules : sequence of array
        One for all threads, or one for each.
    arrived : (8,) array
        Where threads count themselves at a barrier.
    """

    def __init__(
        self, epoch: Callable[[int, int], object], tables: list[Array], schedules: Sequence[Array], arrived: Array
    ) -> None:
        self._epoch = epoch
        self._tables = tables
        self._schedules = schedules
        self._arrived = arrived
        self._call: Call | None = None
        self._batches_a_call = 1

    def run(self, n: int, batch: int, batches: int = 0, memory: object = None) -> None:
        """Play n samples, in calls of so many batches, or if 0 of as many as take CALL_SECONDS.

        `memory` is what the tables point to: a call keeps it alive, whoever was interrupted.
        """
        self.settle()
        begin = 0
        while begin < n:
            end = min(n, begin + (batches or self._batches_a_call) * batch)
            for table in self._tables:
                table[SLOTS["begin"]], table[SLOTS["n"]] = begin, end
            started = time.perf_counter()
            self._make_call(memory)
            seconds = time.perf_counter() - started
            done = -(-(end - begin) // batch)
            self._batches_a_call = max(1, int(done * CALL_SECONDS / max(seconds, 1e-9)))
            begin = end

    def _make_call(self, memory: object) -> None:
        """Play samples begin ≤ s < n; a single thread is the caller's."""
        self._arrived[0] = 0
        schedules = [address_of(schedule) for schedule in self._schedules]
        if len(self._tables) == 1:
            self._epoch(address_of(self._tables[0]), schedules[0])
            return

        def run_thread(thread: int, threads: int, kept: object = memory) -> None:
            table = self._tables[thread]
            table[SLOTS["threads"]] = threads
            self._epoch(address_of(table), schedules[thread % len(schedules)])

        call = self._call = Call(run_thread, len(self._tables))
        try:
            complete(call)
        finally:
            self.settle()
        if call.error is not None:
            raise call.error

    def settle(self) -> None:
        """Wait until the last call is done: an interrupt may have ended an earlier wait."""
        if self._call is not None:
            complete(self._call)
            # If the system had fewer threads, the tables of the missing ones are out of date.
            del self._tables[self._call.threads :]
            self._call = None
