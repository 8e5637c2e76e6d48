"""Measure the panel and print a table; ``--write`` puts it into tests/benchmarks/results/panel.md as well.

Dashboards of other libraries are measured beside it where the environment names their Pythons (see peers.py).
Needs Chromium, the installed panel and ``labextension/lib`` (`make bench-panel` sees to all of them). All on one
machine: browser, server, kernel and workers share its processors.
"""

from __future__ import annotations

import argparse
import gzip
import http.server
import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests" / "browser"))

from lab import LabPage, LabServer, browser_tab, find_chromium

from . import peers

RESULT = ROOT / "tests" / "benchmarks" / "results" / "panel.md"
ON_RECORD = Path(__file__).with_name("peers.md")  # figures of other libraries, which are not measured again
SECONDS = 5.0  # of each drawing case
MIB = 2**20

Row = tuple[str, str, str, bool]  # case, measured, goal, met


# ---- drawing: the panel's own code in a page without JupyterLab ----


class _Files(http.server.SimpleHTTPRequestHandler):
    def translate_path(self, path: str) -> str:
        name = path.partition("?")[0].lstrip("/")
        base = ROOT / "labextension" if name.startswith("lib/") else Path(__file__).parent
        return str(base / name)

    def log_message(self, *args: Any) -> None:
        pass


def drawing() -> list[Row]:
    """Frames per second and layout."""
    from playwright.sync_api import sync_playwright

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Files)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    flags = ["--no-sandbox", "--js-flags=--expose-gc", "--enable-precise-memory-info"]
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=find_chromium(), args=flags)
            page = browser.new_page(viewport={"width": 1100, "height": 800})
            page.goto(f"http://127.0.0.1:{server.server_address[1]}/drawing.html")
            page.wait_for_function("window.ready")
            layouts = [page.evaluate("layout()") for _ in range(7)][2:]
            changing = page.evaluate(f"changing({SECONDS})")
            panning = page.evaluate(f"panning({SECONDS})")
            browser.close()
    finally:
        server.shutdown()
        server.server_close()
    whole, more = (statistics.median(run[key] for run in layouts) for key in ("all", "more"))
    fps, panned, heap = changing["fps"], panning["fps"], panning["heap"] / MIB
    return [
        ("10,000 tasks as dots, 15,000 edges, 200 changes per frame", f"{fps:.0f} fps, {changing['js']:.1f} ms a frame", "45 fps", fps >= 45),
        ("100,000 tasks in 1,000 groups, pan and zoom", f"{panned:.0f} fps", "30 fps", panned >= 30),
        ("browser heap then", f"{heap:.0f} MB", "200 MB", heap <= 200),
        ("layout of 10,000 nodes", f"{whole:.1f} ms", "20 ms", whole <= 20),
        ("100 nodes added to them", f"{more:.2f} ms", "2 ms", more <= 2),
    ]  # fmt: skip


# ---- the whole way: JupyterLab, a kernel, a cluster ----

PREPARE = """\
import nbray, os, threading, time
@nbray.remote
def noop(): pass
@nbray.remote
def stamp():
    time.sleep(0.23)
    return time.time()
def feed_thread():
    return next(t.native_id for t in threading.enumerate() if t.name == 'nbray-panel-feed')
def cpu(tid):
    fields = open(f'/proc/self/task/{tid}/stat').read().rpartition(')')[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')
def rss():
    return int(open('/proc/self/statm').read().split()[1]) * os.sysconf('SC_PAGE_SIZE')
nbray.get([noop.remote() for _ in range(2000)])
len(nbray.get([noop.remote() for _ in range(8000)]))"""

RATE = """\
def rate(n=30_000):
    start = time.perf_counter()
    nbray.get([noop.remote() for _ in range(n)])
    return n / (time.perf_counter() - start)
rate(), rate()
print(sorted(rate() for _ in range(5))[2])"""

PACED = """\
def paced(per_second, seconds):
    refs, start = [], time.perf_counter()
    for n in range(int(per_second * seconds)):
        refs.append(noop.remote())
        late = n / per_second - (time.perf_counter() - start)
        if late > 0.001:
            time.sleep(late)
    nbray.get(refs)
    return len(refs) / (time.perf_counter() - start)
thread = feed_thread()
before, start = cpu(thread), time.perf_counter()
reached = paced(5_000, 10)
print((cpu(thread) - before) / (time.perf_counter() - start), reached * 2)"""

ASLEEP = """\
def asleep():
    while not os.path.exists('asleep'):
        time.sleep(0.05)
    nbray.get([noop.remote() for _ in range(10_000)])
    before, start = rss(), time.perf_counter()
    for _ in range(50):
        nbray.get([noop.remote() for _ in range(10_000)])
    took = time.perf_counter() - start
    time.sleep(max(0.0, 60 - took))
    open('awake', 'w').write(f'{rss() - before} {took}')
asleep()"""

# Notes when the number of tasks that are done, as the panel says it, grows; the canvas is drawn in the same frame.
WATCH_DONE = """() => {
  window.seen = [];
  let last = -1;
  const look = () => {
    const item = [...document.querySelectorAll('.nbray-tree [role=treeitem]')].find(one => one.ariaLabel.startsWith('stamp,'));
    const done = Number(/(\\d+) done/.exec(item?.ariaLabel ?? '')?.[1] ?? 0);
    if (done > last) { last = done; window.seen.push([done, Date.now()]); }
    window.watching = requestAnimationFrame(look);
  };
  look();
}"""

OPEN = """async () => {
  const start = performance.now();
  await window.jupyterapp.commands.execute('nbray:open-panel', { area: 'right' });
  while (performance.now() - start < 60_000) {
    await new Promise(requestAnimationFrame);
    const item = document.querySelector('.nbray-tree [role=treeitem]');
    const canvas = document.querySelector('.nbray-canvas');
    if (item?.ariaLabel.includes('10,000 tasks') && canvas?.width > 100) {
      await new Promise(requestAnimationFrame);
      return performance.now() - start;
    }
  }
  throw new Error('no card of 10,000 tasks within a minute: ' + document.querySelector('.nbray-tree')?.innerText);
}"""


def whole_way() -> list[Row]:
    """What the panel costs, and how late it is."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory(prefix="nbx") as sessions:
        server = LabServer(Path(folder), XDG_RUNTIME_DIR=sessions)
        settings = Path(folder) / "settings" / "nbray-labextension"
        settings.mkdir()
        # Without badges a closed panel watches nothing.
        (settings / "panel.jupyterlab-settings").write_text(json.dumps({"cellBadges": False}))
        try:
            for case in (opening, rates, lateness, feed, sleeping):
                with browser_tab(server, width=1280, height=800) as tab:
                    tab.open()
                    tab.page.set_default_timeout(300_000)
                    tab.new_notebook()
                    tab.run_cell(PREPARE)
                    rows += case(tab)
                    tab.shut_down_kernels()
        finally:
            server.stop()
    return rows


def last_line(text: str) -> str:
    """The figures that a cell printed; advice may stand before them."""
    return text.strip().splitlines()[-1]


def opening(tab: LabPage) -> list[Row]:
    before = peers.heap_of(tab.page)
    took = tab.page.evaluate(OPEN)
    heap = peers.heap_of(tab.page)
    return [
        (peers.OPEN, f"{took:.0f} ms", "1 s", took <= 1000),
        (peers.HEAP, f"{heap:.0f} MB ({before:.0f} MB of it JupyterLab without the panel)", "200 MB", heap <= 200),
    ]


def rates(tab: LabPage) -> list[Row]:
    shares = []
    tab.run_cell(RATE.partition("rate(), rate()")[0])
    measure = "rate(), rate()" + RATE.partition("rate(), rate()")[2]
    hide = "() => window.jupyterapp.shell.collapseRight()"
    for _ in range(4):
        closed = float(last_line(tab.run_cell(measure)))
        tab.show_panel()
        tab.page.wait_for_selector(".nbray-tree [role=treeitem]", state="attached")
        opened = float(last_line(tab.run_cell(measure)))
        tab.page.evaluate(hide)
        shares.append((opened / closed, closed, opened))
    share, closed, opened = sorted(shares)[len(shares) // 2]
    return [(peers.RATE, f"{share:.0%} ({opened:,.0f}/s, {closed:,.0f}/s)", "95 %", share >= 0.95)]  # fmt: skip


def lateness(tab: LabPage) -> list[Row]:
    tab.show_panel()
    tab.page.evaluate(WATCH_DONE)
    printed = tab.run_cell("print(*[nbray.get(stamp.remote()) for _ in range(60)])")
    ends = [float(end) for end in last_line(printed).split()]
    tab.wait_for_count("FINISHED", 10_060)
    tab.page.wait_for_function("() => window.seen.at(-1)[0] >= 60")
    seen = tab.page.evaluate("() => window.seen")
    median, p95 = peers.lateness(ends, seen)
    return [(peers.LATE, f"{p95:.0f} ms (median {median:.0f} ms)", "250 ms", p95 <= 250)]  # fmt: skip


def feed(tab: LabPage) -> list[Row]:
    tab.show_panel()
    tab.page.wait_for_selector(".nbray-tree [role=treeitem]", state="attached")
    share, events = map(float, last_line(tab.run_cell(PACED)).split())
    return [("feed: the kernel's CPU at 10,000 events/s", f"{share:.1%} of a core ({events:,.0f} events/s)", "5 %", share <= 0.05)]  # fmt: skip


def sleeping(tab: LabPage) -> list[Row]:
    tab.show_panel()
    tab.page.wait_for_selector(".nbray-tree [role=treeitem]", state="attached")
    work = tab.server.folder / "work"
    tab.start_cell(ASLEEP)
    session = tab.page.context.browser.new_browser_cdp_session()
    pids = [
        int(one["id"]) for one in session.send("SystemInfo.getProcessInfo")["processInfo"] if one["type"] == "renderer"
    ]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        (work / "asleep").touch()
        deadline = time.monotonic() + 300
        while not (work / "awake").exists() or not (work / "awake").read_text():
            if time.monotonic() > deadline:
                raise RuntimeError("a million events took more than five minutes")
            time.sleep(0.2)
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    grown, took = map(float, (work / "awake").read_text().split())
    tab.wait_for_count("FINISHED", 510_000)
    told = "counts" if tab.panel.get_by_text("counts above are exact").count() else "shows all that is kept"
    said = f"{grown / MIB:.0f} MB, then {told}"
    return [(f"1,000,000 events, browser asleep for {max(60, took):.0f} s: the kernel grows by", said, "64 MB", grown < 64 * MIB)]  # fmt: skip


# ---- size ----


def size() -> list[Row]:
    """Build for production, and compress each file."""
    output = ROOT / "nbray_ext" / "labextension"
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) / "kept"
        if output.exists():
            shutil.copytree(output, kept)
        try:
            tools = Path(sys.executable).parent  # jlpm, and node where the machine has none
            path = os.pathsep.join([str(tools / "node-only"), str(tools), os.environ["PATH"]])
            subprocess.run(
                ["sh", "-c", "jlpm build:prod"], cwd=ROOT / "labextension", check=True, capture_output=True,
                env={**os.environ, "PATH": path},
            )  # fmt: skip
            files = [path for path in (output / "static").iterdir() if path.suffix in (".js", ".css")]
            total = sum(len(gzip.compress(path.read_bytes(), 9)) for path in files)
        finally:
            if kept.exists():
                shutil.rmtree(output, ignore_errors=True)
                shutil.copytree(kept, output)
    return [("the extension, compressed", f"{total / 1000:.0f} KB", "150 KB", total <= 150_000)]


# ---- the table ----


def table(rows: list[Row]) -> str:
    """The rows as Markdown."""
    lines = ["| case | measured | goal | met |", "|---|---|---|---|"]
    lines += [f"| {case} | {measured} | {goal} | {'yes' if met else 'no'} |" for case, measured, goal, met in rows]
    return "\n".join(lines)


def main() -> None:
    """Measure what is asked for."""
    cases: dict[str, Callable[[], list[Row]]] = {"drawing": drawing, "whole": whole_way, "size": size}
    with_peers = "peers"
    parser = argparse.ArgumentParser(description="Measure the panel.")
    parser.add_argument("cases", nargs="*", metavar="case", help=f"{', '.join([*cases, with_peers])} (default: all)")
    parser.add_argument("--write", action="store_true", help="into tests/benchmarks/results/panel.md")
    given = parser.parse_args()
    unknown = set(given.cases) - {*cases, with_peers}
    if unknown:
        parser.error(f"no such case: {', '.join(sorted(unknown))}")
    rows: list[Row] = []
    for name in given.cases or cases:
        if name != with_peers:
            rows += cases[name]()
            print(table(rows), flush=True)
    text = table(rows)
    if not given.cases or with_peers in given.cases:
        beside = peers.table(rows)
        print(beside, flush=True)
        text += f"\n\n## Beside the dashboards of others\n\n{beside}" if beside else ""
    if given.write:
        where = f"{os.cpu_count()} CPUs, Linux {platform.release()}, Python {platform.python_version()}, headless Chromium, software rendering"
        RESULT.write_text(
            f"# The panel, measured by `make bench-panel`\n\n{where}; {time.strftime('%Y-%m-%d')}.\n\n{text}\n\n{ON_RECORD.read_text()}"
        )


if __name__ == "__main__":
    main()
