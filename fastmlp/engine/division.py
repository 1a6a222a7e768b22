"""How a batch is divided: among threads, into tiles of samples and pairs of panels; and where the threads meet."""

from fastmlp.engine.simd import atomic_add, atomic_load, inline, kernel, least, pair, spin
from fastmlp.engine.spec import S


@inline
def share_of(total, thread, threads):
    """Where the part of a thread begins when `total` things are divided."""
    return total * thread // threads


@inline
def owned(panels, t):
    """(begin, end) of the panels that this thread owns, whole shards."""
    begin, end = share_of(t.shards, t.thread, t.threads), share_of(t.shards, t.thread + 1, t.threads)
    return share_of(panels, begin, t.shards), share_of(panels, end, t.shards)


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
