"""What a case is, how everybody in it is held to the reference, and how they are timed.

Competitors run in one process by turns, A B C A B C, so that a busy moment hits all of them alike.
"""

import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, Protocol

PAUSE = 0.1
"""Seconds after work in BLAS, whose threads go on spinning after their last product."""
SAMPLE_SECONDS = 1e-3


class Target(NamedTuple):
    """A bound on one of an entrant's figures, which it keeps on usual machines; a peer's name is the ratio to it."""

    what: str
    sign: str
    limit: float

    def met(self, figures: dict[str, Any]) -> bool | None:
        """Whether the figure keeps to the bound; None if it wasn't measured."""
        if self.what not in figures:
            return None
        value = figures[self.what]
        return value <= self.limit if self.sign == "≤" else value >= self.limit

    def __str__(self) -> str:
        return f"{self.what} {self.sign} {self.limit:g}"


@dataclass(frozen=True)
class Entrant:
    """One competitor on its data."""

    run: Callable[..., Any]
    """What is timed."""
    check: Callable[[], None]
    """Asserts that its results are the reference's."""
    prepare: Callable[[], tuple[Any, ...]] = tuple
    """Returns the arguments of the next run, outside the clock."""
    ours: bool = True
    blas: bool = False
    """Whether it leaves threads of BLAS behind."""
    repeats: int = 1
    """Samples in a turn."""
    short: bool = False
    """Whether a sample is the mean of as many calls as fill a millisecond."""
    flops: float | None = None
    """Floating-point operations of the same in a dense network; the floor means nothing without."""
    unit: str = "s"
    """A sample in another unit than seconds is what `run` returns."""
    facts: dict[str, Any] = field(default_factory=dict)
    """What reports say of it besides."""


@dataclass(frozen=True, eq=False, repr=False)
class Case:
    """One piece of work, and everybody who does it."""

    key: str
    group: str
    """The name of the case in reports."""
    names: tuple[str, ...]
    """Everybody who is installed."""
    build: Callable[[Collection[str]], dict[str, Entrant]]
    """Makes the entrants of these names."""
    targets: dict[str, tuple[Target, ...]] = field(default_factory=dict)
    """By name."""
    test_id: str = "{key}-{name}"

    def __repr__(self) -> str:
        return self.group


class Rates(Protocol):
    def rate(self) -> float:
        """Return floating-point operations a second in a large matrix product, now."""


@dataclass
class Race:
    """Samples of every competitor, and the matrix products' rate in every round."""

    samples: dict[Any, list[float]]
    rates: list[float]

    def best(self, name: Any) -> float:
        return min(self.samples[name])

    def ratios(self, name: Any, others: Iterable[Any]) -> dict[Any, float]:
        """Minima of others over this one's."""
        return {other: self.best(other) / self.best(name) for other in others}

    def floor(self, flops: float) -> float:
        """The seconds that so many operations take in the fastest matrix product of all rounds."""
        return flops / max(self.rates)

    def floors(self, name: Any, flops: float) -> float:
        """The minimum in dense floors."""
        return self.best(name) / self.floor(flops)

    def figures(self, name: Any, entrant: Entrant) -> dict[str, Any]:
        """The facts of an entrant, and its dense floors."""
        if entrant.flops is None or not self.rates:
            return entrant.facts
        return entrant.facts | {"floors": self.floors(name, entrant.flops), "floor": self.floor(entrant.flops)}


def run_race(entrants: dict[Any, Entrant], rounds: int, sgemm: Rates | None = None) -> Race:
    """Check all entrants, then let them run one after the other, round by round.

    Each runs once before, not counted: compilers, caches and memory are warm. A single round is a smoke test: nothing
    runs before, and nobody waits.
    """
    for entrant in entrants.values():
        entrant.check()
    smoke = rounds == 1
    calls = {name: 1 if smoke else _warm_up(entrant) for name, entrant in entrants.items()}
    race = Race({name: [] for name in entrants}, [])
    for _ in range(rounds):
        if sgemm is not None:
            race.rates.append(sgemm.rate())
        busy = not smoke
        for name, entrant in entrants.items():
            arguments = [entrant.prepare() for _ in range(entrant.repeats)]
            if busy:
                time.sleep(PAUSE)
            race.samples[name] += [_sample(entrant, given, calls[name]) for given in arguments]
            busy = entrant.blas and not smoke
    return race


def _warm_up(entrant: Entrant) -> int:
    """Run an entrant, and return how many calls make a sample."""
    seconds = _sample(entrant, entrant.prepare(), 1)
    if not entrant.short:
        return 1
    return max(1, int(SAMPLE_SECONDS / min(seconds, *(_sample(entrant, (), 1) for _ in range(3)))))


def _sample(entrant: Entrant, arguments: tuple[Any, ...], calls: int) -> float:
    run = partial(entrant.run, *arguments) if arguments else entrant.run  # as little as can be goes into the time
    result = None
    started = time.perf_counter()
    for _ in range(calls):
        result = run()
    seconds = (time.perf_counter() - started) / calls
    return seconds if entrant.unit == "s" else float(result)
