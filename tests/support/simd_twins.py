"""The plain Python twins of fastmlp.engine.simd beside the compiled ones, in one process."""

import importlib
import sys
from types import FunctionType

from fastmlp.engine.simd import compiler
from fastmlp.engine.simd.types import Ptr, Struct

CHOSEN = ("fastmlp.engine.simd", "fastmlp.engine.simd.math", "fastmlp.engine.simd.primitives")


def _import_twins():
    """A second copy of fastmlp.engine.simd, as NUMBA_DISABLE_JIT=1 makes it."""
    compiled = {name: importlib.import_module(name) for name in CHOSEN}
    for name in CHOSEN:
        del sys.modules[name]
    before, compiler.COMPILED = compiler.COMPILED, False
    try:
        return importlib.import_module("fastmlp.engine.simd")
    finally:
        compiler.COMPILED = before
        sys.modules.update(compiled)
        importlib.import_module("fastmlp.engine").simd = compiled["fastmlp.engine.simd"]


twins = _import_twins()


def twin_of(cast):
    """The twin of what `pointer` or `struct` returned."""
    t = cast.t
    if isinstance(t, Ptr):
        return twins.pointer(t.kind, t.n, t.aligned)
    return twins.struct(t.name, t.fields)


def in_python(function, **names):
    """The function on the twins of fastmlp.engine.simd, its pointers and structs, and with other names replaced."""
    own = {
        name: twin_of(x) for name, x in function.__globals__.items() if isinstance(getattr(x, "t", None), Ptr | Struct)
    }
    chosen = {name: getattr(twins, name) for name in twins.__all__}
    return FunctionType(function.__code__, function.__globals__ | own | chosen | names, closure=function.__closure__)
