"""Vectors in plain Python: lanes in a NumPy array, operators lane by lane, and how numbers and vectors meet."""

import operator

import numpy as np

DTYPES = {
    "f32": np.dtype(np.float32),
    "f64": np.dtype(np.float64),
    "i64": np.dtype(np.int64),
    "i32": np.dtype(np.int32),
    "u16": np.dtype(np.uint16),
    "u8": np.dtype(np.uint8),
    "b1": np.dtype(np.bool_),
}
WORD = 1 << 64  # masks are the lowest 64 bits of an integer
KINDS = {dtype: kind for kind, dtype in DTYPES.items()}


def silent():
    """As compiled code: inf and NaN without warnings."""
    return np.errstate(all="ignore")


class Vec:
    """n numbers of a kind, immutable; operators work lane by lane and spread numbers over the lanes."""

    __slots__ = ("kind", "lanes", "n")
    __array_ufunc__ = None  # a NumPy number beside a vector leaves the operation to the vector
    __hash__ = None  # type: ignore[assignment]  # == compares lane by lane

    def __init__(self, array):
        self.lanes = np.array(array)
        self.lanes.flags.writeable = False
        self.kind, self.n = KINDS[self.lanes.dtype], len(self.lanes)

    def __repr__(self):
        return f"Vec({self.kind}, {self.lanes.tolist()})"

    def __bool__(self):
        raise TypeError("a vector is neither true nor false: to_bits(mask) != 0 tells whether any lane is set")

    def __neg__(self):
        return Vec(-self.lanes)

    def __invert__(self):
        return Vec(~self.lanes)


def _operator(op, reverse):
    def method(self, other):
        if common(self, other) is None:
            return NotImplemented
        x, y = self.lanes, spread(self.kind, other)
        with silent():
            return Vec(op(y, x) if reverse else op(x, y))

    return method


for _name in ("add", "sub", "mul", "truediv", "and", "or", "xor", "rshift"):
    _op = getattr(operator, {"and": "and_", "or": "or_"}.get(_name, _name))
    setattr(Vec, f"__{_name}__", _operator(_op, reverse=False))
    setattr(Vec, f"__r{_name}__", _operator(_op, reverse=True))
for _name in ("gt", "lt", "ge", "le", "eq", "ne"):
    setattr(Vec, f"__{_name}__", _operator(getattr(operator, _name), reverse=False))


def shape(x):
    """(kind, n) of a vector, of the rows at an address, or of a plain number (n = 1)."""
    if hasattr(x, "kind"):
        return x.kind, x.n
    if isinstance(x, bool | np.bool_):
        return "b1", 1
    if isinstance(x, int | np.integer):
        return "i64", 1
    if isinstance(x, float | np.floating):
        return ("f32" if isinstance(x, np.float32) else "f64"), 1
    raise TypeError(f"neither a vector nor a number: {x!r}")


def common(*args):
    """(kind, n) in which vectors and numbers meet, or None."""
    shapes = [shape(a) for a in args]
    vectors = {s for s in shapes if s[1] > 1}
    if not vectors:
        return next((s for s in shapes if s[0] in ("f32", "f64")), ("i64", 1))
    kind, n = next(iter(vectors))
    fits = {"i64", "f32", "f64"} if kind in ("f32", "f64") else {"i64"}
    return (kind, n) if len(vectors) == 1 and all(s in vectors or s[0] in fits for s in shapes) else None


def meet(*args):
    found = common(*args)
    if found is None:
        raise TypeError(f"these do not fit: {args}")
    return found


def signed(x):
    """An integer cut to 64 bits, as Numba's int64."""
    return (int(x) + WORD // 2) % WORD - WORD // 2


def spread(kind, x):
    """The lanes of a vector, or a number in the kind of the lanes; too large integers are cut."""
    if isinstance(x, Vec):
        return x.lanes
    return np.asarray(signed(x) if isinstance(x, int) else x).astype(DTYPES[kind])


def value(array):
    """An array as a vector; one number as a plain number, integers as int."""
    if array.ndim:
        return Vec(array)
    return array.item() if array.dtype.kind in "iub" else array[()]
