"""How a batch is divided: among threads, into tiles of samples and pairs of panels; and where the threads meet."""

from fastmlp.engine.simd import atomic_load, atomic_store, inline, kernel, least, pair, pointer, spin, ticks
from fastmlp.engine.tables import S

PATIENCE = 4000
"""Turns of a wait, pauses of the core, before a thread yields: then more threads than cores make progress, too."""
counter = pointer("i64", 16)


@inline
def share_of(total, thread, threads):
    """Where the part of a thread begins when `total` things are divided."""
    return total * thread // threads


@inline
def own_shards(t):
    """(begin, end) of the shards of the first layer that this thread owns."""
    return share_of(t.shards, t.thread, t.threads), share_of(t.shards, t.thread + 1, t.threads)


@inline
def owned(panels, t):
    """(begin, end) of the panels that this thread owns, whole shards."""
    begin, end = own_shards(t)
    return share_of(panels, begin, t.shards), share_of(panels, end, t.shards)


@inline
def feature_shards(t):
    """(begin, end) of the shards of features that this thread owns; (0, 1) if the layer is divided by unit."""
    return own_shards(t) if t.by_feature else (0, 1)


@inline
def shard_of_features(t, r):
    """(begin, end) of shard r, in words of 64 features (sparse) or in panels."""
    shards = t.shards if t.by_feature else 1
    return share_of(t.portions, r, shards), share_of(t.portions, r + 1, shards)


@inline
def own_features(t):
    """(begin, end) of the portions of features that this thread works on."""
    if not t.by_feature:
        return 0, t.portions
    begin, end = own_shards(t)
    return share_of(t.portions, begin, t.shards), share_of(t.portions, end, t.shards)


@inline
def first_units(t, panels):
    """(begin, end) of the panels of the first layer that this thread works on."""
    return (0, panels) if t.by_feature or t.sample_shards else owned(panels, t)


@inline
def shards_in(size, t):
    """The number of shards into which the samples of a batch are divided: at least one, and none of them empty."""
    return least(t.sample_shards, (size + 15) // 16) if size > 0 else 1


@inline
def own_sample_shards(size, t):
    """(begin, end) of the shards of samples that this thread owns."""
    shards = shards_in(size, t)
    return share_of(shards, t.thread, t.threads), share_of(shards, t.thread + 1, t.threads)


@inline
def shard_of_samples(size, t, r):
    """(begin, end) of the samples in shard r, in sixteens, a multiple of a register's numbers."""
    sixteens, shards = (size + 15) // 16, shards_in(size, t)
    return 16 * share_of(sixteens, r, shards), least(size, 16 * share_of(sixteens, r + 1, shards))


@inline
def shard_gradients(t, layer, r, size):
    """Where the gradients of shard r begin, of which a shard has `size` rows, in the present batch."""
    return (t.turn % layer.turns * t.sample_shards + r) * size


@inline
def own_samples(size, t):
    """(begin, end) of the samples of a batch that this thread owns: its shards, or sixteens, as kernels write them."""
    if t.sample_shards:
        begin, end = own_sample_shards(size, t)
        return shard_of_samples(size, t, begin)[0], least(size, shard_of_samples(size, t, end)[0])
    sixteens = (size + 15) // 16
    return 16 * share_of(sixteens, t.thread, t.threads), least(size, 16 * share_of(sixteens, t.thread + 1, t.threads))


@inline
def first_samples(t):
    """(begin, end) of the samples that this thread takes through the first layer."""
    return own_samples(t.size, t) if t.sample_shards else (0, t.size)


@inline
def read_samples(size, t):
    """(begin, end) of the samples that this thread reads."""
    return (0, size) if t.all_read else own_samples(size, t)


@inline
def whole_samples(layer, t):
    """(begin, end) of the samples of which this thread computes all units of a layer."""
    return (0, t.size) if layer.replicated else own_samples(t.size, t)


@inline
def layer_samples(layer, t):
    """(begin, end) of the samples that this thread takes through a layer, all or some of its units."""
    return (0, t.size) if layer.by_unit else whole_samples(layer, t)


@inline
def layer_panels(layer, t):
    """(begin, end) of the panels that this thread takes some samples through."""
    return owned(layer.panels, t) if layer.by_unit else (0, layer.panels)


@inline
def updated_panels(layer, t):
    """(begin, end) of the panels of a layer whose biases, and whose weights to the layer above, this thread updates."""
    return (0, layer.panels) if layer.replicated or t.sample_shards else owned(layer.panels, t)


@inline
def half_of_shards(t, r):
    """(begin, end) of the shards in half r of them: the sums of both halves are added, whoever computed them."""
    return share_of(t.shards, r, 2), share_of(t.shards, r + 1, 2)


@inline
def shard_sums(t, layer, Z, r):
    """What shard r adds to a layer, of the present batch."""
    return Z + (t.turn % layer.turns * t.shards + r) * layer.panels * t.tiles * S


@inline
def has_halves(t):
    """Whether each half of the shards is one thread's."""
    return t.threads <= 2


@inline
def tiles_of(begin, end):
    """(begin, end) of the tiles in which these samples lie."""
    return begin // S, (end + S - 1) // S


@inline
def tiles_in(size):
    """Tiles of a batch."""
    return (size + S - 1) // S


@inline
def within(i, begin, end):
    """(place in the tile, count) of those of samples begin ≤ k < end that lie in tile i."""
    k0 = begin - S * i if begin > S * i else 0
    return k0, least(S, end - S * i) - k0


@inline
def tile_size(size, i):
    """Samples in tile i of a batch."""
    return least(S, size - S * i)


@inline
def two(rows, p, end, distance):
    """Panels p and p + 1, `distance` rows apart, as one panel of twice the width; panel p twice where p is the last."""
    return pair(rows + p * distance, distance if p + 1 < end else 0)


@inline
def one(rows, p, end, distance):
    """Panel p, where panels are `distance` rows apart."""
    return rows + p * distance


PANELS = {1: one, 2: two}
"""How so many panels are taken at a time."""


@kernel
def end_in_time(t):
    """Let all threads end the call with this batch, if its time is up; called before they meet in it."""
    if t.thread == 0 and t.elapsed + ticks() > t.allowed:
        counter(t.arrived)[0, 1] = t.at


@inline
def is_over(t):
    """Whether the call ends with this batch; asked after the threads have met in it."""
    # The first thread may have written another number by now, of the next batch, but never after this one.
    return counter(t.arrived)[0, 1] == t.at


@kernel
def yield_until(t, flag, count):
    """Let other threads run until a flag has reached a count, and note the time."""
    started = ticks()
    while atomic_load(flag) < count:
        spin(True)
    t.stalled = t.stalled + (ticks() - started)


@kernel
def meet(t, count):
    """Wait until all threads are here. Takes and returns the number of rounds that a thread has been through.

    In each round a thread says that it is there, and waits for another: the next one, the second next, the fourth next
    and so on. So it hears of twice as many each time, and each line has one writer. Two threads need one round.
    """
    arrived, distance = counter(t.arrived), 1
    while distance < t.threads:
        count += 1
        atomic_store(arrived + t.thread, count)
        other = t.thread + distance
        other -= t.threads if other >= t.threads else 0
        spins = PATIENCE if t.crowded else 0
        while spins < PATIENCE and atomic_load(arrived + other) < count:
            spin(False)
            spins += 1
        if spins == PATIENCE:
            yield_until(t, arrived + other, count)
        distance *= 2
    return count
