"""What both estimators have in common: how they are fitted, their weights, and the outputs these lead to."""

from numbers import Integral
from typing import Any, Self

import numpy as np
from numpy.random import RandomState
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, _fit_context
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from fastmlp.callbacks import check_callbacks
from fastmlp.checks import check_dropout, check_integer, check_pair
from fastmlp.conversion import as_attributes, check_weights, coding_of, layers_of
from fastmlp.estimators.conversion import make_from_sklearn, make_sklearn
from fastmlp.estimators.hooks import CallbackSupportMixin, Tasks
from fastmlp.estimators.lbfgs import fit_at_once
from fastmlp.estimators.learner import Learner
from fastmlp.estimators.outputs import Outputs
from fastmlp.estimators.parameters import CONSTRAINTS, STOCHASTIC, read_activation, read_widths
from fastmlp.estimators.randomness import draw_weights
from fastmlp.estimators.reading import read_features, read_pair, read_weights
from fastmlp.estimators.stochastic import fit_epochs, go_on
from fastmlp.normalization import IDENTITY
from fastmlp.problem import Architecture, Optimizer, Problem, Samples
from fastmlp.reference.dropout import layer_rates
from fastmlp.reference.parameters import flatten, layer_views
from fastmlp.targets import Coding
from fastmlp.validation import Features


def is_stochastic(estimator: Any) -> bool:
    """Return whether an estimator's solver allows `partial_fit`, or raise an AttributeError that says it doesn't."""
    if estimator.solver not in STOCHASTIC:
        raise AttributeError(
            f"partial_fit is only available for stochastic optimizers. {estimator.solver} is not stochastic."
        )
    return True


class BaseMLP(CallbackSupportMixin, BaseEstimator):
    """Both estimators, but for what they make of y and of the outputs.

    The fitted attributes are scikit-learn's. `coefs_` and `intercepts_` are what is trained and what predicts, whoever
    wrote them.
    """

    _parameter_constraints = CONSTRAINTS
    coefs_: list[NDArray[Any]]
    intercepts_: list[NDArray[Any]]
    n_outputs_: int
    out_activation_: str
    _is_numeric: bool
    """Whether y has to be numbers."""
    _optimizer: Learner
    _outputs: Outputs

    @property
    def _loss(self) -> str:
        """The loss by this package's name."""
        raise NotImplementedError

    @property
    def _coding(self) -> Coding:
        """The relation of y to the outputs, by the fitted attributes."""
        return coding_of(self, self._loss)

    def _learn(self, targets: Any) -> None:
        """Learn what is asked for from checked y: `n_outputs_`, `out_activation_` and what else belongs to it."""
        raise NotImplementedError

    def _check_again(self, targets: Any) -> None:
        """Raise if a fit that starts from weights can't have this y."""

    def _encode(self, targets: Any) -> NDArray[Any]:
        """Return the codes of checked y, or raise if the estimator has learned something else."""
        raise NotImplementedError

    def _weigh(self, weights: NDArray[np.float64] | None, targets: Any) -> NDArray[np.float64] | None:
        """Return the weights of samples with this y."""
        return weights

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        validation_data: tuple[ArrayLike, ArrayLike] | None = None,
    ) -> Self:
        """Train on X and y, from new weights or, with ``warm_start=True``, from those of the fit before.

        Ctrl-C ends a training by epochs with a warning, with the weights of the last whole one.

        Parameters
        ----------
        X : (n, d) array, data frame, CSR or CSC matrix
            float32 and float64 are kept, and are the dtype of the weights; others become float64.
        y : (n,) or (n, k) array
            Labels of any type, or rows of labels 0 and 1; for a regressor numbers.
        sample_weight : (n,) array, optional
            None negative, not all 0.
        validation_data : (X, y), optional
            Judged after every epoch: `validation_loss_curve_`, without the penalty, and `validation_scores_`. With
            ``early_stopping=True`` they are used in place of samples that are held out. Not for solver "lbfgs".

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            If an argument is unfit, or the training diverged.

        Warns
        -----
        ConvergenceWarning
            If `max_iter` epochs or iterations were not enough.
        """
        self._check_combinations(validation_data)
        is_new = not (self.warm_start and hasattr(self, "coefs_"))
        features, targets = read_pair(self, X, y, numeric=self._is_numeric, reset=is_new)
        if is_new:
            self._learn(targets)
        else:
            self._check_again(targets)
        samples = self._samples(features, targets, sample_weight)
        others = None if validation_data is None else self._read_others(validation_data)
        random_state = check_random_state(self.random_state)
        if is_new:
            self._initialize(samples, random_state)
        else:
            self._check_weights(features)
        metadata = None if sample_weight is None else {"sample_weight": sample_weight}
        tasks = Tasks(self, X=X, y=y, metadata=metadata)
        if self.solver == "lbfgs":
            fit_at_once(self, samples, tasks.end_task)
        else:
            fit_epochs(self, samples, others, random_state, tasks, is_new)
        tasks.end()
        return self

    def _check_combinations(self, validation_data: Any = None) -> None:
        """Raise if parameters don't go together."""
        depth = len(read_widths(self.hidden_layer_sizes))
        read_activation(self.activation, depth)
        if self.solver == "lbfgs" and layer_rates(check_dropout("dropout", self.dropout, depth), depth):
            raise ValueError(f"dropout must be 0 with solver='lbfgs', of which no step drops units, got {self.dropout}")
        for name, value in {"callbacks": check_callbacks(self.callbacks), "validation_data": validation_data}.items():
            if self.solver == "lbfgs" and value:
                raise ValueError(f"{name} need a solver with epochs, 'sgd' or 'adam', got solver='lbfgs'")

    def _begin_partial_fit(self) -> None:
        """Check the parameters once, and what they forbid."""
        if not hasattr(self, "coefs_"):
            self._validate_params()
            self._check_combinations()
        if self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True")

    def _go_on(self, X: Any, y: Any, sample_weight: Any, num_epochs: int) -> Self:
        """Train for some epochs more, or the first ones."""
        num_epochs = check_integer("num_epochs", num_epochs)
        is_new = not hasattr(self, "coefs_")
        features, targets = read_pair(self, X, y, numeric=self._is_numeric, reset=is_new)
        if not hasattr(self, "n_outputs_"):
            self._learn(targets)
        samples = self._samples(features, targets, sample_weight)
        random_state = self.random_state
        if is_new or not isinstance(random_state, Integral):
            random_state = check_random_state(random_state)
        if is_new:
            self._initialize(samples, random_state)
        else:
            self._check_weights(features)
        go_on(self, samples, num_epochs, random_state, is_new)
        return self

    def _samples(self, features: Features, targets: Any, sample_weight: Any) -> Samples:
        weights = self._weigh(read_weights(sample_weight, features), targets)
        return Samples(features, targets, self._encode(targets), weights)

    def _read_others(self, validation_data: Any) -> Samples:
        X, y = check_pair("validation_data", validation_data)
        features, targets = read_pair(self, X, y, numeric=self._is_numeric, reset=False)
        return Samples(features, targets, self._encode(targets), None)

    def _initialize(self, samples: Samples, random_state: RandomState) -> None:
        """Begin with new weights."""
        hidden = read_widths(self.hidden_layer_sizes)
        widths = (samples.X.shape[1], *hidden, self.n_outputs_)
        params = draw_weights(widths, self.init, read_activation(self.activation, len(hidden)), random_state)
        self.n_layers_ = len(widths)
        self.n_iter_ = self.t_ = 0
        self._take(params.astype(samples.X.dtype), widths)

    def _check_weights(self, X: Features) -> None:
        """Raise unless the weights, whoever wrote them, are those of a network for checked features."""
        check_weights(self, X.shape[1], self._coding.outputs)

    @property
    def _widths(self) -> tuple[int, ...]:
        return self.coefs_[0].shape[0], *(W.shape[1] for W in self.coefs_)

    @property
    def _architecture(self) -> Architecture:
        widths = self._widths
        return Architecture(widths, read_activation(self.activation, len(widths) - 2), self._loss)

    @property
    def _dtype(self) -> np.dtype[Any]:
        """The type of the arithmetic: float32 if all weights are."""
        arrays = *self.coefs_, *self.intercepts_
        return np.dtype(np.float32 if all(array.dtype == np.float32 for array in arrays) else np.float64)

    @property
    def _params(self) -> NDArray[Any]:
        """A copy of the weights as a flat vector."""
        return flatten(layers_of(self))

    def _pose(self, samples: Samples, optimizer: Optimizer, batch_size: int) -> Problem:
        """Return a problem as scikit-learn has it: features as they come, and the penalty a part of the loss."""
        architecture = self._architecture
        depth = len(architecture.widths) - 2
        return Problem(
            X=samples.X,
            codes=samples.codes,
            sample_weight=samples.sample_weight,
            normalization=IDENTITY,
            architecture=architecture,
            optimizer=optimizer,
            batch_size=batch_size,
            dtype=self._dtype,
            num_threads=self.num_threads,
            is_penalized=True,
            dropout=layer_rates(check_dropout("dropout", self.dropout, depth), depth),
        )

    def _take(self, params: NDArray[Any], widths: tuple[int, ...] | None = None) -> None:
        """Go on with the weights of a flat vector that nobody else writes to; `widths` are by default those before."""
        self.__dict__.update(as_attributes(layer_views(params, widths or self._widths)))

    def _use(self, architecture: Architecture, dtype: np.dtype[Any], predictor: Any = None) -> None:
        """Prepare for outputs of such a network, unless it has been done; a trainer's predictor helps."""
        terms = architecture, dtype, self.backend
        if not hasattr(self, "_outputs") or self._outputs.terms != terms:
            self._outputs = Outputs(*terms, predictor)

    def _logits(self, X: Features) -> NDArray[Any]:
        """Return the logits (n, k) of checked features."""
        self._check_weights(X)
        self._use(self._architecture, self._dtype)
        return self._outputs(layers_of(self), X)

    def _read_logits(self, X: ArrayLike) -> NDArray[Any]:
        """Return the logits (n, k) of what a user passed."""
        if not hasattr(self, "coefs_"):
            check_is_fitted(self)
        return self._logits(read_features(self, X))

    def to_sklearn(self) -> Any:
        """Return a fitted estimator of `sklearn.neural_network` with the same weights and attributes.

        Its predictions are equal to rounding, its `partial_fit` goes on with the same optimizer, and pickles of it need
        no fastmlp. What scikit-learn lacks is left behind.

        Raises
        ------
        ValueError
            If scikit-learn lacks an activation or the loss.
        NotFittedError
        """
        check_is_fitted(self)
        check_weights(self, self.n_features_in_, self._coding.outputs)
        return make_sklearn(self)

    @classmethod
    def from_sklearn(cls, estimator: Any) -> Self:
        """Return an estimator with the parameters and all that a fitted one of `sklearn.neural_network` has learned.

        Raises
        ------
        TypeError
            If it is something else.
        NotFittedError
        """
        return make_from_sklearn(cls, estimator)

    def __getstate__(self) -> dict[str, Any]:
        """Everything but compiled code and its memory."""
        state = dict(super().__getstate__())
        state.pop("_outputs", None)
        return state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
