"""The trained network: parameters, predictions, scores, saving and loading."""

import os
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastmlp.forks import held_off
from fastmlp.history import History
from fastmlp.normalization import Normalization
from fastmlp.problem import Architecture, Reading, split_scale
from fastmlp.reference.backpropagation import logits, mean_loss
from fastmlp.reference.parameters import Layers, layer_views
from fastmlp.saving import Parts, read_network, write_network
from fastmlp.table_encoder import TableEncoder
from fastmlp.targets import Coding
from fastmlp.validation import Features, check_features, check_sample_weight, check_targets

if TYPE_CHECKING:
    from fastmlp.engine.predictor import Predictor

_ROWS_AT_ONCE = 4096


class MLP:
    """A multilayer perceptron with fixed parameters, as `fastmlp.train` returns it.

    Attributes
    ----------
    params : (size,) array, read-only
        W1, b1, W2, b2, ... in one vector of the training's dtype.
    layers : list of (W, b)
        Views of `params`; W is (in, out), b is (out,). They map normalised features to logits, of a regression to
        standardised targets unless it was trained with ``normalize_targets=False``.
    widths : tuple of int
        (d, h1, ..., k).
    classes_ : (k,) array or None
        The class labels, sorted; None for regression and multilabel targets.
    feature_names_in_ : (d,) array or None
        What the columns of the training's data frame are called, if all names are strings. Another data frame has to
        have the same columns in the same order; arrays have no names, and are taken as they come.
    history : History
    table : TableEncoder or None
        What makes X of a table's columns, if ``fastmlp train`` learned from a table.
    """

    def __init__(
        self,
        params: NDArray[Any],
        architecture: Architecture,
        normalization: Normalization,
        coding: Coding,
        history: History,
        predictor: "Predictor | None" = None,
        *,
        feature_names: ArrayLike | None = None,
    ) -> None:
        self.params = _frozen(params)
        self.history = history
        self._architecture = architecture
        self._normalization = normalization
        self._coding = coding
        self._predictor = predictor
        self._reading: Reading | None = None if predictor is None else predictor.reading
        self.feature_names_in_ = None if feature_names is None else np.array(feature_names, object)
        self.table: TableEncoder | None = None

    @property
    def widths(self) -> tuple[int, ...]:
        return self._architecture.widths

    @property
    def layers(self) -> Layers:
        return layer_views(self.params, self.widths)

    @property
    def classes_(self) -> NDArray[Any] | None:
        return self._coding.classes

    def __repr__(self) -> str:
        return f"MLP({self._architecture}, {self.params.size:,} parameters, {self.params.dtype})"

    def logits(self, X: ArrayLike) -> NDArray[Any]:
        """Return the last layer's values before its output function, (n, k) in the parameters' dtype.

        Where a regression's targets were standardised, these are standardised predictions.

        Parameters
        ----------
        X : (n, d) array or CSR matrix
            Features as they were passed to `train`; its normalisation is applied here.

        Raises
        ------
        ValueError, TypeError
            If X is not a finite numeric matrix with d columns.
        """
        return self._logits(self._check(X))

    def _check(self, X: ArrayLike) -> Features:
        return check_features(X, num_features=self.widths[0], feature_names=self.feature_names_in_)

    def _logits(self, X: Features) -> NDArray[Any]:
        predictor = self._find_predictor()
        if predictor is not None and predictor.reads(X):
            return predictor.logits(self.params, X)
        blocks = []
        for start in range(0, X.shape[0], _ROWS_AT_ONCE):
            rows = self._normalization.apply(X[start : start + _ROWS_AT_ONCE], self.params.dtype)
            blocks.append(logits(rows, self.layers, self._architecture.activation)[1])
        return np.concatenate(blocks)

    def _find_predictor(self) -> "Predictor | None":
        if self._predictor is None and self._reading is not None:
            with held_off():
                from fastmlp.engine.predictor import Predictor

            self._predictor = Predictor(self._architecture, self._normalization, self._reading, self.params.dtype)
        return self._predictor

    def activations(self, X: ArrayLike) -> list[NDArray[Any]]:
        """Return what each hidden layer makes of X, [(n, h1), (n, h2), ...]; `X` and errors as in `logits`."""
        rows = self._normalization.apply(self._check(X), self.params.dtype)
        return logits(rows, self.layers, self._architecture.activation)[0]

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return predictions in the terms of the training targets.

        Class labels (n,) for classification, rows of 0 and 1 (n, k) for multilabel targets; numbers (n,) or (n, k)
        in the units of y for regression, as float64 if they were standardised. `X` and errors as in `logits`.
        """
        return self._coding.decode(self.logits(X))

    def predict_proba(self, X: ArrayLike) -> NDArray[Any]:
        """Return class probabilities (n, classes) in the order of `classes_`, or (n, k) for multilabel targets.

        Raises
        ------
        TypeError
            If the network was trained for regression.
        """
        return self._coding.probabilities(self.logits(X))

    def score(self, X: ArrayLike, y: ArrayLike) -> float:
        """Return the accuracy (every label right, for multilabel targets), or R² for regression.

        `y` in the terms of the training targets, labels or one-hot.
        """
        Z = self.logits(X)
        return self._score(Z, y, self._coding.encode(y, len(Z)))

    def _score(self, Z: NDArray[Any], y: ArrayLike, codes: NDArray[Any]) -> float:
        if self._coding.loss == "mean_squared_error":
            from sklearn.metrics import r2_score

            return float(r2_score(check_targets(y, len(Z)), self._coding.decode(Z)))
        if codes.ndim == 1:
            return float(np.mean(np.argmax(Z, axis=1) == codes))
        return float(np.mean(np.all((Z > 0) == codes, axis=1)))

    def loss(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Return the (weighted) mean of the training loss on other data, for regression in the units of y²."""
        Z = self.logits(X)
        return self._loss(Z, self._coding.encode(y, len(Z)), check_sample_weight(sample_weight, len(Z)))

    def _loss(self, Z: NDArray[Any], codes: NDArray[Any], weights: NDArray[np.float64] | None = None) -> float:
        targets = codes if codes.ndim == 1 else codes.astype(Z.dtype)
        if self._architecture.loss != "mean_squared_error":
            return mean_loss(Z, targets, self._architecture.loss, weights)
        units, unit = split_scale(self._coding.scaling.scale, self.widths[-1])
        shares = units.astype(Z.dtype)
        return mean_loss(Z * shares, targets * shares, "mean_squared_error", weights) * unit**2

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the network to one ``.npz`` file without pickle: parameters, scaling, classes, history and table.

        The file appears whole or not at all: it is written beside `path` first and then renamed. Where `path` is a
        symbolic link, the file it leads to is replaced; an older file's mode is kept.

        Raises
        ------
        OSError
            If the file can't be written.
        """
        write_network(path, self._parts())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "MLP":
        """Read a network that `save` wrote.

        Nothing in the file is trusted: it takes no more memory than its size, and it is checked whole before it is
        used.

        Raises
        ------
        FileNotFoundError
        ValueError
            If the file is something else, is damaged, or has a newer format.
        """
        params, architecture, normalization, coding, history, reading, feature_names, table = read_network(path)
        network = cls(params, architecture, normalization, coding, history, feature_names=feature_names)
        network._reading = reading
        network.table = table
        return network

    def _parts(self) -> Parts:
        return Parts(
            self.params,
            self._architecture,
            self._normalization,
            self._coding,
            self.history,
            self._reading,
            self.feature_names_in_,
            self.table,
        )

    def __getstate__(self) -> dict[str, Any]:
        """Everything but compiled code and its memory, which are made anew where the network predicts."""
        return self.__dict__ | {"_predictor": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.params = _frozen(self.params)


def _frozen(params: NDArray[Any]) -> NDArray[Any]:
    view = params.view()
    view.flags.writeable = False
    return view
