"""What comes back of a cell: written by ``result_packer`` in the worker, read by ``result_reader`` in the notebook.

What comes back is what the run bound (a comparison of the namespace before and after),
what it changed in place of the small inputs and of those it stores into, and what it
deleted. A value that cannot be pickled stays away alone: its name is bound to a note
that says so.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from .quick_pickle import quickly_pickled

SET, CHANGED, VALUE, STATE, OBJECT, WIDGET = "set", "changed", "value", "state", "object", "widget"
FORMATTERS, HANDLERS, ANNOTATIONS = "formatters", "handlers", "annotations"
ON_MODULE = "on module"  # what was set on one, which stands for the name, before that of the attribute
REGISTERED = "registered"  # what is the notebook's in a register of a module, named in the same way
LOG_FILTERS = "filters of logging"
LOG_HANDLERS = "handlers of logging"
NAMELESS = (
    WIDGET,
    FORMATTERS,
    HANDLERS,
    ANNOTATIONS,
    ON_MODULE,
    REGISTERED,
    LOG_FILTERS,
    LOG_HANDLERS,
)  # what cannot travel of these is not told by name
REF = "ref"  # the value of a ref, changed
Item = tuple[str, str, Any]  # kind, name, value; of an OBJECT the name is its number

HINTS = {
    "generator": "make a list of it",
    "TextIOWrapper": "bring back its path or its text",
    "BufferedReader": "bring back its path or its bytes",
    "BufferedWriter": "bring back its path",
    "lock": "make one here",
    "module": "import it here",
    "Thread": "bring back what it computes",
    "socket": "open it where it is used",
    "Connection": "open it where it is used",
    "coroutine": "await it in the cell",
    "_AsyncIOProxy": "leave out --bg",
}
NOT_TO_KEEP = frozenset({"module", "coroutine", "_AsyncIOProxy"})  # by an actor either


@dataclass(slots=True)
class LeftBehind:
    """One name whose value could not travel."""

    name: str  # "" for the value of the last expression
    path: str
    type_name: str
    reason: str
    text: str = ""  # its repr
    actor: str = ""  # where it lives on
    quiet: bool = False  # nobody wants it back: what a `with` gave a name to and has ended
    kept: bool = False  # the notebook keeps its object as it was
    shown: tuple[dict[str, Any], dict[str, Any]] = field(default_factory=lambda: ({}, {}))  # what is shown of a value
    ended: bool = False  # that actor has ended, and the value with it

    def message(self) -> str:
        if self.actor and self.name and self.ended:
            return f"{self.path} lived in the actor {self.actor} ({self.type_name}), which has ended; make it anew."
        if self.actor and self.name:
            return f"{self.path} lives in the actor {self.actor} ({self.type_name}); use it in a cell with --actor {self.actor}."
        hint = HINTS.get(self.type_name, "bring back plain data instead")
        subject = self.path if self.name else "the value of the last line" + self.path.lstrip("Out")
        keep = "" if self.type_name in NOT_TO_KEEP else ", or keep it there with --actor NAME"
        rest = " What it was put into is here as it was before the cell." if self.kept else ""
        return f"{subject} did not come back from the worker: {self.type_name} ({self.reason}); {hint}{keep}.{rest}"


@quickly_pickled
@dataclass(slots=True)
class CellOutcome:
    """What a cell leaves behind, as it travels."""

    known: list[int] = field(default_factory=list)  # numbers of inputs that the streams refer to
    first_entries: list[tuple[str, str]] = field(default_factory=list)  # (kind, name), in stream order
    first: bytes = b""
    entries: list[tuple[str, str]] = field(default_factory=list)
    stream: bytes = b""
    buffers: list[pickle.PickleBuffer] = field(default_factory=list)
    carried: list[Any] = field(default_factory=list)
    modules: list[tuple[str, str]] = field(default_factory=list)
    imports: list[str] = field(default_factory=list)
    reloaded: list[str] = field(default_factory=list)  # modules of the user's, in order
    deleted: list[str] = field(default_factory=list)
    left_behind: list[LeftBehind] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)  # names of -o that are not there at the end
    payloads: list[dict[str, Any]] = field(default_factory=list)  # for the front end: help to show, the next input
    displays: list[dict[str, Any]] = field(default_factory=list)  # what is shown after the value
    settings: dict[str, bytes] = field(default_factory=dict)  # those that the cell changed
    filters: Any = None  # of warnings: what the cell changed of them
    logging: Any = None  # its levels, if the cell changed them
    module_values: dict[tuple[str, str], bytes] = field(default_factory=dict)  # the same of what is set on modules
    module_state: dict[tuple[str, str], bytes] = field(default_factory=dict)  # what functions of modules changed there
    cwd: str = ""  # the directory that the cell changed to
    environ: dict[str, str | None] = field(default_factory=dict)  # variables that it changed; None: it removed them
    sys_path: list[str] = field(default_factory=list)  # if it changed it
    argv: list[str] = field(default_factory=list)  # the same
    ran_s: float = 0.0
    cpu_s: float = 0.0

    def set_on_modules(self) -> list[tuple[str, str]]:
        """Return which attributes of modules the cell has set."""
        objects = [name.partition(":")[::2] for kind, name in self.entries if kind == ON_MODULE]
        return [*self.module_values, *objects]

    def buffer(self, part: int) -> Any:
        """Return one of the large buffers, for a later cell that gets it as an input."""
        return self.buffers[part]


def not_at_the_end(names: Iterable[str]) -> list[str]:
    """Say that there is nothing under these names of -o, which may be mistyped."""
    return [f"-o {name}: there is no such name at the end of the cell." for name in names]


TOLD = "_nbray_told"  # attribute of errors whose text says it all: where nbray raised them is not shown


def told(error: Exception) -> Exception:
    """Return an error as one whose text says it all."""
    setattr(error, TOLD, True)
    return error


class NotHere:
    """Stands under a name whose value stayed on the worker."""

    def __init__(self, left: LeftBehind) -> None:
        self._left = left

    def __repr__(self) -> str:
        left = self._left
        if not left.name and left.text:
            return left.text  # the value of a cell looks as it does there
        where = f"lives in the actor {left.actor}" if left.actor else "stayed on the worker"
        if left.ended:
            where = f"lived in the actor {left.actor}, which has ended"
        return f"<{left.name} {where}: {left.text or left.type_name}>"

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith(("__", "_repr_", "_ipython")):
            raise AttributeError(attribute)
        raise told(AttributeError(self._left.message()))

    def _repr_mimebundle_(self, **options: Any) -> Any:
        return self._left.shown

    def _refuse(self, *args: Any) -> Any:
        raise told(TypeError(self._left.message()))

    __iter__ = __next__ = __call__ = __len__ = __getitem__ = __enter__ = __exit__ = __await__ = _refuse
