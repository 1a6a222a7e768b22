"""Bad input ends in one sentence that names the argument, says what was expected and what came, before any work."""

import numpy as np
import pytest
import scipy.sparse

import fastmlp
from fastmlp.validation import check_features, check_targets

N, D, K, H = 12, 4, 3, 5
X = np.random.default_rng(3).normal(size=(N, D))
Y = np.arange(N) % K
ONE_HOT = np.eye(K)[Y]
PARAMS = [(np.ones((D, H)), np.zeros(H)), (np.ones((H, K)), np.zeros(K))]


def changed(array, index, value):
    """Return a copy of `array` with `value` at `index`."""
    copy = array.copy()
    copy[index] = value
    return copy


def csr_with(**parts):
    """Return X as CSR with some of its arrays damaged."""
    matrix = scipy.sparse.csr_array(X)
    for name, (index, value) in parts.items():
        getattr(matrix, name)[index] = value
    return matrix


BAD_INPUT = [
    # X
    ({"X": X[0]}, ValueError, r"^X must be two-dimensional .*got shape \(4,\)"),
    ({"X": X[None]}, ValueError, r"^X must be two-dimensional .*got shape \(1, 12, 4\)"),
    ({"X": 5.0}, ValueError, r"^X must be two-dimensional .*got shape \(\)"),
    ({"X": np.empty((0, D))}, ValueError, r"^X must have at least one sample .*\(0, 4\)"),
    ({"X": np.empty((N, 0))}, ValueError, r"^X must have at least .*one feature, got shape \(12, 0\)"),
    ({"X": []}, ValueError, r"^X must be two-dimensional .*got shape \(0,\)"),
    ({"X": [[1.0, 2.0], [3.0]]}, ValueError, r"^X must be an array, got rows of different lengths"),
    ({"X": None}, TypeError, r"^X must be an array of numbers, got objects such as None"),
    ({"X": X.astype(object)}, TypeError, r"^X must be an array of numbers, got objects such as"),
    ({"X": X.astype(str)}, TypeError, r"^X must be an array of numbers, got dtype <U"),
    ({"X": X.astype(complex)}, TypeError, r"^X must be an array of numbers, got dtype complex128"),
    ({"X": X.astype("datetime64[s]")}, TypeError, r"^X must be an array of numbers, got dtype datetime64"),
    ({"X": changed(X, (3, 2), np.nan)}, ValueError, r"^X must be finite, got nan at row 3, column 2"),
    ({"X": changed(X, (11, 0), -np.inf)}, ValueError, r"^X must be finite, got -inf at row 11, column 0"),
    ({"X": changed(X, 0, [np.inf, -np.inf, 0, 0])}, ValueError, r"^X must be finite, got inf at row 0, column 0"),
    ({"X": changed(X, (1, 1), np.nan).astype(np.float16)}, ValueError, r"^X must be finite, got nan at row 1"),
    ({"X": csr_with(indices=(0, D))}, ValueError, r"^X must be a valid CSR matrix, .*indices outside 0\.\.3"),
    ({"X": csr_with(indices=(5, -1))}, ValueError, r"^X must be a valid CSR matrix, .*indices outside 0\.\.3"),
    ({"X": csr_with(indptr=(2, 99))}, ValueError, r"^X must be a valid CSR matrix, but its indptr is not"),
    ({"X": csr_with(indptr=(0, 1))}, ValueError, r"^X must be a valid CSR matrix, but its indptr is not"),
    ({"X": csr_with(indptr=(N, N * D + 1))}, ValueError, r"^X must be a valid CSR matrix, but its indptr is not"),
    ({"X": csr_with(data=(4, np.nan))}, ValueError, r"^X must be finite, got nan"),
    ({"X": scipy.sparse.csr_array(X.astype(complex))}, TypeError, r"^X must hold numbers, got dtype complex128"),
    ({"X": scipy.sparse.csr_array((N, 0))}, ValueError, r"^X must have at least .*got shape \(12, 0\)"),
    # y
    ({"y": Y[:-1]}, ValueError, r"^y must have one row for each of the 12 samples, got 11"),
    ({"y": np.append(Y, 0)}, ValueError, r"^y must have one row for each of the 12 samples, got 13"),
    ({"y": 1}, ValueError, r"^y must have shape \(n,\) or \(n, k\), got \(\)"),
    ({"y": np.empty((N, 0))}, ValueError, r"^y must have shape \(n,\) or \(n, k\), got \(12, 0\)"),
    ({"y": ONE_HOT[None]}, ValueError, r"^y must have shape \(n,\) or \(n, k\), got \(1, 12, 3\)"),
    ({"y": [[1, 2], [3]] * 6}, ValueError, r"^y must be an array, got rows of different lengths"),
    ({"y": changed(Y * 1.0, 3, np.nan)}, ValueError, r"^y must be finite, got nan"),
    ({"y": changed(Y * 1.0, 3, np.inf)}, ValueError, r"^y must be finite, got inf"),
    ({"y": changed(ONE_HOT, (3, 1), np.nan)}, ValueError, r"^y must be finite, got nan at row 3, column 1"),
    ({"y": ["a", None] * 6}, TypeError, r"^y must be .*as objects all .*, got 'a' and None$"),
    ({"y": np.array([2, "b"] * 6, object)}, TypeError, r"^y must be numbers or strings, .*, got 2 and 'b'$"),
    ({"y": np.array([1, True] * 6, object)}, TypeError, r"^y must be numbers or strings, .*, got 1 and True$"),
    ({"y": (Y + 0.5).astype(object)}, TypeError, r"^y must be numbers or strings, .*, got 0\.5$"),
    ({"y": np.array([0, 2**70] * 6, object)}, TypeError, r"^y must be numbers or strings, .*, got 0$"),
    ({"y": Y.astype(complex)}, TypeError, r"^y must be numbers or strings, got dtype complex128"),
    ({"y": np.zeros(N, int)}, ValueError, r"^y must hold at least two classes, got only 0"),
    ({"y": ["a"] * N}, ValueError, r"^y must hold at least two classes, got only 'a'"),
    ({"X": X[:1], "y": [2]}, ValueError, r"^y must hold at least two classes, got only 2"),
    ({"y": Y + 0.5, "loss": "cross_entropy"}, ValueError, r"^y must hold class labels .*got fractions"),
    ({"y": changed(ONE_HOT, 4, [1, 1, 0])}, ValueError, r"^y must have one-hot rows .*row 4 has 2 .*binary_cross_entr"),
    ({"y": changed(ONE_HOT, 5, 0)}, ValueError, r"^y must have one-hot rows with a single 1, but row 5 has 0"),
    ({"y": changed(ONE_HOT.astype(int), 5, 2)}, ValueError, r"^y must have one-hot rows of 0 and 1, got 2"),
    ({"y": ONE_HOT / 2, "loss": "cross_entropy"}, ValueError, r"^y must have one-hot rows of 0 and 1, got 0\.5"),
    ({"y": ONE_HOT.astype(str)}, TypeError, r"^y must be one label a sample or one-hot .*got a table of strings"),
    ({"y": Y, "loss": "binary_cross_entropy"}, ValueError, r"^y must hold two classes for loss='binary.*got 3"),
    ({"y": ONE_HOT + 1, "loss": "binary_cross_entropy"}, ValueError, r"^y must hold only 0 and 1 for .*got 2"),
    ({"y": Y.astype(str), "loss": "mean_squared_error"}, TypeError, r"^y must be numbers for .*such as '0'"),
    # hidden
    ({"hidden": (8, 0)}, ValueError, r"^hidden\[1\] must be at least 1, got 0"),
    ({"hidden": (-3,)}, ValueError, r"^hidden\[0\] must be at least 1, got -3"),
    ({"hidden": 0}, ValueError, r"^hidden\[0\] must be at least 1, got 0"),
    ({"hidden": (8.0,)}, TypeError, r"^hidden\[0\] must be an integer, got 8\.0"),
    ({"hidden": (8, True)}, TypeError, r"^hidden\[1\] must be an integer, got True"),
    ({"hidden": (np.True_,)}, TypeError, r"^hidden\[0\] must be an integer, got .*True"),
    ({"hidden": ("8",)}, TypeError, r"^hidden\[0\] must be an integer, got '8'"),
    ({"hidden": True}, TypeError, r"^hidden must be a sequence of layer widths .*got True"),
    ({"hidden": 8.5}, TypeError, r"^hidden must be a sequence of layer widths .*got 8\.5"),
    ({"hidden": "256"}, TypeError, r"^hidden must be a sequence of layer widths .*got '256'"),
    ({"hidden": None}, TypeError, r"^hidden must be a sequence of layer widths .*got None"),
    ({"hidden": {8, 9}}, TypeError, r"^hidden must be a sequence of layer widths .*got \{8, 9\}|got \{9, 8\}"),
    ({"hidden": np.array(8)}, TypeError, r"^hidden must be a sequence of layer widths .*got array\(8\)"),
    # choices
    ({"activation": "rleu"}, ValueError, r"^activation must be one of 'relu', 'leaky_relu', .*got 'rleu'"),
    ({"activation": None}, ValueError, r"^activation must be one of 'relu', .*got None"),
    ({"activation": ["relu", 3]}, ValueError, r"^activation\[1\] must be one of 'relu', .*got 3"),
    ({"activation": {"relu"}}, ValueError, r"^activation must be one of 'relu', .*got \{'relu'\}"),
    ({"activation": b"relu"}, ValueError, r"^activation must be one of 'relu', .*got b'relu'"),
    ({"hidden": (8, 4), "activation": ["relu"]}, ValueError, r"^activation must be one name, or one .* \(2\), got 1$"),
    ({"hidden": 8, "activation": ["relu"] * 2}, ValueError, r"^activation must be one name, or one .* \(1\), got 2$"),
    ({"hidden": (), "activation": ["relu"]}, ValueError, r"^activation must be one name, or one .* \(0\), got 1$"),
    ({"hidden": (8,), "activation": []}, ValueError, r"^activation must be one name, or one .* \(1\), got 0$"),
    ({"loss": "log_loss"}, ValueError, r"^loss must be one of 'auto', 'cross_entropy', .*got 'log_loss'"),
    ({"loss": ["auto"]}, ValueError, r"^loss must be one of 'auto', .*got \['auto'\]"),
    ({"init": "kaiming"}, ValueError, r"^init must be one of 'he', 'xavier', got 'kaiming'"),
    ({"init": None}, TypeError, r"^init must be a number, got None"),
    ({"init": 0.0}, ValueError, r"^init must be a finite number greater than 0, got 0\.0"),
    ({"init": -0.01}, ValueError, r"^init must be a finite number greater than 0, got -0\.01"),
    ({"init": np.nan}, ValueError, r"^init must be a finite number greater than 0, got nan"),
    ({"init": True}, TypeError, r"^init must be a number, got True"),
    ({"optimizer": "lbfgs"}, ValueError, r"^optimizer must be one of 'sgd', 'adam', .*got 'lbfgs'"),
    ({"backend": "cuda"}, ValueError, r"^backend must be one of 'jit', 'reference', got 'cuda'"),
    ({"backend": None}, ValueError, r"^backend must be one of 'jit', 'reference', got None"),
    ({"dtype": "float16"}, ValueError, r"^dtype must be one of 'float32', 'float64', got 'float16'"),
    ({"dtype": int}, ValueError, r"^dtype must be one of 'float32', 'float64', got <class 'int'>"),
    ({"dtype": None}, ValueError, r"^dtype must be one of 'float32', 'float64', got None"),
    ({"dtype": "single precision"}, ValueError, r"^dtype must be one of .*got 'single precision'"),
    ({"dtype": "f4,,"}, ValueError, r"^dtype must be one of 'float32', 'float64', got 'f4,,'"),
    ({"dtype": "f4,f4"}, ValueError, r"^dtype must be one of 'float32', 'float64', got 'f4,f4'"),
    ({"dtype": {"names": ["a"]}}, ValueError, r"^dtype must be one of 'float32', 'float64', got \{'names'"),
    ({"dtype": np.dtype("f8").newbyteorder()}, ValueError, r"^dtype must be one of .*got dtype\('[<>]f8'\)"),
    ({"epoch_loss": "mean"}, ValueError, r"^epoch_loss must be one of 'running', 'full', got 'mean'"),
    ({"normalize": "minmax"}, ValueError, r"^normalize must be one of 'auto', 'unit', 'zscore', got 'minmax'"),
    ({"normalize": True}, ValueError, r"^normalize must be one of 'auto', .*got True"),
    ({"X": scipy.sparse.csr_array(X), "normalize": "zscore"}, ValueError, r"^normalize='zscore' .*sparse X dense"),
    # numbers
    ({"lr": 0}, ValueError, r"^lr must be a finite number greater than 0, got 0"),
    ({"lr": -0.1}, ValueError, r"^lr must be a finite number greater than 0, got -0\.1"),
    ({"lr": np.inf}, ValueError, r"^lr must be a finite number greater than 0, got inf"),
    ({"lr": np.nan}, ValueError, r"^lr must be a finite number greater than 0, got nan"),
    ({"lr": 10**400}, ValueError, r"^lr must be a finite number greater than 0, got 1000"),
    ({"lr": "0.1"}, TypeError, r"^lr must be a number, got '0\.1'"),
    ({"lr": True}, TypeError, r"^lr must be a number, got True"),
    ({"lr": 0.1j}, TypeError, r"^lr must be a number, got 0\.1j"),
    ({"momentum": -0.1}, ValueError, r"^momentum must be a finite number at least 0 and below 1, got -0\.1"),
    ({"momentum": 1.0}, ValueError, r"^momentum must be a finite number at least 0 and below 1, got 1\.0"),
    ({"momentum": np.nan}, ValueError, r"^momentum must be a finite number .*got nan"),
    ({"momentum": None}, TypeError, r"^momentum must be a number, got None"),
    ({"weight_decay": -1e-4}, ValueError, r"^weight_decay must be a finite number at least 0, got -0\.0001"),
    ({"weight_decay": np.inf}, ValueError, r"^weight_decay must be a finite number at least 0, got inf"),
    ({"weight_decay": "no"}, TypeError, r"^weight_decay must be a number, got 'no'"),
    ({"batch_size": 0}, ValueError, r"^batch_size must be at least 1, got 0"),
    ({"batch_size": -64}, ValueError, r"^batch_size must be at least 1, got -64"),
    ({"batch_size": 64.0}, TypeError, r"^batch_size must be an integer, got 64\.0"),
    ({"batch_size": "64"}, TypeError, r"^batch_size must be an integer, got '64'"),
    ({"num_epochs": 0}, ValueError, r"^num_epochs must be at least 1, got 0"),
    ({"num_epochs": 2.5}, TypeError, r"^num_epochs must be an integer, got 2\.5"),
    ({"num_epochs": True}, TypeError, r"^num_epochs must be an integer, got True"),
    ({"num_threads": 0}, ValueError, r"^num_threads must be at least 1, got 0"),
    ({"num_threads": 1.0}, TypeError, r"^num_threads must be an integer, got 1\.0"),
    ({"seed": -1}, ValueError, r"^seed must be at least 0, got -1"),
    ({"seed": 0.5}, TypeError, r"^seed must be an integer, got 0\.5"),
    ({"seed": "zero"}, TypeError, r"^seed must be an integer, got 'zero'"),
    # flags and combinations
    ({"nesterov": True}, ValueError, r"^nesterov=True needs a momentum above 0, got 0"),
    ({"nesterov": 1, "momentum": 0.9}, TypeError, r"^nesterov must be True or False, got 1"),
    ({"optimizer": "adam", "momentum": 0.9}, ValueError, r"^momentum .*belong to optimizer='sgd', got momentum=0\.9"),
    ({"optimizer": "adam", "nesterov": True}, ValueError, r"nesterov belong to optimizer='sgd', .*'adam'"),
    ({"shuffle": 1}, TypeError, r"^shuffle must be True or False, got 1"),
    ({"track_gradients": "yes"}, ValueError, r"^track_gradients must be True, False or 'first_epoch', got 'yes'"),
    ({"verbose": 0}, TypeError, r"^verbose must be True, False or 2, got 0"),
    # validation_data
    ({"validation_data": X}, TypeError, r"^validation_data must be a pair \(X, y\)"),
    ({"validation_data": (X,)}, TypeError, r"^validation_data must be a pair \(X, y\)"),
    ({"validation_data": 3}, TypeError, r"^validation_data must be a pair \(X, y\)"),
    ({"validation_data": (X[:, :2], Y)}, ValueError, r"^validation_data: X must have 4 features .*got 2"),
    ({"validation_data": (X[0], Y)}, ValueError, r"^validation_data: X must be two-dimensional .*got shape \(4,\)"),
    ({"validation_data": (X * np.nan, Y)}, ValueError, r"^validation_data: X must be finite, got nan at row 0"),
    ({"validation_data": (X, Y[:5])}, ValueError, r"^validation_data: y must have one row for each .*12.*got 5"),
    ({"validation_data": (X, Y + 1)}, ValueError, r"^validation_data: y holds the label 3, which no training sample"),
    ({"validation_data": (X, Y - 1)}, ValueError, r"^validation_data: y holds the label -1, which no training sample"),
    ({"validation_data": (X, Y + 0.5)}, ValueError, r"^validation_data: y holds the label 0\.5, which no training"),
    ({"validation_data": (X, ["a"] * N)}, TypeError, r"^validation_data: y must hold labels like 0, got 'a'"),
    ({"validation_data": (X, ONE_HOT[:, :2])}, ValueError, r"^validation_data: y must have 3 columns .*got 2"),
    ({"validation_data": (X, ONE_HOT * 0)}, ValueError, r"^validation_data: y must have one-hot rows .*row 0 has 0"),
    (
        {"y": X[:, :2], "validation_data": (X, X[:, :3])},
        ValueError,
        r"^validation_data: y must have 2 columns as in training, got 3",
    ),
    # params
    ({"params": 5}, TypeError, r"^params must be a list of \(W, b\) pairs"),
    ({"params": [np.ones((D, K))]}, TypeError, r"^params must be a list of \(W, b\) pairs"),
    ({"params": PARAMS[:1]}, ValueError, r"^params must hold 2 \(W, b\) pairs for widths \(4, 5, 3\), got 1"),
    ({"params": []}, ValueError, r"^params must hold 2 \(W, b\) pairs .*got 0"),
    ({"params": PARAMS[::-1]}, ValueError, r"^params\[0\]: W must have shape \(4, 5\), got \(5, 3\)"),
    ({"params": [(PARAMS[0][0].T, np.zeros(H)), PARAMS[1]]}, ValueError, r"^params\[0\]: W must .*got \(5, 4\)"),
    ({"params": [PARAMS[0], (np.ones((H, K)), np.zeros(H))]}, ValueError, r"^params\[1\]: b must .*\(3,\), got \(5,\)"),
    ({"params": [PARAMS[0], (np.ones((H, K)), np.zeros((K, 1)))]}, ValueError, r"^params\[1\]: b must .*got \(3, 1\)"),
    ({"params": [PARAMS[0], (np.ones((H, K)) * np.nan, np.zeros(K))]}, ValueError, r"^params\[1\]: W must be finite"),
    ({"params": [PARAMS[0], (np.ones((H, K)), np.full(K, np.inf))]}, ValueError, r"^params\[1\]: b must be finite"),
    ({"params": [PARAMS[0], (np.ones((H, K), complex), np.zeros(K))]}, TypeError, r"^params\[1\]: W must be numbers"),
    # sample_weight
    ({"sample_weight": np.ones(N - 1)}, ValueError, r"^sample_weight must have shape \(12,\), got \(11,\)"),
    ({"sample_weight": np.ones((N, 1))}, ValueError, r"^sample_weight must have shape \(12,\), got \(12, 1\)"),
    ({"sample_weight": 1.0}, ValueError, r"^sample_weight must have shape \(12,\), got \(\)"),
    ({"sample_weight": -np.ones(N)}, ValueError, r"^sample_weight must hold no negative number"),
    ({"sample_weight": np.zeros(N)}, ValueError, r"^sample_weight must hold .*at least one positive"),
    ({"sample_weight": changed(np.ones(N), 2, np.nan)}, ValueError, r"^sample_weight must be finite, got nan"),
    ({"sample_weight": ["a"] * N}, TypeError, r"^sample_weight must be numbers, got dtype <U1"),
    ({"sample_weight": [[1, 2], [3]]}, ValueError, r"^sample_weight must be an array, got rows of different lengths"),
    # callbacks
    ({"callbacks": None}, TypeError, r"^callbacks must be a list of callables, got None"),
    ({"callbacks": print}, TypeError, r"^callbacks must be a list of callables, got <built-in function print>"),
    ({"callbacks": [print, "stop"]}, TypeError, r"^callbacks\[1\] must be callable as .*got 'stop'"),
]


def case_name(case):
    """Return the changed arguments and the start of the message, which together tell what a case is about."""
    changes, _, message = case
    return f"{'+'.join(changes)}: {message[:60]}"


@pytest.mark.parametrize(("changes", "error", "message"), BAD_INPUT, ids=map(case_name, BAD_INPUT))
def test_bad_input_is_refused_before_training(changes, error, message, backend, capsys):
    arguments = {"X": X, "y": Y, "hidden": (H,), "num_epochs": 1, "backend": backend} | changes
    epochs = []
    arguments.setdefault("callbacks", [lambda model, history: epochs.append(len(history))])
    with pytest.raises(error, match=message) as caught:
        fastmlp.train(**arguments)
    assert type(caught.value) is error
    assert "\n" not in str(caught.value)
    assert epochs == []
    assert capsys.readouterr() == ("", "")


def test_the_unchanged_arguments_of_the_cases_are_good(backend, capsys):
    model = fastmlp.train(X, Y, hidden=(H,), num_epochs=1, backend=backend, params=PARAMS)
    assert len(model.history) == 1
    assert "epoch 1/1" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["float32", "float64"])
def test_a_dtype_is_what_numpy_takes_for_one(name):
    number = {"float32": np.float32, "float64": float}[name]
    for dtype in (name, np.dtype(name), getattr(np, name), number, np.dtype(name).str, np.dtype(name).char):
        model = fastmlp.train(X, Y, hidden=(), num_epochs=1, backend="reference", dtype=dtype, verbose=False)
        assert model.params.dtype == name


def test_what_to_compile_for():
    with pytest.raises(ValueError, match=r"^dtype must be one of 'float32', 'float64', got <class 'int'>"):
        fastmlp.warmup(dtype=int)
    with pytest.raises(ValueError, match=r"^input_dtypes must be one of 'uint8', 'float32', 'float64', got 'int8'"):
        fastmlp.warmup(input_dtypes=[np.uint8, "int8"])
    with pytest.raises(ValueError, match=r"^activation must be one name, or one for each hidden layer \(2\), got 3$"):
        fastmlp.warmup(activation=["relu", "tanh", "relu"])


def test_arguments_after_y_are_keywords_only():
    with pytest.raises(TypeError, match="positional argument"):
        fastmlp.train(X, Y, (H,))
    with pytest.raises(TypeError, match="learning_rate"):
        fastmlp.train(X, Y, learning_rate=0.1)


@pytest.fixture(scope="module")
def model():
    return fastmlp.train(X, Y, hidden=(H,), num_epochs=1, backend="reference", seed=0, verbose=False)


@pytest.mark.parametrize("method", ["predict", "predict_proba", "logits"])
@pytest.mark.parametrize(
    ("features", "error", "message"),
    [
        (X[:, :3], ValueError, r"^X must have 4 features as in training, got 3"),
        (np.hstack([X, X]), ValueError, r"^X must have 4 features as in training, got 8"),
        (scipy.sparse.csr_array(X[:, :3]), ValueError, r"^X must have 4 features as in training, got 3"),
        (X[0], ValueError, r"^X must be two-dimensional .*got shape \(4,\)"),
        (X[:0], ValueError, r"^X must have at least one sample .*\(0, 4\)"),
        (changed(X, (2, 1), np.nan), ValueError, r"^X must be finite, got nan at row 2, column 1"),
        (X.astype(str), TypeError, r"^X must be an array of numbers, got dtype <U"),
    ],
)
def test_a_network_refuses_features_it_was_not_trained_on(model, method, features, error, message):
    with pytest.raises(error, match=message):
        getattr(model, method)(features)


@pytest.mark.parametrize("method", ["score", "loss"])
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((X[:, :3], Y), ValueError, r"^X must have 4 features as in training, got 3"),
        ((X, Y[:3]), ValueError, r"^y must have one row for each of the 12 samples, got 3"),
        ((X, Y + 7), ValueError, r"^y holds the label 7, which no training sample has"),
        ((X, ["a"] * N), TypeError, r"^y must hold labels like 0, got 'a'"),
        ((X, ONE_HOT[:, 1:]), ValueError, r"^y must have 3 columns \(one-hot\), got 2"),
    ],
)
def test_a_network_refuses_targets_it_was_not_trained_on(model, method, arguments, error, message):
    with pytest.raises(error, match=message):
        getattr(model, method)(*arguments)


def test_loss_refuses_unfit_sample_weights(model):
    with pytest.raises(ValueError, match=r"^sample_weight must have shape \(12,\), got \(2,\)"):
        model.loss(X, Y, sample_weight=[1, 2])


def test_predict_proba_needs_a_classifier(backend):
    model = fastmlp.train(X, X[:, 0], hidden=(), num_epochs=1, backend=backend, verbose=False)
    with pytest.raises(TypeError, match=r"^predict_proba needs a classifier, .*trained for regression"):
        model.predict_proba(X)


# ---- rows and weights


@pytest.mark.parametrize("d", [1, 3])
def test_the_row_of_a_nan_far_down_is_named(d):
    features = np.zeros((2_200_000 // d, d))
    row = len(features) - 2
    features[row, d - 1] = np.nan
    with pytest.raises(ValueError, match=rf"^X must be finite, got nan at row {row}, column {d - 1}$"):
        check_features(features)


def test_one_negative_weight_among_positive_ones_is_refused(backend):
    for weights in (changed(np.ones(N), 5, -1e-9), changed(np.ones(N, int), 0, -3)):
        with pytest.raises(ValueError, match=r"^sample_weight must hold no negative number"):
            fastmlp.train(X, Y, sample_weight=weights, backend=backend)


def test_weights_whose_sum_overflows_are_refused(backend):
    with pytest.raises(ValueError, match=r"^sample_weight must have a finite sum, got numbers up to 1e\+308$"):
        fastmlp.train(X, Y, sample_weight=np.full(N, 1e308), backend=backend)


# ---- sparse matrices whose arrays don't fit together


def csr_replaced(form="csr", **arrays):
    """Return X in a sparse format with whole arrays of it replaced by what functions make of them."""
    matrix = scipy.sparse.csr_array(X).asformat(form)
    for name, function in arrays.items():
        setattr(matrix, name, function(getattr(matrix, name)))
    return matrix


MISFITS = [
    ("csr", {"data": lambda a: a[:5]}, r"CSR matrix, but it has 5 data for 48 indices$"),
    ("csr", {"data": lambda a: np.append(a, a)}, r"CSR matrix, but it has 96 data for 48 indices$"),
    ("csr", {"indices": lambda a: a[:5]}, r"CSR matrix, but it has 48 data for 5 indices$"),
    ("csr", {"indices": lambda a: a * 1.0}, r"CSR matrix, but its indices are 1-dimensional of dtype float64"),
    ("csr", {"indices": lambda a: a.astype(np.uint32)}, r"CSR matrix, but its indices are .* dtype uint32"),
    ("csr", {"indices": lambda a: a[:, None]}, r"CSR matrix, but its indices are 2-dimensional of dtype int"),
    ("csr", {"indptr": lambda a: a * 1.0}, r"CSR matrix, but its indptr are 1-dimensional of dtype float64"),
    ("csr", {"indptr": lambda a: a[:-1]}, r"CSR matrix, but its indptr is not$"),
    ("csr", {"data": np.ma.array}, r"CSR matrix, but its data are masked$"),
    ("csc", {"data": lambda a: a[:5]}, r"CSC matrix, but it has 5 data for 48 indices$"),
    ("csc", {"indices": lambda a: a + N - 1}, r"CSC matrix, but it has row indices outside 0\.\.11$"),
    ("csc", {"indptr": lambda a: a + 1}, r"CSC matrix, but its indptr is not$"),
    ("bsr", {"indices": lambda a: a + D}, r"BSR matrix, but it has column indices outside 0\.\."),
    ("bsr", {"data": lambda a: a[:1]}, r"BSR matrix, but it has 1 data for \d+ indices$"),
    ("coo", {"data": lambda a: a[:5]}, r"COO matrix, but its row does not fit its shape and data$"),
]


@pytest.mark.parametrize(("form", "arrays", "message"), MISFITS, ids=[f"{m[0]} {m[2][-30:]}" for m in MISFITS])
def test_sparse_arrays_that_do_not_fit_together_are_refused(form, arrays, message, model, backend):
    matrix = csr_replaced(form, **arrays)
    with pytest.raises(ValueError, match=f"^X must be a valid {message}"):
        fastmlp.train(matrix, Y, hidden=(), num_epochs=1, backend=backend)
    with pytest.raises(ValueError, match=f"^validation_data: X must be a valid {message}"):
        fastmlp.train(X, Y, hidden=(), num_epochs=1, backend=backend, validation_data=(matrix, Y))
    with pytest.raises(ValueError, match=f"^X must be a valid {message}"):
        model.predict(matrix)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("place", [-1, 12])
def test_coordinates_outside_a_matrix_are_refused(axis, place):
    matrix = scipy.sparse.coo_array(X)
    matrix.coords[axis][7] = place
    with pytest.raises(ValueError, match=rf"^X must be a valid COO matrix, but its {('row', 'col')[axis]} does not"):
        check_features(matrix)


def test_what_a_callback_writes_into_a_sparse_matrix_moves_no_index(backend):
    plain = fastmlp.train(scipy.sparse.csr_array(X), Y, hidden=(), num_epochs=3, seed=0, backend=backend, verbose=False)
    matrix = scipy.sparse.csr_array(X)

    def damage(model, history):
        matrix.indices[:] = 1 << 30
        matrix.indptr[1:] = 1 << 30

    options = {"hidden": (), "num_epochs": 3, "seed": 0, "backend": backend, "verbose": False}
    model = fastmlp.train(matrix, Y, callbacks=[damage], **options)
    assert matrix.indices[0] == 1 << 30
    np.testing.assert_array_equal(model.params, plain.params)


def test_indices_that_were_disordered_after_a_training_are_put_in_order():
    matrix = scipy.sparse.csr_array(X)
    assert matrix.has_canonical_format  # which SciPy remembers
    for array in (matrix.indices, matrix.data):
        array.reshape(N, D)[:] = array.reshape(N, D)[:, ::-1].copy()
    checked = check_features(matrix)
    np.testing.assert_array_equal(checked.indices, np.tile(np.arange(D), N))
    np.testing.assert_array_equal(checked.toarray(), X)
    np.testing.assert_array_equal(matrix.indices[:D], np.arange(D)[::-1])


def test_the_other_byte_order_is_read_as_what_it_is(backend):
    swapped = X.astype(X.dtype.newbyteorder())
    matrix = scipy.sparse.csr_array(X)
    matrix.data = matrix.data.astype(matrix.data.dtype.newbyteorder())
    options = {"hidden": (), "num_epochs": 2, "seed": 0, "backend": backend, "verbose": False}
    for native, other in ((X, swapped), (scipy.sparse.csr_array(X), matrix)):
        assert not other.dtype.isnative
        models = [fastmlp.train(data, Y, validation_data=(data, Y), **options) for data in (native, other)]
        np.testing.assert_array_equal(models[1].params, models[0].params)
        assert models[1].history.val_loss == models[0].history.val_loss
        np.testing.assert_array_equal(models[0].logits(other), models[0].logits(native))


# ---- masked arrays


MASKED = np.ma.masked_array(X, np.zeros(X.shape, bool))


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"X": MASKED}, "X"),
        ({"X": np.ma.masked_array(X, X > 1)}, "X"),
        ({"X": list(MASKED)}, "X"),
        ({"y": np.ma.masked_array(Y)}, "y"),
        ({"sample_weight": np.ma.ones(N)}, "sample_weight"),
        ({"validation_data": (MASKED, Y)}, "validation_data: X"),
        ({"validation_data": (X, np.ma.masked_array(Y))}, "validation_data: y"),
        ({"params": [(np.ma.ones((D, H)), np.zeros(H)), PARAMS[1]]}, r"params\[0\]: W"),
        ({"params": [PARAMS[0], (np.ones((H, K)), np.ma.zeros(K))]}, r"params\[1\]: b"),
    ],
)
def test_masked_arrays_are_refused(changes, name, backend):
    with pytest.raises(TypeError, match=rf"^{name} must be an array without a mask, got a masked array"):
        fastmlp.train(**({"X": X, "y": Y, "hidden": (H,), "num_epochs": 1, "backend": backend} | changes))


@pytest.mark.parametrize("call", ["predict", "predict_proba", "logits", "activations"])
def test_a_network_refuses_masked_features(model, call):
    with pytest.raises(TypeError, match=r"^X must be an array without a mask, got a masked array"):
        getattr(model, call)(MASKED)
    with pytest.raises(TypeError, match=r"^y must be an array without a mask, got a masked array"):
        model.score(X, np.ma.masked_array(Y))


# ---- data frames


class Frame:
    """A data frame as polars has it: columns by name, no `iloc`, objects where types differ."""

    def __init__(self, **columns):
        self._columns = columns

    @property
    def columns(self):
        return list(self._columns)

    def __getitem__(self, name):
        return self._columns[name]

    def __array__(self, dtype=None, copy=None):
        columns = [np.asarray(column) for column in self._columns.values()]
        same = len({column.dtype for column in columns}) == 1
        return np.column_stack([column if same else column.astype(object) for column in columns])


def polars_like(columns):
    return Frame(**columns)


def pandas_frame(columns):
    return pytest.importorskip("pandas").DataFrame(columns)


FRAMES = pytest.mark.parametrize("make", [polars_like, pandas_frame])
COLUMNS = {"age": X[:, 0], "height": X[:, 1], "weight": X[:, 2], "dose": X[:, 3]}
OTHER_ORDER = {name: COLUMNS[name] for name in ("age", "weight", "height", "dose")}
OPTIONS = {"hidden": (), "num_epochs": 1, "seed": 0, "verbose": False}


@FRAMES
def test_columns_in_another_order_are_refused(make, backend):
    model = fastmlp.train(make(COLUMNS), Y, backend=backend, **OPTIONS)
    assert model.feature_names_in_.tolist() == list(COLUMNS)
    assert model.feature_names_in_.dtype == object
    np.testing.assert_array_equal(model.predict(make(COLUMNS)), model.predict(X))
    message = r"X must have the columns of training in their order, but column 1 is 'weight' and was 'height'$"
    for call in ("predict", "predict_proba", "logits", "activations"):
        with pytest.raises(ValueError, match=f"^{message}"):
            getattr(model, call)(make(OTHER_ORDER))
    for call in ("score", "loss"):
        with pytest.raises(ValueError, match=f"^{message}"):
            getattr(model, call)(make(OTHER_ORDER), Y)
    with pytest.raises(ValueError, match=f"^validation_data: {message}"):
        fastmlp.train(make(COLUMNS), Y, backend=backend, validation_data=(make(OTHER_ORDER), Y), **OPTIONS)
    with pytest.raises(ValueError, match=r"column 3 is 'Dose' and was 'dose'$"):
        model.predict(make({"age": X[:, 0], "height": X[:, 1], "weight": X[:, 2], "Dose": X[:, 3]}))


def test_without_names_there_is_nothing_to_compare():
    pandas = pytest.importorskip("pandas")
    for columns in (range(4), ["a", "b", "c", 3]):
        model = fastmlp.train(pandas.DataFrame(X, columns=columns), Y, backend="reference", **OPTIONS)
        assert model.feature_names_in_ is None
        model.predict(polars_like(COLUMNS))
    assert fastmlp.train(X, Y, backend="reference", **OPTIONS).feature_names_in_ is None


@FRAMES
def test_bool_columns_are_numbers(make, backend):
    mixed = COLUMNS | {"height": X[:, 1] > 0, "dose": np.arange(N)}
    plain = np.column_stack([X[:, 0], X[:, 1] > 0, X[:, 2], np.arange(N)])
    assert np.asarray(make(mixed)).dtype == object
    model = fastmlp.train(make(mixed), Y, backend=backend, **OPTIONS)
    np.testing.assert_array_equal(model.params, fastmlp.train(plain, Y, backend=backend, **OPTIONS).params)
    np.testing.assert_array_equal(model.logits(make(mixed)), model.logits(plain))


@FRAMES
def test_a_column_that_holds_no_numbers_is_named(make):
    with pytest.raises(TypeError, match=r"^X must hold numbers without gaps, but column 'dose' holds 'much'$"):
        check_features(make(COLUMNS | {"dose": ["much"] * N}))
    with pytest.raises(ValueError, match=r"^X must be finite, got nan at row 7, column 'weight'$"):
        check_features(make(COLUMNS | {"weight": changed(X[:, 2], 7, np.nan)}))


def test_nullable_columns():
    pandas = pytest.importorskip("pandas")
    flags, counts = pandas.array(X[:, 1] > 0, "boolean"), pandas.array(np.arange(N), "Int64")
    found = check_features(pandas.DataFrame(COLUMNS | {"height": flags, "dose": counts}))
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, np.column_stack([X[:, 0], X[:, 1] > 0, X[:, 2], np.arange(N)]))
    flags[3], counts[3] = None, None
    with pytest.raises(TypeError, match=r"^X must hold numbers without gaps, but column 'height' holds <NA>$"):
        check_features(pandas.DataFrame(COLUMNS | {"height": flags}))
    with pytest.raises(ValueError, match=r"^X must be finite, got nan at row 3, column 'dose'$"):
        check_features(pandas.DataFrame(COLUMNS | {"dose": counts}))
    twice = pandas.DataFrame(np.column_stack([X, X]), columns=["a", "b", "c", "d"] * 2)
    twice = pandas.concat([twice, pandas.DataFrame({"a": X[:, 0] > 0})], axis=1)
    np.testing.assert_array_equal(check_features(twice), np.column_stack([X, X, X[:, 0] > 0]))


# ---- labels


@pytest.mark.skipif(not hasattr(np.dtypes, "StringDType"), reason="NumPy's strings of variable width")
def test_strings_of_variable_width_are_labels(backend):
    words = np.array(["ant", "bumblebee", "cat"])[Y]
    labels = words.astype(np.dtypes.StringDType())
    model = fastmlp.train(X, labels, validation_data=(X, labels), backend=backend, **OPTIONS)
    assert model.classes_.dtype == "<U9"
    assert set(model.predict(X)) <= {"ant", "bumblebee", "cat"}
    assert model.score(X, labels) == model.score(X, words) == model.history.val_accuracy[-1]
    missing = np.array(["ant", None] * 6, np.dtypes.StringDType(na_object=None))
    with pytest.raises(TypeError, match=r"^y must be numbers or strings, as objects .*, got 'ant' and None$"):
        fastmlp.train(X, missing, backend=backend)


@pytest.mark.parametrize("form", [np.uint64, np.int64, np.float64])
def test_large_labels_are_compared_exactly(form, backend):
    large = 1 << 60
    labels = np.array([large, large + 1, large + 2], np.uint64)[Y]
    model = fastmlp.train(X, labels, backend=backend, **OPTIONS)
    assert model.classes_.tolist() == [large, large + 1, large + 2]
    if form != np.float64:
        assert model.score(X, labels.astype(form)) == model.score(X, labels)
    else:
        first = np.full(N, float(large))
        assert model.loss(X, first) == model.loss(X, np.full(N, large))
    with pytest.raises(ValueError, match=r"^y holds the label 1\.?15292150460684.*, which no training sample has"):
        model.score(X, np.full(N, large + 256).astype(form))
    with pytest.raises(ValueError, match=r"^y holds the label -1(\.0)?, which no training sample has"):
        model.score(X, np.full(N, -1).astype(np.int64 if form == np.uint64 else form))


def test_labels_are_not_rounded_to_a_neighbour():
    labels = np.array([1 << 60, 3 << 60])[np.arange(N) % 2]
    model = fastmlp.train(X, labels, backend="reference", **OPTIONS)
    with pytest.raises(ValueError, match=rf"^y holds the label {(1 << 60) + 1}, which no training sample has"):
        model.score(X, np.full(N, (1 << 60) + 1, np.uint64))


def test_floats_beyond_any_integer_are_no_labels():
    with pytest.raises(ValueError, match=r"^y must hold class labels below 2\*\*63, got 1e\+300$"):
        fastmlp.train(X, changed(Y * 1.0, 3, 1e300), loss="cross_entropy", backend="reference")


def test_objects_that_are_alike_have_their_own_type():
    y = [True, np.False_, True]
    assert check_targets(np.array(y, object), 3).tolist() == y
    assert check_targets(np.array(y, object), 3).dtype == bool
    assert check_targets(np.array([-3, np.uint8(5)], object), 2).dtype == np.int64
    column = check_targets(np.array([["b"], ["a"]], object), 2)
    assert column.tolist() == [["b"], ["a"]]
    assert column.dtype == np.dtype("<U1")


def test_bytes_are_not_strings():
    model = fastmlp.train(X, np.array(["a", "b", "c"])[Y], backend="reference", **OPTIONS)
    with pytest.raises(TypeError, match=r"^y must hold labels like 'a', got b'a'$"):
        model.score(X, np.array([b"a"] * N))
