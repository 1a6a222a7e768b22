"""Write scripts/gallery/README.md and its figures, all from the embedded MNIST digits.

python scripts/gallery.py
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

import fastmlp
from fastmlp.display import (
    ActivationHistogramDisplay,
    EpochTimeDisplay,
    FiltersDisplay,
    GradientFlowDisplay,
    WeightHistogramDisplay,
    plot_confusion_matrix,
)

FOLDER = Path(__file__).resolve().parent / "gallery"
HEAD = """# Gallery

Every figure is of the embedded MNIST digits, 784-256-128-10, and comes with the line that draws it; `model` is what
`fastmlp.train(..., track_gradients="first_epoch")` returned, and the displays are those of `fastmlp.display`.
`python scripts/gallery.py` writes this page.
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Train, draw every figure and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", choices=("jit", "reference"), default="jit")
    parser.add_argument("--samples", type=int, default=5000)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    arguments = parser.parse_args(argv)
    matplotlib.use("agg")

    X, y = fastmlp.datasets.load_mnist(arguments.samples)
    split = int(0.8 * len(X))
    X_test, y_test = X[split:], y[split:]

    def train(backend: str, **options: Any) -> Any:
        return fastmlp.train(
            X[:split],
            y[:split],
            validation_data=(X_test, y_test),
            hidden=(256, 128),
            optimizer="sgd",
            lr=0.1,
            num_epochs=arguments.epochs,
            normalize="unit",
            track_gradients="first_epoch",
            backend=backend,
            seed=0,
            verbose=False,
            **{"init": "he"} | options,
        )

    model = train(arguments.backend)
    calm = train(arguments.backend, init=0.01)
    histories = {backend: train(backend).history for backend in ("reference", "jit")}
    flow = fastmlp.gradient_flow(
        X, y, optimizer="sgd", lr=0.1, num_epochs=3, normalize="unit", seed=0, backend=arguments.backend
    )
    activations = ActivationHistogramDisplay.from_estimator(model, X_test)
    accuracy, (first, *_, last) = model.history.val_accuracy[-1], model.history.gradient_magnitude[-1]
    zeros = " and ".join(f"{np.mean(values == 0):.0%}" for values in activations.values)
    figures: list[tuple[str, str, str, Callable[[], Any]]] = [
        ("history", "model.history.plot()",
         f"Loss and accuracy over epochs; the last test accuracy is {accuracy:.4f}.", model.history.plot),
        ("gradients", "GradientFlowDisplay.from_history(model.history).plot()",
         f"Mean |gradient| of each layer over epochs: in the end {first:.1e} in the first, {last:.1e} in the last.",
         GradientFlowDisplay.from_history(model.history).plot),
        ("first-epoch", "GradientFlowDisplay.from_history(model.history, first_epoch=True).plot()",
         "The same for every batch of the first epoch.",
         GradientFlowDisplay.from_history(model.history, first_epoch=True).plot),
        ("gradient-flow", "fastmlp.gradient_flow(X, y).plot()",
         f"Gradients against depth, activation and initialisation: {flow.reading}; {flow.outcome}.",
         flow.plot),
        ("weights", "WeightHistogramDisplay.from_estimator(model).plot()",
         "The weights of each layer.", WeightHistogramDisplay.from_estimator(model).plot),
        ("activations", "ActivationHistogramDisplay.from_estimator(model, X_test).plot()",
         f"The activations of each hidden layer on the test rows, where {zeros} of them are zero.", activations.plot),
        ("filters", "FiltersDisplay.from_estimator(calm).plot()",
         "The strongest first-layer units, as images; of a network with init=0.01, as the random weights of "
         "init=\"he\" would hide what was learned.", FiltersDisplay.from_estimator(calm).plot),
        ("confusion", "plot_confusion_matrix(model, X_test, y_test)",
         "Which digits are taken for which.", lambda: plot_confusion_matrix(model, X_test, y_test)),
        ("epoch-time", "EpochTimeDisplay.from_histories(histories).plot()",
         "The fastest epoch of this training on either path, on the machine that drew this page.",
         EpochTimeDisplay.from_histories(histories).plot),
    ]  # fmt: skip

    arguments.folder.mkdir(exist_ok=True)
    sections = [HEAD]
    for name, code, text, draw in figures:
        draw().figure_.savefig(arguments.folder / f"{name}.png", dpi=80)
        sections.append(f"## {name.replace('-', ' ').capitalize()}\n\n{text}\n\n    {code}\n\n![{name}]({name}.png)\n")
        print(f"wrote {name}.png")
    (arguments.folder / "README.md").write_text("\n".join(sections), encoding="utf-8")


if __name__ == "__main__":
    main()
