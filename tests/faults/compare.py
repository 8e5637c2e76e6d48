"""The fault tests that Ray can be put through as well, on both libraries, side by side.

    python -m tests.faults.compare [--full] [--only F1,F2] [--library nbray|ray] [--write]

Each row runs in a process of its own, by the public API alone, and prints what it reached as JSON. ``--full`` takes
the length that figures are judged on (about an hour for both), else a sixth or less. ``--write`` puts the figures into
results.md. A row that hangs is ended after its time and says so.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
TABLE = HERE / "results.md"
BEGIN, END = "<!-- compare.py: begin -->", "<!-- compare.py: end -->"
MIB = 2**20
TIME_LIMIT_S = 1500

ray: Any = None  # the library under test
full = False


def scaled(short: int, long: int) -> int:
    return long if full else short


def start(**options: Any) -> None:
    ray.init(num_cpus=2, log_to_driver=False, object_store_memory=options.pop("store", 200 * MIB), **options)
    ray.get([ray.remote(lambda: None).remote() for _ in range(4)])  # the workers are there


class Killer:
    """Kills a worker now and then, one of those whose process ids the tasks wrote into a folder."""

    def __init__(self, folder: str, period_s: float) -> None:
        self.folder = Path(folder)
        self.period_s = period_s
        self.kills = 0
        self.dice = random.Random(1)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Killer:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self.period_s):
            names = os.listdir(self.folder)
            self.dice.shuffle(names)
            for name in names:
                (self.folder / name).unlink(missing_ok=True)
                try:
                    os.kill(int(name), signal.SIGKILL)
                except ProcessLookupError:
                    continue
                self.kills += 1
                break


def i_am_here(folder: str) -> None:
    """A task tells the killer of its process."""
    Path(folder, str(os.getpid())).touch()


# ------------------------------------------------------------------------------- rows


def f1(folder: str) -> str:
    start()
    count = scaled(1000, 20_000)

    def work(i: int) -> int:
        i_am_here(folder)
        end = time.perf_counter() + 0.001 + i % 10 * 0.001
        while time.perf_counter() < end:
            pass
        return i * i

    task = ray.remote(max_retries=-1)(work)

    def run() -> float:
        began = time.monotonic()
        results = ray.get([task.remote(i) for i in range(count)])
        assert results == [i * i for i in range(count)], "wrong results"
        return time.monotonic() - began

    quiet = run()
    with Killer(folder, 0.2) as killer:
        stormy = run()
    return f"{count} right, {killer.kills} kills, {stormy / quiet:.2f}x as long ({quiet:.1f} s without kills)"


def f2(folder: str) -> str:
    start()
    rounds = scaled(100, 2000)

    @ray.remote(max_retries=0)
    def suicide() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    worst, began = 0.0, time.monotonic()
    for _ in range(rounds):
        one = time.monotonic()
        try:
            ray.get(suicide.remote(), timeout=60)
        except ray.exceptions.WorkerCrashedError:
            worst = max(worst, time.monotonic() - one)
        else:
            raise AssertionError("no error")
    return f"{rounds} of {rounds}, {1000 * (time.monotonic() - began) / rounds:.0f} ms each, worst {worst:.2f} s"


def f16(folder: str) -> str:
    start()
    calls = scaled(100, 600)

    class Reporter:
        def add(self, i: int) -> int:
            i_am_here(folder)
            time.sleep(0.03)
            return i

    actors = [ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(Reporter).remote() for _ in range(4)]
    ray.get([actor.add.remote(0) for actor in actors])
    began = time.monotonic()
    with Killer(folder, 0.3) as killer:
        refs = [[actor.add.remote(i) for i in range(calls)] for actor in actors]
        for of_one in refs:
            assert ray.get(of_one) == list(range(calls))
    return f"4 x {calls} arrived, {killer.kills} kills, {time.monotonic() - began:.1f} s"


def f17(folder: str) -> str:
    import numpy as np

    start(store=256 * MIB)
    items, refs_in_all = scaled(17, 100), scaled(170, 1000)

    @ray.remote(max_retries=-1)
    def stream(n: int) -> Any:
        i_am_here(folder)
        for i in range(n):
            time.sleep(0.008)  # long enough to be killed now and then, short enough to end before the next kill
            yield np.full(MIB, i % 251, np.uint8)

    @ray.remote(max_retries=-1)
    def borrow(held: list[Any], i: int) -> bool:
        i_am_here(folder)
        time.sleep(0.01)
        return bool((ray.get(held[0]) == i % 251).all())

    with Killer(folder, 0.3) as killer:
        for generator in [stream.remote(items) for _ in range(4)]:
            got = [ray.get(ref) for ref in generator]
            assert [int(one[0]) for one in got] == [i % 251 for i in range(items)]
        for first in range(0, refs_in_all, 100):
            numbers = range(first, min(first + 100, refs_in_all))
            kept = [ray.put(np.full(MIB // 4, i % 251, np.uint8)) for i in numbers]
            assert all(ray.get([borrow.remote([ref], i) for ref, i in zip(kept, numbers, strict=True)]))
    return f"4 x {items} items and {refs_in_all} borrowed refs right, {killer.kills} kills"


def f18(folder: str) -> str:
    limits = {} if ray.__name__ == "ray" else {"_system_config": {"memory_limit_bytes": 600 * MIB}}
    if ray.__name__ == "ray":
        return "not run: Ray's monitor knows the whole machine's memory alone"
    start(store=64 * MIB, **limits)
    rounds = scaled(3, 20)

    @ray.remote(max_retries=0)
    def eat() -> int:
        eaten = []
        for _ in range(1500):
            eaten.append(bytearray(b"x") * MIB)
            time.sleep(0.002)
        return len(eaten)

    neighbour = ray.remote(lambda i: i + 1)
    for _ in range(rounds):
        hog = eat.remote()
        try:
            ray.get(hog)
        except ray.exceptions.OutOfMemoryError as error:
            assert "MiB" in str(error) or "GiB" in str(error)
        else:
            raise AssertionError("no error")
        assert ray.get([neighbour.remote(i) for i in range(10)]) == list(range(1, 11))
    return f"{rounds} of {rounds} with figures, neighbours right"


def f19(folder: str) -> str:
    import numpy as np

    start(store=256 * MIB if full else 96 * MIB)
    count = scaled(96, 256)  # of 8 MiB: 2 GiB, or 0.75 GiB in a store of 96 MiB
    began = time.monotonic()
    refs = [ray.put(np.full(MIB, i, np.int64)) for i in range(count)]
    for i, ref in enumerate(refs):
        value = ray.get(ref)
        assert value[0] == i and (value == i).all(), f"object {i} is wrong"
        del value
    return f"{count * 8 / 1024:.2f} GiB bit-exact in {time.monotonic() - began:.1f} s"


def f20(folder: str) -> str:
    rounds = scaled(5, 100)
    worst = 0.0
    program = (
        f"import importlib, sys\nray = importlib.import_module({ray.__name__!r})\n"
        "ray.init(num_cpus=2, log_to_driver=False, object_store_memory=100 * 2**20)\n"
        "work = ray.remote(lambda i: i)\nray.get([work.remote(i) for i in range(10)])\nprint('ready', flush=True)\n"
        "while True: ray.get([work.remote(i) for i in range(10)])\n"
    )
    for number in range(rounds):
        mark = f"{os.environ['NBRAY_FAULT_ROW']}-{number}"
        environ = {**os.environ, "NBRAY_FAULT_DRIVER": mark}
        driver = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, env=environ, text=True)
        while driver.stdout.readline().strip() != "ready":  # type: ignore[union-attr]
            assert driver.poll() is None, "the driver did not start"
        time.sleep(random.uniform(0, 0.3))
        driver.kill()
        driver.wait()
        began = time.monotonic()
        while alive := marked(f"NBRAY_FAULT_DRIVER={mark}"):
            if time.monotonic() - began > 120:
                raise AssertionError(f"{len(alive)} processes were left after 120 s")
            time.sleep(0.02)
        worst = max(worst, time.monotonic() - began)
    return f"{rounds} rounds, all processes gone after {worst:.1f} s at the latest"


def s20(folder: str) -> str:
    rounds = scaled(3, 100)
    slowest, left = 0.0, 0
    program = (
        f"import importlib, sys, time\nbegan = time.monotonic()\nray = importlib.import_module({ray.__name__!r})\n"
        "ray.init(num_cpus=2, log_to_driver=False, object_store_memory=100 * 2**20)\n"
        "print('ready', time.monotonic() - began, flush=True)\n"
        "kept = [ray.put(bytes(2**20)) for _ in range(20)]\nprint('full', flush=True)\ntime.sleep(1000)\n"
    )
    for number in range(rounds):
        mark = f"NBRAY_FAULT_DRIVER={os.environ['NBRAY_FAULT_ROW']}-{number}"
        environ = {**os.environ, **dict([mark.split("=")])}
        before = set(os.listdir("/dev/shm"))
        driver = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, env=environ, text=True)
        words = [driver.stdout.readline().split() for _ in range(2)]  # type: ignore[union-attr]
        slowest = max(slowest, float(words[0][1]))
        deadline = time.monotonic() + 120
        while pids := marked(mark):  # those that are being started, too
            assert time.monotonic() < deadline, "they do not die"
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        driver.wait()
        left += len(set(os.listdir("/dev/shm")) - before)
    return f"{rounds} rounds, {left} files left in /dev/shm; slowest init with import {slowest:.1f} s"


def s22(folder: str) -> str:
    import numpy as np

    start(store=100 * MIB)
    rounds = scaled(3, 30)
    for number in range(rounds):
        view = ray.get(ray.put(np.full(MIB, number, np.uint8)))
        for i in range(125):
            ray.put(np.full(8 * MIB, i, np.uint8))
        assert (view == number).all(), "the view has changed"
        try:
            view[0] = 1
        except ValueError:
            continue
        raise AssertionError("the view could be written to")
    return f"{rounds} views unchanged while ten times the store went through, writing refused"


def f27(folder: str) -> str:
    start()
    dice, count = random.Random(1), scaled(300, 2000)

    @ray.remote(max_retries=0)
    def work(i: int) -> int:
        time.sleep(0.002)
        return i

    @ray.remote(max_retries=0)
    def nested(i: int) -> int:
        return ray.get(work.remote(i))

    right = cancelled = 0
    worst = 0.0
    for first in range(0, count, 100):
        refs = [(nested if i % 3 == 0 else work).remote(i) for i in range(first, first + 100)]
        for ref in dice.sample(refs, 50):
            ray.cancel(ref, force=dice.random() < 0.2)
        for i, ref in enumerate(refs, first):
            began = time.monotonic()
            try:
                assert ray.get(ref, timeout=60) == i
                right += 1
            except (ray.exceptions.TaskCancelledError, ray.exceptions.WorkerCrashedError):
                cancelled += 1
            worst = max(worst, time.monotonic() - began)
    began = time.monotonic()
    while ray.available_resources().get("CPU") != 2:
        assert time.monotonic() - began < 60, "processors were lost"
        time.sleep(0.05)
    return f"{count // 2} cancels of {count} tasks: {right} right, {cancelled} ended; longest wait {worst:.1f} s"


def j7(folder: str) -> str:
    start()
    kept = ray.put(b"x" * MIB)
    calls = {"get": lambda: ray.get(kept), "put": lambda: ray.put(1), "remote": lambda: ray.remote(int).remote()}
    found = []
    for name, call in calls.items():
        reader, writer = os.pipe()
        began = time.monotonic()
        pid = os.fork()
        if pid == 0:
            try:
                call()
                os.write(writer, b"no error")
            except BaseException as error:
                os.write(writer, f"{type(error).__name__} after {1000 * (time.monotonic() - began):.0f} ms".encode())
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as pipe:
            said = pipe.read() if select.select([pipe], [], [], 20)[0] else "no end in 20 s"
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        found.append(f"{name}: {said or 'died'}")
    try:
        assert ray.get(ray.remote(lambda: 7).remote(), timeout=30) == 7
        found.append("parent unharmed")
    except Exception as error:
        found.append(f"**the parent fails**: {type(error).__name__}")
    return "; ".join(found)


def marked(mark: str) -> list[int]:
    """Processes with this in their environment."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if mark.encode() in (entry / "environ").read_bytes() and (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


ROWS = {
    "S20": (s20, "all processes are killed at once", "nothing left; next init <= 2 s"),
    "S22": (s22, "a view is kept while ten times the store goes through", "view unchanged, writing refused"),
    "F1": (f1, "a worker is killed every 200 ms under tasks of 1 to 10 ms", "100 % right, <= 2.0x as long, <= Ray's"),
    "F2": (f2, "a task kills its own worker, `max_retries=0`", "2,000 x `WorkerCrashedError`, no hang"),
    "F16": (f16, "actors with retries are killed while calls are queued", "all arrive, in order"),
    "F17": (f17, "streams of 1 MiB items, borrowed refs of 256 KiB, kills", "counts exact"),
    "F18": (f18, "a task allocates without end", "`OutOfMemoryError` with figures; neighbours right; no daemon killed"),
    "F19": (f19, "a working set eight times the store", "bit-exact"),
    "F20": (f20, "the driver is killed", "all processes gone <= 5 s"),
    "F27": (f27, "random cancels of plain and nested tasks, a fifth with force", "no leak, no hang, the right error"),
    "J7": (j7, "fork after init: what the child's calls do", "typed error <= 100 ms, parent unharmed"),
}


# ---------------------------------------------------------------------------- running


def run_row(name: str) -> None:
    """In a process of its own: one row, on one library."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            answer = ROWS[name][0](folder)
        except Exception as error:
            answer = f"**failed**: {type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else ''}"
    print(json.dumps({"figure": answer}), flush=True)
    if ray.is_initialized():
        ray.shutdown()


def figure(name: str, library: str, python: str, length: list[str]) -> str:
    """Run a row in a new process; what it reached, or how it ended."""
    key = f"{name}-{library}-{os.getpid()}"
    environ = {**os.environ, "NBRAY_FAULT_ROW": key}
    command = [python, str(Path(__file__)), "--row", name, "--library", library, *length]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environ, cwd=ROOT
    )
    try:
        out, _ = process.communicate(timeout=TIME_LIMIT_S)
    except subprocess.TimeoutExpired:
        out = ""
    process.kill()
    process.wait()
    for pid in marked(f"NBRAY_FAULT_ROW={key}"):  # what a row that failed left behind
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    for line in out.splitlines():
        if line.startswith('{"figure"'):
            return json.loads(line)["figure"]
    return "**no end** in time" if not out else "**died**"


def main() -> None:
    global ray, full
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--only", default=",".join(ROWS))
    parser.add_argument("--library", choices=["nbray", "ray"])
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--row", help=argparse.SUPPRESS)
    given = parser.parse_args()
    full = given.full
    if given.row:
        import importlib

        ray = importlib.import_module(given.library)
        run_row(given.row)
        return
    pythons = {"nbray": sys.executable, "ray": ""}
    libraries = [given.library] if given.library else ["nbray", "ray"]
    if "ray" in libraries:
        pythons["ray"] = subprocess.check_output(
            [sys.executable, "-m", "tests.benchmarks.ray_environment"], cwd=ROOT, text=True
        ).strip()
    found: dict[str, dict[str, str]] = {}
    for name in given.only.split(","):
        for library in libraries:
            text = figure(name, library, pythons[library], ["--full"] if full else [])
            found.setdefault(name, {})[library] = text
            print(f"{name} {library}: {text}", flush=True)
            if given.write:
                write(found)


def write(found: dict[str, dict[str, str]]) -> None:
    """Put the figures into the table; rows that were not run keep theirs."""
    text = TABLE.read_text()
    begin, end = text.index(BEGIN) + len(BEGIN), text.index(END)
    old = {}
    for line in text[begin:end].strip().splitlines()[2:]:
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        old[cells[0]] = {"nbray": cells[3], "ray": cells[4]}
    lines = ["| id | what | figure to reach | nbray | Ray 2.60 |", "|---|---|---|---|---|"]
    for name, (_, what, wanted) in ROWS.items():
        now = {**old.get(name, {}), **found.get(name, {})}
        lines.append(f"| {name} | {what} | {wanted} | {now.get('nbray', 'n. m.')} | {now.get('ray', 'n. m.')} |")
    TABLE.write_text(f"{text[:begin]}\n" + "\n".join(lines) + f"\n{text[end:]}")


if __name__ == "__main__":
    main()
