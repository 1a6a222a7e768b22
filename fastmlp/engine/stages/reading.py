"""Rows of a dense matrix: where the samples of the next batch lie, and how they are asked for before they are read."""

from fastmlp.engine.division import read_samples, share_of
from fastmlp.engine.simd import inline, kernel, least, pointer, prefetch
from fastmlp.engine.tables import S
from fastmlp.engine.views import run_table

integers, bytes_ = pointer("i64"), pointer("u8")

CACHED = 1 << 19
"""A batch of at most this many bytes is prefetched one whole batch ahead."""
NEAR = 16
"""Prefetch distance, in samples, for larger batches."""


@inline
def is_cached(t, size):
    return size * t.d * t.raw_bytes <= CACHED


@inline
def place_of(t, o):
    """The address of sample o."""
    return t.X + o * t.stride if o < t.safe else t.tail + (o - t.safe) * t.stride


@kernel
def fetch(t, place, j0, j1):
    """Prefetch features j0 ≤ j < j1 of the sample at an address."""
    for byte in range(j0 * t.raw_bytes, j1 * t.raw_bytes, 64):
        prefetch(bytes_(place) + byte)


@kernel
def fetch_tile(t, begin, count, j0, j1):
    """Prefetch features j0 ≤ j < j1 of samples that were located, from `begin` on."""
    address = integers(t.address)
    for k in range(begin, begin + count):
        fetch(t, address[k], j0, j1)


@kernel
def fetch_samples(t, begin, end, j0, j1):
    """Ask for features j0 ≤ j < j1 of the samples at places begin ≤ p < end of the order."""
    order = integers(t.order)
    for p in range(begin, least(end, t.n)):
        fetch(t, place_of(t, order[p]), j0, j1)


@kernel
def fetch_part(t, part, parts, j0, j1):
    """Ask for features j0 ≤ j < j1 of a part of the next batch, a little at a time, if its samples are cached."""
    if is_cached(t, t.next_size):
        k0, k1 = (0, t.next_size) if t.by_feature else read_samples(t.next_size, t)
        begin, end = share_of(k1 - k0, part, parts), share_of(k1 - k0, part + 1, parts)
        fetch_samples(t, t.next_at + k0 + begin, t.next_at + k0 + end, j0, j1)


def make_locate_rows():
    """Return the stage that finds this thread's samples of a dense matrix, and their targets, and asks for these."""

    def locate_rows(run, layer):
        t = run_table(run)
        order, place = integers(t.order) + t.next_at, (1 - t.turn) * t.tiles * S
        address, target = integers(t.address) + place, integers(t.target) + place
        begin, end = read_samples(t.next_size, t)
        for k in range(begin, end):
            o = order[k]
            address[k] = place_of(t, o)
            target[k] = t.targets + o * t.targets_stride
            prefetch(bytes_(target[k]))

    return locate_rows
