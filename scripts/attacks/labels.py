"""Labels of every type; each function returns (y, what predict has to give back, whether it has to be accepted)."""

import numpy as np

from attacks import DefectError, attack
from attacks.inputs import EITHER, INVALID, VALID, both, judge


def integers(rng, c):
    name = rng.choice(["b", "B", "h", "i", "l", ">i4", ">u8"])
    return (c + 5).astype(name), c + 5, VALID


def negative(rng, c):
    return c - 1, c - 1, VALID


def large(rng, c):
    y = np.uint64(2**60) + c.astype(np.uint64)
    return y, y, VALID


def booleans(rng, c):
    return c == 1, c == 1, VALID


def strings(rng, c):
    names = np.array([["a", "b", "c"], ["007", "7", "07"], ["", " ", "x"], ["élan", "zwölf", "数"]])[rng.integers(4)]
    y = names[c]
    kind = rng.integers(4)
    if kind == 1:
        return y.astype(object), y, VALID
    if kind == 2:
        return y.tolist(), y, VALID
    if kind == 3:
        return y.astype(np.dtypes.StringDType()), y, VALID
    return y, y, VALID


def bytes_of_names(rng, c):
    y = np.array([b"a", b"bb", b"c"])[c]
    return y, y, VALID


def one_hot(rng, c):
    return np.eye(3, dtype=rng.choice(["f", "d", "?", "B", "i"]))[c], c, VALID


def column(rng, c):
    return c[:, None], c, VALID


def read_only_labels(rng, c):
    y = c.copy()
    y.flags.writeable = False
    return y[::-1][::-1], c, VALID


def one_class(rng, c):
    return np.zeros_like(c), np.zeros_like(c), EITHER


def mixed_objects(rng, c):
    return np.array(["a", 1, None], object)[c], c, INVALID


def masked_labels(rng, c):
    return np.ma.array(c, mask=c == 2), c, INVALID


def nan_among_targets(rng, c):
    y = c.astype(float)
    y[3] = np.nan
    return y, y, INVALID


def wrong_length(rng, c):
    return c[:-1], c, INVALID


def complex_targets(rng, c):
    return c + 1j, c, INVALID


LABELS = (
    integers, negative, large, booleans, strings, bytes_of_names, one_hot, column, read_only_labels, one_class,
    mixed_objects, masked_labels, nan_among_targets, wrong_length, complex_targets,
)  # fmt: skip


@attack(tries=40, timeout=240)
def labels(rng):
    """Labels of every type: what is predicted has to be what was given."""
    c = rng.permutation(np.arange(60) % 3)
    X = 4 * np.eye(3)[c] + 0.1 * rng.standard_normal((60, 3))
    form = LABELS[rng.integers(len(LABELS))]
    y, wanted, expected = form(rng, c)
    what = f"{form.__name__} {getattr(y, 'dtype', '')}"
    networks, refusal = both(what, X, y, hidden=(), num_epochs=20, lr=0.5)
    outcome = judge(what, networks, refusal, expected)
    for network in networks or ():
        got = np.asarray(network.predict(X))
        if got.tolist() != np.asarray(wanted).tolist():
            raise DefectError("difference", f"{what}: predicts {got[:6]} for {wanted[:6]}")
    return outcome
