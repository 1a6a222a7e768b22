"""Kernels called from Python: each body of calls is compiled once for the types of its arguments."""

import functools

from numba import njit

from fastmlp.engine import simd
from fastmlp.engine.simd import kernel

pointer = functools.cache(simd.pointer)
"""What takes the same pointers is compiled once."""


@functools.cache
def _compiled(body, casts):
    names = [f"a{i}" for i in range(len(casts))]
    passed = [f"c{i}({name})" if cast else name for i, (name, cast) in enumerate(zip(names, casts, strict=True))]
    body = body if hasattr(body, "py_func") else kernel(body)
    scope = {"body": body, "njit": njit} | {f"c{i}": cast for i, cast in enumerate(casts) if cast}
    exec(f"@njit\ndef run({', '.join(names)}): return body({', '.join(passed)})", scope)
    return scope["run"]


def prepare_call(body, *arguments):
    """Return a function without arguments that runs a kernel, or a body which calls kernels.

    arguments: numbers, and (pointer, array) pairs; the function keeps the arrays.
    """
    pairs = [a if isinstance(a, tuple) and len(a) == 2 else (None, a) for a in arguments]
    run = _compiled(body, tuple(cast for cast, _ in pairs))
    passed = [value.ctypes.data if cast else value for cast, value in pairs]

    def run_body(kept=arguments):
        return run(*passed)

    return run_body


def call(body, *arguments):
    """Run a body at once."""
    return prepare_call(body, *arguments)()
