"""The attacks, each a function of a random generator that returns "ok" or "clean refusal", or raises a DefectError."""

OUTCOMES = ("ok", "clean refusal", "crash", "hang", "difference", "lost model", "unclear error")
"""How a try can end. An unclear error is an exception that says nothing about what was passed."""
ATTACKS = {}


class DefectError(Exception):
    """What a try found: one of OUTCOMES, and what was seen."""

    def __init__(self, outcome, seen):
        super().__init__(seen)
        assert outcome in OUTCOMES
        self.outcome = outcome


def attack(tries=1, timeout=60):
    """Enter a function in the table: tried so often in one process, which is given so many seconds."""

    def enter(function):
        function.tries, function.timeout = tries, timeout
        ATTACKS[function.__name__.replace("_", "-")] = function
        return function

    return enter


from attacks import estimators, files, forks, inputs, labels, limits, signals  # noqa: E402, F401
