"""The vector operations, compiled or, under NUMBA_DISABLE_JIT=1, in plain Python."""

from typing import TYPE_CHECKING

from fastmlp.jit.simd_machine import COMPILED

if COMPILED or TYPE_CHECKING:
    import fastmlp.jit.simd_operators  # noqa: F401
    from fastmlp.jit.simd_bits import *  # noqa: F403
    from fastmlp.jit.simd_functions import *  # noqa: F403
    from fastmlp.jit.simd_memory import *  # noqa: F403
else:
    from fastmlp.jit.simd_python import *  # noqa: F403
