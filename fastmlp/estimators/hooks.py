"""scikit-learn's own callbacks, since its version 1.9, as one of this package's: every epoch is a task."""

from typing import Any

from numpy.typing import NDArray

from fastmlp.conversion import as_attributes
from fastmlp.history import History
from fastmlp.network import MLP
from fastmlp.reference.parameters import layer_views

try:
    from sklearn.callback import CallbackSupportMixin
except ImportError:  # an older scikit-learn has no callbacks

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """An estimator that takes none."""


class Tasks:
    """The tasks of a fit, which begin and end with epochs or iterations.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
    **told
        X, y and metadata, as hooks are told them.
    """

    def __init__(self, estimator: Any, **told: Any) -> None:
        self._estimator = estimator
        self._told = {"estimator": estimator, **told}
        self._fit: Any = None
        self._task: Any = None
        if hasattr(estimator, "set_callbacks"):
            self._fit = estimator._init_callback_context(max_subtasks=estimator.max_iter)
            self._fit.call_on_fit_task_begin(**self._told)
            self._left = estimator.max_iter
            self._begin_task()

    def _begin_task(self) -> None:
        self._task = self._fit.subcontext(task_name="epoch") if self._left else None
        if self._task is not None:
            self._task.call_on_fit_task_begin(**self._told)

    def __call__(self, model: MLP, history: History) -> bool:
        return self.end_task(model.params)

    def end_task(self, params: NDArray[Any]) -> bool:
        """End the task of an epoch that led to this flat vector, begin the next, and return whether to stop."""
        if self._task is None:
            return False
        widths = self._estimator._widths
        stops = self._task.call_on_fit_task_end(
            **self._told, reconstruction_attributes=lambda: as_attributes(layer_views(params.copy(), widths))
        )
        self._left -= 1
        self._begin_task()
        return bool(stops)

    def end(self) -> None:
        """End the fit, and the task that was begun for an epoch that never came."""
        if self._task is not None:
            self._task.call_on_fit_task_end(estimator=self._estimator)
        if self._fit is not None:
            self._fit.call_on_fit_task_end(**self._told, reconstruction_attributes={})
