"""Predictions on the training's own kernels."""

import threading

import numpy as np

from fastmlp.engine.features import read_entries, read_rows, readable, split_features
from fastmlp.engine.processor import usable_cores
from fastmlp.engine.programs import find_program
from fastmlp.engine.spec import S, make_spec
from fastmlp.engine.workspace import Workspace

ROWS_PER_THREAD = 256


class Predictor:
    """Turns features into logits for any parameters of one architecture, with the program that trained them.

    Parameters
    ----------
    architecture : Architecture
    normalization : Normalization
    reading : Reading
        How the training data were read; other data are read the same way.
    dtype : numpy dtype
    """

    def __init__(self, architecture, normalization, reading, dtype):
        self.reading = reading
        self._widths = architecture.widths
        self._spec = make_spec(architecture, reading, dtype)
        self._split = split_features(reading.base, normalization, architecture.widths[0])
        self._raw = np.dtype(reading.raw)
        self._dtype = dtype
        self._lock = threading.Lock()
        self._workspaces = {}
        self._program = None
        self._few = None

    def reads(self, X):
        """Whether X (a checked feature matrix) can be read as the training data were, by a cast at most."""
        return isinstance(X, np.ndarray) == (self._spec.form != "csr") and self._raw in (
            X.dtype,
            np.float32,
            np.float64,
        )

    def logits(self, params, X):
        """Return the logits (n, k) of X (n, d) under a flat parameter vector that nobody changes."""
        scores = np.empty((X.shape[0], self._widths[-1]), self._dtype)
        with self._lock:
            if X.shape[0] <= S and isinstance(X, np.ndarray):
                self._predict_few(params, X, scores)
            else:
                self._predict_many(params, X, scores)
        return scores

    def _predict_few(self, params, X, scores):
        """Rows copied to where they can be read in whole words, on the caller's thread."""
        workspace = self._workspace(params, threads=1, batch=S)
        if self._few is None:
            d = self._widths[0]
            self._few = np.zeros((S, -(-d // 64) * 64), self._raw), np.arange(S)
            rows, order = self._few
            workspace.set(X=rows, stride=rows.strides[0], raw_bytes=0, safe=S, tail=rows, order=order)
        self._few[0][: len(X), : X.shape[1]] = X
        workspace.set(learn=0, scores=scores)
        workspace.run(self._program, len(X))

    def _predict_many(self, params, X, scores):
        n = X.shape[0]
        threads = max(1, min(usable_cores(), n // ROWS_PER_THREAD))
        workspace = self._workspace(params, threads, batch=4 * S * threads)
        X, order = X.astype(self._raw, copy=False), np.arange(n)
        data = read_rows(readable(X, self._raw)) if isinstance(X, np.ndarray) else read_entries(X, self._raw)
        workspace.set_data(data)
        workspace.set(learn=0, order=order, scores=scores)
        workspace.run(self._program, n)

    def _workspace(self, params, threads, batch):
        if self._program is None:
            self._program = find_program(self._spec)
        if (threads, batch) not in self._workspaces:
            workspace = Workspace(self._spec, self._widths, self._split, batch, threads)
            self._workspaces[threads, batch] = [workspace, None]
        workspace, loaded = self._workspaces[threads, batch]
        if loaded is not params:
            workspace.load(params)
            self._workspaces[threads, batch][1] = params
        return workspace
