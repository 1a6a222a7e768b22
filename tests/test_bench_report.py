"""The README's tables and the figures, from a small report of pytest-benchmark."""

import json

import bench_report
import matplotlib.pyplot as plt
import numpy as np
import pytest

MACHINE = {"processor": "a chip", "usable cores": 2, "OPENBLAS settings": {}, "numpy": "2.0"}


def benchmark(group, name, best, ours=True, **extra):
    stats = {"min": best, "median": 2 * best, "max": 9.0}
    return {"group": group, "stats": stats, "extra_info": {"name": name, "ours": ours} | extra}


EPOCHS = [
    benchmark("epoch: MNIST, 60 rows", "uint8", 0.05, floors=0.5, floor=0.1),
    benchmark("epoch: MNIST, 60 rows", "dense", 0.08, floors=0.8, floor=0.1),
    benchmark("epoch: MNIST, 60 rows", "JAX", 0.2, ours=False, floors=2.0, floor=0.1),
    benchmark("epoch: tiny", "float32", 0.001, floors=4.0, floor=0.00025),
]
OTHERS = [
    benchmark("predict: one row", "fastmlp", 5e-6),
    benchmark("predict: one row", "scikit-learn", 1e-4, ours=False),
    benchmark("startup: import", "fastmlp", 0.02, **{"peak MB": 11.2}),
    benchmark("kernels: ReLU, 64 × 256", "fastmlp", 1e-6, work=2e5, unit="GB/s"),
    benchmark("kernels: ReLU, 64 × 256", "NumPy", 1e-5, ours=False, work=2e5, unit="GB/s"),
    benchmark("roofline", "2 × 2 × 2 float32", 0.5, work=2e11, unit="GFLOP/s"),
]
SHAPES = [benchmark("shapes: batch", str(v), 1.0 / v, floors=4.0 / v, value=float(v), rows=100) for v in (1, 4, 16)]


@pytest.fixture
def write(tmp_path):
    def write(name, benchmarks, machine=MACHINE):
        path = tmp_path / name
        path.write_text(json.dumps({"machine_info": {"fastmlp": machine}, "benchmarks": benchmarks}))
        return path

    return write


@pytest.fixture
def readme(tmp_path):
    path = tmp_path / "README.md"
    path.write_text(f"before\n{bench_report.BEGIN}\nold\n{bench_report.END}\nafter\n")
    return path


def test_of_several_passes_the_best_counts(write):
    slow = benchmark("epoch: MNIST, 60 rows", "uint8", 0.04, floors=0.2, floor=0.2)
    groups, _ = bench_report.read([write("a.json", EPOCHS), write("b.json", [slow])])
    mine = groups["epoch: MNIST, 60 rows"][0]
    assert (mine["min"], mine["median"], mine["floor"]) == (0.04, 0.08, 0.1)
    assert mine["floors"] == pytest.approx(0.4)
    assert [row["name"] for row in groups["epoch: MNIST, 60 rows"]] == ["uint8", "dense", "JAX"]


def test_the_report(write, readme, tmp_path, capsys):
    files = [write("a.json", EPOCHS), write("b.json", OTHERS + SHAPES)]
    bench_report.main([*map(str, files), "--readme", str(readme), "--figures", str(tmp_path)])
    assert readme.read_text().splitlines() == [
        "before",
        bench_report.BEGIN,
        "| case | best | median | dense floors | others' best ÷ ours |",
        "| --- | --- | --- | --- | --- |",
        "| MNIST, 60 rows: uint8 | 50 ms | 100 ms | 0.50 | JAX 4 |",
        "| MNIST, 60 rows: dense | 80 ms | 160 ms | 0.80 | JAX 2.5 |",
        "| tiny: float32 | 1 ms | 2 ms | 4.00 |  |",
        "| predict: one row | 5 µs | 10 µs |  | scikit-learn 20 |",
        "| startup: import, peak of memory 11 MB | 20 ms | 40 ms |  |  |",
        "",
        "| kernel | best | median | rate | others' best ÷ ours |",
        "| --- | --- | --- | --- | --- |",
        "| ReLU, 64 × 256 | 1 µs | 2 µs | 200 GB/s | NumPy 10 |",
        "| NumPy's product 2 × 2 × 2 float32 | 500 ms | 1 s | 400 GFLOP/s |  |",
        "",
        "![What an epoch costs over batch, width, depth, samples, density, threads](bench/scaling.png)",
        "",
        "Measured on: processor a chip, usable cores 2, numpy 2.0. Every thread that pays is used where none is named.",
        bench_report.END,
        "after",
    ]
    assert capsys.readouterr().out == f"wrote {readme} {tmp_path}/results.png {tmp_path}/scaling.png\n"
    for name in ("results.png", "scaling.png"):
        assert np.ptp(plt.imread(tmp_path / name)) > 0.5


def test_without_epochs_and_shapes_nothing_is_drawn(write, readme, tmp_path):
    bench_report.main([str(write("b.json", OTHERS)), "--readme", str(readme), "--figures", str(tmp_path)])
    assert "ReLU" in readme.read_text()
    assert "scaling.png" not in readme.read_text()
    assert not list(tmp_path.glob("*.png"))


def test_files_of_different_machines_are_refused(write):
    files = [write("a.json", EPOCHS), write("b.json", OTHERS, MACHINE | {"numpy": "2.1"})]
    with pytest.raises(ValueError, match="must come from one machine"):
        bench_report.read(files)


def test_other_json_is_refused(tmp_path):
    path = tmp_path / "other.json"
    path.write_text(json.dumps({"machine_info": {}, "benchmarks": []}))
    with pytest.raises(ValueError, match="must be the JSON of"):
        bench_report.read([path])


def test_a_readme_without_marks_is_refused(tmp_path):
    path = tmp_path / "README.md"
    path.write_text(f"{bench_report.END} {bench_report.BEGIN}")
    with pytest.raises(ValueError, match="must have the lines"):
        bench_report.write_readme(path, "text")
    assert path.read_text() == f"{bench_report.END} {bench_report.BEGIN}"
