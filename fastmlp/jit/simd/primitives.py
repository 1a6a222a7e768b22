"""The vector operations, compiled or, under NUMBA_DISABLE_JIT=1, in plain Python."""

from typing import TYPE_CHECKING

from fastmlp.jit.simd.compiler import COMPILED

if COMPILED or TYPE_CHECKING:
    import fastmlp.jit.simd.operators  # noqa: F401
    from fastmlp.jit.simd.bits import *  # noqa: F403
    from fastmlp.jit.simd.functions import *  # noqa: F403
    from fastmlp.jit.simd.memory import *  # noqa: F403
else:
    from fastmlp.jit.simd.python import *  # noqa: F403
