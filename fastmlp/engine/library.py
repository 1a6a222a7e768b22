"""The library of compiled stages: a stage is taken from memory, the package or disk, or else compiled and stored."""

import ctypes
import functools
import hashlib
import os
import re
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

from llvmlite import binding

from fastmlp.engine import archive
from fastmlp.engine.processor import TARGET
from fastmlp.engine.stages import Stage
from fastmlp.files import whole_file
from fastmlp.forks import held_off
from fastmlp.interrupts import held_back

# Numba's calling convention: where to put a result and an exception (there are none), then the arguments.
_SIGNATURE = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
_CHECKSUM_SIZE = hashlib.sha256().digest_size
_IMPORT = re.compile(r"^(?:from|import) (fastmlp\.engine[\w.]*)(?: import ([\w, ]+))?", re.MULTILINE)
_ROOT = str(Path(__file__).parents[2])
_addresses: dict[Stage, int] = {}
_engines: list[binding.ExecutionEngine] = []
"""LLVM's execution engines: they own the code at these addresses."""


def find_stages(stages: Sequence[Stage], before_compiling: Callable[[], object] | None = None) -> dict[Stage, int]:
    """Return {stage: address}; stages that are not stored are compiled, after a call of `before_compiling`."""
    with held_off():
        found = {stage: _addresses[stage] for stage in stages if stage in _addresses}
        missing = [stage for stage in stages if stage not in found]
        if missing:
            with held_back():
                found |= _interpret(missing) if _interprets() else _load(missing, before_compiling)
                _addresses.update(found)
        return found


def make_callable(address: int) -> Callable[[int, int], object]:
    """Return the stage at an address as a function of two integers, which runs without the GIL."""
    if _interprets():
        from fastmlp.engine.simd import call

        return functools.partial(call, address)
    function, nowhere = _SIGNATURE(address), ctypes.create_string_buffer(16)
    return functools.partial(function, nowhere, nowhere)


def _interprets() -> bool:
    """Whether NUMBA_DISABLE_JIT asks to run kernels as Python."""
    return os.environ.get("NUMBA_DISABLE_JIT", "0") != "0"


def _interpret(stages: Sequence[Stage]) -> dict[Stage, int]:
    from fastmlp.engine.simd.python_memory import entry

    return {stage: entry(stage.make()) for stage in stages}


def _load(stages: Sequence[Stage], before_compiling: Callable[[], object] | None) -> dict[Stage, int]:
    """Return the addresses of stages from the package, from disk, or compiled."""
    names = {name_of(stage): stage for stage in stages}
    codes = {names[name]: code for name, code in archive.read(names).items()}
    for stage in names.values():
        if stage not in codes and (code := _read(path_of(stage))) is not None:
            codes[stage] = code
    unknown = [stage for stage in names.values() if stage not in codes]
    if unknown:
        if before_compiling is not None:
            before_compiling()
        codes |= _compile(unknown)
    addresses = _enter({stage.symbol: code for stage, code in codes.items()})
    return {stage: addresses[stage.symbol] for stage in codes}


def _enter(codes: dict[str, bytes]) -> dict[str, int]:
    """Load the object code of functions, which is never unloaded; return their addresses."""
    engine = binding.create_mcjit_compiler(binding.parse_assembly(""), TARGET.machine(), use_lmm=True)
    for code in codes.values():
        engine.add_object_file(binding.ObjectFileRef.from_data(code))
    engine.finalize_object()
    _engines.append(engine)
    return {symbol: engine.get_function_address(symbol) for symbol in codes}


def _compile(stages: Sequence[Stage]) -> dict[Stage, bytes]:
    from fastmlp.engine.sharing import Claims
    from fastmlp.engine.workshop import compile_stages

    return compile_stages(stages, Claims(path_of, _read, _write))


def cache_folder() -> Path:
    """The folder of compiled stages: $FASTMLP_CACHE_DIR, or fastmlp in the user's cache folder."""
    chosen = os.environ.get("FASTMLP_CACHE_DIR")
    if chosen:
        return Path(chosen)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fastmlp"
    except RuntimeError:  # a user without a home: nothing is kept
        return Path(os.devnull)


def name_of(stage: Stage, *surroundings: str) -> str:
    """A stage's name with a digest of all that its object code depends on: sources, TARGET, `surroundings`."""
    parts = str(stage), _digest(stage.module), TARGET.lanes, TARGET.compress, surroundings
    return f"{stage}-{hashlib.sha256(repr(parts).encode()).hexdigest()[:32]}"


def path_of(stage: Stage) -> Path:
    """The file of a stage in the cache folder."""
    return cache_folder() / f"{name_of(stage, *_surroundings())}.o"


@functools.cache
def _surroundings() -> tuple[str, str, str, str]:
    return version("numba"), version("llvmlite"), TARGET.cpu, TARGET.features


@functools.cache
def _digest(module: str) -> str:
    """A digest of the sources of a module and of all that it imports from the engine."""
    sources: dict[str, str] = {}
    _gather_sources(module, sources)
    return hashlib.sha256(repr(sorted(sources.items())).encode()).hexdigest()


def _gather_sources(module: str, sources: dict[str, str]) -> None:
    if module in sources:
        return
    path = _file_of(module)
    if path is None:
        return
    sources[module] = text = _text(path)
    for imported, names in _IMPORT.findall(text):
        _gather_sources(imported, sources)
        for name in names.split(","):
            _gather_sources(f"{imported}.{name.strip()}", sources)


@functools.cache
def _file_of(module: str) -> str | None:
    place = os.path.join(_ROOT, *module.split("."))
    return next((path for path in (f"{place}.py", os.path.join(place, "__init__.py")) if os.path.isfile(path)), None)


@functools.cache
def _text(path: str) -> str:
    return Path(path).read_text(encoding="utf-8")


def _read(path: Path) -> bytes | None:
    """Return the object code in a file, or None if there is none or it is damaged."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    checksum, object_code = data[:_CHECKSUM_SIZE], data[_CHECKSUM_SIZE:]
    return object_code if _checksum(path, object_code) == checksum else None


def _write(path: Path, object_code: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as file:
        file.write(_checksum(path, object_code) + object_code)


def _checksum(path: Path, object_code: bytes) -> bytes:
    """A digest of the object code and the file's name, so that a renamed file of another stage does not pass."""
    return hashlib.sha256(path.name.encode() + object_code).digest()
