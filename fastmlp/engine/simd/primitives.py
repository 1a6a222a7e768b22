"""The vector operations, compiled or, under NUMBA_DISABLE_JIT=1, in plain Python."""

from typing import TYPE_CHECKING

from fastmlp.engine.simd.compiler import COMPILED

if COMPILED or TYPE_CHECKING:
    import fastmlp.engine.simd.operators  # noqa: F401
    from fastmlp.engine.simd.bits import *  # noqa: F403
    from fastmlp.engine.simd.functions import *  # noqa: F403
    from fastmlp.engine.simd.memory import *  # noqa: F403
else:
    from fastmlp.engine.simd.python import *  # noqa: F403
