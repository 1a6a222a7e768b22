"""`MLPRegressor`: numbers in, numbers out."""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import RegressorMixin
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.metaestimators import available_if

from fastmlp.estimators.base import BaseMLP, is_stochastic
from fastmlp.estimators.parameters import CONSTRAINTS, documented, keep_parameters

LOSSES = {"squared_error": "half_squared_error", "poisson": "poisson", "huber": "huber"}
"""What each loss is called in this package."""


@documented
class MLPRegressor(RegressorMixin, BaseMLP):
    """scikit-learn's multilayer perceptron for numbers, trained by compiled code: the same numbers, many times sooner.

    The parameters up to `max_fun` and their defaults are those of `sklearn.neural_network.MLPRegressor`, which explains
    them at length; those after it change nothing by default. Targets are taken as they come; `fastmlp.train`
    standardises them.

    Of k > 1 outputs, "sgd" and "adam" follow scikit-learn: each step goes along k times the gradient of the loss, the
    penalty apart. "lbfgs" takes the gradient itself.

    Parameters
    ----------
    loss : {"squared_error", "poisson", "huber"}
        Half the mean squared error; half the Poisson deviance, of targets of at least 0, the network's output being the
        logarithm of the mean; or half the squared error up to errors of 1, growing as the error beyond.
    <parameters>
    <extras>

    Attributes
    ----------
    <attributes>
    out_activation_ : {"identity", "exp"}

    Examples
    --------
    >>> from sklearn.datasets import make_regression
    >>> import fastmlp
    >>> X, y = make_regression(n_samples=200, n_features=20, random_state=1)
    >>> model = fastmlp.MLPRegressor(max_iter=2000, tol=0.1, random_state=1).fit(X, y)
    >>> model.score(X, y) > 0.95
    True
    """

    _parameter_constraints = CONSTRAINTS | {"loss": [StrOptions(set(LOSSES))]}
    _is_numeric = True

    def __init__(
        self,
        loss: str = "squared_error",
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
        return LOSSES[self.loss]

    def _learn(self, targets: NDArray[Any]) -> None:
        self.out_activation_ = "exp" if self.loss == "poisson" else "identity"
        self.n_outputs_ = targets.shape[1] if targets.ndim == 2 else 1

    def _encode(self, targets: NDArray[Any]) -> NDArray[Any]:
        return self._coding.encode(targets)

    @available_if(is_stochastic)
    def partial_fit(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None, *, num_epochs: int = 1
    ) -> Self:
        """Go on training for one epoch or more, with the optimizer as it is; not for solver "lbfgs".

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`. `callbacks` are not called.
        num_epochs : int

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            If an argument is unfit, or the training diverged.
        """
        self._begin_partial_fit()
        return self._go_on(X, y, sample_weight, num_epochs)

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return the numbers (n,) or (n, k) that belong to X (n, d), in the dtype of the weights."""
        Z = self._read_logits(X)
        with np.errstate(over="ignore"):
            return self._coding.decode(Z)
