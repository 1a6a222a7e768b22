"""One epoch of every training in `workloads`, in fastmlp and in everybody who is installed."""

import pytest
from roofline import training_flops
from workloads import WORKLOADS

CASES = [(workload, entry) for workload in WORKLOADS for entry in workload.available()]


@pytest.mark.parametrize(("workload", "entry"), CASES, ids=[f"{w.name}-{e.name}" for w, e in CASES])
def test_epoch(measure, quick, workload, entry):
    workload.check(entry)
    n = workload.quick_rows if quick else workload.rows
    competitor = workload.build(entry, n)
    widths = workload.setup.widths(workload.data(entry, n)[0].shape[1])
    measure(
        competitor.train, group=f"epoch: {workload.title}, {n:,} rows", name=entry.name, ours=entry.ours,
        setup=lambda: (competitor.order(),), flops=training_flops(widths, n), path=getattr(competitor, "path", ""),
    )  # fmt: skip
