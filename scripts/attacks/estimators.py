"""scikit-learn's estimators as this package has them: odd data, odd weights, interrupts, threads."""

import pickle
import warnings
from functools import partial

import numpy as np
from sklearn import neural_network

import fastmlp
from attacks import DefectError, attack
from attacks.inputs import EITHER, FEATURES, INVALID, content, csr_damaged, huge, masked, no_numbers, numbers
from attacks.signals import under_fire
from attacks.training import all_at_once, make_data, need_near, need_same

SMALL = {"hidden_layer_sizes": (7,), "activation": "tanh", "max_iter": 3, "random_state": 0}
SOLVERS = ("adam", "sgd", "lbfgs")


def attempt(what, work):
    """Return (result, None), or (None, error) after a refusal."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return work(), None
    except Exception as error:
        if not isinstance(error, (ValueError, TypeError)) or len(str(error).partition("\n")[0]) > 600:
            raise DefectError("unclear error", f"{what}: {type(error).__name__}: {error}") from error
        return None, error


def params_of(model):
    return np.concatenate([array.ravel() for array in [*model.coefs_, *model.intercepts_]])


@attack(tries=40, timeout=240)
def estimator_features(rng):
    """Features of every kind: an estimator takes, refuses and learns what scikit-learn's own does."""
    n, d = int(rng.integers(3, 80)), int(rng.choice([1, 7, rng.integers(3, 70)]))
    form = FEATURES[rng.integers(len(FEATURES))]
    X, _, expected = form(rng, numbers(rng, n, d).astype(float))
    y, solver = np.arange(n) % 3, str(rng.choice(SOLVERS))
    what = f"{form.__name__} {getattr(X, 'dtype', '')} {n}x{d}, {solver}"
    before = content(X)
    ours, refusal = attempt(what, lambda: fastmlp.MLPClassifier(**SMALL, solver=solver).fit(X, y))
    if content(X) != before:
        raise DefectError("difference", f"{what}: fit changed what it was given")
    if form in (
        csr_damaged,
        huge,
        masked,
        no_numbers,
    ):  # scikit-learn crashes, sees no mask, and reads numbers in texts
        if ours is not None and form is csr_damaged:
            raise DefectError("difference", f"{what}: accepted without a word")
        return "clean refusal" if ours is None else "ok"
    theirs, other = attempt(what, lambda: neural_network.MLPClassifier(**SMALL, solver=solver).fit(X, y))
    if (ours is None) != (theirs is None) or type(refusal) is not type(other):
        raise DefectError("difference", f"{what}: {refusal or ours}, and scikit-learn {other or theirs}")
    if ours is None:
        return "clean refusal"
    if expected not in (INVALID, EITHER) and ours.coefs_[0].dtype == np.float64:
        need_near(f"{what}: weights", params_of(ours), params_of(theirs), 1e-3 if solver == "lbfgs" else 1e-6)
    return "ok"


def write(rng, model, name):
    """Put something else in the place of one of these weights or of another fitted attribute; return what."""
    layers = list(getattr(model, name))
    i = int(rng.integers(len(layers)))
    shape = list(layers[i].shape)
    choice = int(rng.integers(9))
    if choice < 3:
        shape[rng.integers(len(shape))] = int(rng.integers(0, 30))
        layers[i] = rng.standard_normal(shape)
    elif choice == 3:
        layers[i] = layers[i].astype(rng.choice(["f2", "f4", ">f8", "i4", "?", "c16", "O", "U"]))
    elif choice == 4:
        layers[i] = (None, 3.0, layers[i].tolist(), layers[i].ravel(), layers[i][None], layers[i].T)[rng.integers(6)]
    elif choice == 5:
        layers.pop(i)
    elif choice == 6:
        layers[i] = np.full(shape, rng.choice([np.nan, np.inf, 1e300]))
    elif choice == 7:
        model.classes_ = np.arange(rng.integers(1, 9))
    else:
        setattr(model, str(rng.choice(["n_features_in_", "n_outputs_", "n_layers_"])), int(rng.integers(0, 30)))
    setattr(model, name, layers)
    return f"{name}[{i}], way {choice}"


@attack(tries=60, timeout=240)
def written_weights(rng):
    """Weights of any shape and type that a user writes into a fitted estimator: it goes on, or says what is wrong."""
    n, d = int(rng.choice([3, 300])), int(rng.integers(2, 25))
    X, y = rng.standard_normal((n, d)), np.arange(n) % 3
    model = fastmlp.MLPClassifier((20,), max_iter=2, random_state=0, warm_start=True, solver=str(rng.choice(SOLVERS)))
    attempt("a fit", lambda: model.fit(X, y))
    what = ", ".join(write(rng, model, name) for name in ("coefs_", "intercepts_") if rng.integers(2))
    calls = {
        "predict": lambda: model.predict(X),
        "predict one": lambda: model.predict_proba(X[:1]),
        "fit": lambda: model.fit(X, y),
        "partial_fit": lambda: model.set_params(solver="adam").partial_fit(X, y),
        "a copy": lambda: pickle.loads(pickle.dumps(model)).predict(X),
        "to_sklearn": lambda: model.to_sklearn(),
        "MLP": lambda: fastmlp.MLP.from_sklearn(model).predict(X),
    }
    done = [attempt(f"{name} after {what}", calls[name])[1] is None for name in rng.permutation(list(calls))[:4]]
    return "ok" if any(done) else "clean refusal"


@attack(tries=3, timeout=120)
def interrupted_estimator(rng):
    """Thirty interrupts while one estimator is fitted again and again: it is whole, and then learns as ever."""
    long, solver = bool(rng.integers(2)), str(rng.choice(SOLVERS))
    X, y = make_data(rng, 20_000 if long else 300, 50)
    options = {"solver": solver, "n_iter_no_change": np.inf, "tol": 0, "random_state": 0}
    model = fastmlp.MLPClassifier((32,), max_iter=20 if long else 300, num_threads=int(rng.integers(1, 3)), **options)
    goes_on = solver != "lbfgs" and bool(rng.integers(2))
    what = f"{options}, {len(X)} rows{', partial_fit' * goes_on}"

    def fit(model=model):
        return attempt(what, lambda: model.fit(X, y))

    def work():
        return attempt(what, lambda: model.partial_fit(X, y, num_epochs=model.max_iter)) if goes_on else fit()

    fit()
    under_fire(work, rng.exponential(rng.choice([0.01, 0.1]), 30).tolist())
    if not np.all(np.isfinite(params_of(model))) or not np.all(np.isfinite(model.predict_proba(X))):
        raise DefectError("lost model", f"{what}: its weights are no numbers")
    twin = pickle.loads(pickle.dumps(model))
    need_same(f"{what}: predictions of a copy", twin.predict_proba(X), model.predict_proba(X))
    fit(model.set_params(max_iter=2))
    fit(other := fastmlp.MLPClassifier(**model.get_params()))
    need_same(f"{what}: fitted again", params_of(model), params_of(other))
    return "ok"


@attack(timeout=120)
def estimators_at_once(rng):
    """Threads that fit and predict with estimators of their own: all is what it is alone, to the bit."""
    X, y = make_data(rng, int(rng.choice([150, 5000])), 50)

    def fitted(i):
        model = fastmlp.MLPClassifier((32, 16), max_iter=3, random_state=i, solver=SOLVERS[i % 3]).fit(X, y)
        return np.append(params_of(model), model.predict_proba(X))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        alone = [fitted(i) for i in range(6)]

        def work(i):
            need_same(f"estimator {i}", fitted(i), alone[i])

        all_at_once([partial(work, i % 6) for i in range(12)])
    return "ok"
