"""Memory in plain Python: pointers and tables at real addresses, optionally checked, and atomic counters.

Once a block of memory has been registered in `memory`, an access outside all registered blocks raises IndexError:

    memory.add_array(weights)
    rows(weights.ctypes.data)[10_000]  # IndexError: 256 bytes at 0x7f… are outside the registered memory
"""

import bisect
import ctypes
import math
import time
from dataclasses import dataclass

import numpy as np

from fastmlp.engine.simd.python_vectors import DTYPES, Vec, shape, spread, value

__all__ = [
    "atomic_load",
    "atomic_store",
    "call",
    "entry",
    "flush_subnormals",
    "memory",
    "pair",
    "pointer",
    "prefetch",
    "restore_arithmetic",
    "spin",
    "struct",
    "ticks",
]


class Memory:
    """The blocks of memory that pointers may touch. While there is none, nothing is checked."""

    def __init__(self):
        self._blocks = []

    def add(self, start, size):
        """Allow the access to size bytes from an address on."""
        bisect.insort(self._blocks, (start, start + size))

    def add_array(self, array):
        """Allow the access to a C-contiguous array."""
        self.add(array.ctypes.data, array.nbytes)

    def clear(self):
        """Forget all blocks: no more checks."""
        self._blocks.clear()

    def check(self, start, size):
        """IndexError if blocks are registered and the bytes are in none of them."""
        before = bisect.bisect_right(self._blocks, (start, math.inf))
        if self._blocks and not any(start + size <= end for _, end in reversed(self._blocks[:before])):
            raise IndexError(f"{size} bytes at {start:#x} are outside the registered memory")


memory = Memory()


def _bytes_at(address, size, alignment):
    memory.check(address, size)
    if address % alignment:
        raise ValueError(f"address {address:#x} is no multiple of {alignment}")
    return (ctypes.c_char * size).from_address(address)


@dataclass(frozen=True)
class Ptr:
    """The type of a pointer: rows of n numbers of a kind."""

    kind: str
    n: int = 1
    aligned: bool = True

    def __post_init__(self):
        if self.kind not in DTYPES or self.kind == "b1":
            raise ValueError(f"no numbers of kind {self.kind!r} in memory")
        if self.n not in (1, 2, 4, 8, 16, 32, 64):
            raise ValueError(f"a row has 1, 2, 4, … or 64 numbers, not {self.n}")

    def __call__(self, address):
        return Pointer(self, address)


class Pointer:
    """An address of rows; see memory.pointer."""

    __slots__ = ("address", "kind", "n", "t")

    def __init__(self, t, address):
        self.t, self.address = t, int(address)
        self.kind, self.n = t.kind, t.n

    def __repr__(self):
        return f"Pointer({self.kind}, {self.n}, {self.address:#x})"

    def __add__(self, rows):
        return Pointer(self.t, self.address + int(rows) * self.n * DTYPES[self.kind].itemsize)

    def __sub__(self, rows):
        return self + -int(rows)

    def _array_at(self, index):
        """The memory of row i, or of number i of row k, as a writable array."""
        dtype, n = DTYPES[self.kind], self.n
        one = isinstance(index, tuple)
        start = int(index[0]) * n + int(index[1]) if one else int(index) * n
        count = 1 if one else n
        floats = dtype.kind == "f" and self.t.aligned and not one
        alignment = min(64, n * dtype.itemsize) if floats else dtype.itemsize
        data = _bytes_at(self.address + start * dtype.itemsize, count * dtype.itemsize, alignment)
        return np.frombuffer(data, dtype)

    def __getitem__(self, index):
        array = self._array_at(index)
        return Vec(array) if len(array) > 1 else value(array[0])

    def __setitem__(self, index, x):
        array = self._array_at(index)
        if isinstance(x, Vec) and shape(x) != (self.kind, len(array)):
            raise TypeError(f"{x} is no row of {self}")
        array[...] = spread(self.kind, x)


class Pair:
    """Two pointers as one with rows of twice the length; see memory.pair."""

    __slots__ = ("_halves", "kind", "n")

    def __init__(self, *halves):
        self._halves = halves
        self.kind, self.n = halves[0].kind, 2 * halves[0].n

    def __add__(self, rows):
        return Pair(*[half + rows for half in self._halves])

    def __getitem__(self, i):
        return Vec(np.concatenate([half._array_at(i) for half in self._halves]))

    def __setitem__(self, i, x):
        if isinstance(x, Vec) and shape(x) != (self.kind, self.n):
            raise TypeError(f"{x} is no row of {self.n} {self.kind}")
        whole = np.empty(self.n, DTYPES[self.kind])
        whole[...] = spread(self.kind, x)
        for half, part in zip(self._halves, np.split(whole, 2), strict=True):
            half._array_at(i)[...] = part


def pair(p, distance):
    return Pair(p, p + distance)


def pointer(kind, n=1, aligned=True):
    return _Cast(Ptr(kind, n, aligned))


class _Cast:
    """Makes an address a pointer or a table; `.t` is its type."""

    def __init__(self, t):
        self.t = t

    def __call__(self, address):
        return self.t(address.address if isinstance(address, Pointer) else address)


@dataclass(frozen=True)
class Struct:
    """The type of a table of 8-byte integers."""

    name: str
    fields: tuple

    def __call__(self, address):
        return Table(self, address)


class Table:
    """The address of a table whose slots are read as attributes; see memory.struct."""

    __slots__ = ("_address", "_t")

    def __init__(self, t, address):
        object.__setattr__(self, "_t", t)
        object.__setattr__(self, "_address", int(address))

    def _slot(self, name):
        """The memory of a field as an array of one integer."""
        if name not in self._t.fields:
            raise AttributeError(f"{self._t.name} has no field {name!r}")
        return Pointer(Ptr("i64"), self._address)._array_at(self._t.fields.index(name))

    def __getattr__(self, name):
        return int(self._slot(name)[0])

    def __setattr__(self, name, x):
        self._slot(name)[...] = x

    def __add__(self, tables):
        return Table(self._t, self._address + int(tables) * 8 * len(self._t.fields))

    def __sub__(self, tables):
        return self + -int(tables)

    __getitem__ = __add__


def struct(name, fields):
    return _Cast(Struct(name, tuple(fields)))


_functions: list = []


def entry(function):
    """A number that stands for a function as its address does in compiled code."""
    _functions.append(function)
    return len(_functions)


def call(function, first, second):
    _functions[function - 1](first, second)


# ---- caches and threads


def prefetch(p):
    pass


def atomic_load(p):
    return p[0, 0]


def atomic_store(p, n):
    p[0, 0] = n


def spin(yields):
    time.sleep(0)


def ticks():
    return time.perf_counter_ns()


def flush_subnormals():
    return 0


def restore_arithmetic(before):
    pass
