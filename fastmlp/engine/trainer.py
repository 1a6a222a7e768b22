"""The compiled trainer: packs a problem into panels, runs its program on a team of threads, unpacks the parameters."""

import time
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import pairwise

import numpy as np
from numba import types

from fastmlp.engine.arena import Arena
from fastmlp.engine.features import readable, split_features
from fastmlp.engine.loader import Program
from fastmlp.engine.optimizers import BETA1, BETA2
from fastmlp.engine.plan import S, pack_biases, pack_weights, panel_widths, plan_layers, unpack_weights
from fastmlp.engine.processor import usable_cores
from fastmlp.engine.program import CHUNK, Spec, make_program, tables
from fastmlp.reference.backpropagation import row_shares
from fastmlp.reference.parameters import flatten, layer_views

KINDS = {"float32": "f32", "float64": "f64", "uint8": "u8"}
MADDS_PER_THREAD = 1 << 20
BLOCK_BYTES = 32 << 10
"""Of first-layer weights that a block of features may take, to stay in L1 with what is added to them."""
STATES = {"sgd": 0, "momentum": 1, "nesterov": 1, "adam": 2}


class Engine:
    """A trainer whose epochs are one compiled call on each thread.

    Parameters
    ----------
    problem : Problem
    params : (size,) array
        Where to start; copied.
    """

    def __init__(self, problem, params):
        self._problem = problem
        self._widths = problem.architecture.widths
        kind = KINDS[problem.dtype.name]
        self._X = readable(problem.X, problem.dtype)
        self._features = features = split_features(self._X, problem.normalization, problem.dtype)
        row, out = panel_widths(self._widths, kind)
        self._plans = plan_layers(self._widths, row, out)
        self._spec = Spec(
            kind,
            KINDS[self._X.dtype.name],
            features.sparse,
            row,
            out,
            problem.architecture.activation,
            problem.architecture.loss,
            problem.optimizer.name,
        )
        self._threads = problem.num_threads or self._default_threads()
        self._steps = 0
        self._arena = Arena()
        self._build()
        self._load(np.asarray(params))
        started = time.perf_counter()
        self._program = compile_program(self._spec)
        self.compile_seconds = time.perf_counter() - started
        self._pool = ThreadPoolExecutor(self._threads)

    @property
    def description(self):
        features = self._features
        form = f"{features.density:.0%} non-zero, sparse first layer" if features.sparse else "dense first layer"
        if features.sparse and np.any(features.shift):
            form += " plus rank one"
        return f"compiled path, {form}, {self._threads} thread{'s' if self._threads > 1 else ''}"

    def _default_threads(self):
        widths = self._widths
        madds = [m * p for m, p in pairwise(widths)]
        if self._features.sparse:
            madds[0] = int(madds[0] * self._features.density)
        work = 3 * sum(madds) * min(self._problem.batch_size, len(self._X))
        return max(1, min(usable_cores(), work // MADDS_PER_THREAD))

    def _build(self):
        """Allocate every array and write the tables that point to them."""
        problem, features, spec, zeros = self._problem, self._features, self._spec, self._arena.zeros
        dtype, int64 = problem.dtype, np.int64
        n, d = self._X.shape
        batch = min(problem.batch_size, n)
        T, words = -(-batch // S), -(-d // 64)
        plans, threads = self._plans, self._threads
        run_type, hidden_type, last_type = (t.t for t in tables(spec))
        row, widest = spec.row, max(spec.row, spec.out)

        # parameters and their optimizer states, all copies in the same layout
        sizes = [((p.panels, p.in_rows, p.lanes), (p.panels, p.lanes)) for p in plans]
        count = sum(int(np.prod(shape)) for pair in sizes for shape in pair)
        count = -(-count // widest) * widest
        self._flat = zeros((1 + STATES[spec.optimizer], count), dtype)
        self._weights, start = [], 0
        for pair in sizes:
            views = []
            for shape in pair:
                size = int(np.prod(shape))
                views.append(self._flat[0, start : start + size].reshape(shape))
                start += size
            self._weights.append(views)

        self._layers, self._scratch = [], []
        for l, (plan, (W, b)) in enumerate(zip(plans, self._weights, strict=True)):
            P, R = plan.panels, plan.lanes
            arrays = {
                "W": W,
                "b": b,
                "WT": zeros((plan.in_panels, P * R, plan.in_lanes) if l else (0,), dtype),
                "A": zeros((P, T, S, R), dtype),
                "D": zeros((P, T, S, R), dtype),
                "M": zeros((P, T, S), int64),
                "C": zeros((P, T, 64), int64),
            }
            self._scratch += [arrays["A"], arrays["D"], arrays["C"]]
            if l == len(plans) - 1:
                for p in range(P):
                    arrays["M"][p] = _low_bits(min(R, plan.units - p * R))
            else:
                self._scratch.append(arrays["M"])
            numbers = {
                "units": plan.units,
                "panels": P,
                "in_units": plan.in_units,
                "in_panels": plan.in_panels,
                "in_rows": plan.in_rows,
                "state": count // R,
            }
            self._layers.append((numbers, arrays))
        hidden = len(plans) - 1
        self._layer_tables = np.array(
            [_table(hidden_type, numbers, arrays) for numbers, arrays in self._layers[: max(hidden, 1)]]
        )
        self._last_table = _table(last_type, *self._layers[-1])

        def padded(values):
            array = zeros(words * 64 + 64, dtype)
            array[:d] = values
            return array

        in_panels = plans[0].in_panels
        block = max(1, BLOCK_BYTES // (64 * row * dtype.itemsize))
        feature_masks = zeros((in_panels, S), int64)
        for q in range(in_panels):
            feature_masks[q] = _low_bits(min(row, d - q * row))
        sparse = features.sparse
        self._share = np.zeros(n)
        self._batch_loss = np.zeros(-(-n // batch))
        shared_numbers = {
            "n": n,
            "batch": batch,
            "d": d,
            "tiles": T,
            "words": words,
            "block": block,
            "hidden": hidden,
            "learn": 1,
            "lazy": int(spec.optimizer == "sgd" and not problem.optimizer.weight_decay and not np.any(features.shift)),
            "X": self._X.ctypes.data,
            "stride": self._X.strides[0],
            "safe": features.safe,
            "tail": features.tail.ctypes.data,
            "threads": threads,
            "lr": problem.optimizer.lr,
            "momentum": problem.optimizer.momentum,
            "decay": problem.optimizer.weight_decay,
            "layers": self._layer_tables.ctypes.data,
            "last": self._last_table.ctypes.data,
        }
        self._shared = {
            "share": self._share,
            "batch_loss": self._batch_loss,
            "base": padded(features.base),
            "scale": padded(features.scale),
            "shift": padded(features.shift),
            "h": zeros((plans[0].panels, row), dtype),
            "zero": zeros(widest, dtype),
            "address": zeros((2, T * S), int64),
            "code": zeros((2, T * S), int64),
            "mask": zeros((2, T, words * 64) if sparse else 0, int64),
            "nonzero": zeros((T, words, 64) if sparse else 0, int64),
            "panels": zeros(0 if sparse else (2, in_panels, T, S, row), dtype),
            "index": zeros((T * S, words * 64) if sparse else 0, np.uint16),
            "value": zeros((T * S, words * 64) if sparse else 0, dtype),
            "cut": zeros((T * S, -(-words // block) + 1) if sparse else 0, np.int32),
            "loss": zeros(T * S, np.float64),
            "arrived": zeros(1, int64),
            "stop": zeros(2, int64),
            "features": feature_masks,
        }
        codes = problem.codes
        if codes.ndim == 1:
            self._shared["labels"] = self._codes = np.ascontiguousarray(codes, int64)
        else:
            self._codes = np.ascontiguousarray(codes, dtype)
            shared_numbers |= {"targets": self._codes.ctypes.data, "targets_stride": self._codes.strides[0]}
        self._tables, self._own = [], []
        for thread in range(threads):
            own = {
                "valid": zeros((T, 64), int64),
                "G": zeros((CHUNK * widest), dtype),
                "scratch": zeros(64, dtype),
            }
            self._own.append(own)
            self._tables.append(_table(run_type, shared_numbers | {"thread": thread}, self._shared | own))
        self._slots = {name: i for i, name in enumerate(run_type.fields)}

    def _load(self, params):
        """Pack a flat parameter vector."""
        layers = layer_views(params.astype(self._problem.dtype), self._widths)
        for (W, b), plan, (packed, biases), (_, arrays) in zip(
            layers, self._plans, self._weights, self._layers, strict=True
        ):
            packed[...] = pack_weights(W, plan)
            biases[...] = pack_biases(b, plan)
            if arrays["WT"].size:
                P, rows, R = packed.shape
                arrays["WT"][...] = (
                    packed.reshape(P, plan.in_panels, plan.in_lanes, R)
                    .transpose(1, 0, 3, 2)
                    .reshape(plan.in_panels, P * R, plan.in_lanes)
                )
        W, b = layers[0]
        h = b + self._features.shift @ W if np.any(self._features.shift) else b
        self._shared["h"][...] = pack_biases(h.astype(self._problem.dtype), self._plans[0])

    @property
    def params(self):
        return flatten(
            (unpack_weights(W, plan), b.ravel()[: plan.units])
            for (W, b), plan in zip(self._weights, self._plans, strict=True)
        )

    def run_epoch(self, order):
        """Train on the rows in this order; see `Trainer`."""
        n, size = len(order), min(self._problem.batch_size, len(order))
        order = np.ascontiguousarray(order, np.int64)
        weights = self._problem.sample_weight
        starts = np.arange(0, n, size)
        if weights is None:
            sizes = np.diff(np.append(starts, n)).astype(np.float64)
            self._share[:n] = np.repeat(1 / sizes, sizes.astype(np.int64))
        else:
            ordered = weights[order]
            sizes = np.add.reduceat(ordered, starts)
            counts = np.diff(np.append(starts, n))
            self._share[:n] = ordered / np.repeat(np.where(sizes == 0, 1, sizes), counts)
        self._set(order=order.ctypes.data, power1=BETA1**self._steps, power2=BETA2**self._steps)
        self._run()
        self._steps += len(starts)
        return float(row_shares(len(starts), sizes) @ self._batch_loss)

    def _set(self, **values):
        for name, value in values.items():
            slot = self._slots[name]
            for table in self._tables:
                if isinstance(value, float):
                    table[slot : slot + 1].view(np.float64)[0] = value
                else:
                    table[slot] = value

    def _run(self):
        """Run the program on all threads. The caller waits in Python, so that Ctrl-C is seen at once."""
        self._shared["arrived"][0] = 0
        self._shared["stop"][:] = 0
        futures = [self._pool.submit(self._program, table.ctypes.data) for table in self._tables]
        try:
            for future in futures:
                future.result()
        except BaseException:
            self._shared["stop"][0] = 1
            wait(futures)
            raise


def _low_bits(n):
    return -1 if n >= 64 else (1 << max(n, 0)) - 1


def _table(struct_type, numbers, arrays):
    """A table of 8-byte slots: integers, floats, and the addresses of arrays."""
    table = np.zeros(len(struct_type.fields), np.int64)
    for i, (name, field) in enumerate(struct_type.fields.items()):
        value = numbers[name] if name in numbers else arrays[name].ctypes.data if name in arrays else 0
        if field == types.float64:
            table[i : i + 1].view(np.float64)[0] = value
        else:
            table[i] = value
    return table


def compile_program(spec):
    """Return the compiled program of a spec, a function of the address of a table."""
    from fastmlp.engine.object_code import compile_object

    return Program(compile_object(make_program(spec)))
