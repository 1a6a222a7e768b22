"""The build backend: setuptools', and on request it fills the wheel with compiled stages.

    FASTMLP_TARGETS=x86-64-v4,x86-64-v3,aarch64 pip wheel --no-deps .

or ``pip wheel --config-settings targets=x86-64-v4 .``; such a build takes some minutes and fetches Numba. Without
targets a wheel carries sources only, and stages are compiled where they are first used.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from setuptools import build_meta
from setuptools.build_meta import *  # noqa: F403

ROOT = Path(__file__).parents[1]
COMPILED = ROOT / "fastmlp" / "compiled"
COMPILERS = ["numba>=0.62", "numpy>=2.0", "threadpoolctl>=3.1"]


def _targets(settings: dict[str, Any] | None) -> list[str]:
    chosen = (settings or {}).get("targets") or os.environ.get("FASTMLP_TARGETS", "")
    return [name for name in chosen.replace(" ", "").split(",") if name]


def get_requires_for_build_wheel(config_settings: dict[str, Any] | None = None) -> list[str]:
    """What has to be installed for `build_wheel`."""
    plain = build_meta.get_requires_for_build_wheel(config_settings)
    return [*plain, *COMPILERS] if _targets(config_settings) else plain


def build_wheel(
    wheel_directory: str, config_settings: dict[str, Any] | None = None, metadata_directory: str | None = None
) -> str:
    """Build a wheel, with an archive of stages for each target."""
    shutil.rmtree(ROOT / "build", ignore_errors=True)  # what an earlier wheel was made of
    try:
        for target in _targets(config_settings):
            _fill(target)
        return build_meta.build_wheel(wheel_directory, config_settings, metadata_directory)
    finally:
        shutil.rmtree(COMPILED, ignore_errors=True)


def _fill(target: str) -> None:
    print(f"compiling the stages for {target}", flush=True)
    environment = {**os.environ, "FASTMLP_TARGET": target, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "fastmlp.engine.prebuilt", str(COMPILED / f"{target}.zip")]
    if subprocess.run(command, env=environment, cwd=ROOT, check=False).returncode:
        raise SystemExit(f"the stages for {target} could not be compiled")
