"""Connect nbray to an IPython shell, and disconnect it again."""

from __future__ import annotations

import importlib
import importlib.util
import warnings
from typing import Any

from nbray.core import current

from . import completion, kernel_interrupts, kernel_start, old_ipython, reprs, tracebacks
from .cell_failure import CELL_ENDED
from .cell_text import without_comments_above
from .magics import RemoteMagics
from .nbray_magic import NbrayMagics
from .output_router import OutputRouter
from .remote_cell import RemoteCells
from .runtime import set_origin, set_sink

_ATTRIBUTE = "_nbray_extension"


class Extension:
    """What is registered in one shell."""

    def __init__(self, shell: Any) -> None:
        self.shell = shell
        self.router = OutputRouter(shell, CELL_ENDED)
        cells = RemoteCells(shell, self.router)
        self.magics = RemoteMagics(shell, cells)
        self._remove_filter = tracebacks.install(shell)
        completion.register(shell, self.magics.cells)
        shell.register_magics(self.magics, NbrayMagics(shell, self.magics.cells))
        self._remove_reprs = reprs.install(
            shell,
            reprs.Context(self.router.cell_number, cells.lines_of.marks, cells.lines_of.watch, cells.background.has),
        )
        shell.input_transformers_cleanup.append(without_comments_above)
        shell.events.register("pre_run_cell", self._before_cell)
        shell.events.register("post_run_cell", self._after_cell)
        set_sink(self.router.sink)
        self._interrupts = kernel_interrupts.install(shell)
        # The cell that loads the extension runs already.
        self._enter()

    def _before_cell(self, info: Any) -> None:
        self.magics.raw_cell = info.raw_cell or ""
        old_ipython.note_cell(self.shell, self.magics.raw_cell)
        if current.core is not None:
            current.core.shield.install()  # the kernel sets a handler of its own for each cell
        self._enter()

    def _enter(self) -> None:
        origin = self.router.enter_cell()
        set_origin(origin)
        self.magics.cells.lines_of.marks.enter(current.core, origin)
        self.magics.cells.local.enter(origin)

    def _after_cell(self, result: Any) -> None:
        self.router.flush()
        if self.router.comms is not None:
            self.router.comms.settle(self.router.origin)
        self.magics.cells.settings.look()
        self.magics.cells.modules.look()
        self.magics.cells.versions.times(self.magics.cells.module_state.names())
        self.magics.cells.local.leave()
        self.magics.cells.lines.cell_ends()
        self.router.leave_cell()

    def close(self) -> None:
        """Take everything away again."""
        shell = self.shell
        set_sink(None)
        set_origin("")
        if self._interrupts is not None:
            self._interrupts.close()
        shell.events.unregister("pre_run_cell", self._before_cell)
        shell.events.unregister("post_run_cell", self._after_cell)
        shell.input_transformers_cleanup.remove(without_comments_above)
        self._remove_filter()
        self._remove_reprs()
        self.magics.cells.local.close()
        self.magics.cells.versions.forget()
        self.router.close()
        for kind in ("line", "cell"):
            for name in ("remote", "nbray"):
                shell.magics_manager.magics[kind].pop(name, None)


def load(shell: Any) -> None:
    """Register in ``shell``; once is enough."""
    if getattr(shell, _ATTRIBUTE, None) is not None:
        return
    setattr(shell, _ATTRIBUTE, Extension(shell))
    _register_panel(shell)
    kernel_start.begin(shell)


def unload(shell: Any) -> None:
    """Unregister from ``shell``."""
    extension = getattr(shell, _ATTRIBUTE, None)
    if extension is not None:
        setattr(shell, _ATTRIBUTE, None)
        extension.close()


def _register_panel(shell: Any) -> None:
    """Let the JupyterLab panel connect; nothing may depend on whether it can."""
    name = __package__ + ".panel_comm"
    if importlib.util.find_spec(name) is None:
        return
    try:
        importlib.import_module(name).register(shell)
    except Exception as error:
        warnings.warn(f"the nbray panel is not available: {error}", stacklevel=2)
