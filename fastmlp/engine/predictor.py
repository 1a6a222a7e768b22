"""Predictions: the schedule that ends with the outputs."""

import os
import threading
from typing import Any

import numpy as np

from fastmlp.engine.arena import Array
from fastmlp.engine.features import Split, raw_type, read_entries, read_rows, readable, split_features
from fastmlp.engine.plan import make_plan
from fastmlp.engine.processor import usable_cores
from fastmlp.engine.tables import S
from fastmlp.engine.workspace import Workspace
from fastmlp.normalization import Normalization
from fastmlp.problem import Architecture, Reading
from fastmlp.validation import Features

ROWS_PER_THREAD = 256


class Predictor:
    """Turns features into logits for any parameters of one architecture.

    Any number of threads may use it: one predicts at a time.

    Parameters
    ----------
    architecture : Architecture
    normalization : Normalization
    reading : Reading
        What the training data were like.
    dtype : numpy dtype
    """

    def __init__(
        self, architecture: Architecture, normalization: Normalization, reading: Reading, dtype: np.dtype[Any]
    ) -> None:
        self.reading = reading
        self._architecture = architecture
        self._split = split_features(reading.base, normalization, architecture.widths[0])
        self._dtype = dtype
        self._memory = _Memory()

    def reads(self, X: Features) -> bool:
        """Whether X (a checked feature matrix) is of the same container as the training data: an array, or CSR."""
        return isinstance(X, np.ndarray) != self.reading.is_sparse

    def logits(self, params: Array, X: Features) -> Array:
        """Return the logits (n, k) of X (n, d); the flat vector `params` must never change."""
        memory = self._memory
        if memory.process != os.getpid():
            # After a fork, the lock may be held by a thread of the parent, in the middle of a prediction.
            memory = self._memory = _Memory()
        scores = np.empty((X.shape[0], self._architecture.widths[-1]), self._dtype)
        with memory.lock:
            self._reader(memory.readers, X).predict(params, X, scores)
        return scores

    def _reader(self, readers: "dict[np.dtype[Any], _Reader]", X: Features) -> "_Reader":
        """Return the reader of X: of the training data's type if that loses no digits, else of X's own type."""
        trained = np.dtype(self.reading.raw)
        values = X if isinstance(X, np.ndarray) else X.data
        raw = trained if np.can_cast(X.dtype, trained) else raw_type(values, self._dtype)
        if raw not in readers:
            readers[raw] = _Reader(self._architecture, self._split, self.reading.form, raw, self._dtype)
        return readers[raw]


class _Memory:
    """What predictions write to, in one process."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self.lock = threading.Lock()
        self.readers: dict[np.dtype[Any], _Reader] = {}


class _Reader:
    """Predictions from features of one type, and their memory."""

    def __init__(
        self, architecture: Architecture, split: Split, form: str, raw: np.dtype[Any], dtype: np.dtype[Any]
    ) -> None:
        self._plan = make_plan(architecture, form, raw.name, dtype)
        self._widths = architecture.widths
        self._split = split
        self._raw = raw
        self._dtype = dtype
        self._workspaces: dict[tuple[int, int], Workspace] = {}
        self._loaded: dict[tuple[int, int], Array] = {}
        self._few: tuple[Array, Array] | None = None

    def predict(self, params: Array, X: Features, scores: Array) -> None:
        """Write the logits of X to scores (n, k)."""
        if X.shape[0] <= S and isinstance(X, np.ndarray):
            self._predict_few(params, X, scores)
        else:
            self._predict_many(params, X, scores)

    def _predict_few(self, params: Array, X: Array, scores: Array) -> None:
        """Predict on the caller's thread, from a copy of the rows in whole words."""
        workspace = self._workspace(params, threads=1, batch=S)
        if self._few is None:
            d = self._widths[0]
            rows, order = np.zeros((S, -(-d // 64) * 64), self._raw), np.arange(S)
            workspace.set(X=rows, stride=rows.strides[0], raw_bytes=0, safe=S, tail=rows, order=order)
            self._few = rows, order
        self._few[0][: len(X), : X.shape[1]] = X
        workspace.set(scores=scores)
        workspace.run(len(X))

    def _predict_many(self, params: Array, X: Features, scores: Array) -> None:
        n = X.shape[0]
        threads = max(1, min(usable_cores(), n // ROWS_PER_THREAD))
        workspace = self._workspace(params, threads, batch=4 * S * threads)
        X, order = X.astype(self._raw, copy=False), np.arange(n)
        data = read_rows(readable(X, self._dtype)) if isinstance(X, np.ndarray) else read_entries(X, self._dtype)
        workspace.set_data(data)
        workspace.set(order=order, scores=scores)
        workspace.run(n)
        workspace.forget()  # or the features would live on with the network

    def _workspace(self, params: Array, threads: int, batch: int) -> Workspace:
        key = threads, batch
        if key not in self._workspaces:
            self._workspaces[key] = Workspace(self._plan, self._widths, self._split, batch, threads)
        workspace = self._workspaces[key]
        if self._loaded.get(key) is not params:
            self._loaded.pop(key, None)  # an interrupted load leaves a mixture
            workspace.load(params)
            self._loaded[key] = params
        return workspace
