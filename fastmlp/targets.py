"""How y becomes the numbers a network is trained on, and logits become predictions in the terms of y."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastmlp.normalization import IDENTITY, Normalization
from fastmlp.reference.losses import LOSSES

MANY_VALUES, ROWS_A_VALUE = 20, 5
"""More whole numbers than this, with fewer rows each on average, look like quantities, and others like labels."""


class Coding(NamedTuple):
    """The relation of y to the outputs of a network, learned from the training targets."""

    loss: str
    """A name of `fastmlp.reference.losses.LOSSES`."""
    outputs: int
    """Number of outputs k."""
    classes: NDArray[Any] | None
    """The class labels, sorted; None for regression and for multilabel targets."""
    flat: bool
    """Whether targets without classes came as (n,) and predictions are to have that shape."""
    scaling: Normalization = IDENTITY
    """The scaling of a regression's targets, column by column: codes and logits are scaled, predictions are not."""

    @property
    def is_regression(self) -> bool:
        """Whether targets are numbers to come near to, rather than labels."""
        return LOSSES[self.loss].is_regression

    def encode(self, targets: NDArray[Any], name: str = "y") -> NDArray[Any]:
        """Return the codes of targets that `check_targets` returned.

        They are class numbers (n,) int64 for cross-entropy, otherwise float64 numbers (n, k).
        """
        if self.classes is None:
            return self._encode_numbers(targets, name)
        codes = self._class_numbers(targets, name)
        return codes if LOSSES[self.loss].targets == "classes" else codes.astype(np.float64)[:, None]

    def _encode_numbers(self, y: NDArray[Any], name: str) -> NDArray[Any]:
        if y.dtype.kind in "US":
            raise TypeError(f"{name} must be numbers for loss={self.loss!r}, got strings such as {y.flat[0].item()!r}")
        rows = y.reshape(len(y), -1).astype(np.float64)
        if rows.shape[1] != self.outputs:
            raise ValueError(f"{name} must have {self.outputs} columns as in training, got {rows.shape[1]}")
        if LOSSES[self.loss].targets == "binary" and not _is_binary(rows):
            raise ValueError(f"{name} must hold only 0 and 1 for loss={self.loss!r}, got {_not_binary(rows):g}")
        if LOSSES[self.loss].targets == "counts" and np.min(rows) < 0:
            raise ValueError(f"{name} must hold numbers of at least 0 for loss={self.loss!r}, got {np.min(rows):g}")
        return self.scaling.apply(rows, np.float64)

    def _class_numbers(self, y: NDArray[Any], name: str) -> NDArray[np.int64]:
        assert self.classes is not None
        if y.ndim == 2 and y.shape[1] > 1:
            if y.shape[1] != len(self.classes):
                raise ValueError(f"{name} must have {len(self.classes)} columns (one-hot), got {y.shape[1]}")
            return _one_hot_positions(y, name)
        labels = y.ravel()
        kinds = [array.dtype.kind if array.dtype.kind in "US" else "number" for array in (labels, self.classes)]
        if kinds[0] != kinds[1]:
            raise TypeError(f"{name} must hold labels like {self.classes[0].item()!r}, got {labels[0].item()!r}")
        alike = labels
        if kinds[0] == "number":  # NumPy searches for other types in float64, which rounds what is large
            with np.errstate(invalid="ignore"):
                alike = labels.astype(self.classes.dtype)
        places = np.searchsorted(self.classes, alike)
        places[places == len(self.classes)] = 0
        unseen = (self.classes[places] != alike) | (alike != labels)
        if unseen.any():
            raise ValueError(f"{name} holds the label {labels[unseen][0].item()!r}, which no training sample has")
        return places.astype(np.int64)

    def decode(self, Z: NDArray[Any]) -> NDArray[Any]:
        """Return predictions in the terms of y from logits (n, k)."""
        if self.is_regression:
            y = self.scaling.undo(LOSSES[self.loss].output(Z))
            return y[:, 0] if self.flat else y
        if LOSSES[self.loss].targets == "classes":
            assert self.classes is not None
            return self.classes[np.argmax(Z, axis=1)]
        positive = (Z > 0).astype(np.int64)
        if self.classes is not None:
            return self.classes[positive[:, 0]]
        return positive[:, 0] if self.flat else positive

    def probabilities(self, Z: NDArray[Any]) -> NDArray[Any]:
        """Return probabilities from logits: (n, classes), or (n, k) for multilabel targets."""
        if self.is_regression:
            raise TypeError("predict_proba needs a classifier, and this network was trained for regression")
        A = LOSSES[self.loss].output(Z)
        return np.hstack([1 - A, A]) if LOSSES[self.loss].targets == "binary" and self.classes is not None else A


def learn_coding(array: NDArray[Any], loss: str) -> Coding:
    """Return the coding of training targets that `check_targets` returned, those of a regression as they are.

    `loss` is a name of LOSSES, or "auto", which decides between labels and numbers.
    """
    n = len(array)
    if loss == "auto":
        is_float = array.dtype.kind == "f"
        looks_one_hot = array.ndim == 2 and array.shape[1] > 1 and array.dtype.kind in "biuf" and _is_binary(array)
        loss = "mean_squared_error" if is_float and not looks_one_hot else "cross_entropy"
        _check_unambiguous(array)
    kind = LOSSES[loss].targets
    if kind == "classes":
        return Coding(loss, len(classes := _learn_classes(array)), classes, flat=False)
    if kind == "binary" and array.size == n:
        classes = _learn_classes(array.ravel())
        if len(classes) != 2:
            raise ValueError(f"y must hold two classes for loss={loss!r}, got {len(classes)}")
        return Coding(loss, 1, classes, flat=False)
    return Coding(loss, array.size // n, None, flat=array.ndim == 1)


def _check_unambiguous(y: NDArray[Any]) -> None:
    """Raise if whole numbers, one a sample, may be labels or quantities: integers if many, floats if few."""
    if y.dtype.kind not in "iuf" or y.size > len(y) or (y.dtype.kind == "f" and np.any(y != np.rint(y))):
        return
    values = len(np.unique(y))
    enough_rows = len(y) >= ROWS_A_VALUE * values
    if y.dtype.kind == "f":
        ambiguous = values <= MANY_VALUES and enough_rows
    else:
        ambiguous = values > MANY_VALUES and not enough_rows
    if ambiguous:
        raise ValueError(
            f"y must be clearly labels or quantities for loss='auto', got {values} different whole numbers as "
            f"{y.dtype} in {len(y)} rows; pass loss='cross_entropy' to classify them or loss='mean_squared_error' for "
            "regression"
        )


def _learn_classes(y: NDArray[Any]) -> NDArray[Any]:
    if y.ndim == 2 and y.shape[1] > 1:
        _one_hot_positions(y, "y")
        return np.arange(y.shape[1])
    labels = y.ravel()
    if labels.dtype.kind == "f" and np.any(labels != np.rint(labels)):
        raise ValueError("y must hold class labels for a classification loss, got fractions; did you mean regression?")
    if labels.dtype.kind == "f":
        if np.max(np.abs(labels)) >= 2.0**63:
            raise ValueError(f"y must hold class labels below 2**63, got {labels[np.argmax(np.abs(labels))]:g}")
        labels = labels.astype(np.int64)
    classes = np.unique(labels)
    if len(classes) < 2:
        raise ValueError(f"y must hold at least two classes, got only {classes[0].item()!r}")
    return classes


def _is_binary(y: NDArray[Any]) -> bool:
    return bool(np.all((y == 0) | (y == 1)))


def _not_binary(y: NDArray[Any]) -> float:
    return float(y[(y != 0) & (y != 1)][0])


def _one_hot_positions(y: NDArray[Any], name: str) -> NDArray[np.int64]:
    """Return the column of the 1 in each row of y (n, k)."""
    if y.dtype.kind in "US":
        raise TypeError(f"{name} must be one label a sample or one-hot rows of numbers, got a table of strings")
    if not _is_binary(y):
        raise ValueError(f"{name} must have one-hot rows of 0 and 1, got {_not_binary(y):g}")
    sums = np.count_nonzero(y, axis=1)
    if np.any(sums != 1):
        row = int(np.argmax(sums != 1))
        raise ValueError(
            f"{name} must have one-hot rows with a single 1, but row {row} has {sums[row]} "
            "(loss='binary_cross_entropy' takes several labels a sample)"
        )
    return np.argmax(y, axis=1)
