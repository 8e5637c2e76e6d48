"""Measure what a person at a notebook notices: `%%remote` and ipyparallel's `%%px`, in turn, through real kernels.

    python -m tests.benchmarks.notebook                 5 rounds, written beside results.md
    python -m tests.benchmarks.notebook --rounds 1 --quick

Each round is a fresh kernel per library, with two workers or engines. Of each case the median of the rounds
counts; each round takes the median of its repetitions. All times are seen from outside of the kernel, by its
messages, but those of `%load_ext` and `import`, which the kernel takes itself. `import` is measured twice: in a
kernel that has just started, and in a plain interpreter, which has none of ipykernel's modules yet. What widgets
cost is processor time of the kernel, with them and without in turn.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jupyter_client.manager import KernelManager

from . import report

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
LIMIT_S = 60.0
MARK = "NBRAY_BENCH_KERNEL"  # in the environment of all that a kernel starts

# key -> (title, goal in seconds)
CASES = {
    "import_here": ("`import` of the library in a kernel", 0.080),
    "import": ("the same in a plain interpreter", 0.080),
    "load": ("`%load_ext nbray`, `import ipyparallel`", 0.150),
    "first": ("the first remote cell of a kernel: the cluster starts, a cell runs", 0.5),
    "pass": ("a remote cell of `pass`, over the same cell run here", 0.002),
    "print": ("from `print` on a worker to the message in the front end", 0.050),
    "interrupt": ("from the interrupt of a running cell to the prompt", 0.200),
    "array": ("a cell that reads an unchanged array of 1 GB, again, over `pass`", 0.005),
}

# key -> (title, goal as a share of one core)
SHARES = {
    "dashboard_idle": ("`nbray.dashboard()`, while the cluster idles", 0.01),
    "dashboard_stream": ("the same, while 100 tasks a second run", 0.01),
    "line_stream": ("the line under a cell of `--async` that runs these tasks", 0.01),
}
WINDOW_S = 5.0
SETTLE_S = 2.0  # for what opens and closes
N_WINDOWS = 3  # of each kind, in turn


class Kernel:
    """A kernel, its cells and the times of their messages."""

    def __init__(self) -> None:
        self.manager = KernelManager()
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.mark = f"{os.getpid()}-{time.monotonic_ns()}"
        self.manager.start_kernel(env={**os.environ, "PYTHONPATH": path, MARK: self.mark}, **quiet)
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=LIMIT_S)

    def run(
        self, code: str, see: Callable[[dict[str, Any], float], None] | None = None, may_fail: bool = False
    ) -> float:
        """Run a cell; returns the seconds until the kernel is idle again."""
        begin = time.perf_counter()
        request = self.client.execute(code, store_history=False)
        error = ""
        while True:
            message = self.client.get_iopub_msg(timeout=LIMIT_S)
            now = time.perf_counter()
            if message["parent_header"].get("msg_id") != request:
                continue
            if see is not None:
                see(message, time.time())
            if message["msg_type"] == "error":
                error = "\n".join(message["content"]["traceback"])
            if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                break
        while self.client.get_shell_msg(timeout=LIMIT_S)["parent_header"].get("msg_id") != request:
            pass
        if error and not may_fail:
            raise RuntimeError(error)
        return now - begin

    def text(self, code: str) -> str:
        """Run a cell and return what it prints."""
        parts: list[str] = []
        self.run(code, lambda message, _: parts.append(message["content"].get("text", "")))
        return "".join(parts)

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
        # Engines that still compute do not end with their cluster.
        wanted = f"{MARK}={self.mark}".encode()
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and wanted in (entry / "environ").read_bytes().split(b"\0"):
                    os.kill(int(entry.name), signal.SIGKILL)


class Nbray:
    """How the cases are said to nbray."""

    name = "nbray"
    load = "%load_ext nbray"
    start = ""  # at the first use
    magic = "%%remote\n"
    array = "import numpy as np\nlarge = np.ones(125_000_000)"
    touch = "%%remote\nlarge[5]"
    after_interrupt = "pass"
    stop = "import nbray\nnbray.shutdown()"
    module = "nbray"


class Ipyparallel:
    """How the cases are said to ipyparallel: engines know nothing of the notebook, so arrays are pushed."""

    name = "ipyparallel"
    load = "import ipyparallel"
    start = (
        "import ipyparallel as ipp, logging\ncluster = ipp.Cluster(n=2, log_level=logging.ERROR)\n"
        "clients = cluster.start_and_connect_sync()\nview = clients[:]\nview.block = True\nview.activate()\n"
    )
    magic = "%%px\n"
    array = "import numpy as np\nlarge = np.ones(125_000_000)"
    touch = "clients[0].push({'large': large}, block=True)\nclients[0].execute('large[5]', block=True)"
    # The engines go on with what they do; each needs a signal of its own.
    after_interrupt = (
        "import signal\ncluster.signal_engines_sync(signal.SIGINT)\n"
        "try:\n    view.execute('n = 0', block=True)\nexcept Exception:\n    pass"
    )
    stop = "cluster.stop_cluster_sync()"
    module = "ipyparallel"


def one_round(library: type[Nbray] | type[Ipyparallel]) -> dict[str, float]:
    """Measure all cases in a fresh kernel; seconds."""
    found: dict[str, float] = {}
    code = f"import time\nt = time.perf_counter()\nimport {library.module}\nprint(time.perf_counter() - t)"
    kernel = Kernel()
    try:
        found["import_here"] = float(kernel.text(code))
    finally:
        kernel.close()
    kernel = Kernel()
    try:
        timed = "import time\nt = time.perf_counter()\n{}\nprint(time.perf_counter() - t)"
        line = [sys.executable, "-c", code]
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
        environ = {**os.environ, "PYTHONPATH": path}
        environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package is compiled: the first run sees to that
        found["import"] = min(
            float(subprocess.run(line, env=environ, capture_output=True, text=True, check=True).stdout)
            for _ in range(2)
        )
        found["load"] = float(kernel.text(timed.format(library.load)))
        found["first"] = (kernel.run(library.start) if library.start else 0.0) + kernel.run(f"{library.magic}pass")
        found["pass"] = _over(kernel, f"{library.magic}pass", "pass", 40)
        found["print"] = statistics.median(_print_delay(kernel, library) for _ in range(15))
        found["interrupt"] = statistics.median(_interrupt(kernel, library) for _ in range(5))
        kernel.run(library.array)
        kernel.run(library.touch)
        found["array"] = _over(kernel, library.touch, "pass", 5)
        kernel.run(library.stop)
    finally:
        kernel.close()
    return found


STREAM = """
import threading, time, nbray
@nbray.remote
def step(): time.sleep(0.002)
ended = threading.Event()
def stream():
    while not ended.wait(0.1):
        nbray.get([step.remote() for _ in range(10)])
"""
CELL = """%%remote --async{}
import time
streamed = 0
while True:
    nbray.get([step.remote() for _ in range(10)])
    time.sleep(0.1)
"""


def what_widgets_cost() -> dict[str, float]:
    """Measure the processor time that the kernel uses more where widgets are shown, as shares of one core."""
    kernel = Kernel()
    try:
        kernel.run(Nbray.load)
        kernel.run(STREAM)
        kernel.run("%%remote\nnbray.get([step.remote() for _ in range(10)])")
        board, none = ("nbray_board = nbray.dashboard()", "nbray_board.close()"), ("pass", "pass")
        found = {"dashboard_idle": _share(kernel, none, board)}
        kernel.run("thread = threading.Thread(target=stream, daemon=True)\nthread.start()")
        found["dashboard_stream"] = _share(kernel, none, board)
        kernel.run("ended.set()\nthread.join()")
        stop = "nbray.cancel(streamed)"
        found["line_stream"] = _share(kernel, (CELL.format(" --quiet"), stop), (CELL.format(""), stop))
    finally:
        kernel.close()
    return found


def _share(kernel: Kernel, without: tuple[str, str], shown: tuple[str, str]) -> float:
    """Return the share of a core that the kernel uses more between two cells than between two others."""
    window = f"a = time.process_time()\ntime.sleep({WINDOW_S})\nprint(time.process_time() - a)"
    shares: dict[tuple[str, str], list[float]] = {without: [], shown: []}
    for _ in range(N_WINDOWS):
        for begin, end in (without, shown):
            kernel.run(begin)
            time.sleep(SETTLE_S)
            shares[begin, end].append(float(kernel.text(window)) / WINDOW_S)
            kernel.run(end)
    return statistics.median(shares[shown]) - statistics.median(shares[without])


def _over(kernel: Kernel, cell: str, other: str, times: int) -> float:
    pairs = [(kernel.run(cell), kernel.run(other)) for _ in range(times + 3)][3:]
    return statistics.median(pair[0] for pair in pairs) - statistics.median(pair[1] for pair in pairs)


def _print_delay(kernel: Kernel, library: Any) -> float:
    """Seconds from the first print of a cell that goes on for a while to its message."""
    seen: list[float] = []

    def see(message: dict[str, Any], now: float) -> None:
        text = message["content"].get("text", "") if message["msg_type"] == "stream" else ""
        for data in (text, message["content"].get("data", {}).get("text/plain", "")):
            if "stamp=" in data and not seen:
                seen.append(now - float(data.partition("stamp=")[2].split()[0]))

    kernel.run(f"{library.magic}import time\nprint(f'stamp={{time.time()}} ', flush=True)\ntime.sleep(0.15)", see)
    return seen[0]


def _interrupt(kernel: Kernel, library: Any) -> float:
    """Seconds from SIGINT to the kernel until it is idle; the cell runs Python code without a pause."""
    at: list[float] = []

    def see(message: dict[str, Any], now: float) -> None:
        if not at and message["msg_type"] != "execute_input" and "running" in str(message["content"]):
            time.sleep(0.1)
            at.append(time.perf_counter())
            kernel.manager.interrupt_kernel()

    begin = time.perf_counter()
    code = f"{library.magic}print('running', flush=True)\nn = 0\nwhile n >= 0: n += 1"
    took = kernel.run(code, see, may_fail=True)
    kernel.run(library.after_interrupt)
    return begin + took - at[0]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.notebook", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="write nothing")
    parser.add_argument("--only", choices=["nbray", "ipyparallel"])
    options = parser.parse_args()
    libraries = [each for each in (Nbray, Ipyparallel) if options.only in (None, each.name)]
    rounds: dict[str, list[dict[str, float]]] = {each.name: [] for each in libraries}
    for _ in range(options.rounds):
        for each in libraries:
            rounds[each.name].append(one_round(each))
    medians = {
        name: {key: statistics.median(one[key] for one in found) for key in CASES} for name, found in rounds.items()
    }
    costs = [what_widgets_cost()] if options.only in (None, Nbray.name) else []  # which has rounds of its own
    shares = {key: statistics.median(one[key] for one in costs) for key in SHARES} if costs else {}
    page = _page(medians, shares, options.rounds)
    print(page)
    if not options.quick and options.only is None:
        folder = HERE / "results"
        about = {"machine": report.machine(), "rounds": options.rounds, "load": os.getloadavg()[0]}
        (folder / "notebook.json").write_text(
            json.dumps({"about": about, "seconds": medians, "shares": shares}, indent=1) + "\n"
        )
        (folder / "notebook.md").write_text(page)
    return 0


def _page(medians: dict[str, dict[str, float]], shares: dict[str, float], rounds: int) -> str:
    lines = [
        "# `%%remote` and `%%px`, measured in turn", "",
        f"{report.machine()}; medians over {rounds} rounds, each a fresh kernel per library with 2 workers or engines. "
        "Made by `python -m tests.benchmarks.notebook`.", "",
        "| case | nbray | ipyparallel | ratio | goal | |", "|---|---|---|---|---|---|",
    ]  # fmt: skip
    for key, (title, goal) in CASES.items():
        ours, theirs = (medians.get(name, {}).get(key) for name in ("nbray", "ipyparallel"))
        ratio = f"{theirs / ours:.1f}x" if ours and theirs and ours > 0 else "-"
        verdict = "" if ours is None else "met" if ours <= goal else "missed"
        lines.append(f"| {title} | {_ms(ours)} | {_ms(theirs)} | {ratio} | {_ms(goal)} | {verdict} |")
    lines += [
        "",
        "Processor time that the kernel uses more, by what it shows:",
        "",
        "| shown | of one core | goal | |",
        "|---|---|---|---|",
    ]
    for key, (title, goal) in SHARES.items() if shares else ():
        share = max(shares[key], 0.0)
        lines.append(f"| {title} | {share:.2%} | {goal:.0%} | {'met' if share <= goal else 'missed'} |")
    lines += [
        "",
        "Engines of ipyparallel do not see the notebook's names, so its case of the array pushes it to one engine each "
        "time. Its interrupt is of the kernel that waits; whether engines stop is another matter.",
    ]
    return "\n".join(lines) + "\n"


def _ms(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:,.1f} ms"


if __name__ == "__main__":
    sys.exit(main())
