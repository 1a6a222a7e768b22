"""The parameters of a network in panels, as the stages read them, and the optimizer's arrays beside them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from fastmlp.engine.arena import DTYPES, Arena, Array
from fastmlp.engine.plan import LayerPlan, Plan, arrays_of, is_transposed, plan_layers
from fastmlp.reference.parameters import Layers, flatten, layer_views

Shape = tuple[int, ...]


class Packing:
    """Packs flat parameter vectors into panels, and unpacks them.

    Parameters
    ----------
    plan : Plan
    widths : sequence of int
    copies : list of list of dict
        Of each copy of the layers, the arrays W, WT and b of each layer.
    states : list of list of Layers
        Of each copy, the optimizer's arrays.
    """

    def __init__(
        self,
        plan: Plan,
        widths: Sequence[int],
        copies: Sequence[Sequence[Mapping[str, Any]]],
        states: Sequence[Sequence[Layers]],
    ) -> None:
        self._plan = plan
        self._widths = widths
        self._dtype = np.dtype(DTYPES[plan.kind])
        self._plans = plan_layers(widths, plan.row, plan.out)
        self._copies = copies
        self._states = states

    def load(self, params: Array, arrays: Sequence[Array] = ()) -> None:
        """Pack a flat parameter vector into the layers, and the optimizer's arrays, if there are any, beside them."""
        layers = layer_views(np.asarray(params, self._dtype), self._widths)
        for i, ((W, b), plan) in enumerate(zip(layers, self._plans, strict=True)):
            packed, biases = pack_weights(W, plan), pack_biases(b, plan)
            for copy in self._copies:
                if isinstance(copy[i]["W"], np.ndarray):
                    copy[i]["W"][...] = packed
                copy[i]["b"][...] = biases
                if isinstance(copy[i]["WT"], np.ndarray):
                    copy[i]["WT"][...] = transpose_panels(packed, plan)
        for vector, *copies in zip(arrays, *self._states, strict=False):
            for i, (W, b) in enumerate(layer_views(np.asarray(vector, self._dtype), self._widths)):
                plan = self._plans[i]
                packed = pack_weights(W, plan)
                for state in copies:
                    state[i][0][...] = transpose_panels(packed, plan) if is_transposed(self._plan, i) else packed
                    state[i][1][...] = pack_biases(b, plan)

    def align(self) -> None:
        """Bring all copies to what the first one has learned."""
        for copy, states in zip(self._copies[1:], self._states[1:], strict=True):
            for i, (layer, first) in enumerate(zip(copy, self._copies[0], strict=True)):
                own = [name for name in ("W", "WT", "b") if layer[name] is not first[name]]
                for name in own:
                    layer[name][...] = first[name]
                trained = "WT" if is_transposed(self._plan, i) else "W"
                for state, learned in zip(states, self._states[0], strict=True):
                    for name, values, wanted in zip((trained, "b"), state[i], learned[i], strict=True):
                        if name in own:
                            values[...] = wanted

    @property
    def params(self) -> Array:
        """The flat parameter vector, a copy."""
        names = ("WT" if is_transposed(self._plan, i) else "W" for i in range(len(self._plans)))
        return self._unpack((layer[name], layer["b"]) for layer, name in zip(self._copies[0], names, strict=True))

    @property
    def arrays(self) -> tuple[Array, ...]:
        """The optimizer's arrays, copies as flat as the parameters."""
        return tuple(map(self._unpack, self._states[0]))

    def array(self, j: int) -> Array:
        """Return a copy of one of these."""
        return self._unpack(self._states[0][j])

    def _unpack(self, layers: Iterable[tuple[Array, Array]]) -> Array:
        """The flat vector of what each layer is trained as, W or WT, and of its biases."""
        unpacked = []
        for i, ((W, b), plan) in enumerate(zip(layers, self._plans, strict=True)):
            packed = restore_panels(W, plan) if is_transposed(self._plan, i) else W
            unpacked.append((unpack_weights(packed, plan), b.ravel()[: plan.units]))
        return flatten(unpacked)


def allocate_vectors(arena: Arena, plan: Plan, layers: Sequence[LayerPlan]) -> list[Layers]:
    """Return (W, b) of each layer, and the same of each of the optimizer's arrays: views of one block.

    Before the weights lies their gradient, where it is kept.
    """
    states, kept = arrays_of(plan.optimizer) if plan.optimizer else 0, int(plan.is_clipped)
    align, vectors = _alignment(plan), []
    for flat in arena.zeros((kept + 1 + states, vector_size(plan, layers)), DTYPES[plan.kind])[kept:]:
        weights, start = [], 0
        for pair in _shapes(plan, layers):
            views = []
            for shape in pair:
                size = int(np.prod(shape))
                views.append(flat[start : start + size].reshape(shape))
                start += -(-size // align) * align
            weights.append((views[0], views[1]))
        vectors.append(weights)
    return vectors


def vector_size(plan: Plan, layers: Sequence[LayerPlan]) -> int:
    """The numbers from a parameter to the optimizer's first number of it."""
    align = _alignment(plan)
    return sum(-(-int(np.prod(shape)) // align) * align for pair in _shapes(plan, layers) for shape in pair)


def _alignment(plan: Plan) -> int:
    """W and b begin at multiples of so many numbers, the wider panel: rows of both widths are aligned."""
    return max(plan.row, plan.out)


def _shapes(plan: Plan, layers: Sequence[LayerPlan]) -> list[tuple[Shape, Shape]]:
    """The shapes of (W, b), or (WT, b), of each layer in panels."""
    shapes: list[tuple[Shape, Shape]] = [((p.panels, p.in_rows, p.row), (p.panels, p.row)) for p in layers]
    for i, p in enumerate(layers):
        if is_transposed(plan, i):
            shapes[i] = (p.in_panels, p.panels, p.row, p.in_row), shapes[i][1]
    return shapes


def pack_weights(W: Array, plan: LayerPlan) -> Array:
    """(in, out) → (P, in_rows, R), padded with zeros."""
    padded = np.zeros((plan.in_rows, plan.panels * plan.row), W.dtype)
    padded[: plan.in_units, : plan.units] = W
    return padded.reshape(plan.in_rows, plan.panels, plan.row).transpose(1, 0, 2)


def unpack_weights(packed: Array, plan: LayerPlan) -> Array:
    """The inverse of `pack_weights`."""
    wide = packed.transpose(1, 0, 2).reshape(plan.in_rows, plan.panels * plan.row)
    return wide[: plan.in_units, : plan.units]


def transpose_panels(packed: Array, plan: LayerPlan) -> Array:
    """(P, in_rows, R) → (Q, P, R, R_in), a view: the same weights as panels of W transposed."""
    return packed.reshape(plan.panels, plan.in_panels, plan.in_row, plan.row).transpose(1, 0, 3, 2)


def restore_panels(transposed: Array, plan: LayerPlan) -> Array:
    """The inverse of `transpose_panels`."""
    return transposed.transpose(1, 0, 3, 2).reshape(plan.panels, plan.in_rows, plan.row)


def pack_biases(b: Array, plan: LayerPlan) -> Array:
    """(out,) → (P, R), padded with zeros."""
    padded = np.zeros(plan.panels * plan.row, b.dtype)
    padded[: plan.units] = b
    return padded.reshape(plan.panels, plan.row)
