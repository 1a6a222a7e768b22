"""The logits of a network whose parameters may be replaced by anyone between two predictions."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastmlp.inference import Inference
from fastmlp.normalization import IDENTITY
from fastmlp.problem import Architecture, Reading
from fastmlp.reference.backpropagation import logits
from fastmlp.reference.parameters import Layers, flatten
from fastmlp.validation import Features, is_sparse

FEW = 1 << 15
"""Up to as many multiplications, NumPy is sooner done than the compiled path has been called."""


class Outputs:
    """The logits of all networks with one architecture in one dtype.

    Parameters
    ----------
    architecture : Architecture
    dtype : numpy dtype
    backend : str
        Of BACKENDS.
    predictor : Predictor, optional
        That of a trainer.
    """

    def __init__(self, architecture: Architecture, dtype: np.dtype[Any], backend: str, predictor: Any = None) -> None:
        self.terms = architecture, dtype, backend
        self._params: NDArray[Any] | None = None
        self._inferences: dict[bool, Inference] = {}
        if predictor is not None:
            self._inferences[predictor.reading.is_sparse] = Inference(architecture, IDENTITY, predictor=predictor)

    def __call__(self, layers: Layers, X: Features) -> NDArray[Any]:
        """Return the logits (n, k) of X with the weights and biases of these layers."""
        architecture, dtype, backend = self.terms
        count = sum(W.size for W, _ in layers) * X.shape[0]
        if backend == "reference" or (count <= FEW and not is_sparse(X)):
            with np.errstate(over="ignore", invalid="ignore"):
                return logits(X.astype(dtype, copy=False), layers, architecture.activation)[1]
        params = flatten(layers).astype(dtype, copy=False)
        if self._params is None or not np.array_equal(params, self._params):
            self._params = params  # the compiled path repacks parameters that are another object
        return self._inference(X).logits(self._params, X)

    def _inference(self, X: Features) -> Inference:
        """Return the forward pass for X's container."""
        sparse = is_sparse(X)
        if sparse not in self._inferences:
            values = X.data if sparse else X
            self._inferences[sparse] = Inference(self.terms[0], IDENTITY, Reading(values.dtype.name, sparse, None))
        return self._inferences[sparse]
