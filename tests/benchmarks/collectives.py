"""Measure collectives of two ranks: nbray and MPI (mpi4py with mpich) in turn, in one run.

    python -m tests.benchmarks.collectives              5 rounds, written beside results.md
    python -m tests.benchmarks.collectives --rounds 1 --quick

Each side takes the best of several runs per round, and the best round counts: what disturbs a
measurement only makes it longer. The goal: no slower than MPI from 1 MiB on, at most 3 times as
long for small arrays.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from . import report

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CHILD_LIMIT_S = 300
LARGE = ("1 MiB", "100 MiB")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.collectives")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="nothing is written")
    parser.add_argument("--strict", action="store_true", help="end with 1 when a goal is missed")
    parser.add_argument("--results", type=Path, default=HERE / "results", help="folder for the results")
    options = parser.parse_args()
    load = report.load()
    best: dict[str, dict[str, float]] = {"nbray": {}, "mpi": {}}
    library = {}
    for number in range(options.rounds):
        for side in best:
            print(f"round {number + 1} of {options.rounds}: {side}", file=sys.stderr)
            answer = child(side)
            library[side] = answer["library"]
            for case, value in answer["results"].items():
                best[side][case] = min(value, best[side].get(case, value))
    rows = [row(case, best["nbray"][case], best["mpi"][case]) for case in best["nbray"]]
    about = (
        f"{report.machine()}; {library['nbray']}, {library['mpi']}; best of {options.rounds} rounds; load {load:.2f}"
    )
    page = as_markdown(rows, about)
    print(page)
    if not options.quick:
        (options.results / "collectives.md").write_text(page)
        (options.results / "collectives.json").write_text(
            json.dumps({"about": about, "microseconds": best}, indent=2) + "\n"
        )
    return 1 if options.strict and any(one[-1] == "missed" for one in rows) else 0


def child(side: str) -> dict:
    """What one run of collectives_child.py says."""
    command = [sys.executable, str(HERE / "collectives_child.py"), side]
    if side == "mpi":
        beside = Path(sys.executable).with_name("mpiexec")
        command = [str(beside) if beside.exists() else shutil.which("mpiexec") or "mpiexec", "-n", "2", *command]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), str(HERE), os.environ.get("PYTHONPATH")])),
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=CHILD_LIMIT_S, check=False)
    for line in reversed(done.stdout.splitlines()):
        if line.startswith('{"library"'):
            return json.loads(line)
    raise SystemExit(f"{side} ended with {done.returncode} and no result:\n{done.stderr[-2000:]}")


def row(case: str, nbray_us: float, mpi_us: float) -> tuple[str, str, str, str, str, str]:
    """One line of the table."""
    goal = 1.0 if case.endswith(LARGE) else 3.0
    ratio = nbray_us / mpi_us
    return case, show(nbray_us), show(mpi_us), f"{ratio:.2f}", f"<= {goal:g}", "reached" if ratio <= goal else "missed"


def show(microseconds: float) -> str:
    """Three digits and a unit."""
    return f"{microseconds / 1000:.3g} ms" if microseconds >= 1000 else f"{microseconds:.3g} us"


def as_markdown(rows: list[tuple[str, ...]], about: str) -> str:
    """The page."""
    head = "| two ranks | nbray | MPI | nbray : MPI | goal | |\n|---|---|---|---|---|---|\n"
    lines = "".join("| " + " | ".join(one) + " |\n" for one in rows)
    return f"# Collectives beside MPI\n\n{about}.\n\nFrom Python: `nbray.collective` between two actors, mpi4py between two processes.\n\n{head}{lines}"


if __name__ == "__main__":
    sys.exit(main())
