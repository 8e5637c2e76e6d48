"""What stands under a cell while its work on the cluster goes on, and how it ended.

A line is plain text, HTML and a picture at once, so that every front end and the saved notebook
show something true. Where core ipywidgets are there, a line whose work can be stopped gets a
button, in a display of its own: what is sent again is drawn anew, and would lose a click, and a
saved notebook that is opened without its kernel has no widgets. One thread refreshes all lines; it
ends when there is none.
"""

from __future__ import annotations

import importlib.util
import threading
import time
import uuid
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any

from nbray.core import current

from .output_router import OutputRouter
from .widgets import picture, text
from .widgets.facts import Facts

PERIOD_S = 0.25
BUTTON_AFTER_S = 0.5  # what is done sooner needs none
AGAIN_S = 5.0  # after which what has not changed is sent again: a line that is old looks so (widgets/style.py)
LATE_S = 60.0  # for which a daemon that is slow is asked again how it ended
#: In the metadata of every display of a widget, so that it can be told from the user's outputs.
MARK = {"nbray": {"widget": "live"}}
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"

Describe = Callable[[], "Facts | None"]


class LiveLine:
    """One line.

    Parameters
    ----------
    origin
        The cell it stands under.
    describe
        Returns the present facts; None: there is nothing to show yet.
    stop
        Called when the user presses the button; None: there is none.
    after_s
        Seconds before it is shown at all.
    cluster_ends
        Called when the cluster ends, and the work with it; None: whoever waits for the work tells how it ended.
    """

    def __init__(
        self, lines: LiveLines, origin: str, describe: Describe, stop: Callable[[], Any] | None, after_s: float,
        cluster_ends: Callable[[], Any] | None = None,
    ) -> None:  # fmt: skip
        self._lines = lines
        self._origin = origin
        self.describe = describe
        self.cluster_ends = cluster_ends
        self._button = _StopButton(lines.router, origin, stop) if stop is not None else None
        self._born = time.monotonic()
        self._after_s = after_s
        self._display_id = f"nbray-{uuid.uuid4().hex}"
        self.shown: Facts | None = None
        self._put_at = 0.0
        self._lock = threading.RLock()
        self._done = False
        self._late: Callable[[], Facts] | None = None  # how it ended, of which not all is known yet
        self._late_until = 0.0

    @property
    def age_s(self) -> float:
        """Seconds since it was made."""
        return time.monotonic() - self._born

    def tick(self) -> None:
        """Show the present facts, if it is time to."""
        if self._done:
            self._tell_late()
            return
        if self.age_s < self._after_s:
            return
        facts = self.describe()  # may ask the cluster, so nothing is locked
        with self._lock:
            if self._done or facts is None:
                return
            if facts != self.shown or time.monotonic() - self._put_at > AGAIN_S:
                if self._lines.router.kernel is not None:
                    facts.at = time.strftime("%Y-%m-%d %H:%M:%S")
                self._put(facts)
            if self._button is not None and self.age_s > BUTTON_AFTER_S:
                self._button.show()

    def finish(self, facts: Callable[[], Facts]) -> None:
        """Replace the line for good; one that was never shown stays away.

        Parameters
        ----------
        facts
            Returns how it ended; called again when the first answer was late.
        """
        with self._lock:
            if self._done:
                return
            self._done = True
            self._lines.remove(self)
            if self.shown is None:
                return
        last = facts()
        last.over = True
        with self._lock:
            button, self._button = self._button, None
            if button is not None:
                button.close()
            self._put(last)
            self._lines.ended.append(self)
        if last.late and self._lines.router.kernel is not None:  # what a terminal shows cannot be taken back
            # Only now: the thread may be about to tick, and what it has to tell is not to be shown before.
            self._late_until = time.monotonic() + LATE_S
            self._late = facts
            self._lines.keep(self)

    def _tell_late(self) -> None:
        """Show how it ended once the daemon, which was slow to tell, has told."""
        facts = self._late
        last = facts() if facts is not None else None
        if last is not None and last.late and time.monotonic() < self._late_until:
            return
        self._late = None
        self._lines.remove(self)
        if last is not None and not last.late:
            last.over = True
            with self._lock:
                self._put(last)

    def cell_ends(self) -> None:
        """A cell ends. (What this shows is replaced when it ends itself.)"""

    def repeat(self) -> None:
        """Send the last state again."""
        if self._lines.router.kernel is not None and self.shown is not None:
            self._put(self.shown)

    def _put(self, facts: Facts) -> None:
        first, self.shown = self.shown is None, facts
        self._put_at = time.monotonic()
        router = self._lines.router
        if router.kernel is None:
            if first or self._done:
                said = text.line(facts)
                router.show(self._origin, "stream", {"name": "stderr", "text": f"nbray: {said}\n"})
            return
        if first and self._button is not None:
            self._button.reserve()
        beside_button = self._button is not None and self._button.reserved
        data = bundle(text.line(facts), picture.line(facts, beside_button), picture.line_svg(facts))
        content = {"data": data, "metadata": MARK, "transient": {"display_id": self._display_id}}
        router.show(self._origin, "display_data" if first else "update_display_data", content)


class _StopButton:
    """A button that stands above a line; front ends of Jupyter draw it at the right end of the line (widgets/style.py)."""

    def __init__(self, router: OutputRouter, origin: str, stop: Callable[[], Any]) -> None:
        self._router = router
        self._origin = origin
        self._stop = stop
        self._display_id = f"nbray-{uuid.uuid4().hex}"
        self._button: Any = None
        self.reserved = False

    def reserve(self) -> None:
        """Take the place above the line, with nothing to see in it: what comes later stands below all the cell has shown."""
        router = self._router
        if router.kernel is None or router.late.needed:  # nobody is there to press it
            return
        if importlib.util.find_spec("ipywidgets") is not None:
            self.reserved = True
            self._put("display_data", {"text/plain": ""})

    def show(self) -> None:
        """Draw it, if it is not there yet."""
        if not self.reserved or self._button is not None:
            return
        try:
            import ipywidgets  # noqa: PLC0415 - a tenth of a second, and not everywhere

            layout = ipywidgets.Layout(width="auto", height="24px")
            self._button = ipywidgets.Button(description="Cancel", tooltip="Stop this work", layout=layout)
        except Exception:  # no widgets after all: the text says how to stop the work
            self.reserved = False
            return
        self._button.on_click(self._press)
        view = {"version_major": 2, "version_minor": 0, "model_id": self._button.model_id}
        self._put("update_display_data", {"text/plain": "", "text/html": "", WIDGET_VIEW: view})

    def _press(self, button: Any) -> None:
        button.disabled, button.description = True, "Cancelling…"
        self._stop()

    def close(self) -> None:
        """Take it away."""
        if self._button is not None:
            self._put("update_display_data", {"text/plain": ""})
            self._button.close()

    def _put(self, kind: str, data: dict[str, Any]) -> None:
        content = {"data": data, "metadata": MARK, "transient": {"display_id": self._display_id}}
        self._router.show(self._origin, kind, content)


class LiveLines:
    """All lines of one shell."""

    def __init__(self, router: OutputRouter) -> None:
        self.router = router
        self._lines: list[Any] = []
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self.ended: deque[Any] = deque(maxlen=100)  # since the last cell
        self._core: Any = None  # whose end is the end of work in the background

    def cell_ends(self) -> None:
        """Tell once more how lines ended, and how things are: clients without a front end miss what comes between cells."""
        while self.ended:
            self.ended.popleft().repeat()
        with self._lock:
            lines = list(self._lines)
        for line in lines:
            line.cell_ends()

    def add(
        self, origin: str, describe: Describe, stop: Callable[[], Any] | None = None, after_s: float = 0.0,
        cluster_ends: Callable[[], Any] | None = None,
    ) -> LiveLine:  # fmt: skip
        """Begin a line; see ``LiveLine``."""
        line = LiveLine(self, origin, describe, stop, after_s, cluster_ends)
        if cluster_ends is not None:
            self._follow(current.core)
        line.tick()
        self.keep(line)
        return line

    def _follow(self, core: Any) -> None:
        """Hear of the end of a cluster, before which its work ends without a result."""
        if core is None or core is self._core:
            return
        self._core = core
        ref = weakref.ref(self)
        core.before_stop.append(lambda: lines._cluster_ends() if (lines := ref()) is not None else None)

    def _cluster_ends(self) -> None:
        with self._lock:
            lines = [line for line in self._lines if isinstance(line, LiveLine)]
        for line in lines:
            if line.cluster_ends is not None:
                line.cluster_ends()

    def keep(self, line: Any) -> None:
        """Have something's ``tick`` called four times a second, until it is removed."""
        with self._lock:
            self._lines.append(line)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="nbray-live-lines", daemon=True)
                self._thread.start()

    def remove(self, line: Any) -> None:
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
                    line.tick()
                except Exception:  # the cluster or the kernel ends meanwhile
                    self.remove(line)


def bundle(plain: str, html: str, svg: str) -> dict[str, Any]:
    """Return the same in all forms; each front end takes what it can show best."""
    return {"text/plain": plain, "text/html": html, "image/svg+xml": svg}


def seconds(value: float) -> str:
    """Return a time as a person writes it."""
    if value < 10:
        return f"{value:.1f} s"
    if value < 120:
        return f"{value:.0f} s"
    minutes, rest = divmod(int(value), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
