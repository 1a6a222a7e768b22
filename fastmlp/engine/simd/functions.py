"""Functions of compiled vectors: building and converting them, choosing, rounding, and all lanes to one number."""

from llvmlite import ir
from numba.core import types
from numba.core.errors import TypingError
from numba.extending import intrinsic

from fastmlp.engine.processor import TARGET
from fastmlp.engine.simd.operators import compare
from fastmlp.engine.simd.types import (
    CONTRACT,
    I32,
    KINDS,
    as_argument,
    call_function,
    call_on,
    constant,
    family,
    llvm_type,
    meet,
    shape,
    shuffle,
    spread,
    spread_all,
    vector,
    widen,
)

__all__ = [
    "absolute",
    "by_kind",
    "convert",
    "copysign",
    "exponent",
    "floor",
    "inverse",
    "inverse_root",
    "iota",
    "least",
    "mantissa",
    "maximum",
    "minimum",
    "number",
    "polynomial",
    "reduce_max",
    "reduce_product",
    "reduce_sum",
    "rint",
    "splat",
    "sqrt",
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
    """The numbers of x in the kind of `like`, lane by lane, or one number. Floats are cut to integers."""
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
    """2**(k - bias) of floats t = 1.5·2**m + k; 0 for k = 0 (f32: m = 23, bias = 127; f64: m = 52, bias = 1023)."""
    kind, n = shape(t)
    integer, mantissa = {"f32": ("i32", 23), "f64": ("i64", 52)}[kind]

    def generate(context, b, sig, args):
        bits = b.bitcast(args[0], llvm_type(integer, n))
        return b.bitcast(b.shl(bits, constant(integer, n, mantissa)), llvm_type(kind, n))

    return t(t), generate


def _parts(b, kind, n, x):
    """The bits of x, and e plus the kind's bias, where x/2**e lies in [√½, √2)."""
    integer, m, bias, root = FIELDS[kind]
    bits = b.bitcast(x, llvm_type(integer, n))
    lifted = b.add(bits, constant(integer, n, (bias << m) - root))
    return bits, b.lshr(lifted, constant(integer, n, m))


FIELDS = {"f32": ("i32", 23, 127, 0x3F3504F3), "f64": ("i64", 52, 1023, 0x3FE6A09E667F3BCD)}
"""Of each kind: integers of its size, the bits of its mantissa, the bias of its exponent, and √½ as an integer."""


@intrinsic
def exponent(typing_context, x):
    """The whole number e for which x/2**e lies in [√½, √2), of normal positive x."""
    kind, n = shape(x)

    def generate(context, b, sig, args):
        integer, m, bias, _ = FIELDS[kind]
        _, field = _parts(b, kind, n, args[0])
        # The field, in the last bits of 2**m: no machine has to convert 64-bit integers.
        lifted = b.or_(field, constant(integer, n, (bias + m) << m))
        return b.fsub(b.bitcast(lifted, llvm_type(kind, n)), constant(kind, n, 2.0**m + bias))

    return x(x), generate


@intrinsic
def mantissa(typing_context, x):
    """x/2**e in [√½, √2), of normal positive x, where e is `exponent(x)`."""
    kind, n = shape(x)

    def generate(context, b, sig, args):
        integer, m, bias, _ = FIELDS[kind]
        bits, field = _parts(b, kind, n, args[0])
        power = b.shl(b.sub(field, constant(integer, n, bias)), constant(integer, n, m))
        return b.bitcast(b.sub(bits, power), llvm_type(kind, n))

    return x(x), generate


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
def least(typing_context, x, y):
    """The smaller one of two integers."""
    return types.int64(types.int64, types.int64), lambda context, b, sig, args: b.select(
        b.icmp_signed("<", *args), *args
    )


def _approximated(instruction, exact, improve):
    """A function of normal positive x, by AVX-512's approximation of 14 bits and Newton's steps, which double the bits.

    In a fifth of the time of a division or a square root. Elsewhere it is what `exact` gives.
    """

    @intrinsic
    def function(typing_context, x):
        kind, n = shape(x)
        lanes, steps = {"f32": (16, 1), "f64": (8, 2)}.get(kind, (0, 0))
        if not lanes:
            return None
        intrinsic_name = f"llvm.x86.avx512.{instruction}14.{'ps' if kind == 'f32' else 'pd'}.512"

        def approximate(b, value):
            register, every = llvm_type(kind, lanes), ir.IntType(lanes)(-1)
            parts = []
            for first in range(0, n, lanes):
                part = shuffle(b, value, value, list(range(first, first + lanes)))
                parts.append(call_function(b, intrinsic_name, register, part, constant(kind, lanes, 0), every))
            while len(parts) > 1:
                width = 2 * parts[0].type.count
                parts = [shuffle(b, p, q, list(range(width))) for p, q in zip(parts[::2], parts[1::2], strict=True)]
            return parts[0]

        def generate(context, b, sig, args):
            if not TARGET.has_approximations or n % lanes:
                return exact(b, x, args[0])
            r = approximate(b, args[0])
            for _ in range(steps):
                r = improve(b, x, args[0], r)
            return r

        return x(x), generate

    return function


def _multiply_add(b, x, p, q, c):
    """p q + c, with a number c."""
    return b.fadd(b.fmul(p, q, flags=CONTRACT), constant(*shape(x), c), flags=CONTRACT)


def _divided(b, x, value):
    return b.fdiv(constant(*shape(x), 1), value)


def _improve_inverse(b, x, value, r):
    return b.fmul(r, _multiply_add(b, x, b.fneg(value), r, 2))


def _improve_inverse_root(b, x, value, r):
    half = b.fmul(b.fmul(constant(*shape(x), -0.5), value), r)
    return b.fmul(r, _multiply_add(b, x, half, r, 1.5))


#: inverse(x): 1/x, and inverse_root(x): 1/sqrt(x), of normal positive x, to an ulp or two.
inverse = _approximated("rcp", _divided, _improve_inverse)
inverse_root = _approximated(
    "rsqrt", lambda b, x, value: _divided(b, x, call_on(b, "sqrt", x, value)), _improve_inverse_root
)


# ---- all lanes to one number


def _halve(b, n, x, combine):
    """Combine lanes i and i + n/2, then i and i + n/4, …: the same order on every machine."""
    while n > 2:
        n //= 2
        x = combine(shuffle(b, x, x, list(range(n))), shuffle(b, x, x, list(range(n, 2 * n))))
    return combine(b.extract_element(x, I32(0)), b.extract_element(x, I32(1))) if n == 2 else x


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


#: reduce_sum(x): the sum of all lanes in float64 (int64 for integers), lanes i and i + n/2 first: always the same bits.
reduce_sum = _reduction("add")
#: reduce_product(x): the product of all lanes, as reduce_sum.
reduce_product = _reduction("mul")


@intrinsic
def reduce_max(typing_context, x):
    """The largest number of all lanes, in the kind of x. Not defined for NaN."""
    kind, n = shape(x)

    def generate(context, b, sig, args):
        def larger(x, y):
            return b.select(compare(KINDS[kind].family, b, ">", y, x), y, x)

        return widen(b, kind, _halve(b, n, args[0], larger))

    return KINDS[kind].number(x), generate
