"""The next batch: where its samples lie, and their features as the first layer needs them, listed or in panels."""

from fastmlp.engine import first_layer
from fastmlp.engine.division import (
    feature_shards,
    own_features,
    read_samples,
    shard_of_features,
    share_of,
    tiles_in,
)
from fastmlp.engine.plan import wider
from fastmlp.engine.simd import inline, kernel, least, pointer, prefetch
from fastmlp.engine.tables import S
from fastmlp.engine.views import run_table

integers, words, places, bytes_ = pointer("i64"), pointer("i64", 64), pointer("u16"), pointer("u8")

CACHED = 1 << 19
"""Bytes of a batch that a core's cache holds while the one before it is trained on: it is asked for that early."""
NEAR = 16
"""How many samples ahead those of a larger batch are asked for."""


@inline
def is_cached(t, size):
    return size * t.d * t.raw_bytes <= CACHED


@inline
def place_of(t, o):
    """The address of sample o."""
    return t.X + o * t.stride if o < t.safe else t.tail + (o - t.safe) * t.stride


@kernel
def fetch(t, place, j0, j1):
    """Ask for features j0 ≤ j < j1 of the sample at an address, before they are read."""
    for byte in range(j0 * t.raw_bytes, j1 * t.raw_bytes, 64):
        prefetch(bytes_(place) + byte)


@kernel
def fetch_tile(t, first, count, j0, j1):
    """Ask for features j0 ≤ j < j1 of samples that were located, from `first` on."""
    address = integers(t.address)
    for k in range(first, first + count):
        fetch(t, address[k], j0, j1)


@kernel
def fetch_samples(t, begin, end, j0, j1):
    """Ask for features j0 ≤ j < j1 of the samples at places begin ≤ p < end of the order."""
    order = integers(t.order)
    for p in range(begin, least(end, t.n)):
        fetch(t, place_of(t, order[p]), j0, j1)


def make_locate_rows():
    """Return the stage that finds this thread's samples of a dense matrix, and their targets, and asks for these."""

    def locate_rows(run, layer):
        t = run_table(run)
        order, first = integers(t.order) + t.next_at, (1 - t.turn) * t.tiles * S
        address, target = integers(t.address) + first, integers(t.target) + first
        begin, end = read_samples(t.next_size, t)
        for k in range(begin, end):
            o = order[k]
            address[k] = place_of(t, o)
            target[k] = t.targets + o * t.targets_stride
            prefetch(bytes_(target[k]))

    return locate_rows


def make_locate_entries():
    """Return the stage that does so for a CSR matrix: where a sample's entries begin and end."""

    def locate_entries(run, layer):
        t = run_table(run)
        order, first = integers(t.order) + t.next_at, (1 - t.turn) * t.tiles * S
        indptr = integers(t.indptr)
        entry, after, target = integers(t.address) + first, integers(t.end) + first, integers(t.target) + first
        begin, end = read_samples(t.next_size, t)
        for k in range(begin, end):
            o = order[k]
            entry[k], after[k] = indptr[o], indptr[o + 1]
            target[k] = t.targets + o * t.targets_stride
            prefetch(bytes_(target[k]))

    return locate_entries


def make_list_features(kind, raw_kind):
    """Return the stage that lists what is not zero in this thread's samples, or in its features of all samples."""
    raw, wide, values = pointer(raw_kind), pointer(wider(kind, raw_kind)), pointer(kind)
    list_nonzeros = first_layer.make_list_nonzeros(kind, raw_kind)

    @kernel
    def read(t, size, r):
        """Shard r of the features; what later batches have there is asked for."""
        T, at, order = t.tiles, t.next_at, integers(t.order)
        k0, k1 = (0, size) if t.by_feature else read_samples(size, t)
        begin, end = shard_of_features(t, r)
        j0, j1 = begin * 64, least(end * 64, t.d)
        base, scale, index, value = wide(t.base) + j0, wide(t.scale) + j0, places(t.index), values(t.value)
        ahead = at + (size if is_cached(t, size) else NEAR)
        # Every thread reads the samples that others list again, for its gradients.
        every = is_cached(t, size) and not t.by_feature
        blocks = (end - begin + t.block - 1) // t.block
        cuts, position = integers(t.cut) + r * T * S * t.cuts, T * S * j0 + k0 * (end - begin) * 64
        for k in range(k0, k1):
            if every:
                p0, p1 = share_of(size, k - k0, k1 - k0), share_of(size, k + 1 - k0, k1 - k0)
                fetch_samples(t, at + size + p0, at + size + p1, j0, j1)
            else:
                fetch_samples(t, ahead + k, ahead + k + 1, j0, j1)
            cut, nonzero = cuts + k * (blocks + 1), words(t.nonzero) + (k // S * t.words + begin)
            features = raw(place_of(t, order[at + k])) + j0
            position = list_nonzeros(
                k % S, j1 - j0, t.block, features, base, scale, index, value, position, cut, nonzero
            )
        if t.by_feature or t.all_read or t.thread == 0:
            nonzero = words(t.nonzero)
            for k in range(size, (size + S - 1) // S * S):
                for g in range(begin, end):
                    nonzero[k // S * t.words + g, k % S] = 0

    def list_features(run, layer):
        t = run_table(run)
        begin, end = feature_shards(t)
        for r in range(begin, end):
            read(t, t.next_size, r)

    return list_features


def make_mask_features():
    """Return the stage that turns the listed bits over: for each feature, the samples in which it is not zero."""

    def mask_features(run, layer):
        t = run_table(run)
        begin, end = own_features(t)
        if not (t.by_feature or t.all_read):
            begin, end = share_of(t.words, t.thread, t.threads), share_of(t.words, t.thread + 1, t.threads)
        nonzero, mask = integers(t.nonzero), integers(t.mask) + t.turn * t.tiles * t.words * 64
        for i in range(tiles_in(t.size)):
            first_layer.feature_masks(begin, end, nonzero + i * t.words * 64, mask + i * t.words * 64)

    return mask_features


def make_copy_features(kind, raw_kind, row):
    """Return the stage that copies this thread's samples, or its features of all samples, into panels."""
    raw = pointer(raw_kind)
    raw_panel, wide_panel = pointer(raw_kind, row, aligned=False), pointer(wider(kind, raw_kind), row)
    rows = pointer(kind, row)

    @inline
    def sample(t, p, j):
        """The features from j on of the sample at place p of the order."""
        return raw_panel(raw(place_of(t, integers(t.order)[p])) + j)

    @kernel
    def read(t, in_panels, size, r):
        T, at = t.tiles, t.next_at
        k0, k1 = (0, size) if t.by_feature else read_samples(size, t)
        begin, end = shard_of_features(t, r)
        j0, j1 = begin * row, least(end * row, t.d)
        base, scale = wide_panel(t.base) + begin, wide_panel(t.scale) + begin
        panels = rows(t.panels) + ((1 - t.turn) * in_panels + begin) * T * S
        ahead, last = at + (size if is_cached(t, size) else NEAR), at + k1 - 1
        for k in range(k0, k1, 4):
            fetch_samples(t, ahead + k, ahead + least(k + 4, k1), j0, j1)
            p = at + k
            first_layer.copy_dense(
                k % S, j1 - j0, row, T * S, sample(t, p, j0), sample(t, least(p + 1, last), j0),
                sample(t, least(p + 2, last), j0), sample(t, least(p + 3, last), j0),
                base, scale, panels + k // S * S,
            )  # fmt: skip

    def copy_features(run, layer):
        t = run_table(run)
        begin, end = feature_shards(t)
        for r in range(begin, end):
            read(t, t.portions, t.next_size, r)

    return copy_features
