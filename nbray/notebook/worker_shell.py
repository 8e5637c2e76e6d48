"""What a cell expects around it in the worker: ``get_ipython``, ``display``, figures.

The shell is a minimal ``InteractiveShell``: no history file, no threads, no prompts.
It and all of IPython are loaded at the first magic, ``display`` or ``get_ipython()``;
a cell of plain Python never pays for them. What it displays is emitted to the notebook.
"""

from __future__ import annotations

import builtins
import contextlib
import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from . import formatters, shell_command
from .after_import import AfterImport, BeforeImport
from .cell_job import CellJob, magic_name
from .old_ipython import cell_numbers
from .worker_comms import CellComms

Emit = Callable[[str, Any], None]

SHELL_MODULE = "IPython.core.interactiveshell"
TQDM_MODULE = "tqdm.autonotebook"  # looks whether IPython is there and runs in a kernel
WIDGET_MIME = "application/vnd.jupyter.widget-view+json"
INLINE_MODULE = "matplotlib_inline.backend_inline"


class WorkerShell:
    """Makes the shell when it is first wanted and points it at the cell that runs.

    Parameters
    ----------
    emit
        Sends one output message of the running task to the notebook.
    """

    def __init__(self, emit: Emit) -> None:
        self.emit = emit
        self._shell: Any = None
        self._finder = AfterImport([SHELL_MODULE], self._hook)
        self._before = BeforeImport([TQDM_MODULE], self._as_in_kernel)
        self.comms = CellComms(emit)
        self._module: ModuleType | None = None
        self._job: CellJob | None = None  # until the shell knows its magics
        self.number, self.filename = 0, ""  # of the cell
        self.kernel_class = ""  # module and name of the kernel's shell, if there is a kernel
        self._printers: formatters.Printers = {}  # the shell's own, before those of the notebook
        self._sent_printers: formatters.Printers = {}  # with those of the notebook
        self.held: list[dict[str, Any]] | None = None  # where what is displayed goes meanwhile
        self.payloads: list[dict[str, Any]] | None = None  # where what is for the front end goes; None: nowhere

    def prepare(self) -> None:
        """Make ``get_ipython`` and ``display`` available in this process; idempotent."""
        builtins.get_ipython = self.get  # type: ignore[attr-defined]
        builtins.display = self._display  # type: ignore[attr-defined]
        self.comms.prepare()
        if SHELL_MODULE in sys.modules:
            self._hook(sys.modules[SHELL_MODULE])
        elif self._finder not in sys.meta_path:
            self._finder.install()

    def enter(self, module: ModuleType, job: CellJob, kept: bool = False) -> None:
        """A cell begins; its names live in ``module``, and stay there if they are ``kept``."""
        self._module, self._job = module, job
        self.number, self.filename = job.number, job.filename
        self.kernel_class = job.kernel_shell
        if self.kernel_class:
            self._before.install()
        self.comms.enter(bool(self.kernel_class), kept)
        if self._shell is not None:
            self._point(module)

    def leave(self, kept: bool) -> None:
        """The cell is over. Figures that it did not show are not to be the next one's, unless it is an actor's."""
        self.comms.leave()
        if not kept and (managers := sys.modules.get("matplotlib._pylab_helpers")) is not None:
            managers.Gcf.destroy_all()
        self._before.remove()
        if self._shell is not None and self._module is not None:
            self._shell.display_trap.__exit__(None, None, None)
            if not formatters.is_as(self._shell, self._printers):
                formatters.put_back(self._shell, self._printers)
        self._module = None

    def get(self) -> Any:
        """Return the shell; what ``get_ipython()`` does in a cell."""
        if self._shell is None:
            module = self._module or sys.modules["__main__"]
            self._shell = make_shell(self, module)
            self._point(module)
        if self._module is not None:  # the names of a cell come after it has begun
            names = self._module.__dict__
            self._shell.user_ns_hidden.update({name: names[name] for name in ("In", "Out") if name in names})
            job, self._job = self._job, None
            if job is not None:
                self._know_magics(job, names)
                self._know_formatters(names)
        return self._shell

    def loaded(self) -> None:
        """The names of the cell are there: what shows values here shows them as the notebook would."""
        if self._shell is not None:
            self.get()

    def _know_formatters(self, names: dict[str, Any]) -> None:
        if not self._printers:
            self._printers = formatters.registered(self._shell)
        formatters.register(self._shell, names.get(formatters.NAME, {}))
        self._sent_printers = formatters.registered(self._shell)

    def new_formatters(self) -> formatters.Printers:
        """Return what the cell has registered."""
        if self._shell is None or not self._sent_printers or formatters.is_as(self._shell, self._sent_printers):
            return {}
        return formatters.added(self._shell, self._sent_printers)

    def _as_in_kernel(self) -> None:
        """Load what a kernel has loaded, for code that looks whether it runs in one."""
        self.get()
        with contextlib.suppress(ImportError):
            importlib.import_module(self.kernel_class.rpartition(".")[0])

    def owns(self, name: str, value: Any) -> bool:
        """Whether the shell itself has put a value under this name."""
        return self._shell is not None and self._shell.user_ns_hidden.get(name, self) is value

    def shown(self, value: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return what a front end is shown of a value that cannot go there, as data and metadata."""
        try:
            data, metadata = self.get().display_formatter.format(value)
        except Exception:  # it has its text
            return {}, {}
        return data, metadata

    def without_unknown_widgets(self, data: dict[str, Any]) -> dict[str, Any]:
        """Leave out the view of a widget that the front end does not know."""
        view = data.get(WIDGET_MIME)
        if not isinstance(view, dict) or self.comms.show(view.get("model_id")):
            return data
        return {mime: part for mime, part in data.items() if mime != WIDGET_MIME}

    def _display(self, *objects: Any, **options: Any) -> Any:
        self.get()
        from IPython.display import display  # noqa: PLC0415

        return display(*objects, **options)

    def _point(self, module: ModuleType) -> None:
        shell = self._shell
        shell.user_module = module
        shell.user_ns = module.__dict__
        names = module.__dict__
        names.setdefault("_dh", [Path.cwd()])  # which %cd looks at
        names.setdefault("_oh", {})  # which whatever shows a value writes to
        for name in ("_", "__", "___"):
            names.setdefault(name, "")
        shell.execution_count = self.number + 1
        shell.ns_table.update(user_global=names, user_local=names)
        if self.filename:  # under which a traceback that is shown there names the cell
            cell_numbers(shell.compile)[self.filename] = self.number
        if self._module is not None:
            shell.display_trap.__enter__()  # as around a cell here: one inside of it (%%capture) then sees that there is a hook

    def _hook(self, module: ModuleType) -> None:
        """Let IPython itself find the shell: ``initialized()`` is what it asks first."""
        cls = module.InteractiveShell
        worker_shell = self

        def initialized(cls: type) -> bool:
            if worker_shell._shell is None and worker_shell._module is not None:
                worker_shell.get()
            return cls.__dict__.get("_instance") is not None or bool(getattr(cls, "_instance", None))

        cls.initialized = classmethod(initialized)

    def _know_magics(self, job: CellJob, names: dict[str, Any]) -> None:
        """Have the magics that the cell uses as the notebook has them."""
        shell = self._shell
        for kind, name in job.magics:
            function = names.get(magic_name(kind, name))
            if function is not None:
                shell.register_magic_function(function, kind, name)
            elif name in job.aliases:
                shell.alias_manager.define_alias(name, job.aliases[name])
            elif name not in shell.magics_manager.magics[kind]:
                for extension in job.extensions:
                    if extension not in shell.extension_manager.loaded:
                        shell.extension_manager.load_extension(extension)

    def show_figures(self, held: list[dict[str, Any]] | None = None) -> None:
        """Display and close the figures of the cell, as the inline backend does here; into ``held``, if it is given."""
        inline = sys.modules.get(INLINE_MODULE)
        if inline is None or "matplotlib.pyplot" not in sys.modules:
            return
        if not sys.modules["matplotlib._pylab_helpers"].Gcf.get_all_fig_managers():
            return
        self.get()
        self.held = held
        try:
            inline.flush_figures()
        finally:
            self.held = None


def make_shell(owner: WorkerShell, module: ModuleType) -> Any:
    """Build the shell; the one place of this file that imports IPython."""
    from IPython.core import page  # noqa: PLC0415
    from IPython.core.builtin_trap import BuiltinTrap  # noqa: PLC0415
    from IPython.core.displayhook import DisplayHook  # noqa: PLC0415
    from IPython.core.displaypub import DisplayPublisher  # noqa: PLC0415
    from IPython.core.history import HistoryManager  # noqa: PLC0415
    from IPython.core.interactiveshell import InteractiveShell  # noqa: PLC0415
    from traitlets import Type  # noqa: PLC0415
    from traitlets.config import Config  # noqa: PLC0415

    emit = owner.emit

    class EmittingHook(DisplayHook):
        def write_output_prompt(self) -> None:
            pass

        def write_format_data(self, format_dict: Any, md_dict: Any = None) -> None:
            _flush_streams()
            content = {"data": format_dict, "metadata": md_dict or {}, "execution_count": self.prompt_count}
            emit("execute_result", content)

    class EmittingPublisher(DisplayPublisher):
        def publish(
            self, data: Any, metadata: Any = None, source: Any = None, *,
            transient: Any = None, update: bool = False, **kwargs: Any,
        ) -> None:  # fmt: skip
            _flush_streams()
            if len(data) > 1:
                data = owner.without_unknown_widgets(data)
            content = {"data": data, "metadata": metadata or {}, "transient": transient or {}}
            if owner.held is not None:
                owner.held.append(content)
                return
            emit("update_display_data" if update else "display_data", content)

        def clear_output(self, wait: bool = False) -> None:
            _flush_streams()
            emit("clear_output", {"wait": wait})

    class CellShell(InteractiveShell):
        display_pub_class = Type(EmittingPublisher)
        displayhook_class = Type(EmittingHook)
        _highlights = False

        def init_virtualenv(self) -> None:
            pass  # the worker's interpreter is the kernel's already

        def init_sys_modules(self) -> None:
            pass  # the runner puts the cell's module into sys.modules

        def init_history(self) -> None:
            self.history_manager = HistoryManager(shell=self, parent=self)

        def init_syntax_highlighting(self, changes: Any = None) -> None:
            pass  # when it is first wanted

        def __getattr__(self, name: str) -> Any:
            if name not in ("inspector", "pycolorize") or self._highlights:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            self._highlights = True
            InteractiveShell.init_syntax_highlighting(self)
            return getattr(self, name)

        def _showtraceback(self, etype: Any, evalue: Any, stb: list[str]) -> None:
            _flush_streams()
            emit("error", {"ename": str(etype.__name__), "evalue": str(evalue), "traceback": list(stb)})

        def system_piped(self, cmd: str) -> None:
            if cmd.rstrip().endswith("&"):
                raise OSError("Background processes not supported.")
            self.user_ns["_exit_code"] = shell_command.run(self.var_expand(cmd, depth=1), sys.stdout.write)

        system = system_piped

        def init_hooks(self) -> None:
            super().init_hooks()
            self.set_hook("show_in_pager", page.as_hook(self._page), 99)

        def _page(self, text: Any, start: int = 0, screen_lines: int = 0, pager_cmd: Any = None) -> None:
            data = text if isinstance(text, dict) else {"text/plain": text}
            self._payload({"source": "page", "data": data, "start": max(start, 0)}, data.get("text/plain", ""))

        def set_next_input(self, text: str, replace: bool = False) -> None:
            self._payload({"source": "set_next_input", "text": text, "replace": replace}, text)

        def _payload(self, payload: dict[str, Any], text: str) -> None:
            if owner.payloads is None:
                print(text)
            else:
                owner.payloads.append(payload)

        def enable_gui(self, gui: Any = None) -> None:
            pass  # there is no event loop to enter

        def init_builtins(self) -> None:
            builtins.__dict__["__IPYTHON__"] = True
            self.builtin_trap = BuiltinTrap(shell=self)

        def atexit_operations(self) -> None:
            pass

    config = Config()
    if owner.kernel_class:  # what asks where it runs hears what it would there
        config.IPKernelApp = Config()
        CellShell.__module__, _, CellShell.__name__ = owner.kernel_class.rpartition(".")
        CellShell.__qualname__ = CellShell.__name__
    config.HistoryManager.enabled = False
    config.HistoryManager.hist_file = ":memory:"
    sent = dict(module.__dict__)  # of the cell in the midst of which it is made: the shell puts its own history there
    shell = CellShell.instance(config=config, user_module=module, user_ns=module.__dict__)
    for name in ("get_ipython", "exit", "quit", "open", "In", "Out", "_ih", "_oh", "_dh"):
        if module.__dict__.get(name) is shell.user_ns_hidden.get(name, Ellipsis):
            module.__dict__.pop(name, None)  # what the shell itself put there
    module.__dict__.update(sent)
    return shell


def _flush_streams() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            continue
