"""Small lines under a cell that tell what its work on the cluster does, until it is done.

A line is plain text and HTML at once, so that every front end and the saved notebook show
something true. Where core ipywidgets are there, a line whose work can be stopped gets a
button. One thread refreshes all lines; it ends when there is none.
"""

from __future__ import annotations

import html
import importlib.util
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from typing import Any

from .output_router import OutputRouter

PERIOD_S = 0.25
BUTTON_AFTER_S = 0.5  # what is done sooner needs none
STYLE = "color:var(--jp-ui-font-color2,#757575);font-size:90%"


class LiveLine:
    """One line.

    Parameters
    ----------
    origin
        The cell it stands under.
    describe
        Returns the present text.
    stop
        Called when the user presses the button; None: there is none.
    after_s
        Seconds before it is shown at all.
    """

    def __init__(
        self, lines: LiveLines, origin: str, describe: Callable[[], str], stop: Callable[[], Any] | None, after_s: float
    ) -> None:
        self._lines = lines
        self._origin = origin
        self.describe = describe
        self._stop = stop
        self._born = time.monotonic()
        self._after_s = after_s
        self._display_id = f"nbray-{uuid.uuid4().hex}"
        self.shown = ""
        self._widget: Any = None  # (box, label)
        self._lock = threading.RLock()
        self._done = False

    @property
    def age_s(self) -> float:
        """Seconds since it was made."""
        return time.monotonic() - self._born

    def refresh(self) -> None:
        """Show the present text, if it is time to."""
        with self._lock:
            if self._done or self.age_s < self._after_s:
                return
            if self._stop is not None and self._widget is None and self.age_s > BUTTON_AFTER_S:
                self._make_button()
            text = self.describe()
            if text and text != self.shown:
                self._put(text)

    def finish(self, text: str) -> None:
        """Replace the line for good; one that was never shown stays away."""
        with self._lock:
            if self._done:
                return
            self._done = True
            self._lines.remove(self)
            widget, self._widget = self._widget, None
            if self.shown:
                self._put(text)
                self._lines.ended.append(self)
            if widget is not None:
                for part in (*widget[0].children, widget[0]):
                    part.close()

    def repeat(self) -> None:
        """Send the last text again."""
        if self._lines.router.kernel is not None:
            self._put(self.shown)

    def _put(self, text: str) -> None:
        first, self.shown = not self.shown, text
        router = self._lines.router
        if router.kernel is None:
            if first or self._done:
                router.show(self._origin, "stream", {"name": "stderr", "text": f"nbray: {text}\n"})
            return
        data: dict[str, Any] = {"text/plain": text, "text/html": f'<span style="{STYLE}">{html.escape(text)}</span>'}
        if self._widget is not None:
            box, label = self._widget
            label.value = data["text/html"]
            data["application/vnd.jupyter.widget-view+json"] = {
                "version_major": 2, "version_minor": 0, "model_id": box.model_id,
            }  # fmt: skip
        content = {"data": data, "metadata": {}, "transient": {"display_id": self._display_id}}
        router.show(self._origin, "display_data" if first else "update_display_data", content)

    def _make_button(self) -> None:
        stop, self._stop = self._stop, None
        if self._lines.router.kernel is None or importlib.util.find_spec("ipywidgets") is None:
            return
        try:
            import ipywidgets  # noqa: PLC0415 - a tenth of a second, and not everywhere

            label = ipywidgets.HTML()
            button = ipywidgets.Button(description="Cancel", layout=ipywidgets.Layout(width="auto"))
            assert stop is not None
            button.on_click(lambda _: stop())
            self._widget = ipywidgets.HBox([label, button]), label
            self._put(self.shown or self.describe())
        except Exception:  # no widgets after all: the text says how to stop the work
            self._widget = None


class LiveLines:
    """All lines of one shell."""

    def __init__(self, router: OutputRouter) -> None:
        self.router = router
        self._lines: list[LiveLine] = []
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self.ended: deque[LiveLine] = deque(maxlen=100)  # since the last cell

    def cell_ends(self) -> None:
        """Tell once more how lines ended: clients without a front end miss what comes between cells."""
        while self.ended:
            self.ended.popleft().repeat()

    def add(
        self, origin: str, describe: Callable[[], str], stop: Callable[[], Any] | None = None, after_s: float = 0.0
    ) -> LiveLine:
        """Begin a line; see ``LiveLine``."""
        line = LiveLine(self, origin, describe, stop, after_s)
        line.refresh()
        with self._lock:
            self._lines.append(line)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="nbray-live-lines", daemon=True)
                self._thread.start()
        return line

    def remove(self, line: LiveLine) -> None:
        """Forget a line that is done."""
        with self._lock:
            if line in self._lines:
                self._lines.remove(line)

    def _run(self) -> None:
        while True:
            time.sleep(PERIOD_S)
            with self._lock:
                lines = list(self._lines)
                if not lines:
                    self._thread = None
                    return
            for line in lines:
                try:
                    line.refresh()
                except Exception:  # the cluster or the kernel ends meanwhile
                    self.remove(line)


def seconds(value: float) -> str:
    """Return a time as a person writes it."""
    if value < 10:
        return f"{value:.1f} s"
    if value < 120:
        return f"{value:.0f} s"
    minutes, rest = divmod(int(value), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
