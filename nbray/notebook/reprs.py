"""What a ref, an actor handle, the nodes, an error and the cluster look like as the value of a cell.

Formatters of IPython, so that the classes themselves know nothing of it. Nothing here asks
the cluster, waits or starts anything: only what this process knows is shown.
"""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from IPython.utils.dir2 import get_real_method

from nbray import ids
from nbray.api.context import RayContext
from nbray.api.state import NodeList
from nbray.core.records import StoredValue
from nbray.exceptions import RayError, RayTaskError
from nbray.options import UNIT
from nbray.serialization import error_value
from nbray.serialization.error_value import ErrorValue

from .runtime import ActorHandle, ObjectRef
from .widgets import amounts, drawing, words
from .widgets.cell_marks import CellMarks
from .widgets.facts import CANCELLED, DONE, FAILED, INPUT, PLACE, RUNNING
from .widgets.watch import Watch

HTML = "text/html"
MAX_LIST = 5_000  # refs of a list whose states are counted
MAX_TRACEBACK = 20_000  # characters of a remote traceback
_MUTED = "color:var(--jp-ui-font-color2,#757575)"
_LEFT = "text-align:left"
GONE = "lost: its cluster has ended"


class Context:
    """What the reprs of one shell know besides the value: the cells of tasks, and their names once widgets have asked."""

    def __init__(
        self, cell_number: Callable[[str], int], marks: CellMarks, watch: Watch, has_line: Callable[[ObjectRef], bool]
    ) -> None:
        self.cell_number = cell_number
        self.marks = marks
        self.watch = watch
        self.has_line = has_line  # whether a ref is of a cell in the background, whose own line says how it goes

    def cell_of(self, ref: ObjectRef) -> int:
        """Return the number of the cell that made a ref; 0: not known."""
        return self._cell_of(ref._cluster, ref._owner, ref._number)

    def cell_of_actor(self, handle: ActorHandle) -> int:
        """The same of an actor."""
        return self._cell_of(handle._ray_calls.core, *ids.split_actor_id(bytes.fromhex(handle._ray_id)))

    def _cell_of(self, cluster: Any, owner: int, number: int) -> int:
        core = self.watch.core
        if core is None or cluster is not core or owner != core.peer:
            return 0
        scope = self.marks.scope_of(core, owner, number)
        return self.cell_number(self.marks.origins[scope])


def install(shell: Any, context: Context) -> Callable[[], None]:
    """Register the formatters in ``shell``; returns what takes them away again."""
    formatters = shell.display_formatter.formatters
    bundles = shell.display_formatter.mimebundle_formatter
    kinds: dict[type, Callable[[Any], str | None]] = {
        ObjectRef: lambda ref: ref_html(ref, context),
        ActorHandle: lambda handle: actor_html(handle, context),
        NodeList: nodes_html,
        RayError: error_html,
    }
    for kind, function in kinds.items():
        formatters[HTML].for_type(kind, function)
    bundles.for_type(RayContext, lambda one, **_: {"text/plain": repr(one), HTML: context_html(one)})

    if list not in formatters[HTML].type_printers:  # else the user has wishes of their own
        kinds[list] = lambda some: refs_html(some, context)
        formatters[HTML].for_type(list, kinds[list])

    def remove() -> None:
        for kind in kinds:
            formatters[HTML].pop(kind, None)
        bundles.pop(RayContext, None)

    return remove


def _row(
    state: int | None, strong: str, code: str, facts: list[str], muted: list[str], states: Sequence[str] = ()
) -> str:
    """Return one line: a shape (of a state), what it is, its id, its state, and the rest; ``states``: HTML."""
    parts = [*([drawing.sign_alone(state)] if state is not None else []), f"<b>{_escape(strong)}</b>"]
    if code:
        parts.append(f"<code>{_escape(code)}…</code>")
    parts += [_escape(fact) for fact in facts] + list(states)
    rest = " · ".join(_escape(text) for text in muted if text)
    if rest:
        parts.append(f'<span style="{_MUTED}">{rest}</span>')
    return f'<div style="display:flex;flex-wrap:wrap;gap:2px 7px;align-items:center">{" ".join(parts)}</div>'


def _escape(text: Any) -> str:
    return html.escape(words.clean(str(text)))


def ref_html(ref: ObjectRef, context: Context) -> str:
    """Return a ref's state, size, maker and cell in one line."""
    state: int | None
    state, facts = ref_facts(ref, context)
    if ref._cluster is context.watch.core and context.has_line(ref):
        # The line above is replaced when the work is done; the value of a cell stays as it was shown.
        state, facts = None, ["of a cell in the background", *facts[1:]]
    return _row(state, "ObjectRef", ref.hex()[:24], facts[:1], facts[1:])


def refs_html(some: list[Any], context: Context) -> str | None:
    """Return a list of refs in one line: how many are in which state; None: it is no such list, and looks as it always does."""
    if type(some) is not list:  # somebody's own class, which was not asked for because of this formatter
        method = get_real_method(some, "_repr_html_")
        return method() if method is not None else None
    if len(some) < 2 or not all(type(one) is ObjectRef for one in some):
        return None
    seen = some[:MAX_LIST]
    cells = {context.cell_of(ref) for ref in seen}
    cell = [f"cell {number}" for number in cells if number and len(cells) == 1]
    title = amounts.noun(len(some), "ObjectRef")
    if some[0]._cluster is context.watch.core and context.has_line(some[0]):
        return _row(None, title, "", ["of a cell in the background"], cell)
    counts = Counter(_state_of(ref, context) for ref in seen)
    more = [f"of the first {amounts.count(MAX_LIST)}"] if len(some) > MAX_LIST else []
    states = [
        f'<span style="display:inline-flex;gap:5px;align-items:center">{drawing.sign_alone(state)}'
        f"{amounts.count(counts[state])} {word}</span>"
        for state, word in _LIST_WORDS.items()
        if counts[state]
    ]
    return _row(None, title, "", [], [*cell, *more], states)


_LIST_WORDS = {
    FAILED: "failed", RUNNING: "running", PLACE: "waiting for a place", INPUT: "waiting for inputs", DONE: "ready",
    CANCELLED: "lost",
}  # fmt: skip


def _state_of(ref: ObjectRef, context: Context) -> int:
    """Return the state of a ref by what is known here; CANCELLED stands for one whose cluster has ended."""
    if ref._cluster is not context.watch.core:
        return CANCELLED
    record = ref._task
    if record is not None:
        lane = record.lane
        if lane is not None and next(iter(lane.tasks), None) == record.number:
            return RUNNING
        return INPUT if record.n_missing else PLACE
    if ref._data is None:
        return INPUT
    return FAILED if isinstance(ref._data, ErrorValue) else DONE


def ref_facts(ref: ObjectRef, context: Context) -> tuple[int, list[str]]:
    """Return the state of a ref, and what this process knows of it: the state's word first."""
    if ref.is_nil():
        return INPUT, ["nil: names no value"]
    if ref._cluster is not context.watch.core:
        return FAILED, [GONE]
    data, record = ref._data, ref._task
    number = context.cell_of(ref)
    cell = [f"cell {number}"] if number else []
    if record is not None:
        state = _state_of(ref, context)
        name = record.name or record.function.name
        said = {RUNNING: "running", INPUT: "waiting for its inputs"}
        facts = [said.get(state, "waiting for a place")]
        return state, [*facts, f"made by {name}", *(cell if name != f"cell {number}" else [])]
    made = _maker(ref, context)
    by = [f"made by {made}"] if made else []
    if cell == [made]:  # a cell that has no other name
        cell = []
    if data is None:
        return INPUT, ["not known here yet", *by, *cell]
    if isinstance(data, ErrorValue):
        try:
            message = error_value.headline(data.blob)
        except Exception:  # an exception of the runtime that needs more than its text
            message = ""
        return FAILED, ["failed", message, *by, *cell]
    if isinstance(data, StoredValue):
        try:
            return DONE, ["ready", amounts.size(ref._cluster.store.info(data.hold.obj).size), *by, *cell]
        except Exception:
            return FAILED, ["lost", *by, *cell]
    return DONE, ["ready", amounts.size(len(data)), *by, *cell]


def _maker(ref: ObjectRef, context: Context) -> str:
    """Return the name of the function that made a value, where that is known without asking."""
    lineage = getattr(ref._data, "lineage", None)
    if lineage is not None:
        return str(lineage.name or lineage.function.name)
    return context.watch.name_of(ref._owner, ref._number)


_ACTOR_STATES = {"ALIVE": DONE, "DEAD": FAILED}


def actor_html(handle: ActorHandle, context: Context) -> str:
    """Return an actor's class, state, name, process, cell and methods in one line."""
    calls = handle._ray_calls
    notice: Any = calls.notice
    if calls.core is not context.watch.core:
        return _row(FAILED, f"{handle._ray_info['class_name']} actor", handle._ray_id[:24], [GONE], [])
    state = str(calls.state)
    waiting = len(calls.queue) + len(calls.tasks)
    muted = []
    if notice is not None and notice.name:
        muted.append(f"named {notice.name}")
    if notice is not None and notice.pid:
        muted.append(f"pid {notice.pid}")
    if waiting:
        muted.append(amounts.noun(waiting, "call") + " of this process at it")
    if state == "DEAD" and notice is not None and notice.cause:
        muted.append(str(notice.cause))
    if number := context.cell_of_actor(handle):
        muted.append(f"cell {number}")
    methods = sorted(handle._ray_info["methods"])
    muted.append(
        "methods: " * bool(methods)
        + ", ".join(methods[:8])
        + (f" and {len(methods) - 8} more" if len(methods) > 8 else "")
    )
    sign = RUNNING if waiting and state == "ALIVE" else _ACTOR_STATES.get(state, PLACE)
    word = state.lower().replace("_", " ")
    return _row(sign, f"{handle._ray_info['class_name']} actor", handle._ray_id[:24], [word], muted)


def nodes_html(nodes: Any) -> str:
    """Return the nodes as a table: state, name, what is in use of what they have."""
    rows = []
    for node in nodes:
        total, free = node.get("Resources", {}), node.get("Available", {})
        used = {name: max(value - free.get(name, value), 0.0) for name, value in total.items()}
        alive = node.get("Alive", True)
        counted = [
            f"{amounts.amount(used[name])} of {amounts.units(value, name)}"
            for name, value in total.items()
            if not name.startswith("node:") and "memory" not in name
        ]
        store = total.get("object_store_memory", 0)
        cells = [
            f'<span style="display:inline-flex;gap:6px;align-items:center">{drawing.sign_alone(DONE if alive else FAILED)}'
            f"{'alive' if alive else 'dead'}</span>",
            f"<b>{_escape(node.get('NodeManagerHostname') or node.get('NodeName', ''))}</b>",
            f"<code>{_escape(str(node.get('NodeID', ''))[:12])}…</code>",
            _escape(node.get("NodeManagerAddress", "")),
            _escape(", ".join(counted)),
            _escape(amounts.size(store)) if store else "",
        ]
        rows.append("<tr>" + "".join(f'<td style="{_LEFT}">{cell}</td>' for cell in cells) + "</tr>")
    heads = ("", "node", "id", "address", "in use", "object store")
    head = "".join(f'<th style="{_LEFT};{_MUTED};font-weight:normal">{name}</th>' for name in heads)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def error_html(error: RayError) -> str:
    """Return an error in one line: class, message, the task and its process; below it, folded, the traceback there."""
    if not isinstance(error, RayTaskError):
        return _row(FAILED, type(error).__name__, "", [str(error).strip().split("\n")[0]], [])
    cause = error.cause
    name = type(cause if cause is not None else error).__name__
    message = str(cause).strip().split("\n")[0] if cause is not None else ""
    where = [f"raised by {error.function_name}" if error.function_name else "", f"pid {error.pid}" if error.pid else ""]
    line = _row(FAILED, name, "", [message], where)
    text = str(error.traceback_str or "")[-MAX_TRACEBACK:]
    if not text:
        return line
    shown = html.escape("".join(char if char.isprintable() or char == "\n" else "?" for char in text))
    return f'{line}<details><summary style="{_MUTED}">traceback in the task</summary><pre>{shown}</pre></details>'


def context_html(context: RayContext) -> str:
    """Return what ``init`` says of the cluster."""
    facts = context.address_info
    total = facts.get("resources", {})
    counted = [
        amounts.units(units / UNIT, name)
        for name, units in total.items()
        if not name.startswith("node:") and "memory" not in name
    ]
    store = total.get("object_store_memory", 0) / UNIT
    if store:
        counted.append(f"{amounts.size(store)} object store")
    kind = "a cluster that was there" if facts.get("joined") else "a cluster of its own, which ends with this kernel"
    line = _row(DONE, "nbray", "", [", ".join(counted)], [kind])
    rows = [("version", f"{context.ray_version} (Python {context.python_version})"), ("session", facts.get("session_dir", ""))]  # fmt: skip
    cells = "".join(
        f'<tr><td style="{_LEFT};{_MUTED}">{name}</td><td style="{_LEFT}">{_escape(value)}</td></tr>'
        for name, value in rows
    )
    return f"{line}<table>{cells}</table>"
