"""The last layer's outputs: what the loss makes of them, or the scores that are written out."""

from fastmlp.engine.division import own_samples, tiles_of, whole_samples, within
from fastmlp.engine.losses import make_head
from fastmlp.engine.simd import pointer
from fastmlp.engine.tables import S
from fastmlp.engine.views import layer_table, run_table

integers, floats = pointer("i64"), pointer("f64")


def make_loss(kind, row, loss, lanes="outputs"):
    """Return the stage that computes the loss and the deltas of this thread's samples, from rows of those lanes."""
    rows, lanes_are_samples = pointer(kind, row), lanes == "samples"
    head = make_head(loss, kind, row, lanes_are_samples)

    def loss_of_batch(run, address):
        t, layer = run_table(run), layer_table(address)
        T = t.tiles
        begin, end = whole_samples(layer, t)
        i0, i1 = tiles_of(begin, end)
        for i in range(i0, i1):
            k0, count = within(i, begin, end)
            target, share = integers(t.target) + (t.turn * T + i) * S, floats(t.share) + (t.at + i * S)
            outputs, stride = (layer.units, S // row) if lanes_are_samples else (layer.panels, T * S)
            head(
                k0, k0 + count, layer.units, outputs, stride, rows(layer.A) + i * S, rows(layer.D) + i * S, target,
                share, rows(t.target_units), rows(t.G), floats(t.loss) + (t.turn * T + i) * S,
            )  # fmt: skip

    return loss_of_batch


def make_total():
    """Return the stage that sums the batch's loss, on one thread."""

    def total(run, layer):
        t = run_table(run)
        if t.thread == 0:
            share, loss, value = floats(t.share) + t.at, floats(t.loss) + t.turn * t.tiles * S, 0.0
            for k in range(t.size):
                value += share[k] * loss[k]
            floats(t.batch_loss)[t.at // t.batch] = value

    return total


def make_write_scores(kind, row):
    """Return the stage that writes this thread's samples' outputs to where the caller wants them, (n, units)."""
    rows, numbers = pointer(kind, row), pointer(kind)

    def write_scores(run, address):
        t, layer = run_table(run), layer_table(address)
        units, A, scores = layer.units, rows(layer.A), numbers(t.scores)
        begin, end = own_samples(t.size, t)
        for k in range(begin, end):
            for c in range(units):
                scores[(t.at + k) * units + c] = (A + c // row * t.tiles * S)[k, c % row]

    return write_scores
