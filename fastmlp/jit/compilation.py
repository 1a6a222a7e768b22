"""How functions are compiled: through Numba, kept on disk wherever a folder can be written."""

from collections.abc import Callable, Collection
from typing import Any

from numba import njit


def compiled(
    function: Callable[..., Any] | None = None, *, fastmath: Collection[str] = ("contract",), inline: bool = False
) -> Any:
    """Compile `function` with Numba at its first call and keep the result for later processes.

    Parameters
    ----------
    function : callable
        Plain arrays and numbers in, plain arrays and numbers out.
    fastmath : collection of str
        LLVM's flags for floating-point operations. The default lets a product and a sum become one fused operation;
        "reassoc" lets a sum run in several lanes. Never "nnan" or "ninf": NaN and infinity must come out as they are.
    inline : bool
        Make LLVM copy the function into every caller, whatever its size: a loop with a call in it is not vectorised.

    Notes
    -----
    Numba keeps compiled code in ``$NUMBA_CACHE_DIR``, beside the source or in the user's cache folder. Where none of
    them can be written (a container, another user's environment) it refuses at decoration, and the function is compiled
    anew in each process instead.
    """
    if function is None:
        return lambda function: compiled(function, fastmath=fastmath, inline=inline)
    options: dict[str, Any] = {"error_model": "numpy", "fastmath": set(fastmath), "forceinline": inline, "nogil": True}
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:
        return njit(**options)(function)
