"""Object code to a function that Python can call, with llvmlite alone."""

import ctypes

from llvmlite import binding

from fastmlp.engine.processor import target_machine

ENTRY = "fastmlp_program"
# Numba's native calling convention: where to put the result and an exception, of which there are none, then the arguments.
_SIGNATURE = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)


class Program:
    """A compiled program: ``program(address)`` runs it on the table at that address, without the GIL."""

    def __init__(self, object_code):
        self._engine = binding.create_mcjit_compiler(binding.parse_assembly(""), target_machine())
        self._engine.add_object_file(binding.ObjectFileRef.from_data(object_code))
        self._engine.finalize_object()
        self._result = ctypes.create_string_buffer(16)
        self._function = _SIGNATURE(self._engine.get_function_address(ENTRY))

    def __call__(self, address):
        self._function(ctypes.addressof(self._result), ctypes.addressof(self._result), address)
