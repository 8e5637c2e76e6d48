"""Show what tasks print and display under the cell that submitted them.

Every task carries an *origin*, the id of the message that ran its cell; nested tasks
inherit it. The router remembers the header of that message and sends straight to the
front end with it, because ipykernel itself only knows the cell that runs now. Text is
coalesced for 50 ms; what is not text flushes the text before it, so the order stays.

Without a kernel (IPython in a terminal) everything goes to ``sys.stdout`` and to the
shell's display publisher. So does the output of the present cell while something else
than the kernel's own streams is installed, as ``%%capture`` does.

Threads: ``sink`` is called from any thread; ``_lock`` guards the buffers and the order
of sending. One thread flushes late text; it lives while the extension is loaded.
"""

from __future__ import annotations

import base64
import sys
import threading
import time
from collections import OrderedDict
from typing import Any

COALESCE_S = 0.05
MAX_ORIGINS = 5_000  # cells remembered; the output of older ones goes to the present cell
MAX_ENDED = 256  # ends of cells that nobody asked for
DISPLAY_KINDS = ("display_data", "update_display_data")


class OutputRouter:
    """Sends the output of tasks to the cell they belong to.

    Parameters
    ----------
    shell
        The IPython shell; its ``kernel``, if it has one, is used to send.
    ended_kind
        Kind of the message by which a cell's runner reports its end; kept for the magic.
    """

    def __init__(self, shell: Any, ended_kind: str) -> None:
        self.shell = shell
        self.kernel: Any = getattr(shell, "kernel", None)
        self._ended_kind = ended_kind
        self._lock = threading.RLock()
        self._parents: OrderedDict[str, Any] = OrderedDict()  # origin -> parent message
        self._texts: dict[str, list[tuple[str, str]]] = {}  # origin -> (stream, text)
        self._sent_at: dict[str, float] = {}
        self._ended: OrderedDict[str, Any] = OrderedDict()  # key of a cell -> its end
        self._own_streams = (sys.stdout, sys.stderr)
        self._own_publisher = shell.display_pub
        self._wake = threading.Event()
        self._flusher: threading.Thread | None = None
        self._closed = False
        self.origin = ""

    # --------------------------------------------------------------------- origins

    def enter_cell(self) -> str:
        """A cell begins: its tasks belong to it. Returns the origin."""
        parent = self._parent_now()
        header = parent.get("header", {}) if parent else {}
        self.origin = header.get("msg_id") or f"cell-{self.shell.execution_count}"
        with self._lock:
            self._parents[self.origin] = {"header": header}
            self._parents.move_to_end(self.origin)
            while len(self._parents) > MAX_ORIGINS:
                self._parents.popitem(last=False)
        return self.origin

    def _parent_now(self) -> Any:
        if self.kernel is None:
            return {}
        try:
            return self.kernel.get_parent("shell")
        except TypeError:  # ipykernel < 6
            return self.kernel.get_parent()

    # ------------------------------------------------------------------------ sink

    def sink(self, origin: str, kind: str, content: Any, meta: dict[str, Any]) -> None:
        """Take one piece of output from the runtime."""
        if kind == self._ended_kind:
            key, data = content
            with self._lock:
                self._ended[key] = data
                while len(self._ended) > MAX_ENDED:
                    self._ended.popitem(last=False)
            return
        with self._lock:
            if kind == "stream":
                self._texts.setdefault(origin, []).append(tuple(content))
                if time.monotonic() - self._sent_at.get(origin, 0.0) >= COALESCE_S:
                    self._flush(origin)
                else:
                    self._flush_later()
                return
            self._flush(origin)
            self._send(origin, kind, content)

    def take_end(self, key: str) -> Any:
        """Return (once) what the runner reported when the cell ``key`` ended, or None."""
        with self._lock:
            return self._ended.pop(key, None)

    # -------------------------------------------------------------------- flushing

    def flush(self) -> None:
        """Send all text that waits."""
        if not self._texts:
            return
        with self._lock:
            for origin in list(self._texts):
                self._flush(origin)

    def _flush(self, origin: str) -> None:
        pieces = self._texts.pop(origin, None)
        if not pieces:
            return
        joined: list[tuple[str, list[str]]] = []
        for name, text in pieces:
            if joined and joined[-1][0] == name:
                joined[-1][1].append(text)
            else:
                joined.append((name, [text]))
        for name, texts in joined:
            self._send(origin, "stream", {"name": name, "text": "".join(texts)})
        self._sent_at[origin] = time.monotonic()
        if len(self._sent_at) > MAX_ORIGINS:
            self._sent_at.clear()

    def _flush_later(self) -> None:
        if self._flusher is None:
            self._flusher = threading.Thread(target=self._flush_loop, name="nbray-output-router", daemon=True)
            self._flusher.start()
        self._wake.set()

    def _flush_loop(self) -> None:
        while not self._closed:
            self._wake.wait()
            self._wake.clear()
            time.sleep(COALESCE_S)
            self.flush()

    def close(self) -> None:
        """Send what waits and end the thread."""
        self.flush()
        self._closed = True
        self._wake.set()

    # --------------------------------------------------------------------- sending

    def _send(self, origin: str, kind: str, content: Any) -> None:
        if kind in DISPLAY_KINDS:
            content = _without_bytes(content)
        try:
            if self.kernel is None or (origin == self.origin and self._redirected()):
                self._send_local(kind, content)
            else:
                self._send_to_front_end(origin, kind, content)
        except Exception as error:  # output must never break the work
            print(f"nbray: output was lost: {type(error).__name__}: {error}", file=sys.__stderr__)

    def _redirected(self) -> bool:
        return (sys.stdout, sys.stderr) != self._own_streams or (self.shell.display_pub is not self._own_publisher)

    def _send_to_front_end(self, origin: str, kind: str, content: Any) -> None:
        if origin == self.origin:
            # What the cell itself printed before comes first.
            for stream in self._own_streams:
                stream.flush()
        parent = self._parents.get(origin) or self._parent_now()
        kernel = self.kernel
        kernel.session.send(kernel.iopub_socket, kind, content, parent=parent, ident=kernel._topic(kind))

    def _send_local(self, kind: str, content: Any) -> None:
        if kind == "stream":
            stream = sys.stdout if content["name"] == "stdout" else sys.stderr
            stream.write(content["text"])
            stream.flush()
        elif kind in DISPLAY_KINDS:
            self.shell.display_pub.publish(
                content["data"],
                content.get("metadata"),
                transient=content.get("transient"),
                update=kind == "update_display_data",
            )
        elif kind == "clear_output":
            self.shell.display_pub.clear_output(content.get("wait", False))

    def show_error(self, origin: str, error: BaseException, text: list[str]) -> None:
        """Show an error under a cell that has ended (``--async``)."""
        with self._lock:
            self._flush(origin)
            if self.kernel is None:
                self._send(origin, "stream", {"name": "stderr", "text": "\n".join(text) + "\n"})
            else:
                content = {"ename": type(error).__name__, "evalue": str(error), "traceback": text}
                self._send(origin, "error", content)


def _without_bytes(content: dict[str, Any]) -> dict[str, Any]:
    """Return display content that JSON can hold: pictures as base64 text."""
    data = {
        mime: base64.b64encode(value).decode() if isinstance(value, bytes) else value
        for mime, value in content.get("data", {}).items()
    }
    return {**content, "data": data}
