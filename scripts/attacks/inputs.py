"""Inputs of every kind: both backends have to agree with each other and with plain numbers, or both have to refuse."""

import warnings

import numpy as np
from scipy.sparse import coo_array, csr_array, csr_matrix

import fastmlp
from attacks import DefectError, attack
from attacks.training import QUIET, SMALL, TOLERANCE, is_clear, need_near, need_same

VALID, INVALID, EITHER = "valid", "invalid", "either"


def numbers(rng, n, d):
    """Small numbers (n, d) that every type holds: dense, mostly one value, constant columns, or counts."""
    kind = rng.integers(4)
    X = rng.integers(1, 9, (n, d))
    if kind == 1:
        X *= rng.random((n, d)) < 0.2
    elif kind == 2:
        X[:, ::2] = 3
    elif kind == 3:
        X = 8 - X * (rng.random((n, d)) < 0.2)
    return X


# ---- features: each function returns (X, what it means in plain numbers, whether it has to be accepted)


def any_dtype(rng, plain):
    name = rng.choice(["?", "b", "B", "h", "H", "i", "I", "l", "L", "e", "f", "d", "g"])
    X = plain.astype(name)
    return X, X.astype(float), VALID


def other_byte_order(rng, plain):
    return plain.astype(rng.choice([">f4", ">f8", ">i4", ">u2", ">i8"])), plain, VALID


def read_only(rng, plain):
    X = plain.astype(rng.choice(["f", "d", "B"]))
    X.flags.writeable = False
    return X, plain, VALID


def any_strides(rng, plain):
    n, d = plain.shape
    wide = np.full((2 * n + 3, 2 * d + 3), 77, rng.choice(["f", "d", "B"]))
    rows, columns = (slice(*s) for s in ((1, 2 * n + 1, 2), (0, 2 * d, 2)))
    choice = rng.integers(5)
    if choice == 0:
        view = wide[rows, columns]
    elif choice == 1:
        view = wide[rows, 1 : d + 1]
    elif choice == 2:
        view = wide[:n, :d][::-1]
    elif choice == 3:
        view = wide.T[:d, :n].T[:, ::-1]
    else:
        view = np.asfortranarray(wide[:n, :d])
    view[...] = plain
    return view, plain, VALID


def unaligned(rng, plain):
    packed = np.zeros(len(plain), [("flag", "u1"), ("x", "f8", (plain.shape[1],))])
    packed["x"] = plain
    return packed["x"], plain, VALID


def nested_lists(rng, plain):
    return plain.tolist(), plain, VALID


def what_only_has_array(rng, plain):
    class Table:
        def __array__(self, dtype=None, copy=None):
            return np.array(plain, dtype)

    return Table(), plain, VALID


def matrix_subclass(rng, plain):
    class Tagged(np.ndarray):
        pass

    return plain.view(Tagged), plain, VALID


def memory_mapped(rng, plain):
    mapped = np.memmap("features", rng.choice(["f4", "f8", "u1"]), "w+", shape=plain.shape)
    mapped[...] = plain
    mapped.flush()
    return np.memmap("features", mapped.dtype, "r", shape=plain.shape), plain, VALID


def far_from_zero(rng, plain):
    """Time stamps: the differences are what counts."""
    X = plain + 1.7e9
    return X, X, VALID


def masked(rng, plain):
    mask = rng.random(plain.shape) < 0.1
    return np.ma.array(plain, mask=mask), plain, INVALID if mask.any() else EITHER


def not_finite(rng, plain):
    X = plain.astype(rng.choice(["f", "d", "e"]))
    X[tuple(rng.integers(X.shape))] = rng.choice([np.nan, np.inf, -np.inf])
    return X, plain, INVALID


def huge(rng, plain):
    X = plain * rng.choice([1e30, 1e150, 1e300])
    return X, X, EITHER


def no_numbers(rng, plain):
    choices = (plain.astype(str), plain.astype(complex), plain.astype("M8[s]"), [*plain.tolist(), "x"])
    return choices[rng.integers(len(choices))], plain, INVALID


def wrong_shape(rng, plain):
    choices = plain[0], plain[None], plain[:0], plain[:, :0], np.float64(3), None
    return choices[rng.integers(len(choices))], plain, INVALID


def csr(rng, plain):
    X = (csr_array, csr_matrix)[rng.integers(2)](plain.astype(rng.choice(["f", "d", "B", "i", "?"])))
    X.indices, X.indptr = (part.astype(rng.choice(["i4", "i8"])) for part in (X.indices, X.indptr))
    return X, X.toarray().astype(float), VALID


def csr_not_canonical(rng, plain):
    entries = coo_array(plain)
    again = rng.integers(entries.nnz, size=5) if entries.nnz else []
    rows, columns = (np.append(part, part[again]) for part in entries.coords)
    order = rng.permutation(len(rows))
    order = order[np.argsort(rows[order], kind="stable")]
    values = np.append(entries.data, entries.data[again]).astype(float)
    values[: rng.integers(4)] = 0
    indptr = np.append(0, np.cumsum(np.bincount(rows, minlength=len(plain))))
    X = csr_array((values[order], columns[order], indptr), shape=plain.shape)
    return X, X.toarray(), VALID


def csr_of_other_byte_order(rng, plain):
    X = csr_array(plain.astype(float))
    X.data = X.data.astype(rng.choice([">f4", ">f8", ">i4"]))
    return X, plain, VALID


def csr_damaged(rng, plain):
    X = csr_array(np.maximum(plain, 1).astype(float))
    choice = rng.integers(9)
    if choice == 0:
        X.data = X.data[: rng.integers(X.nnz)]
    elif choice == 1:
        X.indices = X.indices[: rng.integers(X.nnz)]
    elif choice == 2:
        X.indices[rng.integers(X.nnz)] = rng.choice([-1, -(2**31), X.shape[1], 2**31 - 1])
    elif choice == 3:
        X.indptr[rng.integers(len(X.indptr) - 1)] += 2**20
    elif choice == 4:
        X.indptr[-1] += rng.choice([1, 2**20, -(2**20)])
    elif choice == 5:
        X.indptr = X.indptr[:-1]
    elif choice == 6:
        X.indices = X.indices.astype(float) + 0.5
    elif choice == 7:
        X.indices = X.indices.reshape(1, -1)
    else:
        X.data[rng.integers(X.nnz)] = rng.choice([np.nan, np.inf])
    return X, plain, INVALID


FEATURES = (
    any_dtype, other_byte_order, read_only, any_strides, unaligned, nested_lists, what_only_has_array, matrix_subclass,
    memory_mapped, far_from_zero, masked, not_finite, huge, no_numbers, wrong_shape, csr, csr_not_canonical,
    csr_of_other_byte_order, csr_damaged,
)  # fmt: skip


def content(X):
    """What of X must not change."""
    if isinstance(X, (csr_array, csr_matrix)):
        return [part.tobytes() for part in (X.data, X.indices, X.indptr)]
    return [X.tobytes() if isinstance(X, np.ndarray) else repr(X) if isinstance(X, list) else b""]


def attempt(what, X, y, backend, **options):
    """Return (model, None), or (None, error) after a refusal."""
    before = content(X)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = fastmlp.train(X, y, backend=backend, **QUIET, **(SMALL | options))
    except Exception as error:
        if not is_clear(error):
            raise DefectError("unclear error", f"{what}, {backend}: {type(error).__name__}: {error}") from error
        model = error
    if content(X) != before:
        raise DefectError("difference", f"{what}: {backend} changed what it was given")
    return (None, model) if isinstance(model, Exception) else (model, None)


def both(what, X, y, **options):
    """Train on both backends; return (the two networks, None), or (None, what both said alike)."""
    (jit, refusal), (reference, other) = (attempt(what, X, y, backend, **options) for backend in ("jit", "reference"))
    if (jit is None) != (reference is None) or str(refusal) != str(other):
        raise DefectError("difference", f"{what}: jit says {refusal or jit}, the reference {other or reference}")
    if jit is None:
        return None, refusal
    tolerance = TOLERANCE[str(jit.params.dtype)]
    if options.get("optimizer") == "adam":  # makes steps of up to lr even of rounding errors, where a gradient is 0
        tolerance = max(tolerance, options.get("lr") or 0.001)
    need_near(f"{what}: parameters of the backends", jit.params, reference.params, tolerance)
    need_near(f"{what}: losses of the backends", jit.history.loss, reference.history.loss, tolerance)
    return (jit, reference), None


def judge(what, networks, refusal, expected):
    """Return the outcome where both backends did the same."""
    if networks is None and expected == VALID:
        raise DefectError("difference", f"{what}: refused, and nothing is wrong: {refusal}")
    if networks is not None and expected == INVALID:
        raise DefectError("difference", f"{what}: accepted without a word")
    return "clean refusal" if networks is None else "ok"


@attack(tries=40, timeout=240)
def features(rng):
    """Features of every type, layout and container, valid and not."""
    n, d = int(rng.choice([1, 2, rng.integers(3, 150)])), int(rng.choice([1, 2, 7, rng.integers(3, 70)]))
    form = FEATURES[rng.integers(len(FEATURES))]
    X, plain, expected = form(rng, numbers(rng, n, d).astype(float))
    normalize = str(rng.choice(["none", "zscore"]))
    what = f"{form.__name__} {getattr(X, 'dtype', '')} {n}x{d}, {normalize}"
    options = {"normalize": None if normalize == "none" else normalize, "batch_size": int(rng.choice([1, 16, 64]))}
    if n * d > 0 and form in (csr, csr_not_canonical, csr_of_other_byte_order, csr_damaged):
        options["normalize"] = None
    y = np.arange(n) % 2 if n > 1 and rng.integers(2) else rng.standard_normal(n)
    networks, refusal = both(what, X, y, **options)
    outcome = judge(what, networks, refusal, expected)
    if networks is None or form is huge:
        return outcome
    jit, reference = networks
    if expected == VALID and form is not far_from_zero:
        need_near(f"{what}: a training on plain numbers", attempt(what, plain, y, "reference", **options)[0].params,
                  reference.params, 1e-3)  # fmt: skip
    Z = jit.logits(X)
    need_near(f"{what}: logits of the backends", Z, reference.logits(X), 1e-6)
    if n > 1 and isinstance(X, np.ndarray):
        o = int(rng.integers(n))
        need_near(f"{what}: one row by itself", jit.logits(X[o : o + 1])[0], Z[o], 1e-6)
    return outcome


@attack(tries=25, timeout=240)
def precision(rng):
    """Features in one type at the training and in another at the prediction."""
    n, d = 100, 6
    offset = rng.choice([0.0, 1000.0])
    X = rng.standard_normal((n, d)) + offset
    first, then = rng.choice(["float32", "float64"], 2)
    options = {"normalize": "zscore" if rng.integers(2) else None, "lr": 1e-3 if not offset else 1e-7}
    networks, _ = both(f"{first} at {offset:g}", X.astype(first), np.arange(n) % 3, **options)
    jit, reference = networks
    need_near(f"logits of {then} after {first} near {offset:g}", jit.logits(X.astype(then)),
              reference.logits(X.astype(then)), 1e-7)  # fmt: skip
    return "ok"


@attack(tries=25, timeout=240)
def options(rng):
    """Options at random: the backends agree, and any number of threads gives the same bits."""
    n, d = int(rng.integers(1, 200)), int(rng.integers(1, 40))
    X = numbers(rng, n, d).astype(rng.choice(["f", "d", "B"]))
    chosen = {
        "hidden": ((), (1,), (9, 2), (70,))[rng.integers(4)],
        "batch_size": int(rng.choice([1, 7, 64, 65, 1000])),
        "optimizer": str(rng.choice(["sgd", "adam"])),
        "lr": 1e-3,
        "weight_decay": float(rng.choice([0, 0.1])),
        "normalize": (None, "unit", "zscore", "auto")[rng.integers(4)],
        "sample_weight": (None, rng.random(n), rng.integers(0, 2, n), -rng.random(n), np.zeros(n))[rng.integers(5)],
        "shuffle": bool(rng.integers(2)),
        "epoch_loss": str(rng.choice(["running", "full"])),
    }
    y = np.arange(n) % 3 if n > 2 and rng.integers(2) else rng.standard_normal((n, 2))
    what = f"{n}x{d} {X.dtype}, {chosen}"
    weights = chosen["sample_weight"]
    wrong = weights is not None and (not np.any(weights > 0) or np.any(weights < 0))
    networks, refusal = both(what, X, y, **chosen)
    outcome = judge(what, networks, refusal, INVALID if wrong else VALID)
    if networks is not None:
        threads = int(rng.choice([2, 3, 8, 50]))
        again, _ = attempt(what, X, y, "jit", **chosen, num_threads=threads)
        need_same(f"{what}: {threads} threads", again.params, networks[0].params)
    return outcome


@attack(tries=4, timeout=120)
def callback_that_writes(rng):
    """A callback that writes nonsense into the CSR matrix that is trained on."""
    X = csr_array(numbers(rng, 300, 30).astype(np.float32))

    def write(model, history):
        part = (X.indices, X.indptr)[rng.integers(2)]
        part[...] = rng.integers(-(2**30), 2**30, len(part))

    try:
        fastmlp.train(X, np.arange(300) % 3, callbacks=[write], **QUIET, **(SMALL | {"num_epochs": 4}))
    except Exception as error:
        if not is_clear(error):
            raise
        return "clean refusal"
    return "ok"
