"""Kernels and stages as assembly for other CPUs: vector fma only, and hot loops that leave the stack alone."""

import json
import re

import pytest
from llvmlite import binding
from numba import njit
from support.processes import run_python

from fastmlp.engine.object_code import optimise
from fastmlp.engine.simd import exp, kernel, maximum, pointer, splat
from fastmlp.engine.simd.compiler import COMPILED

pytestmark = pytest.mark.skipif(not COMPILED, reason="looks at compiled code")

# name: triple, CPU, features, bytes of a register, what a vector fma on four-byte and eight-byte floats looks like, and
# any scalar one, a vector stored on the stack, and a jump.
TARGETS = {
    "haswell": (
        "x86_64-unknown-linux-gnu",
        "haswell",
        "+avx2,+fma",
        32,
        {"f32": r"vfmadd\d+ps\s.*%ymm\d", "f64": r"vfmadd\d+pd\s.*%ymm\d"},
        r"vf?n?madd\d+s[sd]\s",
        r"%ymm\d+, -?\d*\(%r[sb]p\)",
        r"\s+j\w+\s+(\.L\w+)",
    ),
    "aarch64": (
        "aarch64-unknown-linux-gnu",
        "neoverse-n1",
        "+neon",
        16,
        {"f32": r"fmla\s+v\d+\.4s", "f64": r"fmla\s+v\d+\.2d"},
        r"fn?m(add|sub)\s+[sd]\d",
        r"st[pr]\s+q.*\[sp",
        r"\s+(?:b\.\w+|cbn?z\s+\w+,|tbn?z.*,)\s*(\.L\w+)",
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


def cross_compile(name, code, optimise=lambda module, machine: module, bound=r"|.*@.?llvm\.(x86|aarch64)\..*"):
    """Assembly of LLVM code of this machine for another, without its `bound` lines: how a waiting thread pauses."""
    triple, cpu, features, *_ = TARGETS[name]
    try:
        target = binding.Target.from_triple(triple)
    except RuntimeError as reason:
        pytest.skip(f"this llvmlite has no {name}: {reason}")
    machine = target.create_target_machine(cpu=cpu, features=features, opt=3)
    code = re.sub(rf"^(target (triple|datalayout) = .*{bound})$", "", code, flags=re.MULTILINE)
    module = binding.parse_assembly(f'target triple = "{triple}"\ntarget datalayout = "{machine.target_data}"\n{code}')
    return machine.emit_assembly(optimise(module, machine))


def inner_loops(assembly, jump):
    """The innermost loops without a branch inside, as text."""
    label, block = None, []
    for line in assembly.splitlines():
        if begin := re.match(r"(\.L\w+):", line):
            label, block = begin[1], []
        block.append(line)
        if (end := re.match(jump, line)) and end[1] == label:
            yield "\n".join(block)


# The stages of 784-256-128-10, sparse and dense, for the processor's registers, as LLVM code that is linked but not
# optimised.
STAGES = """
import json
import numpy as np
from fastmlp.engine.object_code import link
from fastmlp.engine.plan import make_plan
from fastmlp.engine.schedule import make_schedule, stages_of
from fastmlp.problem import Architecture

architecture = Architecture((784, 256, 128, 10), "relu", "cross_entropy")
linked = {}
for form in ("sparse", "dense"):
    plan = make_plan(architecture, form, "float32", np.dtype("f4"), "sgd", batch=64)
    for stage in stages_of(make_schedule(plan)):
        if str(stage) not in linked:
            module, name = link(stage.make())
            linked[str(stage)] = name, str(module)
print(json.dumps(linked))
"""


# The loop over batches, whose threads wait for each other.
EPOCH = """
from fastmlp.engine.object_code import link
from fastmlp.engine.schedule import EPOCH

module, name = link(EPOCH.make())
print(name, module)
"""


@pytest.fixture(scope="module")
def every_target():
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()


@pytest.mark.usefixtures("every_target")
@pytest.mark.parametrize("kind", ["f32", "f64"])
@pytest.mark.parametrize("body", [axpy, dots, exponentials])
@pytest.mark.parametrize("name", TARGETS)
def test_assembly_has_vector_fma_only(name, body, kind):
    *_, register, vector_fma, scalar_fma, stack, _ = TARGETS[name]
    n = 4 * register // {"f32": 4, "f64": 8}[kind]
    assembly = cross_compile(name, llvm_ir(body, kind, n))
    assert len(re.findall(vector_fma[kind], assembly)) >= 4
    assert not re.findall(scalar_fma, assembly)
    if body is not exponentials:  # its constants fill the 16 registers of AVX2
        assert not re.findall(stack, assembly)


@pytest.mark.usefixtures("every_target")
@pytest.mark.parametrize("name", TARGETS)
def test_every_stage_for_another_processor(name):
    *_, register, vector_fma, scalar_fma, stack, jump = TARGETS[name]
    printed = run_python(STAGES, FASTMLP_LANES=str(register // 4))
    walks = 0
    for stage, (entry, code) in json.loads(printed).items():
        assembly = cross_compile(name, code, lambda module, machine: optimise(module, entry, machine, "stage"))  # noqa: B023
        is_loss = stage.startswith("loss-")  # which takes the logarithm of one number a sample
        assert is_loss or not re.findall(scalar_fma, assembly), stage
        loops = [loop for loop in inner_loops(assembly, jump) if len(re.findall(vector_fma["f32"], loop)) >= 4]
        short = [loop for loop in loops if loop.count("\n") < 50]  # longer ones compute exponentials
        assert not [loop for loop in short if re.findall(stack, loop)], stage
        walks += len(short)
    assert walks >= 16


@pytest.mark.usefixtures("every_target")
@pytest.mark.parametrize(
    ("target", "name", "own"),
    [
        ("x86-64-v3", "haswell", ("llvm.x86.sse2.pause", "llvm.readcyclecounter", "llvm.x86.sse.ldmxcsr")),
        ("aarch64", "aarch64", ("llvm.aarch64.hint", "cntvct_el0", "llvm.aarch64.set.fpcr")),
    ],
)
def test_the_loop_over_batches_is_compiled_for_either_processor(target, name, own):
    """With its own ways to wait, to tell the time and to leave out subnormal numbers."""
    entry, code = run_python(EPOCH, FASTMLP_TARGET=target).split(" ", 1)
    assert all(instruction in code for instruction in own)
    assembly = cross_compile(name, code, lambda module, machine: optimise(module, entry, machine, "stage"), "")
    assert "stage:" in assembly
