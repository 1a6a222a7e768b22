"""Plays a schedule over samples, in calls into compiled code that are short enough for interrupts."""

import time
from collections.abc import Callable, Sequence

from fastmlp.engine.arena import Array, address_of
from fastmlp.engine.controller import DELAY, Controller
from fastmlp.engine.processor import usable_cores
from fastmlp.engine.tables import SLOTS
from fastmlp.engine.team import Call, complete

LONGEST = 1 << 62


class Player:
    """Plays a schedule on as many threads as a `Controller` says, each on its own table.

    Parameters
    ----------
    epoch : callable
        The compiled loop: ``epoch(address of a thread's table, address of a schedule's)``.
    tables : sequence of array
        Of each thread.
    schedules : sequence of array
        One for all threads, or one for each.
    arrived : (threads, 16) array
        What each thread tells the others: at a barrier, and the first one when to end.
    align : callable
        Called without arguments before threads run that had no part in the last call: it brings the copies that they
        work on to what the first thread's has learned.
    """

    def __init__(
        self,
        epoch: Callable[[int, int], object],
        tables: Sequence[Array],
        schedules: Sequence[Array],
        arrived: Array,
        align: Callable[[], object],
    ) -> None:
        self._epoch = epoch
        self._tables = tables
        self._schedules = schedules
        self._arrived = arrived
        self._align = align
        self._controller = Controller(len(tables))
        self._call: Call | None = None
        self._pace = 0.0
        """Ticks a second, or somewhat fewer."""
        self._aligned = len(tables)
        """So many threads had a part in the last call."""
        self.mean_threads = float(len(tables))
        """How many threads ran at a time in the last run, on average."""

    def run(self, n: int, batch: int, batches: int = 0, memory: object = None) -> None:
        """Play n samples, in calls of so many batches, or if 0 of as many as the controller says.

        `memory` is what the tables point to: a call keeps it alive, whoever was interrupted.
        """
        self.settle()
        controller, begin, first = self._controller, 0, self._tables[0]
        work = total = 0.0
        while begin < n:
            end = min(n, begin + (batches or max(1, controller.samples // batch)) * batch)
            allowed = LONGEST if batches else min(LONGEST, int(DELAY * controller.seconds * self._pace))
            self._set(begin=begin, n=end, allowed=allowed)
            started = time.perf_counter()
            threads = self._make_call(controller.threads, memory)
            seconds = time.perf_counter() - started
            self._pace = int(first[SLOTS["elapsed"]]) / max(seconds, 1e-9)
            end = int(first[SLOTS["next_at"]])
            controller.record(end - begin, seconds, self._stalled(threads))
            work, total = work + threads * seconds, total + seconds
            begin = end
        if total:
            self.mean_threads = work / total

    def _set(self, **values: int) -> None:
        """Write numbers into all threads' tables."""
        for name, value in values.items():
            for table in self._tables:
                table[SLOTS[name]] = value

    def _stalled(self, threads: int) -> float:
        """The largest share of the last call for which one of its threads yielded to others."""
        slots = SLOTS["stalled"], SLOTS["elapsed"]
        waits = [[int(table[slot]) for slot in slots] for table in self._tables[:threads]]
        return max(stalled / max(elapsed, 1) for stalled, elapsed in waits)

    def _make_call(self, threads: int, memory: object) -> int:
        """Play samples begin ≤ s < n on so many threads, or fewer if the system has no more; return their number.

        A single thread is the caller's.
        """
        if threads > self._aligned:
            self._align()
        self._aligned = threads
        self._arrived[...] = 0
        self._arrived[0, 1] = -1  # no batch at which the call ends early
        self._set(threads=threads, crowded=int(threads > usable_cores()))
        schedules = [address_of(schedule) for schedule in self._schedules]
        if threads == 1:
            self._epoch(address_of(self._tables[0]), schedules[0])
            return 1

        def run_thread(thread: int, threads: int, kept: object = memory) -> None:
            table = self._tables[thread]
            table[SLOTS["threads"]] = threads
            self._epoch(address_of(table), schedules[thread % len(schedules)])

        call = self._call = Call(run_thread, threads)
        try:
            complete(call)
        finally:
            self.settle()
        if call.error is not None:
            raise call.error
        return call.threads

    def settle(self) -> None:
        """Wait until the last call is done: an interrupt may have ended an earlier wait."""
        if self._call is not None:
            complete(self._call)
            self._aligned = min(self._aligned, self._call.threads)
            self._call = None
