"""How many threads the next call runs on: as many as bring the most samples a second just now.

Threads meet several times in a batch. Where another process takes a core away from one of them for some milliseconds,
all the others wait, and fewer threads may be faster. Results do not depend on the number, so it may change at any call.
"""

import math

TRIAL_SECONDS = 0.05
"""How long another number of threads is tried before it is judged."""
LOSS = 0.008
"""A trial that has lost so many seconds ends at once."""
LEAST_COST = 0.002
"""Seconds that a trial costs at least, so that two numbers that are equally good do not alternate."""
GAIN = 0.05
"""By this share another number has to be faster."""
SHARES = {"quiet": 0.002, "stalled": 0.01, "fewer": 0.04}
"""What trials may cost, as shares of the time: on all threads, on all where some stalled, and on fewer than all."""
PAUSES = 0.05, 1.6
"""Seconds before the next trial after one that failed, and at most: they are doubled with each that fails."""
SAVED = 0.02
"""Most seconds that are saved up for trials; or what two batches take, if that is more."""
MEMORY = 0.1
"""Seconds after which what was measured counts e times less."""
STALLED = 0.2, 0.015
"""Threads stall if they yielded for this share of the last calls, of at least so many seconds."""
COLD = 0.01
"""Calls that begin in the first seconds say little: code and data have yet to come to the caches."""
SHORT = 0.005
"""Seconds of a call in a trial, and of the first ones on another number of threads."""
CALL_SECONDS = 0.05
"""Duration of a call into compiled code, at least one batch: Python handles interrupts between two calls."""
DELAY = 1.5
"""A call that takes so much longer than it should ends after the batch that runs."""


def make_rungs(most: int) -> list[int]:
    """Return the numbers of threads that are tried, 1 ≤ k ≤ most, each a third or a half more than the one before."""
    powers = [2**i for i in range(most.bit_length())]
    rungs = {k for power in powers for k in (power, power + power // 2)} | {most}
    return sorted(k for k in rungs if k <= most)


class Work:
    """Samples, and the seconds that they took."""

    def __init__(self, samples: float = 0.0, seconds: float = 0.0) -> None:
        self.samples = samples
        self.seconds = seconds

    def add(self, samples: float, seconds: float, memory: float = math.inf) -> None:
        """Add some, and let earlier ones count less."""
        share = math.exp(-seconds / memory)
        self.samples, self.seconds = share * self.samples + samples, share * self.seconds + seconds

    @property
    def rate(self) -> float:
        """Samples a second; 0 if nothing was measured."""
        return self.samples / self.seconds if self.seconds > 0 else 0.0


class Controller:
    """Decides from the durations of calls how many threads the next one gets.

    Now and then it tries another number. What a trial loses is charged to an account that fills with time, so all
    trials together cost a bounded share of a training.

    Parameters
    ----------
    most : int
        Threads that were asked for.
    """

    def __init__(self, most: int) -> None:
        self._rungs = make_rungs(most)
        self._rung = len(self._rungs) - 1
        self._work = Work()
        self._trial: Work | None = None
        self._step = -1
        """To the number that is tried next."""
        self._account = SAVED / 2
        self._batch = 0
        """The samples of the first call, the fewest that a call can have."""
        self._failures = 0
        self._pause = 0.0
        """Seconds until the next trial."""
        self._age = 0.0
        self._yielded = Work()
        """Seconds for which a thread waited in vain, in place of samples."""
        self._is_stalled = False
        self._is_cold = True
        """Whether the last call said nothing of later ones."""
        self._seconds = SHORT

    @property
    def threads(self) -> int:
        """Threads of the next call."""
        return self._rungs[self._rung + (self._step if self._trial else 0)]

    @property
    def seconds(self) -> float:
        """How long the next call should take."""
        return SHORT if self._trial else self._seconds

    @property
    def samples(self) -> int:
        """About how many samples take so long; 0 if nothing is known yet."""
        return int(self._work.rate * self.seconds)

    def record(self, samples: int, seconds: float, stalled: float) -> None:
        """Take note of a call on `threads`: how long it took, and the share of it for which a thread waited in vain."""
        seconds = max(seconds, 1e-9)
        if self._trial is not None:
            self._trial.add(samples, seconds)
            self._judge(self._trial)
            return
        self._seconds = min(CALL_SECONDS, max(SHORT, 2 * seconds))
        if self._age >= COLD:
            self._yielded.add(stalled * seconds, seconds, MEMORY)
        is_all = self._rung == len(self._rungs) - 1
        is_stalled = self._yielded.rate > STALLED[0] and self._yielded.seconds > STALLED[1]
        if self._is_cold or is_stalled != self._is_stalled:
            self._work = Work()  # what was measured before says nothing about now
        self._is_stalled = is_stalled
        self._is_cold = self._age < COLD
        self._age += seconds
        self._work.add(samples, seconds, MEMORY)
        share = SHARES["fewer" if not is_all else "stalled" if is_stalled else "quiet"]
        self._batch = self._batch or samples
        saved = max(SAVED, 2 * self._batch / self._work.rate)
        self._account = min(saved, self._account + share * seconds)
        self._pause -= seconds
        is_due = self._account >= (saved if is_all and not is_stalled else 0) and self._pause <= 0
        if is_due and not self._is_cold:
            self._try()

    def _try(self) -> None:
        """Begin a trial, if there is another number."""
        if len(self._rungs) > 1:
            if not 0 <= self._rung + self._step < len(self._rungs):
                self._step = -self._step
            self._trial = Work()

    def _judge(self, trial: Work) -> None:
        """End a trial that has lost too much, or has lasted long enough."""
        lost = trial.seconds - trial.samples / self._work.rate
        if lost < LOSS and trial.seconds < TRIAL_SECONDS:
            return
        self._trial = None
        if lost < -GAIN * trial.seconds:
            self._rung += self._step
            self._work, self._seconds, self._failures = trial, SHORT, 0
            self._account = max(self._account, 0.0)  # the machine is another one than when trials failed
        else:
            self._account -= max(lost, LEAST_COST)
            self._step = -self._step
            self._pause = min(PAUSES[0] * 2**self._failures, PAUSES[1])
            self._failures += 1
