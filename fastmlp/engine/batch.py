"""The next batch: where its samples lie, and their features as the first layer needs them, listed or in panels."""

from fastmlp.engine import first_layer
from fastmlp.engine.division import make_division, share_of, share_of_samples
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
def fetch_tile(t, first, count, begin, end):
    """Ask for features begin ≤ j < end of samples that `prepare` located, from `first` on."""
    for k in range(first, first + count):
        for byte in range(begin * t.raw_bytes, end * t.raw_bytes, 64):
            prefetch(bytes_(t.address[k]) + byte)


def make_prepare(spec):
    """Return the kernel prepare(t, s, B, turn): this thread's part of the batch of B samples from s on.

    That is some of the samples, whole, or where the first layer is divided by feature some features of all samples.
    """
    raw, row = pointer(spec.raw), spec.row
    raw_panel, base_panel = pointer(spec.raw, row, aligned=False), pointer(spec.kind, row)
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
    def fetch(t, begin, end, b0, b1):
        """Ask for bytes b0 to b1 of the samples at begin ≤ p < end of the order, before they are read."""
        for p in range(begin, least(end, t.n)):
            o = t.order[p]
            prefetch(bytes_(t.labels + o) if by_label else bytes_(t.targets + o * t.targets_stride))
            row_ahead = bytes_(t.X + o * t.stride)
            for byte in range(b0, b1, 64):
                prefetch(row_ahead + byte)

    @kernel
    def locate(t, s, B, turn):
        """Where this thread's samples lie, and their targets."""
        first = turn * t.tiles * S
        k0, k1 = share_of_samples(B, t)
        for k in range(k0, k1):
            o = t.order[s + k]
            if t.learn:
                t.code[first + k] = t.labels[o] if by_label else t.targets + o * t.targets_stride
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
        j, d = begin * size, least(end * size, t.d)
        base, scale = t.base + j, t.scale + j
        b0, b1 = j * t.raw_bytes, d * t.raw_bytes
        ahead = s + B if is_cached(B, t) else s + NEAR
        read_again = sparse and is_cached(B, t) and t.learn and not by_feature  # by every thread, for the gradient
        blocks = (end - begin + t.block - 1) // t.block
        cuts, position = t.cut + r * T * S * t.cuts, T * S * j + k0 * (end - begin) * 64
        for k in range(k0, k1):
            i = k // S
            if read_again:
                fetch(t, s + B + share_of(B, k - k0, k1 - k0), s + B + share_of(B, k + 1 - k0, k1 - k0), b0, b1)
            else:
                fetch(t, ahead + k, ahead + k + 1, b0, b1)
            if sparse:
                cut, nonzero = cuts + k * (blocks + 1), words(t.nonzero) + (i * t.words + begin)
                features = sample(t, s + k, j)
                position = list_nonzeros(
                    k % S, d - j, t.block, features, base, scale, t.index, t.value, position, cut, nonzero
                )
            elif k % 4 == 0:
                last = s + k1 - 1
                first_layer.copy_dense(
                    k % S, d - j, row, T * S,
                    raw_panel(sample(t, s + k, j)), raw_panel(sample(t, least(s + k + 1, last), j)),
                    raw_panel(sample(t, least(s + k + 2, last), j)), raw_panel(sample(t, least(s + k + 3, last), j)),
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
