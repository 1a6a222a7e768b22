"""Validation rows that are taken from the training rows."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastmlp.targets import learn_coding
from fastmlp.validation import Features, check_features, check_number, check_sample_weight, check_targets


class Part(NamedTuple):
    """Some rows of what was passed to `fastmlp.train`."""

    X: Features
    y: NDArray[Any]
    sample_weight: NDArray[np.float64] | None


def hold_out(
    share: float, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None, loss: str, rng: np.random.Generator
) -> tuple[Part, Part]:
    """Return the rows to train on and the share of rows to validate with, both in their old order.

    Of each class about the same share is taken, and never all.

    Raises
    ------
    ValueError, TypeError
        If an argument is unfit, or if there are too few rows; the message names it.
    """
    share = check_number("validation_split", share, 0.0, 1.0, low_open=True)
    features = check_features(X)
    n = features.shape[0]
    targets = check_targets(y, n)
    weights = check_sample_weight(sample_weight, n)
    coding = learn_coding(targets, n, loss, normalize_targets=False)
    order = rng.permutation(n)
    classes = np.zeros(n, np.int64)
    if coding.classes is not None:
        classes = coding.encode(targets, n).reshape(n).astype(np.int64)[order]
    by_class = order[np.argsort(classes, kind="stable")]
    kept = np.append(True, np.diff(np.sort(classes)) > 0)  # a row of each class is sure to be trained on
    candidates = by_class[~kept]
    count = min(max(1, round(share * n)), len(candidates))
    if not count:
        raise ValueError(f"validation_split must leave each class a row to train on, and y has only {n} rows")
    held = np.zeros(n, bool)
    # Evenly spaced among rows in the order of their classes.
    held[candidates[((np.arange(count) + rng.random()) * len(candidates) / count).astype(np.int64)]] = True

    def part(rows: NDArray[np.int64]) -> Part:
        return Part(features[rows], targets[rows], None if weights is None else weights[rows])

    return part(np.flatnonzero(~held)), part(np.flatnonzero(held))
