"""Races: competitors by turns in one process, A B C A B C, so that a busy moment hits all of them alike."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from peers import Competitor
from roofline import Sgemm

from fastmlp.comparison import settle


@dataclass
class Race:
    """Seconds of every competitor in every round, and the matrix products' rate in each."""

    seconds: dict[Any, list[list[float]]]
    rates: list[float]

    def all(self, name: Any) -> list[float]:
        return [s for samples in self.seconds[name] for s in samples]

    def best(self, name: Any) -> float:
        return min(self.all(name))

    def ratios(self, name: Any, others: Iterable[Any]) -> dict[Any, float]:
        """Minima of others over this one's."""
        return {other: self.best(other) / self.best(name) for other in others}

    def floor(self, flops: float) -> float:
        """The seconds that so many operations take in the fastest matrix product of all rounds."""
        return flops / max(self.rates)

    def floors(self, name: Any, flops: float) -> float:
        """The minimum in dense floors."""
        return self.best(name) / self.floor(flops)


def run_race(competitors: dict[Any, Callable[[], list[float]]], rounds: int, sgemm: Sgemm | None = None) -> Race:
    """Let the competitors run one after the other, round by round: A B C A B C ...

    Each runs once before, not counted: compilers, caches and memory are warm.
    """
    for run in competitors.values():
        run()
    race = Race({name: [] for name in competitors}, [])
    for _ in range(rounds):
        if sgemm is not None:
            race.rates.append(sgemm.rate())
        for name, run in competitors.items():
            settle()
            race.seconds[name].append(run())
    return race


def epochs(competitor: Competitor, count: int) -> list[float]:
    """Train some epochs and return the seconds of each, their orders drawn before."""
    orders = [competitor.order() for _ in range(count)]
    return [seconds_of(lambda order=order: competitor.train(order)) for order in orders]


def seconds_of(work: Callable[[], object]) -> float:
    """Return how long a call takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
