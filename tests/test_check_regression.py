"""The margins of scripts/check_regression.py, on timings that are made up."""

import json

import check_regression as check
import pytest

from fastmlp import comparison

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
    verdicts = check.judge(baseline, RATIOS, same=True)
    assert [(v.case, v.ratio) for v in verdicts] == [
        ("product", check.REFERENCE), ("product", check.FLOOR), ("ReLU", check.REFERENCE),
    ]  # fmt: skip
    assert not any(v.worse for v in verdicts)


@pytest.mark.parametrize("case", RATIOS)
def test_a_quarter_slower_is_seen_and_a_quarter_faster_is_not(baseline, case):
    worse = [v.case for v in check.judge(baseline, slower(case, 1.25), same=True) if v.worse]
    assert set(worse) == {case}
    assert not any(v.worse for v in check.judge(baseline, slower(case, 0.75), same=True))


def test_another_machine_is_held_loosely_and_without_floors(baseline):
    for key in check.SAME:
        assert not check.same_machine(baseline, MACHINE | {key: "other"})
    assert check.same_machine(baseline, MACHINE | {"numpy": "2.1"})
    verdicts = check.judge(baseline, slower("product", 1.4), same=False)
    assert {v.ratio for v in verdicts} == {check.REFERENCE}
    assert not any(v.worse for v in verdicts)
    assert any(v.worse for v in check.judge(baseline, slower("product", 1.6), same=False))


def test_a_new_case_is_left_out(baseline):
    assert check.judge(baseline, {"new": {check.REFERENCE: 9.0}}, same=True) == []


def test_the_table_marks_what_is_slower(baseline):
    lines = check.format_table(check.judge(baseline, slower("product", 1.25), same=True)).splitlines()
    assert [line.endswith("SLOWER") for line in lines] == [False, True, True, False]
    assert lines[1].split() == ["product", "÷", "reference", "0.400", "0.500", "+25%", "10%", "SLOWER"]


def test_repeated_measurements_keep_the_smaller_ratio():
    assert check.best_of(slower("ReLU", 1.3), {"ReLU": RATIOS["ReLU"]}) == RATIOS


class Rates:
    """A machine of 100 operations a second."""

    def rate(self):
        return 100.0


def test_ratios_are_those_of_the_smallest_times(monkeypatch):
    monkeypatch.setattr(comparison.time, "sleep", lambda seconds: None)
    cases = {"a": check.Case(lambda: [3.0, 2.0], "slow", 50.0), "b": check.Case(lambda: [1.0], "slow", None)}
    references = {"slow": lambda: [8.0, 9.0], "unused": None}
    assert check.measure(cases, references, Rates(), rounds=2) == {
        "a": {check.REFERENCE: 0.25, check.FLOOR: 4.0}, "b": {check.REFERENCE: 0.125},
    }  # fmt: skip


@pytest.fixture
def run(monkeypatch, baseline, tmp_path, capsys):
    """Run the command on ratios that are made up, one measurement after the other."""
    path = tmp_path / "baseline.json"
    path.write_text(json.dumps(baseline))
    monkeypatch.setattr(check, "describe_machine", lambda: MACHINE)
    monkeypatch.setattr(check, "make_cases", lambda: (dict.fromkeys(RATIOS), {}))
    monkeypatch.setattr(check, "Sgemm", Rates)

    def run(measurements, *options):
        waiting = iter(measurements)
        monkeypatch.setattr(check, "measure", lambda cases, *_: pick(next(waiting), cases))
        status = check.main(["--baseline", str(path), *options])
        assert list(waiting) == []
        return status, capsys.readouterr().out, path

    def pick(ratios, cases):
        return {case: ratios[case] for case in cases}

    return run


def test_an_unchanged_run_is_quiet(run):
    status, out, _ = run([RATIOS])
    assert status == 0
    assert "0 of 3 ratios are worse" in out


def test_a_busy_moment_is_measured_again(run):
    assert run([slower("ReLU", 2), slower("ReLU", 1.3), RATIOS])[0] == 0


def test_a_slow_kernel_is_status_1(run):
    status, out, _ = run([slower("product", 1.25)] * 3)
    assert status == 1
    assert "2 of 3 ratios are worse" in out


def test_update_writes_the_baseline(run):
    status, out, path = run([slower("ReLU", 0.5)] * check.UPDATE_RUNS, "--update")
    assert status == 0
    assert str(path) in out
    assert json.loads(path.read_text())["cases"]["ReLU"][check.REFERENCE]["ratio"] == 0.05


def test_a_missing_baseline_is_a_usage_error(capsys):
    with pytest.raises(SystemExit) as caught:
        check.main(["--baseline", "nowhere.json"])
    assert caught.value.code == 2
    assert "--update writes it" in capsys.readouterr().err
