"""Functions of compiled vectors: building, choosing, rounding, summing, masks and their bits, permutations."""

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.errors import TypingError
from numba.core.imputils import RefType, iternext_impl, lower_builtin
from numba.extending import intrinsic

from fastmlp.jit.simd_machine import COMPRESS, lanes
from fastmlp.jit.simd_operators import compare
from fastmlp.jit.simd_types import (
    CONTRACT,
    I1,
    I64,
    KINDS,
    Ptr,
    SetBits,
    Vec,
    as_argument,
    call,
    call_on,
    constant,
    element,
    family,
    llvm_type,
    load,
    meet,
    shape,
    shuffle,
    spread,
    spread_all,
    store,
    vector,
    widen,
)

__all__ = [
    "absolute",
    "by_kind",
    "convert",
    "copysign",
    "floor",
    "iota",
    "keep",
    "lanes_of",
    "least",
    "log",
    "maximum",
    "minimum",
    "number",
    "polynomial",
    "popcount",
    "reduce_max",
    "reduce_product",
    "reduce_sum",
    "rint",
    "setbits",
    "splat",
    "sqrt",
    "to_bits",
    "transpose_bits",
    "transpose_block",
    "two_to",
    "where",
]

# ---- vectors from numbers, and of another kind


@intrinsic
def splat(typing_context, like, x):
    """A vector like `like` (a vector, or the address of rows) with the number x in all lanes."""
    v = vector(*shape(like))
    return v(like, as_argument(v, x)), lambda context, b, sig, args: spread(b, v, args[1])


@intrinsic
def number(typing_context, like, x):
    """The number x in the kind of `like`: float32, float64, or int64 for all integers."""
    t = KINDS[shape(like)[0]].number
    return t(like, t), lambda context, b, sig, args: args[1]


@intrinsic
def iota(typing_context, like, first):
    """first, first + 1, …, in a vector like `like`."""
    v = vector(*shape(like))
    kind, n = shape(v)

    def generate(context, b, sig, args):
        start, steps = spread(b, v, args[1]), constant(kind, n, list(range(n)) if n > 1 else 0)
        return b.fadd(start, steps) if family(v) == "float" else b.add(start, steps)

    return v(like, as_argument(v, first)), generate


@intrinsic
def convert(typing_context, like, x):
    """The numbers of x in the kind of `like`, lane by lane (a plain number: as `number`). Floats are cut to integers."""
    (kind, _), (old, n) = shape(like), shape(x)
    v = vector(kind, n)
    if n == 1:
        return v(like, v), lambda context, b, sig, args: args[1]
    source, target = KINDS[old], KINDS[kind]

    def generate(context, b, sig, args):
        value, t = args[1], llvm_type(kind, n)
        if source.family == "float" and target.family == "float":
            return value if old == kind else (b.fpext if target.size > source.size else b.fptrunc)(value, t)
        if source.family == "float":
            return (b.fptosi if target.family == "signed" else b.fptoui)(value, t)
        if target.family == "float":
            return (b.sitofp if source.family == "signed" else b.uitofp)(value, t)
        if target.llvm.width <= source.llvm.width:
            return value if target.llvm.width == source.llvm.width else b.trunc(value, t)
        return (b.sext if source.family == "signed" else b.zext)(value, t)

    return v(like, x), generate


def by_kind(f32, f64):
    """A function of `like`: one of two constants, in all lanes, by the kind of `like`."""

    @intrinsic
    def chosen(typing_context, like):
        v = vector(*shape(like))
        kind, n = shape(v)
        return v(like), lambda context, b, sig, args: constant(kind, n, {"f32": f32, "f64": f64}[kind])

    return chosen


def polynomial(f32, f64):
    """A function of x: the polynomial with the coefficients (x**0 first) for the kind of x, by Horner's rule."""

    @intrinsic
    def value(typing_context, x):
        kind, n = shape(x)

        def generate(context, b, sig, args):
            *others, p = [constant(kind, n, c) for c in {"f32": f32, "f64": f64}[kind]]
            for c in reversed(others):
                p = b.fadd(b.fmul(p, args[0], flags=CONTRACT), c, flags=CONTRACT)
            return p

        return x(x), generate

    return value


@intrinsic
def two_to(typing_context, t):
    """2**(k - bias), where float t = 1.5·2**m + k (m: bits of the mantissa, 23 or 52; bias: 127 or 1023); 0 for k = 0."""
    kind, n = shape(t)
    integer, mantissa = {"f32": ("i32", 23), "f64": ("i64", 52)}[kind]

    def generate(context, b, sig, args):
        bits = b.bitcast(args[0], llvm_type(integer, n))
        return b.bitcast(b.shl(bits, constant(integer, n, mantissa)), llvm_type(kind, n))

    return t(t), generate


# ---- lane by lane


@intrinsic
def where(typing_context, mask, x, y):
    """x in the lanes where the mask is set, else y; x and y are vectors or numbers."""
    v = meet(x, y)
    if shape(mask) != ("b1", shape(v)[1]):
        raise TypingError(f"where({mask}, {x}, {y}): the mask must be a comparison of as many lanes")

    def generate(context, b, sig, args):
        return b.select(args[0], *spread_all(b, v, args[1:], sig.args[1:]))

    return v(mask, as_argument(v, x), as_argument(v, y)), generate


def _extremum(sign):
    @intrinsic
    def extremum(typing_context, x, y):
        v = meet(x, y)

        def generate(context, b, sig, args):
            x, y = spread_all(b, v, args, sig.args)
            return b.select(compare(family(v), b, sign, y, x), y, x)

        return v(as_argument(v, x), as_argument(v, y)), generate

    return extremum


#: maximum(x, y): y where y > x, else x. So a NaN in x stays, and one in y is dropped.
maximum = _extremum(">")
#: minimum(x, y): y where y < x, else x. So a NaN in x stays, and one in y is dropped.
minimum = _extremum("<")


def _unary(name):
    @intrinsic
    def function(typing_context, x):
        return (x(x), lambda context, b, sig, args: call_on(b, name, x, args[0])) if family(x) == "float" else None

    return function


absolute, sqrt, floor, rint = _unary("fabs"), _unary("sqrt"), _unary("floor"), _unary("rint")


@intrinsic
def copysign(typing_context, x, y):
    """The numbers of x with the signs of y."""
    return x(x, x), lambda context, b, sig, args: call_on(b, "copysign", x, *args)


@intrinsic
def log(typing_context, x):
    """The natural logarithm of one number, in float64."""
    return types.float64(types.float64), lambda context, b, sig, args: call_on(b, "log", types.float64, args[0])


@intrinsic
def least(typing_context, x, y):
    """The smaller one of two integers."""
    return types.int64(types.int64, types.int64), lambda context, b, sig, args: b.select(
        b.icmp_signed("<", *args), *args
    )


# ---- all lanes to one number


def _halve(b, n, x, combine):
    """Combine lanes i and i + n/2, then i and i + n/4, …: the same order on every machine."""
    while n > 1:
        n //= 2
        x = (
            combine(shuffle(b, x, x, list(range(n))), shuffle(b, x, x, list(range(n, 2 * n))))
            if n > 1
            else combine(b.extract_element(x, ir.IntType(32)(0)), b.extract_element(x, ir.IntType(32)(1)))
        )
    return x


def _reduction(operation):
    @intrinsic
    def reduce(typing_context, x):
        kind, n = shape(x)
        wide = "f64" if family(x) == "float" else "i64"

        def generate(context, b, sig, args):
            value = args[0]
            if n > 1 and kind != wide:
                t = llvm_type(wide, n)
                value = {"float": b.fpext, "signed": b.sext, "unsigned": b.zext}[family(x)](value, t)
            elif kind == "f32":
                value = b.fpext(value, llvm_type(wide))
            return _halve(b, n, value, getattr(b, ("f" if wide == "f64" else "") + operation))

        return KINDS[wide].number(x), generate

    return reduce


#: reduce_sum(x): the sum of all lanes, in float64 (int64 for integers), lanes i and i + n/2 first: always the same bits.
reduce_sum = _reduction("add")
#: reduce_product(x): the product of all lanes, as reduce_sum.
reduce_product = _reduction("mul")


@intrinsic
def reduce_max(typing_context, x):
    """The largest number of all lanes, in the kind of x. Not defined for NaN."""
    kind, n = shape(x)

    def generate(context, b, sig, args):
        return widen(
            b,
            kind if n > 1 else "i64",
            _halve(b, n, args[0], lambda x, y: b.select(compare(family(x_), b, ">", y, x), y, x)),
        )

    x_ = x
    return KINDS[kind].number(x), generate


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
def popcount(typing_context, mask):
    """The number of 1 bits of an int64."""
    return types.int64(types.int64), lambda context, b, sig, args: call(b, "llvm.ctpop.i64", I64, args[0])


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
        result.yield_(call(b, "llvm.cttz.i64", I64, mask, I1(1)))
        b.store(b.and_(mask, b.sub(mask, I64(1))), place)


# ---- permutations


@intrinsic
def keep(typing_context, mask, x):
    """The numbers of x at the 1 bits of an int64 mask moved to the front, the rest 0 (x: a vector of u8 or u16).

    One instruction where COMPRESS is true; elsewhere a loop over `setbits` is faster.
    """
    kind, n = shape(x)
    if kind not in ("u8", "u16") or n == 1:
        return None
    t = llvm_type(kind, n)
    width = KINDS[kind].llvm.width

    def generate(context, b, sig, args):
        mask, value = args
        zero = constant(kind, n, 0)
        if COMPRESS and n * width <= 512:  # LLVM miscompiles wider ones: a misaligned store to the stack
            mask = mask if n == 64 else b.trunc(mask, ir.IntType(n))
            bits = b.bitcast(mask, ir.VectorType(I1, n))
            return call(b, f"llvm.experimental.vector.compress.v{n}i{width}", t, value, bits, zero)
        source, target = cgutils.alloca_once_value(b, value), cgutils.alloca_once_value(b, zero)
        place = cgutils.alloca_once_value(b, I64(0))
        with cgutils.for_range(b, I64(n)) as loop, b.if_then(b.trunc(b.lshr(mask, loop.index), I1)):
            p = b.load(place)
            b.store(b.load(b.gep(source, [I64(0), loop.index])), b.gep(target, [I64(0), p]))
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


def _butterfly(b, rows):
    """n rows of n lanes transposed in registers: rows i and i + step exchange lanes whose numbers differ in bit step."""
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
