"""Compiled stages on disk: a second process loads them without Numba; damage, other processors, and no compiler."""

import gc
import itertools
import os
import shutil
import stat
from pathlib import Path

import pytest
from numba.core.errors import TypingError
from support import checked_memory
from support.engine_cases import Case, compare, make_problem, same_bits, train
from support.processes import run_python

import fastmlp
from fastmlp.engine import library, object_code
from fastmlp.engine.library import find_stages, path_of
from fastmlp.engine.simd.compiler import COMPILED
from fastmlp.engine.stages import Stage
from fastmlp.engine.trainer import Engine

pytestmark = pytest.mark.skipif(not COMPILED, reason="looks at compiled stages")

CASE = Case("float64", "float64", "sparse", "sigmoid", "cross_entropy", "momentum", epochs=2, n=70, batch=64)
WIDE_AND_NARROW = (
    Case("float64", "uint8", "sparse", hidden=(2,), k=21, d=70, n=70, batch=64, normalize="zscore"),
    Case("float32", "float32", optimizer="adam", hidden=(9, 3), k=2, d=9, n=70, batch=66, threads=2),
)
"""Panels of two widths, and a first layer kept by unit."""

TRAIN = """
import hashlib, sys
from support.engine_cases import Case, make_problem, train
from fastmlp.engine.trainer import Engine

problem, start, orders = make_problem({case!r})
engine = Engine(problem, start)
params, losses = train(engine, orders)
print(hashlib.sha256(params.tobytes() + losses.tobytes()).hexdigest(), "numba" in sys.modules, engine.compile_seconds)
"""
COMPARE = """
from support.engine_cases import Case, compare
from fastmlp.engine.processor import LANES

for case in {cases!r}:
    compare(case)
print(LANES)
"""
CROWDED = """
import numpy as np

{crowd}

from pathlib import Path
from support.engine_cases import Case, make_problem, train
from fastmlp.engine import library
from fastmlp.engine.trainer import Engine

for path in [*Path({cache!r}).iterdir()] * 40:
    name = path.name.rpartition("-")[0]
    library._enter({{f"fastmlp_{{name}}".replace("-", "_"): path.read_bytes()[library._CHECKSUM_SIZE :]}})
problem, start, orders = make_problem({case!r})
params, losses = train(Engine(problem, start), orders)
print(np.all(np.isfinite(losses)))
"""
"""Loads stages where much of the address space is taken, until the gaps near the libraries are full. The pages are
never touched, so that it takes no memory."""
CROWDS = {
    "arrays of 4 GB": "taken = [np.empty(1 << 30, np.uint8) for _ in range(4)]",
    "arrays of 12 GB": "taken = [np.empty(1 << 30, np.uint8) for _ in range(12)]",
    "a file of 4 GB": "taken = np.memmap({file!r}, np.uint8, 'r', shape=1 << 32)",
    "files of 16 GB": "taken = [np.memmap({file!r}, np.uint8, 'r', shape=1 << 32) for _ in range(4)]",
}
INTERRUPTED = """
import signal, sys
from importlib.abc import MetaPathFinder
from support.networks import CODES, X, fit

class Interrupts(MetaPathFinder):
    \"\"\"Ctrl-C when the module of this number is imported, and with the next two.\"\"\"

    count = 0

    def find_spec(self, name, path=None, target=None):
        if name.startswith(("llvmlite", "numba", "fastmlp.engine")):
            self.count += 1
            if {first} <= self.count < {first} + 3:
                signal.raise_signal(signal.SIGINT)

finder = Interrupts()
sys.meta_path.insert(0, finder)
try:
    fit(CODES, backend="jit")
    print("not interrupted")
except KeyboardInterrupt:
    print("interrupted")
sys.meta_path.remove(finder)
assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
assert fit(CODES, backend="jit", seed=2).logits(X).shape == (50, 3)
"""
FORKED = """
import os, signal, threading
from fastmlp.engine import object_code
from support.networks import CODES, X, fit
from numba.core.compiler_lock import global_compiler_lock

compiling, compile_object = threading.Event(), object_code.compile_object

def slow(function, symbol):
    with global_compiler_lock:
        compiling.set()
        threading.Event().wait(0.1)
        return compile_object(function, symbol)

object_code.compile_object = slow
thread = threading.Thread(target=fit, args=(CODES,), kwargs={{"backend": "jit"}})
thread.start()
compiling.wait()
child = os.fork()
if not child:
    signal.alarm(60)
    os._exit(0 if fit(CODES, backend="jit", {options}).logits(X).shape == (50, 3) else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
thread.join()
assert fit(CODES, backend="jit", activation="sigmoid").logits(X).shape == (50, 3)
"""
KEY = """
from fastmlp.engine.library import path_of
from fastmlp.engine.stages import Stage

print(*[path_of(stage).name for stage in {stages!r}])
"""


def train_in_a_process(cache):
    """Return (digest of the results, whether Numba was imported, compile seconds)."""
    digest, imported, seconds = run_python(TRAIN.format(case=CASE), FASTMLP_CACHE_DIR=str(cache)).split()
    return digest, imported == "True", float(seconds)


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A cache folder with the stages of a training, and what the process that compiled them found."""
    cache = tmp_path_factory.mktemp("cache") / "made" / "on demand"
    return cache, train_in_a_process(cache)


@pytest.fixture
def cache(filled, tmp_path, monkeypatch):
    """A copy of that folder, in use here."""
    copy = tmp_path / "cache"
    shutil.copytree(filled[0], copy)
    monkeypatch.setenv("FASTMLP_CACHE_DIR", str(copy))
    return copy


class Forgetful(dict):
    """Addresses in memory, of which none stays."""

    def update(self, found):
        pass


@pytest.fixture
def compiled(filled, monkeypatch):
    """The symbols of stages compiled in a test; those of CASE take no time, their object code being known."""
    codes = {symbol_of(path): path.read_bytes()[library._CHECKSUM_SIZE :] for path in filled[0].iterdir()}
    compile_object, calls = object_code.compile_object, []

    def look_up(function, name):
        calls.append(name)
        return codes.get(name) or compile_object(function, name)

    monkeypatch.setattr(object_code, "compile_object", look_up)
    monkeypatch.setattr(library, "_addresses", Forgetful())
    return calls


def symbol_of(path):
    """What the object code in a file of the cache calls its stage."""
    return f"fastmlp_{path.name.rpartition('-')[0]}".replace("-", "_")


# ---- one process after another


def test_a_second_process_loads_the_stages_without_numba(filled):
    cache, (digest, compiled_there, seconds) = filled
    written = {path: path.stat().st_mtime_ns for path in cache.iterdir()}
    assert {path.suffix for path in written} == {".o"}
    assert compiled_there
    again, imported, loaded_in = train_in_a_process(cache)
    assert again == digest
    assert not imported
    assert 0 < loaded_in < seconds
    assert written == {path: path.stat().st_mtime_ns for path in cache.iterdir()}


@pytest.mark.parametrize("collects", [True, False])
def test_the_garbage_collector_is_left_as_it_was(collects):
    switch = {True: gc.enable, False: gc.disable}
    switch[collects]()
    try:
        with pytest.raises(TypingError):
            object_code.link(lambda run, layer: run.nothing)
        assert gc.isenabled() == collects
    finally:
        gc.enable()


def test_a_stage_is_loaded_once(cache):
    stages = [Stage("total"), Stage("locate_rows")]
    assert find_stages(stages) == find_stages(stages)
    assert find_stages(stages[:1]) == {stages[0]: find_stages(stages)[stages[0]]}


def spoil(path, damage):
    data = path.read_bytes()
    middle = len(data) // 2
    path.write_bytes(
        {
            "empty": b"",
            "cut": data[:middle],
            "one bit": data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :],
            "no checksum": data[32:],
            "something else": b"no program at all" * 100,
        }[damage]
    )


@pytest.mark.parametrize("damage", ["empty", "cut", "one bit", "no checksum", "something else", "missing"])
def test_a_damaged_file_is_compiled_again(cache, compiled, damage):
    wanted = compare(CASE).params
    assert not compiled
    path = max(cache.iterdir(), key=lambda path: path.stat().st_size)
    whole = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        spoil(path, damage)
        assert path.read_bytes() != whole
    same_bits((compare(CASE).params,), (wanted,))
    assert compiled == [symbol_of(path)]
    assert path.read_bytes() == whole
    compare(CASE)
    assert len(compiled) == 1


@pytest.mark.parametrize("where", ["in a file", "in no folder of ours"])
def test_a_folder_that_cannot_be_written_does_not_matter(filled, compiled, where, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("FASTMLP_CACHE_DIR", str({"in a file": tmp_path / "file" / "x"}.get(where, Path("/proc/x"))))
    stages = len(list(filled[0].iterdir()))
    for count in (1, 2):
        compare(CASE)
        assert len(compiled) == count * stages


def test_the_folder_of_stages(monkeypatch, tmp_path):
    monkeypatch.setenv("FASTMLP_CACHE_DIR", "/chosen")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cached")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert library.cache_folder() == Path("/chosen")
    monkeypatch.delenv("FASTMLP_CACHE_DIR")
    assert library.cache_folder() == Path("/cached/fastmlp")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert library.cache_folder() == tmp_path / ".cache" / "fastmlp"


@pytest.mark.usefixtures("compiled")
def test_stages_can_be_read_by_whom_the_umask_allows(cache):
    shutil.rmtree(cache)
    before = os.umask(0o022)
    try:
        compare(CASE)
    finally:
        os.umask(before)
    assert {(path.suffix, stat.S_IMODE(path.stat().st_mode)) for path in cache.iterdir()} == {(".o", 0o644)}


def test_another_stage_is_not_taken_for_this_one(cache, compiled):
    """A stage for other tables would read and write memory at random."""
    wanted = Stage("chain", ("f64", 8, "tanh"))
    (other,) = cache.glob("chain-*")
    shutil.copy(other, path_of(wanted))
    find_stages([wanted])
    assert compiled == [wanted.symbol]


def test_the_stages_of_a_training_serve_others(cache, compiled):
    """Depth, batches and all that is a number compile nothing; an activation only its own stages."""
    widths = {"hidden": CASE.hidden * 3, "batch": 7, "normalize": "unit", "decay": 0.5, "threads": 2}
    compare(CASE._replace(**widths))
    known = len(compiled)
    compare(CASE._replace(**widths))
    assert {name.split("_f64")[0] for name in compiled[:known]} <= {"fastmlp_product", "fastmlp_backward"}
    compiled.clear()
    compare(CASE._replace(activation="tanh"))
    assert {name.split("_f64")[0] for name in compiled} == {"fastmlp_activate", "fastmlp_chain"}


# ---- crowded, interrupted and forked processes


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A cache folder with the stages of the network that these processes train and predict with."""
    cache = tmp_path_factory.mktemp("fitted")
    code = "from support.networks import CODES, X, fit; fit(CODES, backend='jit').logits(X)"
    run_python(code, FASTMLP_CACHE_DIR=str(cache))
    return cache


@pytest.fixture
def incomplete(fitted, tmp_path):
    """A copy without two of the stages, so that there is something to compile."""
    copy = tmp_path / "cache"
    shutil.copytree(fitted, copy, ignore=shutil.ignore_patterns("activate-*", "chain-*"))
    assert len(list(copy.iterdir())) == len(list(fitted.iterdir())) - 2
    return copy


@pytest.mark.parametrize("crowd", CROWDS)
def test_stages_are_loaded_in_a_crowded_address_space(filled, crowd, tmp_path):
    file = tmp_path / "sparse"
    with open(file, "wb") as empty:
        empty.truncate(1 << 32)
    code = CROWDED.format(crowd=CROWDS[crowd].format(file=str(file)), cache=str(filled[0]), case=CASE)
    assert run_python(code, FASTMLP_CACHE_DIR=str(filled[0])) == "True"


@pytest.mark.parametrize("first", [5, 30, 60, 100, 150])
def test_a_process_interrupted_while_it_imports_the_compiler_trains_later(first, incomplete):
    assert run_python(INTERRUPTED.format(first=first), FASTMLP_CACHE_DIR=str(incomplete)) == "interrupted"


@pytest.mark.parametrize("same", [True, False])
def test_a_child_forked_during_a_compilation_trains(same, incomplete):
    options = "" if same else "activation='tanh'"
    code = "import warnings; warnings.simplefilter('ignore')\n" + FORKED.format(options=options)
    assert run_python(code, FASTMLP_CACHE_DIR=str(incomplete)) == "0"


# ---- what a stage depends on


def test_a_stage_belongs_to_its_options_sources_and_processor(tmp_path):
    stages = Stage("chain", ("f32", 16, "relu")), Stage("chain", ("f32", 16, "tanh")), Stage("total")
    edited = tmp_path / "fastmlp"
    shutil.copytree(Path(fastmlp.__file__).parent, edited, ignore=shutil.ignore_patterns("__pycache__"))
    code = KEY.format(stages=stages)
    here = run_python(code).split()
    assert here == run_python(code).split() == run_python(code, edited).split()
    with open(edited / "engine" / "hidden.py", "a") as file:
        file.write("# changed\n")
    changed = run_python(code, edited).split()
    assert [one == other for one, other in zip(here, changed, strict=True)] == [False, False, True]
    by_lanes = [run_python(code, FASTMLP_LANES=lanes).split() for lanes in ("4", "8", "16")]
    assert len({*here, *changed, *itertools.chain(*by_lanes)}) == 5 + 2 * 3
    assert here in by_lanes


@pytest.mark.parametrize("lanes", ["4", "8"])
def test_registers_of_other_widths(lanes, tmp_path):
    code = COMPARE.format(cases=WIDE_AND_NARROW)
    assert run_python(code, FASTMLP_LANES=lanes, FASTMLP_CACHE_DIR=str(tmp_path)) == lanes


def test_every_address_is_within_its_array(tmp_path):
    code = "from support import checked_memory; checked_memory.main()"
    checked = run_python(code, NUMBA_DISABLE_JIT="1", FASTMLP_LANES="4", FASTMLP_CACHE_DIR=str(tmp_path))
    assert checked.splitlines() == [*checked_memory.CASES, *checked_memory.GIVEN, *checked_memory.AHEAD, "IndexError"]
    assert not list(tmp_path.iterdir())


def test_results_do_not_depend_on_where_a_stage_came_from(filled, cache, compiled):
    problem, start, orders = make_problem(CASE)
    loaded = train(Engine(problem, start), orders)
    assert not compiled
    shutil.rmtree(cache)
    same_bits(train(Engine(problem, start), orders), loaded)
    assert len(compiled) == len(list(cache.iterdir()))


FORKED_WHILE_IMPORTING = """
import os, signal, sys, threading, time
from importlib.abc import MetaPathFinder
from support.networks import CODES, fit

class Slow(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            importing.set()
            time.sleep(0.5)

importing = threading.Event()
sys.meta_path.insert(0, Slow())
thread = threading.Thread(target=fit, args=(CODES,), kwargs={{"backend": "jit"}})
thread.start()
importing.wait()
child = os.fork()
if not child:
    signal.alarm(60)
    fit(CODES, backend="jit")
    os._exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
thread.join()
"""


@pytest.mark.parametrize("module", ["fastmlp.preparation", "fastmlp.engine.workspace"])
def test_a_child_forked_during_an_import_trains(module, fitted):
    code = "import warnings; warnings.simplefilter('ignore')\n" + FORKED_WHILE_IMPORTING.format(module=module)
    assert run_python(code, FASTMLP_CACHE_DIR=str(fitted)) == "0"
