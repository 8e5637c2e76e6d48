"""``nbray.dashboard()``: the whole cluster below a cell, kept up to date.

The picture is a display of its own, sent again when it changed (at most twice a second), so
that it needs no widgets and what is saved with the notebook is the newest state. Buttons, where
core ipywidgets are there, stand above it in another display: one that is redrawn loses clicks.
"""

from __future__ import annotations

import importlib.util
import sys
import threading
import time
import uuid
import weakref
from collections import deque
from typing import Any

from nbray.core import inspection
from nbray.core.output import in_worker
from nbray.notebook import load_ipython_extension

from .live_line import MARK, WIDGET_VIEW, bundle
from .runtime import cancel
from .widgets import amounts, picture, text
from .widgets.cell_marks import CellMarks
from .widgets.facts import FAILED, RUNNING, Facts
from .widgets.watch import END_S, Watch

DRAW_S = 0.4
SVG_S = 2.0  # between two pictures for places that take no HTML, while things move
CELL_END_S = 0.1  # that a cell's end waits for the newest state
MAX_PER_S = 5  # pictures that are sent
MAX_LIVE = 3  # dashboards that follow the cluster
SURE_S = 4.0  # in which a second press cancels all tasks
NO_CLUSTER = "No cluster yet: it starts with the first %%remote cell, .remote() call or nbray.init()."


class Dashboard:
    """The dashboard of one cell. Made by ``nbray.dashboard()``."""

    def __init__(self, lines: Any, watch: Watch, live: bool) -> None:
        self._lines = lines  # LiveLines; None: there is no IPython
        self._watch = watch
        self._live = live
        self._display_id = f"nbray-{uuid.uuid4().hex}"
        self._facts = Facts("nbray")
        self._version = -1
        self._origin = lines.router.origin if lines is not None else ""
        self._lock = threading.RLock()
        self._buttons: _Buttons | None = None
        self._core: Any = None  # whose end is the end of this
        self._shown_in = ""  # the cell whose value it may be
        self._drawn_at = 0.0
        self._svg, self._svg_at, self._svg_old = "", 0.0, False
        self._sent_at: deque[float] = deque(maxlen=MAX_PER_S)
        self._heard = True  # what was sent last came with a cell that ran, and was whole
        self.held = False
        self.closed = False

    def __repr__(self) -> str:
        return text.dashboard(self._facts)

    def _ipython_display_(self) -> None:
        router = self._lines.router
        if self._shown_in == router.origin:  # it stands there already
            return
        router.show(router.origin, "display_data", {"data": self._bundle(), "metadata": MARK})

    def refresh(self) -> None:
        """Show the present state, if it has changed."""
        if not self.closed and not self.held:
            self._watch.look()
            self._follow()
            self._show()

    def tick(self) -> None:
        """Called four times a second; a picture of everything is drawn half as often."""
        if time.monotonic() - self._drawn_at >= DRAW_S:
            self._drawn_at = time.monotonic()
            self.refresh()

    def cell_ends(self) -> None:
        """Show how things are when a cell ends: a client without a front end hears nothing of what comes between cells."""
        crowded = len(self._sent_at) == MAX_PER_S and time.monotonic() - self._sent_at[0] < 1.0
        if self.closed or self.held or crowded or (self._heard and not self._watch.moved()):
            return
        self._watch.look(at_once=True, patience_s=CELL_END_S)
        self._follow()
        self._show(cell_ends=True)
        self._heard = True

    def hold(self, held: bool = True) -> None:
        """Stop the picture, or let it go on."""
        self.held = held
        if not held:
            self.refresh()

    def close(self) -> None:
        """End the updates; the last state stays."""
        if not self.closed:
            self._watch.look(at_once=True)
            self._end("Closed.")

    def start(self) -> None:
        """Show it for the first time."""
        answered = self._watch.look()
        if not answered and (self._lines is None or self._lines.router.kernel is None):
            self._watch.look(at_once=True, patience_s=END_S)  # what is printed is there for good
        self._follow()
        if self._lines is None:
            self._facts = self._present()
            print(self)
            self.closed = True
            return
        self._shown_in = self._origin
        self._buttons = _Buttons(self) if self._live and importlib.util.find_spec("ipywidgets") else None
        if self._buttons is not None:
            self._buttons.show(self._lines.router, self._origin)
        self._show(first=True)
        if self._live:
            self._lines.keep(self)

    def _follow(self) -> None:
        """End with the cluster."""
        core = self._watch.core
        if self._core is None and core is not None:
            self._core = core
            ref = weakref.ref(self)
            core.before_stop.append(lambda: _cluster_ends(ref))
        elif self._core is not None and core is not self._core:
            self._end("The cluster has ended.")

    def _end(self, why: str) -> None:
        with self._lock:
            if self.closed:
                return
            self.closed = True
        if self._lines is not None:
            self._lines.remove(self)
        self._facts = self._present()
        self._facts.phrases = [f"{why} This is how it was at {time.strftime('%H:%M:%S')}."]
        self._send(first=False)
        if self._buttons is not None:
            self._buttons.close(self._lines.router)
        if self._lines is not None:
            self._lines.ended.append(self)

    def repeat(self) -> None:
        """Send the last state again, with the cell that runs now."""
        self._send(first=False)

    def _present(self) -> Facts:
        facts = self._watch.whole()
        facts.lead = "nbray"
        if self._core is None:
            facts.phrases = [NO_CLUSTER]
        counts = facts.counts()
        facts.state = FAILED if counts[FAILED] else RUNNING
        return facts

    def _show(self, first: bool = False, cell_ends: bool = False) -> None:
        version = self._watch.version
        again = first or (cell_ends and not self._heard)
        picture_due = first or cell_ends or time.monotonic() - self._svg_at >= SVG_S
        if version == self._version and not (again or (self._svg_old and picture_due)):
            return
        facts = self._present()
        with self._lock:
            if self.closed:
                return
            same, self._version = facts == self._facts, version
            self._facts = facts
            if again or not same or (self._svg_old and picture_due):
                self._send(first, picture_due)

    def _bundle(self, new_picture: bool = True) -> dict[str, Any]:
        facts = self._facts
        self._svg_old = not new_picture
        if new_picture:
            self._svg, self._svg_at = picture.dashboard_svg(facts), time.monotonic()
        return bundle(text.dashboard(facts), picture.dashboard(facts), self._svg)

    def _send(self, first: bool, new_picture: bool = True) -> None:
        router = self._lines.router if self._lines is not None else None
        if router is None:
            return
        if router.kernel is None:  # a terminal: what was printed cannot be taken back
            if first:
                print(self)
            return
        self._sent_at.append(time.monotonic())
        self._heard = first
        content = {"data": self._bundle(new_picture), "metadata": MARK, "transient": {"display_id": self._display_id}}
        router.show(self._origin, "display_data" if first else "update_display_data", content)

    def open_refs(self) -> list[Any]:
        """Return a ref of each task of this kernel that is not done."""
        core = self._watch.core
        if core is None:
            return []
        with core.lock:
            refs = [record.ref for record in inspection.open_records(core) if record.ref]
        return [ref[0] if isinstance(ref, tuple) else ref for ref in refs]

    def cancel_all(self) -> None:
        """Cancel the tasks of this kernel that are not done."""
        for ref in reversed(self.open_refs()):  # what waits first: it would begin when others end
            cancel(ref)


def _cluster_ends(ref: weakref.ref[Dashboard]) -> None:
    dashboard = ref()
    if dashboard is not None and not dashboard.closed:
        dashboard._watch.look(at_once=True, patience_s=END_S)
        dashboard._end("The cluster has ended.")


class _Buttons:
    """The buttons above a dashboard."""

    def __init__(self, dashboard: Dashboard) -> None:
        import ipywidgets  # noqa: PLC0415 - a tenth of a second, and not everywhere

        layout = ipywidgets.Layout(width="auto", height="26px")
        self._hold = ipywidgets.ToggleButton(description="Hold", tooltip="Stop the picture", layout=layout)
        self._cancel = ipywidgets.Button(description="Cancel tasks", tooltip="Cancel what is not done", layout=layout)
        self._box = ipywidgets.HBox([self._hold, self._cancel])
        self._display_id = f"nbray-{uuid.uuid4().hex}"
        self._sure_until = 0.0
        self._hold.observe(lambda change: dashboard.hold(change["new"]), "value")
        self._cancel.on_click(lambda _: self._press(dashboard))

    def _press(self, dashboard: Dashboard) -> None:
        many = len(dashboard.open_refs())
        if time.monotonic() > self._sure_until and many:
            self._sure_until = time.monotonic() + SURE_S
            self._cancel.description = f"Cancel {amounts.noun(many, 'task')}?"
            self._cancel.button_style = "warning"
            timer = threading.Timer(SURE_S, self._calm)
            timer.daemon = True
            timer.start()
            return
        self._calm()
        threading.Thread(target=dashboard.cancel_all, name="nbray-cancel", daemon=True).start()

    def _calm(self) -> None:
        self._sure_until = 0.0
        self._cancel.description, self._cancel.button_style = "Cancel tasks", ""

    def show(self, router: Any, origin: str) -> None:
        if router.kernel is None:
            return
        view = {"version_major": 2, "version_minor": 0, "model_id": self._box.model_id}
        data = {"text/plain": "", "text/html": "", WIDGET_VIEW: view}
        content = {"data": data, "metadata": MARK, "transient": {"display_id": self._display_id}}
        router.show(origin, "display_data", content)

    def close(self, router: Any) -> None:
        content = {"data": {"text/plain": ""}, "metadata": MARK, "transient": {"display_id": self._display_id}}
        if router.kernel is not None:
            router.show(router.origin, "update_display_data", content)
        for part in (self._hold, self._cancel, self._box):
            part.close()


def open_dashboard(live: bool = True) -> Dashboard:
    """Show the cluster below the cell that runs; see ``nbray.dashboard``."""
    if in_worker():
        raise RuntimeError("nbray.dashboard() belongs into the notebook: a task has no cell to show it under.")
    cells = _cells()
    if cells is None:
        watch = Watch(CellMarks(), lambda origin: 0)
        dashboard = Dashboard(None, watch, False)
    else:
        dashboard = Dashboard(cells.lines, cells.lines_of.watch, live and cells.router.kernel is not None)
        _keep(cells, dashboard)
    dashboard.start()
    return dashboard


def _keep(cells: Any, dashboard: Dashboard) -> None:
    """Let few follow the cluster: a cell that is run again leaves one that nobody sees."""
    others = [other for other in cells.dashboards if not other.closed]
    while len(others) >= MAX_LIVE:
        others.pop(0).close()
    cells.dashboards = [*others, dashboard]


def _cells() -> Any:
    """Return the cells of this IPython shell, in which nbray gets loaded; None: this is another Python."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is None:
        return None
    load_ipython_extension(shell)
    return shell._nbray_extension.magics.cells
