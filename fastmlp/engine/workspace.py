"""The memory of an engine: parameters in panels, scratch, and the tables through which a program sees them."""

import time

import numpy as np

from fastmlp.engine.arena import Arena
from fastmlp.engine.features import Rows
from fastmlp.engine.plan import pack_biases, pack_weights, plan_layers, shards_of_units, unpack_weights
from fastmlp.engine.spec import CHUNK, FEATURE_SHARDS, LAYER, RUN, S, set_before_run, unused
from fastmlp.engine.team import Call, complete
from fastmlp.reference.parameters import flatten, layer_views

DTYPES = {"f32": np.float32, "f64": np.float64}
STATES = {"sgd": 0, "momentum": 1, "nesterov": 1, "adam": 2}
BLOCK_BYTES = 32 << 10
"""First-layer weights that a block of features may take, so as to stay in L1 with what is added to them."""
CALL_SECONDS = 0.05
"""What a call into compiled code takes, unless a single batch takes longer: Python sees an interrupt between two."""
_SLOTS = {name: i for i, name in enumerate(RUN)}


class Workspace:
    """Everything that a program reads and writes, allocated once.

    Parameters
    ----------
    spec : Spec
    widths : tuple of int
    split : Split
        Of the d features.
    batch : int
        Samples in a batch.
    threads : int
    """

    def __init__(self, spec, widths, split, batch, threads):
        self.spec = spec
        self._widths = widths
        self._split = split
        self._dtype = np.dtype(DTYPES[spec.kind])
        self._plans = plan_layers(widths, spec.row, spec.out)
        self._arena = Arena()
        self._tiles = -(-batch // S)
        self._by_unit = spec.by_unit
        self._words = -(-widths[0] // 64)
        first = self._plans[0]
        if spec.by_feature:
            self._shards = min(FEATURE_SHARDS, self._words if spec.form == "sparse" else first.in_panels)
        else:
            self._shards = shards_of_units(first.panels)
        self._parts = self._shards if spec.by_feature else 1
        self._weights = self._allocate_parameters()
        self._layers = [self._layer(i) for i in range(len(self._plans))]
        # The tables hold addresses: what they point to lives as long as they do.
        self._layer_table = np.array([_table(LAYER, layer) for layer in self._layers[:-1] or self._layers])
        self._last_table = _table(LAYER, self._layers[-1])
        self.shared = self._shared(batch, threads)
        self._own = [self._thread(thread) for thread in range(threads)]
        later = dict.fromkeys(set_before_run(spec.form, True) | set_before_run(spec.form, False) | unused(spec.form), 0)
        self._tables = [_table(RUN, later | self.shared | own) for own in self._own]
        self._set: dict = {}
        self._is_complete = False
        self._call = None
        self._batches_a_call = 1

    def _allocate_parameters(self):
        """Weights and biases of each layer as views of one vector, which the optimizer's states follow."""
        shapes = [((p.panels, p.in_rows, p.lanes), (p.panels, p.lanes)) for p in self._plans]
        first = self._plans[0]
        if self._by_unit:
            shapes[0] = (first.in_panels, first.panels * first.lanes, first.in_lanes), shapes[0][1]
        # Each begins at a multiple of the wider panel, so that the rows of both widths are aligned.
        widest = max(self.spec.row, self.spec.out)
        self._count = sum(-(-int(np.prod(shape)) // widest) * widest for pair in shapes for shape in pair)
        flat = self._arena.zeros((1 + STATES[self.spec.optimizer], self._count), self._dtype)[0]
        weights, start = [], 0
        for pair in shapes:
            views = []
            for shape in pair:
                size = int(np.prod(shape))
                views.append(flat[start : start + size].reshape(shape))
                start += -(-size // widest) * widest
            weights.append(tuple(views))
        return weights

    def _layer(self, i):
        """What the table of a layer holds."""
        plan, (W, b), zeros = self._plans[i], self._weights[i], self._arena.zeros
        P, T, R = plan.panels, self._tiles, plan.lanes
        if i == 0 and self._by_unit:
            W, WT = zeros((plan.panels, plan.in_rows, plan.lanes), self._dtype), W
        else:
            WT = zeros((plan.in_panels, plan.panels * R, plan.in_lanes) if i else 0, self._dtype)
        layer = {
            "units": plan.units,
            "panels": plan.panels,
            "in_units": plan.in_units,
            "in_panels": plan.in_panels,
            "in_rows": plan.in_rows,
            "state": self._count // R,
            "W": W,
            "b": b,
            "WT": WT,
            "Z": zeros((self._shards if i == (not self.spec.by_feature) else 0, P, T, S, R), self._dtype),
            "A": zeros((P, T, S, R), self._dtype),
            "D": zeros((P, T, S, R), self._dtype),
            "M": zeros((P, T, S), np.int64),
            "C": zeros((P, T, 64), np.int64),
        }
        if i == len(self._plans) - 1:
            layer["M"][...] = _real_units(plan.units, plan.panels, R)[:, None, None]
        return layer

    def _shared(self, batch, threads):
        """What the tables of all threads hold."""
        spec, zeros, dtype, T = self.spec, self._arena.zeros, self._dtype, self._tiles
        d = self._widths[0]
        words = self._words
        block = max(1, BLOCK_BYTES // (64 * spec.row * dtype.itemsize))
        in_panels = self._plans[0].in_panels
        shared = {
            "batch": batch,
            "d": d,
            "tiles": T,
            "words": words,
            "block": block,
            "shards": self._shards,
            "hidden": len(self._plans) - 1,
            "layers": self._layer_table,
            "last": self._last_table,
            "h": zeros((self._parts, self._plans[0].panels, spec.row), dtype),
            "zero": zeros(max(spec.row, spec.out), dtype),
            "target_units": zeros(self._plans[-1].panels * self._plans[-1].lanes, dtype),
            "address": zeros((2, T * S), np.int64),
            "code": zeros((2, T * S), np.int64),
            "loss": zeros(T * S, np.float64),
            "threads": threads,
            "arrived": zeros(1, np.int64),
            "powers": zeros(2, np.float64),
        }
        shared["powers"][...] = 1
        shared["target_units"][...] = 1
        wide = np.promote_types(dtype, DTYPES.get(spec.raw, dtype))
        for name, values in self._split._asdict().items():
            shared[name] = zeros((words + 1) * 64, dtype if name == "shift" else wide)
            shared[name][:d] = values
        if spec.form == "dense":
            shared["panels"] = zeros((2, in_panels, T, S, spec.row), dtype)
            shared["features"] = zeros((in_panels, S), np.int64)
            shared["features"][...] = _real_units(d, in_panels, spec.row)[:, None]
        elif spec.form == "csr":
            shared["end"] = zeros((2, T * S), np.int64)
        else:
            shared["mask"] = zeros((2, T, words * 64), np.int64)
            shared["nonzero"] = zeros((T, words, 64), np.int64)
            shared["index"] = zeros(T * S * words * 64 + 64, np.uint16)
            shared["value"] = zeros(T * S * words * 64 + 64, dtype)
            longest = -(-words // self._parts)
            shared["cuts"] = -(-longest // block) + 1
            shared["cut"] = zeros((self._parts, T * S, shared["cuts"]), np.int64)
        return shared

    def _thread(self, thread):
        """What the table of one thread holds besides."""
        rows = self._plans[0].in_rows if self.spec.form == "csr" else 0
        return {
            "thread": thread,
            "valid": self._arena.zeros((self._tiles, 64), np.int64),
            "G": self._arena.zeros((2 * CHUNK, max(self.spec.row, self.spec.out)), self._dtype),
            "whole": self._arena.zeros((2, rows, self.spec.row), self._dtype),
        }

    def scratch(self):
        """Return the arrays that a run need not find as the last one left them."""
        kept = {
            "features",
            "zero",
            "h",
            "base",
            "scale",
            "shift",
            "layers",
            "last",
            "arrived",
            "powers",
            "target_units",
        }
        arrays = [array for name, array in self.shared.items() if isinstance(array, np.ndarray) and name not in kept]
        arrays += [own[name] for own in self._own for name in ("valid", "G")]
        for layer in self._layers:
            arrays += [layer[name] for name in ("Z", "A", "D", "C")]
        return arrays + [layer["M"] for layer in self._layers[:-1]]

    def load(self, params):
        """Pack a flat parameter vector."""
        self._settle()
        layers = layer_views(np.asarray(params, self._dtype), self._widths)
        for (W, b), plan, layer in zip(layers, self._plans, self._layers, strict=True):
            packed = pack_weights(W, plan)
            layer["W"][...] = packed
            layer["b"][...] = pack_biases(b, plan)
            if layer["WT"].size:
                P, _, R = packed.shape
                blocks = packed.reshape(P, plan.in_panels, plan.in_lanes, R).transpose(1, 0, 3, 2)
                layer["WT"][...] = blocks.reshape(plan.in_panels, P * R, plan.in_lanes)
        W, b = layers[0]
        start = np.zeros_like(b) if self.spec.by_feature else b
        for r in range(self._parts):
            features = slice(*(64 * (self._words * end // self._parts) for end in (r, r + 1)))
            shift = self._split.shift[features]
            with np.errstate(over="ignore", invalid="ignore"):
                h = start + shift @ W[features] if np.any(shift) else start
            self.shared["h"][r] = pack_biases(h.astype(self._dtype), self._plans[0])

    @property
    def params(self):
        """The flat parameter vector, a copy."""
        self._settle()
        return flatten(
            (unpack_weights(layer["W"], plan), layer["b"].ravel()[: plan.units])
            for layer, plan in zip(self._layers, self._plans, strict=True)
        )

    def set(self, **values):
        """Write integers, floats or the addresses of arrays into these slots; the arrays are kept until the next."""
        self._settle()
        self._set |= values
        for name, value in values.items():
            slot, bits = _SLOTS[name], _slot(RUN[name], value)
            for table in self._tables:
                table[slot] = bits

    def set_data(self, data):
        """Let the programs read these `Rows` or `Entries`."""
        if isinstance(data, Rows):
            matrix = data.matrix
            self.set(X=matrix, stride=matrix.strides[0], raw_bytes=matrix.itemsize, safe=data.safe, tail=data.tail)
        else:
            self.set(X=data.data, indices=data.indices, indptr=data.indptr)

    def run(self, program, n):
        """Run the program on all threads over n samples, in calls of whole batches that take CALL_SECONDS each.

        After an interrupt no thread works on, the samples up to some batch are done, and the workspace can be used.
        """
        if not self._is_complete:
            missing = set_before_run(self.spec.form, self._set["learn"]) - {"begin", "n"} - self._set.keys()
            if missing:
                raise KeyError(f"fields that nobody set: {sorted(missing)}")
            self._is_complete = True
        batch, begin = self.shared["batch"], 0
        while begin < n:
            end = min(n, begin + self._batches_a_call * batch)
            self.set(begin=begin, n=end)
            started = time.perf_counter()
            self._make_call(program)
            seconds = time.perf_counter() - started
            batches = -(-(end - begin) // batch)
            self._batches_a_call = max(1, int(batches * CALL_SECONDS / max(seconds, 1e-9)))
            begin = end

    def _make_call(self, program):
        """Run the program over the samples that are set; one thread runs in the caller's."""
        self.shared["arrived"][0] = 0
        if len(self._tables) == 1:
            program(self._tables[0].ctypes.data)
            return

        def run_thread(thread, threads):
            table = self._tables[thread]
            table[_SLOTS["threads"]] = threads
            program(table.ctypes.data)

        call = self._call = Call(run_thread, len(self._tables))
        try:
            complete(call)
        finally:
            self._settle()
        if call.error is not None:
            raise call.error

    def _settle(self):
        """Wait until no thread works here any more: an interrupt may have ended the wait for a call before."""
        if self._call is not None:
            complete(self._call)
            self._call = None


def _real_units(units, panels, lanes):
    """For each panel, an integer whose low bits are the lanes that stand for a unit."""
    return np.array([_low_bits(min(lanes, units - p * lanes)) for p in range(panels)], np.int64)


def _low_bits(n):
    return -1 if n == 64 else (1 << n) - 1


def _slot(what, value):
    """The 8 bytes of a value, as an integer."""
    if isinstance(value, np.ndarray):
        return value.ctypes.data
    return np.float64(value).view(np.int64) if what == "float" else value


def _table(fields, values):
    """The slots of a table; every field has its value, and every value its field."""
    if fields.keys() != values.keys():
        unknown, missing = values.keys() - fields.keys(), fields.keys() - values.keys()
        raise KeyError(f"not fields of the table: {sorted(unknown)}, without a value: {sorted(missing)}")
    return np.array([_slot(what, values[name]) for name, what in fields.items()], np.int64)
