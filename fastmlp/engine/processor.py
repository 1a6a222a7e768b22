"""The processor that code is compiled for: this machine's, or a kind for which wheels carry code."""

import os
import platform
from typing import NamedTuple

from llvmlite import binding


class Target(NamedTuple):
    """A kind of processor."""

    triple: str
    cpu: str
    features: str
    """In LLVM's notation, "+name,-name"."""
    lanes: int
    """Float32 numbers in a register."""
    compress: bool
    """Whether `keep` of fastmlp.engine.simd is one instruction; if not, a loop over `setbits` is faster."""

    @property
    def has_approximations(self) -> bool:
        """Whether it has instructions for inverses of square roots, and others, that are right to 14 bits: AVX-512."""
        return self.lanes == 16 and (self.cpu == "x86-64-v4" or "+avx512f" in self.features.split(","))

    @property
    def family(self) -> str:
        """The family of processors: "x86", "arm" (of 64 bits), or "" for others."""
        if self.triple.startswith(("x86", "i686", "amd64")):
            return "x86"
        return "arm" if self.triple.startswith(("aarch64", "arm64")) else ""

    def machine(self) -> binding.TargetMachine:
        """Return LLVM's target machine."""
        if self.triple == binding.get_process_triple():
            binding.initialize_native_target()
            binding.initialize_native_asmprinter()
        else:
            binding.initialize_all_targets()
            binding.initialize_all_asmprinters()
        return binding.Target.from_triple(self.triple).create_target_machine(
            cpu=self.cpu, features=self.features, opt=3, reloc="pic", codemodel="default"
        )


TARGETS = {
    # AVX-512 with VBMI2: Ice Lake, Zen 4 and later
    "x86-64-v4": Target("x86_64-unknown-linux-gnu", "x86-64-v4", "+avx512vbmi2", 16, True),
    # AVX2 and FMA: Haswell, Zen and later
    "x86-64-v3": Target("x86_64-unknown-linux-gnu", "x86-64-v3", "", 8, False),
    "aarch64": Target("aarch64-unknown-linux-gnu", "generic", "+neon", 4, False),
}
"""The kinds of processors that wheels may carry code for."""
_NEEDED: dict[str, tuple[str, ...]] = {
    "x86-64-v4": ("avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512vbmi2"),
    "x86-64-v3": ("avx2", "fma", "bmi2"),
    "aarch64": (),
}


def _has(feature: str) -> bool:
    return binding.get_host_cpu_features().get(feature, False)


def _count_lanes() -> int:
    chosen = os.environ.get("FASTMLP_LANES")
    if not chosen:
        return 16 if _has("avx512vl") else 8 if _has("avx2") else 4
    if chosen not in ("4", "8", "16"):
        raise ValueError(f"FASTMLP_LANES must be the number of float32 in a register, 4, 8 or 16, got {chosen!r}")
    return int(chosen)


def _host() -> Target:
    features, n = binding.get_host_cpu_features().flatten(), _count_lanes()
    compress = n == 16 and _has("avx512vbmi2")
    return Target(binding.get_process_triple(), binding.get_host_cpu_name(), features, n, compress)


def _chosen() -> Target:
    name = os.environ.get("FASTMLP_TARGET")
    if name is not None and name not in TARGETS:
        raise ValueError(f"FASTMLP_TARGET must be one of {', '.join(TARGETS)}, got {name!r}")
    return TARGETS[name] if name else _host()


#: This machine's processor, or to fill a wheel the one of TARGETS that the environment variable FASTMLP_TARGET names.
TARGET = _chosen()

#: Float32 numbers in a register: 16 with AVX-512, 8 with AVX2, else 4; or the environment variable FASTMLP_LANES.
LANES = TARGET.lanes


def lanes(kind: str) -> int:
    """The number of "f32" or "f64" numbers that one register holds."""
    return {"f32": LANES, "f64": LANES // 2}[kind]


def served_by() -> str | None:
    """Return the name in TARGETS whose code runs here and uses registers of the same width, or None."""
    machine = {"arm64": "aarch64", "amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
    for name, target in TARGETS.items():
        is_here = platform.system() == "Linux" and target.triple.startswith(machine) and all(map(_has, _NEEDED[name]))
        if is_here and (target.lanes, target.compress) == (TARGET.lanes, TARGET.compress):
            return name
    return None


def usable_cores() -> int:
    """The number of processors that this process may use, or what OMP_NUM_THREADS leaves of them.

    Joblib gives its worker processes their share of the processors by this variable.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, min(cores, int(limit))) if limit.isdigit() else cores
