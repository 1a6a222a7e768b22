"""The trained network: what it predicts, from several threads and processes, and how it is copied there."""

import copy
import pickle
import sys
import threading

import joblib
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array
from support.networks import CODES, TARGETS, X, fit
from support.processes import run_python

from fastmlp import reference

# --- gradients


@pytest.mark.parametrize("kind", TARGETS)
@pytest.mark.parametrize("weights", [None, np.linspace(0, 2, 50)])
def test_training_steps_along_the_gradients(weights, kind, backend):
    """One step on all rows as a batch; the targets of a regression are standardised."""
    y, options = TARGETS[kind]
    models = []
    fit(
        y, batch_size=50, sample_weight=weights, normalize="zscore", normalize_targets=True, backend=backend,
        callbacks=[lambda model, history: models.append(model)], **options,
    )  # fmt: skip
    before, after = models
    gradients = before.gradients(X, y, weights)
    assert [(W.shape, b.shape) for W, b in gradients] == [(W.shape, b.shape) for W, b in before.layers]
    step = reference.parameters.flatten(gradients)
    assert_allclose(before.params - 0.1 * step, after.params, rtol=1e-10, atol=1e-12)
    assert np.max(np.abs(step)) > 1e-3


def test_gradients_are_the_slope_of_the_loss(backend):
    """Of a regression on one standardised column, once both are in the same unit."""
    y = 3 * X[:, 0] + 5
    model = fit(y, X=X[:, 1:], normalize_targets=True, activation="tanh", backend=backend)
    rows, targets = np.random.default_rng(2).normal(size=(600, 3)), np.linspace(-9, 9, 600)
    direction = np.random.default_rng(3).normal(size=model.params.size)
    losses = [
        type(model)(model.params + h * direction, model._inference, model._coding, model.history).loss(rows, targets)
        for h in (1e-6, -1e-6)
    ]
    slope = reference.parameters.flatten(model.gradients(rows, targets)) @ direction
    assert_allclose(slope * np.var(y), (losses[0] - losses[1]) / 2e-6, rtol=1e-6)
    assert abs(slope) > 1e-3


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gradients_have_the_dtype_of_the_parameters_and_change_nothing(dtype, backend, tmp_path):
    model = fit(CODES, dtype=dtype, backend=backend)
    params = model.params.copy()
    gradients = model.gradients(X, CODES)
    assert {array.dtype for layer in gradients for array in layer} == {np.dtype(dtype)}
    assert_array_equal(model.params, params)
    model.save(tmp_path / "model.npz")
    for (W, b), (V, c) in zip(type(model).load(tmp_path / "model.npz").gradients(X, CODES), gradients, strict=True):
        assert_array_equal(W, V)
        assert_array_equal(b, c)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((X[:, :3], CODES), "^X must have 4 "),
        ((X, CODES[:-1]), "^y must have "),
        ((X, CODES + 1), "^y holds the label 3, which no training sample has$"),
        ((X, CODES, np.full(50, -1.0)), "^sample_weight must "),
    ],
)
def test_gradients_of_unfit_data(arguments, message):
    with pytest.raises(ValueError, match=message):
        fit(CODES).gradients(*arguments)


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


@pytest.mark.parametrize("names", [("relu", "silu"), ["gelu", "tanh"]], ids="/".join)
def test_each_layer_has_its_own_activation(names, backend):
    model = fit(CODES, activation=names, backend=backend)
    (W1, b1), (W2, b2), (W3, b3) = model.layers
    f, g = (getattr(reference, name) for name in names)
    first, second = model.activations(X)
    assert_allclose(first, f(X @ W1 + b1), rtol=1e-9)
    assert_allclose(second, g(first @ W2 + b2), rtol=1e-9)
    assert_allclose(model.logits(X), second @ W3 + b3, rtol=1e-9, atol=1e-12)
    assert repr(model) == f"MLP(4-6-5-3, {'/'.join(names)}, cross_entropy, 83 parameters, float64)"


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


# --- features of other types


@pytest.mark.parametrize("trained", ["uint8", "float32", "int64"])
@pytest.mark.parametrize("asked", ["float64", ">f8", "float32", "int64", "uint8", "bool"])
@pytest.mark.parametrize("data", ["dense", "sparse"])
def test_features_are_not_rounded_to_the_type_of_the_training_data(trained, asked, data):
    """Near 1000 the steps between neighbouring float32 numbers would be seen."""
    rng = np.random.default_rng(3)
    rows = 1000 * rng.random((50, 6)) if data == "dense" else 1000 * (rng.random((50, 6)) < 0.2) * rng.random((50, 6))
    if "uint8" in (trained, asked):
        rows = rows / 4
    model = fit(CODES, X=rows.astype(trained), backend="jit", lr=1e-9)
    features = rows.astype(asked)
    exact = np.asarray(features, np.float64)
    Z, layers = exact, model.layers
    for W, b in layers[:-1]:
        Z = np.maximum((Z / 255 if trained == "uint8" and W is layers[0][0] else Z) @ W + b, 0)
    Z = Z @ layers[-1][0] + layers[-1][1]
    for rows_asked in (50, 3):
        assert_allclose(model.logits(features[:rows_asked]), Z[:rows_asked], rtol=1e-11, atol=1e-11)


def test_many_csr_rows_of_another_type():
    rng = np.random.default_rng(3)
    rows = 1000 * (rng.random((50, 6)) < 0.3) * rng.random((50, 6))
    model = fit(CODES, X=csr_array(rows.astype(np.float32)), backend="jit", lr=1e-9)
    other = fit(CODES, X=csr_array(rows.astype(np.float32)), params=model.layers, lr=1e-300)
    assert_allclose(model.logits(csr_array(rows)), other.logits(csr_array(rows)), rtol=1e-11, atol=1e-11)


# --- copies


COPIES = {
    "pickle": lambda model, path: pickle.loads(pickle.dumps(model)),
    "old pickle": lambda model, path: pickle.loads(pickle.dumps(model, protocol=2)),
    "deepcopy": lambda model, path: copy.deepcopy(model),
    "copy": lambda model, path: copy.copy(model),
    "joblib": lambda model, path: joblib.load(joblib.dump(model, path)[0]),
    "joblib mapped": lambda model, path: joblib.load(joblib.dump(model, path)[0], mmap_mode="r"),
}


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("predicted", [False, True])
def test_a_copy_is_the_same_network(how, predicted, backend, tmp_path):
    names = np.array(["ant", "bee", "cat"])
    model = fit(names[CODES], validation_data=(X, names[CODES]), normalize="zscore", backend=backend)
    if predicted:
        model.predict(X)
    copied = COPIES[how](model, tmp_path / "model.joblib")
    assert_array_equal(copied.params, model.params)
    assert not copied.params.flags.writeable
    assert all(not W.flags.writeable for W, _ in copied.layers)
    assert (repr(copied), copied.history) == (repr(model), model.history)
    assert_array_equal(copied.classes_, names)
    for rows in (X, X[:1], np.tile(X, (100, 1))):
        assert copied.logits(rows).tobytes() == model.logits(rows).tobytes()
    copied.save(tmp_path / "model.npz")


def test_a_copy_is_predicted_with_on_the_compiled_path(monkeypatch):
    model = fit(CODES, backend="jit")
    wanted = model.logits(X)
    monkeypatch.setattr("fastmlp.inference.logits", lambda *_: pytest.fail("NumPy computes this"))
    assert_array_equal(pickle.loads(pickle.dumps(model)).logits(X), wanted)


def test_a_deep_copy_shares_nothing_that_changes():
    model = fit(CODES, backend="jit")
    copied = copy.deepcopy(model)
    copied.history.loss.append(0.0)
    assert len(model.history) == 2
    assert not np.shares_memory(copied.params, model.params)


def test_a_pickle_holds_parameters_and_little_else(backend):
    model = fit(CODES, hidden=(300, 200), backend=backend)
    model.predict(np.tile(X, (100, 1)))
    assert len(pickle.dumps(model)) < model.params.nbytes + 4000


IN_A_WORKER = """
import multiprocessing
import numpy as np
from support.networks import CODES, X, fit

def predict(model):
    return model.logits(X)

def train(seed):
    return fit(CODES, backend="jit", seed=seed)

if __name__ == "__main__":
    model = fit(CODES, backend="jit")
    wanted = model.logits(X)
    {run}
    assert all(np.array_equal(found, wanted) for found in answers)
    assert [np.array_equal(returned.logits(X), wanted) for returned in trained] == [True, False]
    print(len(answers), len(trained))
"""
POOL = """
    with multiprocessing.get_context({method!r}).Pool(2) as pool:
        answers, trained = pool.map(predict, [model] * 4), pool.map(train, [1, 2])
"""
LOKY = """
    from joblib import Parallel, delayed
    with Parallel(2) as run:
        answers, trained = run([delayed(predict)(model)] * 4), run(delayed(train)(seed) for seed in (1, 2))
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver", "loky"])
def test_networks_go_to_worker_processes_and_come_back(method, tmp_path):
    run = (LOKY if method == "loky" else POOL.format(method=method)).strip()
    assert run_script(IN_A_WORKER.format(run=run), tmp_path) == "4 2"


def run_script(code, folder):
    """Run a program from a file, which workers that are spawned import."""
    (folder / "script.py").write_text(code)
    return run_python(f"import subprocess, sys; subprocess.run([sys.executable, {str(folder / 'script.py')!r}])")


# --- threads and forks


@pytest.mark.parametrize("sizes", [(1, 2, 3, 5), (700, 800, 900, 1000), (3, 40, 600, 1300)])
def test_threads_predict_at_once(sizes):
    """Four with one network, on rows of their own, while a fifth predicts with another of the same kind."""
    model, other = fit(CODES, backend="jit"), fit(CODES, backend="jit", seed=2)
    rng = np.random.default_rng(0)
    tasks = [(model, rng.standard_normal((n, 4))) for n in sizes] + [(other, rng.standard_normal((50, 4)))]
    wanted = [network.logits(rows) for network, rows in tasks]
    wrong, done = [], []
    start = threading.Barrier(len(tasks))

    def predict(i):
        network, rows = tasks[i]
        start.wait()
        for _ in range(300):
            if not np.array_equal(network.logits(rows), wanted[i]):
                wrong.append(i)
        done.append(i)

    threads = [threading.Thread(target=predict, args=(i,), daemon=True) for i in range(len(tasks))]
    switch = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive()
    finally:
        sys.setswitchinterval(switch)
    assert sorted(done) == list(range(len(tasks)))
    assert not wrong


FORK = """
import os, signal, threading, time
import numpy as np
from support.networks import CODES, X, fit

model = fit(CODES, backend="jit")
wanted = model.logits(X)
rows = np.tile(X, (10000, 1))
model.logits(rows[:200])
stop = threading.Event()

def predict():
    while not stop.is_set():
        model.logits(rows)

thread = threading.Thread(target=predict)
thread.start()
results = []
for _ in range(20):
    time.sleep(0.01)
    child = os.fork()
    if not child:
        signal.alarm(20)
        os._exit(0 if np.array_equal(model.logits(X), wanted) else 1)
    results.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
stop.set()
thread.join()
print(results)
"""


@pytest.mark.filterwarnings("ignore")
def test_a_child_forked_during_a_prediction_predicts():
    code = "import warnings; warnings.simplefilter('ignore')\n" + FORK
    assert run_python(code) == str([0] * 20)


TWO_PROCESSES = """
import os
import numpy as np
from support.networks import CODES, X, fit

model = fit(CODES, backend="jit", hidden=())
wanted = model.logits(X)
there, here = os.pipe()
child = os.fork()
if not child:
    network = type(model)(2 * model.params, model._inference, model._coding, model.history)
    network.logits(X)
    os.write(here, b"!")
    os._exit(0)
os.read(there, 1)
print(np.array_equal(model.logits(X), wanted))
"""


def test_a_child_does_not_change_what_its_parent_predicts():
    assert run_python(TWO_PROCESSES) == "True"


def test_a_prediction_that_is_interrupted_leaves_no_mixture(monkeypatch):
    """Where new parameters were being loaded, the next prediction loads its own whole."""
    from fastmlp.engine import packing

    model = fit(CODES, backend="jit")
    wanted = model.logits(X)
    other = type(model)(2 * model.params, model._inference, model._coding, model.history)
    packed = []

    def pack_biases(b, plan):
        packed.append(b)
        if len(packed) == 2:
            raise KeyboardInterrupt
        return original(b, plan)

    original = packing.pack_biases
    monkeypatch.setattr(packing, "pack_biases", pack_biases)
    with pytest.raises(KeyboardInterrupt):
        other.logits(X)
    assert_array_equal(model.logits(X), wanted)


@pytest.mark.parametrize("n", [4095, 4096, 4097, 8192, 8193])
def test_every_row_is_predicted_where_blocks_end(n):
    model = fit(CODES)
    rows = np.random.default_rng(0).standard_normal((n, 4))
    found = model.logits(rows)
    assert found.shape == (n, 3)
    assert_allclose(found[-2:], model.logits(rows[-2:]), rtol=1e-9, atol=1e-12)
