"""Measure what the records of tasks cost: nbray as it is, and built without them, in turn.

    python -m tests.benchmarks.recording                 30 rounds, written beside results.md
    python -m tests.benchmarks.recording --rounds 2 --quick

Fewer rounds say little: what wakes another process takes 1 to 3 times as long from one minute to the next. Each round is a fresh interpreter and cluster with 2 CPUs, for either build. Without records, nobody drains them either.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from . import report
from .timing import median

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
LIMIT = 1.05  # times as long
CASES = {
    "task": ("one task, there and back", 1e6, "us"),
    "tasks": ("10,000 tasks submitted, then one `get`; per task", 1e6, "us"),
    "calls": ("10,000 actor calls, then one `get`; per call", 1e6, "us"),
}

CHILD = """
import json, time
import nbray

nbray.init(num_cpus=2)

@nbray.remote
def echo(x):
    return x

@nbray.remote
class Actor:
    def echo(self, x):
        return x

def best(function, n):
    found = []
    for _ in range(n):
        start = time.perf_counter()
        function()
        found.append(time.perf_counter() - start)
    return sorted(found)[n // 2]

actor = Actor.remote()
for i in range(300):
    nbray.get([echo.remote(i), actor.echo.remote(i)])
print(json.dumps({
    "task": best(lambda: nbray.get(echo.remote(1)), 2000),
    "tasks": best(lambda: nbray.get([echo.remote(i) for i in range(10_000)]), 7) / 10_000,
    "calls": best(lambda: nbray.get([actor.echo.remote(i) for i in range(10_000)]), 7) / 10_000,
}))
nbray.shutdown()
"""


def build(folder: Path, flags: str) -> Path:
    """Make a copy of the package with its C module built so; returns where it is imported from."""
    shutil.copytree(ROOT / "nbray", folder / "nbray", ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    shutil.copytree(ROOT / "csrc", folder / "csrc", ignore=shutil.ignore_patterns("__pycache__"))
    environment = {**os.environ, "CFLAGS": f"{os.environ.get('CFLAGS', '')} {flags}"}
    subprocess.run([sys.executable, folder / "csrc" / "ffi_build.py"], env=environment, check=True, capture_output=True)
    subprocess.run([sys.executable, "-m", "compileall", "-q", folder / "nbray"], check=True)
    return folder


def measure(folder: Path) -> dict[str, float]:
    """Seconds of each case."""
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run([sys.executable, "-c", CHILD], env=environment, cwd=folder, check=True, capture_output=True)
    return json.loads(done.stdout)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.recording")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--quick", action="store_true", help="nothing is written")
    parser.add_argument("--results", type=Path, default=HERE / "results", help="folder for the results")
    options = parser.parse_args()
    load = report.load()
    found: dict[str, dict[str, list[float]]] = {case: {"with": [], "without": []} for case in CASES}
    with tempfile.TemporaryDirectory(prefix="nbray-recording-") as scratch:
        builds = {
            "with": build(Path(scratch, "with"), ""),
            "without": build(Path(scratch, "without"), "-DNBS_NO_EVENTS"),
        }
        for number in range(options.rounds):
            print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
            for side, folder in sorted(builds.items(), reverse=bool(number % 2)):
                for case, seconds in measure(folder).items():
                    found[case][side].append(seconds)
    about = f"{report.machine()}; 2 CPUs; median of {options.rounds} rounds; load {load:.2f}"
    page = as_markdown(found, about)
    print(page)
    if not options.quick:
        (options.results / "recording.md").write_text(page)
    return 0


def as_markdown(found: dict[str, dict[str, list[float]]], about: str) -> str:
    lines = [
        "# What the records of tasks cost",
        "",
        f"{about}. Both builds in turn, each round a fresh interpreter and cluster. Goal: at most 5 %.",
        "Made by `python -m tests.benchmarks.recording`.",
        "",
        "| case | with records | without | times as long | rounds, lowest to highest | |",
        "|---|---|---|---|---|---|",
    ]
    for case, sides in found.items():
        title, factor, unit = CASES[case]
        ours, theirs = median(sides["with"]), median(sides["without"])
        ratios = sorted(a / b for a, b in zip(sides["with"], sides["without"], strict=True))
        verdict = "met" if ours / theirs <= LIMIT else "missed"
        lines.append(
            f"| {title} | {ours * factor:.2f} {unit} | {theirs * factor:.2f} {unit} | {ours / theirs:.3f} | "
            f"{ratios[0]:.2f} to {ratios[-1]:.2f} | {verdict} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
