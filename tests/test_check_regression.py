"""The margins of scripts/check_regression.py, on timings that are made up, and what it measures."""

import json
import math

import check_regression as check
import pytest
import race

MACHINE = {"processor": "a chip", "usable cores": 2, "float32 in a register": 16, "BLAS": "openblas", "numpy": "2.0"}
RATIOS = {"product": {check.REFERENCE: 0.4, check.FLOOR: 1.1}, "ReLU": {check.REFERENCE: 0.1}}


def slower(case, factor):
    return RATIOS | {case: {ratio: factor * value for ratio, value in RATIOS[case].items()}}


@pytest.fixture
def baseline():
    return check.make_baseline([RATIOS, slower("ReLU", 1.05), slower("ReLU", 0.99)], MACHINE)


def test_a_baseline_records_medians_noise_machine_and_date(baseline):
    assert baseline["machine"] == MACHINE
    assert len(baseline["date"]) == 10
    assert baseline["cases"]["product"][check.FLOOR] == {"ratio": 1.1, "noise": 0.0}
    assert baseline["cases"]["ReLU"][check.REFERENCE] == {"ratio": 0.1, "noise": pytest.approx(0.06)}


@pytest.mark.parametrize(("noise", "margin"), [(0.0, 0.10), (0.02, 0.10), (0.05, 0.15), (0.5, 0.20)])
def test_the_margin_follows_the_noise_and_lets_a_quarter_be_seen(noise, margin):
    assert check.margin_of(noise) == pytest.approx(margin)
    assert check.margin_of(noise) < 0.25


def test_unchanged_ratios_pass(baseline):
    verdicts = check.judge(baseline, RATIOS)
    assert [(v.case, v.ratio) for v in verdicts] == [
        ("product", check.REFERENCE), ("product", check.FLOOR), ("ReLU", check.REFERENCE),
    ]  # fmt: skip
    assert not any(v.worse for v in verdicts)


@pytest.mark.parametrize("case", RATIOS)
def test_a_quarter_slower_is_seen_and_a_quarter_faster_is_not(baseline, case):
    worse = [v.case for v in check.judge(baseline, slower(case, 1.25)) if v.worse]
    assert set(worse) == {case}
    assert not any(v.worse for v in check.judge(baseline, slower(case, 0.75)))


def test_no_number_is_worse(baseline):
    assert [v.case for v in check.judge(baseline, slower("ReLU", math.nan)) if v.worse] == ["ReLU"]


@pytest.mark.parametrize("field", check.SAME)
def test_the_field_in_which_another_machine_differs_is_named(baseline, field):
    assert check.differences(baseline, MACHINE | {"numpy": "2.1"}) == []
    [difference] = check.differences(baseline, MACHINE | {field: "other"})
    assert difference == f"{field}: {MACHINE[field]} there, other here"


def test_a_machine_has_its_own_baseline_or_the_most_similar_one(tmp_path):
    names = {}
    for name, change in (("a", {"processor": "other", "BLAS": "mkl"}), ("b", {}), ("c", {"usable cores": 4})):
        (tmp_path / f"{name}.json").write_text(json.dumps(check.make_baseline([RATIOS], MACHINE | change)))
        names[name] = check.file_name(MACHINE | change)
    assert len(set(names.values())) == 3
    assert names["b"] == "a-chip-2-16-openblas.json"
    for name, change in (("b", {"numpy": "2.1"}), ("c", {"usable cores": 4}), ("c", {"usable cores": 4, "BLAS": "x"})):
        path, baseline = check.choose_baseline(tmp_path, MACHINE | change)
        assert path.stem == name
        assert baseline == json.loads(path.read_text())
    assert check.choose_baseline(tmp_path / "none", MACHINE) is None


def test_the_kept_baselines_are_where_they_are_looked_for():
    kept = sorted(check.BASELINES.glob("*.json"))
    assert kept
    for path in kept:
        machine = json.loads(path.read_text(encoding="utf-8"))["machine"]
        assert path.name == check.file_name(machine)
        assert check.choose_baseline(check.BASELINES, machine)[0] == path


def test_what_only_one_side_has_is_named(baseline):
    now = {"new": {check.REFERENCE: 9.0}, "product": {check.REFERENCE: 0.4}}
    assert [(v.case, v.ratio) for v in check.judge(baseline, now)] == [("product", check.REFERENCE)]
    assert check.lacking(baseline["cases"], now) == ["product ÷ floor", "ReLU ÷ reference"]
    assert check.lacking(now, baseline["cases"]) == ["new ÷ reference"]


def test_the_table_marks_what_is_slower(baseline):
    lines = check.format_table(check.judge(baseline, slower("product", 1.25))).splitlines()
    assert [line.endswith("SLOWER") for line in lines] == [False, True, True, False]
    assert lines[1].split() == ["product", "÷", "reference", "0.400", "0.500", "+25%", "10%", "SLOWER"]


def test_repeated_measurements_keep_the_smaller_ratio():
    assert check.best_of(slower("ReLU", 1.3), {"ReLU": RATIOS["ReLU"]}) == RATIOS


class Rates:
    """A machine of 100 operations a second."""

    def rate(self):
        return 100.0


def test_ratios_are_those_of_the_smallest_times():
    seconds = {"uint8": iter([3.0, 2.0]), "dense": iter([1.0, 1.0]), "reference": iter([8.0, 9.0]), "unused": iter([])}
    flops = {"uint8": 50.0}

    def build(names):
        return {
            name: race.Entrant(lambda times=seconds[name]: next(times), lambda: None, repeats=2, unit="made up",
                               flops=flops.get(name)) for name in names
        }  # fmt: skip

    case = race.Case("case", "a case", tuple(seconds), build)
    tracked = {"a": check.Tracked(case, "uint8", "reference"), "b": check.Tracked(case, "dense", "reference")}
    assert check.measure(tracked, Rates(), rounds=1) == {
        "a": {check.REFERENCE: 0.25, check.FLOOR: 4.0}, "b": {check.REFERENCE: 0.125},
    }  # fmt: skip


@pytest.fixture
def run(monkeypatch, baseline, tmp_path, capsys):
    """Run the command on ratios that are made up, one measurement after the other."""

    def run(measurements, *options, kept=baseline, machine=MACHINE):
        (tmp_path / "baseline.json").write_text(json.dumps(kept))
        waiting, pauses = list(measurements), []
        cases = dict.fromkeys(waiting[0])
        monkeypatch.setattr(check, "describe_machine", lambda: machine)
        monkeypatch.setattr(check, "make_tracked", lambda: cases)
        monkeypatch.setattr(check, "Sgemm", Rates)
        monkeypatch.setattr(check, "measure", lambda cases, *_: pick(waiting.pop(0), cases))
        monkeypatch.setattr(check.time, "sleep", pauses.append)
        status = check.main(["--baselines", str(tmp_path), *options])
        assert waiting == []
        return status, capsys.readouterr().out, pauses

    def pick(ratios, cases):
        return {case: ratios[case] for case in cases}

    return run


def test_an_unchanged_run_is_quiet(run, baseline):
    status, out, pauses = run([RATIOS])
    assert (status, pauses) == (0, [])
    assert "0 of 3 ratios are worse" in out
    assert "baseline" not in out


def test_a_busy_while_is_measured_again_until_it_is_over(run):
    for busy in range(1, len(check.PAUSES) + 1):
        status, out, pauses = run([slower("ReLU", 2)] * busy + [RATIOS])
        assert (status, pauses) == (0, list(check.PAUSES[:busy]))
        assert "SLOWER" not in out


def test_only_the_noisy_case_is_measured_again(run):
    assert run([slower("ReLU", 2), slower("product", 3)])[0] == 0


def test_a_slow_kernel_is_status_1(run):
    status, out, pauses = run([slower("product", 1.25)] * (1 + len(check.PAUSES)))
    assert (status, pauses) == (1, list(check.PAUSES))
    assert "2 of 3 ratios are worse" in out


def test_another_machines_baseline_decides_nothing(run):
    status, out, pauses = run([slower("product", 3)], machine=MACHINE | {"usable cores": 4, "BLAS": "mkl"})
    assert (status, pauses) == (0, [])
    assert out.splitlines()[-1] == (
        "baseline.json is another machine's and decides nothing: usable cores: 2 there, 4 here; BLAS: openblas there, "
        "mkl here. --update takes this one's"
    )


def test_a_case_that_vanished_is_status_1(run):
    status, out, _ = run([{"product": RATIOS["product"]}])
    assert status == 1
    assert "in the baseline, not measured: ReLU ÷ reference" in out


def test_a_new_case_is_named(run):
    status, out, _ = run([RATIOS | {"new": {check.REFERENCE: 9.0}}])
    assert status == 0
    assert "measured, not in the baseline: new ÷ reference" in out


def test_nothing_to_compare_is_status_1(run, baseline):
    status, out, _ = run([RATIOS], kept=baseline | {"cases": {}})
    assert status == 1
    assert "not everything could be held against the baseline" in out


def test_update_writes_this_machines_baseline(run, tmp_path):
    status, out, _ = run([slower("ReLU", 0.5)] * check.UPDATE_RUNS, "--update", machine=MACHINE | {"BLAS": "mkl"})
    path = tmp_path / "a-chip-2-16-mkl.json"
    assert status == 0
    assert str(path) in out
    assert json.loads(path.read_text())["cases"]["ReLU"][check.REFERENCE]["ratio"] == 0.05


def test_a_missing_baseline_is_a_usage_error(capsys):
    with pytest.raises(SystemExit) as caught:
        check.main(["--baselines", "nowhere"])
    assert caught.value.code == 2
    assert "--update writes it" in capsys.readouterr().err


def test_what_is_timed_is_what_the_kept_baselines_have():
    for path in check.BASELINES.glob("*.json"):
        kept = json.loads(path.read_text(encoding="utf-8"))["cases"]
        assert list(check.make_tracked()) == list(kept)


def test_what_is_timed_was_checked(monkeypatch):
    seen = []
    monkeypatch.setattr(check.kernels, "KERNELS", {"ReLU": check.kernels.KERNELS["ReLU"]})
    monkeypatch.setattr(check.Workload, "check", lambda workload, entry: seen.append((workload.name, entry.name)))
    monkeypatch.setattr(check.kernels.Kernel, "check", lambda kernel: seen.append("kernel"))
    monkeypatch.setattr(check, "EPOCH_ROWS", 64)
    tracked = check.make_tracked()
    ratios = check.measure(tracked, Rates(), rounds=1)
    everybody = [(name, entry) for name, entries in check.TRACKED.items() for entry in (*entries, "reference")]
    assert sorted(seen, key=str) == sorted([*everybody, "kernel"], key=str)
    assert list(ratios) == list(tracked)
    assert len(tracked) == 5


def test_everybody_is_on_one_thread(monkeypatch):
    monkeypatch.setattr(check, "EPOCH_ROWS", 64)
    for case, name, _ in list(check.make_tracked().values())[:4]:
        assert case.build([name])[name].facts["threads"] == 1
