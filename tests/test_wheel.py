"""Wheels that carry compiled stages: they train without Numba, and have all that can be asked for."""

import importlib.util
import io
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.engine_cases import Case, make_problem
from support.processes import run_python

import fastmlp
from fastmlp.engine.plan import make_plan
from fastmlp.engine.prebuilt import every_stage
from fastmlp.engine.processor import TARGETS, served_by
from fastmlp.engine.schedule import make_schedule, stages_of
from fastmlp.engine.simd.compiler import COMPILED
from fastmlp.engine.trainer import Engine
from fastmlp.problem import Architecture
from fastmlp.reference.activations import ACTIVATIONS
from fastmlp.reference.losses import LOSSES
from fastmlp.reference.optimizers import OPTIMIZERS

CASE = Case("float32", "float64", "dense", "relu", "mean_squared_error", "adam", hidden=(9, 3), n=70, batch=64)
FILL = """
from pathlib import Path
from fastmlp.engine.prebuilt import fill
from fastmlp.engine.schedule import EPOCH
from fastmlp.engine.stages import Stage

fill(Path({path!r}), {stages!r})
"""
TRAIN = """
import hashlib, sys
{prelude}
from support.engine_cases import Case, make_problem, train
from fastmlp.engine.trainer import Engine

problem, start, orders = make_problem({case!r})
engine = Engine(problem, start)
params, losses = train(engine, orders)
scores = engine.predictor.logits(params, problem.X)
print(hashlib.sha256(params.tobytes() + losses.tobytes() + scores.tobytes()).hexdigest())
"""
WITHOUT_NUMBA = "sys.modules['numba'] = None"
BACKEND = Path(__file__).parents[1] / "scripts" / "build_backend.py"


def stages_of_case():
    engine = Engine(*make_problem(CASE)[:2])
    learning = engine._workspace.plan
    return stages_of(make_schedule(learning)) + stages_of(
        make_schedule(learning._replace(optimizer="", transposed=False, by_sample=False))
    )


@pytest.mark.skipif(not COMPILED or served_by() is None, reason="wheels carry no code for this machine")
def test_a_wheel_with_stages_trains_without_numba(tmp_path):
    package, target = tmp_path / "fastmlp", served_by()
    shutil.copytree(Path(fastmlp.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__", "compiled"))
    stages, cache = stages_of_case(), {"FASTMLP_CACHE_DIR": str(tmp_path / "cache")}
    archive = package / "compiled" / f"{target}.zip"
    run_python(FILL.format(path=str(archive), stages=stages), package, FASTMLP_TARGET=target)
    first = archive.read_bytes()
    run_python(FILL.format(path=str(archive), stages=stages[::-1]), package, FASTMLP_TARGET=target)
    assert archive.read_bytes() == first
    shipped = run_python(TRAIN.format(prelude=WITHOUT_NUMBA, case=CASE), package, **cache)
    assert not (tmp_path / "cache").exists()
    with open(package / "engine" / "optimizers.py", "a") as file:
        file.write("# edited\n")  # of which the archive knows nothing
    assert run_python(TRAIN.format(prelude="", case=CASE), package, **cache) == shipped
    assert {path.name.split("-")[0] for path in (tmp_path / "cache").iterdir()} >= {
        "shard_step",
        "transposed_shard_step",
    }
    assert not list((tmp_path / "cache").glob("locate_rows*"))


@pytest.mark.parametrize("target", TARGETS)
def test_stages_for_another_processor(target, tmp_path):
    archive = tmp_path / "compiled.zip"
    stages = [stage for stage in every_stage() if stage.name in ("epoch", "chain") and "f64" not in stage.options]
    run_python(FILL.format(path=str(archive), stages=stages[:3]), FASTMLP_TARGET=target)
    machine = {"x86-64-v4": 62, "x86-64-v3": 62, "aarch64": 183}[target]  # of the ELF header
    with zipfile.ZipFile(archive) as groups:
        codes = [zipfile.ZipFile(io.BytesIO(groups.read(group))) for group in groups.namelist()]
    objects = [group.read(name) for group in codes for name in group.namelist()]
    assert len(objects) == 3
    for code in objects:
        assert code[:4] == b"\x7fELF"
        assert int.from_bytes(code[18:20], "little") == machine


EVERY = set(every_stage())


@settings(deadline=None, max_examples=300, derandomize=True, database=None)
@given(
    widths=st.lists(st.integers(1, 900), min_size=2, max_size=6),
    activations=st.lists(st.sampled_from(sorted(ACTIVATIONS)), min_size=4, max_size=4),
    loss=st.sampled_from(sorted(LOSSES)),
    form=st.sampled_from(["sparse", "dense", "csr"]),
    raw=st.sampled_from(["uint8", "float32", "float64"]),
    dtype=st.sampled_from(["float32", "float64"]),
    optimizer=st.sampled_from(["", *OPTIMIZERS]),
    batch=st.sampled_from([1, 64, 1024]),
    smoothed=st.booleans(),
    clipped=st.booleans(),
)
def test_wheels_have_every_stage(widths, activations, loss, form, raw, dtype, optimizer, batch, smoothed, clipped):
    plan = make_plan(
        Architecture(tuple(widths), tuple(activations[: len(widths) - 2]), loss),
        form,
        raw,
        np.dtype(dtype),
        optimizer,
        batch,
        is_smoothed=smoothed and bool(optimizer),
        is_clipped=clipped and bool(optimizer),
    )
    assert set(stages_of(make_schedule(plan))) <= EVERY


def test_an_unknown_target_is_named():
    with pytest.raises(AssertionError, match="FASTMLP_TARGET must be one of x86-64-v4, x86-64-v3, aarch64, got 'z80'"):
        run_python("import fastmlp.engine.processor", FASTMLP_TARGET="z80")


@pytest.fixture
def backend(monkeypatch, tmp_path):
    """The build backend, in an empty folder."""
    spec = importlib.util.spec_from_file_location("build_backend", BACKEND)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "COMPILED", tmp_path / "compiled")
    monkeypatch.setattr(module.build_meta, "get_requires_for_build_wheel", lambda settings: ["setuptools"])
    monkeypatch.delenv("FASTMLP_TARGETS", raising=False)
    return module


def test_a_plain_wheel_asks_for_no_compiler(backend, monkeypatch):
    monkeypatch.setattr(backend.build_meta, "build_wheel", lambda *arguments: "wheel")
    assert backend.get_requires_for_build_wheel() == ["setuptools"]
    assert backend.build_wheel("folder") == "wheel"


@pytest.mark.parametrize("settings", [{"targets": "a, b"}, None])
def test_targets_fill_a_wheel_and_leave_nothing_behind(backend, monkeypatch, settings, tmp_path):
    monkeypatch.setenv("FASTMLP_TARGETS", "a,b" if settings is None else "c")
    (tmp_path / "build" / "lib").mkdir(parents=True)
    packed = []

    def fill(target):
        backend.COMPILED.mkdir(exist_ok=True)
        (backend.COMPILED / target).touch()

    def build_wheel(*arguments):
        assert not (tmp_path / "build").exists()
        packed.extend(sorted(path.name for path in backend.COMPILED.iterdir()))

    monkeypatch.setattr(backend, "_fill", fill)
    monkeypatch.setattr(backend.build_meta, "build_wheel", build_wheel)
    assert any(name.startswith("numba") for name in backend.get_requires_for_build_wheel(settings))
    backend.build_wheel("folder", settings)
    assert packed == ["a", "b"]
    assert not backend.COMPILED.exists()
