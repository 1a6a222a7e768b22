"""Each kernel of the compiled path and its NumPy twin, at the recipe's shapes and in one large layer."""

import pytest
from kernels import KERNELS, build, describe

CASES = [(name, shape) for name, (_, *shapes) in KERNELS.items() for shape in shapes]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: "{}-{}-{}".format(case[0], *case[1]))
def case(request):
    """A description, and the kernel, which agrees with its twin."""
    return describe(*request.param), build(*request.param)


@pytest.mark.parametrize("who", ["fastmlp", "NumPy"])
def test_kernel(measure, case, who):
    title, kernel = case
    function = kernel.call if who == "fastmlp" else kernel.twin
    work = {"work": float(kernel.work), "unit": kernel.unit}
    measure(function, group=f"kernels: {title}", name=who, ours=who == "fastmlp", iterations=20, rounds=50, **work)
