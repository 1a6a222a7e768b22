"""The trained network: parameters, predictions, scores, saving and loading."""

import os
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastmlp.backends import make_objective
from fastmlp.history import History
from fastmlp.inference import Inference
from fastmlp.problem import Optimizer, Problem
from fastmlp.reference.parameters import Layers, layer_views
from fastmlp.saving import Parts, read_network, write_network
from fastmlp.scoring import loss_of, score_of
from fastmlp.table_encoder import TableEncoder
from fastmlp.targets import Coding
from fastmlp.validation import Features, check_features, check_sample_weight, check_targets

if TYPE_CHECKING:
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.utils import Tags


class MLP:
    """A multilayer perceptron with fixed parameters, as `fastmlp.train` returns it.

    It is a fitted estimator to scikit-learn: to scorers, `permutation_importance`, displays, and within a
    `sklearn.frozen.FrozenEstimator` to whatever would fit it.

    Attributes
    ----------
    params : (size,) array, read-only
        W1, b1, W2, b2, ... in one vector of the training's dtype.
    layers : list of (W, b)
        Views of `params`; W is (in, out), b is (out,). They map normalised features to logits, of a regression to
        standardised targets unless it was trained with ``normalize_targets=False``.
    widths : tuple of int
        (d, h1, ..., k).
    classes_ : (k,) array
        The class labels, sorted; of multilabel targets the numbers of their columns. A regression has none.
    n_features_in_ : int
        d.
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
        inference: Inference,
        coding: Coding,
        history: History,
        *,
        feature_names: ArrayLike | None = None,
        table: TableEncoder | None = None,
    ) -> None:
        self.params = _frozen(params)
        self.history = history
        self._inference = inference
        self._coding = coding
        self.feature_names_in_ = None if feature_names is None else np.array(feature_names, object)
        self.table = table

    @property
    def widths(self) -> tuple[int, ...]:
        return self._inference.architecture.widths

    @property
    def layers(self) -> Layers:
        return layer_views(self.params, self.widths)

    @property
    def n_features_in_(self) -> int:
        return self.widths[0]

    @property
    def classes_(self) -> NDArray[Any]:
        if self._coding.is_regression:
            raise AttributeError("classes_ needs a classifier, and this network was trained for regression")
        return np.arange(self.widths[-1]) if self._coding.classes is None else self._coding.classes

    def __repr__(self) -> str:
        return f"MLP({self._inference.architecture}, {self.params.size:,} parameters, {self.params.dtype})"

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
        return self._inference.logits(self.params, self._check(X))

    def _check(self, X: ArrayLike) -> Features:
        return check_features(X, num_features=self.widths[0], feature_names=self.feature_names_in_)

    def activations(self, X: ArrayLike) -> list[NDArray[Any]]:
        """Return what each hidden layer makes of X, [(n, h1), (n, h2), ...]; `X` and errors as in `logits`."""
        return self._inference.activations(self.params, self._check(X))

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

    def predict_log_proba(self, X: ArrayLike) -> NDArray[Any]:
        """Return the logarithms of `predict_proba`, -inf where that is 0."""
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def score(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Return the (weighted) accuracy (every label right, for multilabel targets), or R² for regression.

        `y` in the terms of the training targets, labels or one-hot.
        """
        Z = self.logits(X)
        targets = check_targets(y, len(Z))
        weights = check_sample_weight(sample_weight, len(Z))
        return score_of(self._coding, Z, targets, self._coding.encode(targets), weights)

    def loss(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Return the (weighted) mean of the training loss on other data, for regression in the units of y²."""
        Z = self.logits(X)
        codes = self._coding.encode(check_targets(y, len(Z)))
        return loss_of(self._coding, Z, codes, check_sample_weight(sample_weight, len(Z)))

    def gradients(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Layers:
        """Return the gradients of the (weighted) mean loss on some data, in the form of `layers`.

        They are what training steps along, without a weight decay: the derivatives by the parameters that `layers`
        shows. Where a regression's targets were standardised, the loss is that of the standardised targets, column by
        column, not `loss` in the units of y². A network of the compiled path computes them there.

        Parameters
        ----------
        X, y : arrays
            As in `train`.
        sample_weight : (n,) array, optional
            The loss is then Σ w_i loss_i / Σ w_i.

        Returns
        -------
        list of (W, b)
            Views of one vector of the parameters' dtype; W is (in, out), b is (out,).

        Raises
        ------
        ValueError, TypeError
            If an argument is unfit; the message names it.
        """
        features = self._check(X)
        n = features.shape[0]
        problem = Problem(
            X=features,
            codes=self._coding.encode(check_targets(y, n)),
            sample_weight=check_sample_weight(sample_weight, n),
            normalization=self._inference.normalization,
            architecture=self._inference.architecture,
            optimizer=Optimizer("sgd", lr=1.0),
            batch_size=n,
            dtype=self.params.dtype,
            num_threads=None,
            target_scale=self._coding.scaling.scale,
        )
        objective = make_objective(problem, "reference" if self._inference.reading is None else "jit")
        return layer_views(objective(self.params)[1].astype(self.params.dtype, copy=False), self.widths)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the network to one ``.npz`` file without pickle: parameters, scaling, classes, history and table.

        The file appears whole or not at all: it is written beside `path` first and then renamed. Where `path` is a
        symbolic link, the file it leads to is replaced; an older file's mode is kept.

        Raises
        ------
        OSError
            If the file can't be written.
        """
        write_network(path, self._parts)

    @property
    def _parts(self) -> Parts:
        """What a file keeps of the network."""
        inference = self._inference
        return Parts(
            self.params,
            inference.architecture,
            inference.normalization,
            self._coding,
            self.history,
            inference.reading,
            self.feature_names_in_,
            self.table,
        )

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "MLP":
        """Read a network that `save` or `fastmlp.callbacks.ModelCheckpoint` wrote.

        Nothing in the file is trusted: it takes no more memory than its size, and it is checked whole before it is
        used.

        Raises
        ------
        FileNotFoundError
        ValueError
            If the file is something else, is damaged, or has a newer format.
        """
        return cls._of(read_network(path))

    @classmethod
    def _of(cls, parts: Parts) -> "MLP":
        """Return the network of these parts."""
        inference = Inference(parts.architecture, parts.normalization, parts.reading)
        return cls(
            parts.params, inference, parts.coding, parts.history, feature_names=parts.feature_names, table=parts.table
        )

    def to_sklearn(self) -> "MLPClassifier | MLPRegressor":
        """Return a fitted estimator of scikit-learn with the same predictions, to rounding.

        The scaling of features and targets becomes a part of its first and last layer, and a softmax of two classes
        one logistic output. Its X is what `predict` takes; `partial_fit` goes on with a new optimizer. Targets of one
        column are predicted as (n,).

        Returns
        -------
        sklearn.neural_network.MLPClassifier or MLPRegressor
            Its weights are float64 where a scaling became a part of them, else of the dtype of `params`.

        Raises
        ------
        ValueError
            If scikit-learn has no such network: its hidden layers have one activation, which is identity, logistic,
            tanh or relu.
        """
        from fastmlp.conversion import to_sklearn

        return to_sklearn(self._parts)

    @classmethod
    def from_sklearn(cls, estimator: Any) -> "MLP":
        """Return the network of a fitted `MLPClassifier` or `MLPRegressor`, with the same predictions to rounding.

        Its loss is the estimator's, without the penalty.

        Parameters
        ----------
        estimator : sklearn.neural_network.MLPClassifier or MLPRegressor
            Or this package's own.

        Raises
        ------
        sklearn.exceptions.NotFittedError
        TypeError
            If it is something else.
        ValueError
            If it knows one class only, or its weights are not finite.
        """
        from fastmlp.conversion import from_sklearn

        return cls._of(from_sklearn(estimator))

    def fit(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raise a TypeError: the parameters are fixed. scikit-learn asks every estimator for this method."""
        raise TypeError(
            "a trained MLP can't be fitted again: fastmlp.train makes a new one, and "
            "sklearn.frozen.FrozenEstimator(model) keeps this one where scikit-learn would fit it"
        )

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> "Tags":
        from sklearn.utils import ClassifierTags, InputTags, RegressorTags, Tags, TargetTags

        is_regression = self._coding.is_regression
        return Tags(
            estimator_type="regressor" if is_regression else "classifier",
            target_tags=TargetTags(required=True),
            transformer_tags=None,
            classifier_tags=None if is_regression else ClassifierTags(multi_label=self._coding.classes is None),
            regressor_tags=RegressorTags() if is_regression else None,
            input_tags=InputTags(sparse=True),
        )

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.params = _frozen(self.params)


def _frozen(params: NDArray[Any]) -> NDArray[Any]:
    view = params.view()
    view.flags.writeable = False
    return view
