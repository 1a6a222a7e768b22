"""The decorators that compile a kernel."""

from typing import Any

from numba import config, njit
from numba.core.compiler import CompilerBase
from numba.core.compiler_machinery import PassManager
from numba.core.typed_passes import NativeLowering, NoPythonBackend, NopythonTypeInference, PreLowerStripPhis
from numba.core.untyped_passes import DeadBranchPrune, FixupArgs, IRProcessing, ReconstructSSA, TranslateByteCode

COMPILED = not config.DISABLE_JIT  # type: ignore[attr-defined]  # False: NUMBA_DISABLE_JIT=1, kernels run as plain Python functions

PASSES = (
    TranslateByteCode,
    FixupArgs,
    IRProcessing,
    DeadBranchPrune,
    ReconstructSSA,
    NopythonTypeInference,
    PreLowerStripPhis,
    NativeLowering,
    NoPythonBackend,
)


class KernelCompiler(CompilerBase):
    """Numba's compiler less the passes that find nothing to do in a kernel: a third of the time less."""

    def define_pipelines(self):
        passes = PassManager("kernel")
        for compiler_pass in PASSES:
            passes.add_pass(compiler_pass, compiler_pass.__name__)
        passes.finalize()
        return [passes]


# error_model: x/0 is inf, as in NumPy, and costs no branch. _nrt=False: no memory is allocated.
OPTIONS: dict[str, Any] = {
    "nogil": True,
    "error_model": "numpy",
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
    "_nrt": False,
    "pipeline_class": KernelCompiler,
}


def kernel(function):
    """Compile a function that only compiled code calls: without the GIL, reference counts or a Python entry."""
    return njit(**OPTIONS)(function) if COMPILED else function


def inline(function):
    """A `kernel` that is always inlined into its callers."""
    return njit(**OPTIONS, forceinline=True)(function) if COMPILED else function
