"""The README's tables and the figures, from a small report of pytest-benchmark."""

import json
from types import SimpleNamespace

import bench_epoch
import bench_predict
import bench_report
import bench_result
import bench_shapes
import matplotlib.pyplot as plt
import numpy as np
import pytest
from support.overlaps import assert_nothing_covers_the_lines

MACHINE = {"processor": "a chip", "usable cores": 2, "OPENBLAS settings": {}, "numpy": "2.0"}


def benchmark(group, name, best, ours=True, **extra):
    stats = {"min": best, "median": 2 * best, "max": 9.0}
    return {"group": group, "stats": stats, "extra_info": {"name": name, "ours": ours} | extra}


EPOCHS = [
    benchmark("epoch: MNIST, batch 64, 60 rows", "uint8", 0.05, floors=0.5, floor=0.1),
    benchmark("epoch: MNIST, batch 64, 60 rows", "dense", 0.08, floors=0.8, floor=0.1),
    benchmark("epoch: MNIST, batch 64, 60 rows", "JAX", 0.2, ours=False, floors=2.0, floor=0.1),
    benchmark("epoch: MNIST, batch 64, 60 rows", "PyTorch", 0.25, ours=False, floors=2.5, floor=0.1),
    benchmark("epoch: MNIST, batch 64, 60 rows", "PyTorch fused", 0.15, ours=False, floors=1.5, floor=0.1),
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
SHAPES = [
    benchmark(f"shapes: {axis}", str(v), 1.0 / v, floors=4.0 / v, floor=0.25, value=float(v), rows=100)
    for axis in ("batch", "width", "depth", "samples", "density", "threads")
    for v in (1, 4, 16)
]


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
    slow = benchmark("epoch: MNIST, batch 64, 60 rows", "uint8", 0.04, floors=0.2, floor=0.2)
    groups, _ = bench_report.read([write("a.json", EPOCHS), write("b.json", [slow])])
    mine = groups["epoch: MNIST, batch 64, 60 rows"][0]
    assert (mine["min"], mine["median"], mine["floor"]) == (0.04, 0.08, 0.1)
    assert mine["floors"] == pytest.approx(0.4)
    assert [row["name"] for row in groups["epoch: MNIST, batch 64, 60 rows"]] == [
        "uint8",
        "dense",
        "JAX",
        "PyTorch",
        "PyTorch fused",
    ]


def test_the_report(write, readme, tmp_path, capsys):
    files = [write("a.json", EPOCHS), write("b.json", OTHERS + SHAPES)]
    bench_report.main([*map(str, files), "--readme", str(readme), "--figures", str(tmp_path)])
    assert readme.read_text().splitlines() == [
        "before",
        bench_report.BEGIN,
        "| case | fastmlp | dense floors | reference ÷ ours | scikit-learn ÷ ours | PyTorch ÷ ours | JAX ÷ ours |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        "| MNIST, batch 64, 60 rows: uint8 | 50 ms | 0.50 |  |  | 3 | 4 |",
        "| predict: one row | 5 µs |  |  | 20 |  |  |",
        "",
        "Measured on: processor a chip, usable cores 2, numpy 2.0. Every thread that pays is used where none is named.",
        "",
        "[All results](bench/RESULTS.md)",
        bench_report.END,
        "after",
    ]
    page = (tmp_path / "RESULTS.md").read_text()
    assert page.startswith(bench_report.PAGE)
    assert page.removeprefix(bench_report.PAGE).splitlines() == [
        "| case | best | median | dense floors | others' best ÷ ours |",
        "| --- | --- | --- | --- | --- |",
        "| MNIST, batch 64, 60 rows: uint8 | 50 ms | 100 ms | 0.50 | JAX 4, PyTorch 5, PyTorch fused 3 |",
        "| MNIST, batch 64, 60 rows: dense | 80 ms | 160 ms | 0.80 | JAX 2.5, PyTorch 3.12, PyTorch fused 1.88 |",
        "| tiny: float32 | 1 ms | 2 ms | 4.00 |  |",
        "| predict: one row | 5 µs | 10 µs |  | scikit-learn 20 |",
        "| startup: import, peak of memory 11 MB | 20 ms | 40 ms |  |  |",
        "",
        "| kernel | best | median | rate | others' best ÷ ours |",
        "| --- | --- | --- | --- | --- |",
        "| ReLU, 64 × 256 | 1 µs | 2 µs | 200 GB/s | NumPy 10 |",
        "| NumPy's product 2 × 2 × 2 float32 | 500 ms | 1 s | 400 GFLOP/s |  |",
        "",
        "![What an epoch costs over batch, width, depth, samples, density, threads](scaling.png)",
        "",
        "Measured on: processor a chip, usable cores 2, numpy 2.0. Every thread that pays is used where none is named.",
    ]
    assert (
        capsys.readouterr().out
        == f"wrote {readme} {tmp_path}/RESULTS.md {tmp_path}/results.png {tmp_path}/scaling.png\n"
    )
    for name in ("results.png", "scaling.png"):
        assert np.ptp(plt.imread(tmp_path / name)) > 0.5


def test_a_panel_of_shapes_has_one_axis_and_the_figure_names_the_network(write):
    groups, _ = bench_report.read([write("a.json", SHAPES)])
    figure = bench_report.draw_scaling(groups)
    panels = figure.axes
    assert [panel.get_title() for panel in panels] == list(bench_report.AXES)
    figure.canvas.draw()
    boxes = {panel.get_position().bounds for panel in panels}
    assert len(boxes) == len(panels)  # a second axis would lie on a first one
    for panel, words in zip(panels, bench_report.AXES.values(), strict=True):
        assert (panel.get_xscale(), panel.get_yscale()) == ("log", "log")
        assert (panel.get_xlabel(), panel.get_ylabel()) == (words, "µs a row")
        assert [text.get_text() for text in panel.get_xticklabels()] == ["1", "4", "16"]
        ours, floor = panel.lines
        np.testing.assert_allclose(ours.get_ydata(), [1e4, 2.5e3, 625])
        np.testing.assert_allclose(floor.get_ydata(), 3 * [2.5e3])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["fastmlp", "dense floor"]
    assert_nothing_covers_the_lines(figure)

    cell = bench_shapes.make_cell("batch", bench_shapes.Cell("", 0).batch)
    network = f"784-{'-'.join(map(str, cell.hidden))}-10, batch {cell.batch}, {cell.rows:,} rows, {cell.density:.0%} of"
    assert network in figure.get_suptitle()
    width, depth = bench_shapes.make_cell("width", 32), bench_shapes.make_cell("depth", 3)
    assert width.hidden == (32, 16)
    assert bench_report.AXES["width"] == f"w of 784-w-w/2-10 on {width.rows:,} rows"
    assert bench_report.AXES["depth"] == f"hidden layers, each of {depth.hidden[2]} units"
    assert list(bench_report.AXES) == list(bench_shapes.FEW)


def test_without_epochs_and_shapes_nothing_is_drawn(write, readme, tmp_path):
    bench_report.main([str(write("b.json", OTHERS)), "--readme", str(readme), "--figures", str(tmp_path)])
    page = (tmp_path / "RESULTS.md").read_text()
    assert "ReLU" in page
    assert "scaling.png" not in page
    assert not list(tmp_path.glob("*.png"))


@pytest.fixture
def report(write, readme, tmp_path):
    """Report benchmarks after what was reported so far; return the results' lines and the figures written."""

    def report(benchmarks, *options, machine=MACHINE):
        folder = tmp_path / "figures"
        folder.mkdir(exist_ok=True)
        for path in folder.glob("*.png"):
            path.unlink()
        file = write("now.json", benchmarks, machine)
        bench_report.main([str(file), "--readme", str(readme), "--figures", str(folder), *options])
        return (folder / "RESULTS.md").read_text().splitlines(), sorted(path.name for path in folder.glob("*.png"))

    return report


KERNEL = [
    benchmark("kernels: ReLU, 64 × 256", "fastmlp", 5e-7, work=2e5, unit="GB/s"),
    benchmark("kernels: ReLU, 64 × 256", "NumPy", 1e-5, ours=False, work=2e5, unit="GB/s"),
    benchmark("kernels: new, 64 × 256", "fastmlp", 5e-7, work=2e5, unit="GB/s"),
]


def test_rows_that_were_not_measured_stay(report):
    everything, figures = report(EPOCHS + OTHERS + SHAPES)
    assert figures == ["results.png", "scaling.png"]
    lines, figures = report(KERNEL)
    assert figures == []
    old = "| ReLU, 64 × 256 | 1 µs | 2 µs | 200 GB/s | NumPy 10 |"
    assert [line for line in everything if line not in lines] == [old]
    assert [line for line in lines if line not in everything] == [
        "| ReLU, 64 × 256 | 0.5 µs | 1 µs | 400 GB/s | NumPy 20 |", "| new, 64 × 256 | 0.5 µs | 1 µs | 400 GB/s |  |",
    ]  # fmt: skip
    assert lines.index("| ReLU, 64 × 256 | 0.5 µs | 1 µs | 400 GB/s | NumPy 20 |") == everything.index(old)
    assert report(EPOCHS[-1:] + SHAPES[:6]) == (lines, [])
    assert report(OTHERS[2:3]) == (lines, [])
    memory = benchmark("startup: import", "fastmlp", 0.02, **{"peak MB": 99.0})
    assert report([memory])[0] == [line.replace("memory 11 MB", "memory 99 MB") for line in lines]


def test_a_group_is_replaced_whole_or_not(report):
    before, _ = report(EPOCHS + OTHERS)
    with pytest.raises(
        ValueError, match="'MNIST, batch 64, 60 rows: uint8' must be measured whole, but JAX is missing"
    ):
        report([*EPOCHS[:2], *EPOCHS[3:5]])
    with pytest.raises(ValueError, match="'MNIST, batch 64, 60 rows: dense' must be measured whole, but this case is"):
        report([EPOCHS[0], *EPOCHS[2:5]])
    with pytest.raises(ValueError, match="but NumPy is missing"):
        report(KERNEL[:1])
    assert report([])[0] == before
    assert report(EPOCHS[:5])[0] == before


def test_rows_of_another_machine_do_not_stay(report):
    everything = EPOCHS + OTHERS + SHAPES
    before, _ = report(everything)
    other = MACHINE | {"numpy": "2.1"}
    for part in (KERNEL, EPOCHS[5:] + OTHERS + SHAPES, EPOCHS + OTHERS):
        with pytest.raises(ValueError, match="from another machine or other versions"):
            report(part, machine=other)
    assert report([])[0] == before
    assert "numpy 2.1" in "\n".join(report(everything, machine=other)[0])
    lines, _ = report(KERNEL, "--replace")
    assert "numpy 2.0" in "\n".join(lines)
    assert [line.split(" | ")[0] for line in lines if line.startswith("| ")] == [
        "| kernel", "| ---", "| ReLU, 64 × 256", "| new, 64 × 256",
    ]  # fmt: skip


def test_the_readme_is_understood():
    text = (bench_report.ROOT / "bench" / "RESULTS.md").read_text()
    rows = bench_report.parse(text, bench_report.CASES_HEADER), bench_report.parse(text, bench_report.KERNELS_HEADER)
    assert sum(map(len, rows)) == len([line for line in text.splitlines() if line.startswith("| ")]) - 4
    assert all(len(row) == 5 for row in rows[0] + rows[1])
    assert bench_report.IMAGE in text
    readme = (bench_report.ROOT / "README.md").read_text()
    shown = bench_report.parse(readme, bench_report.SELECTED_HEADER)
    assert shown == bench_report.select(rows[0])
    assert 5 < len(shown) <= 16
    assert text.splitlines()[-1] in readme


def test_what_is_selected_is_measured():
    groups = [case.group for case in bench_epoch.make_cases(True, False) + bench_predict.make_cases(True, False)]
    groups += [f"result: {result.title}" for result in bench_result.wanted(True).values()]
    names = [group.removeprefix(bench_report.EPOCH) for group in groups]
    for case in bench_report.SELECTED:
        assert any(name.startswith(case) for name in names), case


def test_measuring_makes_the_passes_that_fit(monkeypatch, readme, write, tmp_path):
    commands, clock = [], [0.0]

    def run(command, **options):
        clock[0] += 100
        commands.append(command)
        [target] = [part.partition("=")[2] for part in command if part.startswith("--benchmark-json=")]
        write("made.json", EPOCHS).rename(target)
        return SimpleNamespace(returncode=len(commands) == 4, stdout="what failed")

    monkeypatch.setattr(bench_report.subprocess, "run", run)
    monkeypatch.setattr(bench_report.time, "monotonic", lambda: clock[0])
    options = ["--readme", str(readme), "--figures", str(tmp_path), "--only", "mnist"]
    bench_report.main(["--minutes", "4", *options])  # two of 100 s fit, and no third
    assert len(commands) == 2
    assert commands[0][-2:] == ["-k", "mnist"]
    bench_report.main(["--minutes", "0.1", *options])
    assert len(commands) == 3
    before = readme.read_text()
    assert "MNIST, batch 64, 60 rows: uint8" in before
    with pytest.raises(ChildProcessError, match="what failed"):
        bench_report.main(["--minutes", "9", *options])
    for wrong in ([], ["--minutes", "1", "a.json"]):
        with pytest.raises(SystemExit):
            bench_report.main([*wrong, *options])
    assert readme.read_text() == before


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
        bench_report.split_readme(path)
    assert path.read_text() == f"{bench_report.END} {bench_report.BEGIN}"
