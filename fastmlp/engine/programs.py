"""Compiled programs: found in memory or on disk, or else compiled and kept."""

import contextlib
import ctypes
import functools
import hashlib
import os
import threading
from importlib.metadata import version
from pathlib import Path

from llvmlite import binding

from fastmlp.engine.processor import LANES, target_machine
from fastmlp.files import whole_file
from fastmlp.interrupts import held_back

ENTRY = "fastmlp_program"
# Numba's calling convention: where to put a result and an exception (there are none), then the arguments.
_SIGNATURE = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)
_CHECKSUM_SIZE = hashlib.sha256().digest_size
_lock = threading.RLock()
_programs: dict = {}


def _renew_lock():
    global _lock
    _lock = threading.RLock()


# A fork waits until nothing is being compiled: the child would inherit Numba's and LLVM's locks, held by no thread.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=lambda: _lock.acquire(), after_in_parent=lambda: _lock.release(), after_in_child=_renew_lock
    )


class Program:
    """Object code, loaded: ``program(address)`` runs it on the table at that address, without the GIL."""

    def __init__(self, object_code):
        self._engine = binding.create_mcjit_compiler(binding.parse_assembly(""), target_machine(), use_lmm=True)
        self._engine.add_object_file(binding.ObjectFileRef.from_data(object_code))
        self._engine.finalize_object()
        self._function = _SIGNATURE(self._engine.get_function_address(ENTRY))
        self._nowhere = ctypes.create_string_buffer(16)
        self._result = ctypes.addressof(self._nowhere)

    def __call__(self, address):
        self._function(self._result, self._result, address)


def find_program(*specs, before_compiling=None):
    """Return the program of the first spec, or of another in memory or on disk if all serve the caller's purpose.

    If there is none it is compiled, after a call that says so.
    """
    with _lock:
        for spec in specs:
            if spec in _programs:
                return _programs[spec]
        with held_back():
            spec, program = _load_any(specs) or (specs[0], _compile(specs[0], before_compiling))
            _programs[spec] = program
        return program


def _load_any(specs):
    """Return (spec, program) of the first spec that has one on disk, or None."""
    if _interprets():
        return None
    for spec in specs:
        object_code = _read(_path(spec))
        if object_code is not None:
            return spec, Program(object_code)
    return None


def _compile(spec, before_compiling):
    if _interprets():
        from fastmlp.engine.program import make_program

        return make_program(spec)
    from fastmlp.engine.object_code import compile_object
    from fastmlp.engine.program import make_program

    if before_compiling is not None:
        before_compiling()
    object_code = compile_object(make_program(spec))
    with contextlib.suppress(OSError):
        _write(_path(spec), object_code)
    return Program(object_code)


def _interprets():
    """Whether Numba is told not to compile, so as to run kernels as Python."""
    return os.environ.get("NUMBA_DISABLE_JIT", "0") != "0"


def cache_folder():
    """The folder of compiled programs: $FASTMLP_CACHE_DIR, or fastmlp in the user's cache folder."""
    chosen = os.environ.get("FASTMLP_CACHE_DIR")
    if chosen:
        return Path(chosen)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fastmlp"
    except RuntimeError:  # a user without a home: nothing is kept
        return Path(os.devnull)


def _path(spec):
    return cache_folder() / f"{_key(spec)}.o"


def _key(spec):
    """A name that changes with all that the object code depends on: kernels, compilers, processor, spec."""
    return hashlib.sha256(repr((spec, LANES, _surroundings())).encode()).hexdigest()


@functools.cache
def _surroundings():
    folder = Path(__file__).parent
    sources = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(folder.rglob("*.py")))).hexdigest()
    processor = binding.get_host_cpu_name(), binding.get_host_cpu_features().flatten()
    return sources, version("numba"), version("llvmlite"), processor


def _read(path):
    """Return the object code in a file, or None if there is none or it is damaged."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    checksum, object_code = data[:_CHECKSUM_SIZE], data[_CHECKSUM_SIZE:]
    return object_code if _checksum(path, object_code) == checksum else None


def _write(path, object_code):
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as file:
        file.write(_checksum(path, object_code) + object_code)


def _checksum(path, object_code):
    """Of the object code under this name: another spec's, renamed, is none."""
    return hashlib.sha256(path.name.encode() + object_code).digest()
