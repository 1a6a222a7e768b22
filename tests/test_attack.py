"""`scripts/attack.py`: that it tells how an attack ended, and a few of its attacks."""

import re
import sys
from types import SimpleNamespace

import attack
import pytest
from attacks import ATTACKS

from fastmlp.engine.simd.compiler import COMPILED

FAKES = """
import os
import sys
import time

sys.path.insert(0, {scripts!r})

import attack
from attacks import ATTACKS, DefectError


def enter(function):
    function.tries, function.timeout = 3, 2
    ATTACKS[function.__name__] = function


@enter
def fine(rng):
    return ("ok", "clean refusal")[rng.integers(2)]

@enter
def dies(rng):
    if rng.integers(2):
        os.abort()
    return "ok"

@enter
def hangs(rng):
    time.sleep(100)

@enter
def leaves(rng):
    os._exit(3)

@enter
def raises(rng):
    return 1 / 0

@enter
def differs(rng):
    raise DefectError("difference", "1 is not 2")

@enter
def loses(rng):
    raise DefectError("lost model", "gone")

attack.attack_here(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
"""
WANTED = {
    "dies": {"crash"},
    "hangs": {"hang"},
    "leaves": {"crash"},
    "raises": {"unclear error"},
    "differs": {"difference"},
    "loses": {"lost model"},
}
SHORT = {
    "features": 6,
    "labels": 8,
    "damaged-model": 6,
    "crafted-model": 10,
    "crafted-checkpoint": 6,
    "networks-that-travel": 4,
    "written-weights": 20,
    "interrupted-estimator": 1,
    "killed-while-saving": 1,
    "killed-while-checkpointing": 2,
    "many-interrupts-in-training": 1,
    "fork-after-training": 1,
    "full-disk": 2,
    "gigabytes-mapped": 1,
}
"""Attacks that the tests make, and how many tries of each."""


@pytest.fixture
def fakes(monkeypatch, tmp_path):
    """Attacks of which it is known how they end."""
    (tmp_path / "fakes.py").write_text(FAKES.format(scripts=str(attack.ROOT / "scripts")), encoding="utf-8")
    monkeypatch.setattr(attack, "PROGRAM", str(tmp_path / "fakes.py"))
    monkeypatch.setattr(attack, "ATTACKS", dict.fromkeys(("fine", *WANTED), SimpleNamespace(tries=3, timeout=2)))


@pytest.mark.parametrize("name", WANTED)
def test_what_ends_badly_is_told(fakes, name, capsys):
    assert attack.main(["--minutes", "0", "--only", name, "--seed", "5"]) == 1
    out = capsys.readouterr().out
    (outcome,) = WANTED[name]
    assert out.startswith(f"{name}: {outcome}\n")
    assert f"again: python scripts/attack.py --minutes 0 --only {name} --seed 5\n" in out
    header, row, _ = out.splitlines()[-3:]
    counts = dict(zip(re.split(r"  +", header.strip()), row.split(), strict=True))
    assert int(counts[outcome]) >= 1
    assert int(counts["tried"]) == sum(int(counts[other]) for other in counts if other not in ("attack", "tried"))


def test_what_ends_well_is_counted(fakes, capsys):
    assert attack.main(["--minutes", "0", "--only", "fine", "--tries", "20"]) == 0
    header, row, total = capsys.readouterr().out.splitlines()
    assert header.split() == ["attack", "tried", "ok", "clean", "refusal"]
    name, tried, ok, refused = row.split()
    assert (name, tried) == ("fine", "20")
    assert 0 < int(ok) < 20
    assert int(ok) + int(refused) == 20
    assert total.split() == ["all", tried, ok, refused]


def test_a_try_is_repeated_by_its_seed(fakes, tmp_path):
    again = [attack.run("fine", seed, str(tmp_path), tries=20) for seed in (1, 1, 2)]
    assert again[0] == again[1] != again[2]


def test_every_attack_is_listed(capsys):
    assert attack.main(["--list"]) == 0
    out = capsys.readouterr().out
    assert [line.split()[0] for line in out.splitlines()] == list(ATTACKS)
    assert set(SHORT) <= set(ATTACKS)


@pytest.mark.skipif(not COMPILED, reason="attacks compiled stages")
@pytest.mark.skipif(sys.platform != "linux", reason="signals, forks and limits as Linux has them")
@pytest.mark.parametrize("name", SHORT)
def test_an_attack_finds_nothing(name, tmp_path):
    results = attack.run(name, 0, str(tmp_path), SHORT[name])
    assert len(results) == SHORT[name]
    assert {outcome for outcome, _ in results} <= {"ok", "clean refusal"}, results
