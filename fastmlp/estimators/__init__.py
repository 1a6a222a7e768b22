"""scikit-learn's multilayer perceptrons, trained by this package: the same parameters, numbers and attributes."""

from fastmlp.estimators.classifier import MLPClassifier
from fastmlp.estimators.regressor import MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor"]
