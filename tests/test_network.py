"""The trained network: what it predicts, how it is saved, what it refuses to load."""

import json
import os
import stat

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import fastmlp
from fastmlp import MLP, reference

X = np.random.default_rng(11).normal(size=(50, 4))
CODES = np.arange(50) % 3


def fit(y, **options):
    defaults = {"hidden": (6, 5), "num_epochs": 2, "batch_size": 16, "dtype": "float64", "seed": 1, "verbose": False}
    return fastmlp.train(X, y, **(defaults | {"backend": "reference"} | options))


TARGETS = {
    "int": (CODES, {}),
    "negative": (CODES - 1, {}),
    "bool": (CODES == 1, {}),
    "str": (np.array(["ant", "bee", "élan"])[CODES], {}),
    "bytes": (np.array([b"ant", b"bee", b"cat"])[CODES], {}),
    "one-hot": (np.eye(3)[CODES], {}),
    "regression": (X[:, 0], {}),
    "column regression": (X[:, :1], {}),
    "multiple regression": (X[:, :2], {}),
    "binary": (np.array(["no", "yes"])[CODES // 2], {"loss": "binary_cross_entropy"}),
    "multilabel": ((X[:, :3] > 0).astype(int), {"loss": "binary_cross_entropy"}),
}


# --- predictions


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh", "identity"])
def test_classification_is_the_formula(activation, dtype, backend):
    model = fit(CODES, activation=activation, dtype=dtype, backend=backend)
    (W1, b1), (W2, b2), (W3, b3) = model.layers
    f = getattr(reference, activation)
    Z = f(f(X.astype(dtype) @ W1 + b1) @ W2 + b2) @ W3 + b3
    probabilities = reference.softmax(Z)
    tolerance = 1e-4 if dtype == "float32" else 1e-12
    assert model.logits(X).dtype == dtype
    assert_allclose(model.logits(X), Z, rtol=tolerance, atol=tolerance)
    assert_allclose(model.predict_proba(X), probabilities, rtol=tolerance)
    assert_array_equal(model.predict(X), np.argmax(model.logits(X), axis=1))
    assert model.score(X, CODES) == np.mean(np.argmax(Z, axis=1) == CODES)
    assert_allclose(model.loss(X, CODES), reference.cross_entropy(probabilities, np.eye(3)[CODES]), rtol=tolerance)
    assert type(model.loss(X, CODES)) is type(model.score(X, CODES)) is float


def test_regression_is_the_formula(backend):
    y = X[:, :2] + 1
    model = fit(y, backend=backend, activation="tanh")
    *_, Z = reference.forward(X, model.layers, "tanh", "mean_squared_error")
    assert_allclose(model.predict(X), Z, rtol=1e-12)
    assert_allclose(model.loss(X, y), reference.mse_loss(Z, y), rtol=1e-12)
    explained = [1 - np.sum((Z[:, i] - y[:, i]) ** 2) / np.sum((y[:, i] - y[:, i].mean()) ** 2) for i in range(2)]
    assert_allclose(model.score(X, y), np.mean(explained), rtol=1e-9)


def test_multilabel_is_the_formula(backend):
    y = (X[:, :3] > 0).astype(int)
    model = fit(y, loss="binary_cross_entropy", backend=backend)
    *_, A = reference.forward(X, model.layers, "relu", "binary_cross_entropy")
    assert_allclose(model.predict_proba(X), A, rtol=1e-12)
    assert_array_equal(model.predict(X), (A > 0.5).astype(int))
    assert_allclose(model.loss(X, y), reference.binary_cross_entropy(A, y), rtol=1e-9)


def test_weighted_loss_is_the_weighted_mean():
    model = fit(CODES)
    each = [model.loss(X[i : i + 1], CODES[i : i + 1]) for i in range(50)]
    weights = np.arange(50.0)
    assert_allclose(model.loss(X, CODES, sample_weight=weights), np.average(each, weights=weights), rtol=1e-12)
    assert_allclose(model.loss(X, CODES), np.mean(each), rtol=1e-12)


def test_the_loss_of_a_hopeless_network_is_large_and_finite():
    model = fit(CODES, params=[(1e4 * np.eye(4, 3), np.arange(3.0))], hidden=(), lr=1e-300, num_epochs=1)
    loss = model.loss(X * 100, CODES)  # every wrong probability rounds to 0, whose logarithm is no number
    assert np.isfinite(loss)
    Z = model.logits(X * 100)
    assert_allclose(loss, np.mean(Z.max(axis=1) - Z[np.arange(50), CODES]), rtol=1e-6)
    assert loss > 1e5


def test_many_rows_are_predicted_like_few():
    model = fit(CODES)
    rows = np.random.default_rng(0).normal(size=(9001, 4))
    together = model.logits(rows)
    for start in (0, 4090, 8190, 9000):
        assert_allclose(together[start : start + 9], model.logits(rows[start : start + 9]), rtol=1e-9, atol=1e-12)
    assert len(together) == 9001


@pytest.mark.parametrize("kind", TARGETS)
def test_one_row(kind):
    y, options = TARGETS[kind]
    model = fit(y, **options)
    assert len(model.predict(X[:1])) == 1
    assert_allclose(model.logits(X[:1]), model.logits(X)[:1], rtol=1e-12)
    assert np.shape(model.predict(X)) == (np.shape(y) if kind != "one-hot" else (50,))


# --- the object


def test_parameters_are_one_read_only_vector_of_views():
    model = fit(CODES)
    assert model.params.shape == (4 * 6 + 6 + 6 * 5 + 5 + 5 * 3 + 3,)
    for array in (model.params, *(array for layer in model.layers for array in layer)):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
    assert all(np.shares_memory(model.params, W) for W, _ in model.layers)
    assert [b.shape for _, b in model.layers] == [(6,), (5,), (3,)]
    assert_array_equal(model.params, np.concatenate([array.ravel() for layer in model.layers for array in layer]))


def test_repr_tells_the_architecture():
    assert repr(fit(CODES)) == "MLP(4-6-5-3, relu, cross_entropy, 83 parameters, float64)"
    linear = fit(X[:, 0], hidden=(), activation="tanh", dtype="float32")
    assert repr(linear) == "MLP(4-1, tanh, mean_squared_error, 5 parameters, float32)"
    assert "1,043 parameters" in repr(fit(CODES, hidden=(130,)))


# --- saving and loading


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
    if model.classes_ is None:
        assert loaded.classes_ is None
    else:
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


def test_a_saved_network_needs_no_pickle(tmp_path):
    fit(np.array(["ant", "bee", "cat"], object)[CODES], normalize="zscore").save(tmp_path / "model.npz")
    with np.load(tmp_path / "model.npz", allow_pickle=False) as file:
        arrays = dict(file)
    assert {"about", "params", "shift", "scale", "classes"} == set(arrays)
    assert all(array.dtype != object for array in arrays.values())
    assert json.loads(arrays["about"].item())["format_version"] == 1


@pytest.mark.parametrize("name", ["model", "model.bin", "model.npz", ".hidden", "mö del.npz"])
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


def test_saving_replaces_an_older_file_and_respects_the_umask(tmp_path):
    path = tmp_path / "model.npz"
    path.write_text("older")
    before = os.umask(0o027)
    try:
        fit(CODES).save(path)
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)
    assert MLP.load(path).widths == (4, 6, 5, 3)
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
def saved(tmp_path):
    path = tmp_path / "saved.npz"
    fit(np.array(["ant", "bee", "cat"])[CODES], normalize="zscore").save(path)
    return path


def assert_refused(path, message="must be a network saved by fastmlp"):
    with pytest.raises(ValueError, match=message) as caught:
        MLP.load(path)
    assert type(caught.value) is ValueError
    assert str(path) in str(caught.value)


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


def test_loading_a_damaged_file(saved, tmp_path):
    content, path = saved.read_bytes(), tmp_path / "damaged.npz"
    rng = np.random.default_rng(0)
    for length in rng.integers(0, len(content), 40):
        path.write_bytes(content[:length])
        assert_refused(path)
    refused = 0
    for place in rng.integers(0, len(content), 300):
        path.write_bytes(content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :])
        try:
            MLP.load(path)
        except ValueError as error:
            assert type(error) is ValueError  # noqa: PT017
            assert "must be a network saved by fastmlp" in str(error)  # noqa: PT017
            refused += 1
    assert refused > 150  # the rest hits bytes that carry nothing, such as time stamps


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


@pytest.mark.parametrize(
    "changes",
    [
        {"params": np.zeros(82)},
        {"params": np.zeros((83, 1))},
        {"params": np.zeros(83, int)},
        {"params": None},
        {"shift": np.zeros(5)},
        {"scale": None},
        {"classes": None},
        {"classes": np.arange(4)},
        {"about": {"widths": [4, 6, 5, 4]}},
        {"about": {"widths": None}},
        {"about": {"widths": "4653"}},
        {"about": {"activation": "gelu"}},
        {"about": {"loss": "hinge"}},
        {"about": {"loss": "mean_squared_error"}},
        {"about": {"history": None}},
        {"about": {"history": {"losses": []}}},
        {"about": {"format_version": None}},
        {"about": {"format_version": "one"}},
    ],
    ids=str,
)
def test_loading_parts_that_do_not_fit_together(changes, saved):
    rewrite(saved, **changes)
    assert_refused(saved)


def test_loading_a_newer_format(saved):
    rewrite(saved, about={"format_version": 2, "widths": None})
    assert_refused(saved, r"has format version 2, and this fastmlp reads up to 1; install a newer fastmlp")
