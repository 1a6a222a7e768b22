"""How good a network is on samples that it isn't trained on."""

import copy
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import check_scoring

from fastmlp.problem import Samples
from fastmlp.scoring import loss_of, score_of


class Judge:
    """Losses and scores of an estimator's networks on some samples.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
        Its `validation_metric` decides what the score is.
    samples : Samples
    """

    def __init__(self, estimator: Any, samples: Samples) -> None:
        self._estimator = copy.copy(estimator)
        self._estimator._outputs = estimator._outputs
        vars(self._estimator).pop("feature_names_in_", None)  # checked features are plain arrays
        self._samples = samples
        metric = estimator.validation_metric
        self._scorer = None if metric is None else check_scoring(estimator, metric)

    def __call__(self, params: NDArray[Any]) -> tuple[float, float]:
        """Return loss, without the penalty, and score of the network with this flat vector; NaN where it overflows."""
        X, targets, codes, weights = self._samples
        estimator = self._estimator
        estimator._take(params)
        Z, coding = estimator._logits(X), estimator._coding
        with np.errstate(over="ignore", invalid="ignore"):
            loss = loss_of(coding, Z, codes, weights)
            if not np.all(np.isfinite(coding.decode(Z) if coding.is_regression else Z)):
                return loss, math.nan
        if self._scorer is None:
            return loss, score_of(coding, Z, targets, codes, weights)
        told = {} if weights is None else {"sample_weight": weights}
        return loss, float(self._scorer(estimator, X, targets, **told))
