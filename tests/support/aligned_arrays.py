"""Arrays on their own cache lines, or next to the start of one."""

import numpy as np


def aligned(shape, dtype, filled=0, offset=0):
    """A C-contiguous array on its own cache lines, `offset` numbers after the start of a line."""
    dtype = np.dtype(dtype)
    size = int(np.prod(shape)) * dtype.itemsize
    memory = np.zeros(size + 128, np.uint8)
    start = -memory.ctypes.data % 64 + offset * dtype.itemsize
    array = memory[start : start + size].view(dtype).reshape(shape)
    array[...] = filled
    return array
