"""The compiler of stages: each becomes one object file.

Numba optimises and emits every function when it is compiled, and again inside each of its callers. Here the functions
are only lowered and linked, and LLVM optimises the finished stage once, in half of the time.
"""

import gc
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from llvmlite import binding
from numba import njit
from numba.core import types
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target

from fastmlp.engine.processor import TARGET
from fastmlp.engine.simd.compiler import OPTIONS

Function = Callable[[int, int], None]
Resolve = Callable[[Any, tuple[types.Type, ...], dict[str, types.Type]], Any]
"""Numba's: a function's type and its arguments' → the signature of the call."""

ROOM = "@room = global [8 x i64] zeroinitializer"
"""A writable variable: without one, the loader reserves no memory for the addresses of C functions."""


class _LinkedLibrary(JITCodeLibrary):
    """A library that is only linked into its callers: not optimised, not emitted."""

    def _optimize_functions(self, ll_module: binding.ModuleRef) -> None:
        ll_module.data_layout = self._codegen._data_layout

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalized = True


def _remember(resolve: Resolve) -> Resolve:
    """Numba re-resolves each call's return type; our calls repeat, so remember the answer."""
    known: dict[Any, Any] = {}

    def resolve_once(function: Any, args: tuple[types.Type, ...], kws: dict[str, types.Type]) -> Any:
        if kws or not isinstance(function, types.Type):
            return resolve(function, args, kws)
        if (function, args) not in known:
            known[function, args] = resolve(function, args, kws)
        return known[function, args]

    return resolve_once


@contextmanager
def _linking_only() -> Iterator[None]:
    codegen, typing = cpu_target.target_context.codegen(), cpu_target.typing_context
    codegen._library_class = _LinkedLibrary
    codegen.set_env = lambda name, environment: None  # nothing has an address yet, and no kernel needs an environment
    typing.resolve_function_type = _remember(typing.resolve_function_type)
    collects = gc.isenabled()
    gc.disable()  # nearly all that the compiler makes lives until its end: looking for garbage took a sixth of the time
    try:
        yield
    finally:
        if collects:
            gc.enable()
        del codegen._library_class, codegen.set_env, typing.resolve_function_type


def link(function: Function) -> tuple[binding.ModuleRef, str]:
    """Return (LLVM module, name) of function(int64, int64) → None with all that it calls, not yet optimised."""
    with global_compiler_lock, _linking_only():
        dispatcher = njit("void(int64, int64)", **OPTIONS)(function)
        result: Any = dispatcher.overloads[types.int64, types.int64]
        return result.library._final_module, result.fndesc.llvm_func_name


def optimise(module: binding.ModuleRef, name: str, machine: binding.TargetMachine, symbol: str) -> binding.ModuleRef:
    """Optimise the module for a machine and return it; its only external function is `name`, renamed to `symbol`."""
    module.get_function(name).name = symbol
    # Numba's names count what was compiled before: object code would not be the same twice.
    for i, function in enumerate(f for f in module.functions if not f.is_declaration and f.name != symbol):
        function.linkage, function.name = "internal", f"function_{i}"
    for i, variable in enumerate(v for v in module.global_variables if not v.is_declaration):
        variable.linkage, variable.name = "internal", f"variable_{i}"
    module.link_in(binding.parse_assembly(ROOM))
    options = binding.create_pipeline_tuning_options(speed_level=3)
    options.loop_vectorization = options.slp_vectorization = False
    options.loop_unrolling = False
    options.inlining_threshold = 75  # of LLVM's 275: a quarter less time, with no slower code
    passes = binding.create_pass_builder(machine, options)
    passes.getModulePassManager().run(module, passes)
    return module


def compile_object(function: Function, symbol: str) -> bytes:
    """Return the object code of function(int64, int64) → None for TARGET, under the name `symbol`."""
    machine = TARGET.machine()
    module, name = link(function)
    if TARGET.triple != binding.get_process_triple():
        module = _describe_anew(module, machine)
    return machine.emit_object(optimise(module, name, machine, symbol))


def _describe_anew(module: binding.ModuleRef, machine: binding.TargetMachine) -> binding.ModuleRef:
    """Return the module with the target triple and the data layout of another machine."""
    code = re.sub(r"^target (triple|datalayout) = .*$", "", str(module), flags=re.MULTILINE)
    described = f'target triple = "{machine.triple}"\ntarget datalayout = "{machine.target_data}"\n'
    return binding.parse_assembly(described + code)
