"""Validation rows that are taken from the training rows."""

import numpy as np

from fastmlp.problem import Samples


def hold_out(share: float, samples: Samples, by_class: bool, rng: np.random.Generator) -> tuple[Samples, Samples]:
    """Return the samples to train on and the share of them to validate with, both in their old order.

    With `by_class`, whose codes are class numbers then, about the same share of each class is taken, and never all.

    Raises
    ------
    ValueError
        If there are too few rows, or in one part none with a weight.
    """
    n = len(samples.codes)
    order = rng.permutation(n)
    classes = samples.codes.reshape(n).astype(np.int64)[order] if by_class else np.zeros(n, np.int64)
    grouped = order[np.argsort(classes, kind="stable")]
    kept = np.append(True, np.diff(np.sort(classes)) > 0)  # a row of each class is sure to be trained on
    candidates = grouped[~kept]
    count = min(max(1, round(share * n)), len(candidates))
    if not count:
        raise ValueError(f"validation_split must leave each class a row to train on, and y has only {n} rows")
    held = np.zeros(n, bool)
    # Evenly spaced among rows in the order of their classes.
    held[candidates[((np.arange(count) + rng.random()) * len(candidates) / count).astype(np.int64)]] = True
    parts = samples.select(np.flatnonzero(~held)), samples.select(np.flatnonzero(held))
    for part, use in zip(parts, ("train on", "validate with"), strict=True):
        if part.sample_weight is not None and not np.any(part.sample_weight):
            raise ValueError(f"validation_split must leave a row to {use} whose sample_weight is positive, got none")
    return parts
