"""Run the tests that the installed scikit-learn has for its multilayer perceptrons, with fastmlp's in their place.

    python scripts/sklearn_tests.py [options of pytest]

The names in `sklearn.neural_network` are replaced before the tests are imported.
"""

import os
import sys

import pytest
import sklearn.neural_network

import fastmlp

TESTS = "sklearn.neural_network.tests.test_mlp"
PRIVATE = ("test_gradient",)
"""What tests a private function of scikit-learn's."""


class Replacement:
    """A plugin that puts the estimators in scikit-learn's place and has a look at whether the tests have them."""

    def pytest_configure(self) -> None:
        for name in ("MLPClassifier", "MLPRegressor"):
            setattr(sklearn.neural_network, name, getattr(fastmlp, name))

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        assert all(item.module.MLPClassifier is fastmlp.MLPClassifier for item in items)  # type: ignore[attr-defined]
        for item in items:
            if item.name in PRIVATE:
                item.add_marker(pytest.mark.xfail(reason="calls _loss_grad_lbfgs", raises=AttributeError, strict=True))


def main(options: list[str]) -> int:
    """Run the tests, and return pytest's exit code."""
    return pytest.main(["-c", os.devnull, "-p", "no:cacheprovider", "--pyargs", TESTS, *options], [Replacement()])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
