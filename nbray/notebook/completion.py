"""Tab after ``%%remote`` and ``%remote``: options, and the names of actors and nodes."""

from __future__ import annotations

from typing import Any

from nbray.core import current

from . import magic_options
from .nbray_magic import WORDS
from .runtime import ActorHandle, ObjectRef


def register(shell: Any, cells: Any) -> None:
    """Offer completions in ``shell``; registering again replaces what was there."""

    def complete(_: Any, event: Any) -> list[str]:
        line, word = event.line.split("\n")[0], event.symbol
        before = line[: len(line) - len(word)].split()
        last = before[-1] if before else ""
        if last == "--actor":
            return [name for name in cells.actors.names() if name.startswith(word)]
        if last == "--node":
            return [node for node in _nodes() if node.startswith(word)]
        if last in ("-o", "--out"):
            return [name for name in shell.user_ns if name.startswith(word) and not name.startswith("_")]
        return magic_options.complete(line, word)

    def complete_nbray(_: Any, event: Any) -> list[str]:
        before = event.line[: len(event.line) - len(event.symbol)].split()
        if len(before) < 2:
            return [word for word in WORDS if word.startswith(event.symbol)]
        kinds = {"why": ObjectRef, "log": (ObjectRef, ActorHandle)}
        kind: Any = kinds.get(before[1], ())
        return [
            name for name, value in shell.user_ns.items() if isinstance(value, kind) and name.startswith(event.symbol)
        ]

    for name in ("%%remote", "%remote"):
        shell.set_hook("complete_command", complete, str_key=name)
    shell.set_hook("complete_command", complete_nbray, str_key="%nbray")


def _nodes() -> list[str]:
    core = current.core
    state = core.latest_state if core is not None else None
    return [str(node.get("NodeID", ""))[:12] for node in (state.nodes if state is not None else [])]
