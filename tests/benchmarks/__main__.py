"""Run the benchmarks: nbray and Ray in turn, each in its own interpreter, medians over rounds.

    python -m tests.benchmarks                     everything, 3 rounds
    python -m tests.benchmarks --cases task,put_small --rounds 5
    python -m tests.benchmarks --only nbray        without Ray
    python -m tests.benchmarks --quick             one round, nothing written

Ray runs under the interpreter that NBRAY_BENCH_RAY_PYTHON names, or in `.venv-ray`, which is made when it is missing.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

from . import leftovers, report
from .ray_environment import ray_python
from .table import BY_KEY, CASES

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CHILD_LIMIT_S = 900
MILLION_LIMIT_S = 2400  # Ray takes about 8 minutes


def main() -> int:
    options = _options()
    libraries = [options.only] if options.only else ["nbray", "ray"]
    pythons = {"nbray": sys.executable}
    if "ray" in libraries:
        pythons["ray"] = ray_python(ROOT)
    load = report.load()
    leftovers.adopt()
    values: dict[str, dict[str, list[float]]] = {library: {} for library in libraries}
    for number in range(1, options.rounds + 1):
        for library in libraries:
            _tell(f"round {number} of {options.rounds}: {library}")
            for key, value in one_round(library, pythons[library], options.cases, number).items():
                values[library].setdefault(key, []).append(value)
    summary = report.summarize(values)
    print(report.as_text(summary))
    about = {
        "date": datetime.date.today().isoformat(),
        "machine": report.machine(),
        "python": platform.python_version(),
        "nbray": _version(pythons["nbray"], "nbray"),
        "ray": _version(pythons["ray"], "ray") if "ray" in pythons else "not measured",
        "rounds": options.rounds,
        "load": f"{load:.2f}",
    }
    if not options.quick:
        for path in report.write(options.results, options.name or about["date"], summary, about):
            _tell(f"written: {path.name}")
    return 1 if any(line["verdict"].startswith("missed") for line in summary.values()) and options.strict else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cases", help="names with commas between; all: " + ", ".join(BY_KEY), default="")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=["nbray", "ray"])
    parser.add_argument("--name", help="of the JSON file; the date when not given")
    parser.add_argument("--results", type=Path, default=HERE / "results", help="folder for the results")
    parser.add_argument("--quick", action="store_true", help="one round, nothing written")
    parser.add_argument("--strict", action="store_true", help="end with 1 when a target is missed")
    options = parser.parse_args()
    wanted = [key for key in options.cases.split(",") if key] or list(BY_KEY)
    for key in wanted:
        if key not in BY_KEY:
            parser.error(f"there is no case {key!r}")
    options.cases = [case.key for case in CASES if case.key in wanted]
    if options.quick:
        options.rounds = 1
    return options


def one_round(library: str, python: str, wanted: list[str], number: int) -> dict[str, float]:
    """One value per case: a fresh interpreter for each kind, and a kernel for the cell."""
    wanted = [key for key in wanted if BY_KEY[key].measures(library, number)]
    found: dict[str, float] = {}
    for kind in ("start", "work", "scale", "million"):
        keys = [key for key in wanted if BY_KEY[key].kind == kind]
        if not keys:
            continue
        answer = _child(library, python, kind, keys)
        found |= answer.get("results", {})
        if answer.get("parts"):
            _tell("  " + ", ".join(f"{name} {part:.3g}" for name, part in answer["parts"].items()))
        for key, error in answer.get("errors", {}).items():
            _tell(f"  {key} failed: {error}")
    if "remote_cell" in wanted and library == "nbray":
        from .remote_cell import measure  # needs Jupyter, which the other cases do without

        try:
            found["remote_cell"] = measure()
        except Exception as error:
            _tell(f"  remote_cell failed: {error}")
    return found


def _child(library: str, python: str, kind: str, keys: list[str]) -> dict[str, Any]:
    """Run child.py; a child that fails or hangs is told and gives nothing."""
    environment = {**os.environ, "NBRAY_BENCH_MARK": uuid.uuid4().hex, "RAY_USAGE_STATS_ENABLED": "0"}
    if library == "ray":
        environment.pop("PYTHONPATH", None)
    else:
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    command = [python, str(HERE / "child.py"), library, kind, *keys]
    limit_s = MILLION_LIMIT_S if kind == "million" else CHILD_LIMIT_S
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=limit_s)
    except subprocess.TimeoutExpired:
        _tell(f"  {library} gave no result in {limit_s} s")
        return {}
    finally:
        if left := leftovers.wait_for_end():
            _tell(f"  {library} has left these running: {', '.join(left)}")
    for line in reversed(done.stdout.splitlines()):
        if line.startswith('{"results"'):
            return json.loads(line)
    _tell(f"  {library} ended with {done.returncode} and no result:\n{done.stderr[-2000:]}")
    return {}


def _version(python: str, library: str) -> str:
    code = f"import {library}; print({library}.__version__)"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, cwd=ROOT)
    return done.stdout.strip() or "unknown"


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
