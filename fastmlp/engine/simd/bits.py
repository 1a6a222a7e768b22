"""Masks as the bits of integers in compiled code, and permutations: compress, transposes of bits and of blocks."""

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.imputils import RefType, iternext_impl, lower_builtin
from numba.extending import intrinsic

from fastmlp.engine.processor import TARGET, lanes
from fastmlp.engine.simd.types import (
    I1,
    I64,
    KINDS,
    Ptr,
    SetBits,
    Vec,
    call_function,
    constant,
    element,
    llvm_type,
    load,
    shape,
    shuffle,
    store,
    vector,
)

__all__ = [
    "add_across",
    "from_bits",
    "keep",
    "lanes_of",
    "popcount",
    "setbits",
    "to_bits",
    "transpose_bits",
    "transpose_block",
]

# ---- masks as integers


@intrinsic
def to_bits(typing_context, mask):
    """A comparison of n lanes as an int64: lane i in bit i, the rest 0."""
    kind, n = shape(mask)
    if kind != "b1":
        return None

    def generate(context, b, sig, args):
        bits = b.bitcast(args[0], ir.IntType(n))
        return bits if n == 64 else b.zext(bits, I64)

    return types.int64(mask), generate


@intrinsic
def from_bits(typing_context, like, bits):
    """The reverse: the lowest bits of an int64 as a comparison of as many lanes as `like` has, a vector or rows."""
    _, n = shape(like)

    def generate(context, b, sig, args):
        bits = args[1] if n == 64 else b.trunc(args[1], ir.IntType(n))
        return b.bitcast(bits, llvm_type("b1", n))

    return vector("b1", n)(like, types.int64), generate


@intrinsic
def popcount(typing_context, mask):
    """The number of 1 bits of an int64."""
    return types.int64(types.int64), lambda context, b, sig, args: call_function(b, "llvm.ctpop.i64", I64, args[0])


@intrinsic
def setbits(typing_context, mask):
    """An iterator over the positions of the 1 bits of an int64, lowest first: for i in setbits(mask)."""

    def generate(context, b, sig, args):
        iterator = cgutils.create_struct_proxy(sig.return_type)(context, b)
        iterator.mask = cgutils.alloca_once(b, I64)
        b.store(args[0], iterator.mask)
        return iterator._getvalue()

    return SetBits()(types.int64), generate


@lower_builtin("iternext", SetBits)
@iternext_impl(RefType.UNTRACKED)
def _next_bit(context, b, sig, args, result):
    place = cgutils.create_struct_proxy(sig.args[0])(context, b, value=args[0]).mask
    mask = b.load(place)
    more = b.icmp_unsigned("!=", mask, I64(0))
    result.set_valid(more)
    with b.if_then(more):
        result.yield_(call_function(b, "llvm.cttz.i64", I64, mask, I1(1)))
        b.store(b.and_(mask, b.sub(mask, I64(1))), place)


# ---- permutations


@intrinsic
def keep(typing_context, mask, x):
    """The numbers of x at the 1 bits of an int64 mask moved to the front, the rest 0 (x: u8, u16 or floats).

    One instruction where TARGET.compress is true; elsewhere it visits all lanes, so prefer a loop over `setbits`.
    """
    kind, n = shape(x)
    if kind not in ("u8", "u16", "f32", "f64") or n == 1:
        return None
    t = llvm_type(kind, n)
    width = 8 * KINDS[kind].size
    name = f"llvm.experimental.vector.compress.v{n}" + (kind if KINDS[kind].family == "float" else f"i{width}")

    def generate(context, b, sig, args):
        mask, value = args
        zero = constant(kind, n, 0)
        if TARGET.compress and n * width <= 512:  # LLVM miscompiles wider ones: a misaligned store to the stack
            mask = mask if n == 64 else b.trunc(mask, ir.IntType(n))
            bits = b.bitcast(mask, ir.VectorType(I1, n))
            return call_function(b, name, t, value, bits, zero)
        source, target = cgutils.alloca_once_value(b, value), cgutils.alloca_once_value(b, zero)
        place = cgutils.alloca_once_value(b, I64(0))
        numbers = KINDS[kind].llvm.as_pointer()
        with cgutils.for_range(b, I64(n)) as loop, b.if_then(b.trunc(b.lshr(mask, loop.index), I1)):
            p = b.load(place)
            x_i = b.load(b.gep(b.bitcast(source, numbers), [loop.index]))
            b.store(x_i, b.gep(b.bitcast(target, numbers), [p]))
            b.store(b.add(p, I64(1)), place)
        return b.load(target)

    return x(types.int64, x), generate


@intrinsic
def transpose_bits(typing_context, x):
    """64 × 64 bits transposed, in a vector of 64 int64: bit j of word i goes to bit i of word j."""
    if not isinstance(x, Vec) or shape(x) != ("i64", 64):
        return None

    def generate(context, b, sig, args):
        value = args[0]
        for step in (32, 16, 8, 4, 2, 1):
            # Words i and i + step exchange the upper half of the first with the lower half of the second, in each
            # group of 2·step bits.
            low = sum(1 << bit for bit in range(64) if not bit & step)
            first = [not i & step for i in range(64)]
            other = shuffle(b, value, value, [i ^ step for i in range(64)])
            shift = constant("i64", 64, step)
            moved = b.select(ir.Constant(ir.VectorType(I1, 64), first), b.shl(other, shift), b.lshr(other, shift))
            stays = constant("i64", 64, [low if i else ~low & (1 << 64) - 1 for i in first])
            value = b.or_(b.and_(value, stays), b.and_(moved, b.not_(stays)))
        return value

    return x(x), generate


@intrinsic
def lanes_of(typing_context, like):
    """How many numbers of the kind of `like` one register holds."""
    count = lanes(shape(like)[0])
    return types.int64(like), lambda context, b, sig, args: I64(count)


@intrinsic
def transpose_block(typing_context, source, i, target, j):
    """target[j + b, i + a] = source[i + a, j + b] for a, b < lanes of the kind (addresses of rows of f32 or f64)."""
    if not isinstance(source, Ptr) or not isinstance(target, Ptr) or source.kind != target.kind:
        return None
    kind, n = source.kind, lanes(source.kind)
    size = KINDS[kind].size

    def generate(context, b, sig, args):
        source_address, i, target_address, j = args
        rows = []
        for k in range(n):
            place = element(b, source, source_address, b.add(i, I64(k)), j)
            rows.append(load(b, llvm_type(kind, n), place, size))
        for k, row in enumerate(_butterfly(b, rows)):
            store(b, row, element(b, target, target_address, b.add(j, I64(k)), i), size)
        return context.get_dummy_value()

    return types.none(source, types.int64, target, types.int64), generate


@intrinsic
def add_across(typing_context, source, i, target, j, lane):
    """target[j, lane + a] = the sum of row source[i + a], a < lanes of the kind (addresses of rows of f32 or f64)."""
    if not isinstance(source, Ptr) or not isinstance(target, Ptr) or source.kind != target.kind:
        return None
    kind, n = source.kind, lanes(source.kind)
    size = KINDS[kind].size

    def generate(context, b, sig, args):
        source_address, i, target_address, j, lane = args
        rows = []
        for k in range(n):
            parts = [element(b, source, source_address, b.add(i, I64(k)), I64(c)) for c in range(0, source.n, n)]
            first, *others = (load(b, llvm_type(kind, n), part, size) for part in parts)
            for other in others:
                first = b.fadd(first, other)
            rows.append(first)
        store(b, _fold(b, rows), element(b, target, target_address, j, lane), size)
        return context.get_dummy_value()

    return types.none(source, types.int64, target, types.int64, types.int64), generate


def _fold(b, rows):
    """The sums of n rows of n lanes, one a lane: pairs of rows fold their halves into one row, again and again."""
    step = len(rows) // 2
    while step:
        # A row holds the sums of n / step rows by now, in groups of `step` lanes; each is to hold twice as many.
        rows = [_fold_pair(b, x, y, step) for x, y in zip(rows[::2], rows[1::2], strict=True)]
        step //= 2
    return rows[0]


def _fold_pair(b, x, y, step):
    """Of each group of 2·step lanes of x, then of y, the sum of its halves."""
    n = x.type.count
    lower = [g + k for g in range(0, 2 * n, 2 * step) for k in range(step)]
    return b.fadd(shuffle(b, x, y, lower), shuffle(b, x, y, [lane + step for lane in lower]))


def _butterfly(b, rows):
    """n rows of n lanes transposed in registers: rows i and i + step exchange half their lanes."""
    n, step = len(rows), 1
    while step < n:
        upper = [n + (i ^ step) if i & step else i for i in range(n)]
        lower = [n + i if i & step else i | step for i in range(n)]
        for i in range(n):
            if not i & step:
                x, y = rows[i], rows[i + step]
                rows[i], rows[i + step] = shuffle(b, x, y, upper), shuffle(b, x, y, lower)
        step *= 2
    return rows
