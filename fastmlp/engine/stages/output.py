"""The last layer's outputs: what the loss makes of them, or the scores that are written out."""

from fastmlp.engine.division import own_samples, tiles_of, whole_samples, within
from fastmlp.engine.losses import make_head, make_output_axis
from fastmlp.engine.optimizers import rate_of
from fastmlp.engine.plan import registers
from fastmlp.engine.simd import inline, least, number, pointer, reduce_sum, splat, transpose
from fastmlp.engine.tables import S
from fastmlp.engine.views import layer_table, run_table

integers, floats = pointer("i64"), pointer("f64")


@inline
def losses_of(t):
    """Where the losses of the present batch's samples stand."""
    return floats(t.loss) + t.turn * t.tiles * S


def make_loss(kind, row, loss):
    """Return the stage that computes the loss and the deltas of this thread's samples, whose outputs are rows."""
    rows = pointer(kind, row)
    if row == registers(kind)[0]:
        return make_turned_loss(kind, row, loss)
    head = make_head(loss, kind, row)

    def loss_of_batch(run, address):
        t, layer = run_table(run), layer_table(address)
        T = t.tiles
        begin, end = whole_samples(layer, t)
        i0, i1 = tiles_of(begin, end)
        for i in range(i0, i1):
            k0, count = within(i, begin, end)
            target, share = integers(t.target) + (t.turn * T + i) * S, floats(t.share) + (t.at + i * S)
            head(
                k0, k0 + count, layer.units, layer.panels, T * S, rows(layer.A) + i * S, rows(layer.D) + i * S, target,
                share, rows(t.target_units), rows(t.G), losses_of(t) + i * S,
            )  # fmt: skip

    return loss_of_batch


def make_turned_loss(kind, row, loss):
    """Return this stage for outputs of one register: they are turned, and registers of samples take no reductions."""
    rows, samples = pointer(kind, row), pointer(kind, S)
    head = make_head(loss, kind, row, lanes_are_samples=True)

    def turned_loss(run, address):
        t, layer = run_table(run), layer_table(address)
        Z = rows(t.G)
        D, spare = Z + S, Z + 2 * S
        begin, end = whole_samples(layer, t)
        for k in range(begin, end, S):
            count = least(S, end - k)
            rounded = (count + row - 1) // row * row
            transpose(rows(layer.A) + k, rounded, samples(Z), row)
            target, share = integers(t.target) + (t.turn * t.tiles * S + k), floats(t.share) + (t.at + k)
            head(
                0, count, layer.units, layer.units, S // row, Z, D, target, share, rows(t.target_units), spare,
                losses_of(t) + k,
            )  # fmt: skip
            for i in range(layer.units * (S // row), S):  # padding has no deltas
                D[i] = splat(D, 0)
            transpose(samples(D), row, rows(layer.D) + k, rounded)

    return turned_loss


def make_loss_of_samples(kind, row, loss):
    """Return the stage that does so where lanes are samples."""
    rows = pointer(kind, row)
    head = make_head(loss, kind, row, lanes_are_samples=True)

    def loss_of_samples(run, address):
        t, layer = run_table(run), layer_table(address)
        begin, end = whole_samples(layer, t)
        i0, i1 = tiles_of(begin, end)
        for i in range(i0, i1):
            k0, count = within(i, begin, end)
            target, share = integers(t.target) + (t.turn * t.tiles + i) * S, floats(t.share) + (t.at + i * S)
            head(
                k0, k0 + count, layer.units, layer.units, S // row, rows(layer.A) + i * S, rows(layer.D) + i * S,
                target, share, rows(t.target_units), rows(t.G), losses_of(t) + i * S,
            )  # fmt: skip

    return loss_of_samples


def make_smooth(kind, row):
    """Return the stage that makes of the loss and the deltas of classes those of smoothed labels.

    With z̄ the mean of the logits, the loss gains s (z_class - z̄), and its derivative s (y - 1/K).
    """
    rows, only = pointer(kind, row), make_output_axis(kind, row).only

    def smooth(run, address):
        t, layer = run_table(run), layer_table(address)
        T, P, K, s = t.tiles, layer.panels, layer.units, rate_of(t).smoothing
        target, share, loss = integers(t.target) + t.turn * T * S, floats(t.share) + t.at, losses_of(t)
        begin, end = whole_samples(layer, t)
        for k in range(begin, end):
            A, D, z_sum = rows(layer.A) + k, rows(layer.D) + k, splat(rows(layer.A), 0)
            part = number(A, s * share[k])
            for p in range(P):
                z_sum += only(A, p, K, A[p * T * S], 0)
                D[p * T * S] = only(A, p, K, D[p * T * S] - part / number(A, K), 0)
            label = integers(target[k])[0]
            p, lane = label // row * T * S, label % row
            D[p, lane] = D[p, lane] + part
            loss[k] += s * (A[p, lane] - reduce_sum(z_sum) / number(A, K))

    return smooth


def make_total():
    """Return the stage that sums the batch's loss, on one thread."""

    def total(run, layer):
        t = run_table(run)
        if t.thread == 0:
            share, loss, value = floats(t.share) + t.at, losses_of(t), 0.0
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
