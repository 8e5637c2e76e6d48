"""``%nbray``: look at the cluster of this kernel, and restart it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_magic, magics_class, no_var_expand

import nbray
from nbray.core import current
from nbray.core.scaling import set_cpus
from nbray.exceptions import RayError
from nbray.options import UNIT

from .page import NotFound, Page
from .runtime import ObjectRef

COMMANDS: dict[str, str] = {
    "status": "the cluster in figures (also without a word)",
    "cluster": "its nodes, and where its session is",
    "tasks [TEXT]": "tasks by function; errors first; TEXT: only this state or name",
    "actors": "the actors, and the variables that hold them",
    "objects": "the largest objects, and the variables that hold them",
    "gpu": "what the GPUs do, and for whom",
    "log ID": "the log of a task, an actor, a pid, or of a variable that holds a ref or a handle",
    "why NAME": "why the ref in the variable NAME is not ready",
    "scale N": "offer N CPUs from now on: so many tasks of one CPU run side by side",
    "timeline [FILE]": "write what ran when, for https://ui.perfetto.dev or chrome://tracing",
    "restart": "end this kernel's cluster and start one like it",
    "help": "this list",
}
WORDS = tuple(entry.split()[0] for entry in COMMANDS)
WITH_VALUE = frozenset(entry.split()[0] for entry in COMMANDS if " " in entry)
HELP = "Look at the cluster of this kernel.\n\n" + "\n".join(
    f"    %nbray {name:<16} {meaning}" for name, meaning in COMMANDS.items()
)


def _pages() -> Any:
    from . import cluster_pages  # noqa: PLC0415 - a quarter of what %load_ext would take

    return cluster_pages


@magics_class
class NbrayMagics(Magics):
    """The magic ``%nbray``."""

    def __init__(self, shell: Any, cells: Any) -> None:
        super().__init__(shell=shell)
        self._cells = cells

    @no_var_expand
    @line_magic
    def nbray(self, line: str) -> Any:
        __tracebackhide__ = True
        word, _, rest = line.strip().partition(" ")
        word = word or "status"
        if word in ("help", "--help", "-h"):
            print(HELP)
            return None
        if word not in WORDS:
            raise UsageError(f"%nbray: there is no {word!r}; there are {', '.join(WORDS)}.")
        if rest.strip() and word not in WITH_VALUE:
            raise UsageError(f"%nbray {word} takes no more words, but there is {rest.strip()!r}.")
        run: Callable[[str], Any] = getattr(self, f"_{word}", None) or self._page(word)
        try:
            return run(rest.strip())
        except (NotFound, RayError) as error:
            raise UsageError(f"%nbray {word}: {error}") from None

    def _page(self, word: str) -> Callable[[str], Page]:
        make = getattr(_pages(), word)
        if word == "tasks":
            return lambda rest: make(self.shell, rest)
        return lambda rest: make(self.shell)

    def _log(self, rest: str) -> None:
        print(_pages().log(self.shell, rest) or "Nothing was written there.\n", end="")

    def _why(self, rest: str) -> None:
        value = self.shell.user_ns.get(rest)
        if value is None and rest:
            try:
                value = eval(rest, self.shell.user_ns)
            except Exception:
                value = None
        if not isinstance(value, ObjectRef):
            raise NotFound(
                f"{rest} is no ObjectRef; name a variable that holds one."
                if rest
                else "name a variable that holds a ref."
            )
        _pages().require_cluster()
        print(nbray.why(value))

    def _timeline(self, rest: str) -> None:
        path = os.path.abspath(rest or "timeline.json")
        _pages().require_cluster()
        try:
            nbray.timeline(path)
        except OSError as error:
            raise NotFound(f"{path} cannot be written: {error}") from None
        print(f"{path}: open it at https://ui.perfetto.dev or chrome://tracing")

    def _scale(self, rest: str) -> None:
        if not rest.isdecimal():
            raise NotFound(f"{rest or 'nothing'} is no number of CPUs; write for instance: %nbray scale 4")
        _pages().require_cluster()
        try:
            offered = set_cpus(current.core, int(rest))
        except ValueError as error:
            raise NotFound(str(error)) from None
        print(f"The cluster offers {offered} CPU{'' if offered == 1 else 's'} now.")

    def _restart(self, rest: str) -> None:
        core = current.core
        given: dict[str, Any] = {}
        if core is not None:
            if nbray.init(ignore_reinit_error=True).get("joined"):
                raise NotFound("this kernel joined a cluster that others may use; nbray.shutdown() leaves it.")
            total = {name: units / UNIT for name, units in core.totals.items()}
            given["num_cpus"] = total.pop("CPU", 0)
            given["num_gpus"] = total.pop("GPU", 0)
            given["object_store_memory"] = int(core.store.stats().capacity)
            if not core.namespace.startswith("anonymous"):
                given["namespace"] = core.namespace
            given["resources"] = {
                name: amount for name, amount in total.items() if "memory" not in name and not name.startswith("node:")
            }
            nbray.shutdown()
        self._cells.large.forget()
        nbray.init(**{key: value for key, value in given.items() if value})
        print("A new cluster runs; refs and actors of the old one are gone.")


NbrayMagics.nbray.__doc__ = HELP
