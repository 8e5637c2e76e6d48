"""JupyterLab in a real browser, as small steps: start a server, open a notebook, run a cell, look at the panel."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

READY_S = 180  # a cold server on a busy machine
ACTION_MS = 120_000
END_S = 120
# Becomes the rest of its command line, which is told to end (SIGTERM) when the process that started it is gone, however
# that ended.
UNDER_PARENT = """\
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGTERM, 0, 0, 0)  # PR_SET_PDEATHSIG
if os.getppid() != int(sys.argv[1]):
    sys.exit("whoever wanted this server is gone")
os.execv(sys.argv[2], sys.argv[2:])"""


def find_chromium() -> str | None:
    """The browser of the machine, by the names that distributions give it."""
    for name in ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"):
        found = shutil.which(name)
        if found:
            return found
    return None


def own_port() -> int:
    """Return a free port that the system gives to nobody by itself: it is bound only later, by a server."""
    for port in random.sample(range(20_000, 30_000), 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("none of 100 ports is free")


class LabServer:
    """A JupyterLab of its own: own folder, own settings, own port, no token."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        for name in ("work", "config", "settings", "workspaces", "ipython"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        self.log_path = folder / "server.log"
        # Short: the kernels' sockets are in it, and their paths may be 108 bytes. Of ports, which are chosen before a kernel
        # is started, another process may take one meanwhile.
        self._runtime = tempfile.TemporaryDirectory(prefix="nbl", dir="/tmp")
        port = own_port()
        self.url = f"http://127.0.0.1:{port}"
        env = {
            **os.environ,
            "JUPYTER_CONFIG_DIR": str(folder / "config"),
            "JUPYTER_RUNTIME_DIR": self._runtime.name,
            "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
            "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
            "IPYTHONDIR": str(folder / "ipython"),
            **environment,
        }
        line = [
            *(sys.executable, "-c", UNDER_PARENT, str(os.getpid())),
            *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1"),
            *(f"--port={port}", "--ServerApp.port_retries=0", "--IdentityProvider.token="),
            "--KernelManager.transport=ipc",
            *("--ServerApp.disable_check_xsrf=True", "--LabApp.expose_app_in_browser=True"),
            "--JupyterNotebookApp.expose_app_in_browser=True",
            f"--ServerApp.root_dir={folder / 'work'}",
        ]
        # The "news" toast would lie over what is looked at.
        (folder / "settings" / "@jupyterlab" / "apputils-extension").mkdir(parents=True)
        quiet = {"fetchNews": "false", "checkForUpdates": False}
        notification = folder / "settings" / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
        notification.write_text(json.dumps(quiet))
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                line, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._wait_until_ready()

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_S
        while True:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"JupyterLab did not start:\n{self.log_path.read_text()[-4000:]}")
            with contextlib.suppress(OSError):
                urllib.request.urlopen(self.url + "/api", timeout=2).close()
                return
            time.sleep(0.1)

    def kernels(self) -> list[dict[str, Any]]:
        """The kernels that run, as the server tells."""
        with urllib.request.urlopen(self.url + "/api/kernels", timeout=END_S) as reply:
            return json.load(reply)

    def stop(self) -> None:
        """End the server, and with it the kernels."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)  # shuts the kernels down in order
            try:
                self.process.wait(END_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._runtime.cleanup()


class LabPage:
    """One tab with JupyterLab in it."""

    def __init__(self, page: Any, server: LabServer) -> None:
        self.page = page
        self.server = server
        page.set_default_timeout(ACTION_MS)

    def open(self, path: str = "/lab?reset") -> None:
        """Load JupyterLab and wait until it is there."""
        self.page.goto(self.server.url + path)
        self.page.wait_for_selector(".jp-Launcher, .jp-NotebookPanel")

    def run_command(self, command: str, **args: Any) -> Any:
        """Run a command of JupyterLab by its id."""
        return self.page.evaluate(
            "([command, args]) => window.jupyterapp.commands.execute(command, args).then(() => null)", [command, args]
        )

    def new_notebook(self, kernel: str = "nbray") -> None:
        """A new notebook, with its kernel ready."""
        before = self.page.locator(".jp-NotebookPanel").count()
        self.run_command("notebook:create-new", kernelName=kernel)
        self.page.wait_for_function("n => document.querySelectorAll('.jp-NotebookPanel').length > n", arg=before)
        self.wait_idle()

    def wait_idle(self) -> None:
        """Wait until the notebook in front is loaded and its kernel idle."""
        self.page.wait_for_function(
            """async () => {
              const panel = window.jupyterapp.shell.currentWidget;
              if (!panel?.sessionContext || !panel.content?.widgets) return false;
              await Promise.all([panel.context.ready, panel.revealed, panel.sessionContext.ready]);
              return panel.sessionContext.session?.kernel?.status === 'idle';
            }"""
        )

    def set_cell(self, source: str) -> None:
        """Write into the active cell of the notebook in front."""
        self.page.evaluate(
            """source => {
              const panel = window.jupyterapp.shell.currentWidget;
              panel.content.activeCell.model.sharedModel.setSource(source);
            }""",
            source,
        )

    def start_cell(self, source: str) -> None:
        """Run this text in the active cell and go to the next; does not wait for its end."""
        self.set_cell(source)
        self.page.evaluate("() => void window.jupyterapp.commands.execute('notebook:run-cell-and-select-next')")

    def run_cell(self, source: str) -> str:
        """Run this text and wait for its end; returns its text output."""
        count = self._cell_count()
        self.start_cell(source)
        self.page.wait_for_function(
            """n => {
              const panel = window.jupyterapp.shell.currentWidget;
              const cell = panel.content.widgets[n];
              return cell && cell.model.executionState === 'idle' && cell.model.executionCount > 0;
            }""",
            arg=count,
        )
        return self.cell_output(count)

    def _cell_count(self) -> int:
        return self.page.evaluate("() => window.jupyterapp.shell.currentWidget.content.activeCellIndex")

    def cell_output(self, index: int) -> str:
        """All text under a cell, without the line about its work."""
        return self.page.evaluate(
            """n => {
              const cell = window.jupyterapp.shell.currentWidget.content.widgets[n];
              return cell.model.outputs.toJSON().filter(o => !o.metadata?.nbray).map(o =>
                o.text ?? o.data?.['text/plain'] ?? `${o.ename}: ${o.evalue}`).flat().join('');
            }""",
            index,
        )

    def is_running(self) -> bool:
        """Whether a cell of the notebook in front runs."""
        return self.page.evaluate(
            "() => window.jupyterapp.shell.currentWidget.content.widgets.some(c => c.model.executionState === 'running')"
        )

    def interrupt(self) -> None:
        """Interrupt the kernel of the notebook in front."""
        self.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.interrupt()")

    def restart_kernel(self) -> None:
        """Restart the kernel of the notebook in front, without the question."""
        self.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
        self.wait_idle()

    def save(self) -> None:
        """Save the notebook in front, without the question for its name."""
        self.page.evaluate("() => window.jupyterapp.shell.currentWidget.context.save()")

    def notebook_path(self) -> str:
        """The path of the notebook in front, as the server knows it."""
        return self.page.evaluate("() => window.jupyterapp.shell.currentWidget.context.path")

    def reload(self) -> None:
        """Load the page again, as F5 does; the notebook comes back."""
        self.page.reload()
        self.page.wait_for_selector(".jp-NotebookPanel")

    def shut_down_kernels(self) -> None:
        """End every kernel of the server."""
        for kernel in self.server.kernels():
            url = f"{self.server.url}/api/kernels/{kernel['id']}"
            with contextlib.suppress(urllib.error.HTTPError):
                urllib.request.urlopen(urllib.request.Request(url, method="DELETE"), timeout=END_S).close()

    def show_panel(self, area: str = "right") -> None:
        """Open the nbray panel."""
        self.run_command("nbray:open-panel", area=area)
        self.page.wait_for_selector(".nbray-panel:visible")

    @property
    def panel(self) -> Any:
        """The panel, to look at."""
        return self.page.locator(".nbray-panel:visible")

    def wait_for_panel(self, text: str) -> None:
        """Wait until the panel says this."""
        self.panel.get_by_text(text).first.wait_for()

    def wait_for_count(self, state: str, least: int) -> int:
        """Wait until at least so many tasks are in this state; returns how many."""
        self.page.wait_for_function(
            """([state, least]) => {
              const number = document.querySelector(`.nbray-panel li[data-state='${state}'] b`);
              return number && Number(number.textContent.replaceAll(',', '')) >= least;
            }""",
            arg=[state, least],
        )
        return self.count(state)

    def count(self, state: str) -> int:
        """How many tasks the panel shows in this state."""
        return int(self.panel.locator(f"li[data-state='{state}'] b").inner_text().replace(",", ""))

    def fact(self, noun: str) -> int:
        """How many workers, actors or nodes the panel shows, in its tab Nodes."""
        self.show_tab("Nodes")
        text = self.panel.locator(f"[data-fact='{noun}']").inner_text()
        return int(re.sub(r"\D", "", text))

    def show_tab(self, name: str) -> None:
        """Choose a view of the panel."""
        self.panel.get_by_role("tab", name=name).click()

    def group(self, words: str) -> Any:
        """A group of tasks, by what a screen reader says of it; waits until it is so."""
        item = self.panel.get_by_role("treeitem", name=words)
        item.first.wait_for(state="attached")
        return item.first

    def wait_until_drawn(self) -> None:
        """Wait for two frames: what was asked for before is on the page then, and laid out."""
        self.page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def hover(self, x: float, y: float) -> None:
        """Move the pointer there; what is said beside it is of this place then, and not of the one before."""
        self.page.mouse.move(x, y)
        self.wait_until_drawn()

    def set_theme(self, name: str) -> None:
        """`JupyterLab Light` or `JupyterLab Dark`."""
        self.run_command("apputils:change-theme", theme=name)
        wanted = "false" if "Dark" in name else "true"
        self.page.wait_for_selector(f"body[data-jp-theme-light='{wanted}']", state="attached")

    def set_panel_width(self, width: int) -> None:
        """Drag the edge of the right side until the panel has about this many pixels."""
        mouse = self.page.mouse
        deadline = time.monotonic() + ACTION_MS / 1000
        while abs((panel := self.panel.bounding_box())["width"] - width) > 2:
            assert time.monotonic() < deadline, panel
            y = panel["y"] + panel["height"] / 2
            mouse.move(panel["x"] - 1, y)
            mouse.down()
            mouse.move(panel["x"] - 1 + panel["width"] - width, y, steps=5)
            mouse.up()
            # JupyterLab lays out anew at its next frame; the edge may have been elsewhere by the time it was taken.
            self.wait_until_drawn()


def saved(lab: LabPage, command: str, **args: str) -> bytes:
    """What a command saves as a file."""
    with lab.page.expect_download() as download:
        lab.run_command(command, **args)
    return download.value.path().read_bytes()


@contextlib.contextmanager
def browser_tab_beside(lab: LabPage) -> Iterator[LabPage]:
    """A tab of another client: the same browser program, nothing in common with the first tab."""
    context = lab.page.context.browser.new_context(viewport={"width": 1240, "height": 800})
    try:
        yield LabPage(context.new_page(), lab.server)
    finally:
        context.close()


@contextlib.contextmanager
def browser_tab(server: LabServer, width: int = 1240, height: int = 800, **options: Any) -> Iterator[LabPage]:
    """A tab in a browser of its own."""
    from playwright.sync_api import sync_playwright

    executable = find_chromium()
    if executable is None:
        raise RuntimeError("There is no Chromium on this machine; `make test` as root installs Debian's.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        try:
            context = browser.new_context(viewport={"width": width, "height": height}, **options)
            yield LabPage(context.new_page(), server)
        finally:
            browser.close()
