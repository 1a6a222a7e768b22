"""Memory in compiled code: rows at an address, tables of addresses, prefetching and atomic counters."""

import operator

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.imputils import lower_builtin, lower_getattr_generic, lower_setattr_generic
from numba.core.typing.templates import AbstractTemplate, AttributeTemplate, infer_getattr, infer_global, signature
from numba.extending import intrinsic

from fastmlp.engine.processor import TARGET
from fastmlp.engine.simd.types import (
    BYTE_POINTER,
    I32,
    I64,
    KINDS,
    Pair,
    Ptr,
    Struct,
    Vec,
    call_function,
    element,
    is_number,
    llvm_type,
    load,
    narrow,
    shuffle,
    spread,
    store,
    widen,
)

__all__ = [
    "atomic_load",
    "atomic_store",
    "call",
    "flush_subnormals",
    "pair",
    "pointer",
    "prefetch",
    "restore_arithmetic",
    "spin",
    "struct",
    "ticks",
]

LINE = 64  # bytes of a cache line


# ---- addresses and what stands there


def pointer(kind, n=1, aligned=True):
    """A function that makes an address (an int, or another pointer) the address of rows of n numbers of a kind.

    Rows of floats are read and written as aligned to min(64, their bytes), unless aligned=False. `.t` is the type.
    """
    t = Ptr(kind, n, aligned)

    @intrinsic
    def cast(typing_context, address):
        if isinstance(address, Ptr):
            return t(address), lambda context, b, sig, args: args[0]
        return t(types.int64), lambda context, b, sig, args: b.inttoptr(args[0], BYTE_POINTER)

    cast.t = t
    return cast


def _indexed(args):
    """(type of the index, type of what stands there) for p[i] and p[k, i]."""
    p, i = args[0], args[1]
    if isinstance(p, (Ptr, Pair)) and isinstance(i, types.Integer):
        return types.intp, p.row
    if isinstance(p, Ptr) and isinstance(i, types.BaseTuple) and len(i) == 2:
        return types.UniTuple(types.intp, 2), KINDS[p.kind].number
    if isinstance(p, Struct) and isinstance(i, types.Integer):
        return types.intp, p
    return None


@infer_global(operator.getitem)
class _GetItem(AbstractTemplate):
    def generic(self, args, kws):
        found = _indexed(args)
        return found and signature(found[1], args[0], found[0])


@infer_global(operator.setitem)
class _SetItem(AbstractTemplate):
    def generic(self, args, kws):
        found = _indexed(args)
        if found is None or isinstance(args[0], Struct):
            return None
        index, there = found
        value = KINDS[args[0].kind].number if is_number(args[2]) else there
        return signature(types.none, args[0], index, value)


def _place(b, p, index_type, address, index):
    if isinstance(index_type, types.BaseTuple):
        return element(b, p, address, b.extract_value(index, 0), b.extract_value(index, 1))
    return element(b, p, address, index)


def _get(context, b, sig, args):
    p, there = sig.args[0], sig.return_type
    place = _place(b, p, sig.args[1], *args)
    if isinstance(there, Vec):
        return load(b, llvm_type(p.kind, p.n), place, p.row_alignment)
    return widen(b, p.kind, load(b, llvm_type(p.kind), place, KINDS[p.kind].size))


def _set(context, b, sig, args):
    p, index_type, value_type = sig.args
    place, value = _place(b, p, index_type, *args[:2]), args[2]
    if isinstance(index_type, types.BaseTuple) or p.n == 1:
        store(b, narrow(b, p.kind, value), place, KINDS[p.kind].size)
    else:
        store(b, value if isinstance(value_type, Vec) else spread(b, p.row, value), place, p.row_alignment)
    return context.get_dummy_value()


for _index in (types.Integer, types.UniTuple):
    lower_builtin(operator.getitem, Ptr, _index)(_get)
    lower_builtin(operator.setitem, Ptr, _index, types.Any)(_set)


def _move(op, sign):
    """p + i: the address of row i."""

    class Typing(AbstractTemplate):
        def generic(self, args, kws):
            movable = (Ptr, Struct, Pair) if op is operator.add else (Ptr, Struct)
            if len(args) == 2 and isinstance(args[0], movable) and isinstance(args[1], types.Integer):
                return signature(args[0], args[0], types.intp)
            return None

    infer_global(op)(type(f"{op.__name__}_typing", (Typing,), {}))

    @lower_builtin(op, Ptr, types.Integer)
    def lower(context, b, sig, args):
        return element(b, sig.args[0], args[0], b.mul(I64(sign), args[1]))

    @lower_builtin(op, Struct, types.Integer)
    def lower_struct(context, b, sig, args):
        return b.gep(args[0], [b.mul(I64(sign * 8 * len(sig.args[0].fields)), args[1])])


for _op, _sign in ((operator.add, 1), (operator.iadd, 1), (operator.sub, -1), (operator.isub, -1)):
    _move(_op, _sign)


@lower_builtin(operator.getitem, Struct, types.Integer)
def _get_struct(context, b, sig, args):
    return b.gep(args[0], [b.mul(I64(8 * len(sig.args[0].fields)), args[1])])


@intrinsic
def pair(typing_context, p, distance):
    """Rows of twice the length: row i is p[i] and then p[distance + i], so that one source serves one panel and two.

    With distance 0 both halves are the same row, and writing writes it twice.
    """

    def generate(context, b, sig, args):
        value = cgutils.create_struct_proxy(sig.return_type)(context, b)
        value.first, value.distance = args
        return value._getvalue()

    return (Pair(p)(p, types.int64), generate) if isinstance(p, Ptr) and p.n > 1 else None


def _halves(b, t, value, i):
    """The addresses of row i's halves."""
    first, distance = b.extract_value(value, 0), b.extract_value(value, 1)
    return element(b, t.half, first, i), element(b, t.half, first, b.add(distance, i))


@lower_builtin(operator.getitem, Pair, types.Integer)
def _get_pair(context, b, sig, args):
    t = sig.args[0]
    half = llvm_type(t.kind, t.half.n)
    low, high = (load(b, half, place, t.half.row_alignment) for place in _halves(b, t, *args))
    return shuffle(b, low, high, list(range(t.n)))


@lower_builtin(operator.setitem, Pair, types.Integer, types.Any)
def _set_pair(context, b, sig, args):
    t, _, value_type = sig.args
    value = args[2] if isinstance(value_type, Vec) else spread(b, t.row, args[2])
    for i, place in enumerate(_halves(b, t, *args[:2])):
        lanes = list(range(i * t.half.n, (i + 1) * t.half.n))
        store(b, shuffle(b, value, value, lanes), place, t.half.row_alignment)
    return context.get_dummy_value()


@lower_builtin(operator.add, Pair, types.Integer)
def _move_pair(context, b, sig, args):
    first = element(b, sig.args[0].half, b.extract_value(args[0], 0), args[1])
    return b.insert_value(args[0], first, 0)


# ---- tables


def struct(name, fields):
    """A function that makes an address (an int) a table of 8-byte integers, its attributes: t.batch, t.turn = 1.

    fields: their names, in order. t + l, t[l]: the l-th table of an array. `.t` is the type.
    """
    t = Struct(name, tuple(fields))

    @intrinsic
    def cast(typing_context, address):
        return t(types.int64), lambda context, b, sig, args: b.inttoptr(args[0], BYTE_POINTER)

    cast.t = t
    return cast


@infer_getattr
class _StructAttributes(AttributeTemplate):
    key = Struct

    def generic_resolve(self, t, name):
        return types.int64 if name in t.fields else None


@lower_getattr_generic(Struct)
def _get_attribute(context, b, t, address, name):
    return load(b, I64, b.gep(address, [I64(8 * t.fields.index(name))]), 8)


@lower_setattr_generic(Struct)
def _set_attribute(context, b, sig, args, name):
    t, value_type = sig.args
    slot = b.gep(args[0], [I64(8 * t.fields.index(name))])
    store(b, context.cast(b, args[1], value_type, types.int64), slot, 8)


@intrinsic
def call(typing_context, function, first, second):
    """Call the compiled function(int64, int64) → None at an address, as Numba does: it reports no error."""

    def generate(context, b, sig, args):
        nowhere = cgutils.alloca_once(b, BYTE_POINTER)
        t = ir.FunctionType(I32, [nowhere.type, nowhere.type, I64, I64])
        b.call(b.inttoptr(args[0], t.as_pointer()), [nowhere, nowhere, *args[1:]])
        return context.get_dummy_value()

    return types.none(types.int64, types.int64, types.int64), generate


# ---- caches and threads


@intrinsic
def prefetch(typing_context, p):
    """Ask for the cache lines of the row at an address p, a pointer or a pair. Any address may be given."""

    def generate(context, b, sig, args):
        to_read, keep_in_all_caches, data = I32(0), I32(3), I32(1)
        half = p.half if isinstance(p, Pair) else p
        for row in _halves(b, p, args[0], I64(0)) if isinstance(p, Pair) else args:
            for byte in range(0, KINDS[half.kind].size * half.n, LINE):
                line = b.gep(row, [I64(byte)])
                call_function(b, "llvm.prefetch.p0", ir.VoidType(), line, to_read, keep_in_all_caches, data)
        return context.get_dummy_value()

    return (types.none(p), generate) if isinstance(p, (Ptr, Pair)) else None


def _counter(p):
    return isinstance(p, Ptr) and p.kind == "i64"


@intrinsic
def atomic_load(typing_context, p):
    """The first number of row p[0], read before all later reads (p: pointer("i64", n))."""

    def generate(context, b, sig, args):
        return b.load_atomic(b.bitcast(args[0], I64.as_pointer()), "acquire", 8)

    return (types.int64(p), generate) if _counter(p) else None


@intrinsic
def atomic_store(typing_context, p, n):
    """Make n the first number of row p[0], after all earlier writes and before all later reads."""

    def generate(context, b, sig, args):
        b.store_atomic(args[1], b.bitcast(args[0], I64.as_pointer()), "seq_cst", 8)
        return context.get_dummy_value()

    return (types.none(p, types.int64), generate) if _counter(p) else None


@intrinsic
def spin(typing_context, yields):
    """Wait a moment: a pause of the core, or a turn for other threads."""

    def generate(context, b, sig, args):
        with b.if_else(b.icmp_signed("==", args[0], I64(0))) as (pause, give_way):
            with pause:
                if TARGET.family == "x86":
                    call_function(b, "llvm.x86.sse2.pause", ir.VoidType())
                elif TARGET.family == "arm":
                    call_function(b, "llvm.aarch64.hint", ir.VoidType(), I32(1))
            with give_way:
                if "windows" not in TARGET.triple:
                    call_function(b, "sched_yield", I32)
        return context.get_dummy_value()

    return types.none(types.int64), generate


@intrinsic
def ticks(typing_context):
    """A counter that goes on at a steady pace, of no known unit; 0 where there is none."""

    def generate(context, b, sig, args):
        if TARGET.family == "x86":
            return call_function(b, "llvm.readcyclecounter", I64)
        if TARGET.family == "arm":
            register = b.module.add_metadata([ir.MetaDataString(b.module, "cntvct_el0")])
            return call_function(b, "llvm.read_volatile_register.i64", I64, register)
        return I64(0)

    return types.int64(), generate


# ---- subnormal numbers, with which some processors compute a hundred times as slowly

FLUSH = {"x86": 0x8040, "arm": 1 << 24}
"""Of each family of processors, the bits of its floating-point control register that make subnormal numbers 0."""


def _arithmetic(b):
    """The thread's floating-point control register, as an int64."""
    if TARGET.family == "x86":
        place = cgutils.alloca_once(b, I32)
        call_function(b, "llvm.x86.sse.stmxcsr", ir.VoidType(), b.bitcast(place, BYTE_POINTER))
        return b.zext(b.load(place), I64)
    return call_function(b, "llvm.aarch64.get.fpcr", I64)


def _set_arithmetic(b, value):
    if TARGET.family == "x86":
        place = cgutils.alloca_once_value(b, b.trunc(value, I32))
        call_function(b, "llvm.x86.sse.ldmxcsr", ir.VoidType(), b.bitcast(place, BYTE_POINTER))
    else:
        call_function(b, "llvm.aarch64.set.fpcr", ir.VoidType(), value)


@intrinsic
def flush_subnormals(typing_context):
    """From now on this thread takes subnormal numbers for 0; returns how it computed before."""

    def generate(context, b, sig, args):
        if not TARGET.family:
            return I64(0)
        before = _arithmetic(b)
        _set_arithmetic(b, b.or_(before, I64(FLUSH[TARGET.family])))
        return before

    return types.int64(), generate


@intrinsic
def restore_arithmetic(typing_context, before):
    """Let this thread compute as it did before `flush_subnormals`."""

    def generate(context, b, sig, args):
        if TARGET.family:
            _set_arithmetic(b, args[0])
        return context.get_dummy_value()

    return types.none(types.int64), generate
