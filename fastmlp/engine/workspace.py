"""The memory of an engine: parameters in panels, scratch, and the tables through which stages see them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastmlp.engine.ahead import Calls, divide_calls
from fastmlp.engine.arena import DTYPES, Arena, Array, address_of
from fastmlp.engine.features import Entries, Rows, Split
from fastmlp.engine.library import find_stages, make_callable
from fastmlp.engine.packing import Packing, allocate_vectors, vector_size
from fastmlp.engine.plan import (
    LayerPlan,
    Plan,
    is_transposed,
    plan_layers,
    shards_of_features,
    shards_of_samples,
    shards_of_units,
)
from fastmlp.engine.player import Player
from fastmlp.engine.schedule import EPOCH, layer_of_sums, make_schedule, stages_of, start_of
from fastmlp.engine.stages import Stage
from fastmlp.engine.tables import (
    AHEAD,
    HEAD,
    LAYER,
    OWN,
    READER,
    RUN,
    SCHEDULE,
    SHARED,
    SLOTS,
    STEP,
    Field,
    Rate,
    S,
)
from fastmlp.reference.dropout import WHOLE
from fastmlp.reference.parameters import Layers

Fields = dict[str, Field]
Values = dict[str, Any]
"""Of each field of a table: a number, or the array whose address the table holds."""
Table = NDArray[np.int64]

BLOCK_BYTES = 32 << 10
"""Most bytes of first-layer weights in a block of features, so that they stay in L1 together with the sums."""
READERS = 4
"""Up to this many threads, each reads all samples itself, so that no lists cross between cores."""
COPIED_BYTES = 1 << 18
"""Up to this size of a batch's panels of features, each thread makes its own copy."""
REPLICATED_MADDS = 1 << 13
"""Up to this many multiply-adds a sample, two threads repeat all that follows the sums of shards: less crosses."""
MADDS_PER_UNIT = 32
"""Cost of an activation or an output besides its products, in multiply-adds."""


class Workspace:
    """The arrays and tables of a plan's stages, allocated once, and their schedule.

    Parameters
    ----------
    plan : Plan
    widths : tuple of int
    split : Split
        Of the d features.
    batch : int
        Samples in a batch.
    threads : int
    before_compiling : callable, optional
        Called without arguments when stages have to be compiled first.
    """

    def __init__(
        self,
        plan: Plan,
        widths: Sequence[int],
        split: Split,
        batch: int,
        threads: int,
        before_compiling: Callable[[], object] | None = None,
    ) -> None:
        self.plan = plan
        self._widths = widths
        self._dtype = np.dtype(DTYPES[plan.kind])
        self._plans = plan_layers(widths, plan.row, plan.out)
        self._arena = Arena()
        purposes = {"learn" if plan.optimizer else "predict", *(["penalty"] if plan.is_penalized else [])}
        purposes |= {"dropout"} if any(map(plan.drops, range(plan.depth))) else set()
        purposes |= {"clip"} if plan.is_clipped else set()
        self._uses = {plan.form, "csr" if plan.form == "csr" else "rows", *purposes}
        self._uses |= {f"{plan.form} {purpose}" for purpose in purposes} | ({"samples"} if plan.by_sample else set())
        self._sample_shards = shards_of_samples(batch) if plan.by_sample else 0
        self._words = -(-widths[0] // 64)
        first = self._plans[0]
        self._portions, self._portion = (self._words, 64) if plan.form == "sparse" else (first.in_panels, first.in_row)
        by_unit, by_feature = shards_of_units(widths[1], first.panels), shards_of_features(widths[0], self._portions)
        self._shards = by_feature if plan.by_feature else by_unit
        self._parts = self._shards if plan.by_feature else 1
        parts = [first.panels if plan.by_unit else self._portions, *(p.in_panels for p in self._plans[1:])]
        parts += [p.panels for p in self._plans]
        self._first_squares: list[int] = np.cumsum([0, *parts]).tolist()  # of the layers' weights, then of their biases
        self._sizes = self._count_sizes(batch, threads)
        is_large = plan.form == "dense" and self._size_of(READER["copied"]) > COPIED_BYTES
        self._all_read = threads <= READERS and not is_large and not plan.by_sample
        self._replicated = self._is_worth_replicating(threads)
        copies = threads if self._replicated or plan.by_sample else 1
        self._sizes["B"] = min(copies, 2)
        self.schedule = make_schedule(plan, self._replicated)
        # The tables hold addresses: their arrays must live as long.
        self._layers, states, self._layer_tables = self._make_layers(copies)
        self._packing = Packing(plan, widths, self._layers, states)
        self.shared, self._own, self._tables = self._make_run(batch, threads, split)
        self._set: Values = {}
        self._is_complete = False
        # Only the sparse form shifts features: `shift` is what its base, the value it does not list, stands for.
        shifting = [start_of(plan)] if np.any(split.shift) else []
        addresses = find_stages([*stages_of(self.schedule), *shifting], before_compiling)
        self._start = make_callable(addresses[shifting[0]]) if shifting else None
        self._schedule_tables = [self._make_schedule_table(addresses, table) for table in self._layer_tables]
        schedules = [table for _, _, table in self._schedule_tables]
        epoch, arrived = make_callable(addresses[EPOCH]), self.shared["arrived"]
        self._player = Player(epoch, self._tables, schedules, arrived, self._packing.align)

    def _count_sizes(self, batch: int, threads: int) -> dict[str, int]:
        """The sizes that letters in tables stand for; letters of a layer are the first layer's, which readers use."""
        first, T, words = self._plans[0], -(-batch // S), self._words
        longest = -(-words // self._parts)
        block = max(1, BLOCK_BYTES // (64 * self.plan.first_row * self._dtype.itemsize))
        return {
            "T": T,
            "U": self._sample_shards,
            "S": S,
            "G": words,
            "H": self._parts,
            "D": (words + 1) * 64,
            "L": T * S * words * 64 + 64,
            "K": -(-longest // block) + 1,
            "E": self._first_squares[-1],
            "Y": AHEAD,
            "J": threads,
            "O": self._plans[-1].panels * self._plans[-1].row,
            "W": max(self.plan.row, self.plan.out),
            "block": block,
        } | _letters(first, 0)

    def _is_worth_replicating(self, threads: int) -> bool:
        """Whether both of two threads train all samples on the layers after the sums of shards."""
        summed = layer_of_sums(self.plan)
        if not self.plan.optimizer or not self._all_read or summed is None or threads > 2:
            return False
        widths = self._widths[1 + summed :]
        madds = sum(m * p for m, p in pairwise(widths)) + MADDS_PER_UNIT * sum(widths)
        return madds <= REPLICATED_MADDS

    def _make_layers(self, copies: int) -> tuple[list[list[Values]], list[list[Layers]], Array]:
        """Return the values of the layers' fields and the optimizer's arrays, for each copy, and the layers' tables."""
        layers: list[list[Values]] = []
        states: list[list[Layers]] = []
        tables = self._arena.zeros((copies, len(self._plans), len(LAYER)), np.int64)
        for copy, table in enumerate(tables):
            weights, *arrays = allocate_vectors(self._arena, self.plan, self._plans)
            states.append(arrays)
            layers.append([])
            for i in range(len(self._plans)):
                shared = self._shared_by_threads(layers[0][i], i) if copy else {}
                layer = self._make_layer(i, *weights[i], table[i - 1] if i else 0, shared)
                layers[copy].append(layer)
                table[i] = _slots(LAYER, layer)
        return layers, states, tables

    def _shared_by_threads(self, layer: Values, i: int) -> Values:
        """Return the values of layer i that its copies share; each thread writes only its part of them."""
        summed = layer_of_sums(self.plan)
        if summed is None:
            return {name: layer[name] for name in ("A", "kept", "D", "M", "gradient", "bias_gradient")}
        if i < summed:
            return layer
        return {name: layer[name] for name in ("W", "WT", "Z")} if i == summed else {}

    def _make_layer(self, i: int, W: Array, b: Array, below: Table | int, shared: Values) -> Values:
        """Return the values of layer i's fields; `shared` are those of another copy."""
        plan, summed = self._plans[i], layer_of_sums(self.plan)
        given: Values = {
            "units": plan.units,
            "panels": plan.panels,
            "in_units": plan.in_units,
            "in_panels": plan.in_panels,
            "in_rows": plan.in_rows,
            "by_unit": int(i == 0 and self.plan.by_unit),
            "replicated": int(self._replicated and i >= (summed or 0)),
            "turns": self._sizes["B"],
            "first_square": self._first_squares[i],
            "bias_square": self._first_squares[len(self._plans) + i],
            "state": vector_size(self.plan, self._plans) // plan.row,
            "below": below,
            "number": i,
            "keep": self.plan.keep[i] if i < len(self.plan.keep) else WHOLE,
            "b": b,
        }
        if not self.plan.keeps_inputs(i):
            given["kept"] = 0
        if is_transposed(self.plan, i):
            given["WT"] = W
            if i > 0:
                given["W"] = 0  # few outputs
        else:
            given["W"] = W
            if i == 0:
                given["WT"] = 0  # nothing goes back to the features
        layer = self._allocate(LAYER, given | shared, _letters(plan, self._shards if i == summed else 0))
        if i == len(self._plans) - 1:
            layer["M"][...] = _real_units(plan.units, plan.panels, plan.row)[:, None, None]
        return layer

    def _make_run(self, batch: int, threads: int, split: Split) -> tuple[Values, list[Values], list[Table]]:
        """Return the values that all threads share, the values of each thread, and the threads' tables."""
        plan, sizes = self.plan, self._sizes
        shared = self._allocate(
            SHARED,
            {
                "batch": batch,
                "tiles": sizes["T"],
                "d": self._widths[0],
                "words": self._words,
                "block": sizes["block"],
                "cuts": sizes["K"],
                "shards": self._shards,
                "by_feature": int(plan.by_feature),
                "sample_shards": self._sample_shards,
                "portions": self._portions,
                "portion": self._portion,
                "rate_bytes": len(Rate._fields) * 8,
                "square_parts": self.square_parts,
                "gradient_parts": sizes["E"],
                "threads": threads,
                "crowded": 0,
                "allowed": 0,
                "all_read": int(self._all_read),
            },
        )
        if plan.optimizer:
            shared["target_units"][...] = 1
        for name, values in split._asdict().items():
            shared[name][: self._widths[0]] = values
        if plan.form == "dense":
            shared["features"][...] = _real_units(self._widths[0], self._portions, self._portion)[:, None]
        readers = [self._allocate(READER, {}) for _ in range(threads if self._all_read else 1)]
        heads = [self._allocate(HEAD, {}) for _ in self._layers[: 1 if plan.by_sample else None]]
        own = []
        for thread in range(threads):
            later = ("at", "size", "next_at", "next_size", "turn", "rate", "stalled", "elapsed")
            numbers: Values = dict.fromkeys(later, 0)
            numbers["thread"] = thread
            own.append(self._allocate(OWN, numbers) | readers[thread % len(readers)] | heads[thread % len(heads)])
        # Threads write to their tables, so each table has its own cache lines.
        return shared, own, [self._arena.like(_slots(RUN, shared | each)) for each in own]

    def _allocate(self, fields: Fields, given: Values, letters: Mapping[str, int] | None = None) -> Values:
        """Return a value for each field: the given one, a zeroed array, or 0 if it is set later or not used."""
        if unknown := given.keys() - fields.keys():
            raise KeyError(f"not fields of the table: {sorted(unknown)}")
        sizes = self._sizes | dict(letters or {})
        values = dict(given)
        for name, field in fields.items():
            if name in given:
                continue
            if field.later or (field.only and field.only not in self._uses):
                values[name] = 0
            elif field.shape is None:
                raise KeyError(f"a field without a value: {name}")
            else:
                values[name] = self._arena.zeros(_shape(field, sizes), self._dtype_of(field.kind))
        return values

    def _size_of(self, field: Field) -> int:
        """Bytes of the array of a field."""
        return int(np.prod(_shape(field, self._sizes))) * np.dtype(self._dtype_of(field.kind)).itemsize

    def _dtype_of(self, kind: str) -> DTypeLike:
        if kind == "wide":
            return np.promote_types(self._dtype, DTYPES.get(self.plan.raw, self._dtype))
        return self._dtype if kind == "number" else DTYPES[kind]

    def _make_schedule_table(self, addresses: Mapping[Stage, int], layers: Array) -> tuple[Array, Array, Table]:
        """Return all phases' steps on these tables of layers, where each phase begins, and the schedule's table."""
        steps = np.array(
            [
                _slots(STEP, {"stage": addresses[step.stage], "layer": layers[step.layer]})
                for phase in self.schedule
                for step in phase
            ]
        )
        ends = np.cumsum([0, *map(len, self.schedule)])
        return steps, ends, _slots(SCHEDULE, {"phases": len(self.schedule), "ends": ends, "steps": steps})

    def scratch(self) -> list[Array]:
        """Return the scratch arrays: their content may be overwritten between runs."""
        names = (*READER, *HEAD, "factor", "G", "keeps", "due", "entry", "listed")
        arrays = [own[name] for own in self._own for name in names]
        for layers in self._layers:
            arrays += [layer[name] for layer in layers for name in ("Z", "A", "kept", "D", "C")]
            arrays += [layer["M"] for layer in layers[:-1]]
        arrays.append(self.shared["gradient_squares"])
        return [array for array in arrays if isinstance(array, np.ndarray)]

    def load(self, params: Array, arrays: Sequence[Array] = ()) -> None:
        """Pack a flat parameter vector into the layers, and the optimizer's arrays, if there are any, beside them."""
        self._player.settle()
        self._packing.load(params, arrays)
        self.shared["h"][...] = 0 if self.plan.by_feature else self._layers[0][0]["b"]
        if self._start is not None:
            table = self._tables[0]
            table[SLOTS["threads"]] = 1  # it does the parts of all
            self._start(address_of(table), address_of(self._layer_tables[0][0]))

    @property
    def params(self) -> Array:
        """The flat parameter vector, a copy."""
        self._player.settle()
        return self._packing.params

    @property
    def arrays(self) -> tuple[Array, ...]:
        """The optimizer's arrays, copies as flat as the parameters."""
        self._player.settle()
        return self._packing.arrays

    def array(self, j: int) -> Array:
        """Return a copy of one of these."""
        self._player.settle()
        return self._packing.array(j)

    @property
    def square_parts(self) -> int:
        """The number of parts of Σ w² that a batch leaves in `squares`."""
        return self._first_squares[len(self._plans)]

    def set(self, **values: int | Array) -> None:
        """Write integers or the addresses of arrays into these slots; arrays are kept alive until replaced."""
        self._player.settle()
        self._set |= values
        for name, value in values.items():
            slot, bits = SLOTS[name], _slot(value)
            for table in self._tables:
                table[slot] = bits

    def set_data(self, data: Rows | Entries, **values: int | Array) -> None:
        """Let the stages read these `Rows` or `Entries`, and set what else belongs to them."""
        if isinstance(data, Rows):
            matrix = data.matrix
            values |= {"X": matrix, "stride": matrix.strides[0], "raw_bytes": matrix.itemsize}
            self.set(safe=data.safe, tail=data.tail, **values)
        else:
            self.set(X=data.data, indices=data.indices, indptr=data.indptr, **values)

    @property
    def _batch(self) -> int:
        """The samples of a batch: as many as memory was made for, or fewer that were set."""
        return self._set["batch"] if "batch" in self._set else self.shared["batch"]

    @property
    def mean_threads(self) -> float:
        """How many threads ran at a time in the last run, on average."""
        return self._player.mean_threads

    def forget(self) -> None:
        """Let go of the arrays that were set; they have to be set again before the next run."""
        self._player.settle()
        self._set.clear()

    def run(self, n: int) -> None:
        """Run the schedule on all threads over n samples, in calls of whole batches.

        In trainings on CSR entries, calls have a number of batches that does not depend on time.

        After an interrupt all threads have stopped, the batches up to some point are done, and the workspace stays
        usable.
        """
        batches = self._divide_calls(n)
        if not self._is_complete:
            later = {name for name, f in RUN.items() if f.later and (not f.only or f.only in self._uses)}
            if missing := later - {"begin", "n"} - self._set.keys():
                raise KeyError(f"fields that nobody set: {sorted(missing)}")
            self._is_complete = True
        self._player.run(n, self._batch, batches, memory=self)

    def _divide_calls(self, n: int) -> int:
        """Return the number of batches in a call, 0 where time decides; make room for a call's entries by feature."""
        if self.plan.form != "csr" or not self.plan.optimizer:
            return 0
        calls = Calls(0, False, 0)
        if not self._set["lazy"]:
            counts = np.diff(self._set["indptr"])[self._set["order"][:n]]
            calls = divide_calls(self._widths, self._batch, counts)
        if self.plan.is_clipped:  # a step needs the gradient of all rows
            calls = calls._replace(ahead=False)
        room = calls.entries + self._widths[0] if calls.ahead else 0
        if "place" not in self._set or len(self._set["place"]) < room:
            self.set(place=np.empty(room, np.int32), scaled=np.empty(room, self._dtype))
        self.set(ahead=int(calls.ahead))
        return calls.batches


def _shape(field: Field, sizes: Mapping[str, int]) -> list[int]:
    """The shape of a field's array; letters stand for these sizes."""
    assert field.shape is not None
    return [int(n) if n.isdigit() else sizes[n] for n in field.shape.split()]


def _letters(plan: LayerPlan, adds: int) -> dict[str, int]:
    """The letters of a layer's sizes; `adds` shards add to the layer."""
    return {
        "P": plan.panels,
        "R": plan.row,
        "Q": plan.in_panels,
        "V": plan.in_row,
        "I": plan.in_rows,
        "N": adds,
    }


def _real_units(units: int, panels: int, row: int) -> NDArray[np.int64]:
    """For each panel, an integer with a bit for each lane that is a unit, not padding."""
    return np.array([_low_bits(min(row, units - p * row)) for p in range(panels)], np.int64)


def _low_bits(n: int) -> int:
    return -1 if n == 64 else (1 << n) - 1


def _slot(value: Any) -> int:
    """The 8 bytes of a value, as an integer."""
    return address_of(value) if isinstance(value, np.ndarray) else value


def _slots(fields: Iterable[str], values: Values) -> Table:
    """Return a table; fields and values must have the same names."""
    names = list(fields)
    if {*names} != values.keys():
        unknown, missing = values.keys() - {*names}, {*names} - values.keys()
        raise KeyError(f"not fields of the table: {sorted(unknown)}, without a value: {sorted(missing)}")
    return np.array([_slot(values[name]) for name in names], np.int64)
