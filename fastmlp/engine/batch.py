"""The next batch: where its samples lie, and their features as the first layer needs them, listed or in panels."""

from fastmlp.engine import first_layer
from fastmlp.engine.division import make_division, share_of, share_of_samples
from fastmlp.engine.plan import wider
from fastmlp.engine.simd import inline, kernel, least, pointer, prefetch
from fastmlp.engine.spec import S

words, bytes_ = pointer("i64", 64), pointer("u8")

CACHED = 1 << 19
"""Bytes of a batch that a core's cache holds while the one before it is trained on: it is asked for that early."""
NEAR = 16
"""How many samples ahead those of a larger batch are asked for."""


@inline
def is_cached(B, t):
    return B * t.d * t.raw_bytes <= CACHED


@kernel
def fetch(t, place, j0, j1):
    """Ask for features j0 ≤ j < j1 of the sample at an address, before they are read."""
    for byte in range(j0 * t.raw_bytes, j1 * t.raw_bytes, 64):
        prefetch(bytes_(place) + byte)


@kernel
def fetch_tile(t, first, count, j0, j1):
    """Ask for features j0 ≤ j < j1 of samples that `prepare` located, from `first` on."""
    for k in range(first, first + count):
        fetch(t, t.address[k], j0, j1)


def make_prepare(spec):
    """Return the kernel prepare(t, s, B, turn): this thread's part of the batch of B samples from s on.

    That is some of the samples, whole, or where the first layer is divided by feature some features of all samples.
    """
    raw, row = pointer(spec.raw), spec.row
    raw_panel, base_panel = pointer(spec.raw, row, aligned=False), pointer(wider(spec.kind, spec.raw), row)
    sparse, csr, by_feature = spec.form == "sparse", spec.form == "csr", spec.by_feature
    size = 64 if sparse else row
    by_label = spec.loss == "cross_entropy"
    list_nonzeros = first_layer.make_list_nonzeros(spec.kind, spec.raw)
    parts, part, _, _ = make_division(spec)

    @inline
    def place_of(t, o):
        return t.X + o * t.stride if o < t.safe else t.tail + (o - t.safe) * t.stride

    @inline
    def sample(t, p, j):
        """The features from j on of the sample at place p of the order."""
        return raw(place_of(t, t.order[p])) + j

    @kernel
    def fetch_samples(t, begin, end, j0, j1):
        """Ask for features j0 ≤ j < j1 of the samples at begin ≤ p < end of the order."""
        for p in range(begin, least(end, t.n)):
            fetch(t, place_of(t, t.order[p]), j0, j1)

    @kernel
    def locate(t, s, B, turn):
        """Where this thread's samples lie, and their targets; those a batch ahead are asked for."""
        first = turn * t.tiles * S
        k0, k1 = share_of_samples(B, t)
        for k in range(k0, k1):
            o = t.order[s + k]
            if t.learn:
                t.code[first + k] = t.labels[o] if by_label else t.targets + o * t.targets_stride
                if s + B + k < t.n:
                    later = t.order[s + B + k]
                    prefetch(bytes_(t.labels + later) if by_label else bytes_(t.targets + later * t.targets_stride))
            if csr:
                t.address[first + k], t.end[first + k] = t.indptr[o], t.indptr[o + 1]
            else:
                t.address[first + k] = place_of(t, o)

    @kernel
    def read(t, s, B, turn, r):
        """A part of the features: lists of what is not zero, or panels."""
        T = t.tiles
        k0, k1 = (0, B) if by_feature else share_of_samples(B, t)
        begin, end = part(t, r)
        j0, j1 = begin * size, least(end * size, t.d)
        base, scale = t.base + j0, t.scale + j0
        ahead = s + B if is_cached(B, t) else s + NEAR
        read_again = sparse and is_cached(B, t) and t.learn and not by_feature  # by every thread, for the gradient
        blocks = (end - begin + t.block - 1) // t.block
        cuts, position = t.cut + r * T * S * t.cuts, T * S * j0 + k0 * (end - begin) * 64
        for k in range(k0, k1):
            i = k // S
            if read_again:
                p0, p1 = share_of(B, k - k0, k1 - k0), share_of(B, k + 1 - k0, k1 - k0)
                fetch_samples(t, s + B + p0, s + B + p1, j0, j1)
            else:
                fetch_samples(t, ahead + k, ahead + k + 1, j0, j1)
            if sparse:
                cut, nonzero = cuts + k * (blocks + 1), words(t.nonzero) + (i * t.words + begin)
                features = sample(t, s + k, j0)
                position = list_nonzeros(
                    k % S, j1 - j0, t.block, features, base, scale, t.index, t.value, position, cut, nonzero
                )
            elif k % 4 == 0:
                last = s + k1 - 1
                first_layer.copy_dense(
                    k % S, j1 - j0, row, T * S,
                    raw_panel(sample(t, s + k, j0)), raw_panel(sample(t, least(s + k + 1, last), j0)),
                    raw_panel(sample(t, least(s + k + 2, last), j0)), raw_panel(sample(t, least(s + k + 3, last), j0)),
                    base_panel(base), base_panel(scale), t.panels + ((turn * t.layers.in_panels + begin) * T + i) * S,
                )  # fmt: skip
        if sparse and (by_feature or t.thread == 0):
            for k in range(B, (B + S - 1) // S * S):
                for g in range(begin, end):
                    t.nonzero[(k // S * t.words + g) * 64 + k % S] = 0

    @kernel
    def prepare(t, s, B, turn):
        """This thread's part of the batch that begins at s."""
        locate(t, s, B, turn)
        if not csr:
            begin, end = parts(t)
            for r in range(begin, end):
                read(t, s, B, turn, r)

    return prepare
