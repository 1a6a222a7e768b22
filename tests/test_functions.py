"""The compiled functions against the reference: every name, dtype, awkward shape and memory layout."""

import copy
import inspect
import math
import re
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba.core.registry import CPUDispatcher
from support.cases import (
    ACTIVATIONS,
    CASES,
    DTYPES,
    LAYOUTS,
    LOSSES,
    MIXED,
    OPTIMIZERS,
    SEED,
    TINY,
    Case,
    HandComputed,
    arguments,
    arrange,
    network,
    targets,
)
from support.processes import run_python
from support.tolerances import assert_close, assert_nonzero

from fastmlp import jit, reference
from fastmlp.jit import elementwise, reductions, steps
from fastmlp.reference.optimizers import initial_state

SHARED = (
    "adamw",
    "dropout_masks",
    "elu",
    "gelu",
    "gradient_descent",
    "huber_loss",
    "identity",
    "leaky_relu",
    "matrix_multiply",
    "numerical_gradient",
    "relu",
    "rmsprop",
    "silu",
    "tanh",
)
COMPILED = tuple(sorted(set(reference.__all__) - set(SHARED)))


def dtypes(result):
    """Return the types of every array and number of a result, in its own nesting."""
    if isinstance(result, tuple | list):
        return [dtypes(part) for part in result]
    return result.dtype if isinstance(result, np.ndarray) else type(result)


def compare(name, args, kwargs, dtype=np.float64, factor=1.0):
    """Call both functions of a name; demand equal types, near values and untouched arguments."""
    before = copy.deepcopy(args)
    actual = getattr(jit, name)(*args, **kwargs)
    assert_close(args, before, dtype, 0)
    expected = getattr(reference, name)(*args, **kwargs)
    assert dtypes(actual) == dtypes(expected)
    assert_close(actual, expected, dtype, factor)
    return expected


# The set


def test_same_names():
    assert jit.__all__ == reference.__all__
    assert all(hasattr(jit, name) for name in jit.__all__)


@pytest.mark.parametrize("name", COMPILED)
def test_same_signatures(name):
    def shape_of(function):
        return [(p.name, p.kind, p.default) for p in inspect.signature(function).parameters.values()]

    assert getattr(jit, name) is not getattr(reference, name)
    assert shape_of(getattr(jit, name)) == shape_of(getattr(reference, name))


@pytest.mark.parametrize("name", SHARED)
def test_what_compiling_does_not_help_is_the_reference(name):
    assert getattr(jit, name) is getattr(reference, name)


# What help() tells


def sections(function):
    """Return the sections of a docstring by heading, the text before them under ""."""
    parts = re.split(r"^(\w+)\n-+\n", inspect.getdoc(function), flags=re.M)
    assert len(parts[1::2]) == len(set(parts[1::2]))
    return {"": parts[0].strip()} | {name: text.strip() for name, text in zip(parts[1::2], parts[2::2], strict=True)}


def entries(text):
    """Return {name: type} of a section of parameters or results."""
    found = re.findall(r"^(\w.*?) : (.+)$", text, re.M)
    return {name.strip(): kind for names, kind in found for name in names.split(",")}


def is_told(kind, value, sizes, shapes):
    """Whether a type in a docstring is that of a value; the letters of shapes are bound in `sizes`, as they come.

    `shapes` has the shapes of the arrays with a name, for "of the shape of params".
    """
    if "array" not in kind.split(" of ")[0]:
        kinds = {
            "float": float, "int": int, "callable": Callable, "tuple": tuple, "sequence": list, "list": list,
            "dict": dict, "{": str, "str": str, "bool": bool,
        }  # fmt: skip
        return any(kind.startswith(start) and isinstance(value, type_) for start, type_ in kinds.items())
    if match := re.match(r"(?:float or )?array of the shape of (\w+)$", kind):
        return np.shape(value) == shapes[match[1]] or (kind.startswith("float") and np.shape(value) == ())
    if kind == "array of any shape":
        return isinstance(value, np.ndarray)
    assert re.fullmatch(r"\([^)]+\)( or \([^)]+\))? array(, optional)?", kind), kind
    for shape in re.findall(r"\(([^)]+)\)", kind):
        letters = re.findall(r"\w+", shape)
        pairs = list(zip(letters, np.shape(value), strict=False))
        told = [1 if letter == "1" else sizes.get(letter, size) for letter, size in pairs]
        if len(letters) == np.ndim(value) and told == list(np.shape(value)):
            sizes |= {letter: size for letter, size in pairs if letter != "1"}
            return True
    return False


def call_of(name):
    """Return arguments for any function of the set, no two widths of which are the same."""
    rng = np.random.default_rng(SEED)
    if name == "gradient_descent":
        arrays = [rng.standard_normal(shape) for shape in ((7, 3), (7, 2), (3, 2), (1, 2))]
        return (*arrays, 0.1, 1, 4, reference.mse_loss, reference.sigmoid), {}
    if name == "numerical_gradient":
        X, y, params = rng.standard_normal((7, 3)), rng.standard_normal((7, 2)), {"W": rng.standard_normal((3, 2))}
        return (X, y, params, reference.mse_loss, lambda X, params: X @ params["W"], 1e-4), {}
    return arguments(name, Case(7, (6, 4, 3)), np.float64)


@pytest.mark.parametrize("module", [reference, jit], ids=["reference", "jit"])
@pytest.mark.parametrize("name", reference.__all__)
def test_help_tells_shapes_formula_and_source(name, module):
    function = getattr(module, name)
    told = sections(function)
    assert re.search(r"[=←]", told[""]), "the formula"
    assert re.search(r"\b(19|20)\d\d\b", told["References"]), "the source"

    args, kwargs = call_of(name)
    given = inspect.signature(function).bind(*args, **kwargs)
    given.apply_defaults()
    parameters, sizes = entries(told["Parameters"]), {}
    assert list(parameters) == list(given.arguments)
    shapes = {name: np.shape(value) for name, value in given.arguments.items() if isinstance(value, np.ndarray)}
    for parameter, value in given.arguments.items():
        assert value is None or is_told(parameters[parameter], value, sizes, shapes), parameter

    result = function(*args, **kwargs)
    returned = entries(told["Returns"])
    values = result if isinstance(result, tuple) else (result,)
    for (what, kind), value in zip(returned.items(), values, strict=True):
        assert is_told(kind, value, sizes, shapes), what
    assert set(sizes) <= {"n", "d", "h", "h1", "h2", "k"}
    assert len(set(sizes.values())) == len(sizes)


@pytest.mark.parametrize(
    "kind", ["(n, k) array", "(n,) array", "(1, k) or (k,) array", "float", "array of the shape of Z"]
)
def test_a_shape_that_is_told_wrong_is_seen(kind):
    assert not is_told(kind, np.zeros((4, 3)), {"n": 5, "k": 3}, {"Z": (3, 4)})
    assert is_told("(n, k) array", np.zeros((4, 3)), {"k": 3}, {})


@pytest.mark.parametrize("name", COMPILED)
def test_the_compiled_functions_have_the_text_of_the_reference(name):
    told, specified = sections(getattr(jit, name)), sections(getattr(reference, name))
    notes = told.pop("Notes")
    assert told == specified
    assert re.match(r"Compiled\. \w+ .*\.$", notes)


def test_without_docstrings():
    """As with python -OO."""
    code = "import fastmlp.jit as j; print(j.softmax.__doc__, j.sigmoid([0.0]))"
    assert run_python(code, PYTHONOPTIMIZE="2") == "None [0.5]"


# Values


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", COMPILED)
def test_every_name_and_shape(name, dtype, case):
    args, kwargs = arguments(name, case, dtype)
    expected = compare(name, args, kwargs, dtype)
    if name != "normalize" or case.n > 1:  # one row is its own mean
        assert_nonzero(expected)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", COMPILED)
def test_every_name_and_layout(name, dtype, layout):
    args, kwargs = arguments(name, CASES[4], dtype)
    arranged = arrange(args, layout)
    assert_nonzero(compare(name, arranged, kwargs, dtype))
    assert_close(getattr(jit, name)(*arranged, **kwargs), getattr(jit, name)(*args, **kwargs), dtype)


@pytest.mark.parametrize("sample_weight", [None, "float", "int"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", [*ACTIVATIONS, *MIXED])
def test_every_activation_and_loss(activation, loss, dtype, sample_weight):
    case = CASES[6]
    X, y, params = network(SEED, case, dtype, loss)
    weight = {
        None: None,
        "float": np.linspace(0.5, 2, case.n).astype(dtype),
        "int": np.arange(1, case.n + 1),
    }[sample_weight]
    options = {"activation": activation, "loss": loss}
    activations = compare("forward", (X, params), options, dtype)
    options["sample_weight"] = weight
    assert_nonzero(compare("backward", (X, activations, y, params), options, dtype))
    value, gradients = compare("loss_and_gradients", (X, y, params), options, dtype)
    assert value > 0
    assert_nonzero(gradients)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", LOSSES)
def test_rows_without_weight_have_no_loss_and_no_gradient(loss, dtype):
    case = CASES[6]
    X, y, params = network(SEED, case, dtype, loss)
    options = {"loss": loss, "sample_weight": np.zeros(case.n)}
    activations = compare("forward", (X, params), {"loss": loss}, dtype)
    value, gradients = compare("loss_and_gradients", (X, y, params), options, dtype)
    assert value == 0
    for layer in (*gradients, *compare("backward", (X, activations, y, params), options, dtype)):
        for gradient in layer:
            assert not np.any(gradient)


@pytest.mark.parametrize("decay", [0.0, 0.3, "vector"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_over_many_steps(name, dtype, decay):
    (start, _, _), _ = arguments(name, CASES[4], dtype)
    if decay == "vector":
        decay = np.where(np.arange(len(start)) % 2, 0, 0.3).astype(dtype)
    paths = {}
    for module in (jit, reference):
        rng = np.random.default_rng(SEED)
        params, state = start, initial_state(name, start)
        for _ in range(20):
            grads = rng.standard_normal(len(start)).astype(dtype)
            params, state = getattr(module, name)(params, grads, state, lr=0.05, weight_decay=decay)
        paths[module] = params, state
    assert_close(paths[jit], paths[reference], dtype)
    assert np.mean(np.abs(paths[jit][0] - start)) > 0.01


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_keep_the_shape_of_a_matrix(name):
    (params, grads, state), kwargs = arguments(name, CASES[0], np.float64)
    reshaped = [array.reshape(2, -1) if array.size > 1 else array for array in (params, grads, *state)]
    compare(name, (reshaped[0], reshaped[1], tuple(reshaped[2:])), kwargs)


@pytest.mark.parametrize("name", COMPILED)
def test_integers(name):
    """Integer data against float parameters, and integers alone."""
    args, kwargs = arguments(name, TINY, np.float64)
    if name in ("sigmoid", "softmax", "normalize", "mse_loss", "cross_entropy", "binary_cross_entropy"):
        args = tuple(np.rint(2 * array).astype(np.int64) for array in args)
        if name.endswith("entropy"):
            args = (np.minimum(np.abs(args[0]), 1), np.minimum(np.abs(args[1]), 1))
    elif name in OPTIMIZERS:
        args = (args[0], np.rint(args[1]).astype(np.int64), args[2])
    else:
        args = (np.rint(5 * args[0]).astype(np.int64), *args[1:])
    assert_nonzero(compare(name, args, kwargs))


def test_integer_parameters():
    X, y = np.array([[1, 2], [3, 4], [5, 7]]), np.array([[1, 0], [0, 1], [0, 1]])
    params = [(np.array([[1, -1], [2, 1]]), np.array([0, 1])), (np.array([[1, 0], [-1, 1]]), np.array([1, 2]))]
    for loss in LOSSES:
        _, gradients = compare("loss_and_gradients", (X, y, params), {"loss": loss})
        assert_nonzero(gradients[1])


@pytest.mark.parametrize("label_type", [bool, np.uint8, np.int64, np.float64])
def test_labels_of_another_type(label_type):
    X, y, params = network(SEED, TINY, np.float32)
    compare("loss_and_gradients", (X, y.astype(label_type), params), {}, np.float32)


def test_half_precision_is_calculated_in_float64():
    Z = np.array([[1, 2, 3]], np.float16)
    assert jit.softmax(Z).dtype == np.float64
    assert_close(jit.softmax(Z), reference.softmax(Z.astype(np.float64)))


@pytest.mark.parametrize("name", ["mse_loss", "binary_cross_entropy"])
def test_losses_broadcast_like_the_reference(name):
    A, y = np.array([[0.2], [0.6]]), np.array([[1.0, 0, 1]])
    assert compare(name, (A, y), {}) > 0.1


def test_arrays_that_do_not_fit_are_refused():
    X, y, params = network(SEED, TINY, np.float64)
    with pytest.raises(ValueError, match="broadcast"):
        jit.loss_and_gradients(X, y[:, :1].repeat(3, axis=1), params)
    with pytest.raises(ValueError, match="broadcast"):
        jit.loss_and_gradients(X, y, params, sample_weight=np.ones(7))
    with pytest.raises(ValueError, match="broadcast"):
        jit.forward(X, [(params[0][0], np.ones(3))])
    with pytest.raises(ValueError, match="broadcast"):
        jit.mse_loss(X, X[:2])
    with pytest.raises(ValueError, match="broadcast"):
        jit.sgd(np.ones(3), np.ones(2), lr=0.1)


@pytest.mark.parametrize("functions", [reference, jit])
@pytest.mark.parametrize(
    ("activation", "message"),
    [
        ("swish", r"^activation must be one of 'relu', .*, got 'swish'$"),
        (["relu", "logistic"], r"^activation\[1\] must be one of .*, got 'logistic'; here it is 'sigmoid'$"),
        (["relu"], r"^activation must be one name, or one for each hidden layer \(2\), got 1$"),
        (("relu", "tanh", "elu"), r"^activation must be one name, or one for each hidden layer \(2\), got 3$"),
        (None, r"^activation must be one of .*, got None$"),
    ],
)
def test_activations_that_do_not_fit_are_refused(functions, activation, message):
    X, y, params = network(SEED, TINY, np.float64)
    activations = functions.forward(X, params)
    for name, others in (("forward", ()), ("backward", (activations, y)), ("loss_and_gradients", (y,))):
        with pytest.raises(ValueError, match=message):
            getattr(functions, name)(X, *others, params, activation)


def test_the_hand_computed_network():
    h = HandComputed
    assert_close(jit.forward(h.X, h.params), [h.A1, h.A2, h.A3])
    loss, gradients = jit.loss_and_gradients(h.X, h.y, h.params)
    assert_close(loss, h.loss)
    assert_close(gradients, h.gradients)
    assert_close(
        jit.backward_mlp_3layer(h.X, h.A1, h.A2, h.A3, h.y, h.W1, h.W2, h.W3, h.Z1, h.Z2),
        tuple(gradient for layer in h.gradients for gradient in layer),
    )


# Extremes


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", [loss for loss in LOSSES if loss != "poisson"])  # whose e^z overflows
def test_extreme_logits(loss, dtype):
    X = np.array([[1e4, -1e4, 0], [-1e4, 1e4, 3], [0, 0, -1e4]], dtype)
    y = targets(np.random.default_rng(SEED), Case(3, (3, 3)), dtype, loss)
    params = [(np.eye(3, dtype=dtype), np.zeros(3, dtype))]
    compare("softmax", (X,), {}, dtype)
    compare("sigmoid", (X,), {}, dtype)
    value, gradients = compare("loss_and_gradients", (X, y, params), {"loss": loss}, dtype)
    assert value > 1
    assert_nonzero(gradients)


@pytest.mark.parametrize("z", [-1e300, -750.0, -708.5, -707.5, -40.0, -1e-300, 0.0, 5e-324, 36.0, 709.0, 1e300])
def test_sigmoid_far_out(z):
    assert jit.sigmoid(np.array([z]))[0] == pytest.approx(reference.sigmoid(np.array([z]))[0], rel=1e-14, abs=1e-307)


def test_sigmoid_is_exact_to_rounding_everywhere():
    Z = np.linspace(-700, 40, 100_001)
    assert np.max(np.abs(jit.sigmoid(Z) / reference.sigmoid(Z) - 1)) <= 2 * np.finfo(np.float64).eps


def test_softplus_is_exact_to_rounding_everywhere():
    """ln(1 + e^z) through the loss of one output with target 0."""
    identity = [(np.ones((1, 1)), np.zeros(1))]
    for z in np.linspace(-600, 40, 641):
        value, _ = jit.loss_and_gradients(np.array([[z]]), np.zeros((1, 1)), identity, loss="binary_cross_entropy")
        assert value == pytest.approx(max(z, 0) + math.log1p(math.exp(-abs(z))), rel=1e-15)


def test_a_confident_mistake_keeps_its_loss():
    """Its probability is 0 in float32, its cross-entropy is not infinite, nor cut off at -ln ε."""
    X, y = np.array([[0, 300]], np.float32), np.array([[1, 0]], np.float32)
    value, _ = jit.loss_and_gradients(X, y, [(np.eye(2, dtype=np.float32), np.zeros(2, np.float32))])
    assert value == pytest.approx(300)


@pytest.mark.parametrize("dtype", DTYPES)
def test_nan_and_infinity_come_through(dtype):
    Z = np.array([[0, np.nan, 1], [1, 2, 3]], dtype)
    assert np.isnan(jit.softmax(Z)).tolist() == [[True] * 3, [False] * 3]
    assert np.isnan(jit.sigmoid(Z)).tolist() == np.isnan(Z).tolist()
    assert jit.sigmoid(np.array([-np.inf, np.inf], dtype)) == pytest.approx([0, 1], abs=1e-307)
    eye = np.eye(3, dtype=dtype), np.zeros(3, dtype)
    assert np.isnan(jit.forward(Z, [eye, eye])[0]).tolist() == [[True] * 3, [False] * 3]  # NaN × 0 is NaN in X W
    for loss in LOSSES:
        value, gradients = jit.loss_and_gradients(Z, np.eye(3, dtype=dtype)[:2], [eye], loss=loss)
        assert math.isnan(value)
        assert np.isnan(gradients[0][1]).any()
    for name in ("mse_loss", "cross_entropy", "binary_cross_entropy"):
        assert math.isnan(getattr(jit, name)(Z, np.eye(3, dtype=dtype)[:2]))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("value", [0.0, 0.1, -1e-3, 1e6])
def test_a_constant_column_becomes_zero(dtype, value):
    X = np.full((500, 2), value, dtype)
    X[:, 1] = np.arange(500)
    result = jit.normalize(X)
    assert not np.any(result[:, 0])
    assert_close(result[:, 1], reference.normalize(X)[:, 1], dtype)


# Properties


@st.composite
def networks(draw):
    """Any architecture, batch, activation, loss, dtype and bias shape, with or without sample weights."""
    depth = draw(st.integers(0, 6))
    widths = tuple(draw(st.lists(st.integers(1, 40), min_size=depth + 2, max_size=depth + 2)))
    dtype, loss = draw(st.sampled_from(DTYPES)), draw(st.sampled_from(LOSSES))
    case, seed = Case(draw(st.integers(1, 70)), widths), draw(st.integers(0, 2**32 - 1))
    X, y, params = network(seed, case, dtype, loss, flat_bias=draw(st.booleans()))
    weight = np.random.default_rng(seed).random(case.n) + 0.1 if draw(st.booleans()) else None
    name = st.sampled_from(ACTIVATIONS)
    activations = name | st.lists(name, min_size=depth, max_size=depth)
    options = {"activation": draw(activations), "loss": loss, "sample_weight": weight}
    return (X, y, params), options, dtype, draw(st.sampled_from(list(LAYOUTS)))


def arrays(result):
    """Return the arrays and numbers of a result, one after the other, in float64."""
    if isinstance(result, tuple | list):
        return [array for part in result for array in arrays(part)]
    return [np.asarray(result, np.float64)]


def spread(X, y, params, options, dtype):
    """How far each array of the reference's result moves when inputs move by up to 4 eps: what rounding may cost."""
    rng, step = np.random.default_rng(SEED), 4 * np.finfo(dtype).eps

    def moved(A):
        return (A * (1 + step * rng.uniform(-1, 1, A.shape))).astype(A.dtype)

    results = [
        arrays(reference.loss_and_gradients(moved(X), y, [(moved(W), moved(b)) for W, b in params], **options))
        for _ in range(10)
    ]
    exact = arrays(reference.loss_and_gradients(X, y, params, **options))
    return [max(np.max(np.abs(r - e)) for r in near) for e, *near in zip(exact, *results, strict=True)]


@settings(deadline=None, max_examples=100, derandomize=True, database=None)
@given(networks())
def test_any_network(drawn):
    """Where numbers cancel, errors are large beside them. Half of this bound is the largest seen in 6,000 draws."""
    (X, y, params), options, dtype, layout = drawn
    args = arrange((X, y, params), layout)
    actual, expected = (module.loss_and_gradients(*args, **options) for module in (jit, reference))
    assert dtypes(actual) == dtypes(expected)
    moves = spread(X, y, params, options, dtype)
    for mine, wanted, move in zip(arrays(actual), arrays(expected), moves, strict=True):
        bound = 2 * (16 * np.finfo(dtype).eps * np.max(np.abs(wanted)) + move)
        assert np.max(np.abs(mine - wanted)) <= bound


# The compiler


def kernels():
    """Return every compiled function by its name."""
    modules = (elementwise, reductions, steps)
    return {name: f for module in modules for name, f in vars(module).items() if isinstance(f, CPUDispatcher)}


def entry_points():
    """Return the kernels that Python calls; the others are parts of them."""
    return {name: f for name, f in kernels().items() if not name.startswith("_") or name.startswith("_step")}


def test_each_kernel_is_compiled_and_only_once_for_each_dtype():
    """Whatever the layout: compiling takes tenths of a second, so a read-only or strided array must not cost it."""
    for name in COMPILED:
        for dtype in DTYPES:
            for layout in LAYOUTS:
                args, kwargs = arguments(name, TINY, dtype)
                getattr(jit, name)(*arrange(args, layout), **kwargs)
                if name in OPTIMIZERS:
                    getattr(jit, name)(*args, lr=0.1, weight_decay=np.ones_like(args[0]))
    assert len(entry_points()) == 13
    for name, kernel in entry_points().items():
        assert kernel.nopython_signatures, f"{name} never ran compiled"
        assert len(kernel.nopython_signatures) <= (4 if name.startswith("_step") else 2), name


def test_without_the_compiler():
    code = """
import test_functions as t
assert not t.kernels()
for name in t.COMPILED:
    for dtype in t.DTYPES:
        t.compare(name, *t.arguments(name, t.TINY, dtype), dtype)
for activation in t.ACTIVATIONS:
    for loss in t.LOSSES:
        options = {"activation": activation, "loss": loss}
        t.compare("loss_and_gradients", t.network(1, t.TINY, t.np.float32, loss), options, t.np.float32)
print("ran")
"""
    assert run_python(code, NUMBA_DISABLE_JIT="1") == "ran"
