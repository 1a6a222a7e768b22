"""Compiled programs: found in memory or on disk, or else compiled and kept."""

import contextlib
import ctypes
import functools
import hashlib
import os
import tempfile
import threading
from importlib.metadata import version
from pathlib import Path

from llvmlite import binding

from fastmlp.engine.processor import LANES, target_machine

ENTRY = "fastmlp_program"
# Numba's calling convention: where to put a result and an exception (there are none), then the arguments.
_SIGNATURE = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)
_CHECKSUM_SIZE = hashlib.sha256().digest_size
_lock = threading.Lock()
_programs: dict = {}


class Program:
    """Object code, loaded: ``program(address)`` runs it on the table at that address, without the GIL."""

    def __init__(self, object_code):
        self._engine = binding.create_mcjit_compiler(binding.parse_assembly(""), target_machine())
        self._engine.add_object_file(binding.ObjectFileRef.from_data(object_code))
        self._engine.finalize_object()
        self._function = _SIGNATURE(self._engine.get_function_address(ENTRY))
        self._nowhere = ctypes.create_string_buffer(16)
        self._result = ctypes.addressof(self._nowhere)

    def __call__(self, address):
        self._function(self._result, self._result, address)


def find_program(spec, before_compiling=None):
    """Return the program of a spec; the first time it is loaded from disk, or compiled after a call that says so."""
    with _lock:
        program = _programs.get(spec)
        if program is None:
            program = _programs[spec] = _load_or_compile(spec, before_compiling)
        return program


def _load_or_compile(spec, before_compiling):
    if os.environ.get("NUMBA_DISABLE_JIT", "0") != "0":
        from fastmlp.engine.program import make_program

        return make_program(spec)
    path = cache_folder() / f"{_key(spec)}.o"
    object_code = _read(path)
    if object_code is None:
        from fastmlp.engine.object_code import compile_object
        from fastmlp.engine.program import make_program

        if before_compiling is not None:
            before_compiling()
        object_code = compile_object(make_program(spec))
        with contextlib.suppress(OSError):
            _write(path, object_code)
    return Program(object_code)


def cache_folder():
    """The folder of compiled programs: $FASTMLP_CACHE_DIR, or fastmlp in the user's cache folder."""
    chosen = os.environ.get("FASTMLP_CACHE_DIR")
    if chosen:
        return Path(chosen)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fastmlp"
    except RuntimeError:  # a user without a home: nothing is kept
        return Path(os.devnull)


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
    return object_code if hashlib.sha256(object_code).digest() == checksum else None


def _write(path, object_code):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(hashlib.sha256(object_code).digest() + object_code)
    os.replace(file.name, path)
