"""The types behind fastmlp.engine.simd in compiled code: vectors, addresses of rows, tables, and their LLVM form.

Everything here works on one pair (kind, n): the kind of a number ("f32", "u8", …) and how many of them. Functions that
take `b` emit LLVM instructions with the IRBuilder `b` and return their result.
"""

from typing import NamedTuple

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.datamodel import models
from numba.core.errors import TypingError
from numba.extending import register_model


class Kind(NamedTuple):
    """One kind of number: its LLVM type, its bytes in memory, Numba's type of a single one, and its family."""

    llvm: ir.Type
    size: int
    number: types.Type
    family: str  # "float", "signed", "unsigned" or "bit"


KINDS = {
    "f32": Kind(ir.FloatType(), 4, types.float32, "float"),
    "f64": Kind(ir.DoubleType(), 8, types.float64, "float"),
    "i64": Kind(ir.IntType(64), 8, types.int64, "signed"),
    "i32": Kind(ir.IntType(32), 4, types.int64, "signed"),
    "u16": Kind(ir.IntType(16), 2, types.int64, "unsigned"),
    "u8": Kind(ir.IntType(8), 1, types.int64, "unsigned"),
    "b1": Kind(ir.IntType(1), 0, types.boolean, "bit"),  # the result of a comparison: only in registers
}
I64, I32, I1 = ir.IntType(64), ir.IntType(32), ir.IntType(1)
BYTE_POINTER = ir.IntType(8).as_pointer()
CONTRACT = ("contract",)  # the only licence given to LLVM: a product that is only added may become one fma


class Vec(types.Type):
    """n numbers of a kind in registers, as one value (n = 2 … 128, a power of two)."""

    def __init__(self, kind, n):
        self.kind, self.n = kind, n
        super().__init__(f"{kind}x{n}")


class Ptr(types.Type):
    """The address of rows of n numbers of a kind. Rows of floats start at multiples of min(64, bytes) if aligned."""

    def __init__(self, kind, n=1, aligned=True):
        if kind not in KINDS or not KINDS[kind].size:
            raise ValueError(f"no numbers of kind {kind!r} in memory")
        if n not in (1, 2, 4, 8, 16, 32, 64):
            raise ValueError(f"a row has 1, 2, 4, … or 64 numbers, not {n}")
        self.kind, self.n, self.aligned = kind, n, aligned
        super().__init__(f"ptr_{kind}x{n}" + ("" if aligned else "_unaligned"))

    @property
    def row(self):
        """The type of one row: a Vec, or a plain number where n is 1."""
        return vector(self.kind, self.n)

    @property
    def row_alignment(self):
        kind = KINDS[self.kind]
        return min(64, kind.size * self.n) if self.aligned and kind.family == "float" else kind.size


class Pair(types.Type):
    """Two addresses of rows, read and written as rows of twice the length: an address, and how far the other is."""

    def __init__(self, half):
        self.half, self.kind, self.n = half, half.kind, 2 * half.n
        super().__init__(f"pair_{half}")

    @property
    def row(self):
        return vector(self.kind, self.n)


class Struct(types.Type):
    """The address of a table of 8-byte integers, which have the names `fields`."""

    def __init__(self, name, fields):
        self.fields = fields
        super().__init__(f"{name}({', '.join(fields)})")

    @property
    def mangling_args(self):
        return self.name.partition("(")[0], ()


class SetBits(types.SimpleIteratorType):
    """The iterator over the positions of the 1 bits of an integer."""

    def __init__(self):
        super().__init__("setbits", types.int64)


@register_model(Vec)
class _VecModel(models.PrimitiveModel):
    def __init__(self, manager, t):
        super().__init__(manager, t, llvm_type(t.kind, t.n))


@register_model(Ptr)
@register_model(Struct)
class _AddressModel(models.PrimitiveModel):
    def __init__(self, manager, t):
        super().__init__(manager, t, BYTE_POINTER)


@register_model(Pair)
class _PairModel(models.StructModel):
    def __init__(self, manager, t):
        super().__init__(manager, t, [("first", t.half), ("distance", types.int64)])


@register_model(SetBits)
class _SetBitsModel(models.StructModel):
    def __init__(self, manager, t):
        super().__init__(manager, t, [("mask", types.EphemeralPointer(types.int64))])


# ---- the kind and the number of lanes of a Numba type


def vector(kind, n):
    """The Numba type of n numbers of a kind: a Vec, or a plain number where n is 1."""
    return Vec(kind, n) if n > 1 else KINDS[kind].number


def shape(t):
    """(kind, n) of a vector, of the rows at an address, or of a plain number (n = 1)."""
    if isinstance(t, (Vec, Ptr, Pair)):
        return t.kind, t.n
    if isinstance(t, types.Float):
        return ("f32" if t == types.float32 else "f64"), 1
    if isinstance(t, types.Boolean):
        return "b1", 1
    if isinstance(t, types.Integer):
        return "i64", 1
    raise TypingError(f"neither a vector nor a number: {t}")


def family(t):
    """ "float", "signed", "unsigned" or "bit"."""
    return KINDS[shape(t)[0]].family


def is_number(t):
    return isinstance(t, (types.Integer, types.Float))


def common(*args):
    """The type in which vectors and numbers meet: the vectors' type; of plain numbers the first float's, else int64.

    None if they do not fit: vectors of two types, or a float beside a vector of integers.
    """
    vectors = [a for a in args if isinstance(a, Vec)]
    if not vectors:
        return next((a for a in args if isinstance(a, types.Float)), types.int64) if all(map(is_number, args)) else None
    v = vectors[0]
    accepted = types.Float, types.Integer
    fits = accepted if family(v) == "float" else types.Integer
    return v if all(a == v or isinstance(a, fits) for a in args) else None


def meet(*args):
    """`common` type or a TypingError."""
    t = common(*args)
    if t is None:
        raise TypingError(f"these do not fit: {', '.join(map(str, args))}")
    return t


def as_argument(v, t):
    """The type that Numba casts an argument of type t to, before it is spread over the lanes of v."""
    return v if t == v else KINDS[shape(v)[0]].number


# ---- values


def llvm_type(kind, n=1):
    return ir.VectorType(KINDS[kind].llvm, n) if n > 1 else KINDS[kind].llvm


def constant(kind, n, values):
    """n numbers known at compile time: one for all lanes, or a list."""
    if n == 1:
        return ir.Constant(llvm_type(kind), values)
    return ir.Constant(llvm_type(kind, n), values if isinstance(values, list) else [values] * n)


def narrow(b, kind, x):
    """A number in Numba's type (int64) in the width of its kind."""
    return b.trunc(x, KINDS[kind].llvm) if kind in ("i32", "u16", "u8") else x


def widen(b, kind, x):
    """The reverse of `narrow`."""
    if kind == "i32":
        return b.sext(x, I64)
    return b.zext(x, I64) if kind in ("u16", "u8") else x


def spread(b, v, x):
    """A number of v's number type in all lanes of the vector type v."""
    kind, n = shape(v)
    if n == 1:
        return x
    undefined = ir.Constant(llvm_type(kind, n), ir.Undefined)
    first = b.insert_element(undefined, narrow(b, kind, x), I32(0))
    return b.shuffle_vector(first, undefined, constant("i32", n, 0))


def spread_all(b, v, args, arg_types):
    """Arguments of which some are plain numbers, all as values of type v."""
    return [a if t == v else spread(b, v, a) for a, t in zip(args, arg_types, strict=True)]


def shuffle(b, x, y, lanes):
    """A vector of the given lanes; y's lanes are counted on from x's."""
    return b.shuffle_vector(x, y, ir.Constant(ir.VectorType(I32, len(lanes)), lanes))


def call_function(b, name, result, *args):
    """Call an LLVM intrinsic or a C function."""
    function = ir.FunctionType(result, [a.type for a in args])
    return b.call(cgutils.get_or_insert_function(b.module, function, name), args)


def call_on(b, name, t, *args):
    """Call the form of an LLVM intrinsic for values of type t: llvm.sqrt.v16f32."""
    kind, n = shape(t)
    suffix = (f"v{n}" if n > 1 else "") + (kind if family(t) == "float" else f"i{KINDS[kind].llvm.width}")
    return call_function(b, f"llvm.{name}.{suffix}", llvm_type(kind, n), *args)


def load(b, llvm, address, alignment):
    return b.load(b.bitcast(address, llvm.as_pointer()), align=alignment)


def store(b, x, address, alignment):
    return b.store(x, b.bitcast(address, x.type.as_pointer()), align=alignment)


def element(b, t, address, i, j=None):
    """The address of row i, or of number j of row i, at an address of type Ptr."""
    start = b.mul(i, I64(t.n)) if t.n > 1 else i
    return b.bitcast(
        b.gep(b.gep(b.bitcast(address, KINDS[t.kind].llvm.as_pointer()), [start]), [j or I64(0)]), BYTE_POINTER
    )
