"""Class labels as scikit-learn takes them, and the codes that a network is trained on."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils.multiclass import type_of_target, unique_labels

from fastmlp.conversion import REAL
from fastmlp.validation import is_sparse


def learn_labels(y: ArrayLike) -> tuple[NDArray[Any], str, int]:
    """Return the classes (k,) that y has, and of their network the output function and the number of outputs.

    More than two classes are a softmax, two or only one are one logistic output, columns of labels are one each.
    """
    binarizer = LabelBinarizer().fit(y)
    classes = binarizer.classes_
    if binarizer.y_type_ == "multiclass":
        return classes, "softmax", len(classes)
    return classes, "logistic", len(classes) if binarizer.y_type_.startswith("multilabel") else 1


def learn_first_classes(y: ArrayLike, classes: ArrayLike) -> tuple[NDArray[Any], str, int]:
    """Return the same of the `classes` of a first `partial_fit`, some of which its y may lack."""
    known = unique_labels(classes)
    return known, *learn_labels(y if type_of_target(y).startswith("multilabel") else known)[1:]


def check_same_classes(classes: ArrayLike, known: NDArray[Any]) -> None:
    """Raise unless the classes of a later `partial_fit` are those of the first."""
    if classes is known or (np.shape(classes) == known.shape and np.all(np.asarray(classes) == known)):
        return
    if not np.array_equal(known, unique_labels(classes)):
        raise ValueError(f"`classes={classes!r}` is not the same as on last call to partial_fit, was: {known!r}")


def check_warm_start(y: ArrayLike, known: NDArray[Any]) -> None:
    """Raise unless y has just the classes of the fit before."""
    classes = unique_labels(y)
    if set(classes) != set(known):
        raise ValueError(
            "warm_start can only be used where `y` has the same classes as in the previous call to fit. Previously "
            f"got {known}, `y` has {classes}"
        )


def encode(y: Any, classes: NDArray[Any], output: str, k: int) -> NDArray[Any]:
    """Return the codes of labels for k outputs: class numbers (n,) for a softmax, else 0 and 1 (n, k).

    Labels are (n,), or for more than one logistic output columns (n, k) of 0 and 1, which may be sparse.
    """
    has_columns = output == "logistic" and k > 1
    if (y.ndim == 2) != has_columns or (has_columns and y.shape[1] != k):
        raise ValueError(
            f"y must have shape {f'(n, {k})' if has_columns else '(n,)'} as in the first fit, got {y.shape}"
        )
    if has_columns:
        return ((y.toarray() if is_sparse(y) else y) != 0).astype(np.float64)
    places = _find(y, classes)
    if places is None:
        raise ValueError(
            f"`y` has classes not in `self.classes_`. `self.classes_` has {classes}. 'y' has {unique_labels(y)}."
        )
    return places if output == "softmax" else places.astype(np.float64)[:, None]


def _find(y: NDArray[Any], classes: NDArray[Any]) -> NDArray[np.int64] | None:
    """Return the places of labels among sorted classes; None if one is not there."""
    if (y.dtype.kind in REAL) != (classes.dtype.kind in REAL):
        return None
    try:
        places = np.minimum(np.searchsorted(classes, y), len(classes) - 1)
    except TypeError:  # objects of types that have no order
        return None
    return places if np.all(classes[places] == y) else None
