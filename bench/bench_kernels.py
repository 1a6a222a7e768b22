"""Each kernel of the compiled path and its NumPy twin, at the recipe's shapes and in one large layer."""

from kernels import KERNELS, make_case


def make_cases(quick, full):
    """One case for each kernel and shape."""
    return [make_case(name, shape) for name, (_, *shapes) in KERNELS.items() for shape in shapes]


def test_kernel(measure, case, name):
    measure(case, name)
