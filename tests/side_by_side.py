"""Run the tests in groups, two groups at a time: ``python tests/side_by_side.py [--jobs N] [arguments of pytest]``.

Most tests wait rather than compute, so two groups take little longer than one. Groups do not see each
other: each is a pytest of its own, with a temporary folder of its own in which clusters are found. What
a group says is shown when it is over, as a whole. All groups run, also after one has failed, and the
exit code is that of the first. With a path among the arguments there is one group: what lies there.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TESTS = ROOT / "tests"
NOT_HERE = {"benchmarks", "packages"}  # make bench, make test-packages

# The longest first, so that none is left to run alone at the end. What is in no group is the last one.
GROUPS = [
    ["faults"],
    ["cluster"],
    ["conformance"],
    ["bad_input"],
    ["notebook"],
    ["browser", "ext", "gpu"],
    ["process", "store"],
]
PYTEST_NOTHING_COLLECTED = 5


class Group:
    """A command that runs, or is over."""

    def __init__(self, name: str, command: list[str]) -> None:
        self.name = name
        self.began = time.monotonic()
        self.folder = tempfile.mkdtemp(prefix="nbt", dir="/tmp")  # short: the paths of sockets may be 108 bytes
        self.said = open(os.path.join(self.folder, "said"), "w+")  # closed in report()
        environment = {**os.environ, "TMPDIR": self.folder, "XDG_RUNTIME_DIR": ""}
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=self.said, stderr=subprocess.STDOUT
        )

    def report(self) -> tuple[int, list[str]]:
        """Show what it said; returns its exit code, 0 when there was nothing to do, and the lines that tell what failed."""
        code = self.process.wait()
        self.said.seek(0)
        text = self.said.read()
        self.said.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        code = 0 if code == PYTEST_NOTHING_COLLECTED else code
        verdict = "passed" if code == 0 else f"FAILED ({code})"
        print(f"---- {self.name}: {verdict} after {time.monotonic() - self.began:.0f} s ----\n{text}", flush=True)
        return code, [line for line in text.splitlines() if code and line.startswith(("FAILED ", "ERROR "))]


def commands(arguments: list[str]) -> list[tuple[str, list[str]]]:
    """Return (name, command) of all groups."""
    # The command, not the module: what is tested is the installed package, not the folder.
    pytest = [str(Path(sys.executable).parent / "pytest"), "-p", "no:cacheprovider"]
    paths = [argument for argument in arguments if (ROOT / argument.split("::")[0]).exists()]
    if paths:
        return [("tests", [*pytest, *arguments])]
    folders = sorted(path.name for path in TESTS.iterdir() if any(path.glob("**/test_*.py")))
    named = {name for group in GROUPS for name in group} | NOT_HERE
    groups = [*GROUPS, [name for name in folders if name not in named]]
    return [(" ".join(group), [*pytest, *(f"tests/{name}" for name in group), *arguments]) for group in groups if group]


def hear_interrupts() -> None:
    """Undo what a shell does to a program that it starts in the background: many tests interrupt theirs."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def main() -> int:
    hear_interrupts()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=2, help="groups at a time")
    options, arguments = parser.parse_known_args()
    waiting = commands(arguments)
    running: list[Group] = []
    first_code = 0
    failed: list[str] = []
    try:
        while waiting or running:
            while waiting and len(running) < options.jobs:
                name, command = waiting.pop(0)
                print(f"begins: {name}", flush=True)
                running.append(Group(name, command))
            time.sleep(0.1)
            for group in [group for group in running if group.process.poll() is not None]:
                running.remove(group)
                code, lines = group.report()
                first_code = first_code or code
                failed += [f"{group.name} failed", *lines] if code else []
    except KeyboardInterrupt:  # they got it, too, and end as pytest does
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for group in running:
            group.report()
        return 130
    print("\n".join(failed) or "all groups passed", flush=True)
    return first_code


if __name__ == "__main__":
    sys.exit(main())
