"""Where programs written for earlier versions of Ray find ``free``, and ``memory_summary``."""

from __future__ import annotations

from nbray.ray_names.internal import free
from nbray.util.state import collect, memory

__all__ = ["free", "memory_summary"]

_COLUMNS = {"OBJECT_SIZE": "size", "PID": "holders", "REFERENCE_TYPE": "holders"}


def memory_summary(
    address: str | None = None, group_by: str = "NODE_ADDRESS", sort_by: str = "OBJECT_SIZE", units: str = "B",
    line_wrap: bool = True, stats_only: bool = False, num_entries: int | None = None,
) -> str:  # fmt: skip
    """Return who holds which object as a page for people: that of ``nbray memory``.

    Parameters
    ----------
    address : str, optional
        Of the cluster; default: this process's.
    group_by, units, line_wrap
        Without effect: there is one node, and amounts have the unit that suits them.
    sort_by : str
        "OBJECT_SIZE"; by how many hold it: "PID", "REFERENCE_TYPE".
    stats_only : bool
        Only the figures of the store.
    num_entries : int, optional
        Most objects; default: all.
    """
    if sort_by not in _COLUMNS:
        raise ValueError(f"sort_by={sort_by!r}: give one of {', '.join(_COLUMNS)}.")
    with collect.source(address) as where:
        found = memory.holders(where)
    if stats_only:
        return found.figures()
    found.sort_by(_COLUMNS[sort_by], num_entries)
    return found.text()
