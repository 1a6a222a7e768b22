"""The file of a saved network: what a round trip keeps, how the file appears, and what is refused."""

import io
import itertools
import json
import os
import stat
import tracemalloc
import zipfile

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array
from support.networks import CODES, TARGETS, X, fit

from fastmlp import MLP

SPARSE = np.where(np.arange(200).reshape(50, 4) % 5 == 0, X, 1.5)


@pytest.mark.parametrize("kind", TARGETS)
@pytest.mark.parametrize("normalize", [None, "unit", "zscore"])
def test_round_trip(kind, normalize, tmp_path):
    y, options = TARGETS[kind]
    model = fit(y, validation_data=(X, y), normalize=normalize, track_gradients=True, **options)
    model.save(tmp_path / "model.npz")
    loaded = MLP.load(tmp_path / "model.npz")
    assert_array_equal(loaded.params, model.params)
    assert not loaded.params.flags.writeable
    assert (loaded.widths, repr(loaded)) == (model.widths, repr(model))
    assert loaded.history == model.history
    assert len(loaded.history) == 2
    assert_array_equal(loaded.predict(X), model.predict(X))
    assert loaded.predict(X).dtype == model.predict(X).dtype
    assert_array_equal(loaded.logits(X), model.logits(X))
    assert loaded.score(X, y) == model.score(X, y)
    assert loaded.loss(X, y) == model.loss(X, y)
    assert hasattr(loaded, "classes_") == hasattr(model, "classes_")
    if hasattr(model, "classes_"):
        assert_array_equal(loaded.classes_, model.classes_)
        assert loaded.classes_.dtype == model.classes_.dtype


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_round_trip_keeps_the_dtype_and_trains_on(dtype, tmp_path, backend):
    model = fit(CODES, dtype=dtype, backend=backend, shuffle=False)
    model.save(tmp_path / "model.npz")
    loaded = MLP.load(tmp_path / "model.npz")
    assert loaded.params.dtype == dtype
    options = {"dtype": dtype, "backend": backend, "shuffle": False}
    assert_array_equal(fit(CODES, params=loaded.layers, **options).params, fit(CODES, num_epochs=4, **options).params)


@pytest.mark.parametrize(
    ("activation", "kept"), [(("relu", "gelu"), ["relu", "gelu"]), (["tanh", "tanh"], "tanh")], ids=str
)
def test_an_activation_for_each_layer_is_kept(activation, kept, tmp_path, backend):
    model = fit(CODES, activation=activation, backend=backend)
    model.save(tmp_path / "model.npz")
    with np.load(tmp_path / "model.npz") as file:
        about = json.loads(file["about"].item())
    assert (about["activation"], about["format_version"]) == (kept, 4)
    loaded = MLP.load(tmp_path / "model.npz")
    assert repr(loaded) == repr(model)
    assert_array_equal(loaded.logits(X), model.logits(X))


def test_a_saved_network_needs_no_pickle(tmp_path):
    fit(np.array(["ant", "bee", "cat"], object)[CODES], normalize="zscore").save(tmp_path / "model.npz")
    with np.load(tmp_path / "model.npz", allow_pickle=False) as file:
        arrays = dict(file)
    assert {"about", "params", "shift", "scale", "classes"} == set(arrays)
    assert all(array.dtype != object for array in arrays.values())
    assert json.loads(arrays["about"].item())["format_version"] == 4


@pytest.mark.parametrize("name", ["model", "model.bin", "model.npz", ".hidden", "mö del.npz", "n" * 250])
@pytest.mark.parametrize("as_text", [True, False])
def test_the_path_is_kept_as_given(name, as_text, tmp_path):
    path = tmp_path / name
    model = fit(CODES)
    model.save(str(path) if as_text else path)
    assert os.listdir(tmp_path) == [name]
    assert_array_equal(MLP.load(str(path) if as_text else path).params, model.params)


def test_a_name_without_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fit(CODES).save("model.npz")
    assert os.listdir() == ["model.npz"]
    assert MLP.load("model.npz").widths == (4, 6, 5, 3)


def test_saving_replaces_an_older_file_behind_a_link_and_keeps_its_mode(tmp_path):
    path, link = tmp_path / "model.npz", tmp_path / "latest.npz"
    path.write_text("older")
    path.chmod(0o640)
    link.symlink_to(path)
    fit(CODES).save(link)
    assert link.is_symlink()
    assert MLP.load(path).widths == (4, 6, 5, 3)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_new_file_respects_the_umask(tmp_path):
    path = tmp_path / "model.npz"
    before = os.umask(0o027)
    try:
        fit(CODES).save(path)
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
@pytest.mark.parametrize("failing", ["numpy.savez", "os.replace"])
def test_a_failing_save_leaves_the_old_file_and_no_litter(failing, error, tmp_path, monkeypatch):
    path = tmp_path / "model.npz"
    fit(CODES).save(path)
    old = path.read_bytes()

    def fail(file, *arguments, **options):
        if failing == "numpy.savez":
            file.write(b"half of it")
        raise error

    monkeypatch.setattr(failing, fail)
    with pytest.raises(type(error)):
        fit(CODES, seed=2).save(path)
    assert path.read_bytes() == old
    assert os.listdir(tmp_path) == ["model.npz"]


def test_saving_into_a_missing_folder(tmp_path):
    with pytest.raises(FileNotFoundError):
        fit(CODES).save(tmp_path / "missing" / "model.npz")
    assert os.listdir(tmp_path) == []


@pytest.fixture
def saved_regression(tmp_path):
    """A network whose targets were standardised."""
    path = tmp_path / "regression.npz"
    fit(100 * SPARSE[:, :2] + 7, X=SPARSE, normalize_targets=True).save(path)
    return path


@pytest.fixture
def saved(tmp_path):
    """A network of the compiled path on sparse features, for which every part is in the file."""
    path = tmp_path / "saved.npz"
    labels = np.array(["ant", "bee", "cat"])[CODES]
    fit(labels, X=SPARSE, normalize="zscore", track_gradients=True, backend="jit").save(path)
    return path


def assert_refused(path, message="must be a network saved by fastmlp"):
    with pytest.raises(ValueError, match=message) as caught:
        MLP.load(path)
    assert type(caught.value) is ValueError
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_loading_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"missing\.npz"):
        MLP.load(tmp_path / "missing.npz")


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"PK\x03\x04 no zip", b"\x80\x04N.", b"\x93NUMPY", bytes(500)], ids=repr
)
def test_loading_a_foreign_file(content, tmp_path):
    path = tmp_path / "foreign.npz"
    path.write_bytes(content)
    assert_refused(path)


def test_loading_arrays_that_are_no_network(tmp_path):
    np.save(tmp_path / "array.npy", X)
    np.savez(tmp_path / "arrays.npz", X=X)
    np.savez(tmp_path / "objects.npz", about=np.array({"a": 1}, object))
    np.savez(tmp_path / "text.npz", about=np.array("no JSON"))
    np.savez(tmp_path / "list.npz", about=np.array("[1]"))
    for name in ("array.npy", "arrays.npz", "objects.npz", "text.npz", "list.npz"):
        assert_refused(tmp_path / name)


def test_loading_a_file_cut_anywhere(saved, tmp_path):
    content, path = saved.read_bytes(), tmp_path / "damaged.npz"
    for length in range(0, len(content), 97):
        path.write_bytes(content[:length])
        assert_refused(path)


@pytest.mark.parametrize("flip", [255, 1, 128])
def test_loading_a_file_with_a_changed_byte(flip, saved, tmp_path):
    """It is refused, or nothing that the network needs was in that byte, such as a time stamp."""
    content, path = saved.read_bytes(), tmp_path / "damaged.npz"
    wanted, refused = MLP.load(saved), 0
    for place in np.random.default_rng(flip).integers(0, len(content), 300):
        path.write_bytes(content[:place] + bytes([content[place] ^ flip]) + content[place + 1 :])
        try:
            same_network(MLP.load(path), wanted)
        except ValueError as error:
            assert type(error) is ValueError  # noqa: PT017
            assert "must be a network saved by fastmlp" in str(error)  # noqa: PT017
            refused += 1
    assert refused > 150


def test_a_message_quotes_no_file(saved, tmp_path):
    """Where a member's name is said to be longer than it is, zipfile names all that follows."""
    content, path = bytearray(saved.read_bytes()), tmp_path / "damaged.npz"
    header = content.index(b"params.npy") - 30
    assert content[header : header + 4] == b"PK\x03\x04"
    content[header + 26 : header + 28] = (1000).to_bytes(2, "little")
    path.write_bytes(content)
    with pytest.raises(ValueError, match="must be a network saved by fastmlp, but it can't be read: ") as refusal:
        MLP.load(path)
    assert len(str(refusal.value)) < 300 + len(str(path))


def same_network(one, other):
    assert_array_equal(one.params, other.params)
    assert (repr(one), one.history) == (repr(other), other.history)
    assert_array_equal(one.classes_, other.classes_)
    assert_array_equal(one.logits(SPARSE), other.logits(SPARSE))


def rewrite(path, about=None, **arrays):
    """Change parts of a saved network; a part given as None is left out."""
    with np.load(path) as file:
        stored = dict(file)
    description = json.loads(stored["about"].item()) | (about or {})
    stored |= {"about": np.array(json.dumps({k: v for k, v in description.items() if v is not None}))} | arrays
    np.savez(path, **{name: array for name, array in stored.items() if array is not None})


def test_rewriting_nothing_keeps_the_network_loadable(saved):
    rewrite(saved)
    assert MLP.load(saved).widths == (4, 6, 5, 3)


NAN, INFINITE = [np.where(np.arange(83) == 82, value, 0) for value in (np.nan, np.inf)]
CRAFTED = [
    ({"params": np.zeros(82)}, r"params have shape \(82,\) where its widths ask for \(83,\)"),
    ({"params": np.zeros((83, 1))}, "params has shape"),
    ({"params": np.zeros(83, int)}, "params are int64, neither float32 nor float64"),
    ({"params": np.zeros(83, complex)}, "dtype complex128"),
    ({"params": np.zeros(83, object)}, "dtype object"),
    ({"params": NAN}, "params are not all finite"),
    ({"params": INFINITE}, "params are not all finite"),
    ({"params": None}, "params is missing"),
    ({"shift": np.zeros(5)}, r"shift has shape \(5,\), neither \(\) nor \(4,\)"),
    ({"shift": np.full(4, np.inf)}, "shift is not finite"),
    ({"shift": np.array(["a"] * 4)}, "shift is <U1, not float64"),
    ({"scale": None}, "scale is missing"),
    ({"scale": np.zeros(())}, "scale is not positive"),
    ({"scale": np.array([1.0, -1, 1, 1])}, "scale is not positive"),
    ({"scale": np.array(np.nan)}, "scale is not finite"),
    ({"scale": np.array(1j)}, "dtype complex128"),
    ({"classes": None}, "classes is missing"),
    ({"base": None}, "base is missing"),
    ({"classes": None, "about": {"arrays": []}}, "0 classes where its loss and widths ask for 3"),
    ({"about": {"arrays": ["weights"]}}, "weights is missing"),
    ({"about": {"arrays": [["weights"]]}}, ""),
    ({"classes": np.arange(4)}, "4 classes where its loss and widths ask for 3"),
    ({"classes": np.array([2, 1, 0])}, "classes are not sorted"),
    ({"classes": np.array([0, 1, 1])}, "classes are not sorted"),
    ({"classes": np.array([0, np.nan, 1])}, "classes are not sorted"),
    ({"classes": np.arange(3)[:, None]}, "classes has shape"),
    ({"classes": np.arange(3) * 1j}, "dtype complex128"),
    ({"classes": np.array([0x110000, 0x110001, 0x110002], np.uint32).view("<U1")}, ""),
    ({"base": np.zeros(3)}, "base is not one finite number for each of 4"),
    ({"base": np.full(4, np.nan)}, "base is not one finite number"),
    ({"base": np.arange(4)}, "base is not one finite number"),
    ({"about": {"widths": [4, 6, 5, 4]}}, "params have shape"),
    ({"about": {"widths": None}}, "widths are None"),
    ({"about": {"widths": "4653"}}, "widths are '4653'"),
    ({"about": {"widths": [4]}}, "widths are"),
    ({"about": {"widths": [4, 6.0, 5, 3]}}, "widths are"),
    ({"about": {"widths": [4, 6, -5, 3]}}, "widths are"),
    ({"about": {"widths": [4, True, 5, 3]}}, "widths are"),
    ({"about": {"widths": [4, 10**30, 5, 3]}}, "params have shape"),
    ({"about": {"activation": "maxout"}}, "activation must be one of .*, got 'maxout'"),
    ({"about": {"activation": None}}, "activation must be one of .*, got None"),
    ({"about": {"activation": {"relu": 1}}}, "activation must be one of "),
    ({"about": {"activation": ["relu", ["tanh"]]}}, r"activation\[1\] must be one of .*, got \['tanh'\]"),
    ({"about": {"activation": ["relu"]}}, r"activation must be one name, or one for each hidden layer \(2\), got 1"),
    ({"about": {"loss": "hinge"}}, "loss 'hinge' is unknown"),
    ({"about": {"loss": "mean_squared_error"}}, "3 classes where its loss and widths ask for 0"),
    ({"about": {"flat_targets": 1}}, "flat_targets"),
    ({"about": {"history": None}}, "history is not one of a training"),
    ({"about": {"history": {"losses": []}}}, "history is not one of a training"),
    ({"about": {"history": {"loss": 0.5}}}, "history's loss is not made of numbers"),
    ({"about": {"history": {"loss": ["low"]}}}, "history's loss is not made of numbers"),
    ({"about": {"history": {"loss": [[0.5]]}}}, "history's loss is not made of numbers"),
    ({"about": {"history": {"update_ratio": [0.5]}}}, "history's update_ratio is not made of numbers"),
    ({"about": {"history": {"compile_seconds": None}}}, "history's compile_seconds is not made of numbers"),
    ({"about": {"features": {"dtype": "float16", "is_sparse": False}}}, "dtype 'float16' is unknown"),
    ({"about": {"features": {"dtype": "float64", "is_sparse": "csr"}}}, "is_sparse is neither"),
    ({"about": {"features": {"dtype": "float64", "is_sparse": True}}}, "base is not one finite number"),
    ({"about": {"features": {"dtype": "float64"}}}, "is_sparse"),
    ({"about": {"features": ["float64"]}}, ""),
    ({"about": {"feature_names": ["a", "b", "c"]}}, "feature names are not 4 strings"),
    ({"about": {"feature_names": ["a", "b", "c", 4]}}, "feature names are not 4 strings"),
    ({"about": {"feature_names": "abcd"}}, "feature names are not 4 strings"),
    ({"about": {"format_version": None}}, "format version is missing"),
    ({"about": {"format_version": "one"}}, "format version is missing"),
    ({"about": {"format_version": 0}}, "format version is missing"),
]


@pytest.mark.parametrize(("changes", "reason"), CRAFTED, ids=[reason[:40] for _, reason in CRAFTED])
def test_loading_parts_that_are_no_network(changes, reason, saved):
    rewrite(saved, **changes)
    assert_refused(saved, f"must be a network saved by fastmlp, but it can't be read: .*{reason}")


SCALED = [
    ({"target_scale": None}, "target_scale is missing"),
    ({"target_shift": None, "about": {"arrays": []}}, "target_shift or target_scale is missing"),
    ({"target_scale": np.zeros(2)}, "target_scale is not positive"),
    ({"target_scale": np.ones(3)}, r"target_scale has shape \(3,\), neither \(\) nor \(2,\)"),
    ({"target_shift": np.array([0, np.inf])}, "target_shift is not finite"),
    ({"about": {"format_version": 2}}, "target_shift and target_scale, which its loss or its format has no use for"),
]


@pytest.mark.parametrize(("changes", "reason"), SCALED, ids=[reason[:40] for _, reason in SCALED])
def test_loading_targets_that_were_not_scaled_so(changes, reason, saved_regression):
    rewrite(saved_regression, **changes)
    assert_refused(saved_regression, f"must be a network saved by fastmlp, but it can't be read: .*{reason}")


def test_an_older_regression_has_targets_as_they_are(saved_regression):
    new = MLP.load(saved_regression)
    rewrite(saved_regression, about={"format_version": 2, "arrays": None}, target_shift=None, target_scale=None)
    old = MLP.load(saved_regression)
    assert_array_equal(old.predict(SPARSE), new.logits(SPARSE))
    assert np.all(np.abs(new.predict(SPARSE) - old.predict(SPARSE)) > 1)


@pytest.mark.parametrize("version", [2, 3])
def test_older_formats_of_a_classifier(version, saved):
    wanted = MLP.load(saved)
    rewrite(saved, about={"format_version": version})
    same_network(MLP.load(saved), wanted)


FIRST_FORMAT = {"format_version": 1, "features": None, "arrays": None}
OLD_READING = {"form": "sparse", "raw": "float64", "optimizer": "sgd", "by_unit": False}


@pytest.mark.parametrize("form", ["sparse", "dense", "csr"])
def test_loading_the_first_format(form, saved):
    """It named the program that trained the network; only what the data were like is read of that."""
    wanted = MLP.load(saved).logits(SPARSE)
    others = {} if form == "sparse" else {"base": None}
    rewrite(saved, FIRST_FORMAT | {"reading": OLD_READING | {"form": form}}, **others)
    loaded = MLP.load(saved)
    assert (loaded._inference.reading.form, loaded._inference.reading.raw) == (form, "float64")
    assert_allclose(loaded.logits(SPARSE), wanted, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "changes",
    [{"form": "sparce"}, {"form": "csr"}, {"form": ["dense"]}, {"form": None}, {"raw": "float16"}, {"raw": None}],
    ids=str,
)
def test_loading_the_first_format_with_an_unknown_reading(changes, saved):
    rewrite(saved, FIRST_FORMAT | {"reading": OLD_READING | changes})
    assert_refused(saved)


def test_a_program_that_the_first_format_names_does_not_matter(saved):
    reading = OLD_READING | {"optimizer": "unknown", "by_unit": "perhaps"}
    rewrite(saved, FIRST_FORMAT | {"reading": reading})
    assert MLP.load(saved).predict(SPARSE).shape == (50,)


def test_loading_a_newer_format(saved):
    rewrite(saved, about={"format_version": 5, "widths": None})
    assert_refused(saved, r"has format version 5, and this fastmlp reads up to 4; install a newer fastmlp")


# --- memory


BIG = 1 << 26


def compress(path, name, chunks):
    """Add a compressed member to a saved network, in the place of one of that name."""
    with np.load(path) as file:
        stored = {key: array for key, array in file.items() if key != name}
    np.savez(path, **stored)
    with (
        zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive,
        archive.open(f"{name}.npy", "w", force_zip64=True) as member,
    ):
        for chunk in chunks:
            member.write(chunk)


def header(shape, dtype="<f8"):
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": dtype, "fortran_order": False, "shape": shape})
    return stream.getvalue()


def peak_of_loading(path):
    """Return (network or None, bytes of memory that loading took at most)."""
    tracemalloc.start()
    try:
        return MLP.load(path), tracemalloc.get_traced_memory()[1]
    except ValueError:
        return None, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def big_zeros():
    return itertools.repeat(bytes(1 << 20), BIG >> 20)


def test_a_member_that_nobody_knows_is_not_unpacked(saved):
    compress(saved, "other", itertools.chain([header((BIG // 8,))], big_zeros()))
    assert saved.stat().st_size < BIG / 100
    network, peak = peak_of_loading(saved)
    assert network.widths == (4, 6, 5, 3)
    assert peak < BIG / 50


@pytest.mark.parametrize("name", ["about", "params", "shift", "scale", "classes", "base"])
def test_a_member_that_unpacks_to_more_than_the_file_is_refused(name, saved):
    compress(saved, name, itertools.chain([header((BIG // 8,))], big_zeros()))
    network, peak = peak_of_loading(saved)
    assert network is None
    assert peak < BIG / 50
    assert_refused(saved, f"its {name} is compressed")


@pytest.mark.parametrize("shape", [(1 << 40,), (10**30,), (-1,), (0, 10**30), (3,), ()])
def test_a_header_that_promises_another_size_is_refused(shape, saved):
    with np.load(saved) as file:
        stored = {key: array for key, array in file.items() if key != "shift"}
    np.savez(saved, **stored)
    with zipfile.ZipFile(saved, "a") as archive:
        archive.writestr("shift.npy", header(shape) + bytes(32))
    network, peak = peak_of_loading(saved)
    assert network is None
    assert peak < 1 << 24
    assert_refused(saved, "its shift (is not as long as it says|has shape)")


# --- the compiled path


@pytest.mark.parametrize("data", ["dense", "sparse", "csr"])
def test_what_a_file_says_of_the_data(data, tmp_path):
    features = {"dense": X, "sparse": SPARSE, "csr": csr_array(SPARSE)}[data].astype(np.float32)
    fit(CODES, X=features, backend="jit").save(tmp_path / "model.npz")
    with np.load(tmp_path / "model.npz") as file:
        arrays = dict(file)
    about = json.loads(arrays.pop("about").item())
    assert about["features"] == {"dtype": "float32", "is_sparse": data == "csr"}
    assert set(about) == {
        "format_version", "widths", "activation", "loss", "flat_targets", "history", "features", "arrays",
    }  # fmt: skip
    assert set(arrays) == {"params", "shift", "scale", "classes"} | ({"base"} if data == "sparse" else set())


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("data", ["dense", "sparse", "csr"])
def test_a_loaded_network_predicts_on_the_compiled_path_to_the_bit(data, optimizer, tmp_path, monkeypatch):
    features = {"dense": X, "sparse": SPARSE, "csr": csr_array(SPARSE)}[data]
    model = fit(CODES, X=features, backend="jit", optimizer=optimizer)
    model.save(tmp_path / "model.npz")
    loaded = MLP.load(tmp_path / "model.npz")
    wanted, few = model.logits(features), model.logits(features[:3])
    monkeypatch.setattr("fastmlp.inference.logits", lambda *_: pytest.fail("NumPy computes this"))
    assert loaded.logits(features).tobytes() == wanted.tobytes()
    assert loaded.logits(features[:3]).tobytes() == few.tobytes()


def test_feature_names_are_kept(tmp_path):
    names = ["wid\u00e9", "", "a b", "\N{SNOWMAN}"]
    model = fit(CODES)
    assert model.feature_names_in_ is None
    named = MLP(model.params, model._inference, model._coding, model.history, feature_names=names)
    named.save(tmp_path / "model.npz")
    assert MLP.load(tmp_path / "model.npz").feature_names_in_.tolist() == names
    model.save(tmp_path / "model.npz")
    assert MLP.load(tmp_path / "model.npz").feature_names_in_ is None
