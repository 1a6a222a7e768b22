"""What `fastmlp.train(X, y)` decides by itself: scaling, rate, batch size, labels or numbers, held-out rows."""

import re

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_wine
from sklearn.metrics import r2_score
from sklearn.model_selection import train_test_split

import fastmlp
from fastmlp import MLP
from fastmlp.callbacks import CosineDecay, EarlyStopping
from fastmlp.holdout import hold_out
from fastmlp.normalization import IDENTITY, learn_normalization, standardize_targets
from fastmlp.preparation import default_batch_size, default_lr
from fastmlp.problem import Samples
from fastmlp.targets import learn_coding

RNG = np.random.default_rng(0)
N = RNG.normal(size=(400, 6))
TABLE = N * [1, 30, 0.001, 500, 2, 1] + [0, 5, 0, 1e4, 0, 3]


def train(X, y, **options):
    defaults = {"hidden": (6,), "num_epochs": 2, "dtype": "float64", "seed": 5, "verbose": False}
    return fastmlp.train(X, y, **(defaults | options))


# --- features


STAYING = {
    "from 0 to 1": RNG.random((50, 4)),
    "from -1 to 1": RNG.uniform(-1, 1, (50, 4)),
    "Booleans": RNG.random((50, 4)) < 0.3,
    "0 and 1": (RNG.random((50, 4)) < 0.3).astype(np.int64),
    "uint8 0 and 1": (RNG.random((50, 4)) < 0.3).astype(np.uint8),
    "standardised": (N - N.mean(0)) / N.std(0),
    "a split of standardised rows": ((N - N.mean(0)) / N.std(0))[:60],
    "standardised with rare values": np.hstack([N, N, np.where(np.arange(400) == 3, 1.0, 0.0)[:, None]]),
}


@pytest.mark.parametrize("name", STAYING)
def test_features_on_a_unit_scale_stay(name):
    found = learn_normalization("auto", STAYING[name])
    assert found._replace(description="") == IDENTITY
    assert found.description.startswith("features left as they are: ")


def test_none_never_touches_features():
    assert learn_normalization(None, TABLE) is IDENTITY
    assert learn_normalization(None, np.full((2, 2), 255, np.uint8)) is IDENTITY


STANDARDISED = {
    "a table": TABLE,
    "all tiny": 1e-3 * TABLE,
    "small but unlike": 1e-5 * N * [1, 1, 1, 1, 1, 100],
    "integers": np.rint(TABLE).astype(np.int64)[:, [1, 3, 4]],
    "float32": TABLE.astype(np.float32),
    "one large column": np.hstack([N, 1e6 * N[:, :1]]),
    "far from 0": np.hstack([N, 100 * N[:, :1]]) + 1e6,
}


@pytest.mark.parametrize("name", STANDARDISED)
def test_other_features_are_standardised(name):
    X = STANDARDISED[name]
    found = learn_normalization("auto", X)
    rows = found.apply(X, np.float64)
    assert_allclose(rows.mean(0), 0, atol=1e-5)
    assert_allclose(rows.std(0), 1, rtol=1e-5)
    assert_allclose(found.scale, learn_normalization("zscore", X).scale, rtol=1e-12)
    assert found.description.startswith("features standardised: ranges from ")


def test_the_description_names_the_smallest_and_largest_range():
    X = np.array([[0.0, 0, 7], [0.001, 2500, 7]])
    assert learn_normalization("auto", X).description == "features standardised: ranges from 0.001 to 2,500"


def test_columns_that_are_alike_keep_their_proportions():
    X = 100 + 10 * N * [1, 2, 3, 4, 3, 2]
    found = learn_normalization("auto", X)
    assert len(np.unique(found.scale)) == 1
    assert_allclose(found.scale[0], np.sqrt(np.mean(X.var(0))), rtol=1e-12)
    assert_allclose(found.shift, X.mean(0), rtol=1e-12)
    assert found.description.startswith("features centred and divided by ")
    assert len(np.unique(learn_normalization("auto", X * [1, 1, 1, 1, 1, 20]).scale)) == 6


def test_a_constant_column_is_centred_and_harmless(backend):
    X = np.column_stack([TABLE, np.full(400, 1e6), np.full(400, 0.1)])
    found = learn_normalization("auto", X)
    assert_array_equal(found.scale[6:], 1)
    assert_allclose(found.apply(X, np.float64)[:, 6:], 0, atol=1e-9)
    same = learn_normalization("auto", TABLE)
    assert_array_equal(found.scale[:6], same.scale)
    model = train(X, N[:, 0] > 0, backend=backend, num_epochs=20)
    assert model.score(X, N[:, 0] > 0) > 0.9
    assert learn_normalization("auto", np.full((5, 3), 7.0)).apply(np.full((5, 3), 7.0), np.float32).any() == 0


PIXELS = np.random.default_rng(1).integers(0, 256, (40, 9))


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32, np.float64])
def test_pixels_are_divided_by_255(dtype):
    X = PIXELS.astype(dtype)
    found = learn_normalization("auto", X)
    assert (found.scale, found.shift) == (255, 0)
    assert found.description == "features divided by 255"
    assert learn_normalization("auto", X).apply(X, np.float64).max() <= 1


@pytest.mark.parametrize(
    "X",
    [PIXELS // 16, (PIXELS // 16).astype(np.uint8), PIXELS + 0.5, PIXELS + 1, PIXELS - 300,
     np.where(np.arange(9) < 5, PIXELS % 100, PIXELS)],
    ids=["up to 15", "uint8 up to 15", "fractions", "up to 256", "negative", "a table of whole numbers"],
)  # fmt: skip
def test_what_only_looks_like_pixels_is_not(X):
    X = np.hstack([X, X])
    assert not np.any(learn_normalization("auto", X).scale == 255)
    assert_allclose(np.mean(learn_normalization("auto", X).apply(X, np.float64), axis=0), 0, atol=1e-9)


def test_csr_columns_are_divided_by_the_size_of_their_numbers():
    X = csr_array((RNG.random((60, 5)) < 0.3) * (1.0 + RNG.poisson(3, (60, 5))) * [1, 10, 0.01, 1, 0])
    X.data[:3] = 0  # stored zeros are zeros
    found = learn_normalization("auto", X)
    dense = X.toarray()
    wanted = [np.sqrt(np.mean(column[column != 0] ** 2)) for column in dense.T[:4]]
    assert_allclose(found.scale, [*wanted, 1], rtol=1e-12)
    assert_array_equal(found.shift, 0)
    assert found.description.startswith("features divided by their columns' size, from ")
    assert learn_normalization("auto", csr_array(np.eye(4))).description.startswith("features left as they are")
    assert learn_normalization("auto", csr_array(PIXELS.astype(np.uint8))).scale == 255


@pytest.mark.parametrize("kind", ["dense", "sparse", "csr", "alike", "float32"])
def test_both_backends_scale_alike(kind):
    X = TABLE * (RNG.random(TABLE.shape) < 0.2) if kind in ("sparse", "csr") else 7 * N if kind == "alike" else TABLE
    X = csr_array(X) if kind == "csr" else X.astype(np.float32) if kind == "float32" else X
    y = (N[:, 0] + N[:, 3] > 0).astype(int)
    ours, wanted = (train(X, y, backend=backend, num_epochs=5) for backend in ("jit", "reference"))
    assert np.any(wanted._inference.normalization.scale != 1)
    assert_allclose(ours.params, wanted.params, rtol=1e-8, atol=1e-9)
    assert_allclose(ours.logits(X), wanted.logits(X), rtol=1e-8, atol=1e-9)
    assert ours.history.loss[-1] < ours.history.loss[0]


def test_the_user_is_told_what_was_done(capsys):
    train(TABLE, N[:, 0] * 1000, verbose=True, backend="reference")
    features, targets, first, *_ = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"features standardised: ranges from 0\.00\d+ to 3,\d{3}", features)
    assert re.fullmatch(r"targets standardised: mean -?[\d.]+, standard deviation 9\d\d\.?\d?|.* 1,0\d\d", targets)
    assert first.startswith("training 6-6-1")
    train(TABLE, N[:, 0], verbose=True, backend="reference", normalize=None, normalize_targets=False, lr=1e-9)
    assert capsys.readouterr().out.startswith("training 6-6-1")


# --- regression targets


Y = np.column_stack([1e5 + 2e4 * N[:, 0], 0.01 * N[:, 1] - 3])


def test_predictions_score_and_losses_are_in_the_users_units(backend):
    model = train(N, Y, backend=backend, num_epochs=30, validation_data=(N[:99], Y[:99]), epoch_loss="full")
    predicted = model.predict(N)
    assert model.score(N, Y) > 0.8
    assert_allclose(model.score(N, Y), r2_score(Y, predicted), rtol=1e-12)
    assert_allclose(model.loss(N, Y), np.mean((predicted - Y) ** 2), rtol=1e-9)
    assert_allclose(model.history.loss[-1], np.mean((predicted - Y) ** 2), rtol=1e-9)
    assert_allclose(model.history.val_loss[-1], np.mean((predicted[:99] - Y[:99]) ** 2), rtol=1e-9)
    assert 1e3 < model.history.val_loss[-1] < np.mean((Y[:99] - Y.mean(0)) ** 2)


@pytest.mark.parametrize("k", [1, 2])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_running_loss_is_the_mean_of_the_batches_losses(backend, k, dtype):
    """One batch an epoch: its loss is that of the network as the epoch found it."""
    start = train(N, Y[:, :k], backend="reference", lr=1e-300, num_epochs=1, dtype=dtype)
    loss = train(N, Y[:, :k], backend=backend, batch_size=400, num_epochs=1, dtype=dtype).history.loss[0]
    assert_allclose(loss, np.mean((start.predict(N) - Y[:, :k]) ** 2), rtol=1e-5 if dtype == "float32" else 1e-12)
    assert loss > 1e7


@pytest.mark.parametrize("k", [2, 17, 40])
def test_both_backends_count_each_output_in_its_own_unit(k):
    scales = 10.0 ** np.linspace(-3, 4, k)
    y = (N @ np.random.default_rng(1).normal(size=(6, k))) * scales + scales
    ours, wanted = (train(N, y, backend=backend, sample_weight=np.arange(400)) for backend in ("jit", "reference"))
    assert_allclose(ours.history.loss, wanted.history.loss, rtol=1e-10)
    assert_allclose(ours.params, wanted.params, rtol=1e-9, atol=1e-12)
    assert ours.history.loss[0] > scales.max() ** 2 / k / 10


def test_targets_of_any_unit_train_alike(backend):
    models = [train(N, a * N[:, 0] + b, backend=backend, num_epochs=4) for a, b in ((1, 0), (1e9, -5e9), (1e-20, 0))]
    for model, (a, b) in zip(models[1:], ((1e9, -5e9), (1e-20, 0)), strict=True):
        assert_allclose(model.params, models[0].params, rtol=1e-5, atol=1e-7)
        assert_allclose(model.predict(N), a * models[0].predict(N) + b, rtol=1e-5, atol=1e-6 * a)
        assert_allclose(model.history.loss, a**2 * np.array(models[0].history.loss), rtol=1e-5)


def test_targets_far_from_zero_are_predicted_to_their_last_digits():
    y = 1.7e9 + N[:, 0]
    model = train(N, y, num_epochs=30, dtype="float32")
    assert model.score(N, y) > 0.9
    assert model.predict(N).dtype == np.float64


def test_a_target_that_never_varies_is_predicted(backend):
    y = np.column_stack([N[:, 0], np.full(400, 419000.25)])
    model = train(N, y, backend=backend, num_epochs=30)
    assert_array_equal(model._coding.scaling.scale[1], 1)
    assert_allclose(model.predict(N)[:, 1], 419000.25, atol=1)


def test_without_normalize_targets_the_network_gives_y_itself(backend):
    y = 3 + N[:, :2]
    model = train(N, y, backend=backend, normalize_targets=False, normalize=None)
    assert_array_equal(model.predict(N), model.logits(N))
    (W1, b1), (W2, b2) = model.layers
    assert_allclose(model.predict(N), np.maximum(N @ W1 + b1, 0) @ W2 + b2, rtol=1e-9)


def test_params_are_those_of_the_standardised_problem(backend):
    first = train(N, Y, backend=backend, num_epochs=2, shuffle=False)
    again = train(N, Y, backend=backend, num_epochs=2, shuffle=False, params=first.layers)
    whole = train(N, Y, backend=backend, num_epochs=4, shuffle=False)
    assert_allclose(again.params, whole.params, rtol=1e-9, atol=1e-12)
    scaled = first.logits(N) * Y.std(0) + Y.mean(0)
    assert_allclose(first.predict(N), scaled, rtol=1e-9)


def test_a_saved_regression_predicts_in_the_same_units(tmp_path):
    for y in (Y, Y[:, 0]):
        model = train(N, y)
        model.save(tmp_path / "model.npz")
        loaded = MLP.load(tmp_path / "model.npz")
        assert_array_equal(loaded.predict(N), model.predict(N))
        assert loaded.loss(N, y) == model.loss(N, y)


def test_targets_whose_squares_overflow_are_refused():
    with pytest.raises(ValueError, match=r"^y must hold numbers whose squares can be added up, got 1e\+200"):
        train(N[:4], [1e200, 0.5, 0, 0])
    assert standardize_targets(np.array([[1e-200], [3e-200]])).scale == pytest.approx(1e-200)


def test_compare_holds_both_paths_against_each_other_on_raw_targets():
    report = fastmlp.compare(TABLE, Y, hidden=(6,), dtype="float64", num_epochs=2, steps=(1, 5), seed=0)
    assert report.ok
    assert min(report.losses["reference"]) > 1e6


# --- learning rate and batch size


@pytest.mark.parametrize(
    ("options", "lr"),
    [({}, 0.1), ({"optimizer": "adam"}, 0.001), ({"momentum": 0.9}, 0.01), ({"momentum": 0.9, "nesterov": True}, 0.01)],
)
def test_the_learning_rate_suits_the_optimizer(options, lr):
    history = train(N, N[:, 0] > 0, backend="reference", callbacks=[CosineDecay()], **options).history
    assert history.lr == pytest.approx([lr, lr / 2])


def test_the_learning_rate_suits_the_loss():
    assert default_lr("sgd", "binary_cross_entropy", 0.0, lambda: 1e9) == 0.1
    assert train(N, N[:, 0], backend="reference").history.lr == [0.015, 0.015]
    assert train(N, N[:, 0], backend="reference", momentum=0.8).history.lr == pytest.approx([0.003, 0.003])
    assert train(N, N[:, 0], backend="reference", optimizer="adam").history.lr == [0.001, 0.001]
    assert train(N, N[:, 0], backend="reference", lr=0.05).history.lr == [0.05, 0.05]


@pytest.mark.parametrize("kind", ["dense", "uint8", "csr", "csr pixels"])
@pytest.mark.parametrize("normalize", ["auto", None])
def test_the_learning_rate_of_a_regression_suits_the_length_of_the_rows(kind, normalize):
    X = np.random.default_rng(0).integers(0, 256, (40, 300))
    X = X * np.where(np.arange(300) < 150, 0.1, 20) if kind in ("dense", "csr") else X.astype(np.uint8)
    X = csr_array(X) if kind.startswith("csr") else X
    history = train(X, N[:40, 0], backend="reference", normalize=normalize).history
    rows = learn_normalization(normalize, X).apply(X, np.float64)
    assert history.lr[0] == pytest.approx(1 / np.mean(np.sum(rows**2, axis=1)), rel=1e-12)
    assert history.lr[0] < 0.015


@pytest.mark.filterwarnings("error:training diverged")
@pytest.mark.parametrize("d", [10, 100, 400])
def test_columns_that_say_the_same_do_not_make_a_regression_diverge(d):
    z = np.random.default_rng(0).normal(size=(400, 1))
    X = z + 0.3 * np.random.default_rng(1).normal(size=(400, d))
    assert fastmlp.train(X, z[:, 0], seed=0, verbose=False).score(X, z[:, 0]) > 0.8


def test_small_tables_have_small_batches():
    rows = (1, 112, 400, 800, 1347, 2000, 60000)
    assert [default_batch_size(n, "cross_entropy") for n in rows] == [8, 8, 16, 32, 32, 64, 64]
    assert [default_batch_size(n, "mean_squared_error") for n in rows] == [16, 16, 16, 32, 32, 64, 64]
    assert_array_equal(train(N[:90], N[:90, 0]).params, train(N[:90], N[:90, 0], batch_size=16).params)
    assert_array_equal(train(N, N[:, 0] > 0).params, train(N, N[:, 0] > 0, batch_size=16).params)


# --- labels or numbers


@pytest.mark.parametrize(("values", "repeats"), [(2, 50), (3, 5), (20, 5)])
def test_few_whole_floats_have_to_be_told_by_a_loss(values, repeats):
    y = np.repeat(np.arange(float(values)), repeats)
    with pytest.raises(ValueError, match=rf"got {values} different whole numbers as float64 .* pass loss='cross_ent"):
        learn_coding(y, "auto")
    assert len(learn_coding(y, "cross_entropy").classes) == values
    assert learn_coding(y, "mean_squared_error").classes is None


@pytest.mark.parametrize("y", [np.arange(50.0), 1000.0 * np.arange(8), np.repeat([0.0, 0.5, 1.0], 30)], ids=str)
def test_other_floats_are_quantities(y):
    assert learn_coding(y, "auto").classes is None


def test_nan_among_targets_is_named_by_row():
    y = np.where(np.arange(400) == 7, np.nan, N[:, 0])
    with pytest.raises(ValueError, match=r"^y must be finite, got nan at row 7$"):
        train(N, y)


# --- names


@pytest.mark.parametrize(
    ("keyword", "here"),
    {
        "epochs": "num_epochs", "n_epochs": "num_epochs", "max_iter": "num_epochs", "hidden_layer_sizes": "hidden",
        "alpha": "weight_decay", "random_state": "seed", "learning_rate": "lr", "learning_rate_init": "lr",
        "lr_rate": "lr", "solver": "optimizer", "validation_fraction": "validation_split", "n_jobs": "num_threads",
        "early_stopping": "callbacks=[fastmlp.callbacks.EarlyStopping()]", "Alpha": "weight_decay",
    }.items(),
)  # fmt: skip
def test_a_name_from_elsewhere_is_answered_by_the_one_here(keyword, here):
    with pytest.raises(TypeError) as error:
        fastmlp.train(N, N[:, 0] > 0, **{keyword: 1})
    assert str(error.value) == f"train() got an unexpected keyword {keyword!r}: here it is {here}"


def test_other_names_are_answered_by_the_nearest_or_all():
    with pytest.raises(TypeError, match=r"^train\(\) got .* 'num_epoch5'; did you mean num_epochs\?$"):
        fastmlp.train(N, N[:, 0], num_epoch5=1)
    with pytest.raises(TypeError, match=r"'qqq'; its arguments are X, y, hidden, .*, verbose$"):
        fastmlp.train(N, N[:, 0], qqq=1)
    with pytest.raises(TypeError, match=r"^compare\(\) .* 'epochs': here it is num_epochs$"):
        fastmlp.compare(N, N[:, 0], epochs=1)


@pytest.mark.parametrize(
    ("options", "here"),
    [
        ({"loss": "mse"}, "mean_squared_error"),
        ({"loss": "crossentropy"}, "cross_entropy"),
        ({"loss": "BCE"}, "binary_cross_entropy"),
        ({"activation": "logistic"}, "sigmoid"),
        ({"init": "glorot_uniform"}, "xavier"),
        ({"normalize": "standard"}, "zscore"),
        ({"backend": "numpy"}, "reference"),
    ],
)
def test_a_value_from_elsewhere_is_answered_by_the_one_here(options, here):
    ((name, value),) = options.items()
    with pytest.raises(ValueError, match=rf"^{name} must be one of .*, got '{value}'; here it is '{here}'$"):
        train(N, N[:, 0] > 0, **options)


# --- validation_split


def test_held_out_rows_are_seeded_stratified_and_disjoint():
    y = np.repeat(["a", "b", "c"], [200, 150, 50])
    X = np.arange(400.0)[:, None]
    weights = np.arange(400.0) + 1
    samples = Samples(X, y, np.unique(y, return_inverse=True)[1], weights)
    halves = [hold_out(0.1, samples, True, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    for train_part, held in halves:
        assert_array_equal(np.sort(np.concatenate([train_part.X, held.X]), axis=0), X)
        for part in (train_part, held):
            rows = part.X[:, 0].astype(int)
            assert np.all(np.diff(rows) > 0)
            assert_array_equal(part.targets, y[rows])
            assert_array_equal(part.codes, samples.codes[rows])
            assert_array_equal(part.sample_weight, weights[rows])
        counts = np.unique(held.targets, return_counts=True)[1]
        assert np.all(np.abs(counts - [20, 15, 5]) <= 1)
        assert counts.sum() == 40
    assert_array_equal(halves[0][1].X, halves[1][1].X)
    assert np.any(halves[0][1].X != halves[2][1].X)


def test_each_class_keeps_a_row_to_train_on():
    y = np.array([0, 0, 0, 1])
    for seed in range(20):
        part, held = hold_out(0.9, Samples(np.arange(4.0)[:, None], y, y, None), True, np.random.default_rng(seed))
        assert set(part.codes) == {0, 1}
        assert len(held.codes) == 2
    with pytest.raises(ValueError, match=r"^validation_split must leave each class a row to train on, .* only 2 rows"):
        hold_out(0.5, Samples(np.eye(2), np.arange(2), np.arange(2), None), True, np.random.default_rng(0))


@pytest.mark.parametrize("use", ["train on", "validate with"])
def test_each_part_has_a_row_with_a_weight(use):
    samples = Samples(np.eye(4), np.arange(4.0), np.arange(4.0)[:, None], None)
    _, held = hold_out(0.2, samples, False, np.random.default_rng(0))
    weights = np.full(4, float(use != "train on"))
    weights[int(held.targets[0])] = use == "train on"
    with pytest.raises(ValueError, match=rf"^validation_split must leave a row to {use} whose sample_weight is pos"):
        hold_out(0.2, samples._replace(sample_weight=weights), False, np.random.default_rng(0))


@pytest.mark.parametrize("kind", ["labels", "one-hot", "regression", "multilabel"])
@pytest.mark.parametrize("sparse", [False, True])
def test_a_training_on_some_rows_is_judged_by_the_others(kind, sparse, backend):
    labels = np.arange(400) % 3
    y = {"labels": labels, "one-hot": np.eye(3)[labels], "regression": 100 * N[:, 0], "multilabel": N[:, :2] > 0}[kind]
    X = csr_array(TABLE) if sparse else TABLE
    options = {"loss": "binary_cross_entropy"} if kind == "multilabel" else {}
    weights = RNG.random(400)
    ours = train(X, y, validation_split=0.2, sample_weight=weights, backend=backend, **options)
    rng = np.random.default_rng(np.random.SeedSequence(5).spawn(3)[2])
    coding = learn_coding(y, options.get("loss", "auto"))
    part, held = hold_out(0.2, Samples(X, y, coding.encode(y), weights), coding.classes is not None, rng)
    assert held.X.shape == (80, 6)
    same = train(part.X, part.targets, sample_weight=part.sample_weight, backend=backend, **options)
    assert_array_equal(ours.params, same.params)
    assert_allclose(ours.history.val_loss[-1], same.loss(held.X, held.targets, held.sample_weight), rtol=1e-12)
    assert len(ours.history.val_accuracy) == (0 if kind == "regression" else 2)


def test_validation_split_keeps_a_data_frames_names():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(TABLE, columns=list("abcdef"))
    model = train(frame, pandas.Series(np.arange(400) % 3), validation_split=0.1, backend="reference")
    assert list(model.feature_names_in_) == list("abcdef")


def test_early_stopping_needs_no_data_of_ones_own():
    model = train(N, N[:, 0] > 0, validation_split=0.2, num_epochs=200, callbacks=[EarlyStopping(patience=2)], lr=0.5)
    assert len(model.history) < 200
    with pytest.raises(ValueError, match=r"got 'val_loss'; pass validation_split= or validation_data=$"):
        train(N, N[:, 0] > 0, callbacks=[EarlyStopping()])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"validation_split": 0.0}, ValueError, "^validation_split must be a finite number greater than 0 and below 1"),
        ({"validation_split": 1}, ValueError, "^validation_split must be a finite number greater than 0 and below 1"),
        ({"validation_split": "0.1"}, TypeError, "^validation_split must be a number, got '0.1'"),
        ({"validation_split": 0.1, "validation_data": (N, Y)}, ValueError, "^validation_split must be None where"),
        ({"normalize_targets": 1}, TypeError, "^normalize_targets must be True or False, got 1"),
        ({"lr": "fast"}, TypeError, "^lr must be a number, got 'fast'"),
    ],
)
def test_unfit_arguments(options, error, message):
    with pytest.raises(error, match=message):
        train(N, Y, **options)


# --- tables as they come


@pytest.mark.parametrize(
    ("load", "least"), [(load_wine, 0.95), (load_iris, 0.93), (load_breast_cancer, 0.95), (load_diabetes, 0.0)]
)
def test_raw_tables_train_well(load, least):
    X, y = load(return_X_y=True)
    scores = []
    for seed in range(4):
        rows = train_test_split(X, y, random_state=seed, stratify=None if least == 0 else y)
        X_train, X_test, y_train, y_test = rows
        scores.append(fastmlp.train(X_train, y_train, seed=seed, verbose=False).score(X_test, y_test))
    assert np.mean(scores) > least
