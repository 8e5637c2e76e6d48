"""Put together what a cell takes to the worker: its code and the values it needs.

The values go in one stream (see ``cell_pickle``), those that the cell stores into first.
Their large buffers stay outside of it, so that the runtime moves them through shared
memory. A buffer is copied in the worker, and so becomes writable, when the cell stores
into the name it belongs to, or when the whole name is small; what the cell changed of
those comes back. The others are read-only there: a store that nobody foresaw fails
instead of being lost. Buffers of a megabyte and more lie in the store as objects of their
own (``large_inputs``), which the next cells use again while their contents are the same.
"""

from __future__ import annotations

import os
import pickle
import sys
import types
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from nbray.core.call_site import cell_number
from nbray.serialization.unpicklable import find_offender

from . import collector, free_locks, made_modules, module_state, output_history, process_environ
from .array_views import owner_of, owners, scattered, unnamed_owners
from .cell_analysis import CellAnalysis
from .cell_pickle import CellPickler, LimitedWriter, MemoryWriter, into, pickles
from .cell_text import names_in_python
from .common_memory import CommonMemory, common_memory
from .error_record import FrameRecord
from .pandas_columns import shares_memory
from .quick_pickle import quickly_pickled
from .stand_in_frames import make_traceback
from .subclass_values import has_attributes
from .terminal import Terminal

SMALL_BYTES = 1 << 20  # up to here the worker notices every change to an input
DYNAMIC_BYTES = 16 << 20  # all that goes along only because the cell uses exec or globals()
ANNOTATED = "__annotations__"  # of the names at the top level of the notebook
ALWAYS_VISIBLE = frozenset({"_", "__", "___", "In", "Out", "_ih", "_oh", "_dh"})
OF_IPYTHON = frozenset({"get_ipython", "exit", "quit", "open"})  # which the worker has, or needs not
# Names of every module; other names in underscores are the user's.
OF_MODULES = frozenset(
    {"__name__", "__doc__", "__package__", "__loader__", "__spec__", "__builtins__", "__builtin__", "__cached__"}
)
IMMUTABLE = (type(None), bool, int, float, complex, str, bytes, range, type, types.FunctionType)

LOADERS = frozenset({"load", "loads", "read_pickle", "Unpickler"})
TEXT_MODULES = frozenset({"json", "yaml", "tomllib", "toml"})  # no code is in what they load


@quickly_pickled
@dataclass(slots=True)
class InputName:
    """One name of the stream."""

    name: str
    n_buffers: int  # that belong to it
    writable: bool  # its buffers are copied in the worker
    watched: bool  # small: the worker compares it before and after
    stored_into: bool  # the cell changes it for sure: it comes back in any case
    large: bool = False


@quickly_pickled
@dataclass(slots=True)
class Placed:
    """Stands for a buffer that lies in the store as (part of) an object of its own."""

    position: int  # among the refs of large buffers
    part: int


@quickly_pickled
@dataclass(slots=True)
class CellJob:
    """What the runner gets. Picklable by the runtime without cloudpickle."""

    source: str  # transformed; line numbers are those of the whole cell
    filename: str
    flags: int  # of the compiler
    want_value: bool  # of the last expression
    names: list[InputName] = field(default_factory=list)
    stream: bytes = b""
    buffers: list[pickle.PickleBuffer | Placed] = field(default_factory=list)
    carried: list[Any] = field(default_factory=list)  # refs and handles inside the stream
    modules: list[tuple[str, str]] = field(default_factory=list)  # (name, module)
    submodules: list[str] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)  # modules that the cell imports and that are loaded here
    ref_names: list[str] = field(default_factory=list)  # bound to refs: values follow the job
    scattered: list[str] = field(default_factory=list)  # arrays that lie here in another way than they will there
    stored_refs: list[str] = field(default_factory=list)  # of them: those stored into
    optional: list[tuple[str, bytes]] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)  # names that only `del` uses
    method_calls: dict[str, str] = field(default_factory=dict)
    imports: list[str] = field(default_factory=list)
    text: str = ""  # of the whole cell
    numbers: dict[str, int] = field(default_factory=dict)  # file name -> number of cells
    cwd: str = ""
    settings: dict[str, bytes] | None = None  # see process_settings; None: the worker's own
    columns_share: bool | None = None  # see pandas_columns.shares_memory
    filters: list[Any] | None = None  # of warnings; None: the worker's own
    logging: Any = None  # its levels; None: the worker's own
    log_handlers: dict[str, Any] = field(default_factory=dict)  # those that are described; see logging_handlers
    module_values: dict[tuple[str, str], bytes] = field(default_factory=dict)  # see module_values
    module_state: dict[tuple[str, str], bytes] | None = None  # see module_state; None: an actor's stays as it is
    held: list[tuple[str, tuple[str, str]]] = field(default_factory=list)  # name, and where a module has that object
    attribute_stores: list[tuple[str, ...]] = field(default_factory=list)  # those of the analysis, in modules
    import_aliases: dict[str, str] = field(default_factory=dict)
    environ: bytes = b""  # of process_environ.pack
    sys_path: list[str] = field(default_factory=list)
    argv: list[str] = field(default_factory=list)  # the kernel's sys.argv
    terminal: Terminal | None = None  # of the notebook's shell
    return_names: list[str] | None = None  # --async: these, one value each
    tells: bool = False  # --async: which inputs it changed for itself alone
    only_names: list[str] | None = None  # -o: these alone come back
    key: str = ""  # by which the notebook knows the end of this cell
    has_value: bool = False  # whether there is a last expression
    interactivity: str = "last_expr"  # the shell's ast_node_interactivity
    awaits: bool = False  # at top level
    number: int = 0  # of the cell
    magics: list[tuple[str, str]] = field(default_factory=list)  # that the cell uses: ("line", "time")
    extensions: list[str] = field(default_factory=list)  # of IPython, that the notebook has loaded
    aliases: dict[str, str] = field(default_factory=dict)  # %alias, those that the cell uses
    kernel_shell: str = ""  # module and class of the notebook's shell, where it is a kernel's
    lazy: bool = False  # --lazy: values stay in the store
    item_by_ref: bool = False  # --each: the last argument is the item's value
    assigned: list[str] = field(default_factory=list)  # --each: names that the cell binds
    stores_into_item: bool = False  # --each: the cell changes what its item is
    reloads: dict[str, Any] | None = None  # see module_reload; None: %autoreload is off
    module_times: dict[str, int] = field(default_factory=dict)  # see reloaded_modules
    # In an actor, whose own names come first:
    uses: list[str] = field(default_factory=list)  # names that the cell reads
    stores: list[str] = field(default_factory=list)  # names that it stores into
    unsendable: dict[str, tuple[str, int]] = field(default_factory=dict)  # name -> why, line
    unsent: dict[str, tuple[str, str]] = field(default_factory=dict)  # name -> its repr, why: it may not be needed


class UnpicklableInput(TypeError):
    """An input cannot go to the cluster; ``line`` is where the cell uses it."""

    line = 0
    name = ""


@dataclass(slots=True)
class Inputs:
    """The notebook's side of a job: refs to resolve, and what its names were bound to."""

    refs: list[Any]
    values: dict[str, Any]
    pickler: CellPickler | None = None  # which knows the objects of the stream by number
    history: output_history.OutputHistory | None = None  # if the cell uses it

    def objects(self, numbers: Iterable[int]) -> list[Any]:
        """Return the objects of these numbers."""
        if self.pickler is None:
            return []
        every = self.pickler.objects()
        return [every[number] for number in numbers]


Place = Callable[[pickle.PickleBuffer], "tuple[Any, int] | None"]


def build(
    job: CellJob,
    analysis: CellAnalysis,
    namespace: dict[str, Any],
    hidden: dict[str, Any],
    ref_type: type,
    carried_types: tuple[type, ...],
    place: Place | None = None,
    for_actor: bool = False,
    magics: dict[str, Any] | None = None,
) -> Inputs:
    """Fill the job with the values that the cell needs.

    Parameters
    ----------
    namespace, hidden
        The notebook's names, and those that IPython itself put there.
    ref_type, carried_types
        The class of refs; it and the other classes that only the runtime pickles.
    place
        Puts a large buffer into the store; returns the ref and which part of its object
        it is, or None to send it with the job.
    for_actor
        What cannot be pickled matters only if the actor does not have the name itself.
    magics
        Functions that the notebook has made magics, by ``magic_name``.

    Raises
    ------
    UnpicklableInput
        Names the path to the object and the line of the cell that uses it.
    """
    while True:
        try:
            return _build(job, analysis, namespace, hidden, ref_type, carried_types, place, for_actor, magics)
        except _LooksUpNames as found:  # what these are, only another look at the notebook's names tells
            if found.in_queries:
                analysis.mention(found.texts)
            else:
                analysis.look_up_names(found.texts)
            for begun in (job.modules, job.ref_names, job.stored_refs, job.held, job.unsendable, job.unsent):
                begun.clear()


class _LooksUpNames(Exception):
    """A function that goes along looks up names by text.

    Parameters
    ----------
    texts
        Those in it.
    in_queries
        Whether it is a library that does so, for the names in a text that it is given.
    """

    def __init__(self, texts: list[str], in_queries: bool = False) -> None:
        super().__init__()
        self.texts = texts
        self.in_queries = in_queries


def _build(
    job: CellJob,
    analysis: CellAnalysis,
    namespace: dict[str, Any],
    hidden: dict[str, Any],
    ref_type: type,
    carried_types: tuple[type, ...],
    place: Place | None,
    for_actor: bool,
    magics: dict[str, Any] | None,
) -> Inputs:
    wanted, optional = choose(analysis, namespace, hidden)
    values: dict[str, Any] = {}
    refs: list[Any] = []
    of_modules = module_state.held(job.module_state or ())
    for name in wanted:
        value = namespace[name]
        if isinstance(value, types.ModuleType) and _importable(value):
            job.modules.append((name, value.__name__))
        elif type(value) is ref_type:
            job.ref_names.append(name)
            refs.append(value)
            if name in analysis.stored_into:
                job.stored_refs.append(name)
        elif id(value) in of_modules:
            job.held.append((name, of_modules[id(value)]))
        else:
            values[name] = value
    values.update(magics or {})
    values.update(made_modules.imported(analysis.imported))
    if len(values) > 1:
        values.update(unnamed_owners(values))
    job.submodules = submodules(analysis.chains, namespace)
    job.loaded = [dotted for dotted in analysis.imported if _is_loaded(dotted)]
    job.deleted = sorted(name for name in analysis.deleted if name in namespace and name not in wanted)
    job.method_calls = {k: v for k, v in analysis.method_calls.items() if k in values}
    job.imports = analysis.imports
    history = None
    for name in output_history.NAMES:
        if isinstance(whole := values.get(name), dict):  # unless the user calls something of his own so
            if history is None or history.whole is not whole:
                history = output_history.OutputHistory(whole, namespace, carried_types)
            values[name] = history.part
    if for_actor:
        job.uses, job.stores = list(analysis.reads), list(analysis.stored_into)
    with collector.at_rest():
        pickler, buffers = _write_stream(job, analysis, values, namespace, carried_types, for_actor)
    if pickler.looked_up is not None and not analysis.dynamic:
        raise _LooksUpNames(pickler.looked_up)
    if pickler.queries:
        names = set().union(*map(names_in_python, pickler.queries)) - analysis.mentioned
        if any(name in namespace and name not in wanted for name in names):
            raise _LooksUpNames(pickler.queries, in_queries=True)
    _place_buffers(job, buffers, refs, place)
    if optional:
        _write_optional(job, optional, namespace, carried_types)
    job.columns_share = shares_memory() if "pandas" in sys.modules else None
    job.cwd = _working_directory()
    job.environ = process_environ.pack()
    job.argv = [text for text in sys.argv if isinstance(text, str)]
    job.sys_path = [entry for entry in sys.path if isinstance(entry, str)]
    return Inputs(refs, {**namespace, **values}, pickler, history)


def choose(analysis: CellAnalysis, namespace: dict[str, Any], hidden: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Return the names to send, and those to send if they can be had cheaply."""

    def visible(name: str) -> bool:
        if name not in namespace or name in OF_MODULES:
            return False
        if name in ALWAYS_VISIBLE or name.startswith(("_i", "_o")) or name[1:].isdigit():
            return True
        # Also hidden, but the user's: what startup files and the command line have bound.
        return not (name in OF_IPYTHON and hidden.get(name, hidden) is namespace[name])

    named = [*analysis.stored_into, *analysis.reads]
    named += [chain[1] for chain in analysis.chains if chain[0] == "__main__"]
    wanted = dict.fromkeys(name for name in named if visible(name))
    mentioned = sorted(name for name in analysis.mentioned if visible(name))
    if analysis.dynamic or analysis.queries:
        # The text that exec gets is often a name itself: look into short ones.
        for name in wanted:
            if isinstance(namespace[name], str):
                found = names_in_python(namespace[name])
                mentioned += sorted(n for n in found if visible(n))
    wanted.update(dict.fromkeys(mentioned))
    optional: list[str] = []
    if analysis.dynamic:
        optional = [
            name for name in list(namespace) if name not in wanted and not name.startswith("_") and visible(name)
        ]
    elif any(_unpickles(chain, namespace) for chain in analysis.chains):
        optional = [
            name
            for name, value in list(namespace.items())
            if isinstance(value, type | types.FunctionType) and value.__module__ == "__main__" and name not in wanted
        ]
    return list(wanted), optional


def _unpickles(chain: tuple[str, ...], namespace: dict[str, Any]) -> bool:
    """Whether ``a.b.c`` in a cell reads a pickle, in which there may be classes of the notebook."""
    return chain[-1] in LOADERS and getattr(namespace.get(chain[0]), "__name__", chain[0]) not in TEXT_MODULES


def magic_name(kind: str, name: str) -> str:
    """Return the private name under which a function that is a magic goes to the worker."""
    return f"_nbray_{kind}_magic_{name}"


def submodules(chains: Iterable[tuple[str, ...]], namespace: dict[str, Any]) -> list[str]:
    """Return the modules that ``a.b.c`` in a cell needs beyond ``a`` itself."""
    found: dict[str, None] = {}
    for root, *attributes in chains:
        module = namespace.get(root)
        if not isinstance(module, types.ModuleType):
            continue
        dotted = module.__name__
        for attribute in attributes:
            dotted += "." + attribute
            if not isinstance(sys.modules.get(dotted), types.ModuleType):
                break
            found[dotted] = None
    return list(found)


def _importable(module: types.ModuleType) -> bool:
    if module.__name__ == "__main__":
        return True
    if sys.modules.get(module.__name__) is not module:
        return False
    return getattr(module, "__spec__", None) is not None or module.__name__ in sys.builtin_module_names


def _is_loaded(dotted: str) -> bool:
    module = sys.modules.get(dotted)
    return isinstance(module, types.ModuleType) and _importable(module)


def _working_directory() -> str:
    try:
        return os.getcwd()
    except OSError:  # the kernel's directory was removed
        return ""


# -------------------------------------------------------------------------- the stream


def _write_stream(
    job: CellJob,
    analysis: CellAnalysis,
    values: dict[str, Any],
    namespace: dict[str, Any],
    carried_types: tuple[type, ...],
    for_actor: bool,
) -> tuple[CellPickler, list[pickle.PickleBuffer]]:
    """Pickle the values into the job; returns their large buffers, and who knows the objects by number."""
    common = common_memory() if values else None
    while True:
        try:
            written = _try_stream(job, analysis, values, namespace, carried_types, common)
            if common is None or not common.settle():
                return written
        except UnpicklableInput as error:
            # The pickler remembers objects that it did not write, so it starts afresh.
            if free_locks.find(values[error.name]):
                continue
            if not analysis.needs(error.name):
                job.unsent[error.name] = _repr_of(values[error.name]), str(error)
                del values[error.name]
                continue
            if not for_actor:
                raise
            # The actor may have a value of its own.
            job.unsendable[error.name] = str(error), error.line
            del values[error.name]


def _try_stream(
    job: CellJob,
    analysis: CellAnalysis,
    values: dict[str, Any],
    namespace: dict[str, Any],
    carried_types: tuple[type, ...],
    common: CommonMemory | None,
) -> tuple[CellPickler, list[pickle.PickleBuffer]]:
    file = MemoryWriter()
    buffers: list[pickle.PickleBuffer] = []

    pickler = CellPickler(file, namespace, carried_types, keep_buffers=into(buffers))
    pickler.owners = arrays = owners(values.values()) if values else {}
    pickler.common = common
    stored = set(analysis.stored_into)
    order = list(values)
    if arrays:
        # What is stored into a view is stored into the array that it shows, which is written first.
        changed = {id(owner_of(values[name], arrays)) for name in stored if name in values} - {id(None)}
        stored.update(name for name, value in values.items() if id(value) in changed)
        whole = set(map(id, arrays.values()))
        order.sort(key=lambda name: (name not in stored, id(values[name]) not in whole))
    names: list[InputName] = []
    for name in order:
        value = values[name]
        start, first = file.tell(), len(buffers)
        try:
            pickler.dump(value)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            line = analysis.reads.get(name) or analysis.stored_into.get(name, 0)
            raise unpicklable(name, value, line, error) from None
        own = buffers[first:]
        size = file.tell() - start + sum(buffer.raw().nbytes for buffer in own)
        stored_into = name in stored
        small = size <= SMALL_BYTES
        watched = small and not is_immutable(value)
        names.append(InputName(name, len(own), small or stored_into, watched, stored_into, not small))
        pickler.dump([])  # by which the worker knows where the objects of the next name begin
    job.names = names
    job.scattered = scattered(values) if values else []
    job.stream = file.getvalue()
    job.carried = pickler.carried
    for filename in pickler.sources:
        number = cell_number(filename)
        if number is not None:
            job.numbers[filename] = number
    return pickler, buffers


def _repr_of(value: Any) -> str:
    try:
        return repr(value)[:500]
    except Exception:
        return f"a {type(value).__name__}"


def _place_buffers(job: CellJob, buffers: list[pickle.PickleBuffer], refs: list[Any], place: Place | None) -> None:
    """Put the large buffers into the store; the others go in the job itself."""
    positions: dict[Any, int] = {}
    for buffer in buffers:
        found = place(buffer) if place is not None and buffer.raw().nbytes >= SMALL_BYTES else None
        if found is None:
            job.buffers.append(buffer)
            continue
        ref, part = found
        if ref not in positions:
            positions[ref] = len(positions)
            refs.append(ref)
        job.buffers.append(Placed(positions[ref], part))


def unpicklable(name: str, value: Any, line: int, error: BaseException) -> UnpicklableInput:
    """Make the error that names the object inside ``value`` that cannot travel."""
    path, offender = find_offender(value, name, pickles)
    where = f", line {line}" if line else ""
    cause = str(error).strip() or type(error).__name__
    made = UnpicklableInput(
        f"{path}: {type(offender).__name__}{where}: it cannot go to the cluster ({cause})."
        " Make it inside the cell, or send what it is made from (a path, an address, a list);"
        " a cell with --actor NAME keeps it for later ones."
    )
    made.line, made.name = line, name
    return made


def missing_input(text: str, filename: str, line: int) -> BaseException:
    """Return the error of a name that neither the actor has nor could be sent."""
    error = TypeError(text)
    error.__traceback__ = make_traceback([FrameRecord(filename, "<module>", line)]) if line else None
    return error


def _write_optional(job: CellJob, names: list[str], namespace: dict[str, Any], carried_types: tuple[type, ...]) -> None:
    """Add what a cell with exec or globals() might look up: all that is small and pickles."""
    left = DYNAMIC_BYTES
    for name in names:
        value = namespace[name]
        if isinstance(value, types.ModuleType):
            if _importable(value):
                job.modules.append((name, value.__name__))
            continue
        data = _dump_small(value, namespace, carried_types, min(left, SMALL_BYTES))
        if data is not None:
            left -= len(data)
            job.optional.append((name, data))


def is_immutable(value: Any) -> bool:
    """Whether nothing in a value can change but what ``code_state`` sees."""
    return isinstance(value, IMMUTABLE) and not has_attributes(value)


def is_larger(value: Any, limit: int) -> bool:
    """Whether an array says that it is larger. (A mock has whatever attribute it is asked for.)"""
    size = getattr(value, "nbytes", 0)
    return isinstance(size, int) and size > limit


def _dump_small(value: Any, namespace: dict[str, Any], carried_types: tuple[type, ...], limit: int) -> bytes | None:
    if is_larger(value, limit):
        return None
    file = LimitedWriter(limit)
    pickler = CellPickler(file, namespace, carried_types)
    try:
        pickler.dump(value)
    except Exception:
        return None
    return None if pickler.carried else file.getvalue()
