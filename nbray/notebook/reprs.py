"""What a ref, an actor handle, the nodes and the cluster look like as the value of a cell.

Formatters of IPython, so that the classes themselves know nothing of it. Nothing here asks
the cluster or waits: only what this process knows is shown.
"""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any

from nbray.cli.tables import size
from nbray.core.records import StoredValue
from nbray.serialization.error_value import ErrorValue

from .runtime import ActorHandle, ObjectRef

HTML = "text/html"


def install(shell: Any) -> Callable[[], None]:
    """Register the formatters in ``shell``; returns what takes them away again."""
    formatter = shell.display_formatter.formatters[HTML]
    router_of = _router_of(shell)
    formatters: dict[type, Callable[[Any], str]] = {
        ObjectRef: lambda ref: ref_html(ref, router_of()),
        ActorHandle: actor_html,
    }
    before = {kind: formatter.for_type(kind, function) for kind, function in formatters.items()}

    def remove() -> None:
        for kind in before:
            formatter.pop(kind, None)

    return remove


def _router_of(shell: Any) -> Callable[[], Any]:
    return lambda: getattr(getattr(shell, "_nbray_extension", None), "router", None)


def ref_html(ref: ObjectRef, router: Any) -> str:
    """Return a ref's state, size, maker and cell in one line."""
    facts = ref_facts(ref, router)
    rest = " · ".join(html.escape(text) for text in facts[1:])
    return f"<b>ObjectRef</b> <code>{ref.hex()[:16]}…</code> {html.escape(facts[0])}" + (
        f' <span style="color:var(--jp-ui-font-color2,#757575)">{rest}</span>' if rest else ""
    )


def ref_facts(ref: ObjectRef, router: Any = None) -> list[str]:
    """Return what this process knows of a ref: its state first."""
    data, record = ref._data, ref._task
    if record is not None:
        lane = record.lane
        runs = lane is not None and next(iter(lane.tasks), None) == record.number
        facts = ["running" if runs else "waiting", f"made by {record.name or record.function.name}"]
        number = router.cell_number(record.origin) if router is not None else 0
        return [*facts, f"cell {number}"] if number else facts
    if data is None:
        return ["not known here yet"]
    if isinstance(data, ErrorValue):
        return ["failed"]
    if isinstance(data, StoredValue):
        try:
            return ["ready", size(ref._cluster.store.info(data.hold.obj).size)]
        except Exception:
            return ["lost"]
    return ["ready", size(len(data))]


def actor_html(handle: ActorHandle) -> str:
    """Return an actor's class, state and process in one line."""
    calls = handle._calls
    notice: Any = calls.notice
    facts = [str(calls.state).lower().replace("_", " ")]
    if notice is not None and notice.pid:
        facts.append(f"pid {notice.pid}")
    waiting = len(calls.queue) + len(calls.tasks)
    if waiting:
        facts.append(f"{waiting} calls of this process at it")
    methods = ", ".join(sorted(handle._info["methods"])[:8])
    return (
        f"<b>{html.escape(str(handle._info['class_name']))}</b> actor <code>{handle._ray_actor_id[:12]}…</code> "
        f"{html.escape(' · '.join(facts))}"
        f' <span style="color:var(--jp-ui-font-color2,#757575)">{html.escape(methods)}</span>'
    )
