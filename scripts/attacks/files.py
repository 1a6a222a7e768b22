"""Damaged, crafted and foreign files; networks that travel."""

import copy
import io
import json
import os
import pickle
import resource
import shutil
import zipfile
from pathlib import Path

import numpy as np

import fastmlp
from attacks import DefectError, attack
from attacks.training import QUIET, SMALL, is_clear, make_data, need_near, need_same, need_status, run_script

CACHED = """
import numpy as np

import fastmlp

rng = np.random.default_rng(0)
X = rng.standard_normal((200, 9)) * (rng.random((200, 9)) < 0.3)
for hidden in ((5,), ()):
    model = fastmlp.train(
        X, np.arange(200) % 3, hidden=hidden, num_epochs=2, dtype="float64", seed=0, verbose=False
    )
    np.save(f"params-{len(hidden)}.npy", model.params)
    np.save(f"logits-{len(hidden)}.npy", model.logits(X))
"""


def make_network(rng):
    """A network of any kind, and features for it."""
    X, y = make_data(rng, n=80, d=int(rng.integers(2, 12)))
    targets = (y, np.array(["a", "b", "c"])[y], X[:, :1] + 0.0, y % 2)[rng.integers(4)]
    X = X.astype(rng.choice(["f", "d"]))
    backend = str(rng.choice(["jit", "jit", "reference"]))
    chosen = SMALL | {"dtype": str(rng.choice(["float32", "float64"])), "normalize": (None, "zscore")[rng.integers(2)]}
    return fastmlp.train(X, targets, backend=backend, **QUIET, **chosen), X


def load_and_compare(path, wanted, X, what):
    """Load a file that may be damaged: it is refused, or the network is what it was."""
    try:
        network = fastmlp.MLP.load(path)
        Z = network.logits(X)
        network.predict(X)
    except Exception as error:
        if not is_clear(error):
            raise DefectError("unclear error", f"{what}: {type(error).__name__}: {error}") from error
        return "clean refusal"
    need_near(f"{what}: loaded", Z, wanted, 1e-5)
    return "ok"


@attack(tries=60, timeout=240)
def damaged_model(rng):
    """A saved network with bits turned, bytes cut off, inserted or overwritten."""
    network, X = make_network(rng)
    network.save("network.npz")
    data = bytearray(Path("network.npz").read_bytes())
    place, size = int(rng.integers(len(data))), int(rng.integers(1, 200))
    kind = ("bit", "cut", "zeros", "inserted", "noise", "empty")[rng.integers(6)]
    if kind == "bit":
        data[place] ^= 1 << int(rng.integers(8))
    elif kind == "cut":
        del data[place:]
    elif kind == "zeros":
        data[place : place + size] = bytes(len(data[place : place + size]))
    elif kind == "inserted":
        data[place:place] = rng.bytes(size)
    elif kind == "noise":
        data[place : place + size] = rng.bytes(len(data[place : place + size]))
    else:
        data = bytearray()
    Path("network.npz").write_bytes(data)
    return load_and_compare("network.npz", network.logits(X), X, f"{kind} at {place}")


def any_json(rng):
    """A value that somebody could write where another stands."""
    values = None, True, -1, 0, 2**70, 1e308, float("nan"), "", "sparce", "sparse", "csr", "float64", [], [3], {}, [[]]
    return values[rng.integers(len(values))]


def craft_about(rng, about, arrays):
    target = about
    while True:
        name = str(rng.choice(list(target)))
        if not isinstance(target[name], dict) or not target[name] or rng.integers(3) == 0:
            break
        target = target[name]
    if rng.integers(4) == 0:
        del target[name]
        return f"without {name}"
    target[name] = any_json(rng)
    return f"{name} = {target[name]!r}"


def craft_array(rng, about, arrays):
    name = str(rng.choice(list(arrays)))
    array = arrays[name]
    kind = rng.integers(9)
    if kind == 0:
        del arrays[name]
    elif kind == 1:
        arrays[name] = np.full_like(array, np.nan) if array.dtype.kind == "f" else array[:0]
    elif kind == 2:
        arrays[name] = np.zeros_like(array)
    elif kind == 3:
        arrays[name] = array[..., None]
    elif kind == 4 and array.dtype.kind == "f":
        arrays[name] = array + 1j
    elif kind == 5:
        arrays[name] = array.ravel()[::-1].copy()
    elif kind == 6 and array.ndim:
        arrays[name] = np.append(array, array)
    elif kind == 7 and array.dtype.kind == "f":
        arrays[name] = array.astype(array.dtype.newbyteorder())
    else:
        arrays[name] = np.array([str(value) for value in array.ravel()])
    return f"{name}, change {kind}"


@attack(tries=80, timeout=240)
def crafted_model(rng):
    """A saved network of which somebody changed a field: refused, or it predicts finite numbers."""
    network, X = make_network(rng)
    network.save("network.npz")
    with np.load("network.npz") as archive:
        arrays = dict(archive)
    about = json.loads(arrays.pop("about").item())
    what = (craft_about, craft_array)[rng.integers(2)](rng, about, arrays)
    np.savez("network.npz", about=np.array(json.dumps(about)), **arrays)
    try:
        changed = fastmlp.MLP.load("network.npz")
        Z = changed.logits(X)
        predictions = changed.predict(X)
        classes = changed._coding.classes
        if classes is not None and not set(predictions.tolist()) <= set(classes.tolist()):
            raise DefectError("difference", f"{what}: predicts what is no class")
    except DefectError:
        raise
    except Exception as error:
        if not is_clear(error):
            raise DefectError("unclear error", f"{what}: {type(error).__name__}: {error}") from error
        return "clean refusal"
    if not np.all(np.isfinite(Z)):
        raise DefectError("difference", f"{what}: accepted, and predicts {Z.ravel()[:3]}")
    if classes is not None and (classes.ndim != 1 or classes.tolist() != sorted(set(classes.tolist()))):
        raise DefectError("difference", f"{what}: accepted, with the classes {classes.tolist()}")
    return "ok"


@attack(tries=80, timeout=240)
def crafted_checkpoint(rng):
    """A checkpoint of which somebody changed a field: refused, or the training goes on to finite numbers."""
    X, y = make_data(rng, n=80, d=6)
    options = QUIET | SMALL | {"backend": str(rng.choice(["jit", "reference"])), "validation_split": 0.2}
    options["optimizer"] = str(rng.choice(["adam", "rmsprop"]))
    callbacks = fastmlp.callbacks.EarlyStopping(), fastmlp.callbacks.ModelCheckpoint("checkpoint.npz")
    fastmlp.train(X, y, callbacks=callbacks, **options)
    with np.load("checkpoint.npz") as archive:
        arrays = dict(archive)
    about = json.loads(arrays.pop("about").item())
    place = (about, about["training"], about["training"]["identity"])[rng.integers(3)]
    what = craft_array(rng, about, arrays) if rng.integers(3) == 0 else craft_about(rng, place, arrays)
    np.savez("checkpoint.npz", about=np.array(json.dumps(about)), **arrays)
    try:
        resumed = fastmlp.train(X, y, resume="checkpoint.npz", callbacks=callbacks, **(options | {"num_epochs": 3}))
    except Exception as error:
        if not is_clear(error):
            raise DefectError("unclear error", f"{what}: {type(error).__name__}: {error}") from error
        return "clean refusal"
    if not np.all(np.isfinite(resumed.params)):
        raise DefectError("difference", f"{what}: accepted, and trained to {resumed.params[:3]}")
    return "ok"


@attack(timeout=120)
def model_that_unpacks_to_gigabytes(rng):
    """A small file that holds, packed, an array of 1 GB more than a network needs."""
    network, X = make_network(rng)
    network.save("network.npz")
    name = str(rng.choice(["unknown", "params", "classes", "base", "shift"]))
    with (
        np.load("network.npz") as archive,
        zipfile.ZipFile("bomb.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file,
    ):
        for member in archive.files:
            if member != name:
                file.writestr(f"{member}.npy", npy(archive[member]))
        with file.open(f"{name}.npy", "w", force_zip64=True) as member:
            header = io.BytesIO()
            shape = {"descr": "<f8", "fortran_order": False, "shape": (1 << 27,)}
            np.lib.format.write_array_header_2_0(header, shape)
            member.write(header.getvalue())
            for _ in range(64):
                member.write(bytes(1 << 24))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    outcome = load_and_compare("bomb.npz", network.logits(X), X, f"{name} of 1 GB")
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10
    if grown > 300:
        raise DefectError("unclear error", f"{name} of 1 GB: loading took {grown} MB of memory")
    return outcome


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def filled_cache():
    """A folder of this run with two compiled programs, and the results of both."""
    shared = Path(os.environ["FASTMLP_ATTACK_FOLDER"], "programs")
    if not (shared / "results").exists():
        shutil.rmtree(shared, ignore_errors=True)
        (shared / "results").mkdir(parents=True)
        status, _, said = run_script(CACHED, FASTMLP_CACHE_DIR=shared / "cache")
        need_status(status, said)
        for path in Path().glob("*-?.npy"):
            path.rename(shared / "results" / path.name)
    return shared


@attack(timeout=180)
def damaged_cache(rng):
    """Compiled programs on disk, damaged, cut, of other programs, or made folders: the results are what they were."""
    shared, cache = filled_cache(), Path("cache").absolute()
    shutil.copytree(shared / "cache", cache)
    paths = sorted(cache.glob("*.o"))
    kind = ("bit", "cut", "swapped", "folder", "grown", "unreadable")[rng.integers(6)]
    if kind == "swapped":
        first, second = (path.read_bytes() for path in paths[:2])
        paths[0].write_bytes(second)
        paths[1].write_bytes(first)
    for path in paths:
        data = bytearray(path.read_bytes())
        if kind == "bit":
            data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
            path.write_bytes(data)
        elif kind == "cut":
            path.write_bytes(data[: rng.integers(len(data))])
        elif kind == "folder":
            path.unlink()
            path.mkdir()
        elif kind == "grown":
            path.write_bytes(data + rng.bytes(int(rng.integers(1, 100))))
        elif kind == "unreadable":
            path.unlink()
            path.symlink_to(path)
    status, _, said = run_script(CACHED, timeout=120, FASTMLP_CACHE_DIR=cache)
    need_status(status, f"{kind}: {said}")
    for path in (shared / "results").iterdir():
        need_same(f"programs {kind}: {path.stem}", np.load(path.name), np.load(path))
    return "ok"


@attack(tries=15, timeout=120)
def networks_that_travel(rng):
    """A network after pickle, deepcopy and joblib, and after save and load, predicts the same bits."""
    network, X = make_network(rng)
    wanted = network.logits(X)
    kind = ("pickle", "deepcopy", "joblib", "save")[rng.integers(4)]
    try:
        if kind == "pickle":
            other = pickle.loads(pickle.dumps(network))
        elif kind == "deepcopy":
            other = copy.deepcopy(network)
        elif kind == "joblib":
            import joblib

            joblib.dump(network, "network.joblib")
            other = joblib.load("network.joblib")
        else:
            network.save("network.npz")
            other = fastmlp.MLP.load("network.npz")
    except Exception as error:
        raise DefectError("lost model", f"{kind}: {type(error).__name__}: {error}") from error
    need_same(f"{kind}: parameters", other.params, network.params)
    need_same(f"{kind}: logits", other.logits(X), wanted)
    return "ok"
