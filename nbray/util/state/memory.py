"""Who holds which object of the cluster: behind ``nbray memory`` and Ray's ``memory_summary``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nbray.core import cluster_view
from nbray.util.state.tables import size, table


@dataclass
class Holders:
    """What is stored, and who holds it."""

    store: dict[str, Any]  # figures of the object store
    objects: list[dict[str, Any]]
    silent_pids: list[int]  # of processes that did not say what they hold

    def sort_by(self, column: str, limit: int | None = None) -> None:
        """Bring the objects into the order of a column, largest first; keep ``limit`` of them."""
        self.objects.sort(key=lambda row: row[column], reverse=True)
        if limit is not None:
            del self.objects[limit:]

    def figures(self) -> str:
        """Return the line about the store as a whole."""
        used, capacity = size(self.store["used"]), size(self.store["capacity"])
        return f"object store: {used} of {capacity} in use, {self.store['n_objects']} objects"

    def text(self) -> str:
        """Return all of it as a page for people."""
        lines = [self.figures()]
        if self.silent_pids:
            lines.append(f"no answer from: {', '.join(map(str, self.silent_pids))} (busy in C code, or stopped)")
        shown = [
            [row["object_id"], size(row["size"]), row["where"], row["state"],
             ", ".join(row["held_by"]) or f"{row['holders']} processes", row["made"] or "-"]
            for row in self.objects
        ]  # fmt: skip
        heads = ["object_id", "size", "where", "state", "held by", "made"]
        return "\n".join([*lines, table(heads, shown) if shown else "no objects"])


def holders(where: Any) -> Holders:
    """Ask all processes of a cluster (a source of ``collect``) what they hold, and the store what is in it."""
    processes = {row["peer"]: row for row in cluster_view.table(where, "processes")}
    refs, silent = cluster_view.inspect(where, "refs")
    stored = {row["object_id"]: row for row in cluster_view.store_objects(where)}
    store = cluster_view.store_stats(where)
    found: dict[str, dict[str, Any]] = {}

    def entry(object_id: str) -> dict[str, Any]:
        if object_id not in found:
            there = stored.get(object_id)
            found[object_id] = {
                "object_id": object_id, "size": there["size"] if there else 0, "where": "store" if there else "process",
                "state": there["state"] if there else "", "held_by": {}, "made": there["made"] if there else "",
                "holders": there["n_holders"] if there else 0,
            }  # fmt: skip
        return found[object_id]

    def name_of(peer: int) -> str:
        row = processes.get(peer)
        return f"{row['role']} {row['pid']}" if row is not None else "the daemon"

    for object_id, there in stored.items():
        row = entry(object_id)
        for peer in there["holders"]:
            row["held_by"][name_of(peer)] = "PINNED_IN_MEMORY"
    for peer, rows in refs.items():
        for one in rows:
            row = entry(one["object_id"])
            row["size"] = row["size"] or one["size"]
            row["state"] = row["state"] or one["task_status"]
            row["made"] = row["made"] or one["origin"] or one["made_by"]
            row["held_by"][name_of(peer)] = one["reference_type"]
    for row in found.values():
        row["holders"] = max(row["holders"], len(row["held_by"]))
    return Holders(store, list(found.values()), silent)
