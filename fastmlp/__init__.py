"""Train multilayer perceptrons on a CPU, fast, with a plain-NumPy reference that proves every number.

The public names are loaded on first use: ``import fastmlp`` itself imports neither NumPy, Numba, scikit-learn nor
Matplotlib.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from fastmlp.forks import held_off

if TYPE_CHECKING:
    from fastmlp import callbacks, datasets, display, jit, reference
    from fastmlp.comparison import Comparison, compare
    from fastmlp.estimators import MLPClassifier, MLPRegressor
    from fastmlp.flow import gradient_flow
    from fastmlp.history import History
    from fastmlp.network import MLP
    from fastmlp.precompilation import warmup
    from fastmlp.training import train

__version__ = "0.1.0"

_MODULES = {"callbacks", "datasets", "display", "jit", "reference"}
_NAMES = {
    "Comparison": "fastmlp.comparison",
    "History": "fastmlp.history",
    "MLP": "fastmlp.network",
    "MLPClassifier": "fastmlp.estimators",
    "MLPRegressor": "fastmlp.estimators",
    "compare": "fastmlp.comparison",
    "gradient_flow": "fastmlp.flow",
    "train": "fastmlp.training",
    "warmup": "fastmlp.precompilation",
}
__all__ = [
    "MLP",
    "Comparison",
    "History",
    "MLPClassifier",
    "MLPRegressor",
    "callbacks",
    "compare",
    "datasets",
    "display",
    "gradient_flow",
    "jit",
    "reference",
    "train",
    "warmup",
]


def __getattr__(name: str) -> object:
    if name in _MODULES:
        with held_off():
            return import_module(f"fastmlp.{name}")
    if name in _NAMES:
        with held_off():
            value = getattr(import_module(_NAMES[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'fastmlp' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
