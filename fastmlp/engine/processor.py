"""What this machine computes with."""

import os

from llvmlite import binding


def _has(feature):
    return binding.get_host_cpu_features().get(feature, False)


def _count_lanes():
    chosen = os.environ.get("FASTMLP_LANES")
    if not chosen:
        return 16 if _has("avx512vl") else 8 if _has("avx2") else 4
    if chosen not in ("4", "8", "16"):
        raise ValueError(f"FASTMLP_LANES must be the number of float32 in a register, 4, 8 or 16, got {chosen!r}")
    return int(chosen)


#: Float32 numbers in a register: 16 with AVX-512, 8 with AVX2, else 4; or the environment variable FASTMLP_LANES.
LANES = _count_lanes()

#: Whether `keep` of fastmlp.engine.simd is one instruction (AVX-512 VBMI2). Elsewhere a loop over `setbits` wins.
COMPRESS = LANES == 16 and _has("avx512vbmi2")


def lanes(kind):
    """How many numbers of a kind ("f32", "f64") one register holds."""
    return {"f32": LANES, "f64": LANES // 2}[kind]


def usable_cores():
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def target_machine():
    """LLVM's description of this processor, to compile for it."""
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    target = binding.Target.from_triple(binding.get_process_triple())
    return target.create_target_machine(
        cpu=binding.get_host_cpu_name(),
        features=binding.get_host_cpu_features().flatten(),
        opt=3,
        reloc="pic",
        codemodel="default",
    )
