"""Attack the package for as long as you give it: `python scripts/attack.py --minutes 30`.

Inputs of every kind on both backends, damaged files, signals, forks, full disks and little memory: each attack of
`scripts/attacks/` runs again and again in a process of its own, each time with another seed. The table tells what was
tried, how often, and how it ended. A clean refusal is as good as a right answer; the exit status is 1 after anything
else. What failed is told with the command that repeats it; signals and forks come at moments that the seed chooses, but
the machine's speed has a say in them too.
"""

import argparse
import contextlib
import faulthandler
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

from attacks import ATTACKS, OUTCOMES, DefectError  # noqa: E402

GOOD = ("ok", "clean refusal")
PROGRAM = __file__
SHOWN = 3
"""How many of a process's failures are told."""


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10, help="how long; every attack runs once in any case")
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=ATTACKS, default=list(ATTACKS))
    parser.add_argument("--seed", type=int, default=0, help="of the first round; the next one has the next")
    parser.add_argument("--tries", type=int, help="in each process, instead of the attack's own number")
    parser.add_argument("--list", action="store_true", help="only tell what there is")
    options = parser.parse_args(arguments)
    if options.list:
        print("\n".join(f"{name:28} {attack.__doc__.splitlines()[0]}" for name, attack in ATTACKS.items()))
        return 0
    counts = {name: Counter() for name in options.only}
    end, seed = time.monotonic() + 60 * options.minutes, options.seed
    # Interrupts, hangs and dead processes leave files behind: here, and not in the caller's folder.
    with tempfile.TemporaryDirectory(prefix="fastmlp-attack-", ignore_cleanup_errors=True) as folder:
        while seed == options.seed or time.monotonic() < end:
            for name in options.only:
                if seed == options.seed or time.monotonic() < end:
                    results = run(name, seed, folder, options.tries)
                    counts[name].update(outcome for outcome, _ in results)
                    tell(name, seed, results)
            seed += 1
    print(table(counts))
    return 1 if any(set(count) - set(GOOD) for count in counts.values()) else 0


def tell(name, seed, results):
    """Print how the first tries failed that did, and the command that repeats them."""
    failed = [(outcome, detail) for outcome, detail in results if outcome not in GOOD]
    for outcome, detail in failed[:SHOWN]:
        print(f"{name}: {outcome}\n    {detail}")
    if len(failed) > SHOWN:
        print(f"{name}: {len(failed) - SHOWN} more")
    if failed:
        print(f"    again: python scripts/attack.py --minutes 0 --only {name} --seed {seed}\n", flush=True)


def table(counts):
    """How often each attack was tried, and how often it ended how."""
    seen = [outcome for outcome in OUTCOMES if outcome in GOOD or any(count[outcome] for count in counts.values())]
    rows = [("attack", "tried", *seen)]
    rows += [(name, count.total(), *(count[outcome] for outcome in seen)) for name, count in counts.items()]
    rows.append(("all", *(sum(row[i] for row in rows[1:]) for i in range(1, len(rows[0])))))
    widths = [max(len(str(row[i])) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(str(cell).rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(lines)


def run(name, seed, folder, tries=None):
    """Return (outcome, detail) of each try of an attack, by default its number of them, in a process of its own."""
    attack = ATTACKS[name]
    with tempfile.TemporaryDirectory(dir=folder, ignore_cleanup_errors=True) as here:
        results, errors = Path(here, "results"), Path(here, "errors")
        work = Path(here, "work")
        work.mkdir()
        command = [sys.executable, "-X", "faulthandler", PROGRAM, name, str(seed), str(tries or attack.tries), results]
        with open(errors, "wb") as file:
            process = subprocess.Popen(
                command,
                cwd=work,
                env=os.environ | {"PYTHONPATH": str(ROOT), "FASTMLP_ATTACK_FOLDER": folder, "MPLBACKEND": "agg"},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
            try:
                status = process.wait(attack.timeout + 30)
            except subprocess.TimeoutExpired:
                status = None
            finally:
                kill_session(process)
        lines = results.read_text(encoding="utf-8").splitlines() if results.exists() else []
        said = errors.read_text(encoding="utf-8", errors="replace").strip()
    done = [tuple(json.loads(line)) for line in lines]
    if status is None or (status and "Timeout (" in said):
        done.append(("hang", f"not back after {attack.timeout} s\n{indent(said)}"))
    elif status:
        ended = signal.Signals(-status).name if status < 0 else f"exit status {status}"
        done.append(("crash", f"{ended}\n{indent(said)}"))
    return done


def kill_session(process):
    """End what is left of a process and those that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def indent(text, lines=40):
    return "\n".join(f"    | {line}" for line in text.splitlines()[-lines:])


def attack_here(name, seed, tries, results):
    """In the child: try an attack, and write down how each try ended as soon as it has."""
    import numpy as np

    attack = ATTACKS[name]
    # A hang is told with what every thread was doing. In a time that no signal of ours can extend.
    faulthandler.dump_traceback_later(attack.timeout, exit=True)
    with open(results, "a", encoding="utf-8") as file:
        for i in range(tries):
            try:
                outcome, detail = attack(np.random.default_rng([seed, i])), ""
            except DefectError as defect:
                outcome, detail = defect.outcome, str(defect)
            except Exception:
                outcome, detail = "unclear error", indent(traceback.format_exc()).lstrip()
            file.write(json.dumps((outcome, f"try {i}: {detail}" if detail else "")) + "\n")
            file.flush()
    faulthandler.cancel_dump_traceback_later()


if __name__ == "__main__":
    if len(sys.argv) == 5 and sys.argv[1] in ATTACKS:
        attack_here(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
    else:
        sys.exit(main())
