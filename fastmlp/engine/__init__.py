"""The engine behind ``fastmlp.train(backend="jit")``: whole epochs in compiled kernels on explicit SIMD vectors.

Nothing here checks what a user passes; `fastmlp.training` did. Importing the engine does not import Numba: that happens
when a stage has to be compiled, and not when its object code came with the package or is on disk.
"""

from fastmlp.interrupts import held_back

with held_back():
    import llvmlite.binding  # noqa: F401
