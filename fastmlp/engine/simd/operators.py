"""Operators on compiled vectors: + - * / & | ^ ~ >> and comparisons, number by number, each emitted into its caller."""

import operator

from numba.core import types
from numba.core.imputils import lower_builtin
from numba.core.typing.templates import AbstractTemplate, infer_global, signature

from fastmlp.engine.simd.types import CONTRACT, Vec, as_argument, common, constant, family, spread_all, vector


def _binary(operators, families, emit, compares=False):
    """Define operators (an operator and its in-place form) on vectors of some families; emit(family, b, x, y)."""

    class Typing(AbstractTemplate):
        def generic(self, args, kws):
            if len(args) != 2 or not any(isinstance(a, Vec) for a in args):
                return None
            v = common(*args)
            if v is None or family(v) not in families:
                return None
            return signature(vector("b1", v.n) if compares else v, *[as_argument(v, a) for a in args])

    def lower(context, b, sig, args):
        v = common(*sig.args)
        return emit(family(v), b, *spread_all(b, v, args, sig.args))

    for op in operators:
        infer_global(op)(type(f"{op.__name__}_typing", (Typing,), {}))
        for pair in ((Vec, Vec), (Vec, types.Number), (types.Number, Vec)):
            lower_builtin(op, *pair)(lower)


def _arithmetic(name):
    """Define + - or *, for floats with the contract flag: a product that is only added becomes one fma."""

    def emit(kind_family, b, x, y):
        if kind_family == "float":
            return getattr(b, f"f{name}")(x, y, flags=CONTRACT)
        return getattr(b, name)(x, y)

    _binary((getattr(operator, name), getattr(operator, f"i{name}")), ("float", "signed", "unsigned"), emit)


def compare(kind_family, b, sign, x, y):
    """A comparison as Python's: NaN is unequal to everything and neither less nor greater."""
    if kind_family == "float":
        return (b.fcmp_unordered if sign == "!=" else b.fcmp_ordered)(sign, x, y)
    return (b.icmp_signed if kind_family == "signed" else b.icmp_unsigned)(sign, x, y)


def _comparison(op, sign):
    def emit(kind_family, b, x, y):
        return compare(kind_family, b, sign, x, y)

    _binary((op,), ("float", "signed", "unsigned", "bit"), emit, compares=True)


def _unary(op, families, emit):
    class Typing(AbstractTemplate):
        def generic(self, args, kws):
            fits = len(args) == 1 and isinstance(args[0], Vec) and family(args[0]) in families
            return signature(args[0], args[0]) if fits else None

    infer_global(op)(type(f"{op.__name__}_typing", (Typing,), {}))
    lower_builtin(op, Vec)(lambda context, b, sig, args: emit(sig.args[0], b, args[0]))


for _name in ("add", "sub", "mul"):
    _arithmetic(_name)
_binary((operator.truediv, operator.itruediv), ("float",), lambda kind_family, b, x, y: b.fdiv(x, y))
_binary((operator.and_, operator.iand), ("signed", "unsigned", "bit"), lambda kind_family, b, x, y: b.and_(x, y))
_binary((operator.or_, operator.ior), ("signed", "unsigned", "bit"), lambda kind_family, b, x, y: b.or_(x, y))
_binary((operator.xor, operator.ixor), ("signed", "unsigned", "bit"), lambda kind_family, b, x, y: b.xor(x, y))
_binary((operator.rshift, operator.irshift), ("signed",), lambda kind_family, b, x, y: b.ashr(x, y))
for _op, _sign in (("gt", ">"), ("lt", "<"), ("ge", ">="), ("le", "<="), ("eq", "=="), ("ne", "!=")):
    _comparison(getattr(operator, _op), _sign)
_unary(operator.invert, ("signed", "unsigned", "bit"), lambda v, b, x: b.not_(x))
_unary(
    operator.neg,
    ("float", "signed", "unsigned"),
    lambda v, b, x: b.fneg(x) if family(v) == "float" else b.sub(constant(v.kind, v.n, 0), x),
)
