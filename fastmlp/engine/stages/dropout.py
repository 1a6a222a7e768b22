"""Dropout in a hidden layer: the units that a batch leaves out, and its deltas.

`drop_units` follows `activate`: of the bits M of a sample's active units only kept ones stay, so that wherever kernels
walk along M, a dropped unit costs nothing.
"""

from fastmlp.engine import dropout
from fastmlp.engine.activations import ACTIVATIONS
from fastmlp.engine.division import layer_panels, layer_samples, tiles_of, within
from fastmlp.engine.simd import inline, number, pointer
from fastmlp.engine.tables import S
from fastmlp.engine.views import layer_table, run_table
from fastmlp.reference.activations import ACTIVATIONS as FORMULAS
from fastmlp.reference.dropout import WHOLE, WORD

integers = pointer("i64")


@inline
def scale_of(layer):
    """What a kept unit counts."""
    return WHOLE / layer.keep


def make_drop_units(kind, row):
    """Return the stage that drops units of this thread's samples, or of its units, and scales those that it keeps."""
    rows = pointer(kind, row)

    def drop_units(run, address):
        t, layer = run_table(run), layer_table(address)
        begin, end = layer_samples(layer, t)
        p0, p1 = layer_panels(layer, t)
        i0, i1 = tiles_of(begin, end)
        kept, scale = integers(t.keeps), number(rows(layer.A), scale_of(layer))
        step = t.steps + t.at // t.batch
        for i in range(i0, i1):
            k0, count = within(i, begin, end)
            for p in range(p0, p1):
                if p == p0 or p * row % WORD == 0:
                    dropout.keep_units(
                        count, i * S + k0, p * row // WORD, layer.number, step, t.key0, t.key1, layer.keep, kept
                    )
                a = (p * t.tiles + i) * S + k0
                dropout.drop(count, kept, p * row % WORD, integers(layer.M) + a, rows(layer.A) + a, scale)

    return drop_units


def make_chain_kept(kind, row, activation):
    """Return the stage `chain` of a layer that drops units: D = D · activation'(Z) · mask."""
    rows, of_input = pointer(kind, row), FORMULAS[activation].of_input
    _, _, slope = ACTIVATIONS[activation]

    def chain_kept(run, address):
        t, layer = run_table(run), layer_table(address)
        begin, end = layer_samples(layer, t)
        p0, p1 = layer_panels(layer, t)
        i0, i1 = tiles_of(begin, end)
        scale = number(rows(layer.A), scale_of(layer))
        unscale = number(rows(layer.A), 1.0 if of_input else layer.keep / WHOLE)
        for i in range(i0, i1):
            k0, count = within(i, begin, end)
            for p in range(p0, p1):
                a = (p * t.tiles + i) * S + k0
                at = rows(layer.kept if of_input else layer.A) + a
                dropout.chain_kept(count, integers(layer.M) + a, at, rows(layer.D) + a, slope, unscale, scale)

    return chain_kept
