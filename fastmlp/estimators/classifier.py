"""`MLPClassifier`: labels in, labels and probabilities out."""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.metaestimators import available_if

from fastmlp.conversion import OUTPUT_LOSSES
from fastmlp.estimators.base import BaseMLP, is_stochastic
from fastmlp.estimators.labels import (
    check_same_classes,
    check_warm_start,
    encode,
    learn_first_classes,
    learn_labels,
)
from fastmlp.estimators.parameters import CONSTRAINTS, documented, keep_parameters
from fastmlp.validation import check_sample_weight


@documented
class MLPClassifier(ClassifierMixin, BaseMLP):
    """scikit-learn's multilayer perceptron for labels, trained by compiled code: the same numbers, many times sooner.

    Two classes have one logistic output, more a softmax, and columns of labels 0 and 1 a logistic output each. The
    parameters up to `max_fun` and their defaults are those of `sklearn.neural_network.MLPClassifier`, which explains
    them at length; those after it change nothing by default.

    Parameters
    ----------
    <parameters>
    class_weight : dict, list of dicts, "balanced" or None
        Factors of the samples' weights by their class; "balanced" makes them inverse to the classes' shares.
    <extras>

    Attributes
    ----------
    classes_ : (k,) array
    <attributes>
    out_activation_ : {"softmax", "logistic"}

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> import fastmlp
    >>> X, y = load_iris(return_X_y=True)
    >>> model = fastmlp.MLPClassifier(max_iter=500, random_state=0, tol=1e-3).fit(X, y)
    >>> model.score(X, y) > 0.95
    True
    """

    _parameter_constraints = CONSTRAINTS | {"class_weight": [dict, list, StrOptions({"balanced"}), None]}
    loss = "log_loss"
    classes_: NDArray[Any]
    _is_numeric = False

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool | int = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        class_weight: Any = None,
        init: str | float | None = None,
        dropout: Any = 0.0,
        validation_metric: Any = None,
        num_threads: int | None = None,
        backend: str = "jit",
        callbacks: Any = (),
    ) -> None:
        keep_parameters(self, locals())

    @property
    def _loss(self) -> str:
        return OUTPUT_LOSSES[self.out_activation_]

    def _learn(self, targets: NDArray[Any]) -> None:
        self.classes_, self.out_activation_, self.n_outputs_ = learn_labels(targets)

    def _check_again(self, targets: NDArray[Any]) -> None:
        check_warm_start(targets, self.classes_)

    def _encode(self, targets: NDArray[Any]) -> NDArray[Any]:
        return encode(targets, self.classes_, self.out_activation_, self.n_outputs_)

    def _weigh(self, weights: NDArray[np.float64] | None, targets: NDArray[Any]) -> NDArray[np.float64] | None:
        if self.class_weight is None:
            return weights
        factors = compute_sample_weight(self.class_weight, targets)
        return check_sample_weight(factors if weights is None else weights * factors, len(factors))

    @available_if(is_stochastic)
    def partial_fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        classes: ArrayLike | None = None,
        *,
        num_epochs: int = 1,
    ) -> Self:
        """Go on training for one epoch or more, with the optimizer as it is; not for solver "lbfgs".

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`. `callbacks` are not called.
        classes : (k,) array, optional
            All labels, some of which y may lack. The first call needs them, if there was no `fit`.
        num_epochs : int

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            If an argument is unfit, y has a label that is not in `classes_`, or the training diverged.
        """
        self._begin_partial_fit()
        if isinstance(self.class_weight, str):
            raise ValueError(
                "class_weight 'balanced' is not supported for partial_fit, which sees a part of the samples; pass the "
                "weights as a dict, which sklearn.utils.class_weight.compute_class_weight gives"
            )
        if not hasattr(self, "classes_"):
            if classes is None:
                raise ValueError("classes must be passed on the first call to partial_fit.")
            self.classes_, self.out_activation_, self.n_outputs_ = learn_first_classes(y, classes)
        elif classes is not None:
            check_same_classes(classes, self.classes_)
        return self._go_on(X, y, sample_weight, num_epochs)

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return the labels (n,) of X (n, d), or rows of labels 0 and 1 (n, k)."""
        Z = self._read_logits(X)
        return self._coding.decode(Z)

    def predict_proba(self, X: ArrayLike) -> NDArray[Any]:
        """Return the probabilities (n, k) of X's classes in the order of `classes_`, or of its columns of labels."""
        Z = self._read_logits(X)
        return self._coding.probabilities(Z)

    def predict_log_proba(self, X: ArrayLike) -> NDArray[Any]:
        """Return the logarithms of `predict_proba`."""
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
