"""The forward pass of a trained network: in compiled code if that trained it, else in NumPy."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastmlp.forks import held_off
from fastmlp.normalization import Normalization
from fastmlp.problem import Architecture, Reading
from fastmlp.reference.backpropagation import logits
from fastmlp.reference.parameters import layer_views
from fastmlp.validation import Features

if TYPE_CHECKING:
    from fastmlp.engine.predictor import Predictor

_ROWS_AT_ONCE = 4096


class Inference:
    """The forward pass of all networks with one architecture and one normalization; parameters are arguments.

    Parameters
    ----------
    architecture : Architecture
    normalization : Normalization
    reading : Reading, optional
        What the training data were like, if the compiled path trained the network.
    predictor : Predictor, optional
        That of the trainer; else one is made when it is needed.
    """

    def __init__(
        self,
        architecture: Architecture,
        normalization: Normalization,
        reading: Reading | None = None,
        predictor: "Predictor | None" = None,
    ) -> None:
        self.architecture = architecture
        self.normalization = normalization
        self.reading: Reading | None = reading if predictor is None else predictor.reading
        self._predictor = predictor

    def logits(self, params: NDArray[Any], X: Features) -> NDArray[Any]:
        """Return the last layer's values (n, k) before its output function, in the dtype of the flat vector."""
        predictor = self._find_predictor(params.dtype)
        if predictor is not None and predictor.reads(X):
            return predictor.logits(params, X)
        starts = range(0, X.shape[0], _ROWS_AT_ONCE)
        return np.concatenate([self._run(params, X[start : start + _ROWS_AT_ONCE])[1] for start in starts])

    def activations(self, params: NDArray[Any], X: Features) -> list[NDArray[Any]]:
        """Return the values of each hidden layer, [(n, h1), (n, h2), ...]."""
        return self._run(params, X)[0]

    def _run(self, params: NDArray[Any], X: Features) -> tuple[list[NDArray[Any]], NDArray[Any]]:
        rows = self.normalization.apply(X, params.dtype)
        return logits(rows, layer_views(params, self.architecture.widths), self.architecture.activation)

    def _find_predictor(self, dtype: np.dtype[Any]) -> "Predictor | None":
        if self._predictor is None and self.reading is not None:
            with held_off():
                from fastmlp.engine.predictor import Predictor

            self._predictor = Predictor(self.architecture, self.normalization, self.reading, dtype)
        return self._predictor

    def __getstate__(self) -> dict[str, Any]:
        """Everything but compiled code and its memory, which are made anew where the network predicts."""
        return self.__dict__ | {"_predictor": None}
