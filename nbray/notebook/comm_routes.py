"""On which thread of the kernel a message to a comm is handled: on that of the subshell that it was sent to."""

from __future__ import annotations

from typing import Any


def keep_subshell(comm: Any) -> None:
    """Have what the front end sends to this comm handled where it was sent.

    ipykernel hands it to the thread that the comm was used by last. For a comm on which another thread tells of the cluster
    that is the main one, where a question would wait for the end of the cell.
    """
    comm._reply_subshell_for = _where_it_came


def forget_subshell(comm: Any) -> None:
    """Undo `keep_subshell`."""
    vars(comm).pop("_reply_subshell_for", None)


def _where_it_came(data: Any, subshell: Any) -> Any:
    return subshell
