"""Archives of object code that wheels may carry, one for each kind of processor.

    python -m fastmlp.engine.prebuilt FILE

fills an archive for the processor in FASTMLP_TARGET. The same sources and compilers give the same bytes.
"""

import io
import itertools
import sys
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from fastmlp.engine.archive import grouped
from fastmlp.engine.library import name_of
from fastmlp.engine.plan import Plan, is_wide, rows_of_panels
from fastmlp.engine.schedule import make_schedule, stages_of, start_of
from fastmlp.engine.stages import Stage
from fastmlp.reference.activations import ACTIVATIONS
from fastmlp.reference.losses import LOSSES
from fastmlp.reference.optimizers import OPTIMIZERS


def every_stage() -> list[Stage]:
    """Return the stages of all trainings and predictions that can be asked for, each once, but those of averages."""
    return list(
        dict.fromkeys(stage for plan in _plans() for stage in (*stages_of(make_schedule(plan)), start_of(plan)))
    )


def _plans() -> Iterator[Plan]:
    """Plans that together have all stages: for each type, form and panel width, those that differ in one choice."""
    kinds, raws, forms, depths = ("f32", "f64"), ("u8", "f32", "f64"), ("sparse", "dense", "csr"), range(3)
    for kind, raw, form, depth in itertools.product(kinds, raws, forms, depths):
        rows = rows_of_panels(kind)
        for row, out in itertools.product(rows, rows) if depth else zip(rows, rows, strict=True):
            first = Plan(kind, raw, form, row, out, ("relu",) * depth, False, "cross_entropy", "sgd")
            yield first._replace(by_feature=True)
            yield first._replace(optimizer="")
            yield first._replace(is_penalized=True)
            yield first._replace(is_smoothed=True)
            for activation, keep in itertools.product(ACTIVATIONS, ((), (1,) * depth)):
                yield first._replace(activations=(activation,) * depth, keep=keep)
            yield from (first._replace(loss=loss) for loss in LOSSES)
            if form == "dense" and depth:
                yield from (first._replace(loss=loss, by_sample=True) for loss in LOSSES)
            # Averages of weights are rare, and twice as many steps: they are compiled when they are asked for.
            choices = [(step, clipped) for step in OPTIMIZERS for clipped in (False, True)]
            for optimizer, clipped in (*choices, ("add_gradient", False)):
                plan = first._replace(optimizer=optimizer, is_clipped=clipped)
                yield plan
                if is_wide(row, kind):  # of whose units relu's are skipped
                    yield plan._replace(activations=("tanh",) * depth)
                if form == "dense" and depth:
                    yield from _dense_plans(plan)


def _dense_plans(plan: Plan) -> Iterator[Plan]:
    """Other plans of dense features: weights kept by unit, batches divided by sample."""
    by_sample = [] if plan.is_clipped else [plan._replace(by_sample=True)]
    yield from by_sample
    if is_wide(plan.row, plan.kind):
        yield from (divided._replace(activations=("tanh",) * plan.depth) for divided in by_sample)
        yield from (each._replace(transposed=True) for each in (plan, *by_sample))


def fill(path: Path, stages: Sequence[Stage]) -> None:
    """Compile stages for the processor in FASTMLP_TARGET into an archive."""
    from fastmlp.engine.workshop import compile_stages

    codes = {name_of(stage): code for stage, code in compile_stages(stages).items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    groups = {group: _packed({name: codes[name] for name in names}) for group, names in grouped(sorted(codes)).items()}
    path.write_bytes(_packed(groups, zipfile.ZIP_DEFLATED))


def _packed(contents: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    """Return an archive; the same contents give the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in contents.items():
            archive.writestr(zipfile.ZipInfo(name), content, compression, 9)  # of a fixed date
    return buffer.getvalue()


if __name__ == "__main__":
    fill(Path(sys.argv[1]), every_stage())
