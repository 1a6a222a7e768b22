"""Small trained networks that several test modules share."""

import numpy as np

import fastmlp

X = np.random.default_rng(11).normal(size=(50, 4))
CODES = np.arange(50) % 3


def as_they_are(X):
    """Options with which `fastmlp.train` leaves numbers alone, but for pixels: what is computed can be followed."""
    is_pixels = getattr(X, "dtype", None) == np.uint8
    return {"normalize": "unit" if is_pixels else None, "normalize_targets": False, "lr": 0.1}


def fit(y, X=X, **options):
    defaults = {"hidden": (6, 5), "num_epochs": 2, "batch_size": 16, "dtype": "float64", "seed": 1, "verbose": False}
    return fastmlp.train(X, y, **(as_they_are(X) | defaults | {"backend": "reference"} | options))


TARGETS = {
    "int": (CODES, {}),
    "negative": (CODES - 1, {}),
    "bool": (CODES == 1, {}),
    "str": (np.array(["ant", "bee", "élan"])[CODES], {}),
    "bytes": (np.array([b"ant", b"bee", b"cat"])[CODES], {}),
    "one-hot": (np.eye(3)[CODES], {}),
    "regression": (X[:, 0], {}),
    "column regression": (X[:, :1], {}),
    "multiple regression": (X[:, :2], {}),
    "binary": (np.array(["no", "yes"])[CODES // 2], {"loss": "binary_cross_entropy"}),
    "multilabel": ((X[:, :3] > 0).astype(int), {"loss": "binary_cross_entropy"}),
}
