"""How a batch is divided: among threads, into tiles of samples and pairs of panels; and where the threads meet."""

from fastmlp.engine.simd import atomic_add, atomic_load, inline, kernel, least, pair, spin
from fastmlp.engine.spec import S


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


def make_division(spec):
    """Return the functions parts, part, features, units of a run's table t: where a thread works on the first layer.

    parts(t) are the parts of the features that it works on, one after the other; part(t, r) is where one of them lies,
    and features(t) where all do, among the words of 64 features if they are listed, else among their panels; units(t)
    are the panels of units that it works on. Each returns (begin, end).
    """
    by_feature, sparse = spec.by_feature, spec.form == "sparse"

    @inline
    def parts(t):
        return own_shards(t) if by_feature else (0, 1)

    @inline
    def between(t, begin, end):
        total = t.words if sparse else t.layers.in_panels
        return (share_of(total, begin, t.shards), share_of(total, end, t.shards)) if by_feature else (0, total)

    @inline
    def part(t, r):
        return between(t, r, r + 1)

    @inline
    def features(t):
        begin, end = parts(t)
        return between(t, begin, end)

    @inline
    def units(t):
        return (0, t.layers.panels) if by_feature else owned(t.layers.panels, t)

    return parts, part, features, units


@inline
def share_of_samples(B, t):
    """(begin, end) of the samples that this thread takes through phase 2, in fours, as kernels may write them."""
    fours = (B + 3) // 4
    return 4 * share_of(fours, t.thread, t.threads), least(B, 4 * share_of(fours, t.thread + 1, t.threads))


@inline
def tile_size(B, i):
    """Samples in tile i of a batch of B."""
    return least(S, B - S * i)


@inline
def two(rows, p, end, distance):
    """Panels p and p + 1, `distance` rows apart, as one panel of twice the width; panel p twice where p is the last."""
    return pair(rows + p * distance, distance if p + 1 < end else 0)


@kernel
def meet(t, goal):
    """Wait until all threads have come here `goal` times in sum."""
    atomic_add(t.arrived, 1)
    spins = 0
    while atomic_load(t.arrived) < goal:
        spins += 1
        spin(spins)
