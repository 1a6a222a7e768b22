"""What this machine computes with: the number of lanes of a register, and the decorators that compile a kernel."""

import os

from llvmlite import binding
from numba import config, njit

# False with NUMBA_DISABLE_JIT=1: kernels run as plain Python functions.
COMPILED = not config.DISABLE_JIT  # type: ignore[attr-defined]


def _has(feature):
    """Whether the code that Numba compiles may use a feature of the CPU, such as "avx2"."""
    if config.CPU_FEATURES is not None:  # the environment's choice: NUMBA_CPU_FEATURES="+avx2,-avx512f"
        return f"+{feature}" in config.CPU_FEATURES.split(",")
    return binding.get_host_cpu_features().get(feature, False)


def _count_lanes():
    chosen = os.environ.get("FASTMLP_LANES")
    if not chosen:
        return 16 if _has("avx512vl") else 8 if _has("avx2") else 4
    if chosen not in ("4", "8", "16"):
        raise ValueError(f"FASTMLP_LANES is the number of float32 in a register, 4, 8 or 16, not {chosen!r}")
    return int(chosen)


#: Float32 numbers in a register: 16 with AVX-512, 8 with AVX2, else 4; or the environment variable FASTMLP_LANES.
LANES = _count_lanes()

#: Whether `keep` is one instruction (AVX-512 VBMI2). Where it is not, prefer a loop over `setbits`.
COMPRESS = LANES == 16 and _has("avx512vbmi2")


def lanes(kind):
    """How many numbers of a kind ("f32", "f64") one register holds."""
    return {"f32": LANES, "f64": LANES // 2}[kind]


def kernel(function):
    """Compile a function that only compiled code calls: without the GIL, reference counts or a Python entry."""
    return _compile(function)


def inline(function):
    """A `kernel` that is always inlined into its callers."""
    return _compile(function, forceinline=True)


def _compile(function, **options):
    if not COMPILED:
        return function
    # _nrt=False: no memory is allocated. error_model: x/0 is inf, as in NumPy, and costs no branch.
    return njit(nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True, _nrt=False, **options)(
        function
    )
