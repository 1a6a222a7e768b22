"""Kernels on four-register rows as assembly for other CPUs: vector fma only, nothing spilled to the stack."""

import re

import pytest
from llvmlite import binding
from numba import njit

from fastmlp.engine.simd import exp, kernel, maximum, pointer, splat
from fastmlp.engine.simd.compiler import COMPILED

pytestmark = pytest.mark.skipif(not COMPILED, reason="looks at compiled code")

# name: triple, CPU, features, bytes of a register, what a vector fma on four-byte and eight-byte floats looks like, and
# any scalar one, and a vector stored on the stack.
TARGETS = {
    "haswell": (
        "x86_64-unknown-linux-gnu",
        "haswell",
        "+avx2,+fma",
        32,
        {"f32": r"vfmadd\d+ps\s.*%ymm\d", "f64": r"vfmadd\d+pd\s.*%ymm\d"},
        r"vf?n?madd\d+s[sd]\s",
        r"%ymm\d+, -?\d*\(%r[sb]p\)",
    ),
    "aarch64": (
        "aarch64-unknown-linux-gnu",
        "neoverse-n1",
        "+neon",
        16,
        {"f32": r"fmla\s+v\d+\.4s", "f64": r"fmla\s+v\d+\.2d"},
        r"fn?m(add|sub)\s+[sd]\d",
        r"st[pr]\s+q.*\[sp",
    ),
}


def axpy(n, rows, a, W, out):
    """out[k] += a[k] W for some rows, through a clipped sum."""
    for k in range(rows):
        acc = out[k]
        for i in range(n):
            acc += a[k, i] * W[i]
        out[k] = maximum(acc, 0)


def dots(n, a, b, out):
    """out[0]: lane by lane, the sums of the products of two columns of rows."""
    acc = splat(out, 0)
    for i in range(n):
        acc += a[i] * b[i]
    out[0] = acc


def exponentials(n, a, out):
    for i in range(n):
        out[i] = exp(a[i])


def llvm_ir(body, kind, n):
    """LLVM's optimised code of a body that is called with numbers first, then addresses of rows of n numbers."""
    names = body.__code__.co_varnames[: body.__code__.co_argcount]
    numbers = [name for name in names if name in ("n", "rows")]
    passed = [name if name in numbers else f"cast({name})" for name in names]
    compiled = kernel(body)
    scope = {"body": compiled, "njit": njit, "cast": pointer(kind, n)}
    exec(f"@njit\ndef run({', '.join(names)}): body({', '.join(passed)})", scope)
    scope["run"].compile(f"void({', '.join(['int64'] * len(names))})")
    (code,) = compiled.inspect_llvm().values()
    return code


@pytest.fixture(scope="module")
def every_target():
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()


@pytest.mark.usefixtures("every_target")
@pytest.mark.parametrize("kind", ["f32", "f64"])
@pytest.mark.parametrize("body", [axpy, dots, exponentials])
@pytest.mark.parametrize("name", TARGETS)
def test_assembly_has_vector_fma_only(name, body, kind):
    triple, cpu, features, register, vector_fma, scalar_fma, stack = TARGETS[name]
    try:
        target = binding.Target.from_triple(triple)
    except RuntimeError as reason:
        pytest.skip(f"this llvmlite has no {name}: {reason}")
    n = 4 * register // {"f32": 4, "f64": 8}[kind]
    code = re.sub(r"^target (triple|datalayout) = .*$", "", llvm_ir(body, kind, n), flags=re.MULTILINE)
    machine = target.create_target_machine(cpu=cpu, features=features, opt=3)
    module = binding.parse_assembly(f'target triple = "{triple}"\ntarget datalayout = "{machine.target_data}"\n{code}')
    assembly = machine.emit_assembly(module)
    assert len(re.findall(vector_fma[kind], assembly)) >= 4
    assert not re.findall(scalar_fma, assembly)
    if body is not exponentials:  # its constants fill the 16 registers of AVX2
        assert not re.findall(stack, assembly)
