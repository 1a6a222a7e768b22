"""The trained network: parameters, predictions, scores, saving and loading."""

import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastmlp.history import History
from fastmlp.normalization import Normalization
from fastmlp.problem import Architecture, Reading
from fastmlp.reference.activations import ACTIVATIONS
from fastmlp.reference.backpropagation import logits, mean_loss
from fastmlp.reference.parameters import Layers, layer_views, parameter_count
from fastmlp.targets import Coding
from fastmlp.validation import Features, check_features, check_sample_weight, check_targets

if TYPE_CHECKING:
    from fastmlp.engine.predictor import Predictor

FORMAT_VERSION = 1
_ROWS_AT_ONCE = 4096


class MLP:
    """A multilayer perceptron with fixed parameters, as `fastmlp.train` returns it.

    Attributes
    ----------
    params : (size,) array, read-only
        W1, b1, W2, b2, ... in one vector of the training's dtype.
    layers : list of (W, b)
        Views of `params`; W is (in, out), b is (out,).
    widths : tuple of int
        (d, h1, ..., k).
    classes_ : (k,) array or None
        The class labels, sorted; None for regression and multilabel targets.
    feature_names_in_ : (d,) array or None
        What the columns of the training's data frame are called, if all names are strings. Another data frame has to
        have the same columns in the same order; arrays have no names, and are taken as they come.
    history : History
    """

    def __init__(
        self,
        params: NDArray[Any],
        architecture: Architecture,
        normalization: Normalization,
        coding: Coding,
        history: History,
        predictor: "Predictor | None" = None,
        feature_names: NDArray[Any] | None = None,
    ) -> None:
        self.params = params.view()
        self.params.flags.writeable = False
        self.history = history
        self.feature_names_in_ = feature_names
        self._architecture = architecture
        self._normalization = normalization
        self._coding = coding
        self._predictor = predictor

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

        Parameters
        ----------
        X : (n, d) array or CSR matrix
            Features as they were passed to `train`; its normalisation is applied here.

        Raises
        ------
        ValueError, TypeError
            If X is not a finite numeric matrix with d columns.
        """
        features = check_features(X, num_features=self.widths[0], feature_names=self.feature_names_in_)
        return self._logits(features)

    def _logits(self, X: Features) -> NDArray[Any]:
        if self._predictor is not None and self._predictor.reads(X):
            return self._predictor.logits(self.params, X)
        blocks = []
        for start in range(0, X.shape[0], _ROWS_AT_ONCE):
            rows = self._normalization.apply(X[start : start + _ROWS_AT_ONCE], self.params.dtype)
            blocks.append(logits(rows, self.layers, self._architecture.activation)[1])
        return np.concatenate(blocks)

    def activations(self, X: ArrayLike) -> list[NDArray[Any]]:
        """Return what each hidden layer makes of X, [(n, h1), (n, h2), ...]; `X` and errors as in `logits`."""
        features = check_features(X, num_features=self.widths[0], feature_names=self.feature_names_in_)
        rows = self._normalization.apply(features, self.params.dtype)
        return logits(rows, self.layers, self._architecture.activation)[0]

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return predictions in the terms of the training targets.

        Class labels (n,) for classification, rows of 0 and 1 (n, k) for multilabel targets, numbers (n,) or (n, k)
        for regression. `X` and errors as in `logits`.
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
        """Return the (weighted) mean of the training loss on other data; arguments as in `fastmlp.train`."""
        Z = self.logits(X)
        return self._loss(Z, self._coding.encode(y, len(Z)), check_sample_weight(sample_weight, len(Z)))

    def _loss(self, Z: NDArray[Any], codes: NDArray[Any], weights: NDArray[np.float64] | None = None) -> float:
        targets = codes if codes.ndim == 1 else codes.astype(Z.dtype)
        return mean_loss(Z, targets, self._architecture.loss, weights)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the network to one ``.npz`` file without pickle: parameters, scaling, classes and history.

        The file appears whole or not at all: it is written beside `path` first and then renamed.
        """
        path = Path(path)
        about: dict[str, Any] = {
            "format_version": FORMAT_VERSION,
            "widths": self.widths,
            "activation": self._architecture.activation,
            "loss": self._architecture.loss,
            "flat_targets": self._coding.flat,
            "history": self.history.to_dict(),
        }
        arrays: dict[str, Any] = {
            "params": self.params,
            "shift": self._normalization.shift,
            "scale": self._normalization.scale,
        }
        if self.classes_ is not None:
            arrays["classes"] = self.classes_
        if self._predictor is not None:
            reading = self._predictor.reading._asdict()
            base = reading.pop("base")
            about["reading"] = reading
            if base is not None:
                arrays["base"] = base
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.name, delete=False) as file:
            try:
                np.savez(file, about=np.array(json.dumps(about)), **arrays)
                file.close()
                os.chmod(file.name, 0o666 & ~_umask())
                os.replace(file.name, path)
            except BaseException:
                os.unlink(file.name)
                raise

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "MLP":
        """Read a network that `save` wrote.

        Raises
        ------
        FileNotFoundError
        ValueError
            If the file is something else, is damaged, or has a newer format.
        """
        name = os.fspath(path)
        with open(path, "rb") as file:
            try:
                with np.load(file, allow_pickle=False) as archive:
                    arrays = dict(archive)
                about = json.loads(arrays["about"].item())
                version = about["format_version"]
                network = cls._restore(about, arrays) if version <= FORMAT_VERSION else None
            except Exception as error:  # zipfile, NumPy and json raise a dozen types on a damaged file
                raise ValueError(f"{name} must be a network saved by fastmlp, but it can't be read: {error}") from error
        if network is None:
            raise ValueError(
                f"{name} has format version {version}, and this fastmlp reads up to {FORMAT_VERSION}; "
                "install a newer fastmlp"
            )
        return network

    @classmethod
    def _restore(cls, about: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> "MLP":
        architecture = Architecture(tuple(about["widths"]), about["activation"], about["loss"])
        normalization = Normalization(arrays["shift"], arrays["scale"])
        params, classes, base = arrays["params"], arrays.get("classes"), arrays.get("base")
        d, k = architecture.widths[0], architecture.widths[-1]
        class_count = {"cross_entropy": k, "binary_cross_entropy": 2 if k == 1 else 0, "mean_squared_error": 0}
        if not (
            params.shape == (parameter_count(architecture.widths),)
            and params.dtype in (np.float32, np.float64)
            and architecture.activation in ACTIVATIONS
            and {array.shape for array in normalization} <= {(), (d,)}
            and (base is None or (base.shape, base.dtype) == ((d,), params.dtype))
            and class_count[architecture.loss] == (0 if classes is None else len(classes))
        ):
            raise ValueError("its parts don't fit together")
        coding = Coding(architecture.loss, k, classes, about["flat_targets"])
        predictor = None
        if "reading" in about:
            from fastmlp.engine.predictor import Predictor

            reading = Reading(base=base, **about["reading"])
            predictor = Predictor(architecture, normalization, reading, params.dtype)
        return cls(params, architecture, normalization, coding, History(**about["history"]), predictor)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
