"""A real kernel for the tests: run cells and look at their messages by parent header.

Nothing here waits for a time: every wait is for a message, with a limit that only a
failure reaches.
"""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from jupyter_client.manager import KernelManager
from traitlets.config import Config

from nbray.notebook.interrupt import PATIENCE_S, PROMPT_S

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 60.0
_folders: list[tempfile.TemporaryDirectory[str]] = []  # of sockets, gone with this process
LOAD = "%load_ext nbray\nimport nbray\nnbray.init(num_cpus=2)\nNone"


def own_sockets() -> dict[str, str]:
    """Settings of a KernelManager: sockets in a folder of the kernel's own.

    Ports are chosen before the kernel is started, and whoever takes one of them meanwhile ends it.
    """
    folder = tempfile.TemporaryDirectory(prefix="nbk", dir="/tmp")  # short: the paths of sockets may be 108 bytes
    _folders.append(folder)
    return {"transport": "ipc", "ip": f"{folder.name}/k"}


def headless() -> Config:
    """The same for a NotebookClient or papermill."""
    return Config({"KernelManager": own_sockets()})


class Cell:
    """One executed cell: its request's id and the messages that answered it so far."""

    def __init__(self, kernel: Kernel, msg_id: str) -> None:
        self.kernel = kernel
        self.msg_id = msg_id
        self.reply: dict[str, Any] | None = None

    @property
    def messages(self) -> list[dict[str, Any]]:
        return self.kernel.messages.get(self.msg_id, [])

    def of(self, *kinds: str) -> list[dict[str, Any]]:
        """Return the contents of the messages of these kinds, in order."""
        return [m["content"] for m in self.messages if m["msg_type"] in kinds]

    def text(self, name: str = "stdout") -> str:
        return "".join(c["text"] for c in self.of("stream") if c["name"] == name)

    def display(self, content: dict[str, Any]) -> list[dict[str, Any]]:
        """Return what a display of this cell, which ``content`` began, has shown so far.

        Updates find their display by its id: they come with whatever cell runs, beside those of other displays.
        """
        name = content["transient"]["display_id"]
        updates = sorted(
            (
                m
                for messages in self.kernel.messages.values()
                for m in messages
                if m["msg_type"] == "update_display_data"
            ),
            key=lambda m: m["header"]["date"],
        )
        return [content, *(m["content"] for m in updates if m["content"]["transient"]["display_id"] == name)]

    @property
    def value(self) -> str | None:
        """The text/plain of ``Out[n]``."""
        results = self.of("execute_result")
        return results[-1]["data"]["text/plain"] if results else None

    @property
    def error(self) -> dict[str, Any]:
        errors = self.of("error")
        assert errors, f"no error: {self.messages}"
        return errors[-1]

    @property
    def traceback(self) -> str:
        """The traceback without colours."""
        return strip_ansi("\n".join(self.error["traceback"]))

    @property
    def idle(self) -> bool:
        return any(c["execution_state"] == "idle" for c in self.of("status"))


class Kernel:
    """A kernel with the extension loaded."""

    def __init__(self, cwd: Path, load: bool = True, env: dict[str, str] | None = None, **manager: Any) -> None:
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
        ipython_dir = cwd / "ipython"
        self.manager = KernelManager(**own_sockets(), **manager)
        self.manager.start_kernel(
            cwd=str(cwd),
            env={
                **os.environ,
                "PYTHONPATH": path,
                "IPYTHONDIR": str(ipython_dir),
                "MPLBACKEND": "module://matplotlib_inline.backend_inline",
                **(env or {}),
            },
        )
        self.client = self.manager.client()
        self.client.start_channels()
        self.messages: dict[str, list[dict[str, Any]]] = {}
        self.load = load
        self._wait_until_heard()
        if load:
            self.ok(LOAD)

    def _wait_until_heard(self) -> None:
        """Wait until the kernel answers, and what it sends to all arrives here: a message of an earlier kernel says nothing."""
        self.client.wait_for_ready(timeout=LIMIT_S)
        end = time.monotonic() + LIMIT_S
        while True:
            asked = self.client.kernel_info()
            try:
                self.until(lambda asked=asked: asked in self.messages, 1.0)  # type: ignore[misc]
                return
            except AssertionError:
                assert time.monotonic() < end, "the kernel is not heard"

    def start(self, code: str, store_history: bool = True) -> Cell:
        """Send a cell and return at once."""
        return Cell(self, self.client.execute(code, store_history=store_history))

    def run(self, code: str) -> Cell:
        """Run a cell until the kernel is idle again and has replied."""
        return self.finish(self.start(code))

    def ok(self, code: str) -> Cell:
        """Run a cell that must not fail."""
        cell = self.run(code)
        assert cell.reply is not None
        if cell.reply["status"] != "ok":
            raise AssertionError(strip_ansi("\n".join(cell.reply.get("traceback", []))) + str(cell.reply))
        return cell

    def finish(self, cell: Cell) -> Cell:
        self.until(lambda: cell.idle)
        while cell.reply is None:
            reply = self.client.get_shell_msg(timeout=LIMIT_S)
            if reply["parent_header"].get("msg_id") == cell.msg_id:
                cell.reply = reply["content"]
        return cell

    def until(self, condition: Callable[[], bool], limit_s: float = LIMIT_S) -> None:
        """Take in messages until ``condition()`` holds."""
        end = time.monotonic() + limit_s
        while not condition():
            left = end - time.monotonic()
            assert left > 0, f"nothing of the kind within {limit_s} s:\n{self._lately()}"
            try:
                message = self.client.get_iopub_msg(timeout=min(left, 1.0))
            except Exception as error:
                if type(error).__name__ != "Empty":
                    raise
                continue
            parent = message["parent_header"].get("msg_id", "")
            self.messages.setdefault(parent, []).append(message)

    def _lately(self) -> str:
        """What came for the last cells, the newest first: a report of a failed test is cut at its end."""
        lines = []
        for parent, messages in reversed(list(self.messages.items())[-6:]):
            lines.append(f"of {parent}:")
            for message in messages[-40:]:
                content = dict(message["content"])
                if isinstance(data := content.get("data"), dict):
                    content["data"] = {kind: value for kind, value in data.items() if kind != "text/html"}
                lines.append(f"  {message['msg_type']} {str(content)[:400]}")
        return "\n".join(lines)

    def complete(self, code: str, cursor: int) -> list[str]:
        """Return what Tab offers."""
        return list(self._ask(self.client.complete(code, cursor))["matches"])

    def client_inspect(self, code: str) -> str:
        """Run a cell that opens the pager; returns its text without colours."""
        cell = self.run(code)
        assert cell.reply is not None
        return strip_ansi("".join(p["data"]["text/plain"] for p in cell.reply["payload"] if p["source"] == "page"))

    def debug(self, answers: list[str]) -> Cell:
        """Run ``%debug`` and type these lines into it."""
        cell = Cell(self, self.client.execute("%debug", allow_stdin=True))
        for answer in answers:
            self.client.get_stdin_msg(timeout=LIMIT_S)
            self.client.input(answer)
        return self.finish(cell)

    def _ask(self, msg_id: str) -> dict[str, Any]:
        while True:
            reply = self.client.get_shell_msg(timeout=LIMIT_S)
            if reply["parent_header"].get("msg_id") == msg_id:
                content: dict[str, Any] = reply["content"]
                return content

    @contextlib.contextmanager
    def patient(self) -> Iterator[None]:
        """A cell that is interrupted may take its time to say where it was: on a busy machine the prompt would be back before."""
        self.ok(
            "from nbray.notebook import interrupt as nbray_interrupt\n"
            f"nbray_interrupt.PROMPT_S = nbray_interrupt.PATIENCE_S = {LIMIT_S}"
        )
        try:
            yield
        finally:
            self.ok(f"nbray_interrupt.PROMPT_S, nbray_interrupt.PATIENCE_S = {PROMPT_S}, {PATIENCE_S}")

    def interrupt(self) -> None:
        pid = self.pid
        os.kill(pid, signal.SIGINT)

    def has(self, name: str) -> bool:
        """Tell whether there is a file of that name in the kernel's folder."""
        return Path(f"/proc/{self.pid}/cwd/{name}").exists()

    @property
    def pid(self) -> int:
        process = self.manager.provisioner.process  # type: ignore[union-attr]
        return int(process.pid)

    def restart(self) -> None:
        """Restart the kernel as the button does, and load the extension again."""
        self.manager.restart_kernel(now=True)
        self._wait_until_heard()
        self.messages.clear()
        if self.load:
            self.ok(LOAD)

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=False)


def strip_ansi(text: str) -> str:
    import re

    return re.sub(r"\x1b\[[0-9;]*m", "", text)
